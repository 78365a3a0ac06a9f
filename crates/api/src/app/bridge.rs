//! Calls over HTTP of an app that speaks gRPC: it gets the message that stands for the request.

use super::{Caller, Shared, body, direct::Invocation, grpc};
use crate::answer::JSON;
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use proto::{
    dapr::common::{HttpExtension, InvokeRequest, http_extension::Verb},
    prost_types::Any,
};
use proxy::local::{BoxBody, LocalBody};
use serde_json::json;

pub(super) async fn answer(
    shared: &Shared,
    caller: &Caller,
    invocation: &Invocation<'_>,
    parts: Parts,
    sent: LocalBody,
) -> Response<BoxBody> {
    let data = match body::read(sent, shared.body_len_max(caller)).await {
        Ok(data) => data,
        Err(fault) => return body::whole(fault.answer()),
    };
    let message = message(invocation, &parts, data);
    let mut headers = parts.headers;
    if invocation.is_authorization {
        headers.remove(header::AUTHORIZATION);
    }
    let outcome = grpc::invoke::on_invoke(shared, caller, &invocation.app, message, headers).await;
    body::whole(match outcome {
        Ok(done) => {
            let data = done.message.data.unwrap_or_default();
            let mut answer = Response::new(data.value.into());
            *answer.headers_mut() = done.headers;
            let kind = HeaderValue::from_str(&done.message.content_type);
            if let Some(kind) = kind.ok().filter(|kind| !kind.is_empty()) {
                answer.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            answer
        }
        Err(status) => {
            let code = i32::from(status.code());
            let text = json!({ "code": code, "message": status.message(), "details": [] });
            failed(grpc::invoke::http_status(status.code()), &text)
        }
    })
}

fn failed(status: StatusCode, text: &serde_json::Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(text.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    answer
}

fn message(invocation: &Invocation<'_>, parts: &Parts, data: Bytes) -> InvokeRequest {
    let (path, query) = invocation.path.split_once('?').unwrap_or((&invocation.path, ""));
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    InvokeRequest {
        method: path.trim_start_matches('/').to_owned(),
        data: Some(Any { type_url: String::new(), value: data.into() }),
        content_type: kind.unwrap_or(JSON).to_owned(),
        http_extension: Some(HttpExtension {
            verb: verb(&parts.method).into(),
            querystring: query.to_owned(),
        }),
    }
}

fn verb(method: &Method) -> Verb {
    match *method {
        Method::GET => Verb::Get,
        Method::HEAD => Verb::Head,
        Method::POST => Verb::Post,
        Method::PUT => Verb::Put,
        Method::DELETE => Verb::Delete,
        Method::CONNECT => Verb::Connect,
        Method::OPTIONS => Verb::Options,
        Method::TRACE => Verb::Trace,
        Method::PATCH => Verb::Patch,
        _ => Verb::None,
    }
}
