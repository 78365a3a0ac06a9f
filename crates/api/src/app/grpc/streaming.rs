//! Subscriptions that a connection holds open: the app asks for a topic, and then answers each event on the same stream.
//!
//! ```text
//!  app                              node
//!   │ initial_request (topic) ────► │
//!   │ ◄──────────── initial_response│
//!   │ ◄───────────── event_message  │ ◄── the broker's group of the app, shared by all its streams
//!   │ event_processed (id, status)─►│ ──► settled
//! ```
//! The app knows events by their own ids, which another event may have too: of several with one id, the earliest is meant.

use super::{MESSAGE_TIMEOUT, service::Dapr};
use crate::app::{
    blocks::pubsub::{self, Opened},
    deliver::{
        callback::request,
        envelope::{Component, envelope, topic_of},
    },
    fault::Fault,
};
use events::{Taken, Verdict};
use futures_util::stream;
use proto::dapr::runtime::{
    SubscribeTopicEventsRequestAlpha1, SubscribeTopicEventsRequestInitialAlpha1,
    SubscribeTopicEventsRequestProcessedAlpha1, SubscribeTopicEventsResponseAlpha1,
    SubscribeTopicEventsResponseInitialAlpha1,
    subscribe_topic_events_request_alpha1::SubscribeTopicEventsRequestType as Asked,
    subscribe_topic_events_response_alpha1::SubscribeTopicEventsResponseType as Told,
    topic_event_response::TopicEventResponseStatus,
};
use runtime::Stop;
use std::collections::VecDeque;
use tokio::sync::OwnedSemaphorePermit;
use tonic::{Request, Response, Status, Streaming, codegen::BoxStream};

/// Most events whose answers are waited for: many times what is in flight, because an app that does not answer in time may
/// answer the next delivery.
const WAITING_MAX: usize = 1_024;

type Inbound = Streaming<SubscribeTopicEventsRequestAlpha1>;

/// Where a stream is.
enum Stage {
    /// The app has not said yet what it wants.
    Asked(Box<Wish>),
    Open(Box<Session>),
    Ended,
}

/// A stream whose app has not said yet what it wants.
struct Wish {
    dapr: Dapr,
    inbound: Inbound,
    permit: OwnedSemaphorePermit,
}

/// A stream that has its topic.
struct Session {
    inbound: Inbound,
    opened: Opened,
    component: Component,
    /// Events that the app has not answered, oldest first: the id that it knows, and the one that we settle by.
    waiting: VecDeque<(String, String)>,
    stop: Stop,
    _permit: OwnedSemaphorePermit,
}

impl Dapr {
    pub(super) fn subscribe(
        &self,
        request: Request<Inbound>,
    ) -> Result<Response<BoxStream<SubscribeTopicEventsResponseAlpha1>>, Status> {
        let permit = self.shared.streams.clone().try_acquire_owned();
        let permit = permit.map_err(|_e| Fault::busy(self.shared.streams_max))?;
        let (dapr, inbound) = (self.clone(), request.into_inner());
        let first = Stage::Asked(Box::new(Wish { dapr, inbound, permit }));
        let stream = stream::unfold(first, |stage| async move {
            match step(stage).await {
                Ok((told, next)) => Some((Ok(told), next)),
                Err(Some(status)) => Some((Err(status), Stage::Ended)),
                Err(None) => None,
            }
        });
        Ok(Response::new(Box::pin(stream)))
    }
}

/// What is told next, and how it goes on; `None`: it is over.
async fn step(stage: Stage) -> Result<(SubscribeTopicEventsResponseAlpha1, Stage), Option<Status>> {
    let (told, session) = match stage {
        Stage::Asked(wish) => {
            let session = begin(*wish).await.map_err(Some)?;
            (Told::InitialResponse(SubscribeTopicEventsResponseInitialAlpha1 {}), session)
        }
        Stage::Open(mut session) => (session.next().await?, session),
        Stage::Ended => return Err(None),
    };
    let told =
        SubscribeTopicEventsResponseAlpha1 { subscribe_topic_events_response_type: Some(told) };
    Ok((told, Stage::Open(session)))
}

async fn begin(wish: Wish) -> Result<Box<Session>, Status> {
    let Wish { dapr, mut inbound, permit } = wish;
    let first = tokio::time::timeout(MESSAGE_TIMEOUT, inbound.message()).await;
    let late = |_elapsed| Status::deadline_exceeded("the initial request did not come in time");
    let first = first.map_err(late)??;
    let Some(Asked::InitialRequest(asked)) =
        first.and_then(|it| it.subscribe_topic_events_request_type)
    else {
        return Err(Status::invalid_argument("initial request is required"));
    };
    let SubscribeTopicEventsRequestInitialAlpha1 {
        pubsub_name,
        topic,
        metadata,
        dead_letter_topic,
    } = asked;
    let Dapr { shared, caller } = dapr;
    let dead = dead_letter_topic.as_deref();
    let opened = pubsub::open(&shared, &caller, &pubsub_name, &topic, &metadata, dead).await?;
    let prefix = opened.place.component.prefix.clone();
    Ok(Box::new(Session {
        inbound,
        opened,
        component: Component { name: pubsub_name, prefix },
        waiting: VecDeque::new(),
        stop: shared.stop.clone(),
        _permit: permit,
    }))
}

/// What happens on an open stream.
enum Next {
    Answered(Option<SubscribeTopicEventsRequestAlpha1>),
    Taken(Box<Taken>),
}

impl Session {
    /// The next event; meanwhile the app's answers are taken.
    async fn next(&mut self) -> Result<Told, Option<Status>> {
        loop {
            let next = tokio::select! {
                biased;
                () = self.stop.wait() => {
                    return Err(Some(Status::unavailable("the node is ending")));
                }
                answered = self.inbound.message() => Next::Answered(answered.map_err(|_gone| None)?),
                taken = self.opened.open.next() => {
                    let taken = taken.map_err(|e| Some(Status::unavailable(e.to_string())))?;
                    Next::Taken(Box::new(taken))
                }
            };
            match next {
                Next::Answered(None) => return Err(None),
                Next::Answered(Some(message)) => {
                    match message.subscribe_topic_events_request_type {
                        Some(Asked::EventProcessed(answer)) => self.settle(answer).await,
                        Some(Asked::InitialRequest(_)) | None => {
                            let words = "duplicate initial request received";
                            return Err(Some(Status::invalid_argument(words)));
                        }
                    }
                }
                Next::Taken(taken) => return Ok(Told::EventMessage(self.show(*taken))),
            }
        }
    }

    fn show(&mut self, taken: Taken) -> proto::dapr::runtime::TopicEventRequest {
        let topic = topic_of(&taken.incoming, &self.component);
        let event = envelope(&taken.incoming, &self.component, &topic, self.opened.raw);
        self.waiting.push_back((event.id.clone(), taken.id));
        if self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
        }
        request(event, topic, &self.component.name, &taken.path)
    }

    async fn settle(&mut self, answer: SubscribeTopicEventsRequestProcessedAlpha1) {
        let at = self.waiting.iter().position(|(id, _)| *id == answer.id);
        let Some((_, place)) = at.and_then(|at| self.waiting.remove(at)) else { return };
        let status = answer.status.map(|status| status.status()).unwrap_or_default();
        let reason = format!("{} status returned from app", status.as_str_name());
        let verdict = match status {
            TopicEventResponseStatus::Success => Verdict::Done,
            TopicEventResponseStatus::Retry => Verdict::Retry { after: None, reason },
            TopicEventResponseStatus::Drop => Verdict::Drop { reason },
        };
        self.opened.open.settle(&place, verdict).await;
    }
}
