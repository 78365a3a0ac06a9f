//! What clauses are written with.

use crate::streams::{
    Append, Appended, Condition, Direction, Error, Event, Expected, Item, NewEvent, Page, Position,
    Query, Streams,
};
use bytes::Bytes;

/// What a call gave.
#[track_caller]
pub(super) fn ok<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the engine answers: {error:?}"),
    }
}

/// An event of this id and type, whose data is its id.
pub(super) fn event(id: &str, kind: &str) -> NewEvent {
    NewEvent {
        id: id.to_owned(),
        kind: kind.to_owned(),
        data: Bytes::copy_from_slice(id.as_bytes()),
        ..NewEvent::default()
    }
}

pub(super) fn tagged(id: &str, kind: &str, tags: &[&str]) -> NewEvent {
    NewEvent { tags: tags.iter().map(ToString::to_string).collect(), ..event(id, kind) }
}

/// Events of type `noted` with these ids, whatever the stream is like.
pub(super) fn noted(stream: &str, ids: &[&str]) -> Append {
    let events = ids.iter().map(|id| event(id, "noted")).collect();
    Append { stream: stream.to_owned(), expected: Expected::Any, condition: None, events }
}

pub(super) fn expecting(expected: Expected, append: Append) -> Append {
    Append { expected, ..append }
}

pub(super) fn when_nothing(query: Query, after: Position, append: Append) -> Append {
    Append { condition: Some(Condition { query, after }), ..append }
}

pub(super) async fn append(streams: &dyn Streams, stream: &str, ids: &[&str]) -> Appended {
    ok(streams.append(noted(stream, ids)).await)
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

pub(super) fn item(kinds: &[&str], tags: &[&str], category: Option<&str>) -> Item {
    Item { kinds: words(kinds), tags: words(tags), category: category.map(str::to_owned) }
}

pub(super) fn query(kinds: &[&str], tags: &[&str], category: Option<&str>) -> Query {
    Query { items: vec![item(kinds, tags, category)] }
}

pub(super) fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

/// All of one stream from `from` on, in pages of `limit`.
pub(super) async fn read(
    streams: &dyn Streams,
    stream: &str,
    from: Option<u64>,
    direction: Direction,
    limit: usize,
) -> Vec<Event> {
    let (mut events, mut from) = (Vec::new(), from);
    loop {
        let Page { events: more, next } = ok(streams.read(stream, from, direction, limit).await);
        assert!(more.len() <= limit, "{} of {limit}", more.len());
        assert!(!more.is_empty() || next.is_none(), "at least one if there is one");
        events.extend(more);
        if next.is_none() {
            return events;
        }
        from = next;
    }
}

/// All of one stream.
pub(super) async fn whole(streams: &dyn Streams, stream: &str) -> Vec<Event> {
    read(streams, stream, None, Direction::Forwards, 100).await
}

/// All that matches from `from` on, in pages of `limit`.
pub(super) async fn read_all(
    streams: &dyn Streams,
    query: &Query,
    from: Option<Position>,
    direction: Direction,
    limit: usize,
) -> Vec<Event> {
    let (mut events, mut from) = (Vec::new(), from);
    loop {
        let Page { events: more, next } = ok(streams.read_all(query, from, direction, limit).await);
        assert!(more.len() <= limit, "{} of {limit}", more.len());
        events.extend(more);
        let Some(next) = next else { return events };
        if let Some(from) = from {
            let is_on = match direction {
                Direction::Forwards => next > from.0,
                Direction::Backwards => next < from.0,
            };
            assert!(is_on, "from {from} to {next}");
        }
        from = Some(Position(next));
    }
}

/// All events there are.
pub(super) async fn everything(streams: &dyn Streams) -> Vec<Event> {
    read_all(streams, &Query::default(), None, Direction::Forwards, 100).await
}

/// Positions from 1, revisions from 0 for each stream, none left out.
#[track_caller]
pub(super) fn assert_gapless(events: &[Event]) {
    let mut revisions = std::collections::BTreeMap::new();
    for (event, position) in events.iter().zip(1..) {
        assert_eq!(event.position, Position(position), "{event:?}");
        let revision: &mut u64 = revisions.entry(&event.stream).or_default();
        assert_eq!(event.revision, *revision, "{event:?}");
        *revision += 1;
    }
}
