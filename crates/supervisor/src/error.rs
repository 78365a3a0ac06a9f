//! Why the supervisor does not do what it was asked.

use base::ServiceName;

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No service or job has this name.
    #[error("there is no service `{name}`")]
    UnknownService {
        /// The name asked for.
        name: ServiceName,
        /// The nearest name there is.
        did_you_mean: Option<ServiceName>,
    },
    /// The service has no such instance.
    #[error("there is no instance `{0}`")]
    UnknownInstance(String),
    /// It cannot be done in the present state.
    #[error("{0}")]
    Conflict(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The system is being stopped.
    #[error("the system is being stopped")]
    Stopping,
}
