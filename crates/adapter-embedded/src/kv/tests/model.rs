//! The engine beside the model of the port, with ends of all kinds in between.

use bytes::Bytes;
use ports::kv::{
    Change, Condition, Is, Kv, LeaseId, Life, Operation, PAGE_MAX, Range, Revision, Snapshot,
    Transaction,
    conformance::{Model, View},
};
use proptest::prelude::*;
use std::{num::NonZeroU64, time::Duration};

use super::{open, rounds, run, tiny};
use crate::{
    disk::simulated::{Cut, Simulated},
    kv::{Handle, Service},
};

#[derive(Clone, Debug)]
enum Step {
    Commit(Transaction),
    Grant,
    Renew(u64),
    Revoke(u64),
    Compact(u64),
    Snapshot,
    End(End),
}

#[derive(Clone, Copy, Debug)]
enum End {
    InOrder,
    Killed,
    Cut(Cut),
}

/// So long that none ends by itself.
const TTL: Duration = Duration::from_secs(5_000);

fn key() -> impl Strategy<Value = Bytes> {
    (0_u8..12).prop_map(|key| Bytes::from(vec![b'a' + key]))
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        any::<u8>().prop_map(|value| Bytes::from(vec![value])),
        (any::<u8>(), 0_usize..3_000).prop_map(|(value, len)| Bytes::from(vec![value; len])),
    ]
}

fn lease(number: u64) -> LeaseId {
    LeaseId(NonZeroU64::new(number).unwrap())
}

fn life() -> impl Strategy<Value = Life> {
    prop_oneof![
        3 => Just(Life::Endless),
        2 => (1_u64..8).prop_map(|number| Life::Lease(lease(number))),
        2 => Just(Life::Ttl(TTL)),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => (key(), value(), life()).prop_map(|(key, value, life)| {
            Operation::Put { key, value, life }
        }),
        2 => key().prop_map(|key| Operation::Delete { key }),
        1 => (key(), prop::option::of(key())).prop_map(|(from, to)| {
            Operation::DeleteRange { range: Range { from, to } }
        }),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let is = prop_oneof![
        Just(Is::Missing),
        Just(Is::Present),
        (0_u64..30).prop_map(|revision| Is::CreatedAt(Revision(revision))),
        (0_u64..30).prop_map(|revision| Is::ModifiedAt(Revision(revision))),
        value().prop_map(Is::Value),
    ];
    (key(), is).prop_map(|(key, is)| Condition { key, is })
}

fn step() -> impl Strategy<Value = Step> {
    let transaction =
        (prop::collection::vec(condition(), 0..2), prop::collection::vec(operation(), 0..5));
    let end = prop_oneof![
        Just(End::InOrder),
        Just(End::Killed),
        Just(End::Cut(Cut::Strict)),
        any::<u64>().prop_map(|seed| End::Cut(Cut::Lenient(seed))),
    ];
    prop_oneof![
        16 => transaction.prop_map(|(conditions, operations)| {
            Step::Commit(Transaction { conditions, operations })
        }),
        2 => Just(Step::Grant),
        1 => (1_u64..8).prop_map(Step::Renew),
        1 => (1_u64..8).prop_map(Step::Revoke),
        1 => (0_u64..30).prop_map(Step::Compact),
        1 => Just(Step::Snapshot),
        2 => end.prop_map(Step::End),
    ]
}

/// The engine and what it should be like.
struct Pair {
    disk: Simulated,
    engine: Option<(Service, Handle)>,
    model: Model,
    snapshots: Vec<(Box<dyn Snapshot>, View)>,
    steps: u32,
}

impl Pair {
    fn new() -> Self {
        let disk = Simulated::default();
        let engine = Some(open(&disk, tiny()).unwrap());
        Self { disk, engine, model: Model::new(), snapshots: Vec::new(), steps: 0 }
    }

    fn kv(&self) -> &Handle {
        &self.engine.as_ref().unwrap().1
    }

    async fn step(&mut self, step: &Step) {
        self.steps += 1;
        let now = Duration::ZERO;
        let model = &mut self.model;
        let kv = &self.engine.as_ref().unwrap().1;
        let (expected, found) = match step {
            Step::Commit(transaction) => (
                format!("{:?}", model.commit(now, transaction)),
                format!("{:?}", kv.commit(transaction.clone()).await),
            ),
            Step::Grant => {
                (format!("{:?}", model.grant(now, TTL)), format!("{:?}", kv.grant(TTL).await))
            }
            Step::Renew(number) => (
                format!("{:?}", model.renew(now, lease(*number))),
                format!("{:?}", kv.renew(lease(*number)).await),
            ),
            Step::Revoke(number) => {
                model.revoke(now, lease(*number));
                ("Ok(())".to_owned(), format!("{:?}", kv.revoke(lease(*number)).await))
            }
            Step::Compact(revision) => (
                format!("{}", model.compact(Revision(*revision)).is_ok()),
                format!("{}", kv.compact(Revision(*revision)).await.is_ok()),
            ),
            Step::Snapshot => {
                let snapshot = kv.snapshot().await.unwrap();
                let revisions = (model.revision(), snapshot.revision());
                self.snapshots.push((snapshot, model.view().clone()));
                (format!("{:?}", revisions.0), format!("{:?}", revisions.1))
            }
            Step::End(end) => {
                self.end(*end).await;
                return self.compare().await;
            }
        };
        assert_eq!(found, expected, "{step:?}");
    }

    async fn end(&mut self, end: End) {
        self.check_snapshots().await;
        self.snapshots.clear();
        let (service, _) = self.engine.take().unwrap();
        match end {
            End::InOrder => service.shutdown().await,
            End::Killed => self.disk = self.disk.kill(),
            End::Cut(cut) => self.disk = self.disk.cut(cut),
        }
        self.engine = Some(open(&self.disk, tiny()).unwrap());
        self.model.restart(Duration::ZERO);
    }

    async fn check_snapshots(&mut self) {
        for (snapshot, view) in &mut self.snapshots {
            let page = snapshot.range(&Range::all(), PAGE_MAX).await.unwrap();
            let expected = view.page(&Range::all(), PAGE_MAX, snapshot.revision());
            assert_eq!(page, expected);
        }
    }

    /// Compares all that can be seen.
    async fn compare(&mut self) {
        self.check_snapshots().await;
        let kv = self.kv().clone();
        let revision = self.model.revision();
        for range in [Range::all(), Range { from: "c".into(), to: Some("h".into()) }] {
            for limit in [1, 3, PAGE_MAX] {
                let page = kv.range(&range, limit).await.unwrap();
                assert_eq!(page, self.model.view().page(&range, limit, revision));
            }
        }
        for entry in self.model.view().entries() {
            assert_eq!(kv.get(&entry.key).await.unwrap().as_ref(), Some(entry));
        }
        let status = kv.status().await.unwrap();
        assert_eq!((status.revision, status.compacted), (revision, self.model.compacted()));
        assert_eq!(status.leases, Some(self.model.leases()));
        for number in 1..40 {
            let expected = self.model.lease(Duration::ZERO, lease(number));
            let found = kv.lease(lease(number)).await;
            let short = |it: Result<ports::kv::LeaseStatus, _>| it.map(|it| (it.ttl, it.keys)).ok();
            assert_eq!(short(found), short(expected));
        }
        self.compare_history(&kv, Range::all()).await;
        self.compare_history(&kv, Range::key("c".into())).await;
        self.compare_history(&kv, Range { from: "d".into(), to: None }).await;
    }

    async fn compare_history(&self, kv: &Handle, range: Range) {
        let mut from = self.model.compacted().next();
        let mut expected: Vec<Change> = Vec::new();
        while let Some(change) = self.model.change(&range, from).unwrap() {
            from = change.revision.next();
            expected.push(change);
        }
        let start = self.model.compacted().next();
        let mut watch = kv.watch(range.clone(), Some(start)).await.unwrap();
        for change in expected {
            let found = watch.next().await.unwrap();
            assert_eq!(found.revision, change.revision);
            let key = |event: &ports::kv::Event| event.key().clone();
            let (mut found, mut wanted) = (found.events, change.events);
            found.sort_by_key(key);
            wanted.sort_by_key(key);
            assert_eq!(found, wanted);
        }
        if self.model.compacted() > Revision(0) {
            let gone = kv.watch(range, Some(self.model.compacted())).await;
            assert!(matches!(gone, Err(ports::kv::Error::Compacted { .. })));
        }
    }
}

#[test]
fn the_engine_does_what_the_model_does_whatever_ends_it() {
    let cases = u32::try_from(rounds(60)).unwrap();
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..80))| {
        run(async {
            let mut pair = Pair::new();
            for step in &steps {
                pair.step(step).await;
            }
            pair.compare().await;
            pair.step(&Step::End(End::InOrder)).await;
        });
    });
}
