//! Stores that are not as they were written.

use ports::streams::{Direction, Error as PortError, Expected, Position, Query, Streams};

use super::{add, all, append, check, event, open, run, tiny};
use crate::{
    disk::{
        Disk,
        simulated::{Cut, Simulated},
    },
    log::HEADER_BYTES,
    streams::{Config, Error, Service, index::NAME as INDEX, recovery::Limits},
};

const LOG: &str = "00000000000000000000.log";

/// A store whose index is empty and whose log has ten frames. Returns where these end, too.
fn ten() -> (Simulated, Vec<usize>) {
    let disk = Simulated::default();
    run(async {
        let (_service, streams) = open(&disk, Limits::default()).unwrap();
        let mut ends = Vec::new();
        for number in 0..10 {
            add(&streams, &format!("s-{}", number % 3), &format!("id {number}"), "some data").await;
            ends.push(disk.bytes(LOG).len());
        }
        // While it is open: a writer that ends brings the index up to date.
        (disk.cut(Cut::Strict), ends)
    })
}

/// A store of many files that was ended in order.
fn old() -> Simulated {
    let disk = Simulated::default();
    run(async {
        let (service, streams) = open(&disk, tiny()).unwrap();
        for number in 0..120 {
            let text = format!("{number}:{}", "x".repeat(100));
            add(&streams, &format!("s-{}", number % 7), &format!("id {number}"), &text).await;
        }
        service.shutdown().await;
    });
    disk.cut(Cut::Strict)
}

fn segments(disk: &Simulated) -> Vec<String> {
    let mut segments = disk.list().unwrap();
    segments.retain(|name| name.ends_with(".log"));
    segments.sort();
    assert!(segments.len() > 4, "{segments:?}");
    segments
}

fn damage(disk: &Simulated, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Simulated {
    let disk = disk.copy();
    let mut bytes = disk.bytes(name);
    change(&mut bytes);
    disk.put(name, bytes);
    disk
}

fn without(disk: &Simulated, name: &str) -> Simulated {
    let disk = disk.copy();
    disk.remove(name).unwrap();
    disk.sync().unwrap();
    disk
}

/// The events of a store that can be opened.
fn events(disk: &Simulated) -> Result<usize, Error> {
    run(async {
        let (_service, streams) = open(disk, Limits::default())?;
        let events = check(&streams).await.len();
        let after = add(&streams, "after", "after", "x").await;
        assert_eq!(after.position, Position(events as u64 + 1));
        Ok(events)
    })
}

fn damaged(found: Result<usize, Error>) -> (String, Option<u64>) {
    match found {
        Err(Error::Damaged { file, offset, .. }) => {
            (file.file_name().unwrap().to_str().unwrap().to_owned(), offset)
        }
        other => panic!("it is damaged: {other:?}"),
    }
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_is_torn() {
    let (disk, ends) = ten();
    let (last, end) = (ends[8], ends[9]);
    for len in last..end {
        let torn = damage(&disk, LOG, |bytes| bytes.truncate(len));
        assert_eq!(events(&torn).unwrap(), 9, "{len}");
    }
    for at in (last..end).step_by(5) {
        let torn = damage(&disk, LOG, |bytes| bytes[at] ^= 0x10);
        assert_eq!(events(&torn).unwrap(), 9, "{at}");
    }
    for zeros in [1, 10_000] {
        let torn = damage(&disk, LOG, |bytes| bytes.resize(end + zeros, 0));
        assert_eq!(events(&torn).unwrap(), 10);
    }
}

#[test]
fn a_flipped_bit_before_the_end_is_an_error_that_names_the_place() {
    let (disk, ends) = ten();
    for at in (0..ends[8]).step_by(3) {
        let flipped = damage(&disk, LOG, |bytes| bytes[at] ^= 1 << (at % 8));
        let header = usize::try_from(HEADER_BYTES).unwrap();
        let expected = if at < header {
            0
        } else {
            ends.iter().rfind(|end| **end <= at).copied().unwrap_or(header)
        };
        let (file, offset) = damaged(events(&flipped));
        assert_eq!((file.as_str(), offset), (LOG, Some(expected as u64)), "{at}");
    }
}

/// A start does not read what is in the index already, so it is found when it is read.
#[test]
fn a_flipped_bit_in_an_old_event_is_refused_when_it_is_read_and_harms_no_other() {
    let disk = old();
    let name = &segments(&disk)[1];
    let text = disk.bytes(name);
    let at = text.windows(5).position(|bytes| bytes == b"xxxxx").unwrap();
    let flipped = damage(&disk, name, |bytes| bytes[at + 50] ^= 4);
    run(async {
        let (service, streams) = open(&flipped, tiny()).unwrap();
        let mut refused = 0;
        for position in 1..=120 {
            let from = Some(Position(position));
            let page = streams.read_all(&Query::default(), from, Direction::Forwards, 1).await;
            match page {
                Ok(page) => assert_eq!(page.events[0].position, Position(position)),
                Err(PortError::Refused { cause, .. }) => {
                    refused += 1;
                    let cause = cause.to_string();
                    assert!(cause.contains(name) && cause.contains("at byte"), "{cause}");
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(refused, 1);
        add(&streams, "s-1", "more", "x").await;
        service.shutdown().await;
    });
}

#[test]
fn a_lost_file_of_the_log_is_an_error_and_not_fewer_events() {
    let disk = old();
    let segments = segments(&disk);
    for name in &segments {
        for index in [true, false] {
            let lost = without(&disk, name);
            let lost = if index { lost } else { without(&lost, INDEX) };
            // Without the index nobody can know of a last file that is gone.
            if !index && Some(name) == segments.last() {
                continue;
            }
            damaged(events(&lost));
        }
    }
}

#[test]
fn a_log_that_lost_its_end_is_an_error_as_long_as_the_index_knows_better() {
    let disk = old();
    let last = segments(&disk).pop().unwrap();
    let cut = damage(&disk, &last, |bytes| bytes.truncate(usize::try_from(HEADER_BYTES).unwrap()));
    damaged(events(&cut));
}

#[test]
fn an_index_that_is_lost_is_built_again() {
    assert_eq!(events(&without(&old(), INDEX)).unwrap(), 120);
    let (disk, _) = ten();
    assert_eq!(events(&without(&disk, INDEX)).unwrap(), 10);
}

#[test]
fn an_index_that_is_damaged_anywhere_is_built_again_or_does_no_harm() {
    let disk = old();
    let len = disk.bytes(INDEX).len();
    for at in (0..len).step_by(len / 60) {
        let flipped = damage(&disk, INDEX, |bytes| {
            let end = (at + 512).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte = !*byte);
        });
        assert_eq!(events(&flipped).unwrap(), 120, "{at}");
    }
    for bytes in [Vec::new(), vec![0; 10], b"something else".repeat(1_000)] {
        let other = damage(&disk, INDEX, |all| *all = bytes.clone());
        assert_eq!(events(&other).unwrap(), 120);
    }
}

#[test]
fn an_index_of_an_earlier_time_is_brought_up_to_date() {
    let disk = old();
    let index = disk.bytes(INDEX);
    run(async {
        let (service, streams) = open(&disk, tiny()).unwrap();
        for number in 0..50 {
            add(&streams, &format!("s-{}", number % 9), &format!("new {number}"), "x").await;
        }
        service.shutdown().await;
    });
    let stale = damage(&disk, INDEX, |bytes| *bytes = index);
    assert_eq!(events(&stale).unwrap(), 170);
}

/// Where reading it as a whole would take too long, damage is found when it is met: it is refused then, and the next
/// start builds the index again.
#[test]
fn a_row_of_the_index_that_is_damaged_later_is_refused_and_mended_by_the_next_start() {
    let disk = old();
    let flipped = damage(&disk, INDEX, |bytes| {
        let name = b"s-3";
        let places: Vec<_> =
            (0..bytes.len() - 20).filter(|at| bytes[*at..].starts_with(name)).collect();
        assert!(!places.is_empty());
        // The value of a row stands behind its key.
        places.into_iter().for_each(|at| (3..20).for_each(|by| bytes[at + by] ^= 0x55));
    });
    let unchecked = || Limits { checked_bytes: 0, ..tiny() };
    run(async {
        let (service, streams) = open(&flipped, unchecked()).unwrap();
        let mut refused = 0;
        for number in 0..7 {
            let name = format!("s-{number}");
            if let Err(error) = streams.stream(&name).await {
                let PortError::Refused { cause, .. } = &error else { panic!("{error:?}") };
                assert!(cause.to_string().contains(INDEX), "{cause}");
                refused += 1;
                // Nothing is appended to what nobody knows.
                let more = append(&name, Expected::Any, vec![event("more", "x")]);
                assert!(matches!(streams.append(more).await, Err(PortError::Refused { .. })));
            }
        }
        assert!(refused > 0);
        service.shutdown().await;
    });
    assert_eq!(events(&flipped).unwrap(), 120);
}

#[test]
fn a_log_of_a_later_release_is_an_error_of_its_own() {
    let (disk, _) = ten();
    let newer = damage(&disk, LOG, |bytes| {
        bytes[8] += 1;
        let check = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&check.to_le_bytes());
    });
    let found = events(&newer);
    assert!(matches!(&found, Err(Error::Newer { file, .. }) if file.ends_with(LOG)), "{found:?}");
}

#[test]
fn a_folder_is_open_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { folder: folder.path().join("a/b") };
    run(async {
        let (service, streams) = Service::open(&config).unwrap();
        add(&streams, "s", "1", "x").await;
        let again = Service::open(&config);
        assert!(matches!(again, Err(Error::InUse { .. })), "{again:?}");
        service.shutdown().await;
        let (service, streams) = Service::open(&config).unwrap();
        assert_eq!(all(&streams).await.len(), 1);
        service.shutdown().await;
    });
}
