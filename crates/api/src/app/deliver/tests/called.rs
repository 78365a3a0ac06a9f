//! Deliveries to apps that speak gRPC.

use super::*;
use events::Event;
use hyper::server::conn::http2;
use hyper_util::rt::TokioExecutor;
use proto::{
    dapr::runtime::{
        BulkSubscribeConfig, JobEventRequest, JobEventResponse, ListTopicSubscriptionsResponse,
        TopicEventBulkRequest, TopicEventBulkResponse, TopicEventBulkResponseEntry,
        TopicEventRequest, TopicEventResponse, TopicRoutes, TopicRule, TopicSubscription,
        app_callback_alpha_server::{AppCallbackAlpha, AppCallbackAlphaServer},
        app_callback_server::{AppCallback, AppCallbackServer},
        topic_event_bulk_request_entry::Event as EntryEvent,
    },
    prost_types::value::Kind,
};
use tonic::{Response as Reply, Status, codegen::Service as _};

/// An app that answers as its topics are called.
#[derive(Clone, Default)]
struct Callbacks {
    events: Arc<Mutex<Vec<TopicEventRequest>>>,
    bulks: Arc<Mutex<Vec<TopicEventBulkRequest>>>,
    jobs: Arc<Mutex<Vec<(JobEventRequest, String)>>>,
}

#[tonic::async_trait]
impl AppCallback for Callbacks {
    async fn on_topic_event(
        &self,
        request: tonic::Request<TopicEventRequest>,
    ) -> Result<Reply<TopicEventResponse>, Status> {
        let event = request.into_inner();
        let status = match event.topic.as_str() {
            "retry" => 1,
            "drop" => 2,
            "odd" => 9,
            "unknown" => return Err(Status::unimplemented("no such topic")),
            "broken" => return Err(Status::internal("oops")),
            _ => 0,
        };
        self.events.lock().unwrap().push(event);
        Ok(Reply::new(TopicEventResponse { status }))
    }

    async fn list_topic_subscriptions(
        &self,
        _: tonic::Request<()>,
    ) -> Result<Reply<ListTopicSubscriptionsResponse>, Status> {
        let rule = TopicRule { r#match: "event.type == 'x'".to_owned(), path: "x".to_owned() };
        let one = TopicSubscription {
            pubsub_name: "pubsub".to_owned(),
            topic: "plain".to_owned(),
            ..TopicSubscription::default()
        };
        let routes = Some(TopicRoutes { rules: vec![rule], default: "y".to_owned() });
        let bulk_subscribe = Some(BulkSubscribeConfig { enabled: true, ..Default::default() });
        let dead_letter_topic = "dead".to_owned();
        let topic = "routed".to_owned();
        let routed =
            TopicSubscription { topic, routes, bulk_subscribe, dead_letter_topic, ..one.clone() };
        let subscriptions = vec![one, routed];
        Ok(Reply::new(ListTopicSubscriptionsResponse { subscriptions }))
    }

    async fn on_job_event(
        &self,
        request: tonic::Request<JobEventRequest>,
    ) -> Result<Reply<JobEventResponse>, Status> {
        let token =
            request.metadata().get("dapr-api-token").map(|it| it.to_str().unwrap().to_owned());
        self.jobs.lock().unwrap().push((request.into_inner(), token.unwrap_or_default()));
        Ok(Reply::new(JobEventResponse {}))
    }
}

#[tonic::async_trait]
impl AppCallbackAlpha for Callbacks {
    async fn on_bulk_topic_event_alpha1(
        &self,
        request: tonic::Request<TopicEventBulkRequest>,
    ) -> Result<Reply<TopicEventBulkResponse>, Status> {
        let bulk = request.into_inner();
        // The last one is forgotten.
        let all = bulk.entries.iter().zip([0, 1, 2]);
        let status = |(entry, status): (&proto::dapr::runtime::TopicEventBulkRequestEntry, i32)| {
            TopicEventBulkResponseEntry { entry_id: entry.entry_id.clone(), status }
        };
        let statuses = all.map(status).collect();
        self.bulks.lock().unwrap().push(bulk);
        Ok(Reply::new(TopicEventBulkResponse { statuses }))
    }
}

impl Callbacks {
    async fn listen(&self) -> (SocketAddr, TaskSet) {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let mut tasks = TaskSet::new("app");
        let callbacks = self.clone();
        tasks.spawn("app", |_| async move {
            let mut open = TaskSet::new("connections");
            while let Ok((io, _)) = socket.accept().await {
                let callbacks = callbacks.clone();
                let service = service_fn(move |request: Request<Body>| {
                    let usual = AppCallbackServer::new(callbacks.clone());
                    let alpha = AppCallbackAlphaServer::new(callbacks.clone());
                    async move {
                        let (mut usual, mut alpha) = (usual, alpha);
                        if request.uri().path().contains("AppCallbackAlpha") {
                            alpha.call(request).await
                        } else {
                            usual.call(request).await
                        }
                    }
                });
                open.spawn("connection", |_| async move {
                    let builder = http2::Builder::new(TokioExecutor::new());
                    // A client that goes away is part of the test.
                    let _ = builder.serve_connection(TokioIo::new(io), service).await;
                });
            }
        });
        (address, tasks)
    }
}

fn target(raw: bool, bulk: bool) -> Target {
    let (pubsub, path) = ("pubsub".to_owned(), "/route".to_owned());
    Target::Dapr { service: shop(), pubsub, path, raw, bulk }
}

#[tokio::test]
async fn an_event_is_a_call_and_its_status_the_verdict() {
    let app = Callbacks::default();
    let (address, _tasks) = app.listen().await;
    let node = node(Protocol::Grpc, address);
    let deliverer = deliverer(&node);
    for (topic, expected, words) in [
        ("orders", "done", ""),
        ("retry", "retry", "RETRY status returned from app"),
        ("drop", "drop", "DROP status returned from app"),
        ("odd", "retry", "unknown status returned from app: 9"),
        ("unknown", "drop", "no such topic"),
        ("broken", "retry", "Internal: oops"),
    ] {
        let verdict = one(&deliverer, &target(false, false), at(event(), topic, 1)).await;
        let (word, reason) = told(&verdict);
        assert_eq!(word, expected, "{topic}: {verdict:?}");
        assert!(reason.contains(words), "{topic}: {reason}");
    }
    let first = app.events.lock().unwrap()[0].clone();
    assert_eq!(
        (first.id.as_str(), first.topic.as_str(), first.pubsub_name.as_str()),
        ("7", "orders", "pubsub")
    );
    assert_eq!((first.path.as_str(), first.spec_version.as_str()), ("/route", "1.0"));
    assert_eq!((first.data, first.data_content_type.as_str()), (event().data, "application/json"));
    let extensions = first.extensions.unwrap().fields;
    let trace = Some(Kind::StringValue(event().extensions["traceparent"].clone()));
    assert_eq!(extensions["traceid"].kind, trace);
    assert_eq!(extensions["topic"].kind, Some(Kind::StringValue("orders".to_owned())));
}

#[tokio::test]
async fn many_events_are_one_call_by_the_older_name_where_the_app_knows_no_other() {
    let app = Callbacks::default();
    let (address, _tasks) = app.listen().await;
    let node = node(Protocol::Grpc, address);
    let deliverer = deliverer(&node);
    let events: Vec<Incoming> = (1..=4).map(|offset| at(event(), "orders", offset)).collect();
    let verdicts = deliverer.deliver(&target(false, true), &events, PATIENCE).await;
    let words: Vec<&str> = verdicts.iter().map(|verdict| told(verdict).0).collect();
    assert_eq!(words, ["done", "retry", "drop", "retry"]);
    let bulk = app.bulks.lock().unwrap().remove(0);
    assert_eq!((bulk.topic.as_str(), bulk.entries.len()), ("orders", 4));
    let Some(EntryEvent::CloudEvent(first)) = &bulk.entries[0].event else { panic!("{bulk:?}") };
    assert_eq!((first.id.as_str(), &first.data), ("7", &event().data));
    let raw = Event { data: Bytes::from_static(b"\0"), ..Event::default() };
    deliverer.deliver(&target(true, true), &[at(raw, "orders", 1)], PATIENCE).await;
    let bulk = app.bulks.lock().unwrap().remove(0);
    let Some(EntryEvent::Bytes(bytes)) = &bulk.entries[0].event else { panic!("{bulk:?}") };
    assert_eq!(&**bytes, b"\0");
}

#[tokio::test]
async fn a_job_is_a_call_with_its_data_as_a_message() {
    let app = Callbacks::default();
    let (address, _tasks) = app.listen().await;
    let node = node(Protocol::Grpc, address);
    let schema = Some(crate::app::grpc::jobs::JSON_TYPE.to_owned());
    let event = Event { schema, data: Bytes::from_static(b"true"), ..event() };
    let origin = Origin::Job { name: "nightly".to_owned() };
    let target = Target::DaprJob { service: shop(), name: "nightly".to_owned() };
    let incoming = Incoming { event, origin, attempt: 1 };
    assert_eq!(one(&deliverer(&node), &target, incoming).await, Verdict::Done);
    let (job, _) = app.jobs.lock().unwrap().remove(0);
    assert_eq!((job.name.as_str(), job.method.as_str()), ("nightly", "job/nightly"));
    // A `google.protobuf.Value` with `bool_value: true`.
    assert_eq!(job.data.unwrap().value, [0x20, 1]);
}

#[tokio::test]
async fn an_app_lists_what_it_wants() {
    let app = Callbacks::default();
    let (address, _tasks) = app.listen().await;
    let node = node(Protocol::Grpc, address);
    let all = deliverer(&node).declared(&shop()).await;
    let [plain, routed] = &all[..] else { panic!("{all:?}") };
    assert_eq!((plain.topic.as_str(), plain.routes.len()), ("plain", 1));
    let path = |at: usize| match &routed.routes[at].to {
        Target::Dapr { path, .. } => path.as_str(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (routed.routes[0].when.as_deref(), path(0), path(1)),
        (Some("event.type == 'x'"), "x", "y")
    );
    assert_eq!(routed.bulk.unwrap().max, 100);
    assert!(routed.dead_letter.is_some());
}

#[tokio::test]
async fn a_refusal_of_the_data_plane_is_told_from_an_answer() {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = node(Protocol::Grpc, socket.local_addr().unwrap());
    let serve = async {
        let (io, _) = socket.accept().await.unwrap();
        let service = service_fn(|_: Request<Body>| async {
            let headers = [
                ("content-type", "application/grpc"),
                ("grpc-status", "14"),
                ("grpc-message", "no instance takes requests"),
                ("flotilla-refused", "no_instance"),
            ];
            Ok::<_, Infallible>(answer(200, &headers, "").map(Full::new))
        });
        let builder = http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(TokioIo::new(io), service).await;
    };
    let deliverer = deliverer(&node);
    let target = target(false, false);
    let work = one(&deliverer, &target, incoming(event()));
    let verdict = tokio::select! {
        verdict = work => verdict,
        () = serve => panic!("the connection stays open"),
    };
    assert_eq!(told(&verdict), ("away", "no instance takes requests"));
}
