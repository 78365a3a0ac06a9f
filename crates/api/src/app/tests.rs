//! Requests and what is answered, as tables of text.

mod blocks;
mod hostile;
mod jobs;
mod native;
mod outage;
mod outside;
mod pubsub;
mod push;
mod state;
mod streams;
mod topics;
pub(crate) mod transactions;
mod watch;

use super::{
    native::{document, table},
    testing::Rig,
};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::{future::Future, time::Duration};

/// Who asks.
const CALLER: &str = "web/1";

/// What was answered.
#[derive(Debug)]
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Status and body in one line.
    fn line(&self) -> String {
        format!("{} {}", self.status, self.text()).trim_end().to_owned()
    }

    /// Status and code of an error of the native API.
    fn code(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("in time")
}

/// Asks as the instance `caller`.
async fn ask_as(
    rig: &Rig,
    caller: &str,
    line: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Reply {
    let (method, uri) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body.into()).unwrap();
    let answer = within(rig.ask(caller, request)).await.expect("it leads to the node");
    let (parts, body) = answer.into_parts();
    let body = within(body.collect()).await.unwrap().to_bytes();
    Reply { status: parts.status.as_u16(), headers: parts.headers, body }
}

async fn ask(rig: &Rig, line: &str, body: impl Into<Bytes>) -> Reply {
    ask_as(rig, CALLER, line, &[], body).await
}

/// Asks, and gives back status and body in one line.
async fn says(rig: &Rig, line: &str, body: &str) -> String {
    ask(rig, line, body.to_owned()).await.line()
}

/// What the runtime API says without details.
fn fault(status: u16, code: &str, message: &str) -> String {
    let body = serde_json::json!({ "errorCode": code, "message": message });
    format!("{status} {body}")
}
