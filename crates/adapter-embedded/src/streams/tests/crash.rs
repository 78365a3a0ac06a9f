//! The power goes before every step that the engine makes, and what was acknowledged must be there afterwards.

use ports::streams::{Appended, Condition, Expected, Item, NewEvent, Position, Query, Streams};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use super::{append, check, event, open, rounds, run, tiny};
use crate::{
    disk::simulated::{Cut, Dice, Simulated},
    streams::{Handle, Service, recovery::Limits},
};

/// What writers were told: which append of which stream is where.
#[derive(Clone, Debug, Default)]
struct Journal {
    acknowledged: BTreeMap<(String, u64), Appended>,
}

/// A store, and what its writers were told.
type Start = (Simulated, Journal);

/// Number `number` of a writer: two events that must be there together.
fn both(stream: &str, number: u64, len: usize) -> Vec<NewEvent> {
    let data = vec![b'x'; len];
    let half = |half: char| NewEvent {
        tags: vec![format!("append:{number}")],
        ..event(format!("{stream}/{number}{half}"), data.clone())
    };
    vec![half('a'), half('b')]
}

async fn write(streams: Handle, writer: u64, begin: u64, journal: Arc<Mutex<Journal>>) {
    let mut dice = Dice::new(writer + 1);
    for number in begin..begin + 20 {
        // Some write to a stream of their own, some all to the same one.
        let stream = match dice.roll(3) {
            0 => "all".to_owned(),
            _ => format!("writer-{writer}"),
        };
        let name = format!("{writer}.{stream}");
        let len = usize::try_from(dice.roll(300)).unwrap();
        let events = both(&name, number, len);
        let Ok(appended) = streams.append(append(&stream, Expected::Any, events)).await else {
            return;
        };
        assert!(!appended.duplicate);
        journal.lock().unwrap().acknowledged.insert((name, number), appended);
    }
}

/// Lets four writers write until the power goes or they are done. Returns what they were told, and whether it went.
async fn work(disk: &Simulated, journal: Journal, limits: Limits) -> Journal {
    let Ok((service, streams)) = open(disk, limits) else { return journal };
    let begin = streams.status().await.map_or(0, |status| status.position.0) + 1_000;
    let journal = Arc::new(Mutex::new(journal));
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4 {
        tasks.spawn(write(streams.clone(), writer, begin, Arc::clone(&journal)));
    }
    tasks.join_all().await;
    service.shutdown().await;
    Arc::try_unwrap(journal).unwrap().into_inner().unwrap()
}

/// Opens what is left, and compares.
async fn verify(disk: &Simulated, journal: &Journal) -> (Service, Handle) {
    let (service, streams) = open(disk, tiny()).unwrap();
    let events = check(&streams).await;
    for ((name, number), appended) in &journal.acknowledged {
        let index = usize::try_from(appended.position.0).unwrap();
        let [first, second] = &events[index - 2..index] else { unreachable!() };
        assert_eq!(
            (&first.id, &second.id),
            (&format!("{name}/{number}a"), &format!("{name}/{number}b"))
        );
        assert_eq!(second.revision, appended.revision);
        // The same once more is known, wherever the index has it.
        let again = both(name, *number, 0);
        let stream = name.split_once('.').unwrap().1;
        let answer = streams.append(append(stream, Expected::NoStream, again)).await.unwrap();
        assert_eq!(answer, Appended { duplicate: true, ..*appended });
    }
    // All or nothing.
    for pair in events.chunks(2) {
        let [a, b] = pair else { panic!("half an append: {pair:?}") };
        assert_eq!(
            (a.id.trim_end_matches('a'), &a.stream),
            (b.id.trim_end_matches('b'), &b.stream)
        );
    }
    // The lists of tags say the same as the events.
    for event in &events {
        let item = Item { tags: event.tags.clone(), ..Item::default() };
        let query = Query { items: vec![item] };
        let from = Some(event.position);
        let page = streams.read_all(&query, from, super::Direction::Forwards, 1).await.unwrap();
        assert_eq!(page.events, std::slice::from_ref(event));
    }
    // It goes on.
    let position = Position(events.len() as u64);
    let mut next = append("after", Expected::NoStream, both("after", 1, 0));
    next.condition = Some(Condition { query: Query::default(), after: position });
    let appended = streams.append(next).await.unwrap();
    assert_eq!(appended.position, Position(position.0 + 2));
    (service, streams)
}

fn crash((start, journal): &Start, limits: &Limits, at: u64, cut: Cut) {
    run(async {
        let disk = start.copy();
        disk.fail(|faults| faults.cut_at = Some(at));
        let journal = work(&disk, journal.clone(), limits.clone()).await;
        let mut disk = disk.cut(cut);
        // It goes again while the store is opened.
        for again in [at % 7, at % 23] {
            disk.fail(|faults| faults.cut_at = Some(again));
            drop(open(&disk, limits.clone()));
            disk = disk.cut(cut);
        }
        let (service, _) = verify(&disk, &journal).await;
        service.shutdown().await;
    });
}

/// A store in which something was written before.
fn filled() -> Start {
    let disk = Simulated::default();
    let journal = run(work(&disk, Journal::default(), tiny()));
    assert_eq!(journal.acknowledged.len(), 80);
    (disk, journal)
}

fn everywhere(start: &Start, limits: &Limits, cut: impl Fn(u64) -> Cut) {
    let disk = start.0.copy();
    run(work(&disk, start.1.clone(), limits.clone()));
    // The steps of several threads come in another order each time, so leaving some out loses little.
    let total = disk.steps();
    let stride = (total / rounds(50)).max(1);
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

/// While it is built again from many files, the index is written several times.
#[test]
fn a_power_cut_while_the_index_is_built_again_loses_nothing() {
    let (disk, journal) = filled();
    let limits = || Limits { overlay_bytes: 1 << 10, ..tiny() };
    let forgotten = disk.copy();
    crate::disk::Disk::remove(&forgotten, crate::streams::index::NAME).unwrap();
    crate::disk::Disk::sync(&forgotten).unwrap();
    let counted = forgotten.copy();
    drop(open(&counted, limits()).unwrap());
    let total = counted.steps();
    assert!(total > 20, "{total}");
    let stride = (total / rounds(40)).max(1);
    for at in (0..total).step_by(usize::try_from(stride).unwrap()) {
        for cut in [Cut::Strict, Cut::Lenient(at)] {
            run(async {
                let disk = forgotten.copy();
                disk.fail(|faults| faults.cut_at = Some(at));
                drop(open(&disk, limits()));
                let (service, _) = verify(&disk.cut(cut), &journal).await;
                service.shutdown().await;
            });
        }
    }
}
