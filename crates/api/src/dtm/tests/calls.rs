//! What is different about calls when DTM is spoken.

use crate::dtm::call;
use bytes::Bytes;
use logic::tx::{Answer, Mode, Op};
use serde_json::{Value, json};
use std::time::Duration;
use transactions::{CallRequest, Dialect, Gid, Target};

fn request(dialect: Dialect, mode: Mode, op: Op, url: &str, body: &str) -> CallRequest {
    CallRequest {
        gid: Gid::new("g").unwrap(),
        mode,
        dialect,
        branch: "01".to_owned(),
        op,
        attempt: 1,
        until_ms: None,
        target: Target::Url(url.to_owned()),
        method: "POST".to_owned(),
        headers: [("flotilla-workflow".to_owned(), "a%20b".to_owned())].into(),
        body: Bytes::from(body.to_owned()),
        traceparent: None,
        timeout: Duration::from_secs(1),
    }
}

#[test]
fn names_are_those_of_dtm() {
    for (dialect, mode, op, kind, name) in [
        (Dialect::Native, Mode::TwoPhase, Op::Commit, "2pc", "commit"),
        (Dialect::Dtm, Mode::TwoPhase, Op::Commit, "xa", "commit"),
        (Dialect::Dtm, Mode::Saga, Op::Compensate, "saga", "compensate"),
        (Dialect::DtmJsonRpc, Mode::Message, Op::Query, "msg", "msg"),
        (Dialect::DtmWorkflow, Mode::Message, Op::Query, "workflow", "a b"),
    ] {
        let request = request(dialect, mode, op, "http://a/", "");
        assert_eq!(call::trans_type(&request), kind);
        assert_eq!(call::op(&request), name);
    }
}

#[test]
fn a_method_of_json_rpc_gets_what_it_is_sent_and_which_call_it_is() {
    let of = |url: &str, body: &str| {
        let request = request(Dialect::DtmJsonRpc, Mode::Saga, Op::Action, url, body);
        String::from_utf8(call::body(&request).to_vec()).unwrap()
    };
    let sent: Value = serde_json::from_str(&of("http://a/?x=1&method=Pay", "{\"n\":1}")).unwrap();
    assert_eq!(sent["method"], "Pay");
    assert_eq!(
        sent["params"],
        json!({ "n": 1, "gid": "g", "trans_type": "saga", "branch_id": "01", "op": "action" })
    );
    // A URL that names no method is called as any other.
    assert_eq!(of("http://a/", "{\"n\":1}"), "{\"n\":1}");
    let sent: Value = serde_json::from_str(&of("http://a/?method=Pay", "[1]")).unwrap();
    assert_eq!(sent["params"]["gid"], "g");
}

#[test]
fn errors_of_json_rpc_are_answers() {
    let judge = |text: &str| call::judge_rpc(text.as_bytes());
    let refused = r#"{"error":{"code":-32901,"message":"no"}}"#;
    assert_eq!(judge(refused), Some(Answer::Refused("no".to_owned())));
    assert_eq!(judge(r#"{"error":{"code":-32902}}"#), Some(Answer::Working));
    let failed = judge(r#"{"error":{"code":-32603,"message":"oops"}}"#);
    assert_eq!(failed, Some(Answer::Failed("JSON-RPC error -32603: oops".to_owned())));
    for good in [r#"{"error":null,"result":1}"#, r#"{"result":1}"#, "no json", ""] {
        assert_eq!(judge(good), None, "{good}");
    }
}
