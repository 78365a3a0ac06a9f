//! What a client gets when no instance answers in the end.
//!
//! JSON with a code that programs can branch on, the service and words for people. gRPC clients get the
//! matching gRPC status instead, because they read nothing else.

use crate::body::Download;
use base::ServiceName;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

/// Why the data plane answers in an instance's place.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) service: Option<ServiceName>,
}

impl Refusal {
    pub(crate) fn bad_request(code: &'static str, message: &str) -> Self {
        let status = StatusCode::BAD_REQUEST;
        Self { status, code, message: message.to_owned(), service: None }
    }

    pub(crate) fn no_route(method: &str, host: &str, path: &str) -> Self {
        let message = format!("no route matches {method} {path} for host `{host}`");
        Self { status: StatusCode::NOT_FOUND, code: "no_route", message, service: None }
    }

    pub(crate) fn no_instance(service: &ServiceName, detail: &str) -> Self {
        let message = format!("no instance of {service} takes requests{detail}");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { status, code: "no_instance", message, service: Some(service.clone()) }
    }

    pub(crate) fn upstream(service: &ServiceName, detail: &str) -> Self {
        let message = format!("{service} did not answer: {detail}");
        let status = StatusCode::BAD_GATEWAY;
        Self { status, code: "upstream_failed", message, service: Some(service.clone()) }
    }

    pub(crate) fn timed_out(service: &ServiceName, seconds: f64) -> Self {
        let message = format!("{service} did not answer within {seconds} s");
        let status = StatusCode::GATEWAY_TIMEOUT;
        Self { status, code: "timeout", message, service: Some(service.clone()) }
    }

    pub(crate) fn client_gone() -> Self {
        Self::bad_request("body_aborted", "the request's body was broken off")
    }

    /// The response that says it.
    pub(crate) fn response(&self, is_grpc: bool) -> Response<Download> {
        if is_grpc { self.grpc() } else { self.json() }
    }

    fn json(&self) -> Response<Download> {
        let mut body = String::from("{\"error\":{\"code\":\"");
        body.push_str(self.code);
        body.push_str("\",\"message\":\"");
        escape(&self.message, &mut body);
        if let Some(service) = &self.service {
            body.push_str("\",\"service\":\"");
            body.push_str(service.as_str());
        }
        body.push_str("\"}}\n");
        let mut response = Response::new(Download::Whole(Bytes::from(body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    /// A response of trailers only (gRPC over HTTP/2, "Trailers-Only").
    fn grpc(&self) -> Response<Download> {
        let status = match self.status {
            StatusCode::NOT_FOUND => "12",
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE => "14",
            StatusCode::GATEWAY_TIMEOUT => "4",
            _ => "13",
        };
        let mut message = String::new();
        for byte in self.message.bytes() {
            match byte {
                b'%' | 0..=0x1f | 0x7f.. => message.push_str(&format!("%{byte:02X}")),
                plain => message.push(char::from(plain)),
            }
        }
        let mut response = Response::new(Download::Empty);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(status));
        if let Ok(message) = HeaderValue::from_str(&message) {
            headers.insert("grpc-message", message);
        }
        response
    }
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
        match refusal.response(false).into_body() {
            Download::Whole(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
            Download::Empty | Download::Stream(_) => panic!("an error has a body"),
        }
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
        let response = Refusal::no_instance(&users, " ü%").response(true);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["grpc-status"], "14");
        let message = response.headers()["grpc-message"].to_str().unwrap();
        assert!(message.ends_with("requests %C3%BC%25"), "{message}");
    }
}
