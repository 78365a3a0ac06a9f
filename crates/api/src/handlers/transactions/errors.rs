//! What goes wrong, as answers.

use crate::{answer::Problem, handlers::messaging::of_kv};
use base::ErrorChain;
use http::StatusCode;
use transactions::Error;

type Reaction = (StatusCode, &'static str, Option<&'static str>);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (status, code, help) = reaction(&error);
        let mut problem = Self::new(status, code, ErrorChain(&error).to_string());
        problem.detail.help = help.map(str::to_owned);
        problem
    }
}

/// Status, code, and what to do.
fn reaction(error: &Error) -> Reaction {
    match error {
        Error::Kv(cause) => of_kv(cause),
        Error::Missing(_) => (
            StatusCode::NOT_FOUND,
            "not_found",
            Some("GET /v1/tx lists them; finished ones are kept for a while only"),
        ),
        Error::NoDefinition { .. } => (
            StatusCode::NOT_FOUND,
            "unknown_definition",
            Some("define it in flotilla.yaml under `transactions`, or give `mode` and `steps`"),
        ),
        Error::Conflict(_) => (
            StatusCode::CONFLICT,
            "conflict",
            Some("the same id is for the same content only: give another transaction another id"),
        ),
        Error::Invalid(_) => (StatusCode::BAD_REQUEST, "bad_request", None),
        Error::Refused { .. } => (StatusCode::CONFLICT, "refused", None),
        Error::TooLarge { .. } => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            Some("keep large data elsewhere, and give the transaction a reference to it"),
        ),
        Error::TooMany(_) => (
            StatusCode::TOO_MANY_REQUESTS,
            "too_many",
            Some(
                "try again when some have ended; GET /v1/tx?attention=true shows those that are stuck",
            ),
        ),
        Error::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping", None),
    }
}
