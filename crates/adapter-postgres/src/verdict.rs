//! What a failure of PostgreSQL means.

use crate::Config;
use ports::outbox::Error;
use std::{error, sync::Arc};
use tokio_postgres::error::SqlState;

/// What the server or the connection said.
pub(crate) fn error(config: &Config, cause: tokio_postgres::Error) -> Error {
    let (place, code) = (config.place(), cause.code());
    let absent = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
        SqlState::INVALID_CATALOG_NAME,
    ];
    if code.is_some_and(|code| absent.contains(code)) {
        let problem = cause.as_db_error().map(|said| said.message().to_owned());
        return missing(config, &problem.unwrap_or_default());
    }
    let passes = code.is_none_or(|code| passes(code.code()));
    let cause = Arc::new(cause);
    if passes { Error::Unavailable { place, cause } } else { Error::Refused { place, cause } }
}

/// Whether another try may go well: the connection, conflicts, resources, locks, what the operator does, the system below; and a
/// server that only reads, as one does that is about to take over from another.
fn passes(code: &str) -> bool {
    code == "25006"
        || ["08", "40", "53", "55", "57", "58"].iter().any(|class| code.starts_with(class))
}

/// The database does not answer for another reason.
pub(crate) fn unavailable(
    config: &Config,
    cause: impl error::Error + Send + Sync + 'static,
) -> Error {
    Error::Unavailable { place: config.place(), cause: Arc::new(cause) }
}

/// The table cannot be used as it is.
pub(crate) fn missing(config: &Config, problem: &str) -> Error {
    Error::Missing { place: config.place(), table: config.table(), problem: problem.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for code in
            ["08006", "40001", "40P01", "53300", "55P03", "57P01", "57P03", "58030", "25006"]
        {
            assert!(passes(code), "{code}");
        }
        for code in ["28P01", "28000", "42501", "42601", "22P02", "XX000", "25001", "0A000"] {
            assert!(!passes(code), "{code}");
        }
    }
}
