//! Calling the other services, and the API that Flotilla gives to each instance.

use std::{env, time::Duration};

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

use crate::{
    error::{Error, Result},
    serve::log,
};

/// Longer than any of our calls takes, shorter than a user waits.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Our services answer with a few hundred bytes.
const ANSWER_MAX: usize = 1 << 20;

/// Shorter than servers usually keep a connection, so that we do not write to a closing one.
const IDLE_MAX: Duration = Duration::from_secs(10);

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The connections to all upstreams.
#[derive(Clone, Debug)]
pub struct Client(legacy::Client<HttpConnector, Body>);

impl Default for Client {
    fn default() -> Self {
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build_http();
        Self(client)
    }
}

/// The trace that the request belongs to, passed on so that one trace shows the whole order.
#[derive(Clone, Debug)]
pub struct Trace(Option<HeaderValue>);

impl Trace {
    pub fn of(headers: &HeaderMap) -> Self {
        Self(headers.get(TRACEPARENT).cloned())
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        self.0.iter().map(|trace| (TRACEPARENT, trace.clone())).collect()
    }
}

/// A service that answered, with what it said.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    body: Bytes,
}

impl Answer {
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_slice(&self.body)
            .map_err(|cause| failed(format!("answered something unexpected: {cause}")))
    }

    /// The refusal's own words, if it is in our error form.
    pub fn message(&self) -> Option<String> {
        let body: serde_json::Value = serde_json::from_slice(&self.body).ok()?;
        Some(body.pointer("/error/message")?.as_str()?.to_owned())
    }
}

/// A service that we need.
#[derive(Clone, Debug)]
pub struct Upstream {
    client: Client,
    url: String,
}

impl Upstream {
    pub fn new(client: &Client, url: impl Into<String>) -> Self {
        let url = url.into().trim_end_matches('/').to_owned();
        Self { client: client.clone(), url }
    }

    /// The upstream whose URL is in the environment under `name`: `USERS_URL`.
    ///
    /// # Errors
    /// Names the variable that is missing.
    pub fn from_env(client: &Client, name: &str) -> std::result::Result<Self, String> {
        let url = env::var(name).map_err(|cause| format!("{name}: {cause}"))?;
        Ok(Self::new(client, url))
    }

    /// # Errors
    /// 502 when there is no answer in time, or the answer is a server error. Whether the call
    /// took effect is then unknown.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        trace: &Trace,
    ) -> Result<Answer> {
        self.send(method, path, trace.headers(), body).await
    }

    /// As [`Self::call`], with these headers.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<&serde_json::Value>,
    ) -> Result<Answer> {
        let url = format!("{}{path}", self.url);
        let mut request = Request::builder().method(method).uri(&url);
        if let Some(all) = request.headers_mut() {
            *all = headers;
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

pub fn failed(message: String) -> Error {
    log(format_args!("error: {message}"));
    Error::new(StatusCode::BAD_GATEWAY, "upstream_failed", message)
}
