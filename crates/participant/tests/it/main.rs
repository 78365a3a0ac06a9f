//! The barrier on real databases, prepared transactions on a real PostgreSQL, and the Python package. Without a server it says that
//! nothing was tested; on a CI machine it fails.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test binary")]

mod bank;
mod barrier;
mod decide;
mod prepared;
mod python;
mod servers;
mod sqlite;
