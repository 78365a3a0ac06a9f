//! Stores that are not as they were written.

use ports::kv::{Error as PortError, Kv, Range, Revision, Transaction};
use std::collections::BTreeMap;

use super::{all, open, put, run, value};
use crate::{
    disk::simulated::{Cut, Simulated},
    kv::{Config, Error, Service, recovery::Limits, repair::repair_on},
    log::HEADER_BYTES,
};

const LOG: &str = "00000000000000000000.log";
const TREE: &str = "tree.redb";

/// A store whose tree is empty and whose log has ten frames. Returns where these end, too.
fn ten() -> (Simulated, Vec<usize>) {
    let disk = Simulated::default();
    run(async {
        let (_service, kv) = open(&disk, Limits::default()).unwrap();
        let mut ends = Vec::new();
        for number in 0..10 {
            put(&kv, &format!("k{number}"), &format!("value {number}")).await;
            ends.push(disk.bytes(LOG).len());
        }
        // While it is open: a writer that ends brings the tree up to date.
        (disk.cut(Cut::Strict), ends)
    })
}

fn damage(disk: &Simulated, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Simulated {
    let disk = disk.copy();
    let mut bytes = disk.bytes(name);
    change(&mut bytes);
    disk.put(name, bytes);
    disk
}

/// The keys of a store that can be opened.
fn keys(disk: &Simulated) -> Result<usize, Error> {
    run(async {
        let (_service, kv) = open(disk, Limits::default())?;
        let keys = all(&kv).await.len();
        assert_eq!(kv.status().await.unwrap().revision, Revision(keys as u64));
        put(&kv, "after", "x").await;
        Ok(keys)
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
        assert_eq!(keys(&torn).unwrap(), 9, "{len}");
    }
    for at in last..end {
        let torn = damage(&disk, LOG, |bytes| bytes[at] ^= 0x10);
        assert_eq!(keys(&torn).unwrap(), 9, "{at}");
    }
    // A file system may lengthen a file before it has its bytes.
    for zeros in [1, 100, 10_000] {
        let torn = damage(&disk, LOG, |bytes| bytes.resize(end + zeros, 0));
        assert_eq!(keys(&torn).unwrap(), 10);
    }
}

#[test]
fn a_flipped_bit_before_the_end_is_an_error_that_names_the_place() {
    let (disk, ends) = ten();
    for at in 0..ends[8] {
        let flipped = damage(&disk, LOG, |bytes| bytes[at] ^= 1 << (at % 8));
        // Some bytes of the head have no meaning but for its checksum.
        let header = usize::try_from(HEADER_BYTES).unwrap();
        let expected = if at < header {
            0
        } else {
            ends.iter().rfind(|end| **end <= at).copied().unwrap_or(header)
        };
        let (file, offset) = damaged(keys(&flipped));
        assert_eq!((file.as_str(), offset), (LOG, Some(expected as u64)), "{at}");
    }
}

#[test]
fn a_log_that_lost_its_end_or_its_beginning_is_an_error() {
    let disk = Simulated::default();
    run(async {
        let (service, kv) = open(&disk, super::tiny()).unwrap();
        for number in 0..200 {
            put(&kv, &format!("k{number}"), &"x".repeat(100)).await;
        }
        service.shutdown().await;
    });
    let disk = disk.cut(Cut::Strict);
    let mut segments: Vec<String> = crate::disk::Disk::list(&disk).unwrap();
    segments.retain(|name| name.ends_with(".log"));
    segments.sort();
    assert!(segments.len() > 4, "{segments:?}");
    let [.., before, last] = segments.as_slice() else { unreachable!() };
    let without = |name: &str| {
        let disk = disk.copy();
        crate::disk::Disk::remove(&disk, name).unwrap();
        disk
    };
    damaged(keys(&without(last)));
    damaged(keys(&without(before)));
    let shorter = damage(&disk, before, |bytes| bytes.truncate(bytes.len() - 1));
    assert_eq!(damaged(keys(&shorter)).0, *before);
    let shorter = damage(&disk, last, |bytes| {
        let header = usize::try_from(HEADER_BYTES).unwrap();
        bytes.truncate(header);
    });
    assert_eq!(damaged(keys(&shorter)).0, *last, "the tree has more than the log");
}

#[test]
fn what_looks_like_a_frame_in_a_value_is_none() {
    let (disk, ends) = ten();
    let bytes = disk.bytes(LOG);
    let disk = run(async {
        let (_service, kv) = open(&disk, Limits::default()).unwrap();
        kv.commit(Transaction::put("copy", bytes[ends[7]..].to_vec())).await.unwrap();
        disk.cut(Cut::Strict)
    });
    let torn = damage(&disk, LOG, |bytes| bytes[ends[9] + 30] ^= 1);
    assert_eq!(keys(&torn).unwrap(), 10);
}

#[test]
fn a_store_of_a_newer_format_is_refused() {
    let (disk, _) = ten();
    let newer = damage(&disk, LOG, |bytes| {
        bytes[8] = 9;
        let check = crc32fast::hash(&bytes[..12]);
        bytes[12..16].copy_from_slice(&check.to_le_bytes());
        bytes[20] ^= 1;
    });
    let Err(error) = keys(&newer) else { panic!("it is newer") };
    assert!(matches!(error, Error::Newer { version: 9, known: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("later release"), "{error}");
}

#[test]
fn a_store_is_opened_by_one_at_a_time() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { folder: folder.path().join("deep/er/kv") };
        let (service, kv) = Service::open(&config).unwrap();
        put(&kv, "a", "1").await;
        let second = Service::open(&config).map(|_| ());
        assert!(matches!(second, Err(Error::InUse { .. })), "{second:?}");
        assert!(matches!(crate::kv::repair(&config), Err(Error::InUse { .. })));
        service.shutdown().await;
        assert!(matches!(kv.get(b"a").await, Err(PortError::Unavailable { .. })));
        assert!(matches!(
            kv.commit(Transaction::put("a", "2")).await,
            Err(PortError::Unavailable { .. })
        ));
        let (service, kv) = Service::open(&config).unwrap();
        assert_eq!(value(&kv, "a").await.as_deref(), Some("1"));
        service.shutdown().await;
    });
}

/// A store with checkpoints, whose log has lost its beginning, and its keys.
fn old() -> (Simulated, BTreeMap<String, Option<String>>) {
    let disk = Simulated::default();
    let limits = Limits { history_bytes: 8 << 10, ..super::tiny() };
    let keys = run(async {
        let (service, kv) = open(&disk, limits).unwrap();
        let mut keys = BTreeMap::new();
        for number in 0..300 {
            // Some are written at the beginning only.
            let key = format!("k{:03}", if number < 20 { number } else { 20 + number % 130 });
            put(&kv, &key, &format!("{number} {}", "x".repeat(60))).await;
            keys.insert(key.clone(), value(&kv, &key).await);
        }
        // Nothing changes by this, but the writer looks again at what the log may lose.
        let start = std::time::Instant::now();
        while crate::disk::Disk::list(&disk).unwrap().contains(&LOG.to_owned()) {
            assert!(start.elapsed().as_secs() < 60, "the log keeps its beginning");
            kv.compact(Revision(1)).await.unwrap();
        }
        service.shutdown().await;
        keys
    });
    let disk = disk.cut(Cut::Strict);
    (disk, keys)
}

#[test]
fn a_damaged_tree_is_found_when_it_is_opened() {
    let (disk, keys) = old();
    let len = disk.bytes(TREE).len();
    let mut noticed = 0;
    for at in (0..len).step_by(len / 150 + 1) {
        let flipped = damage(&disk, TREE, |bytes| {
            // A sector that was never written, or written elsewhere.
            let end = (at + 512).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte = !*byte);
        });
        run(async {
            let (_service, kv) = match open(&flipped, super::tiny()) {
                Ok(opened) => opened,
                Err(Error::Damaged { file, .. }) => {
                    assert!(file.ends_with(TREE));
                    noticed += 1;
                    return;
                }
                Err(error) => panic!("{error:?}"),
            };
            // What nobody needs may be damaged.
            for (key, expected) in &keys {
                assert_eq!(value(&kv, key).await, *expected, "{key}, damaged at {at}");
            }
        });
    }
    assert!(noticed > 5, "{noticed}");
}

#[test]
fn a_row_that_is_damaged_later_is_refused_when_it_is_read() {
    let (disk, keys) = old();
    let (key, expected) = keys.iter().find(|(key, _)| *key == "k044").unwrap();
    let text = expected.clone().unwrap().into_bytes();
    let flipped = damage(&disk, TREE, |bytes| {
        let places: Vec<usize> =
            (0..bytes.len() - text.len()).filter(|at| bytes[*at..].starts_with(&text)).collect();
        assert!(!places.is_empty());
        places.into_iter().for_each(|at| bytes[at + 10] ^= 1);
    });
    run(async {
        let limits = Limits { checked_bytes: 0, ..super::tiny() };
        let (_service, kv) = open(&flipped, limits).unwrap();
        let refused = kv.get(key.as_bytes()).await;
        assert!(matches!(refused, Err(PortError::Refused { .. })), "{refused:?}");
        let refused = kv.range(&Range::all(), 1_000).await;
        assert!(matches!(refused, Err(PortError::Refused { .. })), "{refused:?}");
        assert!(value(&kv, "k045").await.is_some());
    });
}

#[test]
fn a_damaged_tree_is_built_again_when_the_log_has_everything() {
    let (disk, _) = ten();
    let flipped =
        damage(&disk, TREE, |bytes| bytes[..4_096].iter_mut().for_each(|byte| *byte = !*byte));
    assert_eq!(keys(&flipped).unwrap(), 10);
    let names = crate::disk::Disk::list(&flipped).unwrap();
    assert!(names.contains(&format!("{TREE}.damaged-1")), "{names:?}");
}

#[test]
fn a_repair_keeps_the_damaged_log_and_goes_on_before_the_damage() {
    let (disk, ends) = ten();
    let flipped = damage(&disk, LOG, |bytes| bytes[ends[5] + 30] ^= 1);
    let bytes = flipped.bytes(LOG);
    damaged(keys(&flipped));
    let repaired = repair_on(&(std::sync::Arc::new(flipped.clone()) as _)).unwrap();
    assert_eq!(repaired.aside.len(), 1, "{repaired:?}");
    assert_eq!(repaired.lost.len(), 1, "{repaired:?}");
    assert_eq!(flipped.bytes(&format!("{LOG}.damaged-1")), bytes);
    assert_eq!(keys(&flipped).unwrap(), 6);
    let again = repair_on(&(std::sync::Arc::new(flipped) as _)).unwrap();
    assert_eq!((again.aside.len(), again.lost.len()), (0, 0));
}

#[test]
fn a_repair_of_old_history_loses_no_key() {
    let (disk, keys) = old();
    let mut segments: Vec<String> = crate::disk::Disk::list(&disk).unwrap();
    segments.retain(|name| name.ends_with(".log"));
    segments.sort();
    let history = segments.split_last().unwrap().1;
    // All of it: where the history that is kept begins is not told by the files.
    let flipped =
        history.iter().fold(disk, |disk, segment| damage(&disk, segment, |bytes| bytes[200] ^= 1));
    // The start does not read it: everything of it is in the tree.
    run(async {
        let (service, kv) = open(&flipped, super::tiny()).unwrap();
        let from = kv.status().await.unwrap().compacted.next();
        let mut watch = kv.watch(Range::all(), Some(from)).await.unwrap();
        let refused = loop {
            match watch.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, PortError::Refused { .. }), "{refused:?}");
        service.shutdown().await;
    });
    let flipped = flipped.cut(Cut::Strict);
    let repaired = repair_on(&(std::sync::Arc::new(flipped.clone()) as _)).unwrap();
    assert_eq!(repaired.lost, Vec::<String>::new());
    assert!(!repaired.aside.is_empty());
    run(async {
        let (_service, kv) = open(&flipped, super::tiny()).unwrap();
        for (key, expected) in &keys {
            assert_eq!(value(&kv, key).await, *expected);
        }
    });
}

#[test]
fn a_repair_of_a_damaged_tree_goes_on_with_what_the_log_has() {
    let (disk, keys) = old();
    let flipped =
        damage(&disk, TREE, |bytes| bytes[..4_096].iter_mut().for_each(|byte| *byte = !*byte));
    let Err(Error::Damaged { file, .. }) = open(&flipped, super::tiny()).map(|_| ()) else {
        panic!("it is damaged")
    };
    assert!(file.ends_with(TREE));
    let repaired = repair_on(&(std::sync::Arc::new(flipped.clone()) as _)).unwrap();
    assert_eq!((repaired.aside.len(), repaired.lost.len()), (1, 1), "{repaired:?}");
    run(async {
        let (_service, kv) = open(&flipped, super::tiny()).unwrap();
        let found = all(&kv).await;
        assert!(!found.is_empty() && found.len() < keys.len(), "{}", found.len());
        assert_eq!(kv.status().await.unwrap().revision, Revision(300));
        for entry in found {
            let key = String::from_utf8_lossy(&entry.key).into_owned();
            let text = String::from_utf8_lossy(&entry.value).into_owned();
            assert_eq!(Some(Some(text)), keys.get(&key).cloned());
        }
    });
}
