//! How an HTTP status reads in gRPC, and back.

use super::status;
use http::{StatusCode, response::Parts};
use serde::Deserialize;
use std::collections::HashMap;
use tonic::{Code, Status, metadata::MetadataMap};

/// Longest piece of an answer that goes along with its status, in bytes: details are bounded to 64 characters.
const WORDS_LEN_MAX: usize = 63;

/// What an HTTP status means to a gRPC client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    Bad(Code),
}

impl Outcome {
    pub(super) fn of(status: StatusCode) -> Self {
        if status.is_success() {
            return Self::Good;
        }
        Self::Bad(match status {
            StatusCode::BAD_REQUEST => Code::Internal,
            StatusCode::UNAUTHORIZED => Code::Unauthenticated,
            StatusCode::FORBIDDEN => Code::PermissionDenied,
            StatusCode::NOT_FOUND => Code::NotFound,
            StatusCode::REQUEST_TIMEOUT => Code::Cancelled,
            StatusCode::CONFLICT => Code::AlreadyExists,
            StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
            StatusCode::NOT_IMPLEMENTED => Code::Unimplemented,
            StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
            StatusCode::GATEWAY_TIMEOUT => Code::DeadlineExceeded,
            _ => Code::Unknown,
        })
    }
}

/// The HTTP status for an application's gRPC status.
pub(crate) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
            StatusCode::BAD_REQUEST
        }
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The status for what an application answered badly, with the number and its first words beside it.
pub(super) fn failed(code: Code, status: StatusCode, body: &[u8], metadata: MetadataMap) -> Status {
    let text = status.canonical_reason().unwrap_or_default().to_owned();
    let words = String::from_utf8_lossy(body);
    let end = words.floor_char_boundary(WORDS_LEN_MAX);
    let words = words.get(..end).unwrap_or_default().to_owned();
    let details = HashMap::from([
        ("http.code".to_owned(), status.as_str().to_owned()),
        ("http.error_message".to_owned(), words),
    ]);
    let mut failed = status::detailed(code, text.clone(), vec![status::info(text, details)]);
    *failed.metadata_mut() = metadata;
    failed
}

/// What the listener says when no application was reached.
#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "errorCode")]
    code: String,
    message: String,
}

/// The status when the answer is the listener's and not an application's.
pub(super) fn refused(head: &Parts, body: &[u8]) -> Option<Status> {
    if head.status.is_success() {
        return None;
    }
    let Refusal { code, message } = serde_json::from_slice(body).ok()?;
    (code == "ERR_DIRECT_INVOKE").then(|| {
        // 500 stands for whatever is wrong with the other side.
        let code = match Outcome::of(head.status) {
            Outcome::Bad(code) if head.status != StatusCode::INTERNAL_SERVER_ERROR => code,
            _ => Code::Internal,
        };
        Status::new(code, message)
    })
}
