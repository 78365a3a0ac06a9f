//! Requests that mean no good.

use super::*;
use proxy::local::LocalBody;

/// Every path that takes a body, with both APIs.
const WITH_BODY: &[&str] = &[
    "POST /v1.0/state/statestore",
    "POST /v1.0/state/statestore/bulk",
    "POST /v1.0/state/statestore/transaction",
    "POST /v1.0-alpha1/lock/lockstore",
    "POST /v1.0-alpha1/unlock/lockstore",
    "POST /v1/state/statestore/get",
    "POST /v1/state/statestore/put",
    "POST /v1/state/statestore/transact",
    "POST /v1/locks/lockstore/r/acquire",
    "POST /v1/locks/lockstore/r/renew",
    "POST /v1/locks/lockstore/r/release",
    "PUT /v1/config/configstore/keys/k",
    "POST /v1/config/configstore/keys/k/rollback",
];

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn a_body_that_is_no_json_is_refused_with_its_place() {
    let rig = Rig::new().await;
    let deep = "[".repeat(100_000);
    let closed = format!("{deep}{}", "]".repeat(100_000));
    let bodies: [&[u8]; 10] = [
        b"{",
        b"[{]",
        b"\0",
        b"\xff\xfe",
        b"nul",
        b"\"\\ud800\"",
        b"[1,]",
        b"{\"a\":1,\"a\"",
        deep.as_bytes(),
        closed.as_bytes(),
    ];
    for line in WITH_BODY {
        for body in bodies {
            let reply = ask_as(&rig, CALLER, line, &JSON, body.to_vec()).await;
            let shown =
                String::from_utf8_lossy(body.get(..20.min(body.len())).unwrap()).into_owned();
            assert_eq!(reply.status, 400, "{line} {shown}: {reply:?}");
            assert!(
                reply.text().contains("column") || reply.text().contains("expected"),
                "{line} {shown}: {reply:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_value_may_be_nested_as_deeply_as_it_likes() {
    let rig = Rig::new().await;
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let body = format!("[{{\"key\":\"k\",\"value\":{deep}}}]");
    let reply = ask(&rig, "POST /v1.0/state/statestore", body).await;
    // Either is right, as long as the node stays: values are kept unread.
    assert!(matches!(reply.status, 204 | 400), "{reply:?}");
    if reply.status == 204 {
        let read = ask(&rig, "GET /v1.0/state/statestore/k", "").await;
        assert_eq!(read.text(), deep);
        assert_eq!(
            ask(&rig, "POST /v1.0/state/statestore/bulk", r#"{"keys":["k"]}"#).await.status,
            200
        );
        assert_eq!(ask(&rig, "GET /v1/state/statestore/keys", "").await.status, 200);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let rig = Rig::new().await;
    let request =
        |body| Request::post("/v1.0/state/statestore").body(LocalBody::whole(body)).unwrap();
    let whole = request(Bytes::from_static(br#"[{"key":"k","value":1"#));
    let answer = rig.send(CALLER, whole).await.unwrap();
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn the_limit_of_an_instance_holds() {
    let rig = Rig::new().await;
    let small = crate::app::Instance { body_len_max: Some(100), ..Default::default() };
    rig.node.put("small/1", small);
    let body = format!("[{{\"key\":\"k\",\"value\":\"{}\"}}]", "x".repeat(100));
    for line in ["POST /v1.0/state/statestore", "PUT /v1/state/statestore/keys/k"] {
        let reply = ask_as(&rig, "small/1", line, &[], body.clone()).await;
        assert_eq!(reply.status, 413, "{line}: {reply:?}");
        assert_ne!(ask(&rig, line, body.clone()).await.status, 413);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]
    #[test]
    fn no_request_makes_it_panic(
        line in proptest::sample::select(WITH_BODY),
        body in "[\\[\\]{}\",:a-z0-9 \\\\]{0,60}",
        etag in "[ -~]{0,20}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new().await;
            let headers = [("content-type", "application/json"), ("if-match", etag.trim()), ("flotilla-fence", etag.trim())];
            for line in [line, "PUT /v1/state/statestore/keys/k", "DELETE /v1.0/state/statestore/k"] {
                let reply = ask_as(&rig, CALLER, line, &headers, body.clone()).await;
                proptest::prop_assert!(reply.status < 500 || reply.json()["errorCode"].is_string() || reply.json()["error"].is_object());
            }
            rig.end().await;
            Ok(())
        })?;
    }
}
