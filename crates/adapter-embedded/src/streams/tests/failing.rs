//! Disks that fail and run full.

use ports::streams::{Append, Appended, Error, Expected, Position, Streams};

use super::{add, append, check, event, open, run, tiny};
use crate::{
    disk::simulated::{Cut, Simulated},
    streams::{Handle, recovery::Limits},
};

fn one(id: &str, len: usize) -> Append {
    append("s", Expected::Any, vec![event(id, vec![b'x'; len])])
}

/// Appends until it succeeds.
async fn again(streams: &Handle, append: Append) -> Appended {
    loop {
        match streams.append(append.clone()).await {
            Ok(appended) => return appended,
            Err(Error::Unavailable { .. } | Error::Unknown { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_failed_sync_is_told_as_unknown_and_stops_appends_but_no_reads_until_the_log_is_open_again() {
    run(async {
        let disk = Simulated::default();
        let (service, streams) = open(&disk, Limits::default()).unwrap();
        add(&streams, "s", "a", "1").await;
        // One for the append, one for the first attempt to open the log again.
        disk.fail(|faults| faults.failing_syncs = Some((".log", 2)));
        let lost = streams.append(one("b", 10)).await;
        assert!(matches!(lost, Err(Error::Unknown { .. })), "{lost:?}");
        assert_eq!(check(&streams).await.len(), 1);
        let refused = streams.append(one("c", 10)).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        assert_eq!(streams.status().await.unwrap().position, Position(1));

        // The same append again tells what became of it, and does it at most once.
        again(&streams, one("b", 10)).await;
        again(&streams, one("c", 10)).await;
        let before = check(&streams).await;
        assert_eq!(before.iter().map(|event| &*event.id).collect::<Vec<_>>(), ["a", "b", "c"]);
        drop(service);
        let disk = disk.cut(Cut::Strict);
        let (_service, streams) = open(&disk, Limits::default()).unwrap();
        assert_eq!(check(&streams).await, before, "what was read must be durable");
    });
}

#[test]
fn a_failed_sync_before_a_restart_leaves_no_hole_behind() {
    run(async {
        let disk = Simulated::default();
        let (service, streams) = open(&disk, Limits::default()).unwrap();
        add(&streams, "s", "a", "1").await;
        disk.fail(|faults| faults.failing_syncs = Some((".log", u32::MAX)));
        streams.append(one("b", 10)).await.unwrap_err();
        drop(service);
        let disk = disk.kill();
        disk.fail(|faults| faults.failing_syncs = None);
        let (service, streams) = open(&disk, Limits::default()).unwrap();
        let seen = check(&streams).await;
        again(&streams, one("c", 10)).await;
        drop(service);
        let disk = disk.cut(Cut::Strict);
        let (_service, streams) = open(&disk, Limits::default()).unwrap();
        let found = check(&streams).await;
        assert_eq!(found[..seen.len()], seen[..]);
        assert_eq!(found.last().unwrap().id, "c");
    });
}

#[test]
fn a_full_disk_refuses_appends_and_takes_them_again_when_there_is_room() {
    run(async {
        let disk = Simulated::default();
        let (service, streams) = open(&disk, tiny()).unwrap();
        let mut acknowledged = 0;
        let full = disk.used() + (30 << 10);
        disk.fail(|faults| faults.capacity = Some(full));
        let refused = loop {
            match streams.append(one(&format!("id {acknowledged}"), 500)).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
        assert!(acknowledged > 5, "{acknowledged}");
        assert_eq!(check(&streams).await.len(), acknowledged);
        let refused = streams.append(one("more", 500)).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        disk.fail(|faults| faults.capacity = None);
        again(&streams, one("more", 500)).await;
        assert_eq!(check(&streams).await.len(), acknowledged + 1);
        drop(service);
        let disk = disk.cut(Cut::Strict);
        let (_service, streams) = open(&disk, tiny()).unwrap();
        assert_eq!(check(&streams).await.len(), acknowledged + 1);
    });
}

/// The index needs room when the log has some: reads and appends go on meanwhile, within the bounds of memory.
#[test]
fn an_index_that_cannot_be_written_holds_up_nothing_until_memory_is_full() {
    run(async {
        let disk = Simulated::default();
        let (service, streams) = open(&disk, tiny()).unwrap();
        disk.fail(|faults| faults.failing_syncs = Some((".redb", u32::MAX)));
        let mut acknowledged: usize = 0;
        let refused = loop {
            match streams.append(one(&format!("id {acknowledged}"), 10)).await {
                Ok(_) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
        assert!(acknowledged > 50, "{acknowledged}");
        assert_eq!(check(&streams).await.len(), acknowledged);
        disk.fail(|faults| faults.failing_syncs = None);
        again(&streams, one("more", 10)).await;
        assert_eq!(check(&streams).await.len(), acknowledged + 1);
        service.shutdown().await;
        let disk = disk.cut(Cut::Strict);
        let (_service, streams) = open(&disk, tiny()).unwrap();
        assert_eq!(check(&streams).await.len(), acknowledged + 1);
    });
}

#[test]
fn events_that_cannot_be_read_for_a_while_are_told_as_unavailable() {
    run(async {
        let disk = Simulated::default();
        let (_service, streams) = open(&disk, tiny()).unwrap();
        for number in 0..40 {
            add(&streams, "s", &number.to_string(), &"x".repeat(200)).await;
        }
        disk.fail(|faults| faults.is_unreadable = true);
        let refused = streams.read("s", None, super::Direction::Forwards, 1_000).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
        disk.fail(|faults| faults.is_unreadable = false);
        assert_eq!(check(&streams).await.len(), 40);
    });
}
