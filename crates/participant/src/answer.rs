//! What the coordinator understands of an answer.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

/// The answer of a branch, for any framework: [`Answer::status`], [`Answer::headers`] and [`Answer::body`], or [`Answer::into_response`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    kind: Kind,
    body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Done,
    Refused,
    Working,
    ReadOnly,
    Heuristic { outcome: Outcome, agrees: bool },
    Failed,
}

/// What a participant did by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It kept the work.
    Committed,
    /// It undid the work.
    Aborted,
    /// Some of both.
    Mixed,
}

impl Outcome {
    /// As it stands in the `Flotilla-Outcome` field.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Mixed => "mixed",
        }
    }
}

impl Answer {
    /// It is done, or was done before. 200.
    #[must_use]
    pub fn done() -> Self {
        Self { kind: Kind::Done, body: Vec::new() }
    }

    /// It is done, and later steps may use what this JSON text says. 200. A barrier keeps it, so that a repeated call gets it, too.
    #[must_use]
    pub fn json(text: impl Into<String>) -> Self {
        Self { kind: Kind::Done, body: text.into().into_bytes() }
    }

    /// No, for a reason of the business: the transaction is to be given up. 409. The coordinator follows it for actions, tries
    /// and votes; an undo or a confirmation cannot be refused, and is called again.
    #[must_use]
    pub fn refused(reason: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, body: reason.into().into_bytes() }
    }

    /// Not yet: the coordinator asks again. 425.
    #[must_use]
    pub fn working() -> Self {
        Self { kind: Kind::Working, body: Vec::new() }
    }

    /// Yes, and there was nothing to write: no second phase is needed. For `prepare`, and for `pre_commit` in strict mode.
    #[must_use]
    pub fn read_only() -> Self {
        Self { kind: Kind::ReadOnly, body: Vec::new() }
    }

    /// What the participant had decided alone before the coordinator told it to do `op`. 200 where both are the same, else 409.
    #[must_use]
    pub fn heuristic(op: crate::Op, outcome: Outcome) -> Self {
        use crate::Op::{Cancel, Commit, Confirm, Rollback};
        let agrees = matches!(
            (op, outcome),
            (Commit | Confirm, Outcome::Committed) | (Rollback | Cancel, Outcome::Aborted)
        );
        Self { kind: Kind::Heuristic { outcome, agrees }, body: Vec::new() }
    }

    /// It is unknown whether it is done: the coordinator calls again, and shows the reason. 500.
    #[must_use]
    pub fn failed(reason: impl Into<String>) -> Self {
        Self { kind: Kind::Failed, body: reason.into().into_bytes() }
    }

    /// The status line's number.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.kind {
            Kind::Done | Kind::ReadOnly | Kind::Heuristic { agrees: true, .. } => StatusCode::OK,
            Kind::Refused | Kind::Heuristic { agrees: false, .. } => StatusCode::CONFLICT,
            // Also DTM understands this one; 202 it takes for a failure.
            Kind::Working => StatusCode::TOO_EARLY,
            Kind::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The header fields that have to go with it.
    #[must_use]
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut set = |name: &'static str, value: &'static str| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        };
        match self.kind {
            Kind::ReadOnly => set("flotilla-vote", "read_only"),
            Kind::Heuristic { outcome, .. } => set("flotilla-outcome", outcome.as_str()),
            Kind::Done | Kind::Refused | Kind::Working | Kind::Failed => {}
        }
        if !self.body.is_empty() {
            let is_json = self.kind == Kind::Done;
            let kind = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
            set("content-type", kind);
        }
        headers
    }

    /// The JSON of a done branch, or the reason of a refused or failed one.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The whole as a response. `B` is the framework's body: `Vec<u8>`, `axum::body::Body`, `Full<Bytes>`…
    #[must_use]
    pub fn into_response<B: From<Vec<u8>>>(self) -> Response<B> {
        let (status, headers) = (self.status(), self.headers());
        let mut response = Response::new(B::from(self.body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    /// Whether what was written for it is to be kept.
    pub(crate) fn keeps(&self) -> bool {
        match self.kind {
            Kind::Done | Kind::ReadOnly | Kind::Heuristic { .. } => true,
            Kind::Refused | Kind::Working | Kind::Failed => false,
        }
    }

    /// What a repeated call has to be told, too.
    pub(crate) fn kept_body(&self) -> Option<&[u8]> {
        (self.kind == Kind::Done && !self.body.is_empty()).then_some(self.body.as_slice())
    }

    /// The answer of a call that was done before.
    pub(crate) fn again(body: Option<Vec<u8>>) -> Self {
        Self { kind: Kind::Done, body: body.unwrap_or_default() }
    }
}
