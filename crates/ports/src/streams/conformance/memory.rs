//! The contract made into an engine for tests, which can be told to fail.

use super::super::{
    Append, Appended, Direction, Error, Event, Expected, PAGE_MAX, Page, Position, Query, Status,
    StreamStatus, Streams, check, check_stream,
};
use crate::kv::conformance::Failure;
use async_trait::async_trait;
use base::Timestamp;
use std::{
    collections::{BTreeMap, VecDeque},
    future::poll_fn,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::{Duration, Instant, SystemTime},
};

/// An engine in memory. Clones are the same engine.
#[derive(Clone, Debug)]
pub struct Memory {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    /// The event at index `n` has position `n + 1`.
    events: Vec<Event>,
    /// For each stream the indices of its events.
    streams: BTreeMap<String, Vec<usize>>,
    bytes: usize,
    is_down: bool,
    /// Grows with every restart and every fall: whoever waits since an earlier life is told.
    life: u64,
    failures: VecDeque<Failure>,
    waiting: BTreeMap<u64, Waker>,
    last_wait: u64,
    clock: Clock,
}

#[derive(Debug)]
struct Clock {
    begin: Timestamp,
    ahead: Duration,
    start: Option<Instant>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Memory {
    /// An empty one whose clock stands until it is told to go on.
    #[must_use]
    pub fn new() -> Self {
        // 2020-01-01: a date that looks like one.
        Self::with_clock(Timestamp(1_577_836_800_000_000), None)
    }

    /// An empty one whose events are dated by the machine's clock.
    #[must_use]
    pub fn in_real_time() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let begin = Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        Self::with_clock(begin, Some(Instant::now()))
    }

    fn with_clock(begin: Timestamp, start: Option<Instant>) -> Self {
        let state = State {
            events: Vec::new(),
            streams: BTreeMap::new(),
            bytes: 0,
            is_down: false,
            life: 0,
            failures: VecDeque::new(),
            waiting: BTreeMap::new(),
            last_wait: 0,
            clock: Clock { begin, ahead: Duration::ZERO, start },
        };
        Self { shared: Arc::new(Mutex::new(state)) }
    }

    /// Makes the next call fail, whatever it is; called again, also the one after it, and so on. Who waits already is spared.
    pub fn fail_next(&self, failure: Failure) {
        self.state().failures.push_back(failure);
    }

    /// While it is down every call ends with [`Error::Unavailable`], those that wait too. What was acknowledged stays.
    pub fn set_down(&self, is_down: bool) {
        let mut state = self.state();
        if is_down && !state.is_down {
            state.life += 1;
        }
        state.is_down = is_down;
        wake(state);
    }

    /// Lets the clock go on by `time`.
    pub fn advance(&self, time: Duration) {
        self.state().clock.ahead += time;
    }

    /// Ends the engine and starts it again: who waits is told with [`Error::Unavailable`].
    pub fn restart(&self) {
        let mut state = self.state();
        state.life += 1;
        state.is_down = false;
        wake(state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, for a call that only reads.
    fn look(&self) -> Result<MutexGuard<'_, State>, Error> {
        let mut state = self.state();
        if state.is_down || state.failures.pop_front().is_some() {
            return Err(unavailable());
        }
        Ok(state)
    }

    fn poll_wait(&self, wait: &Wait, waker: &Waker) -> Poll<Result<Position, Error>> {
        let mut state = self.state();
        if state.life != wait.life {
            return Poll::Ready(Err(unavailable()));
        }
        if state.last() > wait.after {
            return Poll::Ready(Ok(state.last()));
        }
        state.waiting.insert(wait.id, waker.clone());
        Poll::Pending
    }
}

/// Takes its waker away when it is dropped.
struct Wait {
    shared: Arc<Mutex<State>>,
    id: u64,
    life: u64,
    after: Position,
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).waiting.remove(&self.id);
    }
}

/// Lets go of the state and wakes whoever waits for it to change.
fn wake(mut state: MutexGuard<'_, State>) {
    let waiting = std::mem::take(&mut state.waiting);
    drop(state);
    for waker in waiting.into_values() {
        waker.wake();
    }
}

fn unavailable() -> Error {
    let cause = Arc::new(io::Error::other("it was told to be down"));
    Error::Unavailable { place: "memory".to_owned(), cause }
}

fn unknown() -> Error {
    let cause = Arc::new(io::Error::other("it was told to break off"));
    Error::Unknown { place: "memory".to_owned(), cause }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

impl Clock {
    fn now(&self) -> Timestamp {
        let past = self.ahead + self.start.map_or(Duration::ZERO, |start| start.elapsed());
        let past_us = u64::try_from(past.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.begin.0.saturating_add(past_us))
    }
}

impl State {
    fn last(&self) -> Position {
        Position(number(self.events.len()))
    }

    fn append(&mut self, append: Append) -> Result<Appended, Error> {
        let Append { stream, expected, condition, events } = append;
        let indices = self.streams.get(&stream).map_or(&[][..], Vec::as_slice);
        let find = |id: &str| indices.iter().position(|index| self.events[*index].id == id);
        if let Some(known) = events.iter().find_map(|event| find(&event.id)) {
            let first = find(&events[0].id).unwrap_or(indices.len());
            let then = indices.iter().skip(first).map(|index| &self.events[*index].id);
            let are_same = then.take(events.len()).eq(events.iter().map(|event| &event.id));
            if are_same {
                let last = &self.events[indices[first + events.len() - 1]];
                let (revision, position) = (last.revision, last.position);
                return Ok(Appended { revision, position, duplicate: true });
            }
            let id = self.events[indices[known]].id.clone();
            return Err(Error::Conflict { stream, id });
        }
        let actual = indices.last().map(|index| self.events[*index].revision);
        let is_as_expected = match expected {
            Expected::Any => true,
            Expected::NoStream => actual.is_none(),
            Expected::Exists => actual.is_some(),
            Expected::Revision(revision) => actual == Some(revision),
        };
        if !is_as_expected {
            return Err(Error::WrongRevision { stream, expected: expected.to_string(), actual });
        }
        if let Some(condition) = condition {
            let later = self.events.iter().filter(|event| event.position > condition.after);
            let mut matching = later.filter(|event| condition.query.matches(event));
            if let Some(event) = matching.next() {
                return Err(Error::ConditionFailed { position: event.position });
            }
        }
        let time = self.clock.now();
        let indices = self.streams.entry(stream.clone()).or_default();
        for new in events {
            self.bytes += new.size();
            let revision = number(indices.len());
            indices.push(self.events.len());
            self.events.push(Event {
                position: Position(number(self.events.len()) + 1),
                stream: stream.clone(),
                revision,
                time,
                id: new.id,
                kind: new.kind,
                tags: new.tags,
                data: new.data,
                metadata: new.metadata,
            });
        }
        let revision = number(indices.len()) - 1;
        Ok(Appended { revision, position: self.last(), duplicate: false })
    }

    fn status(&self, name: &str) -> Option<StreamStatus> {
        let last = &self.events[*self.streams.get(name)?.last()?];
        let (revision, position, time) = (last.revision, last.position, last.time);
        Some(StreamStatus { name: name.to_owned(), revision, position, time })
    }
}

/// Some of `events`, which are in ascending order; `at` says where one stands.
fn page<'a>(
    events: impl DoubleEndedIterator<Item = &'a Event>,
    direction: Direction,
    limit: usize,
    at: impl Fn(&Event) -> u64,
) -> Page {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut events: Vec<Event> = match direction {
        Direction::Forwards => events.take(limit + 1).cloned().collect(),
        Direction::Backwards => events.rev().take(limit + 1).cloned().collect(),
    };
    let next = events.get(limit).map(at);
    events.truncate(limit);
    Page { events, next }
}

fn is_within(at: u64, from: Option<u64>, direction: Direction) -> bool {
    from.is_none_or(|from| match direction {
        Direction::Forwards => at >= from,
        Direction::Backwards => at <= from,
    })
}

#[async_trait]
impl Streams for Memory {
    async fn append(&self, append: Append) -> Result<Appended, Error> {
        check(&append)?;
        let mut state = self.state();
        if state.is_down {
            return Err(unavailable());
        }
        let is_unknown = match state.failures.pop_front() {
            Some(Failure::Unavailable) => return Err(unavailable()),
            Some(Failure::UnknownAndLost) => return Err(unknown()),
            Some(Failure::UnknownButApplied) => true,
            None => false,
        };
        let done = state.append(append);
        wake(state);
        if is_unknown { done.and(Err(unknown())) } else { done }
    }

    async fn read(
        &self,
        stream: &str,
        from: Option<u64>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, Error> {
        check_stream(stream)?;
        let state = self.look()?;
        let no_stream = || Error::NoStream(stream.to_owned());
        let indices = state.streams.get(stream).ok_or_else(no_stream)?;
        let events = indices.iter().map(|index| &state.events[*index]);
        let events = events.filter(|event| is_within(event.revision, from, direction));
        Ok(page(events, direction, limit, |event| event.revision))
    }

    async fn read_all(
        &self,
        query: &Query,
        from: Option<Position>,
        direction: Direction,
        limit: usize,
    ) -> Result<Page, Error> {
        query.check()?;
        let state = self.look()?;
        let from = from.map(|from| from.0);
        let events = state.events.iter().filter(|event| query.matches(event));
        let events = events.filter(|event| is_within(event.position.0, from, direction));
        Ok(page(events, direction, limit, |event| event.position.0))
    }

    async fn wait(&self, after: Position) -> Result<Position, Error> {
        let wait = {
            let mut state = self.look()?;
            state.last_wait += 1;
            let (id, life) = (state.last_wait, state.life);
            Wait { shared: Arc::clone(&self.shared), id, life, after }
        };
        poll_fn(|context| self.poll_wait(&wait, context.waker())).await
    }

    async fn stream(&self, stream: &str) -> Result<Option<StreamStatus>, Error> {
        check_stream(stream)?;
        Ok(self.look()?.status(stream))
    }

    async fn streams(
        &self,
        prefix: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StreamStatus>, Error> {
        let state = self.look()?;
        let names = state.streams.keys().filter(|name| name.starts_with(prefix));
        let names = names.filter(|name| from.is_none_or(|from| name.as_str() >= from));
        let limit = limit.clamp(1, PAGE_MAX);
        Ok(names.filter_map(|name| state.status(name)).take(limit).collect())
    }

    async fn status(&self) -> Result<Status, Error> {
        let state = self.look()?;
        Ok(Status {
            position: state.last(),
            streams: number(state.streams.len()),
            bytes: number(state.bytes),
        })
    }
}
