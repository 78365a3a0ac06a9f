//! A process is killed while 64 writers write, again and again on the same store.

use ports::kv::{Kv, Life, Outcome, Transaction};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
};

use super::{put, rounds, run, value};
use crate::{
    disk::simulated::Dice,
    kv::{Config, Service},
};

const WRITERS: u64 = 64;

/// Names the folder to the child.
const FOLDER: &str = "FLOTILLA_TEST_KV_FOLDER";

/// The child: writes until it is killed, and tells on its standard output what was acknowledged. Without a folder it is
/// no child, and there is nothing to do.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    run(async {
        let (_service, kv) = Service::open(&Config { folder: folder.into() }).unwrap();
        let out = Arc::new(Mutex::new(std::io::stdout()));
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let (kv, out) = (kv.clone(), Arc::clone(&out));
            tasks.spawn(async move {
                let (a, b) = (format!("{writer}/a"), format!("{writer}/b"));
                let mut number: u64 =
                    value(&kv, &a).await.map_or(0, |value| value.parse().unwrap());
                loop {
                    number += 1;
                    let both = Transaction::put(a.clone(), number.to_string()).and_put(
                        b.clone(),
                        number.to_string(),
                        Life::Endless,
                    );
                    let outcome = kv.commit(both).await.unwrap();
                    assert!(matches!(outcome, Outcome::Committed { .. }));
                    let line = format!("ack {writer} {number}\n");
                    out.lock().unwrap().write_all(line.as_bytes()).unwrap();
                }
            });
        }
        tasks.join_all().await;
    });
}

/// Runs a child and kills it after about `acknowledgements`. Notes what it told.
fn kill_one(folder: &Path, acknowledgements: u64, told: &mut BTreeMap<u64, u64>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kv::tests::kill::child", "--nocapture"])
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
            let newest = told.entry(writer.parse().unwrap()).or_default();
            *newest = number.max(*newest);
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        }
    }
    assert!(!child.wait().unwrap().success(), "it was killed");
    assert_eq!(left, 0, "it wrote until it was killed");
}

#[test]
fn what_was_acknowledged_survives_being_killed_under_64_writers() {
    let folder = tempfile::tempdir().unwrap();
    let mut told = BTreeMap::new();
    let mut dice = Dice::new(u64::from(std::process::id()));
    let rounds = rounds(20);
    for round in 0..rounds {
        kill_one(folder.path(), 1 + dice.roll(2_000), &mut told);
        run(async {
            let config = Config { folder: folder.path().to_owned() };
            let (service, kv) = Service::open(&config).unwrap();
            for writer in 0..WRITERS {
                let found = value(&kv, &format!("{writer}/a")).await;
                assert_eq!(found, value(&kv, &format!("{writer}/b")).await, "half a transaction");
                let found: u64 = found.map_or(0, |value| value.parse().unwrap());
                let newest = told.get(&writer).copied().unwrap_or(0);
                assert!(found >= newest, "round {round}: {writer} has {found}, was told {newest}");
            }
            put(&kv, "round", &round.to_string()).await;
            // Every other round goes on with what the kill left, checkpoint and all.
            if round % 2 == 0 {
                service.shutdown().await;
            }
        });
        if round % 2 == 1 {
            wait_until_free(folder.path());
        }
    }
    eprintln!("{rounds} rounds, {} acknowledged", told.values().sum::<u64>());
}

/// An engine that was dropped lets go of its folder a little later.
fn wait_until_free(folder: &Path) {
    let config = Config { folder: folder.to_owned() };
    let start = std::time::Instant::now();
    while crate::kv::service::lock(&config).is_err() {
        assert!(start.elapsed().as_secs() < 60, "the engine does not end");
        std::thread::yield_now();
    }
}
