//! Streams of events, for event sourcing.

mod follow;

use super::{
    Reach,
    messaging::{ANSWER_SIZE_MAX, Shown, given, random_id},
};
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    sse::Format,
    wire::streams::{
        Append, Appended, Event, Events, NewEvent, Reset, Snapshot, Stream, StreamSubscription,
        StreamSubscriptions, Streams,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use events::StreamSubscriptionStatus;
use follow::{Follow, Which};
use http::StatusCode;
use ports::streams::{
    self, Direction, Expected, Item, PAGE_MAX, Page, Position, Query, StreamStatus,
};

/// Most streams of a list: one less than a page, because one more is asked for to see whether there are more.
const STREAMS_MAX: usize = PAGE_MAX - 1;

/// Events of an answer when nobody says how many.
const EVENTS: usize = 100;

/// Most events that are read at once: with the largest ones they still fit into memory many times over.
const BATCH: usize = 32;

pub(crate) async fn list<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let all = context.events()?.streams();
    let limit = context.limit(STREAMS_MAX, STREAMS_MAX);
    let prefix = context.params.text("prefix").unwrap_or_default();
    let mut found = all.streams(prefix, context.params.text("from"), limit + 1).await?;
    let next = (found.len() > limit).then(|| found.pop()).flatten().map(|more| more.name);
    let status = all.status().await?;
    let answer = Streams {
        streams: found.into_iter().map(|stream| shown(stream, None)).collect(),
        next,
        total: status.streams,
        position: status.position.0,
        size_bytes: status.bytes,
    };
    Ok(json(StatusCode::OK, &answer))
}

fn shown(status: StreamStatus, snapshot: Option<u64>) -> Stream {
    Stream {
        name: status.name,
        revision: status.revision,
        position: status.position.0,
        at: status.time.into(),
        snapshot,
    }
}

fn no_stream(name: &str) -> Problem {
    events::Error::from(streams::Error::NoStream(name.to_owned())).into()
}

pub(crate) async fn show<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let streams = context.events()?.streams();
    let name = context.value(0);
    let status = streams.stream(name).await?.ok_or_else(|| no_stream(name))?;
    let snapshot = streams.snapshot(name).await?.map(|snapshot| snapshot.revision);
    Ok(json(StatusCode::OK, &shown(status, snapshot)))
}

pub(crate) async fn read<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let streams = context.events()?.streams();
    let name = context.value(0);
    let from = context.params.number("from");
    if context.wants_events() {
        let from = resumed(&context)?.or(from).unwrap_or(0);
        let which = Which::One { stream: name.to_owned() };
        return context.stream(Follow::new(streams, which, from), Format::Sse);
    }
    let direction = direction(&context);
    let mut pages = Pages::new(&context, from);
    while let Some((from, limit)) = pages.wanted() {
        pages.take(streams.read(name, from, direction, limit).await?);
    }
    Ok(json(StatusCode::OK, &pages.answer()))
}

pub(crate) async fn read_all<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let streams = context.events()?.streams();
    let query = query(&context);
    let from = context.params.number("from");
    if context.wants_events() {
        query.check().map_err(events::Error::from)?;
        let from = resumed(&context)?.or(from).unwrap_or(1);
        return context.stream(Follow::new(streams, Which::All { query }, from), Format::Sse);
    }
    let direction = direction(&context);
    let mut pages = Pages::new(&context, from);
    while let Some((from, limit)) = pages.wanted() {
        let from = from.map(Position);
        pages.take(streams.read_all(&query, from, direction, limit).await?);
    }
    Ok(json(StatusCode::OK, &pages.answer()))
}

fn resumed<B: Reach + ?Sized>(context: &Context<B>) -> Result<Option<u64>, Problem> {
    Ok(context.last_event_id()?.map(|last| last.saturating_add(1)))
}

fn direction<B: Reach + ?Sized>(context: &Context<B>) -> Direction {
    match context.params.text("direction") {
        Some("backwards") => Direction::Backwards,
        _ => Direction::Forwards,
    }
}

/// What the parameters say: all of it must hold, and one of the types.
fn query<B: Reach + ?Sized>(context: &Context<B>) -> Query {
    let all = |name: &str| context.params.all(name).map(str::to_owned).collect();
    let item = Item {
        kinds: all("type"),
        tags: all("tag"),
        category: context.params.text("category").map(str::to_owned),
    };
    let says_nothing = item == Item::default();
    Query { items: if says_nothing { Vec::new() } else { vec![item] } }
}

/// Collects pages until there are enough events.
struct Pages {
    from: Option<u64>,
    limit: usize,
    size: usize,
    is_over: bool,
    events: Vec<Event>,
}

impl Pages {
    fn new<B: Reach + ?Sized>(context: &Context<B>, from: Option<u64>) -> Self {
        let limit = context.limit(EVENTS, PAGE_MAX);
        Self { from, limit, size: 0, is_over: false, events: Vec::new() }
    }

    /// Where to read on, and how many; `None`: it is enough.
    fn wanted(&self) -> Option<(Option<u64>, usize)> {
        let left = self.limit - self.events.len().min(self.limit);
        let is_enough = self.is_over || left == 0 || self.size >= ANSWER_SIZE_MAX;
        (!is_enough).then_some((self.from, left.min(BATCH)))
    }

    fn take(&mut self, page: Page) {
        self.size += page.events.iter().map(|it| it.data.len() + it.metadata.len()).sum::<usize>();
        self.events.extend(page.events.into_iter().map(Event::from));
        self.from = page.next;
        self.is_over = page.next.is_none();
    }

    fn answer(self) -> Events {
        Events { events: self.events, next: if self.is_over { None } else { self.from } }
    }
}

impl From<streams::Event> for Event {
    fn from(event: streams::Event) -> Self {
        let Shown { data, text, base64 } = Shown::of(&event.data);
        let metadata = Shown::of(&event.metadata).data;
        let is_other = metadata.is_none() && !event.metadata.is_empty();
        Self {
            position: event.position.0,
            stream: event.stream,
            revision: event.revision,
            at: event.time.into(),
            id: event.id,
            kind: event.kind,
            tags: event.tags,
            data,
            text,
            base64,
            metadata,
            metadata_base64: is_other.then(|| STANDARD.encode(&event.metadata)),
        }
    }
}

pub(crate) async fn append(context: Context) -> Result<Answer, Problem> {
    let Append { expected, events } = context.read()?;
    let expected = expected.as_deref().map_or(Ok(Expected::Any), expectation)?;
    let events = events.into_iter().map(new_event).collect::<Result<_, _>>()?;
    let stream = context.value(0).to_owned();
    let append = streams::Append { stream, expected, condition: None, events };
    let done = context.events()?.streams().append(append).await?;
    let answer =
        Appended { revision: done.revision, position: done.position.0, duplicate: done.duplicate };
    Ok(json(StatusCode::OK, &answer))
}

pub(crate) fn expectation(text: &str) -> Result<Expected, Problem> {
    match text {
        "any" => Ok(Expected::Any),
        "no_stream" => Ok(Expected::NoStream),
        "exists" => Ok(Expected::Exists),
        revision => revision.parse().map(Expected::Revision).map_err(|_no_number| {
            let message = format!("`expected: {}` means nothing", revision.escape_debug());
            Problem::bad_request(message).help("write `any`, `no_stream`, `exists` or a revision")
        }),
    }
}

pub(crate) fn new_event(event: NewEvent) -> Result<streams::NewEvent, Problem> {
    let (data, _) = given(event.data, event.text, event.base64)?;
    let metadata = event.metadata.map(|metadata| String::from(Box::<str>::from(metadata)));
    Ok(streams::NewEvent {
        id: match event.id {
            Some(id) => id,
            None => random_id()?,
        },
        kind: event.kind,
        tags: event.tags,
        data,
        metadata: metadata.map(Bytes::from).unwrap_or_default(),
    })
}

pub(crate) async fn snapshot<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let name = context.value(0);
    let found = context.events()?.streams().snapshot(name).await?;
    let found = found.ok_or_else(|| {
        Problem::not_found(format!("stream `{}` has no snapshot", name.escape_debug()), None)
    })?;
    let Shown { data, text, base64 } = Shown::of(&found.data);
    let (revision, content_type) = (found.revision, found.content_type);
    Ok(json(StatusCode::OK, &Snapshot { revision, content_type, data, text, base64 }))
}

pub(crate) async fn subscriptions(context: Context) -> Result<Answer, Problem> {
    let found = context.events()?.streams().subscriptions().await?;
    let subscriptions = found.into_iter().map(StreamSubscription::from).collect();
    Ok(json(StatusCode::OK, &StreamSubscriptions { subscriptions }))
}

pub(crate) async fn reset(context: Context) -> Result<Answer, Problem> {
    let Reset { position } = context.read()?;
    let name = context.value(0);
    context.events()?.streams().reset(name, Position(position)).await?;
    tracing::info!(name, position, "a subscription to streams is moved by the operator");
    Ok(json(StatusCode::OK, &Reset { position }))
}

impl From<StreamSubscriptionStatus> for StreamSubscription {
    fn from(status: StreamSubscriptionStatus) -> Self {
        Self {
            name: status.name,
            to: status.target,
            position: status.position.0,
            lag: status.lag,
            here: status.is_here,
            delivered: status.delivered,
            done: status.done,
            dead: status.parked,
            paused: status.paused,
            last_error: status.last_error,
        }
    }
}
