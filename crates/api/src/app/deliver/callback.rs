//! Deliveries to apps that speak gRPC: the calls of `AppCallback` and `AppCallbackAlpha`.

use super::{
    Ask, Deliverer, Unanswered, Version,
    dapr::{BULK_KIND, To},
    envelope::{self, envelope},
    retry,
};
use crate::{
    app::grpc::jobs,
    cloudevents::{self, VERSION, new_id},
};
use ::http::{HeaderMap, HeaderValue, Method, header};
use base::ServiceName;
use bytes::{BufMut as _, Bytes, BytesMut};
use events::{Event, Incoming, Verdict};
use proto::{
    dapr::{
        common::{HttpExtension, http_extension::Verb},
        runtime::{
            JobEventRequest, JobEventResponse, TopicEventBulkRequest, TopicEventBulkRequestEntry,
            TopicEventBulkResponse, TopicEventCeRequest, TopicEventRequest, TopicEventResponse,
            topic_event_bulk_request_entry::Event as EntryEvent,
            topic_event_response::TopicEventResponseStatus,
        },
    },
    prost::Message,
    prost_types::{Struct, Value, value::Kind},
};
use std::{collections::HashMap, time::Duration};
use tonic::{Code, Status};

const CALLBACK: &str = "/dapr.proto.runtime.v1.AppCallback/";
const CALLBACK_ALPHA: &str = "/dapr.proto.runtime.v1.AppCallbackAlpha/";

/// Flag and length, before each message of a call.
const FRAME_HEAD_LEN: usize = 5;

/// Why a call has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    Unanswered(Unanswered),
    /// The app answered this.
    Status(Status),
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unanswered(unanswered) => unanswered.into(),
            // Apps answer it that do not know the topic: no later try will find it.
            Failure::Status(status) if status.code() == Code::Unimplemented => {
                Self::Drop { reason: told(&status) }
            }
            Failure::Status(status) => retry(told(&status)),
        }
    }
}

fn told(status: &Status) -> String {
    let message: String = status.message().chars().take(super::REASON_LEN_MAX).collect();
    format!("it answered {:?}: {message}", status.code())
}

impl Deliverer {
    pub(super) async fn by_call(
        &self,
        to: To<'_>,
        incoming: &Incoming,
        timeout: Duration,
    ) -> Verdict {
        let pubsub = self.component(to.service, to.pubsub);
        let topic = envelope::topic_of(incoming, &pubsub);
        let event = envelope(incoming, &pubsub, &topic, to.raw);
        let headers = self.fields(to.service, Some(&event));
        let request = request(event, topic, to.pubsub, to.path);
        let path = format!("{CALLBACK}OnTopicEvent");
        match self.call(to.service, path, headers, &request, timeout).await {
            Ok(TopicEventResponse { status }) => of_status(status),
            Err(failure) => failure.into(),
        }
    }

    pub(super) async fn bulk_by_call(
        &self,
        to: To<'_>,
        events: &[Incoming],
        timeout: Duration,
    ) -> Vec<Verdict> {
        let Some(first) = events.first() else { return Vec::new() };
        let pubsub = self.component(to.service, to.pubsub);
        let topic = envelope::topic_of(first, &pubsub);
        let entry = |incoming: &Incoming| {
            let event = if to.raw {
                EntryEvent::Bytes(envelope::message(&incoming.event, &pubsub, &topic))
            } else {
                EntryEvent::CloudEvent(entry(envelope(incoming, &pubsub, &topic, false)))
            };
            TopicEventBulkRequestEntry {
                entry_id: envelope::place(incoming),
                content_type: cloudevents::STRUCTURED.to_owned(),
                event: Some(event),
                ..TopicEventBulkRequestEntry::default()
            }
        };
        let request = TopicEventBulkRequest {
            id: new_id(),
            entries: events.iter().map(entry).collect(),
            topic: topic.clone(),
            pubsub_name: to.pubsub.to_owned(),
            r#type: BULK_KIND.to_owned(),
            path: to.path.to_owned(),
            ..TopicEventBulkRequest::default()
        };
        let names = ["OnBulkTopicEvent", "OnBulkTopicEventAlpha1"];
        let answer: Result<TopicEventBulkResponse, Failure> =
            self.call_either(to.service, names, None, &request, timeout).await;
        let statuses = match answer {
            Ok(answer) => answer.statuses,
            Err(failure) => {
                let verdict = Verdict::from(failure);
                return events.iter().map(|_| verdict.clone()).collect();
            }
        };
        let said: HashMap<String, i32> =
            statuses.into_iter().map(|one| (one.entry_id, one.status)).collect();
        let of = |incoming| match said.get(&envelope::place(incoming)) {
            Some(status) => of_status(*status),
            None => retry("the app's answer has no status for this entry"),
        };
        events.iter().map(of).collect()
    }

    pub(super) async fn job_by_call(
        &self,
        service: &ServiceName,
        name: &str,
        event: &Event,
        timeout: Duration,
    ) -> Verdict {
        let data = jobs::any(&event.data, event.schema.as_deref().unwrap_or_default());
        let request = JobEventRequest {
            name: name.to_owned(),
            method: format!("job/{name}"),
            content_type: data.type_url.clone(),
            data: Some(data),
            http_extension: Some(HttpExtension {
                verb: Verb::Post.into(),
                ..HttpExtension::default()
            }),
        };
        let names = ["OnJobEvent", "OnJobEventAlpha1"];
        let answer: Result<JobEventResponse, Failure> =
            self.call_either(service, names, Some(event), &request, timeout).await;
        match answer {
            Ok(JobEventResponse {}) => Verdict::Done,
            // An app may come to know the job with its next version, which a topic's route is not worth waiting for.
            Err(Failure::Status(status)) => retry(told(&status)),
            Err(failure) => failure.into(),
        }
    }

    /// Calls a method by its name, or, for apps that do not know it, by the name that it had before.
    async fn call_either<Q: Message, A: Message + Default>(
        &self,
        service: &ServiceName,
        [name, before]: [&str; 2],
        event: Option<&Event>,
        request: &Q,
        timeout: Duration,
    ) -> Result<A, Failure> {
        let headers = self.fields(service, event);
        let path = format!("{CALLBACK}{name}");
        match self.call(service, path, headers.clone(), request, timeout).await {
            Err(Failure::Status(status)) if status.code() == Code::Unimplemented => {
                let path = format!("{CALLBACK_ALPHA}{before}");
                self.call(service, path, headers, request, timeout).await
            }
            answer => answer,
        }
    }

    /// A call with one message each way.
    pub(super) async fn call<Q: Message, A: Message + Default>(
        &self,
        service: &ServiceName,
        path: String,
        mut headers: HeaderMap,
        request: &Q,
        timeout: Duration,
    ) -> Result<A, Failure> {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        let ask = Ask { method: Method::POST, path, headers, body: framed(request) };
        let (response, trailers) =
            self.ask(service, Version::Http2, ask, timeout).await.map_err(Failure::Unanswered)?;
        let status = Status::from_header_map(&trailers)
            .or_else(|| Status::from_header_map(response.headers()));
        match status {
            Some(status) if status.code() == Code::Ok => {}
            Some(status) => return Err(Failure::Status(status)),
            None => {
                let words = format!("{} and no status of gRPC", response.status());
                return Err(Failure::Unanswered(Unanswered::Failed(words)));
            }
        }
        unframed(response.body()).map_err(|why| {
            let words = format!("{service} answered with {why}");
            Failure::Unanswered(Unanswered::Failed(words))
        })
    }
}

fn of_status(status: i32) -> Verdict {
    match TopicEventResponseStatus::try_from(status) {
        Ok(TopicEventResponseStatus::Success) => Verdict::Done,
        Ok(TopicEventResponseStatus::Retry) => retry("RETRY status returned from app"),
        Ok(TopicEventResponseStatus::Drop) => {
            Verdict::Drop { reason: "DROP status returned from app".to_owned() }
        }
        Err(_) => retry(format!("unknown status returned from app: {status}")),
    }
}

/// An event as the calls of Dapr have it.
pub(crate) fn request(event: Event, topic: String, pubsub: &str, path: &str) -> TopicEventRequest {
    TopicEventRequest {
        topic,
        pubsub_name: pubsub.to_owned(),
        path: path.to_owned(),
        extensions: Some(extensions(&event)),
        id: event.id,
        source: event.source,
        r#type: event.kind,
        spec_version: VERSION.to_owned(),
        data_content_type: event.content_type.unwrap_or_default(),
        data: event.data,
    }
}

fn entry(event: Event) -> TopicEventCeRequest {
    TopicEventCeRequest {
        extensions: Some(extensions(&event)),
        id: event.id,
        source: event.source,
        r#type: event.kind,
        spec_version: VERSION.to_owned(),
        data_content_type: event.content_type.unwrap_or_default(),
        data: event.data,
    }
}

/// All attributes that have no field of their own.
fn extensions(event: &Event) -> Struct {
    let optional =
        [("subject", &event.subject), ("time", &event.time), ("dataschema", &event.schema)];
    let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let named = event.extensions.iter().map(|(name, value)| (name.as_str(), value));
    let text = |value: &String| Value { kind: Some(Kind::StringValue(value.clone())) };
    let fields = named.chain(optional).map(|(name, value)| (name.to_owned(), text(value)));
    Struct { fields: fields.collect() }
}

fn framed(message: &impl Message) -> Bytes {
    let len = message.encoded_len();
    let mut frame = BytesMut::with_capacity(FRAME_HEAD_LEN + len);
    frame.put_u8(0);
    // A message of the broker has a MiB, and a bulk of them eight.
    frame.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
    frame.put(message.encode_to_vec().as_slice());
    frame.freeze()
}

fn unframed<A: Message + Default>(body: &Bytes) -> Result<A, String> {
    let (head, message) = body.split_at_checked(FRAME_HEAD_LEN).ok_or("no whole message")?;
    let &[flag, ref len @ ..] = head else { return Err("no whole message".to_owned()) };
    let len = len.iter().fold(0_usize, |len, byte| (len << 8) | usize::from(*byte));
    if flag != 0 {
        return Err("a compressed message, which it was not asked for".to_owned());
    }
    if len != message.len() {
        return Err("a message of another length than it says".to_owned());
    }
    A::decode(message).map_err(|e| format!("what cannot be read: {e}"))
}
