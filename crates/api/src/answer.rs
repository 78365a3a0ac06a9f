//! Answers: JSON, errors, pages.

use crate::{backend, wire};
use base::Diagnostic;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde::Serialize;
use std::convert::Infallible;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Answer = Response<Body>;

pub(crate) const JSON: &str = "application/json";

/// Why a request has no good answer.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) detail: Box<wire::ErrorDetail>,
    /// Methods that would do, for 405.
    pub(crate) allow: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let detail = wire::ErrorDetail {
            code: code.to_owned(),
            message: message.into(),
            ..wire::ErrorDetail::default()
        };
        Self { status, detail: Box::new(detail), allow: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.detail.help = Some(help.into());
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    pub(crate) fn not_found(message: impl Into<String>, help: Option<String>) -> Self {
        let mut problem = Self::new(StatusCode::NOT_FOUND, "not_found", message);
        problem.detail.help = help;
        problem
    }

    fn invalid(diagnostics: &[Diagnostic]) -> Self {
        let mut problem =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "the request is not valid");
        // Many problems are still one refusal: the first error is its headline.
        let errors = diagnostics.iter().filter(|one| one.severity == base::Severity::Error);
        if let Some(first) = errors.clone().next().or(diagnostics.first()) {
            let more = errors.count().saturating_sub(1);
            problem.detail.code = first.code.to_string();
            problem.detail.message = match more {
                0 => first.message.clone(),
                more => format!("{} (and {more} more)", first.message),
            };
            problem.detail.help.clone_from(&first.help);
        }
        problem.detail.diagnostics = diagnostics.iter().map(Into::into).collect();
        problem
    }

    pub(crate) fn answer(self) -> Answer {
        let mut answer = json(self.status, &wire::ErrorBody { error: *self.detail });
        if let Some(allow) = self.allow.and_then(|allow| HeaderValue::from_str(&allow).ok()) {
            answer.headers_mut().insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"flotilla\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

impl From<backend::Error> for Problem {
    fn from(error: backend::Error) -> Self {
        match error {
            backend::Error::Unknown { message, help } => Self::not_found(message, help),
            backend::Error::Conflict(message) => {
                Self::new(StatusCode::CONFLICT, "conflict", message)
            }
            backend::Error::Invalid(diagnostics) => Self::invalid(&diagnostics),
            backend::Error::Stopping => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", error.to_string())
            }
            backend::Error::Failed(message) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
            }
        }
    }
}

/// `value` as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes_of(status, JSON, bytes),
        // Only a map with keys that are no strings can fail, and the wire has none.
        Err(e) => {
            let text = format!("{{\"error\":{{\"code\":\"internal\",\"message\":\"{e}\"}}}}");
            bytes_of(StatusCode::INTERNAL_SERVER_ERROR, JSON, text.into_bytes())
        }
    }
}

pub(crate) fn bytes_of(status: StatusCode, kind: &'static str, bytes: impl Into<Bytes>) -> Answer {
    body_of(status, kind, Full::new(bytes.into()).boxed_unsync())
}

/// An answer with the headers that all have: nothing of the node's state is for a cache, and nothing is to be
/// guessed to be of another type.
pub(crate) fn body_of(status: StatusCode, kind: &'static str, body: Body) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}
