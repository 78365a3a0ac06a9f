//! DTM's requests as JSON-RPC 2.0: the answer's status is always 200.

use super::{asked::Asked, call::RPC_FAILURE, desk::Desk, fault::Fault, http::registered};
use http::request::Parts;
use serde_json::{Value, json};
use transactions::Gid;

const PARSE: i64 = -32_700;
const REQUEST: i64 = -32_600;
const METHOD: i64 = -32_601;
const INTERNAL: i64 = -32_603;
const RPC_ONGOING: i64 = -32_902;

/// The answer to a call.
pub(super) async fn answer(desk: &Desk, parts: &Parts, body: &[u8]) -> Value {
    let call: Value = match serde_json::from_slice(body) {
        Ok(call) => call,
        Err(e) => return error("", PARSE, &format!("the body is no JSON: {e}")),
    };
    let text = |name: &str| call.get(name).and_then(Value::as_str).unwrap_or_default();
    let id = text("id");
    if id.is_empty() || text("jsonrpc") != "2.0" {
        return error(id, REQUEST, "a call has `jsonrpc`: \"2.0\" and a text as `id`");
    }
    let params = call.get("params").cloned().unwrap_or_default();
    match done(desk, parts, text("method"), params).await {
        None => error(id, METHOD, &format!("there is no method `{}`", text("method"))),
        Some(Ok(result)) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": null, "result": result })
        }
        Some(Err(fault)) => {
            let code = match &fault {
                Fault::Failure(_) => RPC_FAILURE,
                Fault::Ongoing(_) => RPC_ONGOING,
                Fault::Other(_) => INTERNAL,
            };
            error(id, code, fault.words())
        }
    }
}

/// `None`: there is no such method.
async fn done(
    desk: &Desk,
    parts: &Parts,
    method: &str,
    params: Value,
) -> Option<Result<Value, Fault>> {
    let asked = |params| Asked::read_value(params).map(|asked| asked.traced(&parts.headers));
    let done = match method {
        "newGid" => return Some(Ok(json!({ "gid": Gid::generate() }))),
        "registerBranch" => match serde_json::from_value(params) {
            Ok(said) => desk.register(registered(said)).await,
            Err(e) => Err(Fault::other(format!("the parameters are no map of texts: {e}"))),
        },
        "prepare" | "submit" | "abort" => match (asked(params), method) {
            (Ok(asked), "prepare") => desk.prepare(asked).await,
            (Ok(asked), "submit") => desk.submit(asked).await,
            (Ok(asked), _) => desk.abort(asked).await,
            (Err(fault), _) => Err(fault),
        },
        _ => return None,
    };
    Some(done.map(|()| Value::Null))
}

fn error(id: &str, code: i64, message: &str) -> Value {
    let error = json!({ "code": code, "message": message });
    json!({ "jsonrpc": "2.0", "id": id, "error": error, "result": null })
}
