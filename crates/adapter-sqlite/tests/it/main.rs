//! The outbox on real files, beside a service that works on them at the same time.

#![expect(clippy::unwrap_used, reason = "a test binary")]

mod outbox;
