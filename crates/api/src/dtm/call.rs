//! What is different about calls to participants when the client speaks DTM.

use super::asked::Kind;
use crate::query;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use logic::tx::Answer;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use transactions::{CallRequest, Dialect, Target};

/// The header in which a workflow's name goes along, escaped as in a query: DTM has it where other calls have their operation.
pub(super) const WORKFLOW_HEADER: &str = "flotilla-workflow";

/// Codes of JSON-RPC errors that mean something.
pub(super) const RPC_FAILURE: i64 = -32_901;
const RPC_ONGOING: i64 = -32_902;

/// Longest error of a participant that is shown, in characters.
const WORDS_MAX: usize = 300;

/// The protocol's name, as this transaction's participants know it.
pub(crate) fn trans_type(request: &CallRequest) -> &'static str {
    Kind::word(request.mode, request.dialect)
}

/// The operation's name, as this transaction's participants know it.
pub(crate) fn op(request: &CallRequest) -> Cow<'_, str> {
    if request.dialect == Dialect::DtmWorkflow
        && let Some(name) = request.headers.get(WORKFLOW_HEADER)
    {
        return query::unescape(name, false).map_or(Cow::Borrowed(name), Cow::Owned);
    }
    Cow::Borrowed(request.op.as_str())
}

/// What is sent.
pub(crate) fn body(request: &CallRequest) -> Bytes {
    match request.dialect {
        Dialect::Native | Dialect::Dtm => request.body.clone(),
        // Kept as base 64, because it may be any bytes.
        Dialect::DtmWorkflow => {
            BASE64.decode(&request.body).map_or_else(|_broken| request.body.clone(), Bytes::from)
        }
        Dialect::DtmJsonRpc => rpc(request).unwrap_or_else(|| request.body.clone()),
    }
}

/// The call as JSON-RPC has it: its method stands in the URL, and what else DTM has in the query becomes a part of the parameters.
/// `None`: the URL names no method, so it is a usual call.
fn rpc(request: &CallRequest) -> Option<Bytes> {
    let Target::Url(url) = &request.target else { return None };
    let (_, query) = url.split_once('?')?;
    let (_, method) = query::pairs(query)?.into_iter().find(|(name, _)| name == "method")?;
    let sent = serde_json::from_slice(&request.body);
    let mut params: Map<String, Value> = sent.unwrap_or_default();
    let added = [
        ("gid", Cow::Borrowed(request.gid.as_str())),
        ("trans_type", Cow::Borrowed(trans_type(request))),
        ("branch_id", Cow::Borrowed(request.branch.as_str())),
        ("op", op(request)),
    ];
    params.extend(added.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))));
    let id = format!("{}/{}/{}", request.gid, request.branch, request.op);
    let call = json!({ "jsonrpc": "2.0", "method": method, "params": params, "id": id });
    Some(call.to_string().into())
}

/// What an answer of JSON-RPC means: its status is always 200. `None`: it says nothing about an error, so the usual rules hold.
pub(crate) fn judge_rpc(answer: &[u8]) -> Option<Answer> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let error = answer.get("error").filter(|error| !error.is_null())?;
    let words = error.get("message").and_then(Value::as_str).unwrap_or("an error of JSON-RPC");
    let words: String = words.chars().take(WORDS_MAX).collect();
    Some(match error.get("code").and_then(Value::as_i64) {
        Some(RPC_FAILURE) => Answer::Refused(words),
        Some(RPC_ONGOING) => Answer::Working,
        Some(code) => Answer::Failed(format!("JSON-RPC error {code}: {words}")),
        None => Answer::Failed(words),
    })
}
