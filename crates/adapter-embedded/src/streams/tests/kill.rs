//! A process is killed while 64 writers append, again and again on the same store.

use ports::streams::{Condition, Direction, Expected, Item, NewEvent, Position, Query, Streams};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use super::{add, all, append, event, rounds, run};
use crate::{
    disk::simulated::Dice,
    streams::{Config, Service},
};

const WRITERS: u64 = 64;

/// Names the folder to the child.
const FOLDER: &str = "FLOTILLA_TEST_STREAMS_FOLDER";

/// Two events that belong together.
fn both(writer: u64, number: u64) -> Vec<NewEvent> {
    let half = |half: char| NewEvent {
        tags: vec![format!("writer:{writer}")],
        ..event(format!("{number}{half}"), number.to_string())
    };
    vec![half('a'), half('b')]
}

/// The child: appends until it is killed, and tells on its standard output what was acknowledged. Without a folder it is
/// no child, and there is nothing to do.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    run(async {
        let (_service, streams) = Service::open(&Config { folder: folder.into() }).unwrap();
        let out = Arc::new(Mutex::new(std::io::stdout()));
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (streams, out) = (streams.clone(), Arc::clone(&out));
            tasks.spawn(async move {
                let name = format!("writer-{writer}");
                let status = streams.stream(&name).await.unwrap();
                let mut number = status.as_ref().map_or(0, |status| status.revision.div_ceil(2));
                let mut after = status.as_ref().map_or(Position(0), |status| status.position);
                loop {
                    let expected = match number {
                        0 => Expected::NoStream,
                        number => Expected::Revision(number * 2 - 1),
                    };
                    let mut next = append(&name, expected, both(writer, number));
                    let item = Item { tags: vec![format!("writer:{writer}")], ..Item::default() };
                    next.condition = Some(Condition { query: Query { items: vec![item] }, after });
                    let appended = streams.append(next).await.unwrap();
                    after = appended.position;
                    let line = format!("ack {writer} {number}\n");
                    out.lock().unwrap().write_all(line.as_bytes()).unwrap();
                    number += 1;
                }
            });
        }
        tasks.join_all().await;
    });
}

/// Runs a child and kills it after about `acknowledgements`. Notes what it told.
fn kill_one(folder: &Path, acknowledgements: u64, told: &mut BTreeMap<u64, u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "streams::tests::kill::child", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut left = acknowledgements;
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // What it had told before it died is read to the end; a last line may be torn.
    for line in lines.map_while(Result::ok) {
        let mut words = line.split(' ');
        if let (Some("ack"), Some(writer), Some(number)) =
            (words.next(), words.next(), words.next())
        {
            let number: u64 = number.parse().unwrap();
            let count = told.entry(writer.parse().unwrap()).or_default();
            *count = (number + 1).max(*count);
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    assert_eq!(left, 0, "it appended until it was killed");
}

#[test]
fn what_was_acknowledged_survives_being_killed_under_64_writers() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    let mut dice = Dice::new(u64::from(std::process::id()));
    let rounds = rounds(12);
    for round in 0..rounds {
        kill_one(folder.path(), 1 + dice.roll(2_000), &mut told);
        run(async {
            let config = Config { folder: folder.path().to_owned() };
            let (service, streams) = Service::open(&config).unwrap();
            for writer in 0..WRITERS {
                let name = format!("writer-{writer}");
                let count = told.get(&writer).copied().unwrap_or(0);
                let found = streams.stream(&name).await.unwrap();
                let found = found.map_or(0, |status| status.revision + 1);
                assert_eq!(found % 2, 0, "half an append");
                assert!(
                    found >= count * 2,
                    "round {round}: {writer} has {found}, was told {count}"
                );
                if count == 0 {
                    continue;
                }
                let from = Some(count * 2 - 1);
                let page = streams.read(&name, from, Direction::Backwards, 2).await.unwrap();
                let ids: Vec<_> = page.events.iter().map(|event| event.id.clone()).collect();
                assert_eq!(ids, [format!("{}b", count - 1), format!("{}a", count - 1)]);
            }
            add(&streams, "round", &round.to_string(), "x").await;
            // Every other round goes on with what the kill left, checkpoint and all.
            if round % 2 == 0 {
                service.shutdown().await;
            }
        });
        if round % 2 == 1 {
            wait_until_free(folder.path());
        }
    }
    run(async {
        let config = Config { folder: folder.path().to_owned() };
        let (service, streams) = Service::open(&config).unwrap();
        let events = all(&streams).await;
        let positions = events.iter().map(|event| event.position.0);
        assert!(positions.eq(1..=events.len() as u64));
        service.shutdown().await;
    });
    eprintln!("{rounds} rounds, {} acknowledged", told.values().sum::<u64>());
}

/// An engine that was dropped lets go of its folder a little later.
fn wait_until_free(folder: &Path) {
    let config = Config { folder: folder.to_owned() };
    let start = std::time::Instant::now();
    while crate::streams::service::lock(&config).is_err() {
        assert!(start.elapsed().as_secs() < 60, "the engine does not end");
        std::thread::yield_now();
    }
}
