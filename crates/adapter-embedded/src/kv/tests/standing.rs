//! What stays within bounds, and for how long.

use ports::kv::{Error, Kv, Life, Range, Revision, Transaction};
use std::{sync::Arc, time::Duration};

use super::{all, open, put, run, tiny, value};
use crate::{
    disk::{Disk, simulated::Simulated},
    kv::recovery::Limits,
};

fn short_memory() -> Limits {
    Limits { history_bytes: 16 << 10, ..tiny() }
}

/// Bytes of all segments.
fn log_bytes(disk: &Simulated) -> u64 {
    let names = disk.list().unwrap();
    let segments = names.iter().filter(|name| name.ends_with(".log"));
    segments.map(|name| disk.bytes(name).len() as u64).sum()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds().await {
        assert!(start.elapsed().as_secs() < 60, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn history_stays_within_its_bound_and_the_rest_is_told_as_compacted() {
    run(async {
        let disk = Simulated::default();
        let (_service, kv) = open(&disk, short_memory()).unwrap();
        let mut slow = kv.watch(Range::all(), None).await.unwrap();
        let mut elsewhere = kv.watch(Range::key("other".into()), None).await.unwrap();
        for number in 0..600 {
            put(&kv, &format!("k{}", number % 20), &"x".repeat(100)).await;
        }
        until("the log is trimmed", async || {
            put(&kv, "k", "x").await;
            log_bytes(&disk) < 40 << 10
        })
        .await;
        let status = kv.status().await.unwrap();
        assert!(status.compacted > Revision(100), "{status:?}");
        assert!(status.size > log_bytes(&disk), "{status:?}");
        let told = kv.watch(Range::all(), Some(status.compacted)).await;
        assert!(
            matches!(told, Err(Error::Compacted { compacted }) if compacted >= status.compacted)
        );
        assert!(matches!(slow.next().await, Err(Error::Compacted { .. })));
        // Nothing that was forgotten was for this one.
        put(&kv, "other", "x").await;
        assert_eq!(elsewhere.next().await.unwrap().events.len(), 1);
        let from = kv.status().await.unwrap().compacted.next();
        let mut rest = kv.watch(Range::all(), Some(from)).await.unwrap();
        assert_eq!(rest.next().await.unwrap().revision, from);
    });
}

#[test]
fn a_watch_that_found_nothing_in_the_past_misses_nothing_after_it() {
    run(async {
        let disk = Simulated::default();
        let (_service, kv) = open(&disk, tiny()).unwrap();
        for round in 0..3 {
            put(&kv, "other", "x").await;
            put(&kv, "other", "x").await;
            let from = Some(Revision(round * 3));
            let mut watch = kv.watch(Range::key("mine".into()), from).await.unwrap();
            if round > 0 {
                assert_eq!(watch.next().await.unwrap().revision, Revision(round * 3));
            }
            tokio::select! {
                biased;
                told = watch.next() => panic!("there is nothing to tell: {told:?}"),
                () = std::future::ready(()) => {}
            }
            let revision = put(&kv, "mine", "x").await;
            assert_eq!(watch.next().await.unwrap().revision, Revision(revision));
        }
    });
}

#[test]
fn a_watch_reads_on_in_the_log_while_others_write() {
    run(async {
        let disk = Simulated::default();
        let limits = Limits { history_bytes: 64 << 20, ..tiny() };
        let (_service, kv) = open(&disk, limits).unwrap();
        // More than is held in memory.
        let value = "x".repeat(64 << 10);
        for number in 0..150 {
            put(&kv, &format!("k{number}"), &value).await;
        }
        let mut watch = kv.watch(Range::all(), Some(Revision(1))).await.unwrap();
        for revision in 1..=150 {
            assert_eq!(watch.next().await.unwrap().revision, Revision(revision));
            put(&kv, "more", "x").await;
        }
        for revision in 151..=300 {
            assert_eq!(watch.next().await.unwrap().revision, Revision(revision));
        }
    });
}

#[test]
fn a_snapshot_stays_as_it_was_over_many_checkpoints() {
    run(async {
        let disk = Simulated::default();
        let (_service, kv) = open(&disk, tiny()).unwrap();
        for number in 0..100 {
            put(&kv, &format!("k{number:03}"), "old").await;
        }
        let before = all(&kv).await;
        let mut snapshot = kv.snapshot().await.unwrap();
        for round in 0..5 {
            for number in 0..100 {
                put(&kv, &format!("k{number:03}"), &format!("new {round}")).await;
            }
            kv.commit(Transaction::delete(format!("k{round:03}"))).await.unwrap();
            put(&kv, &format!("other {round}"), "x").await;
        }
        let mut range = Range::all();
        let mut found = Vec::new();
        loop {
            let page = snapshot.range(&range, 7).await.unwrap();
            assert_eq!(page.revision, Revision(100));
            found.extend(page.entries);
            let Some(next) = page.next else { break };
            range.from = next;
        }
        assert_eq!(found, before);
        // Of the five that were deleted, four were put again.
        assert_eq!(all(&kv).await.len(), 100 - 1 + 5);
    });
}

#[test]
fn many_leases_end_at_the_same_time_each_in_a_revision_of_its_own() {
    run(async {
        let disk = Simulated::default();
        let (_service, kv) = open(&disk, tiny()).unwrap();
        for number in 0..700 {
            let ttl = Life::Ttl(Duration::from_secs(1));
            let put = Transaction::default().and_put(format!("k{number}"), "x", ttl);
            kv.commit(put).await.unwrap();
        }
        let before = kv.status().await.unwrap();
        assert_eq!(before.leases, Some(0), "those of entries do not count");
        until("all leases end", async || all(&kv).await.is_empty()).await;
        assert_eq!(kv.status().await.unwrap().revision, Revision(1_400));
    });
}

#[test]
fn the_end_of_the_engine_ends_watches_and_snapshots() {
    run(async {
        let disk = Simulated::default();
        let (service, kv) = open(&disk, tiny()).unwrap();
        put(&kv, "a", "1").await;
        let mut watch = kv.watch(Range::all(), None).await.unwrap();
        let mut snapshot = kv.snapshot().await.unwrap();
        let (ended, told) = tokio::join!(service.shutdown(), watch.next());
        assert_eq!(ended, ());
        assert!(matches!(told, Err(Error::Unavailable { .. })), "{told:?}");
        let page = snapshot.range(&Range::all(), 10).await;
        assert!(matches!(page, Err(Error::Unavailable { .. })), "{page:?}");
    });
}

#[test]
fn an_engine_that_is_dropped_ends_by_itself_with_everything_in_the_tree() {
    run(async {
        let disk = Simulated::default();
        let (service, kv) = open(&disk, Limits::default()).unwrap();
        put(&kv, "a", "1").await;
        drop(service);
        until("it ends", async || kv.get(b"a").await.is_err()).await;
    });
}

#[test]
fn more_callers_than_the_queue_has_places_are_all_served() {
    run(async {
        let disk = Simulated::default();
        let (_service, kv) = open(&disk, tiny()).unwrap();
        let kv = Arc::new(kv);
        let mut tasks = tokio::task::JoinSet::new();
        let large = bytes::Bytes::from("x".repeat(200 << 10));
        for number in 0..6_000 {
            let (kv, large) = (Arc::clone(&kv), large.clone());
            tasks.spawn(async move {
                let value = if number % 100 == 0 { large } else { "x".into() };
                kv.commit(Transaction::put(format!("k{}", number % 50), value)).await.unwrap();
            });
        }
        tasks.join_all().await;
        assert_eq!(kv.status().await.unwrap().revision, Revision(6_000));
        assert!(value(&kv, "k7").await.is_some());
    });
}
