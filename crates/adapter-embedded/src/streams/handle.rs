//! The port.

use async_trait::async_trait;
use ports::streams::{
    Append, Appended, Direction, Error, Event, PAGE_MAX, Page, Position, Query, Status,
    StreamStatus, Streams, check, check_stream,
};
use std::{io, sync::Arc};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    command::{Command, Prior, Reply},
    group::already,
    list::Place,
    look::Look,
    overlay::Stream,
    search::{Found, Search},
    shared::{Shared, conflict},
};

/// Most appends that wait for the writer; who comes later waits before he is let in.
pub(super) const QUEUE_MAX: usize = 4_096;

/// Most KiB of events that wait for the writer.
pub(super) const ROOM: usize = 32 << 10;

/// Pages longer than this are read where blocking is allowed: they may take longer than half a millisecond.
const QUICK_EVENTS: usize = 16;

/// Ids of an append that are looked for at once; more are looked for where blocking is allowed.
const QUICK_IDS: usize = 64;

/// Steps of a search that are made at once; more are made where blocking is allowed.
const QUICK_STEPS: usize = 1_000;

/// Steps of a search for one page: some tens of milliseconds.
const PAGE_STEPS: usize = 100_000;

/// The engine as its users have it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Command>,
    room: Arc<Semaphore>,
}

impl Handle {
    pub(super) fn new(
        shared: Arc<Shared>,
        queue: mpsc::Sender<Command>,
        room: Arc<Semaphore>,
    ) -> Self {
        Self { shared, queue, room }
    }

    /// Begins a call that has its answer in memory.
    async fn begin(&self) -> Result<(), Error> {
        // Such a call never waits: who makes many in a row would keep his thread from everybody else.
        tokio::task::coop::consume_budget().await;
        self.shared.check_open()
    }

    fn status_of(&self, look: &Look, stream: &str) -> Result<Option<Stream>, Error> {
        look.stream(stream).map_err(|trouble| self.shared.trouble(trouble))
    }

    /// What an append is answered whose ids are in the stream already. `None`: none of them is.
    async fn already(
        &self,
        look: &Look,
        stream: Option<Stream>,
        append: Append,
    ) -> (Append, Option<Result<Appended, Error>>) {
        let Some(stream) = stream else { return (append, None) };
        if append.events.len() <= QUICK_IDS {
            let known = already(&self.shared, look, &stream, &append);
            return (append, known);
        }
        let (shared, look) = (Arc::clone(&self.shared), look.clone());
        runtime::blocking(move || {
            let known = already(&shared, &look, &stream, &append);
            (append, known)
        })
        .await
    }

    /// The first event that matches the condition of an append.
    async fn conflict(&self, look: &Look, append: &Append) -> Result<Option<Position>, Error> {
        let Some(condition) = &append.condition else { return Ok(None) };
        let from = condition.after.0.saturating_add(1);
        match self.shared.first_match(look, &condition.query, from, QUICK_STEPS)? {
            Found::NotBefore(from) => {
                let (shared, look) = (Arc::clone(&self.shared), look.clone());
                let query = condition.query.clone();
                let search = move || shared.first_match(&look, &query, from, usize::MAX);
                runtime::blocking(search).await.map(conflict)
            }
            found => Ok(conflict(found)),
        }
    }

    /// Gives an append to the writer.
    async fn ask(&self, append: Append, prior: Prior) -> Result<Appended, Error> {
        let size: usize = append.events.iter().map(|event| event.size() + 1).sum();
        let kib = u32::try_from((size + append.stream.len()) / 1_024 + 1).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(kib).await else {
            return Err(self.shared.closed());
        };
        let (sender, answer) = oneshot::channel();
        let command = Command { append, prior, reply: Reply { sender, room } };
        if self.queue.send(command).await.is_err() {
            return Err(self.shared.closed());
        }
        answer.await.unwrap_or_else(|_| {
            let cause = Arc::new(io::Error::other("the writer ended"));
            Err(Error::Unknown { place: self.shared.place.clone(), cause })
        })
    }

    /// The events at these places; fewer if they are long.
    async fn fetch(&self, places: Vec<Place>) -> Result<Vec<Event>, Error> {
        let shared = Arc::clone(&self.shared);
        let is_quick = places.len() <= QUICK_EVENTS;
        let fetch = move || shared.files.read(&places).map_err(|error| shared.cannot_read(error));
        if is_quick { fetch() } else { runtime::blocking(fetch).await }
    }
}

/// The number that follows in a direction.
fn following(number: u64, direction: Direction) -> Option<u64> {
    match direction {
        Direction::Forwards => number.checked_add(1),
        Direction::Backwards => number.checked_sub(1),
    }
}

/// The places of one page of all events, and where the next one begins.
fn page(
    shared: &Shared,
    look: &Look,
    query: &Query,
    from: u64,
    direction: Direction,
    limit: usize,
) -> Result<(Vec<Place>, Option<u64>), Error> {
    let mut search = Search::new(look, query, direction, PAGE_STEPS);
    let (mut places, mut at) = (Vec::new(), Some(from));
    while let Some(from) = at.filter(|at| *at > 0) {
        match search.next(from).map_err(|trouble| shared.trouble(trouble))? {
            Found::At(place) if places.len() < limit => {
                places.push(place);
                at = following(place.position, direction);
            }
            Found::At(place) => return Ok((places, Some(place.position))),
            Found::NotBefore(position) => return Ok((places, Some(position))),
            Found::End => break,
        }
    }
    Ok((places, None))
}

fn status(name: String, stream: Stream) -> StreamStatus {
    let Stream { number: _, revision, position, time } = stream;
    StreamStatus { name, revision, position: Position(position), time }
}

#[async_trait]
impl Streams for Handle {
    async fn append(&self, append: Append) -> Result<Appended, Error> {
        check(&append)?;
        self.begin().await?;
        let look = self.shared.look();
        let stream = self.status_of(&look, &append.stream)?;
        let (append, known) = self.already(&look, stream, append).await;
        if let Some(result) = known {
            return result;
        }
        let conflict = self.conflict(&look, &append).await?;
        let prior = Prior { seen: look.position, stream, conflict };
        self.ask(append, prior).await
    }

    async fn read(
        &self,
        stream: &str,
        from: Option<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, Error> {
        check_stream(stream)?;
        self.begin().await?;
        let look = self.shared.look();
        let Some(Stream { number, revision: last, .. }) = self.status_of(&look, stream)? else {
            return Err(Error::NoStream(stream.to_owned()));
        };
        let more = u64::try_from(limit.clamp(1, PAGE_MAX) - 1).unwrap_or(u64::MAX);
        let (lowest, highest) = match direction {
            Direction::Forwards => {
                let from = from.unwrap_or(0);
                (from, from.saturating_add(more).min(last))
            }
            Direction::Backwards => {
                let from = from.unwrap_or(last).min(last);
                (from.saturating_sub(more), from)
            }
        };
        if lowest > last {
            return Ok(Page::default());
        }
        let places = look.of_stream(stream, number, lowest, highest);
        let mut places = places.map_err(|trouble| self.shared.trouble(trouble))?;
        if direction == Direction::Backwards {
            places.reverse();
        }
        let events = self.fetch(places).await?;
        let next = events.last().and_then(|event| following(event.revision, direction));
        Ok(Page { events, next: next.filter(|next| *next <= last) })
    }

    async fn read_all(
        &self,
        query: &Query,
        from: Option<Position>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, Error> {
        query.check()?;
        self.begin().await?;
        let look = self.shared.look();
        let from = match (from, direction) {
            (Some(from), Direction::Forwards) => from.0.max(1),
            (Some(from), Direction::Backwards) => from.0,
            (None, Direction::Forwards) => 1,
            (None, Direction::Backwards) => look.position,
        };
        let limit = limit.clamp(1, PAGE_MAX);
        let (shared, query) = (Arc::clone(&self.shared), query.clone());
        let read = move || {
            let (places, next) = page(&shared, &look, &query, from, direction, limit)?;
            let events = shared.files.read(&places).map_err(|error| shared.cannot_read(error))?;
            let left_out = places.get(events.len()).map(|place| place.position);
            Ok(Page { events, next: left_out.or(next) })
        };
        if limit <= QUICK_EVENTS { read() } else { runtime::blocking(read).await }
    }

    async fn wait(&self, after: Position) -> Result<Position, Error> {
        let mut newest = self.shared.newest.subscribe();
        let found = newest.wait_for(|newest| newest.is_closed || newest.position > after.0).await;
        match found {
            Ok(newest) if !newest.is_closed => Ok(Position(newest.position)),
            _ => Err(self.shared.closed()),
        }
    }

    async fn stream(&self, stream: &str) -> Result<Option<StreamStatus>, Error> {
        check_stream(stream)?;
        self.begin().await?;
        let found = self.status_of(&self.shared.look(), stream)?;
        Ok(found.map(|found| status(stream.to_owned(), found)))
    }

    async fn streams(
        &self,
        prefix: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamStatus>, Error> {
        self.begin().await?;
        let (shared, look) = (Arc::clone(&self.shared), self.shared.look());
        let (prefix, from) = (prefix.to_owned(), from.unwrap_or_default().to_owned());
        let limit = limit.clamp(1, PAGE_MAX);
        let read = move || {
            let found = look.streams(&prefix, &from, limit);
            let found = found.map_err(|trouble| shared.trouble(trouble))?;
            Ok(found.into_iter().map(|(name, stream)| status(name, stream)).collect())
        };
        if limit <= QUICK_EVENTS { read() } else { runtime::blocking(read).await }
    }

    async fn status(&self) -> Result<Status, Error> {
        self.begin().await?;
        let numbers = self.shared.view().numbers;
        Ok(Status {
            position: Position(numbers.position),
            streams: numbers.streams,
            bytes: self.shared.bytes(),
        })
    }
}
