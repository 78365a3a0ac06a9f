//! Calling the other services.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header::CONTENT_TYPE},
};
use http_body_util::{BodyExt, Limited};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::de::DeserializeOwned;
use shop_kit::{Error, Result};

/// Longer than any of our calls takes, shorter than a user waits.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Our services answer with a few hundred bytes.
const ANSWER_MAX: usize = 1 << 20;

/// Shorter than servers usually keep a connection, so that we do not write to a closing one.
const IDLE_MAX: Duration = Duration::from_secs(10);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The connections to all upstreams.
#[derive(Clone, Debug)]
pub(crate) struct Client(legacy::Client<HttpConnector, Body>);

impl Client {
    pub(crate) fn new() -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build_http();
        Self(client)
    }
}

/// The trace that the request belongs to, passed on so that one trace shows the whole order.
#[derive(Clone, Debug)]
pub(crate) struct Trace(Option<HeaderValue>);

impl Trace {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self(headers.get(TRACEPARENT).cloned())
    }
}

/// A service that answered, with what it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|cause| failed(format!("answered something unexpected: {cause}")))
    }

    /// The refusal's own words, if it is in our error form.
    pub(crate) fn message(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.pointer("/error/message")?.as_str()?.to_owned())
    }
}

/// A service that we need.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    client: Client,
    url: String,
}

impl Upstream {
    pub(crate) fn new(client: &Client, url: impl Into<String>) -> Self {
        let url = url.into().trim_end_matches('/').to_owned();
        Self { client: client.clone(), url }
    }

    /// # Errors
    /// 502 when there is no answer in time, or the answer is a server error. Whether the call
    /// took effect is then unknown.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        trace: &Trace,
    ) -> Result<Answer> {
        let url = format!("{}{path}", self.url);
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(trace) = &trace.0 {
            request = request.header(TRACEPARENT, trace);
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
            None => Body::empty(),
        };
        let request = request.body(body).map_err(|cause| failed(format!("{url}: {cause}")))?;
        let answer = async {
            let response =
                self.client.0.request(request).await.map_err(|cause| cause.to_string())?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX)
                .collect()
                .await
                .map_err(|cause| cause.to_string())?
                .to_bytes();
            Ok::<_, String>(Answer { status, body })
        };
        let answer = tokio::time::timeout(TIMEOUT, answer)
            .await
            .map_err(|_elapsed| failed(format!("{url}: no answer within {TIMEOUT:?}")))?
            .map_err(|cause| failed(format!("{url}: {cause}")))?;
        if answer.status.is_server_error() {
            return Err(failed(format!("{url}: answered {}", answer.status)));
        }
        Ok(answer)
    }
}

pub(crate) fn failed(message: String) -> Error {
    shop_kit::log(format_args!("error: {message}"));
    Error::new(StatusCode::BAD_GATEWAY, "upstream_failed", message)
}
