//! DTM's requests over HTTP: paths, JSON, statuses.

use super::{
    asked::{self, Asked},
    desk::{Desk, Registered},
    fault::Fault,
    list, metrics, rows, rpc, topics,
};
use crate::{
    answer::{Answer, JSON, bytes_of},
    query,
};
use http::{Method, StatusCode, request::Parts};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, time::Duration};
use transactions::{Gid, View};

/// Where nearly all of it is.
const PREFIX: &str = "/api/dtmsvr/";
/// Where JSON-RPC is.
const RPC: &str = "/api/json-rpc";
/// What a client says of itself in a success.
const SUCCESS: &str = "SUCCESS";
/// Words that clients look for anywhere in an answer, so that nothing a user has written may hold them: with their first letter
/// escaped they read the same.
const WORDS: [(&str, &str); 2] = [("FAILURE", "\\u0046AILURE"), ("ONGOING", "\\u004fNGOING")];

/// How long a transaction may wait at most for `resetCronTime` to leave it alone, in seconds, unless the client says otherwise.
const LATER_S: u64 = 105;
/// How many `resetCronTime` takes at once, and lists give, unless the client says otherwise.
pub(super) const LIMIT: usize = 100;

/// What a request gives.
enum Given {
    /// Nothing but that it is done.
    Done,
    Json(Value),
}

/// What stands in a query string.
#[derive(Debug, Default)]
pub(super) struct Said(Vec<(String, String)>);

impl Said {
    fn read(text: &str) -> Result<Self, Fault> {
        let broken = || Fault::other("the query string has a broken % escape");
        query::pairs(text).map(Self).ok_or_else(broken)
    }

    /// The first of that name, or an empty text.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(said, _)| said == name).map_or("", |(_, text)| text)
    }

    /// A number from 0, if one is given.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Fault> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_not_a_number| {
                Fault::other(format!("`{name}` is a number from 0, not `{text}`"))
            }),
        }
    }

    pub(super) fn limit(&self) -> Result<usize, Fault> {
        let limit = self.number("limit")?.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(limit.unwrap_or(LIMIT))
    }
}

/// Answers a request whose body has been read.
pub(super) async fn answer(desk: &Desk, parts: &Parts, body: &[u8]) -> Answer {
    let path = parts.uri.path();
    match path {
        "/api/ping" => return whole(StatusCode::OK, &json!({ "msg": "pong" })),
        "/api/metrics" if parts.method == Method::GET => return metrics::answer(desk),
        RPC if parts.method == Method::POST => {
            return whole(StatusCode::OK, &rpc::answer(desk, parts, body).await);
        }
        _ => {}
    }
    let Some(name) = path.strip_prefix(PREFIX) else {
        return refused(StatusCode::NOT_FOUND, &format!("there is nothing at {path}"));
    };
    let outcome = match Said::read(parts.uri.query().unwrap_or_default()) {
        Ok(said) => asked_for(desk, parts, name, &said, body).await,
        Err(fault) => Some(Err(fault)),
    };
    match outcome {
        Some(outcome) => outcome_of(outcome),
        None => refused(
            StatusCode::NOT_FOUND,
            &format!("there is no {} {path} in DTM's protocol", parts.method),
        ),
    }
}

/// `None`: there is no such request.
async fn asked_for(
    desk: &Desk,
    parts: &Parts,
    name: &str,
    said: &Said,
    body: &[u8],
) -> Option<Result<Given, Fault>> {
    if parts.method == Method::POST {
        return changed(desk, parts, name, body).await;
    }
    if parts.method == Method::DELETE {
        let topic = query::unescape(name.strip_prefix("topic/")?, false)?;
        return Some(desk.topics.delete(&topic).await.map(|()| Given::Done));
    }
    if parts.method != Method::GET {
        return None;
    }
    Some(match name {
        "version" => Ok(Given::Json(json!({ "version": env!("CARGO_PKG_VERSION") }))),
        "newGid" => Ok(Given::Json(json!({ "gid": Gid::generate(), "dtm_result": SUCCESS }))),
        "query" => query_one(desk, said).await,
        "all" => list::all(desk, said).await.map(Given::Json),
        "resetCronTime" => retry_all(desk, said).await,
        "subscribe" => {
            let (topic, url, remark) = (said.text("topic"), said.text("url"), said.text("remark"));
            desk.topics.subscribe(topic, url, remark).await.map(|()| Given::Done)
        }
        "unsubscribe" => {
            let (topic, url) = (said.text("topic"), said.text("url"));
            desk.topics.unsubscribe(topic, url).await.map(|()| Given::Done)
        }
        "scanKV" => scan(desk, said).await,
        "queryKV" => find(desk, said).await,
        _ => return None,
    })
}

async fn changed(
    desk: &Desk,
    parts: &Parts,
    name: &str,
    body: &[u8],
) -> Option<Result<Given, Fault>> {
    let asked = || Asked::read(body).map(|asked| asked.traced(&parts.headers));
    let done = match name {
        "prepare" => match asked() {
            Ok(asked) => desk.prepare(asked).await,
            Err(fault) => Err(fault),
        },
        "submit" => match asked() {
            Ok(asked) => desk.submit(asked).await,
            Err(fault) => Err(fault),
        },
        "abort" => match asked() {
            Ok(asked) => desk.abort(asked).await,
            Err(fault) => Err(fault),
        },
        "prepareWorkflow" => {
            return Some(match asked() {
                Ok(asked) => desk.prepare_workflow(asked).await.map(|view| progresses(&view)),
                Err(fault) => Err(fault),
            });
        }
        "registerBranch" | "registerTccBranch" | "registerXaBranch" => {
            match serde_json::from_slice(body) {
                Ok(said) => desk.register(registered(said)).await,
                Err(e) => Err(Fault::other(format!("the body is no map of texts: {e}"))),
            }
        }
        "forceStop" => match named(body) {
            Ok(gid) => desk.force_stop(&gid).await,
            Err(fault) => Err(fault),
        },
        "resetNextCronTime" => match named(body) {
            Ok(gid) => desk.retry(&gid).await,
            Err(fault) => Err(fault),
        },
        _ => return None,
    };
    Some(done.map(|()| Given::Done))
}

/// The branch in a flat map of texts.
pub(super) fn registered(said: BTreeMap<String, Option<String>>) -> Registered {
    let mut data: BTreeMap<String, String> =
        said.into_iter().filter_map(|(name, text)| Some((name, text?))).collect();
    let mut take = |name| data.remove(name).unwrap_or_default();
    Registered {
        gid: take("gid"),
        trans_type: take("trans_type"),
        branch_id: take("branch_id"),
        payload: take("data").into_bytes(),
        data,
    }
}

/// The gid in a body that needs nothing else.
fn named(body: &[u8]) -> Result<Gid, Fault> {
    let body: Value = serde_json::from_slice(body)
        .map_err(|e| Fault::other(format!("the body is no JSON: {e}")))?;
    asked::gid(body.get("gid").and_then(Value::as_str).unwrap_or_default())
}

async fn query_one(desk: &Desk, said: &Said) -> Result<Given, Fault> {
    let view = desk.query(said.text("gid")).await?;
    let transaction = view.as_ref().map(rows::transaction);
    let branches = view.as_ref().map(rows::rows).unwrap_or_default();
    Ok(Given::Json(json!({ "transaction": transaction, "branches": branches })))
}

async fn retry_all(desk: &Desk, said: &Said) -> Result<Given, Fault> {
    let timeout = Duration::from_secs(said.number("timeout")?.unwrap_or(LATER_S));
    let (count, has_remaining) = desk.retry_all(timeout, said.limit()?).await?;
    Ok(Given::Json(json!({ "has_remaining": has_remaining, "succeed_count": count })))
}

async fn scan(desk: &Desk, said: &Said) -> Result<Given, Fault> {
    let position = Some(said.text("position")).filter(|position| !position.is_empty());
    let (found, next) = match said.text("cat") {
        topics::CATEGORY => desk.topics.scan(position, said.limit()?).await?,
        _ => (Vec::new(), None),
    };
    Ok(Given::Json(json!({ "kv": found, "next_position": next.unwrap_or_default() })))
}

async fn find(desk: &Desk, said: &Said) -> Result<Given, Fault> {
    let found = match said.text("cat") {
        topics::CATEGORY => desk.topics.find(said.text("key")).await?,
        _ => Vec::new(),
    };
    Ok(Given::Json(json!({ "kv": found })))
}

/// How far a workflow is. Its clients want all fields to be there.
fn progresses(view: &View) -> Given {
    let mut transaction = rows::transaction(view);
    for name in ["rollback_reason", "result"] {
        transaction.entry(name).or_insert_with(|| "".into());
    }
    Given::Json(json!({ "transaction": transaction, "progresses": rows::rows(view) }))
}

fn outcome_of(outcome: Result<Given, Fault>) -> Answer {
    let (status, result) = match &outcome {
        Ok(Given::Json(value)) => return whole(StatusCode::OK, value),
        Ok(Given::Done) => (StatusCode::OK, Some(SUCCESS)),
        Err(Fault::Failure(_)) => (StatusCode::CONFLICT, Some("FAILURE")),
        Err(Fault::Ongoing(_)) => (StatusCode::TOO_EARLY, Some("ONGOING")),
        Err(Fault::Other(_)) => (StatusCode::INTERNAL_SERVER_ERROR, None),
    };
    let mut body = Map::new();
    if let Some(result) = result {
        body.insert("dtm_result".to_owned(), result.into());
    }
    if let Err(fault) = &outcome {
        body.insert("message".to_owned(), fault.words().into());
    }
    whole(status, &Value::Object(body))
}

/// What is no answer of DTM's.
pub(super) fn refused(status: StatusCode, words: &str) -> Answer {
    whole(status, &json!({ "message": words }))
}

fn whole(status: StatusCode, body: &Value) -> Answer {
    let mut text = body.to_string();
    if status == StatusCode::OK {
        for (word, escaped) in WORDS {
            text = text.replace(word, escaped);
        }
    }
    bytes_of(status, JSON, text.into_bytes())
}
