//! Topics as they are written in JSON.

use crate::{
    handlers::messaging::{Shown, millis},
    wire::{
        Time,
        topics::{
            Broker, DeadLetter, DeclaredBy, Durability, Event, Group, Later, Message, Relay, Route,
            Subscription, Topic,
        },
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use events::{BrokerStatus, DeadInfo, RelayStatus, Stored, SubscriptionStatus, TopicInfo};
use ports::broker::{self, GroupStatus, Order};

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

pub(super) fn broker(status: BrokerStatus) -> Broker {
    let offers = status.capabilities;
    Broker {
        place: status.place,
        up: status.is_well,
        trouble: status.problem,
        durable: match offers.durable {
            broker::Durability::Process => Durability::Process,
            broker::Durability::Machine => Durability::Machine,
            broker::Durability::Server => Durability::Server,
        },
        parallel_keys: offers.parallel_keys,
        live_seek: offers.live_seek,
        shared: offers.shared,
    }
}

pub(super) fn topic(info: TopicInfo) -> Topic {
    let TopicInfo { status, dead, dead_topic, retry, of_file, .. } = info;
    Topic {
        name: status.name.to_string(),
        of_file,
        messages: status.messages,
        size_bytes: status.bytes,
        first: status.first.0,
        last: status.last.0,
        retain_ms: status.config.retain.map(millis),
        retain_bytes: status.config.max_bytes.map(|size| size.0),
        dedup_ms: millis(status.config.dedup_window),
        attempts_max: retry.max,
        backoff_first_ms: millis(retry.backoff.first),
        backoff_max_ms: millis(retry.backoff.max),
        dead_topic: dead_topic.map(|topic| topic.to_string()),
        dead,
        groups: count(status.groups),
    }
}

pub(super) fn group(status: &GroupStatus) -> Group {
    Group {
        name: status.name.to_string(),
        settled: status.settled.0,
        lag: status.lag,
        in_flight: status.in_flight,
        waiting: status.waiting,
        subscriptions: count(status.subscriptions),
        ack_wait_ms: millis(status.config.ack_wait),
        in_flight_max: status.config.max_in_flight,
        keeps_order: status.config.order == Order::Key,
        durable: status.config.durable,
    }
}

pub(crate) fn message(stored: Stored) -> Message {
    Message {
        offset: stored.offset.0,
        at: stored.time.into(),
        message_id: stored.message_id,
        event: event(stored.event),
        only_group: stored.only_group.map(|group| group.to_string()),
        dead: stored.dead.map(dead),
    }
}

fn dead(info: DeadInfo) -> DeadLetter {
    DeadLetter {
        topic: info.topic.to_string(),
        offset: info.offset.0,
        group: info.group.to_string(),
        reason: info.reason,
        attempts: info.attempts,
        at: info.time.into(),
    }
}

pub(super) fn later(later: events::Later) -> Later {
    Later { id: later.id, at: later.at.into(), event: event(later.event) }
}

fn event(event: events::Event) -> Event {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let Shown { data, text, base64 } = Shown::of(&event.data);
    let (key, key_base64) = match event.key.map(|key| String::from_utf8(key.into())) {
        None => (None, None),
        Some(Ok(key)) => (Some(key), None),
        Some(Err(binary)) => (None, Some(STANDARD.encode(binary.as_bytes()))),
    };
    Event {
        id: some(event.id),
        source: some(event.source),
        kind: some(event.kind),
        subject: event.subject,
        time: event.time,
        content_type: event.content_type,
        schema: event.schema,
        extensions: event.extensions,
        key,
        key_base64,
        expires_at: event.expires.map(Time),
        data,
        text,
        base64,
    }
}

impl From<SubscriptionStatus> for Subscription {
    fn from(status: SubscriptionStatus) -> Self {
        Self {
            topic: status.topic.to_string(),
            group: status.group.to_string(),
            declared_by: match status.from {
                events::DeclaredBy::File => DeclaredBy::File,
                events::DeclaredBy::App => DeclaredBy::App,
                events::DeclaredBy::Connection => DeclaredBy::Connection,
            },
            service: status.service.map(|service| service.to_string()),
            routes: status.routes.into_iter().map(|(when, to)| Route { when, to }).collect(),
            dead_topic: status.dead_letter.map(|topic| topic.to_string()),
            delivered: status.delivered,
            done: status.done,
            retried: status.retried,
            dead: status.dead,
            dropped: status.dropped,
            in_flight: status.in_flight,
            paused: status.paused,
            last_error: status.last_error,
        }
    }
}

impl From<RelayStatus> for Relay {
    fn from(status: RelayStatus) -> Self {
        Self {
            service: status.service.to_string(),
            table: status.table,
            topic: status.topic,
            relayed: status.relayed,
            last_at: status.last.map(Time),
            trouble: status.problem,
        }
    }
}
