//! Publish and subscribe: messages of components, as events of the broker's topics.

use super::is_true;
use crate::{
    app::{
        Caller, Shared,
        backend::topic_of,
        deliver::envelope::{KIND, PUBSUB, SOURCE, TOPIC, TRACEID},
        fault::{Code, Fault},
    },
    cloudevents::{self, from_json, is_structured, new_id},
    trace::{TRACEPARENT, TRACESTATE, Trace},
    wire::Time,
};
use base::{ErrorChain, Timestamp};
use bytes::Bytes;
use events::{DeadLetter, Error, Event, Open, Outgoing, Route, Subscription, Target};
use http::StatusCode;
use ports::broker::{self, BATCH_MAX, BATCH_SIZE_MAX, GroupName, Order, Start, TopicName};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Metadata of a message.
const RAW: &str = "rawPayload";
const TTL: &str = "ttlInSeconds";
const KEY: &str = "partitionKey";
/// Stands before metadata that is an attribute of the event, in any case.
const ATTRIBUTE: &str = "cloudevent.";

/// The type of data that has none.
const TEXT: &str = "text/plain";

/// What a message is counted with beside its data, when messages are put together: its attributes take less.
const OVERHEAD: usize = 2 << 10;

/// How many events of a stream wait for the app's answer at most.
const OPEN_CONCURRENCY: u32 = 64;
/// How long an app may take to answer an event of a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(60);

/// A message that shall be published.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) data: Bytes,
    /// Empty: none.
    pub(crate) content_type: String,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// A message among many.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) message: Message,
}

/// An entry that was not published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) id: String,
    pub(crate) error: String,
}

/// A topic of a component.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) component: Arc<manifest::PubSub>,
    /// As it is named by those who use the component.
    pub(crate) called: String,
    pub(crate) topic: TopicName,
}

/// What is done there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    Publish,
    Subscribe,
}

/// Finds a topic that the caller may use.
pub(crate) fn find(
    shared: &Shared,
    caller: &Caller,
    pubsub: &str,
    topic: &str,
    what: Use,
) -> Result<Place, Fault> {
    if pubsub.is_empty() {
        return Err(Fault::no_pubsub_name());
    }
    let component = shared.backend.pubsub(&caller.id.service, pubsub);
    let Some(component) = component.filter(|_| shared.events.is_some()) else {
        return Err(Fault::no_pubsub(pubsub));
    };
    if topic.is_empty() {
        return Err(Fault::no_topic_name(pubsub));
    }
    let app = caller.app_id();
    let may = match what {
        Use::Publish => component.may_publish(app, topic),
        Use::Subscribe => component.may_subscribe(app, topic),
    };
    if !may {
        return Err(Fault::pubsub_forbidden(pubsub, topic, app));
    }
    let name = topic_of(&component.prefix, topic).map_err(|why| {
        let fault = match what {
            Use::Publish => Fault::publish(pubsub, topic, why),
            Use::Subscribe => Fault::subscribe(pubsub, topic, why),
        };
        fault.with(StatusCode::BAD_REQUEST, Code::InvalidArgument)
    })?;
    Ok(Place { component, called: topic.to_owned(), topic: name })
}

fn handle(shared: &Shared, pubsub: &str) -> Result<events::Handle, Fault> {
    shared.events.clone().ok_or_else(|| Fault::no_pubsub(pubsub))
}

/// Publishes one message.
pub(crate) async fn publish(
    shared: &Shared,
    caller: &Caller,
    pubsub: &str,
    topic: &str,
    message: Message,
    trace: &Trace,
) -> Result<(), Fault> {
    let place = find(shared, caller, pubsub, topic, Use::Publish)?;
    let event = event(caller, &place, message, trace)?;
    let outgoing = Outgoing { event, ..Outgoing::default() };
    let topics = handle(shared, pubsub)?.topics();
    match topics.publish(&place.topic, vec![outgoing]).await {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(pubsub, topic, &error)),
    }
}

fn refused(pubsub: &str, topic: &str, error: &Error) -> Fault {
    let fault = Fault::publish(pubsub, topic, ErrorChain(error));
    match error {
        Error::Missing { .. } => fault.with(StatusCode::NOT_FOUND, Code::NotFound),
        Error::Invalid(_) | Error::Broker(broker::Error::Invalid(_)) => {
            fault.with(StatusCode::BAD_REQUEST, Code::InvalidArgument)
        }
        Error::TooMany { .. } | Error::Broker(broker::Error::TooLarge { .. }) => {
            fault.with(StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted)
        }
        _ => fault,
    }
}

/// Publishes many messages, in their order; those that failed are told. All have the trace of the request.
pub(crate) async fn publish_bulk(
    shared: &Shared,
    caller: &Caller,
    pubsub: &str,
    topic: &str,
    entries: Vec<Entry>,
    trace: &Trace,
) -> Result<Vec<Failed>, Fault> {
    let place = find(shared, caller, pubsub, topic, Use::Publish)?;
    let mut ids = BTreeSet::new();
    let mut batches: Vec<(Vec<String>, Vec<Outgoing>)> = Vec::new();
    let mut size = 0;
    for Entry { id, message } in entries {
        if id.is_empty() || !ids.insert(id.clone()) {
            let why = "entryId is duplicated or not present for entry";
            return Err(Fault::pubsub_entries(pubsub, topic, why));
        }
        let event = event(caller, &place, message, trace)?;
        size += event.data.len() + OVERHEAD;
        let is_full = batches.last().is_none_or(|(ids, _)| ids.len() >= BATCH_MAX);
        if is_full || size > BATCH_SIZE_MAX {
            batches.push((Vec::new(), Vec::new()));
            size = event.data.len() + OVERHEAD;
        }
        if let Some((ids, outgoing)) = batches.last_mut() {
            ids.push(id);
            outgoing.push(Outgoing { event, ..Outgoing::default() });
        }
    }
    let topics = handle(shared, pubsub)?.topics();
    let mut failed = Vec::new();
    for (ids, outgoing) in batches {
        if let Err(error) = topics.publish(&place.topic, outgoing).await {
            let error = ErrorChain(&error).to_string();
            failed.extend(ids.into_iter().map(|id| Failed { id, error: error.clone() }));
        }
    }
    Ok(failed)
}

/// The event that a message is.
fn event(caller: &Caller, place: &Place, message: Message, trace: &Trace) -> Result<Event, Fault> {
    let pubsub = place.component.name.as_str();
    let Message { data, content_type, metadata } = message;
    let bad = |why: String| Fault::pubsub_metadata(pubsub, why);
    let expires = ttl(&metadata).map_err(bad)?;
    let key = metadata.get(KEY).filter(|key| !key.is_empty()).cloned().map(Bytes::from);
    let given = Some(content_type).filter(|kind| !kind.is_empty());
    let mut event = if is_raw(&metadata).map_err(bad)? {
        Event { data, content_type: given, expires, ..Event::default() }
    } else if given.as_deref().is_some_and(is_structured) {
        let read = from_json(&data).and_then(|event| {
            let event = passed_on(event, place, trace);
            event.check().map(|()| event)
        });
        read.map_err(|e| Fault::pubsub_event(pubsub, caller.app_id(), e))?
    } else {
        let event = wrapped(caller, place, &metadata, trace);
        Event { data, content_type: given.or_else(|| Some(TEXT.to_owned())), ..event }
    };
    event.key = key;
    if let Some(at) = expires
        && !event.is_raw()
    {
        cloudevents::expire(&mut event, at);
    }
    event.check().map_err(|e| Fault::pubsub_event(pubsub, caller.app_id(), e))?;
    Ok(event)
}

/// An event that the app has written itself, with what it left out.
fn passed_on(mut event: Event, place: &Place, trace: &Trace) -> Event {
    for (value, default) in [(&mut event.source, SOURCE), (&mut event.kind, KIND)] {
        if value.is_empty() {
            default.clone_into(value);
        }
    }
    if event.id.is_empty() {
        event.id = new_id();
    }
    event.extensions.insert(TOPIC.to_owned(), place.called.clone());
    event.extensions.insert(PUBSUB.to_owned(), place.component.name.clone());
    traced(&mut event, trace);
    event
}

/// An event for data that is none, with the attributes that metadata gives it.
fn wrapped(
    caller: &Caller,
    place: &Place,
    metadata: &BTreeMap<String, String>,
    trace: &Trace,
) -> Event {
    let given = |name: &str| {
        let mut all = metadata.iter();
        let found = all.find(|(key, _)| {
            let prefix = key.get(..ATTRIBUTE.len());
            prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(ATTRIBUTE))
                && key.get(ATTRIBUTE.len()..).is_some_and(|rest| rest.eq_ignore_ascii_case(name))
        });
        found.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
    };
    let parent = given(TRACEPARENT).or_else(|| given(TRACEID));
    let parent = parent.unwrap_or_else(|| trace.parent.clone());
    let state = given(TRACESTATE).or_else(|| trace.state.clone());
    let mut event = Event {
        id: given("id").unwrap_or_else(new_id),
        source: given("source").unwrap_or_else(|| caller.app_id().to_owned()),
        kind: given("type").unwrap_or_else(|| KIND.to_owned()),
        subject: given("subject"),
        time: Some(Time(runtime::Clock::wall()).to_string()),
        ..Event::default()
    };
    event.extensions.insert(TOPIC.to_owned(), place.called.clone());
    event.extensions.insert(PUBSUB.to_owned(), place.component.name.clone());
    traced(&mut event, &Trace { parent, state });
    event
}

/// Gives an event the trace of its request, unless it has one. Dapr's name for it goes with it, one way and the other.
fn traced(event: &mut Event, trace: &Trace) {
    let all = &mut event.extensions;
    let own = [TRACEPARENT, TRACEID].into_iter().find_map(|name| all.get(name));
    let own = own.filter(|own| !own.is_empty()).cloned();
    if let Some(state) = trace.state.as_ref().filter(|_| own.is_none()) {
        all.entry(TRACESTATE.to_owned()).or_insert_with(|| state.clone());
    }
    let parent = own.unwrap_or_else(|| trace.parent.clone());
    for name in [TRACEPARENT, TRACEID] {
        all.entry(name.to_owned()).or_insert_with(|| parent.clone());
    }
}

fn is_raw(metadata: &BTreeMap<String, String>) -> Result<bool, String> {
    let Some(text) = metadata.get(RAW).filter(|text| !text.is_empty()) else { return Ok(false) };
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" => Ok(true),
        "false" | "f" | "0" => Ok(false),
        _ => Err(format!("{RAW} is `{}`: true or false is expected", text.escape_debug())),
    }
}

/// When nobody wants the message any more.
fn ttl(metadata: &BTreeMap<String, String>) -> Result<Option<Timestamp>, String> {
    let Some(text) = metadata.get(TTL).filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.trim().parse::<u64>() {
        Ok(seconds) if seconds > 0 => {
            let micros = seconds.saturating_mul(1_000_000);
            Ok(Some(Timestamp(runtime::Clock::wall().0.saturating_add(micros))))
        }
        _ => {
            let text = text.escape_debug();
            Err(format!("{TTL} is `{text}`: a whole number from 1 is expected"))
        }
    }
}

/// Numbers of connections that hold subscriptions.
static CONNECTION: AtomicU64 = AtomicU64::new(1);

/// A subscription that a connection holds open.
pub(crate) struct Opened {
    pub(crate) open: Open,
    pub(crate) place: Place,
    pub(crate) raw: bool,
}

/// Subscribes a connection of the caller to a topic. The connections of an app share its messages.
pub(crate) async fn open(
    shared: &Shared,
    caller: &Caller,
    pubsub: &str,
    topic: &str,
    metadata: &BTreeMap<String, String>,
    dead_letter: Option<&str>,
) -> Result<Opened, Fault> {
    let place = find(shared, caller, pubsub, topic, Use::Subscribe)?;
    let bad = |why: String| {
        let fault = Fault::subscribe(pubsub, topic, why);
        fault.with(StatusCode::BAD_REQUEST, Code::InvalidArgument)
    };
    let dead_letter = dead_letter.filter(|name| !name.is_empty());
    let dead_letter = dead_letter.map(|name| topic_of(&place.component.prefix, name)).transpose();
    let dead_letter = dead_letter.map_err(bad)?;
    let group = GroupName::new(&place.component.group_of(caller.app_id()));
    let to = Target::Open(CONNECTION.fetch_add(1, Ordering::Relaxed));
    let subscription = Subscription {
        topic: place.topic.clone(),
        group: group.map_err(|e| bad(e.to_string()))?,
        routes: vec![Route { when: None, to }],
        start: Start::Beginning,
        concurrency: OPEN_CONCURRENCY,
        order: Order::Key,
        timeout: OPEN_TIMEOUT,
        retry: dead_letter.is_some().then_some(crate::app::deliver::DEAD_LETTER_RETRY),
        dead_letter: dead_letter.map(DeadLetter::Topic),
        bulk: None,
    };
    let opened = handle(shared, pubsub)?.subscribe_open(subscription).await;
    let open = opened.map_err(|e| match e {
        Error::Missing { .. } => {
            let fault = Fault::subscribe(pubsub, topic, &e);
            fault.with(StatusCode::NOT_FOUND, Code::NotFound)
        }
        _ => Fault::subscribe(pubsub, topic, ErrorChain(&e)),
    })?;
    let raw = metadata.get(RAW).is_some_and(|text| is_true(text));
    Ok(Opened { open, place, raw })
}
