//! Why a Dapr request has no good answer: one constructor for each error, so that HTTP and gRPC say the same.
//!
//! Names, numbers and the wording that clients compare are the wire of the Dapr runtime API; words after a colon
//! are ours.

mod messages;
mod words;

use crate::answer::JSON;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What stands in the `domain` of every detail.
pub(crate) const DOMAIN: &str = "dapr.io";

/// A status of gRPC (google.rpc.Code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl Code {
    pub(crate) const fn number(self) -> i32 {
        self as i32
    }
}

/// What goes wrong, for both protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) grpc: Code,
    /// `ERR_STATE_GET`.
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) details: Option<Box<Details>>,
    /// Methods that would do, for 405.
    pub(crate) allow: Option<String>,
}

/// What programs may read of an error (google/rpc/error_details.proto).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Details {
    /// `DAPR_STATE_NOT_FOUND`.
    pub(crate) reason: String,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Type and name.
    pub(crate) resource: Option<(&'static str, String)>,
    /// The field, and what is wrong with it.
    pub(crate) violation: Option<(String, String)>,
    /// An address, and what is to be found there.
    pub(crate) help: Option<(&'static str, &'static str)>,
}

impl Fault {
    pub(crate) fn new(
        status: StatusCode,
        grpc: Code,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self { status, grpc, code, message: message.into(), details: None, allow: None }
    }

    fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, code, message)
    }

    fn internal(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, code, message)
    }

    fn missing(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::FailedPrecondition, code, message)
    }

    fn detailed(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// What a store says about itself, for the status and the words around it.
    pub(crate) fn with(mut self, status: StatusCode, grpc: Code) -> Self {
        self.status = status;
        self.grpc = grpc;
        self
    }

    /// As the body of an HTTP answer.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({ "errorCode": self.code, "message": self.message });
        if let Some(details) = &self.details {
            body["details"] = details.json();
        }
        body
    }

    pub(crate) fn answer(&self) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::from(self.body().to_string()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        if let Some(allow) = self.allow.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        answer
    }
}

impl Details {
    fn json(&self) -> Value {
        let mut all = Vec::new();
        if !self.reason.is_empty() {
            let mut info = json!({
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": self.reason,
                "domain": DOMAIN,
            });
            // The key is always there in the answers of the runtime, with `null` for nothing.
            info["metadata"] =
                if self.metadata.is_empty() { Value::Null } else { json!(self.metadata) };
            all.push(info);
        }
        if let Some((kind, name)) = &self.resource {
            all.push(json!({
                "@type": "type.googleapis.com/google.rpc.ResourceInfo",
                "resource_type": kind,
                "resource_name": name,
                "owner": "",
                "description": "",
            }));
        }
        if let Some((field, description)) = &self.violation {
            all.push(json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "field_violations": [{ "field": field, "description": description }],
            }));
        }
        if let Some((url, description)) = self.help {
            all.push(json!({
                "@type": "type.googleapis.com/google.rpc.Help",
                "links": [{ "url": url, "description": description }],
            }));
        }
        Value::Array(all)
    }
}

/// What belongs to no building block.
impl Fault {
    pub(crate) fn malformed(why: impl std::fmt::Display) -> Self {
        Self::invalid("ERR_MALFORMED_REQUEST", format!("failed deserializing HTTP body: {why}"))
    }

    pub(crate) fn bad_request(why: impl Into<String>) -> Self {
        Self::invalid("ERR_MALFORMED_REQUEST", why)
    }

    pub(crate) fn unreadable_body(why: impl std::fmt::Display) -> Self {
        Self::invalid("ERR_BODY_READ", format!("failed to read request body: {why}"))
    }

    pub(crate) fn too_long(limit: usize) -> Self {
        let message = format!("failed to read request body: it is longer than {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted, "ERR_BODY_READ", message)
    }

    pub(crate) fn slow() -> Self {
        let message = "failed to read request body: it did not come in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded, "ERR_BODY_READ", message)
    }

    pub(crate) fn method(path: &str, method: &http::Method, allow: String) -> Self {
        let message = format!("{path} does not take {method}: use {allow}");
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let fault = Self::new(status, Code::Unimplemented, "ERR_METHOD_NOT_ALLOWED", message);
        Self { allow: Some(allow), ..fault }
    }

    pub(crate) fn gone() -> Self {
        let message = "the instance this port belonged to has ended";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "ERR_INTERNAL", message)
    }

    /// Neither this node nor the one that takes over from it can answer.
    pub(crate) fn away(why: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, "ERR_INTERNAL", why)
    }

    /// A page in a browser asks, or a name that is not this machine's.
    pub(crate) fn foreign() -> Self {
        let message = "the app API is for services on this machine, not for pages in a browser: \
            the request has an `Origin`, or names another host";
        Self::new(StatusCode::FORBIDDEN, Code::PermissionDenied, "ERR_FORBIDDEN", message)
    }

    pub(crate) fn token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            Code::Unauthenticated,
            "ERR_UNAUTHENTICATED",
            "invalid api token",
        )
    }

    pub(crate) fn busy(limit: usize) -> Self {
        let message = format!("{limit} subscriptions and streams are open already");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::ResourceExhausted, "ERR_INTERNAL", message)
    }
}
