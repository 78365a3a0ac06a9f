//! The messages of topics: publishing, reading, dead letters, and those that wait for their time.

use super::{near, shapes};
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    handlers::{
        Reach,
        messaging::{self, ANSWER_SIZE_MAX, given, random_id},
    },
    sse::{self, Format, Source},
    trace::{self, TRACEPARENT},
    wire::{
        self, Time,
        state::Deleted,
        topics::{DeadLetters, Laters, Messages, Publish, Redrive, Redriven},
    },
};
use base::Timestamp;
use bytes::Bytes;
use events::{Event, Outgoing, Published, REDRIVE_MAX, Replay, Stored, TopicInfo};
use http::StatusCode;
use ports::broker::{Offset, Start, TopicName};
use runtime::Clock;
use std::time::Duration;

/// Most messages of an answer.
const MESSAGES_MAX: usize = 1_000;

/// Messages of an answer when nobody says how many.
const MESSAGES: usize = 100;

/// Most messages that are taken from a topic at once: with the largest ones they are still a piece that a connection can
/// take.
const BATCH: usize = 16;

/// Most dead letters, and most messages that wait, in an answer. Each may be a mebibyte.
const LETTERS_MAX: usize = 100;

/// How long messages are waited for that should be there: retention may remove them while they are looked for.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn publish(context: Context) -> Result<Answer, Problem> {
    let topic = context.topic()?;
    let message = outgoing(&topic, context.read()?, Clock::wall())?;
    let published = match context.events()?.topics().publish(&topic, vec![message]).await {
        Ok(published) => published,
        Err(error) => return Err(near(&context, error).await),
    };
    let answer = match published.into_iter().next() {
        Some(Published::Now { offset, duplicate }) => wire::topics::Published {
            offset: Some(offset.0),
            duplicate,
            ..wire::topics::Published::default()
        },
        Some(Published::Later { id, at }) => wire::topics::Published {
            later: Some(id),
            at: Some(at.into()),
            ..wire::topics::Published::default()
        },
        None => wire::topics::Published::default(),
    };
    Ok(json(StatusCode::OK, &answer))
}

/// The message that a request asks for.
pub(crate) fn outgoing(
    topic: &TopicName,
    asked: Publish,
    now: Timestamp,
) -> Result<Outgoing, Problem> {
    let at = match (asked.after_ms, asked.at) {
        (Some(_), Some(_)) => {
            return Err(Problem::bad_request("give one of `after_ms` and `at`"));
        }
        (Some(ms), None) => Some(messaging::later(now, ms)),
        (None, at) => at.map(|at| at.0),
    };
    let (data, looks_like) = given(asked.data, asked.text, asked.base64)?;
    let mut event = Event {
        data,
        content_type: asked.content_type.or_else(|| looks_like.map(str::to_owned)),
        extensions: asked.extensions,
        key: asked.key.map(Bytes::from),
        expires: asked.ttl_ms.map(|ms| messaging::later(at.unwrap_or(now), ms)),
        ..Event::default()
    };
    if asked.raw {
        if asked.kind.is_some() || asked.source.is_some() || asked.subject.is_some() {
            let message = "a `raw` message has no `type`, `source` or `subject`";
            return Err(Problem::bad_request(message));
        }
    } else {
        event.id = match &asked.id {
            Some(id) => id.clone(),
            None => random_id()?,
        };
        event.kind = asked.kind.unwrap_or_else(|| topic.to_string());
        event.source = asked.source.unwrap_or_else(|| "flotilla".to_owned());
        event.subject = asked.subject;
        event.time = Some(Time(now).to_string());
        event.extensions.entry(TRACEPARENT.to_owned()).or_insert_with(trace::begin);
    }
    Ok(Outgoing { event, message_id: asked.id, at })
}

pub(crate) async fn read<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let topic = context.topic()?;
    let topics = context.events()?.topics();
    let info = match topics.show(&topic).await {
        Ok(info) => info,
        Err(error) => return Err(near(&context, error).await),
    };
    let from = context.params.text("from");
    let from = from.map(|from| messaging::start(from, Clock::wall())).transpose()?;
    if context.wants_events() {
        let resumed = context.last_event_id()?.map(|last| Start::Offset(Offset(last).next()));
        let replay = topics.read(&topic, resumed.or(from).unwrap_or(Start::End)).await?;
        return context.stream(Tail { replay }, Format::Sse);
    }
    let limit = context.limit(MESSAGES, MESSAGES_MAX);
    let found = page(&topics, &info, from.unwrap_or(Start::Beginning), limit).await?;
    Ok(json(StatusCode::OK, &found))
}

/// The messages that are there, from `start` on.
async fn page(
    topics: &events::Topics,
    info: &TopicInfo,
    start: Start,
    limit: usize,
) -> Result<Messages, Problem> {
    let (topic, last) = (&info.status.name, info.status.last);
    let is_over = match start {
        Start::End => true,
        Start::Offset(offset) => offset > last,
        Start::Beginning | Start::Time(_) => false,
    };
    if is_over || info.status.messages == 0 {
        return Ok(Messages::default());
    }
    if let Start::Time(time) = start {
        // A reader would wait for a message that is younger than all there are.
        let mut replay = topics.read(topic, Start::Offset(last)).await?;
        let newest = batch(&mut replay, 1).await?;
        if newest.first().is_none_or(|newest| newest.time < time) {
            return Ok(Messages::default());
        }
    }
    let mut replay = topics.read(topic, start).await?;
    let (mut found, mut size, mut at) = (Vec::new(), 0, None);
    while found.len() < limit && size < ANSWER_SIZE_MAX && at.is_none_or(|at| at < last) {
        let batch = batch(&mut replay, BATCH.min(limit - found.len())).await?;
        let Some(newest) = batch.last() else { break };
        at = Some(newest.offset);
        size += batch.iter().map(|stored| stored.event.data.len()).sum::<usize>();
        found.extend(batch.into_iter().map(shapes::message));
    }
    let next = at.filter(|at| *at < last).map(|at| at.next().0);
    Ok(Messages { messages: found, next })
}

/// The next messages; none when they do not come although they were there.
async fn batch(replay: &mut Replay, max: usize) -> Result<Vec<Stored>, Problem> {
    match tokio::time::timeout(PATIENCE, replay.next(max)).await {
        Ok(found) => Ok(found?),
        Err(_elapsed) => Ok(Vec::new()),
    }
}

/// A topic as it goes on.
struct Tail {
    replay: Replay,
}

impl Source for Tail {
    async fn next(&mut self) -> Option<Bytes> {
        // Whoever wants to know why it ended asks again, and gets the error as an answer.
        let batch = self.replay.next(BATCH).await.ok()?;
        let mut out = Vec::new();
        for stored in batch {
            let offset = stored.offset.0;
            out.extend_from_slice(&sse::message(offset, "message", &shapes::message(stored)));
        }
        Some(out.into())
    }
}

pub(crate) async fn dead_letters(context: Context) -> Result<Answer, Problem> {
    let topic = context.topic()?;
    let topics = context.events()?.topics();
    if let Err(error) = topics.show(&topic).await {
        return Err(near(&context, error).await);
    }
    let limit = context.limit(LETTERS_MAX, LETTERS_MAX);
    let from = context.params.number("from").map(Offset);
    let found = topics.dead_letters(&topic, from, limit).await?;
    let next = found.last().filter(|_| found.len() == limit).map(|dead| dead.stored.offset);
    let letters = found.into_iter().map(|dead| shapes::message(dead.stored)).collect();
    let answer = DeadLetters { letters, next: next.map(|last| last.next().0) };
    Ok(json(StatusCode::OK, &answer))
}

pub(crate) async fn redrive(context: Context) -> Result<Answer, Problem> {
    let asked: Redrive = context.read()?;
    let topic = context.topic()?;
    let topics = context.events()?.topics();
    if let Err(error) = topics.show(&topic).await {
        return Err(near(&context, error).await);
    }
    let which = if asked.offsets.is_empty() {
        let limit = asked.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        events::Redrive::All { limit: limit.unwrap_or(REDRIVE_MAX) }
    } else if asked.limit.is_some() {
        return Err(Problem::bad_request("give one of `offsets` and `limit`"));
    } else {
        events::Redrive::Offsets(asked.offsets.into_iter().map(Offset).collect())
    };
    let redriven = topics.redrive(&topic, which).await?;
    tracing::info!(%topic, redriven, "dead letters are brought back by the operator");
    Ok(json(StatusCode::OK, &Redriven { redriven }))
}

pub(crate) async fn later(context: Context) -> Result<Answer, Problem> {
    let topic = context.topic()?;
    let limit = context.limit(LETTERS_MAX, LETTERS_MAX);
    let found = context.events()?.topics().later(&topic, limit).await?;
    let messages = found.into_iter().map(shapes::later).collect();
    Ok(json(StatusCode::OK, &Laters { messages }))
}

pub(crate) async fn cancel(context: Context) -> Result<Answer, Problem> {
    let topic = context.topic()?;
    let deleted = context.events()?.topics().cancel(&topic, context.value(1)).await?;
    Ok(json(StatusCode::OK, &Deleted { deleted }))
}
