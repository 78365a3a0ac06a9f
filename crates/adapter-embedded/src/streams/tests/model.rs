//! The engine beside the engine in memory that is the contract, with ends of all kinds in between.

use base::Timestamp;
use bytes::Bytes;
use ports::streams::{
    Append, Condition, Direction, Event, Expected, Item, NewEvent, Page, Position, Query, Streams,
    conformance::Memory,
};
use proptest::prelude::*;

use super::{check, open, rounds, run, tiny};
use crate::{
    disk::simulated::{Cut, Simulated},
    streams::{Handle, Service},
};

#[derive(Clone, Debug)]
enum Step {
    Append(Append),
    /// The last append that was made, once more.
    Again,
    Read {
        stream: String,
        from: Option<u64>,
        direction: Direction,
        limit: usize,
    },
    ReadAll {
        query: Query,
        from: Option<u64>,
        direction: Direction,
        limit: usize,
    },
    List {
        prefix: String,
        from: Option<String>,
        limit: usize,
    },
    End(End),
}

#[derive(Clone, Copy, Debug)]
enum End {
    InOrder,
    Killed,
    Cut(Cut),
    /// In order, and the index is lost.
    Forgotten,
}

const STREAMS: [&str; 6] = ["account-1", "account-2", "course-1", "course", "-odd", "account-10"];

fn word(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

fn kind() -> impl Strategy<Value = String> {
    word(&["deposited", "withdrawn", "noted", "account"])
}

fn tags() -> impl Strategy<Value = Vec<String>> {
    prop::sample::subsequence(vec!["a:1", "a:2", "b:1", "account"], 0..4)
        .prop_map(|tags| tags.into_iter().map(str::to_owned).collect())
}

fn new_event() -> impl Strategy<Value = NewEvent> {
    let len = prop_oneof![4 => 0_usize..100, 1 => 0_usize..6_000];
    (0_u32..60, kind(), tags(), any::<u8>(), len, 0_usize..20).prop_map(
        |(id, kind, tags, byte, len, metadata)| NewEvent {
            id: format!("id {id}"),
            kind,
            tags,
            data: Bytes::from(vec![byte; len]),
            metadata: Bytes::from(vec![b'm'; metadata]),
        },
    )
}

fn query() -> impl Strategy<Value = Query> {
    let item = (
        prop::collection::vec(kind(), 0..3),
        tags(),
        prop::option::of(word(&["account", "course", ""])),
    );
    let item = item
        .prop_map(|(kinds, tags, category)| Item { kinds, tags, category })
        .prop_filter("it says something", |item| *item != Item::default());
    prop::collection::vec(item, 0..4).prop_map(|items| Query { items })
}

fn an_append() -> impl Strategy<Value = Append> {
    let expected = prop_oneof![
        6 => Just(Expected::Any),
        1 => Just(Expected::NoStream),
        1 => Just(Expected::Exists),
        2 => (0_u64..6).prop_map(Expected::Revision),
    ];
    let condition =
        (query(), 0_u64..60).prop_map(|(query, after)| Condition { query, after: Position(after) });
    let events = prop::collection::vec(new_event(), 1..5);
    (word(&STREAMS), expected, prop::option::weighted(0.3, condition), events).prop_map(
        |(stream, expected, condition, events)| Append { stream, expected, condition, events },
    )
}

fn direction() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::Forwards), Just(Direction::Backwards)]
}

fn step() -> impl Strategy<Value = Step> {
    let limit = || prop_oneof![0_usize..5, Just(2_000)];
    let from = || prop::option::of(prop_oneof![0_u64..80, Just(u64::MAX)]);
    let read = (word(&STREAMS), from(), direction(), limit());
    let read_all = (query(), from(), direction(), limit());
    let name = || word(&["", "a", "account-1", "account-2", "course", "x"]);
    let end = prop_oneof![
        2 => Just(End::InOrder),
        2 => Just(End::Killed),
        2 => Just(End::Cut(Cut::Strict)),
        2 => any::<u64>().prop_map(|seed| End::Cut(Cut::Lenient(seed))),
        1 => Just(End::Forgotten),
    ];
    prop_oneof![
        20 => an_append().prop_map(Step::Append),
        2 => Just(Step::Again),
        4 => read.prop_map(|(stream, from, direction, limit)| {
            Step::Read { stream, from, direction, limit }
        }),
        6 => read_all.prop_map(|(query, from, direction, limit)| {
            Step::ReadAll { query, from, direction, limit }
        }),
        2 => (name(), prop::option::of(name()), limit())
            .prop_map(|(prefix, from, limit)| Step::List { prefix, from, limit }),
        2 => end.prop_map(Step::End),
    ]
}

/// The engine and what it should be like.
struct Pair {
    disk: Simulated,
    engine: Option<(Service, Handle)>,
    model: Memory,
    last: Option<Append>,
}

/// Without what the two cannot have in common.
fn timeless(mut page: Page) -> Page {
    page.events.iter_mut().for_each(|event| event.time = Timestamp::default());
    page
}

fn same<T: PartialEq + std::fmt::Debug>(
    found: Result<T, ports::streams::Error>,
    expected: Result<T, ports::streams::Error>,
) {
    let text = |result: Result<T, ports::streams::Error>| result.map_err(|e| format!("{e:?}"));
    assert_eq!(text(found), text(expected));
}

impl Pair {
    fn handle(&self) -> &Handle {
        &self.engine.as_ref().unwrap().1
    }

    async fn step(&mut self, step: Step) {
        let handle = self.handle().clone();
        let model = &self.model;
        match step {
            Step::Append(append) => {
                let expected = model.append(append.clone()).await;
                same(handle.append(append.clone()).await, expected);
                self.last = Some(append);
            }
            Step::Again => {
                let Some(append) = self.last.clone() else { return };
                same(handle.append(append.clone()).await, model.append(append).await);
            }
            Step::Read { stream, from, direction, limit } => {
                let found = handle.read(&stream, from, direction, limit).await;
                let expected = model.read(&stream, from, direction, limit).await;
                same(found.map(timeless), expected.map(timeless));
            }
            Step::ReadAll { query, from, direction, limit } => {
                let from = from.map(Position);
                let found = handle.read_all(&query, from, direction, limit).await;
                let expected = model.read_all(&query, from, direction, limit).await;
                same(found.map(timeless), expected.map(timeless));
            }
            Step::List { prefix, from, limit } => {
                let names = |found: Vec<ports::streams::StreamStatus>| {
                    let all = found.into_iter();
                    all.map(|it| (it.name, it.revision, it.position)).collect::<Vec<_>>()
                };
                let found = handle.streams(&prefix, from.as_deref(), limit).await;
                let expected = model.streams(&prefix, from.as_deref(), limit).await;
                same(found.map(names), expected.map(names));
            }
            Step::End(end) => self.end(end).await,
        }
    }

    async fn end(&mut self, end: End) {
        let (service, handle) = self.engine.take().unwrap();
        drop(handle);
        match end {
            End::InOrder => service.shutdown().await,
            End::Killed => self.disk = self.disk.kill(),
            End::Cut(cut) => self.disk = self.disk.cut(cut),
            End::Forgotten => {
                service.shutdown().await;
                crate::disk::Disk::remove(&self.disk, super::super::index::NAME).unwrap();
            }
        }
        self.engine = Some(open(&self.disk, tiny()).unwrap());
    }

    async fn check(&self) {
        let found: Vec<Event> = check(self.handle()).await;
        let expected = super::all(&self.model).await;
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.into_iter().zip(expected) {
            assert_eq!(Event { time: expected.time, ..found }, expected);
        }
    }
}

#[test]
fn it_does_what_the_contract_says_through_ends_of_all_kinds() {
    let cases = u32::try_from(rounds(60)).unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..80))| {
        run(async {
            let disk = Simulated::default();
            let engine = Some(open(&disk, tiny()).unwrap());
            let mut pair = Pair { disk, engine, model: Memory::new(), last: None };
            for step in steps {
                pair.step(step).await;
            }
            pair.end(End::InOrder).await;
            pair.check().await;
        });
    });
}
