//! What is built on a store, or a log, that was opened again.

use ports::kv::{Error, Is, Kv, Life, Outcome, Range, Revision, Transaction};
use std::time::Duration;

use super::{all, open, put, run, tiny};
use crate::{
    disk::simulated::{Cut, Simulated},
    kv::{Handle, recovery::Limits},
};

/// A process may be killed between giving a file its name and making the name durable. Whoever comes after it finds the
/// name and builds on it.
#[test]
fn a_process_that_is_killed_while_it_opens_a_store_leaves_no_name_that_a_power_cut_takes_away() {
    for step in 0..60 {
        let disk = Simulated::default();
        disk.fail(|faults| faults.cut_at = Some(step));
        let was_killed = open(&disk, tiny()).map(drop).is_err();
        let disk = disk.kill();
        let disk = run(async {
            let (service, kv) = open(&disk, tiny()).unwrap();
            for number in 0..3 {
                put(&kv, &format!("k{number}"), "x").await;
            }
            service.shutdown().await;
            disk.cut(Cut::Strict)
        });
        run(async {
            let (_service, kv) = open(&disk, tiny()).unwrap_or_else(|e| panic!("{step}: {e}"));
            assert_eq!(all(&kv).await.len(), 3, "{step}");
        });
        if !was_killed {
            return;
        }
    }
    panic!("opening a store takes more steps than this test goes through");
}

/// Puts values until they are more than what is kept of the history in memory.
async fn put_much(kv: &Handle) {
    for _ in 0..6 {
        let put = Transaction::put("k", vec![b'x'; 1 << 20]);
        while let Err(error) = kv.commit(put.clone()).await {
            assert!(matches!(error, Error::Unavailable { .. } | Error::Unknown { .. }));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[test]
fn a_watch_in_the_past_misses_nothing_when_the_log_is_opened_again_meanwhile() {
    run(async {
        let disk = Simulated::default();
        let (_service, kv) = open(&disk, Limits::default()).unwrap();
        let mut watch = kv.watch(Range::all(), Some(Revision(1))).await.unwrap();
        put_much(&kv).await;
        assert_eq!(watch.next().await.unwrap().revision, Revision(1));
        disk.fail(|faults| faults.failing_syncs = Some((".log", 1)));
        put_much(&kv).await;
        let newest = kv.status().await.unwrap().revision;
        assert!(newest > Revision(11), "{newest}");
        let mut told = Revision(1);
        while told < newest {
            let change = watch.next().await.unwrap();
            assert_eq!(change.revision, told.next());
            told = change.revision;
        }
    });
}

/// An entry's own lease ends with the entry, and whoever wants to have it at the same moment gets it or is refused.
#[test]
fn an_entry_never_has_a_lease_that_is_not_there() {
    run(async {
        let disk = Simulated::default();
        let (_service, kv) = open(&disk, Limits::default()).unwrap();
        for _ in 0..100 {
            let own = Transaction::default().and_put("a", "1", Life::Ttl(Duration::from_secs(500)));
            kv.commit(own).await.unwrap();
            let lease = kv.get(b"a").await.unwrap().unwrap().lease.unwrap();
            // The long one is there so that the two behind it are decided together.
            let ((), deleted, given) = tokio::join!(
                async {
                    kv.commit(Transaction::put("z", vec![b'x'; 1 << 19])).await.unwrap();
                },
                kv.commit(Transaction::delete("a")),
                kv.commit(Transaction::default().and_put("b", "2", Life::Lease(lease))),
            );
            deleted.unwrap();
            match given {
                Ok(Outcome::Committed { .. }) => {
                    let status = kv.lease(lease).await.unwrap();
                    assert_eq!(status.keys, ["b"]);
                    assert_eq!(kv.get(b"b").await.unwrap().unwrap().lease, Some(lease));
                }
                Err(Error::LeaseGone(_)) => {}
                other => panic!("{other:?}"),
            }
            kv.commit(Transaction::delete("b").when("a", Is::Missing)).await.unwrap();
            assert!(matches!(kv.lease(lease).await, Err(Error::LeaseGone(_))));
        }
    });
}
