//! Topics as services use them: publishing, reading, and groups that are pulled from.

use super::Asker;
use crate::{
    answer::{Answer, Problem, json},
    app::backend::OWN_TOPICS,
    cloudevents::{
        complete, expire, from_batch, from_fields, from_json, is_batch, is_binary, is_structured,
        new_id,
    },
    context::Context,
    handlers::{messaging, topics},
    sse::{self, Format, Source},
    trace::Trace,
    wire::{
        Time,
        topics::{Message, Published},
    },
};
use base::{Timestamp, units};
use bytes::Bytes;
use events::{Event, Outgoing, Pull, PullConfig, Pulled, Settlement};
use http::{HeaderMap, StatusCode, header};
use ports::broker::{BATCH_MAX, GroupName, ID_MAX, Order, Receipt, Start, TopicName};
use runtime::Clock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Fields of a request that publishes.
const MESSAGE_ID: &str = "flotilla-message-id";
const KEY: &str = "flotilla-key";
const KIND: &str = "flotilla-type";
const DELIVER_AT: &str = "flotilla-deliver-at";
const DELIVER_AFTER: &str = "flotilla-deliver-after";
const EXPIRES_AFTER: &str = "flotilla-expires-after";

/// The extension of CloudEvents that says which events stay in order (partitioning extension).
const PARTITION_KEY: &str = "partitionkey";

/// Most messages that one request takes, and as many as it takes when it does not say.
pub(super) const TAKE_MAX: usize = BATCH_MAX;
const TAKE: usize = 16;

/// How long a request may wait for messages: clients and what stands between give up on answers that take longer.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// How long a stream waits for messages before it asks again (any time will do), and how many it sends together.
const STREAM_WAIT: Duration = Duration::from_secs(3_600);
const STREAM_BATCH: usize = 16;

/// What became of what was published: of one message, or of each of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "TopicPublishedAny")]
pub(crate) enum PublishedAny {
    /// Of a batch.
    Many(PublishedMany),
    /// Of one message.
    One(Published),
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicPublishedMany")]
pub(crate) struct PublishedMany {
    /// In the order of the request.
    pub(crate) published: Vec<Published>,
}

/// Messages that were taken from a group. Each must be settled before its time is over, or it comes again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicDeliveries")]
pub(crate) struct Deliveries {
    /// None when nothing came in time.
    pub(crate) deliveries: Vec<Delivery>,
}

/// A message that was taken.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicDelivery")]
pub(crate) struct Delivery {
    /// For settling it.
    pub(crate) receipt: String,
    /// How often it was delivered, this time included.
    pub(crate) attempt: u32,
    /// The message.
    pub(crate) message: Message,
}

/// What becomes of messages that were taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TopicSettle")]
pub(crate) struct Settle {
    /// At most 1000.
    pub(crate) settlements: Vec<OneSettled>,
}

/// What becomes of a message that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TopicSettlement")]
pub(crate) struct OneSettled {
    /// Which one.
    pub(crate) receipt: String,
    /// What becomes of it.
    #[serde(rename = "as")]
    pub(crate) verdict: SettledAs,
    /// With `retry`: not before this time; as the topic says when it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after_ms: Option<u64>,
    /// With `retry` and `drop`: why, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "TopicSettledAs")]
pub(crate) enum SettledAs {
    /// It is done.
    Done,
    /// It comes again, or becomes a dead letter when it was tried too often.
    Retry,
    /// It is given up, and becomes a dead letter where there is a place for them.
    Drop,
    /// It is still being worked on: its time begins anew.
    Extend,
}

/// How many were settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TopicSettled")]
pub(crate) struct Settled {
    /// Messages.
    pub(crate) settled: usize,
}

/// Whether an app may use a topic of this name.
pub(crate) fn not_own(topic: &TopicName) -> Result<(), Problem> {
    if topic.as_str().starts_with(OWN_TOPICS) {
        let message = format!("topics that begin with `{OWN_TOPICS}` are the node's own");
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    Ok(())
}

fn topic(context: &Context<Asker>) -> Result<TopicName, Problem> {
    let topic = context.topic()?;
    not_own(&topic)?;
    Ok(topic)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok(Some(text.trim())),
        Err(_) => Err(Problem::bad_request(format!("`{name}` is no text"))),
    }
}

fn period(headers: &HeaderMap, name: &str) -> Result<Option<Duration>, Problem> {
    let Some(text) = text(headers, name)? else { return Ok(None) };
    let read = units::parse_duration(text);
    read.map(Some).map_err(|e| Problem::bad_request(format!("`{name}: {text}`: {e}")))
}

fn after(now: Timestamp, time: Duration) -> Timestamp {
    Timestamp(now.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
}

/// When the messages of a request are published, if not at once.
fn due(headers: &HeaderMap, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    let at = text(headers, DELIVER_AT)?;
    match (at, period(headers, DELIVER_AFTER)?) {
        (Some(_), Some(_)) => {
            let message =
                "`Flotilla-Deliver-At` and `Flotilla-Deliver-After` cannot be given together";
            Err(Problem::bad_request(message))
        }
        (Some(at), None) => {
            let time = Time::parse(at);
            let time = time.map_err(|e| Problem::bad_request(format!("`{DELIVER_AT}`: {e}")))?;
            Ok(Some(time.0))
        }
        (None, Some(wait)) => Ok(Some(after(now, wait))),
        (None, None) => Ok(None),
    }
}

pub(super) async fn publish(context: Context<Asker>) -> Result<Answer, Problem> {
    let topic = topic(&context)?;
    let (messages, is_batch) = messages(&context, &topic, Clock::wall())?;
    let published = match context.events()?.topics().publish(&topic, messages).await {
        Ok(published) => published,
        Err(error) => return Err(topics::near(&context, error).await),
    };
    let is_later = published.iter().any(|it| matches!(it, events::Published::Later { .. }));
    let status = if is_later { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    let mut published: Vec<Published> = published.into_iter().map(Published::from).collect();
    match published.pop() {
        Some(only) if !is_batch => Ok(json(status, &only)),
        last => {
            published.extend(last);
            Ok(json(status, &PublishedMany { published }))
        }
    }
}

impl From<events::Published> for Published {
    fn from(published: events::Published) -> Self {
        match published {
            events::Published::Now { offset, duplicate } => {
                Self { offset: Some(offset.0), duplicate, ..Self::default() }
            }
            events::Published::Later { id, at } => {
                Self { later: Some(id), at: Some(at.into()), ..Self::default() }
            }
        }
    }
}

/// What a request publishes, and whether it is a batch.
fn messages(
    context: &Context<Asker>,
    topic: &TopicName,
    now: Timestamp,
) -> Result<(Vec<Outgoing>, bool), Problem> {
    let headers = &context.headers;
    let bad = |e: events::InvalidEvent| Problem::bad_request(e.0);
    let kind = text(headers, header::CONTENT_TYPE.as_str())?;
    let id = text(headers, MESSAGE_ID)?.map(str::to_owned);
    let is_batch = kind.is_some_and(is_batch);
    let (events, is_event) = if is_batch {
        if id.is_some() {
            let message = "`Flotilla-Message-Id` cannot be given for a batch: its events have ids";
            return Err(Problem::bad_request(message));
        }
        (from_batch(&context.body).map_err(bad)?, true)
    } else if kind.is_some_and(is_structured) {
        (vec![from_json(&context.body).map_err(bad)?], true)
    } else if is_binary(headers) {
        (vec![from_fields(headers, context.body.clone()).map_err(bad)?], true)
    } else {
        (vec![plain(context, topic, kind, id.clone(), now)?], false)
    };
    if events.is_empty() {
        return Err(Problem::bad_request("the batch has no events"));
    }
    let at = due(headers, now)?;
    let expires = period(headers, EXPIRES_AFTER)?.map(|time| after(at.unwrap_or(now), time));
    let key = text(headers, KEY)?.map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let trace = Trace::of(headers);
    let outgoing = |event: Event| {
        let mut event = complete(event).map_err(bad)?;
        trace.put_on(&mut event);
        let partition = event.extensions.get(PARTITION_KEY).cloned().map(Bytes::from);
        event.key = key.clone().or(partition);
        if let Some(at) = expires {
            expire(&mut event, at);
        }
        // Two events of one source with one id are the same event (CloudEvents §3.1.1).
        let own = is_event.then(|| format!("{}|{}", event.source, event.id));
        let own = own.filter(|id| id.len() <= ID_MAX && id.bytes().all(|it| it.is_ascii_graphic()));
        Ok(Outgoing { message_id: id.clone().or(own), event, at })
    };
    let messages = events.into_iter().map(outgoing).collect::<Result<_, Problem>>()?;
    Ok((messages, is_batch))
}

/// The event for data that is none.
fn plain(
    context: &Context<Asker>,
    topic: &TopicName,
    kind: Option<&str>,
    id: Option<String>,
    now: Timestamp,
) -> Result<Event, Problem> {
    let named = text(&context.headers, KIND)?.unwrap_or(topic.as_str());
    Ok(Event {
        id: id.unwrap_or_else(new_id),
        source: context.backend.caller.app_id().to_owned(),
        kind: named.to_owned(),
        time: Some(Time(now).to_string()),
        content_type: kind.map(str::to_owned),
        data: context.body.clone(),
        ..Event::default()
    })
}

pub(super) async fn read(context: Context<Asker>) -> Result<Answer, Problem> {
    topic(&context)?;
    topics::read(context).await
}

/// The group that a path names, ready to be pulled from.
async fn group(context: &Context<Asker>) -> Result<(TopicName, GroupName, Pull), Problem> {
    let topic = topic(context)?;
    let group = messaging::group(context.value(1))?;
    let params = &context.params;
    let from = params.text("from").map(|from| messaging::start(from, Clock::wall())).transpose()?;
    let usual = PullConfig::default();
    let config = PullConfig {
        start: from.unwrap_or(Start::End),
        ack_wait: params.number("ack_wait_ms").map_or(usual.ack_wait, Duration::from_millis),
        max_in_flight: match params.number("in_flight_max") {
            None => usual.max_in_flight,
            Some(most) => u32::try_from(most).unwrap_or(u32::MAX),
        },
        order: if params.text("order") == Some("none") { Order::None } else { Order::Key },
        ..usual
    };
    match context.events()?.topics().pull(&topic, &group, config).await {
        Ok(pull) => Ok((topic, group, pull)),
        Err(error) => Err(topics::near(context, error).await),
    }
}

pub(super) async fn take(mut context: Context<Asker>) -> Result<Answer, Problem> {
    let (_, _, mut pull) = group(&context).await?;
    let max = context.params.number("max").map(|max| usize::try_from(max).unwrap_or(usize::MAX));
    let max = max.unwrap_or(TAKE).clamp(1, TAKE_MAX);
    let wait = Duration::from_millis(context.params.number("wait_ms").unwrap_or(0));
    if wait > WAIT_MAX {
        let most = WAIT_MAX.as_secs();
        return Err(Problem::bad_request(format!("`wait_ms` is at most {most}000")));
    }
    let pulled = tokio::select! {
        biased;
        () = context.stop.wait() => {
            let message = "the node is ending";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", message));
        }
        pulled = pull.next(max, wait) => pulled?,
    };
    let deliveries = pulled.into_iter().map(Delivery::from).collect();
    Ok(json(StatusCode::OK, &Deliveries { deliveries }))
}

impl From<Pulled> for Delivery {
    fn from(pulled: Pulled) -> Self {
        let Pulled { stored, receipt, attempt } = pulled;
        Self { receipt: receipt.0, attempt, message: topics::shapes::message(stored) }
    }
}

pub(super) async fn settle(context: Context<Asker>) -> Result<Answer, Problem> {
    let topic = topic(&context)?;
    let group = messaging::group(context.value(1))?;
    let Settle { settlements } = context.read()?;
    let settled = settlements.len();
    if settled > TAKE_MAX {
        let message = format!("{settled} messages are settled at once, {TAKE_MAX} are allowed");
        return Err(Problem::bad_request(message));
    }
    let one = |it: OneSettled| {
        let settlement = match it.verdict {
            SettledAs::Done => Settlement::Done,
            SettledAs::Retry => Settlement::Retry {
                after: it.after_ms.map(Duration::from_millis),
                reason: it.reason,
            },
            SettledAs::Drop => Settlement::Drop { reason: it.reason },
            SettledAs::Extend => Settlement::Extend,
        };
        (Receipt(it.receipt), settlement)
    };
    let what = settlements.into_iter().map(one).collect();
    context.events()?.topics().settle(&topic, &group, what).await?;
    Ok(json(StatusCode::OK, &Settled { settled }))
}

pub(super) async fn follow(context: Context<Asker>) -> Result<Answer, Problem> {
    context.must_want_events()?;
    let (_, _, pull) = group(&context).await?;
    context.stream(Taking { pull }, Format::Sse)
}

/// Messages of a group as they come.
struct Taking {
    pull: Pull,
}

impl Source for Taking {
    async fn next(&mut self) -> Option<Bytes> {
        // Whoever wants to know why it ended asks again, and gets the error as an answer.
        let pulled = self.pull.next(STREAM_BATCH, STREAM_WAIT).await.ok()?;
        let mut out = Vec::new();
        for one in pulled {
            out.extend_from_slice(&sse::plain_message("delivery", &Delivery::from(one)));
        }
        Some(out.into())
    }
}
