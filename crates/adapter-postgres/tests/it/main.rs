//! The outbox on a real PostgreSQL. Without one it says that nothing was tested; on a CI machine it fails.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test binary")]

mod outbox;
mod server;
