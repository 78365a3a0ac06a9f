//! Heads in the shape of the `http` crate, for those who answer here, and back.

use crate::{
    h1::{Fields, Known, RequestHead, ResponseHead},
    onward::{is_named, names_fields},
    refusal::Refusal,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header, response,
};

/// The head of a request.
pub(super) fn request<B>(head: &RequestHead, body: B) -> Result<Request<B>, Refusal> {
    let unfit =
        |what| Refusal::bad_request(what, "the request has no form that can be answered here");
    let mut request = Request::new(body);
    *request.method_mut() =
        Method::from_bytes(head.method().as_bytes()).map_err(|_unfit| unfit("method"))?;
    *request.uri_mut() = Uri::try_from(head.path_and_query()).map_err(|_unfit| unfit("path"))?;
    *request.version_mut() = if head.version == 2 { Version::HTTP_2 } else { Version::HTTP_11 };
    let fields = request.headers_mut();
    *fields = kept(&head.fields);
    if !head.host().is_empty()
        && let Ok(host) = HeaderValue::from_str(head.host())
    {
        fields.insert(header::HOST, host);
    }
    if head.fields.has(Known::Te) && head.fields.has_token(Known::Te, "trailers") {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    Ok(request)
}

/// The fields that do not end with the connection.
fn kept(all: &Fields) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(all.len());
    let names_fields = all.has(Known::Connection) && names_fields(all);
    for (known, name, value) in all.iter() {
        let ends_here = matches!(
            known,
            Known::Connection
                | Known::Expect
                | Known::Http2Settings
                | Known::KeepAlive
                | Known::ProxyAuthorization
                | Known::ProxyConnection
                | Known::Te
                | Known::TransferEncoding
                | Known::Upgrade
        );
        if ends_here || names_fields && is_named(all, known, name) {
            continue;
        }
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            kept.append(name, value);
        }
    }
    kept
}

/// Makes `head` that of a response. A status that is none of a final response becomes 500.
pub(super) fn respond(parts: &response::Parts, head: &mut ResponseHead) {
    let is_final = !parts.status.is_informational();
    let status = if is_final { parts.status } else { StatusCode::INTERNAL_SERVER_ERROR };
    head.begin(status.as_u16(), 1);
    for (name, value) in &parts.headers {
        head.fields.add(name.as_str().as_bytes(), value.as_bytes());
    }
}

/// Makes `head` that of a response that is all here, and returns its body.
pub(super) fn answer(response: Response<Bytes>, head: &mut ResponseHead) -> Bytes {
    let (parts, body) = response.into_parts();
    respond(&parts, head);
    if has_body(head.status) { body } else { Bytes::new() }
}

/// Whether a response with this status may have a body (RFC 9110 §15).
pub(super) fn has_body(status: u16) -> bool {
    !matches!(status, 204 | 205 | 304)
}
