//! What apps say themselves that they want.

use super::*;
use events::{BulkDelivery, DeadLetter, Subscription};
use ports::broker::Start;

async fn declared(body: &'static str) -> Vec<Subscription> {
    let app = App::answering(move |request| match request.uri().path() {
        "/dapr/subscribe" => answer(200, &[], body),
        _ => answer(404, &[], ""),
    });
    let app = app.await;
    let node = node(Protocol::Http, app.address);
    let mut scoped = pubsub("scoped");
    scoped.subscribing = [("shop".to_owned(), ["mine".to_owned()].into())].into();
    scoped.prefix = "p.".to_owned();
    scoped.group = Some("readers".to_owned());
    node.component(scoped);
    let all = deliverer(&node).declared(&shop()).await;
    assert_eq!(app.got().0.method, "GET");
    all
}

fn routes(subscription: &Subscription) -> Vec<(Option<&str>, &str)> {
    subscription
        .routes
        .iter()
        .map(|route| match &route.to {
            Target::Dapr { path, .. } => (route.when.as_deref(), path.as_str()),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn apps_declare_a_route_or_many() {
    // As the usual frameworks write them.
    let all = declared(
        r#"[{"pubsubname":"pubsub","route":"orders","topic":"orders"},
            {"pubsubname":"pubsub","topic":"a","route":"/a","metadata":{}},
            {"pubsubname":"pubsub","topic":"b","metadata":{"rawPayload":"true"},"deadLetterTopic":"b-dead",
             "routes":{"rules":[{"match":"event.type == \"x\"","path":"/x"},{"match":"","path":"/y"}],"default":"/z"},
             "bulkSubscribe":{"enabled":true,"maxMessagesCount":7,"maxAwaitDurationMs":40}}]"#,
    )
    .await;
    let [orders, a, b] = &all[..] else { panic!("{all:?}") };
    assert_eq!((orders.topic.as_str(), orders.group.as_str()), ("orders", "shop"));
    assert_eq!((routes(orders), orders.start), (vec![(None, "orders")], Start::Beginning));
    assert_eq!((orders.retry, &orders.dead_letter, orders.bulk), (None, &None, None));
    assert_eq!(routes(a), [(None, "/a")]);
    let rules = [(Some("event.type == \"x\""), "/x"), (None, "/y"), (None, "/z")];
    assert_eq!(routes(b), rules);
    let dead = DeadLetter::Topic(TopicName::new("b-dead").unwrap());
    assert_eq!(b.dead_letter, Some(dead));
    assert_eq!(b.retry.unwrap().max, Some(3));
    let wait = Duration::from_millis(40);
    assert_eq!(b.bulk, Some(BulkDelivery { max: 7, wait }));
    assert!(matches!(&b.routes[0].to, Target::Dapr { raw: true, bulk: true, .. }));
}

#[tokio::test]
async fn what_an_app_may_not_have_or_did_not_say_is_left_out() {
    let all = declared(
        r#"[{"pubsubname":"none","topic":"a","route":"/a"},
            {"pubsubname":"pubsub","topic":"no-route"},
            {"pubsubname":"pubsub","topic":"","route":"/a"},
            {"pubsubname":"scoped","topic":"theirs","route":"/a"},
            {"pubsubname":"scoped","topic":"mine","route":"/a"},
            {"pubsubname":"scoped","topic":"mine","route":"/again"}]"#,
    )
    .await;
    let [mine] = &all[..] else { panic!("{all:?}") };
    assert_eq!((mine.topic.as_str(), mine.group.as_str()), ("p.mine", "readers"));
    assert_eq!(routes(mine), [(None, "/a")]);
}

#[tokio::test]
async fn an_app_that_knows_nothing_of_it_wants_nothing() {
    assert_eq!(declared("").await, []);
    assert_eq!(declared("null").await, []);
    assert_eq!(declared("<html>hello</html>").await, []);
    for status in [404, 405, 401] {
        let app = App::saying(status, &[], "no").await;
        let node = node(Protocol::Http, app.address);
        assert_eq!(deliverer(&node).declared(&shop()).await, []);
    }
}

#[tokio::test]
async fn an_app_that_fails_is_asked_again() {
    let count = AtomicUsize::new(0);
    let app = App::answering(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => answer(500, &[], "starting"),
        _ => answer(200, &[], r#"[{"pubsubname":"pubsub","topic":"a","route":"/a"}]"#),
    });
    let app = app.await;
    let node = node(Protocol::Http, app.address);
    assert_eq!(deliverer(&node).declared(&shop()).await.len(), 1);
}
