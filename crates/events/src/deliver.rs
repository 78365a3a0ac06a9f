//! Who carries events to apps, and who opens the databases of services.

use crate::{Event, Relay};
use async_trait::async_trait;
use base::ServiceName;
use ports::{broker, outbox::Outbox, streams};
use std::{fmt, sync::Arc, time::Duration};

/// Where an event comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A topic.
    Topic {
        /// Its name.
        topic: broker::TopicName,
        /// Where it stands there.
        offset: broker::Offset,
    },
    /// A stream of events.
    Stream {
        /// Its name.
        stream: String,
        /// Where it stands there.
        revision: u64,
        /// Where it stands among all.
        position: streams::Position,
    },
    /// A job or a schedule.
    Job {
        /// Its name.
        name: String,
    },
}

/// An event on its way to an app.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The event.
    pub event: Event,
    /// Where it comes from.
    pub origin: Origin,
    /// How often it was delivered, this time included.
    pub attempt: u32,
}

/// Where events are delivered to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A path of a service: an HTTP request for each event.
    Http {
        /// The service.
        service: ServiceName,
        /// The method, `POST` as a rule.
        method: String,
        /// The path, beginning with `/`.
        path: String,
        /// What the request looks like.
        shape: Shape,
    },
    /// As Dapr delivers: over HTTP or gRPC, as the app speaks; the answer's body or message is the verdict.
    Dapr {
        /// The service.
        service: ServiceName,
        /// The name of the broker's component, `pubsub`.
        pubsub: String,
        /// The path of the route; gRPC apps are told it too.
        path: String,
        /// The data alone, without an envelope.
        raw: bool,
        /// Many at once in one envelope.
        bulk: bool,
    },
    /// A job of Dapr's: `POST /job/<name>` or `OnJobEvent`.
    DaprJob {
        /// The service.
        service: ServiceName,
        /// The job.
        name: String,
    },
    /// A connection that somebody holds open; its number.
    Open(u64),
}

/// What an HTTP delivery looks like (CloudEvents HTTP protocol binding 1.0.2, §3.1 and §3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shape {
    /// `application/cloudevents+json`: attributes and data in one JSON object.
    #[default]
    Structured,
    /// Attributes in `ce-` fields, the data as body.
    Binary,
    /// The data as body, no attributes.
    Raw,
}

impl Target {
    /// The service that takes them; `None` for [`Self::Open`].
    #[must_use]
    pub fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Http { service, .. }
            | Self::Dapr { service, .. }
            | Self::DaprJob { service, .. } => Some(service),
            Self::Open(_) => None,
        }
    }
}

/// What a subscriber says of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// Again, later: not before this time when it says one. The reason is for people.
    Retry {
        /// A time that the subscriber asked for (`Retry-After`).
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Never again. It becomes a dead letter where there is a place for them.
    Drop {
        /// Why.
        reason: String,
    },
    /// Nobody was there to take it: this was no attempt.
    Away {
        /// Why.
        reason: String,
    },
}

/// Carries events to apps.
#[async_trait]
pub trait Deliver: Send + Sync + fmt::Debug {
    /// Delivers `events`, more than one only to targets that take many. One verdict for each, in order. Bounded in time by
    /// `timeout`, then it is [`Verdict::Retry`].
    ///
    /// # Cancel safety
    /// Not cancel safe: the app may have got them.
    async fn deliver(
        &self,
        target: &Target,
        events: &[Incoming],
        timeout: Duration,
    ) -> Vec<Verdict>;

    /// Waits until somebody could take deliveries to `target`: an instance of the service is ready. Returns at once when that
    /// is so, and when there is no telling.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn ready(&self, target: &Target);

    /// What a service says itself that it wants: Dapr's `GET /dapr/subscribe` or `ListTopicSubscriptions`. Asked when an
    /// instance of it becomes ready. Empty for services that say nothing.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn declared(&self, service: &ServiceName) -> Vec<crate::Subscription>;
}

/// Opens the databases in which services leave messages.
#[async_trait]
pub trait Outboxes: Send + Sync + fmt::Debug {
    /// Opens one. It may not be there yet: then its calls say so.
    ///
    /// # Errors
    /// When the address cannot be meant so, for people.
    async fn open(&self, relay: &Relay) -> Result<Arc<dyn Outbox>, String>;
}
