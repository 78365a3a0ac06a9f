//! Publishing, and subscriptions that a connection holds open.

use super::{client, framed, info, refused};
use crate::app::testing::{Rig, pubsub};
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{Method, Request, Version, header};
use http_body_util::{BodyExt as _, StreamBody};
use proto::{
    dapr::runtime::{
        BulkPublishRequest, BulkPublishRequestEntry, PublishEventRequest,
        SubscribeTopicEventsRequestAlpha1, SubscribeTopicEventsRequestInitialAlpha1,
        SubscribeTopicEventsRequestProcessedAlpha1, SubscribeTopicEventsResponseAlpha1,
        TopicEventRequest, TopicEventResponse,
        subscribe_topic_events_request_alpha1::SubscribeTopicEventsRequestType as Asked,
        subscribe_topic_events_response_alpha1::SubscribeTopicEventsResponseType as Told,
    },
    prost::Message as _,
};
use proxy::local::BoxBody;
use std::time::Duration;
use tokio::sync::mpsc;
use tonic::{Code, Status};

const PATIENCE: Duration = Duration::from_secs(60);

async fn rig() -> Rig {
    let rig = Rig::new().await;
    rig.node.component(pubsub("pubsub"));
    rig
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn publish(topic: &str, data: &'static str) -> PublishEventRequest {
    PublishEventRequest {
        pubsub_name: "pubsub".to_owned(),
        topic: topic.to_owned(),
        data: Bytes::from_static(data.as_bytes()),
        data_content_type: "application/json".to_owned(),
        metadata: [("custommeta".to_owned(), "x".to_owned())].into(),
    }
}

#[tokio::test]
async fn messages_are_published_one_by_one_and_together() {
    let rig = rig().await;
    let mut client = client(&rig, "web/1");
    let mut request = tonic::Request::new(publish("o", "1"));
    request.metadata_mut().insert("traceparent", TRACE.parse().unwrap());
    client.publish_event(request).await.unwrap();
    let entry = |id: &str, data: &'static str| BulkPublishRequestEntry {
        entry_id: id.to_owned(),
        event: Bytes::from_static(data.as_bytes()),
        content_type: "text/plain".to_owned(),
        ..BulkPublishRequestEntry::default()
    };
    let bulk = BulkPublishRequest {
        pubsub_name: "pubsub".to_owned(),
        topic: "o".to_owned(),
        entries: vec![entry("1", "2"), entry("2", "3")],
        ..BulkPublishRequest::default()
    };
    assert_eq!(
        client.bulk_publish_event(bulk.clone()).await.unwrap().into_inner().failed_entries,
        []
    );
    client.bulk_publish_event_alpha1(bulk.clone()).await.unwrap();
    let all = rig.messages("o", 5).await;
    let data: Vec<&[u8]> = all.iter().map(|stored| &*stored.event.data).collect();
    assert_eq!(data, [b"1", b"2", b"3", b"2", b"3"]);
    assert!(crate::trace::are_steps_of_one(&all[0].event.extensions["traceid"], TRACE));
    rig.broker.set_down(true);
    let failed = client.bulk_publish_event(bulk).await.unwrap().into_inner().failed_entries;
    assert_eq!(failed.len(), 2);
    let away = refused(client.publish_event(publish("o", "1")).await, Code::Internal);
    assert_eq!(info(&away).reason, "DAPR_PUBSUB_PUBLISH_MESSAGE");
    let mut none = publish("o", "1");
    none.pubsub_name = "none".to_owned();
    let none = refused(client.publish_event(none).await, Code::InvalidArgument);
    assert_eq!(info(&none).reason, "DAPR_PUBSUB_NOT_FOUND");
    let nowhere = refused(client.publish_event(publish("", "1")).await, Code::InvalidArgument);
    assert_eq!(info(&nowhere).reason, "DAPR_PUBSUB_TOPIC_NAME_EMPTY");
}

/// A call that stays open.
struct Stream {
    asks: mpsc::Sender<Bytes>,
    body: BoxBody,
    buffer: Vec<u8>,
}

impl Stream {
    async fn open(rig: &Rig, caller: &str) -> Self {
        let (asks, waiting) = mpsc::channel(16);
        let frames =
            futures_util::stream::unfold(waiting, |mut waiting: mpsc::Receiver<Bytes>| async {
                let piece = waiting.recv().await?;
                Some((Ok::<_, std::io::Error>(http_body::Frame::data(piece)), waiting))
            });
        let body = StreamBody::new(frames.boxed());
        let request = Request::builder()
            .method(Method::POST)
            .uri("/dapr.proto.runtime.v1.Dapr/SubscribeTopicEventsAlpha1")
            .version(Version::HTTP_2)
            .header(header::CONTENT_TYPE, "application/grpc")
            .body(body)
            .unwrap();
        let instance = crate::app::AppBackend::instance(&*rig.node, &super::id(caller)).unwrap();
        let caller = crate::app::Caller { id: super::id(caller), instance };
        let answer = crate::app::grpc::answer(rig.app.shared.clone(), caller, request).await;
        Self { asks, body: answer.into_body(), buffer: Vec::new() }
    }

    async fn begin(rig: &Rig, caller: &str, topic: &str, dead: Option<&str>) -> Self {
        let mut stream = Self::open(rig, caller).await;
        stream.ask(initial(topic, dead)).await;
        assert!(matches!(stream.next().await, Ok(Some(Told::InitialResponse(_)))));
        stream
    }

    async fn ask(&self, asked: Asked) {
        let subscribe_topic_events_request_type = Some(asked);
        let message = SubscribeTopicEventsRequestAlpha1 { subscribe_topic_events_request_type };
        self.asks.send(framed(&message)).await.unwrap();
    }

    async fn processed(&self, id: &str, status: i32) {
        let status = Some(TopicEventResponse { status });
        let id = id.to_owned();
        self.ask(Asked::EventProcessed(SubscribeTopicEventsRequestProcessedAlpha1 { id, status }))
            .await;
    }

    /// The next message, or the status at the end.
    async fn next(&mut self) -> Result<Option<Told>, Status> {
        loop {
            if let Some((head, rest)) = self.buffer.split_at_checked(5) {
                let len = head[1..].iter().fold(0_usize, |len, byte| len << 8 | usize::from(*byte));
                if let Some(message) = rest.get(..len) {
                    let told = SubscribeTopicEventsResponseAlpha1::decode(message).unwrap();
                    self.buffer.drain(..5 + len);
                    return Ok(told.subscribe_topic_events_response_type);
                }
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("in time");
            let frame = frame.expect("a status at the end").unwrap();
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(frame) => {
                    let trailers = frame.into_trailers().unwrap();
                    return Err(Status::from_header_map(&trailers).unwrap());
                }
            }
        }
    }

    async fn event(&mut self) -> TopicEventRequest {
        match self.next().await {
            Ok(Some(Told::EventMessage(event))) => event,
            other => panic!("{other:?}"),
        }
    }
}

fn initial(topic: &str, dead: Option<&str>) -> Asked {
    Asked::InitialRequest(SubscribeTopicEventsRequestInitialAlpha1 {
        pubsub_name: "pubsub".to_owned(),
        topic: topic.to_owned(),
        dead_letter_topic: dead.map(str::to_owned),
        ..SubscribeTopicEventsRequestInitialAlpha1::default()
    })
}

#[tokio::test]
async fn events_flow_on_a_stream_until_each_is_answered() {
    let rig = rig().await;
    let mut client = client(&rig, "web/1");
    client.publish_event(publish("o", "1")).await.unwrap();
    let mut stream = Stream::begin(&rig, "web/1", "o", None).await;
    // What was published before comes too.
    let first = stream.event().await;
    assert_eq!(
        (&*first.data, first.topic.as_str(), first.pubsub_name.as_str()),
        (&b"1"[..], "o", "pubsub")
    );
    stream.processed(&first.id, 0).await;
    client.publish_event(publish("o", "2")).await.unwrap();
    let second = stream.event().await;
    stream.processed("of nobody", 0).await;
    stream.processed(&second.id, 1).await;
    let again = stream.event().await;
    assert_eq!((again.id.as_str(), &*again.data), (second.id.as_str(), &b"2"[..]));
    stream.processed(&again.id, 0).await;
    // All that was answered is settled.
    let topic = ports::broker::TopicName::new("o").unwrap();
    let settled = async {
        while rig.events.topics().groups(&topic).await.unwrap()[0].lag > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let read = async { stream.next().await };
    tokio::select! {
        () = settled => {}
        other = read => panic!("{other:?}"),
        () = tokio::time::sleep(PATIENCE) => panic!("in time"),
    }
    assert_eq!(rig.events.topics().groups(&topic).await.unwrap()[0].name.as_str(), "web");
}

#[tokio::test]
async fn what_an_app_drops_becomes_a_dead_letter() {
    let rig = rig().await;
    client(&rig, "web/1").publish_event(publish("o", "1")).await.unwrap();
    let mut stream = Stream::begin(&rig, "web/1", "o", Some("o-dead")).await;
    let event = stream.event().await;
    stream.processed(&event.id, 2).await;
    let (dead, end) = tokio::join!(rig.messages("o-dead", 1), async {
        // The stream is driven while it is waited for.
        tokio::time::timeout(Duration::from_secs(1), stream.next()).await.is_err()
    });
    assert!(end, "the stream goes on");
    assert_eq!(dead[0].event.extensions["topic"], "o");
    let mut letters = Stream::begin(&rig, "web/1", "o-dead", None).await;
    let letter = letters.event().await;
    assert_eq!((letter.topic.as_str(), letter.id), ("o-dead", event.id));
}

#[tokio::test]
async fn a_stream_that_asks_for_nothing_good_ends_with_the_reason() {
    let rig = rig().await;
    let mut early = Stream::open(&rig, "web/1").await;
    early.processed("1", 0).await;
    assert_eq!(
        refused(early.next().await, Code::InvalidArgument).message(),
        "initial request is required"
    );
    let mut twice = Stream::begin(&rig, "web/1", "o", None).await;
    twice.ask(initial("o", None)).await;
    refused(twice.next().await, Code::InvalidArgument);
    let mut nowhere = Stream::open(&rig, "web/1").await;
    nowhere.ask(initial("", None)).await;
    refused(nowhere.next().await, Code::InvalidArgument);
    // The end of the node ends streams.
    let mut open = Stream::begin(&rig, "web/1", "o", None).await;
    let ending = async {
        rig.end().await;
    };
    let (end, ()) = tokio::join!(open.next(), ending);
    refused(end, Code::Unavailable);
}
