//! Paths of services.

use super::*;
use events::Shape;
use futures_util::FutureExt as _;

fn path(path: &str, shape: Shape) -> Target {
    let (method, path) = ("PUT".to_owned(), path.to_owned());
    Target::Http { service: shop(), method, path, shape }
}

#[tokio::test]
async fn an_event_comes_in_the_shape_that_was_asked_for() {
    let app = App::saying(204, &[], "").await;
    let node = node(Protocol::Http, app.address);
    let deliverer = deliverer(&node);
    for shape in [Shape::Structured, Shape::Binary, Shape::Raw] {
        let verdict = one(&deliverer, &path("/events/a b?x=1", shape), incoming(event())).await;
        assert_eq!(verdict, Verdict::Done);
        let (parts, body) = app.got();
        assert_eq!(
            (parts.method.as_str(), parts.uri.to_string()),
            ("PUT", "/events/a%20b?x=1".to_owned())
        );
        let headers = &parts.headers;
        let (own, parent) = (field(headers, "traceparent"), &event().extensions["traceparent"]);
        assert!(crate::trace::are_steps_of_one(own, parent), "{own}");
        assert_eq!(
            (field(headers, "flotilla-topic"), field(headers, "flotilla-offset")),
            ("orders", "3")
        );
        assert_eq!(
            (field(headers, "flotilla-attempt"), field(headers, "host").is_empty()),
            ("2", false)
        );
        let kind = field(headers, "content-type");
        match shape {
            Shape::Structured => {
                assert_eq!(kind, "application/cloudevents+json");
                let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
                assert_eq!((&event["id"], &event["data"]["orderId"]), (&"7".into(), &1.into()));
            }
            Shape::Binary => {
                assert_eq!((kind, field(headers, "ce-id")), ("application/json", "7"));
                assert_eq!(body, event().data);
            }
            Shape::Raw => {
                assert_eq!((kind, field(headers, "ce-id")), ("application/json", ""));
                assert_eq!(body, event().data);
            }
        }
    }
    // One after the other needs one connection.
    assert_eq!(app.connections.load(Ordering::SeqCst), 1);
    let raw = Event { data: Bytes::from_static(b"\xff"), ..Event::default() };
    assert_eq!(one(&deliverer, &path("/", Shape::Binary), incoming(raw)).await, Verdict::Done);
    let headers = app.got().0.headers;
    assert_eq!((field(&headers, "ce-id"), field(&headers, "ce-source")), ("3", "topics/orders"));
}

#[tokio::test]
async fn an_answer_says_what_becomes_of_the_event() {
    #[track_caller]
    fn check(told: &Verdict, expected: &str, words: &str, after: Option<u64>) {
        let (word, reason) = super::told(told);
        assert_eq!(word, expected, "{told:?}");
        assert!(reason.contains(words), "{told:?}");
        if let Verdict::Retry { after: found, .. } = told {
            assert_eq!(*found, after.map(Duration::from_secs));
        }
    }
    for (status, headers, body, expected, words, after) in [
        (200, vec![], "anything", "done", "", None),
        (404, vec![], "no such page", "retry", "404 Not Found: no such page", None),
        (410, vec![], "", "retry", "410 Gone", None),
        (
            422,
            vec![("flotilla-verdict", "drop")],
            "bad",
            "drop",
            "422 Unprocessable Entity: bad",
            None,
        ),
        (
            200,
            vec![("flotilla-verdict", "retry"), ("retry-after", "7")],
            "",
            "retry",
            "200 OK",
            Some(7),
        ),
        (500, vec![("flotilla-verdict", "done")], "", "done", "", None),
        (429, vec![("retry-after", "5")], "", "retry", "429", Some(5)),
        (503, vec![("retry-after", "999999")], "", "retry", "503", Some(3_600)),
        (302, vec![("location", "/")], "", "retry", "302", None),
        (
            503,
            vec![("flotilla-refused", "no_instance")],
            r#"{"error":{"message":"no instance"}}"#,
            "away",
            "no instance",
            None,
        ),
        (
            502,
            vec![("flotilla-refused", "upstream_failed")],
            "",
            "retry",
            "no instance answered",
            None,
        ),
    ] {
        let kept = headers.clone();
        let app = App::answering(move |_| answer(status, &kept, body)).await;
        let node = node(Protocol::Http, app.address);
        let verdict = one(&deliverer(&node), &path("/", Shape::Raw), incoming(event())).await;
        check(&verdict, expected, words, after);
    }
}

#[tokio::test]
async fn nobody_is_there_and_nobody_answers_are_told_apart() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let node = node(Protocol::Http, address);
    let deliverer = deliverer(&node);
    let to = path("/", Shape::Raw);
    assert_eq!(told(&one(&deliverer, &to, incoming(event())).await).0, "away");
    let mut unknown = path("/", Shape::Raw);
    if let Target::Http { service, .. } = &mut unknown {
        *service = ServiceName::new("nobody").unwrap();
    }
    let verdict = one(&deliverer, &unknown, incoming(event())).await;
    assert_eq!(told(&verdict), ("away", "no instance of nobody is known"));
    // One that takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    node.at("shop", silent.local_addr().unwrap());
    let short = Duration::from_millis(50);
    let verdicts = deliverer.deliver(&to, &[incoming(event())], short).await;
    assert_eq!(told(&verdicts[0]), ("retry", "shop did not answer within 0.05 s"));
    // One that hangs up.
    let events = [incoming(event())];
    let work = deliverer.deliver(&to, &events, PATIENCE);
    let hang_up = async {
        for _ in 0..2 {
            drop(silent.accept().await);
        }
    };
    let (verdicts, ()) = tokio::join!(work, hang_up);
    assert_eq!(told(&verdicts[0]).0, "retry", "{verdicts:?}");
    let open = one(&deliverer, &Target::Open(7), incoming(event())).await;
    assert_eq!(told(&open).0, "away");
}

#[tokio::test]
async fn a_connection_that_the_app_has_closed_is_not_used_again() {
    let app = App::saying(200, &[("connection", "close")], "").await;
    let node = node(Protocol::Http, app.address);
    let deliverer = deliverer(&node);
    for _ in 0..3 {
        let verdict = one(&deliverer, &path("/", Shape::Raw), incoming(event())).await;
        assert_eq!(verdict, Verdict::Done);
    }
    assert_eq!(app.connections.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn ready_waits_until_the_service_can_be_reached() {
    let node = Arc::new(Node::default());
    let deliverer = deliverer(&node);
    let target = path("/", Shape::Raw);
    let mut ready = std::pin::pin!(deliverer.ready(&target));
    assert!(ready.as_mut().now_or_never().is_none());
    node.at("shop", "127.0.0.1:9".parse().unwrap());
    tokio::time::timeout(PATIENCE, ready).await.expect("in time");
    deliverer.ready(&Target::Open(1)).await;
}
