//! Whatever is done to the model, these hold of it.

use crate::kv::{
    Change, Condition, Entry, Event, Is, LeaseId, Life, Operation, Outcome, Range, Revision,
    Transaction, conformance::Model,
};
use bytes::Bytes;
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    time::Duration,
};

#[derive(Clone, Debug)]
enum Step {
    Commit(Transaction),
    Grant(u64),
    Renew(u64),
    Revoke(u64),
    Pass(u64),
    Compact(u64),
    Restart,
}

fn key() -> impl Strategy<Value = Bytes> {
    (0_u8..6).prop_map(|key| Bytes::from(vec![b'a' + key]))
}

fn lease(number: u64) -> LeaseId {
    LeaseId(NonZeroU64::new(number).unwrap())
}

fn life() -> impl Strategy<Value = Life> {
    prop_oneof![
        3 => Just(Life::Endless),
        2 => (1_u64..8).prop_map(|number| Life::Lease(lease(number))),
        1 => (1_u64..9).prop_map(|seconds| Life::Ttl(Duration::from_secs(seconds))),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        5 => (key(), any::<u8>(), life()).prop_map(|(key, value, life)| {
            Operation::Put { key, value: vec![value].into(), life }
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
    ];
    (key(), is).prop_map(|(key, is)| Condition { key, is })
}

fn step() -> impl Strategy<Value = Step> {
    let transaction =
        (prop::collection::vec(condition(), 0..2), prop::collection::vec(operation(), 0..4));
    prop_oneof![
        8 => transaction.prop_map(|(conditions, operations)| {
            Step::Commit(Transaction { conditions, operations })
        }),
        2 => (1_u64..9).prop_map(Step::Grant),
        1 => (1_u64..8).prop_map(Step::Renew),
        1 => (1_u64..8).prop_map(Step::Revoke),
        3 => (0_u64..5_000).prop_map(Step::Pass),
        1 => (0_u64..30).prop_map(Step::Compact),
        1 => Just(Step::Restart),
    ]
}

fn apply(model: &mut Model, now: &mut Duration, step: &Step) {
    match step {
        Step::Commit(transaction) => {
            let before = model.clone();
            // Whatever time ended by itself is not the transaction's doing.
            model.tick(*now);
            let ticked = model.revision();
            match model.commit(*now, transaction) {
                Ok(Outcome::Committed { revision }) => {
                    assert!(revision == ticked || revision == ticked.next(), "{revision}");
                    assert_eq!(revision, model.revision());
                }
                Ok(Outcome::Refused { revision, found }) => {
                    assert_eq!((revision, model.revision()), (ticked, ticked));
                    assert_eq!(found.len(), transaction.conditions.len());
                }
                Err(_) => assert_eq!(model.revision(), ticked, "{:?}", before.revision()),
            }
        }
        Step::Grant(ttl) => {
            model.grant(*now, Duration::from_secs(*ttl)).unwrap();
        }
        Step::Renew(number) => {
            model.renew(*now, lease(*number)).unwrap_or_default();
        }
        Step::Revoke(number) => model.revoke(*now, lease(*number)),
        Step::Pass(milliseconds) => {
            *now += Duration::from_millis(*milliseconds);
            model.tick(*now);
        }
        Step::Compact(revision) => model.compact(Revision(*revision)).unwrap_or_default(),
        Step::Restart => model.restart(*now),
    }
}

/// All that is kept from `from` on.
fn history(model: &Model, mut from: Revision) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some(change) = model.change(&Range::all(), from).unwrap() {
        from = change.revision.next();
        changes.push(change);
    }
    changes
}

/// What the history makes of what was there before it.
fn replay(mut entries: BTreeMap<Bytes, Entry>, changes: &[Change]) -> BTreeMap<Bytes, Entry> {
    for change in changes {
        for event in &change.events {
            match event {
                Event::Put(entry) => {
                    let before = entries.insert(entry.key.clone(), entry.clone());
                    let version = before.as_ref().map_or(1, |before| before.version + 1);
                    let created = before.map_or(change.revision, |before| before.created);
                    assert_eq!((entry.version, entry.created), (version, created));
                    assert_eq!(entry.modified, change.revision);
                }
                Event::Delete { key, revision } => {
                    assert_eq!(*revision, change.revision);
                    assert!(entries.remove(key).is_some(), "{key:?} was not there");
                }
            }
        }
    }
    entries
}

fn entries(model: &Model) -> BTreeMap<Bytes, Entry> {
    model.view().entries().map(|entry| (entry.key.clone(), entry.clone())).collect()
}

proptest! {
    #[test]
    fn history_is_what_made_the_present(steps in prop::collection::vec(step(), 1..60)) {
        let (mut model, mut now) = (Model::new(), Duration::ZERO);
        let mut known = (Revision(0), BTreeMap::new());
        for step in &steps {
            apply(&mut model, &mut now, step);
            if known.0 < model.compacted() {
                // What was forgotten cannot be replayed: go on from here.
                known = (model.revision(), entries(&model));
            }
            let changes = history(&model, known.0.next());
            let revisions: Vec<u64> = changes.iter().map(|change| change.revision.0).collect();
            prop_assert_eq!(revisions, (known.0.0 + 1..=model.revision().0).collect::<Vec<_>>());
            for change in &changes {
                let names: BTreeSet<_> = change.events.iter().map(Event::key).collect();
                prop_assert_eq!(names.len(), change.events.len());
            }
            let replayed = replay(known.1, &changes);
            prop_assert_eq!(&replayed, &entries(&model));
            known = (model.revision(), replayed);
        }
    }

    #[test]
    fn a_lease_and_its_keys_name_each_other(steps in prop::collection::vec(step(), 1..60)) {
        let (mut model, mut now) = (Model::new(), Duration::ZERO);
        for step in &steps {
            apply(&mut model, &mut now, step);
            // A look ends what is over, so it comes first.
            model.tick(now);
            let leased: BTreeMap<_, _> = entries(&model)
                .into_iter()
                .filter_map(|(key, entry)| Some((key, entry.lease?)))
                .collect();
            for (key, id) in &leased {
                let status = model.lease(now, *id).unwrap();
                prop_assert!(status.keys.contains(key));
                prop_assert!(status.remaining <= status.ttl);
            }
            for number in 1..200 {
                let Ok(status) = model.lease(now, lease(number)) else { continue };
                for key in status.keys {
                    prop_assert_eq!(leased.get(&key), Some(&lease(number)));
                }
            }
        }
    }

    #[test]
    fn pages_are_the_view(steps in prop::collection::vec(step(), 1..30), limit in 1_usize..4) {
        let (mut model, mut now) = (Model::new(), Duration::ZERO);
        for step in &steps {
            apply(&mut model, &mut now, step);
        }
        let (mut range, mut found) = (Range::all(), Vec::new());
        loop {
            let page = model.view().page(&range, limit, model.revision());
            prop_assert!(page.entries.len() <= limit);
            found.extend(page.entries);
            let Some(next) = page.next else { break };
            range.from = next;
        }
        prop_assert!(found.iter().eq(model.view().entries()));
    }
}
