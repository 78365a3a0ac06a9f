//! What the building blocks of Dapr mean, without a protocol: HTTP and gRPC read and write the wire around them.

pub(crate) mod configuration;
pub(crate) mod jobs;
pub(crate) mod lock;
pub(crate) mod metadata;
pub(crate) mod outbox;
pub(crate) mod pubsub;
pub(crate) mod secrets;
pub(crate) mod state;

use super::{
    Caller, Shared,
    fault::{Code, Fault},
};
use base::ErrorChain;
use coordination::{Error, StoreKind};
use http::StatusCode;

/// Statuses for what a store says. Beside them stand the words of the operation.
fn statuses(error: &Error) -> (StatusCode, Code) {
    match error {
        Error::UnknownStore { .. }
        | Error::Invalid(_)
        | Error::TooLarge { .. }
        | Error::BadEtag(_) => (StatusCode::BAD_REQUEST, Code::InvalidArgument),
        Error::Conflict { .. } | Error::Stale { .. } | Error::NotHeld { .. } => {
            (StatusCode::CONFLICT, Code::Aborted)
        }
        Error::QueueFull { .. } => (StatusCode::SERVICE_UNAVAILABLE, Code::ResourceExhausted),
        Error::Unavailable { .. } => (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
        Error::Unknown { .. } => (StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown),
        Error::Unsupported(_) => (StatusCode::BAD_REQUEST, Code::FailedPrecondition),
        Error::Missing { .. }
        | Error::Compacted { .. }
        | Error::Refused { .. }
        | Error::Damaged { .. }
        | Error::Key(_)
        | Error::SecretFile(_) => (StatusCode::INTERNAL_SERVER_ERROR, Code::Internal),
    }
}

/// What a store says, in the words that clients look for where there are some.
fn words(error: &Error) -> String {
    match error {
        Error::Conflict { .. } => "possible etag mismatch. error from state store".to_owned(),
        Error::BadEtag(_) => format!("invalid etag value: {error}"),
        other => ErrorChain(other).to_string(),
    }
}

impl Fault {
    /// The same for what a store says.
    fn of(self, error: &Error) -> Self {
        let (status, code) = statuses(error);
        self.with(status, code)
    }
}

/// The names of the stores of a kind that the caller may use.
fn any_store(shared: &Shared, caller: &Caller, kinds: &[StoreKind]) -> bool {
    shared.coordination.stores().iter().any(|store| {
        kinds.contains(&store.kind)
            && shared.backend.may_use(&caller.id.service, store.kind, &store.name)
    })
}

/// Whether metadata says yes, in any of the words that Dapr takes for it.
pub(crate) fn is_true(text: &str) -> bool {
    let text = text.trim().to_ascii_lowercase();
    ["1", "t", "true", "y", "yes", "on"].contains(&text.as_str())
}
