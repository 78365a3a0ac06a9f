//! What a client gets when no instance answers in the end.
//!
//! JSON with a code that programs can branch on, the service and words for people. gRPC clients get the
//! matching gRPC status instead, because they read nothing else.

use crate::h1::{Bad, ResponseHead};
use base::ServiceName;

/// The field that tells answers of the data plane from those of instances; its value is the code, also for gRPC, whose
/// statuses do not tell one refusal from another.
pub const REFUSAL_FIELD: &str = "flotilla-refused";

/// Why the data plane answers in an instance's place.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) service: Option<ServiceName>,
    /// What `Retry-After` says; `None`: a second with 503, otherwise nothing.
    pub(crate) retry_after_s: Option<u32>,
}

impl Refusal {
    pub(crate) fn bad_request(code: &'static str, message: &str) -> Self {
        Self { status: 400, code, message: message.to_owned(), service: None, retry_after_s: None }
    }

    pub(crate) fn no_route(method: &str, host: &str, path: &str) -> Self {
        let message = format!("no route matches {method} {path} for host `{host}`");
        Self { status: 404, code: "no_route", message, service: None, retry_after_s: None }
    }

    pub(crate) fn no_instance(service: &ServiceName, detail: &str) -> Self {
        let message = format!("no instance of {service} takes requests{detail}");
        Self::of(service, 503, "no_instance", message)
    }

    pub(crate) fn upstream(service: &ServiceName, detail: &str) -> Self {
        let message = format!("{service} did not answer: {detail}");
        Self::of(service, 502, "upstream_failed", message)
    }

    pub(crate) fn timed_out(service: &ServiceName, seconds: f64) -> Self {
        let message = format!("{service} did not answer within {seconds} s");
        Self::of(service, 504, "timeout", message)
    }

    pub(crate) fn breaker_open(service: &ServiceName, retry_after_s: u32) -> Self {
        let message = format!("{service} did not answer of late and gets no requests for a while");
        let refusal = Self::of(service, 503, "breaker_open", message);
        Self { retry_after_s: Some(retry_after_s), ..refusal }
    }

    pub(crate) fn overloaded(service: &ServiceName, retry_after_s: u32) -> Self {
        let message = format!("{service} has as many requests as it can take");
        let refusal = Self::of(service, 503, "overloaded", message);
        Self { retry_after_s: Some(retry_after_s), ..refusal }
    }

    fn of(service: &ServiceName, status: u16, code: &'static str, message: String) -> Self {
        Self { status, code, message, service: Some(service.clone()), retry_after_s: None }
    }

    pub(crate) fn client_gone() -> Self {
        Self::bad_request("body_aborted", "the request's body was broken off")
    }

    /// What a policy says, for a gRPC client.
    pub(crate) fn policy(status: u16, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), service: None, retry_after_s: None }
    }

    /// An app listener came before what answers on it.
    pub(crate) fn not_ready() -> Self {
        let message = "the app API is not ready yet".to_owned();
        Self { status: 503, code: "not_ready", message, service: None, retry_after_s: None }
    }

    pub(crate) fn too_long() -> Self {
        Self::bad(Bad { status: 413, why: "the request's body is larger than this route takes" })
    }

    pub(crate) fn too_large_here() -> Self {
        Self::bad(Bad { status: 413, why: "the request's body is larger than is taken here" })
    }

    pub(crate) fn failed_here() -> Self {
        let message = "the answer could not be made".to_owned();
        Self { status: 500, code: "internal", message, service: None, retry_after_s: None }
    }

    pub(crate) fn slow_client() -> Self {
        let message = "the request's body did not come in time".to_owned();
        Self { status: 408, code: "slow_body", message, service: None, retry_after_s: None }
    }

    /// A message that breaks the rules.
    pub(crate) fn bad(bad: Bad) -> Self {
        let code = match bad.status {
            405 => "method",
            413 => "body_too_large",
            414 => "target_too_long",
            417 => "expectation",
            421 => "misdirected",
            431 => "head_too_large",
            501 => "not_implemented",
            505 => "version",
            _ => "bad_request",
        };
        Self {
            status: bad.status,
            code,
            message: bad.why.to_owned(),
            service: None,
            retry_after_s: None,
        }
    }

    /// Makes `head` the response that says it, and returns its body.
    pub(crate) fn response(&self, head: &mut ResponseHead, is_grpc: bool) -> Vec<u8> {
        if is_grpc {
            self.grpc(head);
            return Vec::new();
        }
        head.begin(self.status, 1);
        head.fields.add(REFUSAL_FIELD.as_bytes(), self.code.as_bytes());
        head.fields.add(b"content-type", b"application/json");
        if let Some(seconds) = self.retry_after_s.or_else(|| (self.status == 503).then_some(1)) {
            head.fields.add(b"retry-after", seconds.to_string().as_bytes());
        }
        json(self.code, &self.message, self.service.as_ref()).into_bytes()
    }

    /// A response of trailers only (gRPC over HTTP/2, "Trailers-Only").
    fn grpc(&self, head: &mut ResponseHead) {
        let status = match self.status {
            401 => "16",
            403 => "7",
            404 | 405 => "12",
            413 | 429 | 431 => "8",
            502 | 503 => "14",
            504 => "4",
            _ => "13",
        };
        let mut message = String::new();
        for byte in self.message.bytes() {
            match byte {
                b'%' | 0..=0x1f | 0x7f.. => message.push_str(&format!("%{byte:02X}")),
                plain => message.push(char::from(plain)),
            }
        }
        head.begin(200, 2);
        head.fields.add(REFUSAL_FIELD.as_bytes(), self.code.as_bytes());
        head.fields.add(b"content-type", b"application/grpc");
        head.fields.add(b"grpc-status", status.as_bytes());
        head.fields.add(b"grpc-message", message.as_bytes());
    }
}

/// The body of an error.
pub(crate) fn json(code: &str, message: &str, service: Option<&ServiceName>) -> String {
    let mut body = String::from("{\"error\":{\"code\":\"");
    body.push_str(code);
    body.push_str("\",\"message\":\"");
    escape(message, &mut body);
    if let Some(service) = service {
        body.push_str("\",\"service\":\"");
        body.push_str(service.as_str());
    }
    body.push_str("\"}}\n");
    body
}

/// Writes `text` as the inside of a JSON string (RFC 8259 §7).
fn escape(text: &str, into: &mut String) {
    for character in text.chars() {
        match character {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            control if control < ' ' => into.push_str(&format!("\\u{:04x}", u32::from(control))),
            plain => into.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(refusal: &Refusal) -> String {
        String::from_utf8(refusal.response(&mut ResponseHead::default(), false)).unwrap()
    }

    #[test]
    fn an_error_is_json_that_names_code_and_service_and_escapes_what_the_client_sent() {
        let users = ServiceName::new("users").unwrap();
        assert_eq!(
            body(&Refusal::no_instance(&users, "")),
            "{\"error\":{\"code\":\"no_instance\",\"message\":\"no instance of users takes requests\",\
             \"service\":\"users\"}}\n"
        );
        let odd = Refusal::no_route("GET", "h\"\\\u{1}", "/");
        assert!(body(&odd).contains("h\\\"\\\\\\u0001"), "{}", body(&odd));
    }

    #[test]
    fn a_grpc_client_gets_a_grpc_status() {
        let users = ServiceName::new("users").unwrap();
        let mut head = ResponseHead::default();
        assert!(Refusal::no_instance(&users, " ü%").response(&mut head, true).is_empty());
        let field = |name| head.fields.named(name).next().unwrap().to_vec();
        assert_eq!((head.status, field("grpc-status")), (200, b"14".to_vec()));
        assert!(field("grpc-message").ends_with(b"requests %C3%BC%25"));
    }
}
