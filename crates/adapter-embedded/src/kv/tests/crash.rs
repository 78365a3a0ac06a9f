//! The power goes before every step that the engine makes, and what was acknowledged must be there afterwards.

use ports::kv::{Is, Kv, Life, Outcome, Range, Revision, Transaction};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{all, open, rounds, run, tiny, value};
use crate::{
    disk::simulated::{Cut, Dice, Simulated},
    kv::{Handle, Service, recovery::Limits},
};

/// What writers were told, and what they do not know.
#[derive(Clone, Debug, Default)]
struct Journal {
    /// The last value of each key that was acknowledged, with its revision; `None`: deleted.
    acknowledged: BTreeMap<String, (u64, Option<String>)>,
    /// What was asked for after that and may have happened.
    open: BTreeMap<String, Option<String>>,
    revision: u64,
    lease: Option<ports::kv::Lease>,
}

/// A store, and what its writers were told.
type Start = (Simulated, Journal);

/// Each writer has two keys of its own, which it always writes together, and one that it deletes now and then.
async fn write(kv: Handle, writer: u64, journal: Arc<Mutex<Journal>>) {
    let mut dice = Dice::new(writer + 1);
    for number in 0..30 {
        let (a, b) = (format!("pair/{writer}/a"), format!("pair/{writer}/b"));
        let text = format!("{number}:{}", "x".repeat(usize::try_from(dice.roll(300)).unwrap()));
        let (changes, transaction) = if dice.roll(5) == 0 {
            let none = Transaction::delete(a.clone()).and_delete(b.clone());
            (None, none)
        } else {
            let life = if dice.roll(4) == 0 {
                Life::Ttl(Duration::from_secs(1_000))
            } else {
                Life::Endless
            };
            let both =
                Transaction::put(a.clone(), text.clone()).and_put(b.clone(), text.clone(), life);
            (Some(text), both)
        };
        {
            let mut journal = journal.lock().unwrap();
            journal.open.insert(a.clone(), changes.clone());
            journal.open.insert(b.clone(), changes.clone());
        }
        let Ok(outcome) = kv.commit(transaction).await else { return };
        let Outcome::Committed { revision } = outcome else { unreachable!("no conditions") };
        let mut journal = journal.lock().unwrap();
        for key in [a, b] {
            journal.open.remove(&key);
            journal.acknowledged.insert(key, (revision.0, changes.clone()));
        }
        journal.revision = journal.revision.max(revision.0);
    }
}

/// Lets four writers write until the power goes or they are done. Returns what they were told.
async fn work(disk: &Simulated, journal: Journal, limits: Limits) -> Result<Journal, Journal> {
    let Ok((service, kv)) = open(disk, limits) else { return Err(journal) };
    let journal = Arc::new(Mutex::new(journal));
    if let Ok(lease) = kv.grant(Duration::from_secs(500)).await {
        journal.lock().unwrap().lease = Some(lease);
    }
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4 {
        tasks.spawn(write(kv.clone(), writer, Arc::clone(&journal)));
    }
    tasks.join_all().await;
    service.shutdown().await;
    Ok(Arc::try_unwrap(journal).unwrap().into_inner().unwrap())
}

/// Opens what is left, and compares.
async fn check(disk: &Simulated, journal: &Journal) -> (Service, Handle) {
    let (service, kv) = open(disk, tiny()).unwrap();
    let status = kv.status().await.unwrap();
    assert!(status.revision.0 >= journal.revision, "{status:?} {}", journal.revision);
    for (key, (revision, expected)) in &journal.acknowledged {
        let found = kv.get(key.as_bytes()).await.unwrap();
        let text = found.as_ref().map(|entry| String::from_utf8(entry.value.to_vec()).unwrap());
        let is_same = text == *expected
            && found.as_ref().is_none_or(|entry| entry.modified == Revision(*revision));
        let is_open = journal.open.get(key).is_some_and(|open| *open == text);
        assert!(is_same || is_open, "{key}: {found:?}, {expected:?} at {revision}");
    }
    for writer in 0..4 {
        let (a, b) = (format!("pair/{writer}/a"), format!("pair/{writer}/b"));
        assert_eq!(value(&kv, &a).await, value(&kv, &b).await, "half a transaction");
    }
    if let Some(lease) = journal.lease {
        assert_eq!(kv.lease(lease.id).await.unwrap().ttl, lease.ttl);
    }
    // History and present agree.
    let mut present = BTreeMap::new();
    let mut watch = kv.watch(Range::all(), Some(status.compacted.next())).await.unwrap();
    let mut at = status.compacted;
    while at < status.revision {
        let change = watch.next().await.unwrap();
        assert_eq!(change.revision, at.next());
        at = change.revision;
        for event in change.events {
            match event {
                ports::kv::Event::Put(entry) => drop(present.insert(entry.key.clone(), entry)),
                ports::kv::Event::Delete { key, .. } => drop(present.remove(&key)),
            }
        }
    }
    if status.compacted == Revision(0) {
        assert_eq!(all(&kv).await, present.into_values().collect::<Vec<_>>());
    }
    // It goes on.
    let next = Transaction::put("after", "x").when("after", Is::Missing);
    assert!(matches!(
        kv.commit(next).await.unwrap(),
        Outcome::Committed { revision } if revision == status.revision.next()
    ));
    kv.commit(Transaction::delete("after")).await.unwrap();
    (service, kv)
}

/// How many steps the work takes when nothing happens.
fn steps((start, journal): &Start, limits: &Limits) -> u64 {
    let disk = start.copy();
    run(work(&disk, journal.clone(), limits.clone())).unwrap();
    disk.steps()
}

fn crash((start, journal): &Start, limits: &Limits, at: u64, cut: Cut) {
    run(async {
        let disk = start.copy();
        disk.fail(|faults| faults.cut_at = Some(at));
        let worked = work(&disk, journal.clone(), limits.clone()).await;
        let journal = worked.unwrap_or_else(|journal| journal);
        let mut disk = disk.cut(cut);
        // It goes again while the store is opened and checked.
        for again in [at % 7, at % 23] {
            disk.fail(|faults| faults.cut_at = Some(again));
            drop(open(&disk, limits.clone()));
            disk = disk.cut(cut);
        }
        let (service, _) = check(&disk, &journal).await;
        service.shutdown().await;
    });
}

/// A store in which something was written before.
fn filled() -> Start {
    let disk = Simulated::default();
    let journal = run(work(&disk, Journal::default(), tiny())).unwrap();
    (disk, journal)
}

fn everywhere(start: &Start, limits: &Limits, cut: impl Fn(u64) -> Cut) {
    // The steps of several threads come in another order each time, so leaving some out loses little.
    let total = steps(start, limits);
    let stride = (total / rounds(60)).max(1);
    for at in (0..total).step_by(usize::try_from(stride).unwrap()) {
        crash(start, limits, at, cut(at));
    }
}

#[test]
fn a_power_cut_at_any_step_of_a_new_store_keeps_what_was_acknowledged() {
    everywhere(&Start::default(), &tiny(), |_| Cut::Strict);
}

#[test]
fn a_power_cut_at_any_step_keeps_what_was_acknowledged() {
    everywhere(&filled(), &tiny(), |_| Cut::Strict);
}

#[test]
fn a_power_cut_that_leaves_some_of_what_was_not_synced_keeps_what_was_acknowledged() {
    everywhere(&filled(), &tiny(), Cut::Lenient);
}

#[test]
fn a_power_cut_of_a_new_store_that_leaves_some_of_what_was_not_synced_does_too() {
    everywhere(&Start::default(), &tiny(), |at| Cut::Lenient(at + 1_000));
}

/// Segments of the log are removed all the time, and only the tree has what was in them.
fn forgetful() -> Limits {
    Limits { history_bytes: 3 << 10, segment_bytes: 1 << 10, ..tiny() }
}

#[test]
fn a_power_cut_keeps_what_was_acknowledged_and_is_in_the_tree_only() {
    everywhere(&filled(), &forgetful(), |_| Cut::Strict);
}

#[test]
fn a_power_cut_that_leaves_some_of_what_was_not_synced_keeps_what_is_in_the_tree_only() {
    everywhere(&filled(), &forgetful(), Cut::Lenient);
}
