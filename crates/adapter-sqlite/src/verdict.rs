//! What a failure of SQLite means.

use crate::Config;
use ports::outbox::Error;
use rusqlite::ErrorCode;
use std::sync::Arc;

/// Another try may go well, or not.
pub(crate) fn error(config: &Config, cause: rusqlite::Error) -> Error {
    let place = config.place();
    let passes = cause.sqlite_error_code().is_some_and(|code| {
        use ErrorCode::{
            CannotOpen, DatabaseBusy, DatabaseLocked, DiskFull, FileLockingProtocolFailed,
            OperationInterrupted, OutOfMemory, SchemaChanged, SystemIoFailure,
        };
        matches!(
            code,
            CannotOpen
                | DatabaseBusy
                | DatabaseLocked
                | DiskFull
                | FileLockingProtocolFailed
                | OperationInterrupted
                | OutOfMemory
                | SchemaChanged
                | SystemIoFailure
        )
    });
    let cause = Arc::new(cause);
    if passes { Error::Unavailable { place, cause } } else { Error::Refused { place, cause } }
}

/// The table cannot be used as it is.
pub(crate) fn missing(config: &Config, problem: impl Into<String>) -> Error {
    Error::Missing { place: config.place(), table: config.table.clone(), problem: problem.into() }
}
