//! Calls of participants that are real servers, and transactions as JSON says them.

mod grpc;
mod http;
mod parsing;

use super::Caller;
use crate::app::{
    Protocol,
    deliver::tests::{App, answer, field, node},
    testing::Node,
};
use bytes::Bytes;
use logic::tx::{Answer, Heuristic, Mode, Op};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use transactions::{CallRequest, Called, Dialect, Gid, Participants as _, Target};

/// Far longer than a call takes, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Short enough that a test may wait for it.
const SHORT: Duration = Duration::from_millis(50);

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn caller(node: &Arc<Node>) -> Caller {
    Caller::new(node.clone(), node.clone())
}

/// An action of a saga at `shop`.
fn call() -> CallRequest {
    CallRequest {
        gid: Gid::new("tx-1").unwrap(),
        mode: Mode::Saga,
        dialect: Dialect::Native,
        branch: "reserve".to_owned(),
        op: Op::Action,
        attempt: 3,
        until_ms: None,
        target: Target::Service { service: "shop".to_owned(), path: "/reserve?x=1".to_owned() },
        method: "POST".to_owned(),
        headers: BTreeMap::new(),
        body: Bytes::from_static(b"{\"sku\":7}"),
        traceparent: Some(TRACE.to_owned()),
        timeout: PATIENCE,
    }
}

fn url(address: SocketAddr, path: &str) -> Target {
    Target::Url(format!("http://{address}{path}"))
}

/// The answer in one word, and its reason.
fn told(answer: &Answer) -> (&'static str, &str) {
    match answer {
        Answer::Done => ("done", ""),
        Answer::ReadOnly => ("read only", ""),
        Answer::Refused(reason) => ("refused", reason),
        Answer::Working => ("working", ""),
        Answer::Failed(reason) => ("failed", reason),
        Answer::Away(reason) => ("away", reason),
        Answer::Heuristic(Heuristic::Committed) => ("heuristic", "committed"),
        Answer::Heuristic(Heuristic::Aborted) => ("heuristic", "aborted"),
        Answer::Heuristic(Heuristic::Mixed) => ("heuristic", "mixed"),
    }
}

#[track_caller]
fn check(called: &Called, word: &str, words: &str) {
    let (found, reason) = told(&called.answer);
    assert_eq!(found, word, "{called:?}");
    assert!(reason.contains(words), "{called:?}");
}

/// An address that nobody listens on.
async fn nowhere() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    free.local_addr().unwrap()
}
