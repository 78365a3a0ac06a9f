//! Participants that speak HTTP.

use super::*;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_call_says_which_one_it_is() {
    let app = App::saying(200, &[], "{\"id\":7}").await;
    let node = node(Protocol::Http, app.address);
    let headers = [("x-user".to_owned(), "7".to_owned()), ("host".to_owned(), "evil".to_owned())];
    let request = CallRequest { until_ms: Some(42), headers: headers.into(), ..call() };
    let called = caller(&node).call(request).await;
    let expected = Called { answer: Answer::Done, status: Some(200), body: json!({ "id": 7 }) };
    assert_eq!(called, expected);
    let (parts, body) = app.got();
    assert_eq!(body, call().body);
    assert_eq!(parts.method, "POST");
    assert_eq!(
        parts.uri.to_string(),
        "/reserve?x=1&gid=tx-1&trans_type=saga&branch_id=reserve&op=action"
    );
    let headers = &parts.headers;
    for (name, value) in [
        ("flotilla-tx", "gid=tx-1;branch=reserve;op=action;attempt=3;mode=saga;deadline=42"),
        ("idempotency-key", "tx-1/reserve/action"),
        ("traceparent", TRACE),
        ("content-type", "application/json"),
        ("x-user", "7"),
        ("content-length", "9"),
        ("host", &app.address.to_string()),
        ("dapr-api-token", ""),
    ] {
        assert_eq!(field(headers, name), value, "{name}");
    }
}

#[tokio::test]
async fn calls_one_after_the_other_need_one_connection() {
    let app = App::saying(200, &[], "").await;
    let node = node(Protocol::Http, app.address);
    let caller = caller(&node);
    for _ in 0..5 {
        check(&caller.call(call()).await, "done", "");
        let there = CallRequest { target: url(app.address, "/there"), ..call() };
        check(&caller.call(there).await, "done", "");
    }
    // One through the listener, one directly.
    assert_eq!(app.connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_no_call() {
    let app = App::saying(200, &[("connection", "close")], "").await;
    let node = node(Protocol::Http, app.address);
    let caller = caller(&node);
    for _ in 0..3 {
        check(&caller.call(call()).await, "done", "");
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 3);
}

/// What one of our own participants answers to `op`, and what that means.
type Row<'t> = (Op, u16, &'t [(&'static str, &'static str)], &'static str, &'t str, &'t str);

const READ_ONLY: &[(&str, &str)] = &[("flotilla-vote", "read_only")];
const COMMITTED: &[(&str, &str)] = &[("flotilla-outcome", "committed")];

const ROWS: &[Row<'static>] = &[
    (Op::Action, 200, &[], "anything", "done", ""),
    (Op::Action, 204, &[], "", "done", ""),
    (Op::Action, 299, &[], "", "done", ""),
    (Op::Action, 202, &[], "", "working", ""),
    (Op::Action, 425, &[], "", "working", ""),
    (Op::Action, 409, &[], "sold out", "refused", "409 Conflict: sold out"),
    (Op::Compensate, 409, &[], "no", "refused", "409 Conflict: no"),
    (Op::Action, 302, &[("location", "/")], "", "failed", "redirects are not followed"),
    (Op::Action, 404, &[], "no page", "failed", "404 Not Found: no page"),
    (Op::Action, 410, &[], "", "failed", "410 Gone"),
    (Op::Action, 429, &[], "", "failed", "429"),
    (Op::Action, 500, &[], "oops", "failed", "oops"),
    (Op::Action, 503, &[], "", "failed", "503"),
    // What DTM's participants write is an ordinary text to us.
    (Op::Action, 200, &[], "{\"dtm_result\":\"FAILURE\"}", "done", ""),
    (Op::Action, 500, &[], "ONGOING", "failed", "ONGOING"),
    // Votes belong to two operations.
    (Op::Prepare, 200, READ_ONLY, "", "read only", ""),
    (Op::PreCommit, 200, READ_ONLY, "", "read only", ""),
    (Op::Prepare, 200, &[], "{\"vote\":\"read_only\"}", "read only", ""),
    (Op::Prepare, 200, &[("flotilla-vote", "yes")], "{\"vote\":\"read_only\"}", "done", ""),
    (Op::Prepare, 200, &[], "{\"vote\":\"a party\"}", "done", ""),
    (Op::Prepare, 200, &[("flotilla-vote", "maybe")], "", "failed", "flotilla-vote: maybe"),
    (Op::Prepare, 409, READ_ONLY, "", "refused", "409"),
    (Op::CanCommit, 200, READ_ONLY, "", "done", ""),
    (Op::Try, 200, READ_ONLY, "", "done", ""),
    // What was decided alone belongs to second phases.
    (Op::Commit, 409, &[("flotilla-outcome", "aborted")], "", "heuristic", "aborted"),
    (Op::Commit, 200, COMMITTED, "", "heuristic", "committed"),
    (Op::Rollback, 409, &[], "{\"outcome\":\"mixed\"}", "heuristic", "mixed"),
    (Op::Rollback, 200, &[], "{\"outcome\":\"committed\"}", "heuristic", "committed"),
    (Op::Cancel, 409, COMMITTED, "", "heuristic", "committed"),
    (
        Op::Commit,
        409,
        &[("flotilla-outcome", "perhaps")],
        "",
        "failed",
        "flotilla-outcome: perhaps",
    ),
    (Op::Commit, 200, &[], "{\"outcome\":7}", "done", ""),
    (Op::Commit, 409, &[], "no", "refused", "no"),
    (Op::Action, 409, COMMITTED, "", "refused", "409"),
    (Op::Query, 200, &[], "", "done", ""),
    (Op::Query, 409, &[], "", "refused", ""),
    (Op::Query, 425, &[], "", "working", ""),
];

#[tokio::test]
async fn an_answer_means_what_its_status_and_words_say() {
    for (op, status, headers, body, word, words) in ROWS {
        let app = App::saying(*status, headers, body).await;
        let node = node(Protocol::Http, app.address);
        for target in [call().target, url(app.address, "/there")] {
            let called = caller(&node).call(CallRequest { op: *op, target, ..call() }).await;
            let (found, reason) = told(&called.answer);
            assert_eq!(found, *word, "{op} {status} {headers:?} {body}: {called:?}");
            assert!(reason.contains(words), "{op} {status} {headers:?} {body}: {called:?}");
            assert_eq!(called.status, Some(*status));
        }
    }
}

#[tokio::test]
async fn what_the_data_plane_says_in_an_instances_place_is_no_answer() {
    for (status, code, word) in [
        (503, "no_instance", "away"),
        (503, "breaker_open", "away"),
        (503, "overloaded", "away"),
        (503, "not_ready", "away"),
        (502, "upstream_failed", "failed"),
        (504, "timeout", "failed"),
        (409, "odd", "failed"),
    ] {
        let says = move |_: &::http::Request<Bytes>| {
            answer(status, &[("flotilla-refused", code)], r#"{"error":{"message":"nobody"}}"#)
        };
        let app = App::answering(says).await;
        let node = node(Protocol::Http, app.address);
        let called = caller(&node).call(call()).await;
        check(&called, word, "nobody");
        assert_eq!((called.status, called.body), (None, Value::Null));
        // Another server cannot keep a transaction waiting for ever in this way.
        let there = CallRequest { target: url(app.address, "/"), ..call() };
        assert_eq!(caller(&node).call(there).await.status, Some(status));
    }
}

#[tokio::test]
async fn nobody_is_there_and_nobody_answers_are_told_apart() {
    let address = nowhere().await;
    let node = node(Protocol::Http, address);
    let caller = caller(&node);
    check(&caller.call(call()).await, "away", "shop cannot be connected to");
    let there = CallRequest { target: url(address, "/x?secret=1"), ..call() };
    let called = caller.call(there).await;
    check(&called, "failed", &format!("http://{address}/x: cannot be connected to"));
    assert!(!told(&called.answer).1.contains("secret"));
    node.offer("idle", Protocol::Http);
    let at = |service: &str| Target::Service { service: service.to_owned(), path: "/".to_owned() };
    let idle = CallRequest { target: at("idle"), ..call() };
    check(&caller.call(idle).await, "away", "no instance of idle is known");
    let unknown = CallRequest { target: at("nobody"), ..call() };
    check(&caller.call(unknown).await, "failed", "the system has no service `nobody`");
    // One that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    node.at("shop", silent.local_addr().unwrap());
    let short = CallRequest { timeout: SHORT, ..call() };
    check(&caller.call(short).await, "failed", "shop did not answer within 0.05 s");
    // One that hangs up.
    let hang_up = async {
        for _ in 0..2 {
            drop(silent.accept().await);
        }
    };
    let (called, ()) = tokio::join!(caller.call(call()), hang_up);
    check(&called, "failed", "shop: the exchange broke off");
}

#[tokio::test]
async fn a_call_that_cannot_be_written_is_not_made() {
    let app = App::saying(200, &[], "").await;
    let node = node(Protocol::Http, app.address);
    let caller = caller(&node);
    let header = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    for (request, words) in [
        (CallRequest { headers: header("a b", "1"), ..call() }, "`a b` is no header field"),
        (CallRequest { headers: header("a", "1\r\nb: 2"), ..call() }, "`a` is no header field"),
        (CallRequest { branch: "a\nb".to_owned(), ..call() }, "no header field can have"),
        (CallRequest { method: "GE T".to_owned(), ..call() }, "`GE T` is no method"),
        (CallRequest { target: Target::Url("ftp://a/b".to_owned()), ..call() }, "is no address"),
        (
            CallRequest { target: Target::Url("http://u:p@a/".to_owned()), ..call() },
            "is no address",
        ),
        (CallRequest { target: Target::Url("http:///b".to_owned()), ..call() }, "is no address"),
    ] {
        let called = caller.call(request).await;
        check(&called, "failed", words);
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn odd_paths_and_names_are_escaped() {
    let app = App::saying(200, &[], "").await;
    let node = node(Protocol::Http, app.address);
    let target =
        Target::Service { service: "shop".to_owned(), path: "/a b\r\n#c\u{e9}".to_owned() };
    let request = CallRequest { target, branch: "a&b".to_owned(), ..call() };
    check(&caller(&node).call(request).await, "done", "");
    let uri = app.got().0.uri.to_string();
    assert_eq!(uri, "/a%20b%0D%0A?gid=tx-1&trans_type=saga&branch_id=a%26b&op=action");
}

#[tokio::test]
async fn a_long_answer_is_judged_by_its_status() {
    let long = "x".repeat(2 << 20);
    let says = move |_: &::http::Request<Bytes>| answer(409, &[], &long);
    let app = App::answering(says).await;
    let node = node(Protocol::Http, app.address);
    let called = caller(&node).call(call()).await;
    check(&called, "refused", "409 Conflict");
    assert_eq!(called.body, Value::Null);
}

#[tokio::test]
async fn only_json_of_a_usual_length_is_given_to_later_steps() {
    let long = format!("[\"{}\"]", "x".repeat(64 << 10));
    for (body, expected) in [
        ("{\"a\":[1,2]}".to_owned(), json!({ "a": [1, 2] })),
        ("7".to_owned(), json!(7)),
        ("{\"a\":".to_owned(), Value::Null),
        ("hello".to_owned(), Value::Null),
        (long, Value::Null),
        // Deeper than anybody means it.
        ("[".repeat(100_000), Value::Null),
    ] {
        let says = move |_: &::http::Request<Bytes>| answer(200, &[], &body);
        let app = App::answering(says).await;
        let node = node(Protocol::Http, app.address);
        let called = caller(&node).call(call()).await;
        assert_eq!((called.answer, called.body), (Answer::Done, expected));
    }
}

#[tokio::test]
async fn participants_of_dtm_are_asked_and_understood_as_it_does() {
    for (status, body, word) in [
        (200, "{\"dtm_result\":\"SUCCESS\"}", "done"),
        (200, "{\"dtm_result\":\"FAILURE\"}", "refused"),
        (409, "", "refused"),
        (500, "FAILURE", "refused"),
        (200, "ONGOING", "working"),
        (500, "FAILURE or ONGOING", "working"),
        (425, "", "working"),
        (500, "", "failed"),
    ] {
        let app = App::saying(status, &[], body).await;
        let node = node(Protocol::Http, app.address);
        let target = url(app.address, "/busi/TransIn");
        let request = CallRequest { dialect: Dialect::Dtm, target, ..call() };
        check(&caller(&node).call(request.clone()).await, word, "");
        assert_eq!(app.got().0.method, "POST");
        let empty = CallRequest { body: Bytes::new(), ..request.clone() };
        check(&caller(&node).call(empty.clone()).await, word, "");
        let (parts, _) = app.got();
        assert_eq!(parts.method, "GET");
        assert_eq!(field(&parts.headers, "content-type"), "application/json");
        // XA has no payload in its second phase and is posted all the same.
        let xa = CallRequest { mode: Mode::TwoPhase, op: Op::Commit, ..empty };
        caller(&node).call(xa).await;
        let (parts, _) = app.got();
        assert_eq!(parts.method, "POST");
        let query = "gid=tx-1&trans_type=xa&branch_id=reserve&op=commit";
        assert_eq!(parts.uri.query(), Some(query));
    }
}

#[tokio::test]
async fn ready_waits_until_the_service_can_be_reached() {
    use futures_util::FutureExt as _;
    let node = Arc::new(Node::default());
    let caller = caller(&node);
    let mut ready = std::pin::pin!(caller.ready("shop"));
    assert!(ready.as_mut().now_or_never().is_none());
    node.at("shop", "127.0.0.1:9".parse().unwrap());
    tokio::time::timeout(PATIENCE, ready).await.expect("in time");
    // No name of a service: there is nothing to wait for.
    tokio::time::timeout(PATIENCE, caller.ready("No Name")).await.expect("at once");
}
