//! Requests for each operation on transactions, of either API.

use crate::tx::parse::{From, submit};
use transactions::Handle;

/// Path and body for each operation.
pub(crate) fn sample(operation: &str) -> (&'static str, &'static str) {
    match operation {
        "transactions" => (
            "/v1/tx?status=trying&status=open&attention=false&mode=saga&name=checkout&label=a:b&since=1h\
             &until=2100-01-01T00:00:00Z&limit=5",
            "",
        ),
        "transaction" => ("/v1/tx/stuck", ""),
        "transaction_events" => ("/v1/tx/stuck/events?after=0", ""),
        "transaction_decision" => ("/v1/tx/stuck/decision", ""),
        "submit_transaction" => (
            "/v1/tx",
            r#"{"id":"all","mode":"saga","timeout":"2m","input":{"a":[1]},"labels":{"a":"b"},"headers":{"x-a":"1"},
                "retry":{"base":"500ms","max":"30s","attempts":20,"then":"attention"},"sequential":true,"durable_steps":true,
                "steps":[{"id":"a","call":"POST users/a","undo":"users/b","after":[],"body":{"b":"{{input.a[0]}}"},
                "timeout":"3s","retry":{"then":"abort"}},{"publish":"t","key":"k","body":1},
                {"put":{"store":"statestore","key":"k","etag":""}},{"holds":{"store":"lockstore","lock":"r","token":"1"}}]}"#,
        ),
        "add_branches" => (
            "/v1/tx/open/branches",
            r#"{"steps":[{"id":"a","try":"users/a","confirm":"users/a","cancel":"users/a","reserve":"30s"},
                {"id":"b","participant":"users/b"}]}"#,
        ),
        "commit_transaction" => ("/v1/tx/open/commit", ""),
        "abort_transaction" => ("/v1/tx/given-up/abort", r#"{"reason":"no more"}"#),
        "retry_transaction" => ("/v1/tx/stuck/retry", ""),
        "resolve_transaction" => {
            ("/v1/tx/stuck/resolve", r#"{"outcome":"mixed","reason":"by hand"}"#)
        }
        other => panic!("write a sample request for {other}"),
    }
}

/// The transactions that the samples ask for. Nobody can be reached, so they stay as they are.
pub(crate) async fn fill(handle: &Handle) {
    for body in [
        r#"{"id":"stuck","steps":[{"call":"users/never"}]}"#,
        r#"{"id":"open","mode":"tcc","open":true}"#,
        r#"{"id":"given-up","mode":"tcc","open":true}"#,
    ] {
        let body = serde_json::from_str(body).unwrap();
        let submitted = submit(body, None, From::default()).unwrap();
        if submitted.is_open {
            handle.open(submitted.gid, submitted.ask).await.unwrap();
        } else {
            handle.submit(submitted.gid, submitted.ask, None).await.unwrap();
        }
    }
}
