//! Disks that fail and run full.

use ports::kv::{
    Error, Kv, Outcome, Range, Retry, Revision, Transaction,
    conformance::{Recorder, history::Act},
};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

use super::{all, open, put, rounds, run, tiny, value};
use crate::{
    disk::simulated::{Cut, Dice, Simulated},
    kv::{Handle, recovery::Limits},
};

/// Puts until it succeeds.
async fn put_again(kv: &Handle, key: &str, value: &str) -> Revision {
    loop {
        match kv.commit(Transaction::put(key.to_owned(), value.to_owned())).await {
            Ok(Outcome::Committed { revision }) => return revision,
            Ok(Outcome::Refused { .. }) => unreachable!("it has no conditions"),
            Err(error) => assert_ne!(error.retry(), Retry::Never, "{error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_failed_sync_is_told_as_unknown_and_stops_writes_but_no_reads_until_the_log_is_open_again() {
    run(async {
        let disk = Simulated::default();
        let (service, kv) = open(&disk, Limits::default()).unwrap();
        put(&kv, "a", "1").await;
        // One for the write, one for the first attempt to open the log again.
        disk.fail(|faults| faults.failing_syncs = Some((".log", 2)));
        let lost = kv.commit(Transaction::put("a", "2")).await;
        assert!(matches!(lost, Err(Error::Unknown { .. })), "{lost:?}");
        assert_eq!(value(&kv, "a").await.as_deref(), Some("1"));
        let refused = kv.commit(Transaction::put("b", "1")).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        assert_eq!(kv.status().await.unwrap().revision, Revision(1));

        let again = put_again(&kv, "c", "3").await;
        // The unknown one turned out to be in the log, as it may.
        let unknown = value(&kv, "a").await;
        assert_eq!(again, Revision(if unknown.as_deref() == Some("2") { 3 } else { 2 }));
        let before = all(&kv).await;
        drop(service);
        let disk = disk.cut(Cut::Strict);
        let (_service, kv) = open(&disk, Limits::default()).unwrap();
        assert_eq!(all(&kv).await, before, "what was read after it must be durable");
    });
}

/// After a failed sync the kernel shows bytes that the disk does not have. Whoever starts on them must make them
/// durable before he builds on them.
#[test]
fn a_failed_sync_before_a_restart_leaves_no_hole_behind() {
    run(async {
        let disk = Simulated::default();
        let (service, kv) = open(&disk, Limits::default()).unwrap();
        put(&kv, "a", "1").await;
        disk.fail(|faults| faults.failing_syncs = Some((".log", u32::MAX)));
        kv.commit(Transaction::put("a", "2")).await.unwrap_err();
        drop(service);
        let disk = disk.kill();
        disk.fail(|faults| faults.failing_syncs = None);
        let (service, kv) = open(&disk, Limits::default()).unwrap();
        let seen = all(&kv).await;
        put(&kv, "b", "1").await;
        drop(service);
        let disk = disk.cut(Cut::Strict);
        let (_service, kv) = open(&disk, Limits::default()).unwrap();
        assert_eq!(all(&kv).await[..1], seen[..]);
        assert_eq!(value(&kv, "b").await.as_deref(), Some("1"));
    });
}

#[test]
fn a_full_disk_refuses_writes_and_takes_them_again_when_there_is_room() {
    run(async {
        let disk = Simulated::default();
        let (service, kv) = open(&disk, tiny()).unwrap();
        let mut acknowledged = 0;
        let full = disk.used() + (30 << 10);
        disk.fail(|faults| faults.capacity = Some(full));
        let refused = loop {
            let key = format!("k{acknowledged}");
            match kv.commit(Transaction::put(key, "x".repeat(500))).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
        assert!(acknowledged > 5, "{acknowledged}");
        assert_eq!(all(&kv).await.len(), acknowledged);
        // It stays so, and a restart changes nothing.
        assert!(matches!(
            kv.commit(Transaction::put("x", "x".repeat(500))).await,
            Err(Error::Unavailable { .. })
        ));
        disk.fail(|faults| faults.capacity = None);
        put_again(&kv, "x", "y").await;
        assert_eq!(all(&kv).await.len(), acknowledged + 1);
        drop(service);
        let disk = disk.cut(Cut::Strict);
        let (_service, kv) = open(&disk, tiny()).unwrap();
        assert_eq!(all(&kv).await.len(), acknowledged + 1);
    });
}

/// The tree needs room when the log has some: reads and writes go on meanwhile, within the bounds of memory.
#[test]
fn a_tree_that_cannot_be_written_holds_up_nothing_until_memory_is_full() {
    run(async {
        let disk = Simulated::default();
        let (service, kv) = open(&disk, tiny()).unwrap();
        disk.fail(|faults| faults.failing_syncs = Some((".redb", u32::MAX)));
        let mut acknowledged: usize = 0;
        let refused = loop {
            let key = format!("k{acknowledged}");
            match kv.commit(Transaction::put(key, "x".repeat(100))).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
        assert!(acknowledged > 100, "{acknowledged}");
        disk.fail(|faults| faults.failing_syncs = None);
        put_again(&kv, "x", "y").await;
        assert_eq!(all(&kv).await.len(), acknowledged + 1);
        service.shutdown().await;
        let disk = disk.cut(Cut::Strict);
        let (_service, kv) = open(&disk, tiny()).unwrap();
        assert_eq!(all(&kv).await.len(), acknowledged + 1);
    });
}

/// A real file system that is full, if this process may mount one.
#[test]
fn a_full_file_system_refuses_writes_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |arguments: &[&str]| {
        let mut command = std::process::Command::new(arguments[0]);
        command
            .args(&arguments[1..])
            .arg(folder.path())
            .output()
            .is_ok_and(|it| it.status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs"]) {
        eprintln!("SKIPPED: this process may not mount a file system");
        return;
    }
    run(async {
        let config = crate::kv::Config { folder: folder.path().join("kv") };
        let (service, kv) = crate::kv::Service::open(&config).unwrap();
        let mut acknowledged = 0;
        let refused = loop {
            let key = format!("k{acknowledged}");
            match kv.commit(Transaction::put(key, "x".repeat(5_000))).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
        assert!(acknowledged > 10, "{acknowledged}");
        assert_eq!(all(&kv).await.len(), acknowledged);
        service.shutdown().await;
        let (service, kv) = crate::kv::Service::open(&config).unwrap();
        assert_eq!(all(&kv).await.len(), acknowledged);
        service.shutdown().await;
    });
    assert!(mount(&["umount"]));
}

/// Many callers, while the disk fails and loses power and callers lose patience: one order explains what all of them were told.
#[test]
fn calls_have_one_order_through_failures_and_power_cuts() {
    let rounds = rounds(12);
    let revisions: u64 = (0..rounds).map(|round| run(one_order(round))).sum();
    assert!(revisions > rounds, "so few writes succeed that the test shows little: {revisions}");
}

/// Returns how many writes succeeded.
async fn one_order(round: u64) -> u64 {
    let recorder = Arc::new(Recorder::new("k/"));
    let mut disk = Simulated::default();
    let mut dice = Dice::new(round + 77);
    for life in 0..4 {
        let (service, kv) = open(&disk, tiny()).unwrap();
        let at = disk.steps() + 20 + dice.roll(120);
        if dice.roll(3) == 0 {
            disk.fail(|faults| faults.failing_syncs = Some((".log", 1)));
        }
        disk.fail(|faults| faults.cut_at = Some(at));
        let mut tasks = JoinSet::new();
        for task in 0..6 {
            let (kv, recorder) = (kv.clone(), Arc::clone(&recorder));
            tasks.spawn(call(kv, recorder, Dice::new(round * 100 + life * 10 + task)));
        }
        tasks.join_all().await;
        drop(service);
        disk = disk.cut(if dice.roll(2) == 0 { Cut::Strict } else { Cut::Lenient(round + life) });
    }
    let (_service, kv) = open(&disk, tiny()).unwrap();
    for key in 0..3 {
        recorder.perform(&kv, key, Act::Get).await.unwrap();
    }
    recorder.assert_linearizable();
    kv.range(&Range::all(), 10).await.unwrap().revision.0
}

async fn call(kv: Handle, recorder: Arc<Recorder>, mut dice: Dice) {
    let mut seen = None;
    // Reads of an engine without power succeed as long as memory has the answer, so they are bounded too.
    for _ in 0..60 {
        let key = usize::try_from(dice.roll(3)).unwrap();
        let act = match dice.roll(9) {
            0..4 => Act::Get,
            4..6 => Act::Put(recorder.value()),
            6..8 => Act::Swap { from: seen, to: recorder.value() },
            _ => Act::Delete,
        };
        let call = recorder.perform(&kv, key, act);
        // Some callers lose patience, so that outcomes stay unknown.
        let patience = Duration::from_micros(if dice.roll(8) == 0 { 50 } else { 1_000_000 });
        match tokio::time::timeout(patience, call).await {
            Ok(Ok(
                ports::kv::conformance::history::Answer::Read(value)
                | ports::kv::conformance::history::Answer::Refused(value),
            )) => seen = value,
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(error)) => assert_ne!(error.retry(), Retry::Never, "{error:?}"),
        }
    }
}
