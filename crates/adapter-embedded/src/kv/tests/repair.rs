//! Repairing stores whose tree is empty, cut short or gone.

use ports::kv::{Kv, Revision};
use std::{collections::BTreeMap, sync::Arc};

use super::{all, open, put, run, value};
use crate::{
    disk::{
        Disk as _,
        simulated::{Cut, Simulated},
    },
    kv::{Error, recovery::Limits, repair::repair_on},
};

const LOG: &str = "00000000000000000000.log";
const TREE: &str = "tree.redb";

/// A store of ten keys that are all in its log.
fn young() -> Simulated {
    let disk = Simulated::default();
    run(async {
        let (_service, kv) = open(&disk, Limits::default()).unwrap();
        for number in 0..10 {
            put(&kv, &format!("k{number}"), &format!("value {number}")).await;
        }
        disk.cut(Cut::Strict)
    })
}

/// A store whose log does not have everything any more, and what is in it.
fn old() -> (Simulated, BTreeMap<String, String>) {
    let disk = Simulated::default();
    let limits = Limits { history_bytes: 16 << 10, ..super::tiny() };
    let keys = run(async {
        let (service, kv) = open(&disk, limits).unwrap();
        let mut keys = BTreeMap::new();
        for number in 0..300 {
            let key = format!("k{:03}", if number < 20 { number } else { 20 + number % 130 });
            put(&kv, &key, &format!("{number} {}", "x".repeat(60))).await;
            keys.insert(key.clone(), value(&kv, &key).await.unwrap());
        }
        // Nothing changes by this, but the writer looks again at what the log may lose.
        let start = std::time::Instant::now();
        while disk.list().unwrap().contains(&LOG.to_owned()) {
            assert!(start.elapsed().as_secs() < 60, "the log keeps its beginning");
            kv.compact(Revision(1)).await.unwrap();
        }
        service.shutdown().await;
        keys
    });
    (disk.cut(Cut::Strict), keys)
}

/// The tree cut to `len` bytes; `None`: gone.
fn cut(disk: &Simulated, len: Option<usize>) -> Simulated {
    let disk = disk.copy();
    match len {
        Some(len) => {
            let mut bytes = disk.bytes(TREE);
            bytes.truncate(len);
            disk.put(TREE, bytes);
        }
        None => disk.remove(TREE).unwrap(),
    }
    disk
}

fn repair(disk: &Simulated) -> crate::kv::Repaired {
    repair_on(&(Arc::new(disk.clone()) as _)).unwrap()
}

#[test]
fn a_tree_without_bytes_is_built_again_when_the_log_has_everything() {
    for len in [0, 1, 100, 4_096] {
        let disk = cut(&young(), Some(len));
        run(async {
            let (service, kv) = open(&disk, Limits::default()).unwrap();
            assert_eq!(all(&kv).await.len(), 10, "{len}");
            service.shutdown().await;
        });
        assert!(disk.list().unwrap().contains(&format!("{TREE}.damaged-1")), "{len}");
        let disk = cut(&young(), Some(len));
        let repaired = repair(&disk);
        assert_eq!((repaired.aside.len(), repaired.lost.len()), (1, 0), "{len}: {repaired:?}");
        run(async {
            let (service, kv) = open(&disk, Limits::default()).unwrap();
            assert_eq!(all(&kv).await.len(), 10, "{len}");
            service.shutdown().await;
        });
        assert_eq!(repair(&disk), crate::kv::Repaired::default(), "{len}");
    }
}

#[test]
fn what_a_lost_tree_had_alone_is_named_and_the_rest_is_kept() {
    let (disk, keys) = old();
    for len in [Some(0), Some(100), None] {
        let disk = cut(&disk, len);
        let refused = open(&disk, super::tiny()).map(|_| ());
        assert!(matches!(refused, Err(Error::Damaged { .. })), "{len:?}: {refused:?}");
        let repaired = repair(&disk);
        assert_eq!(repaired.aside.len(), usize::from(len.is_some()), "{len:?}: {repaired:?}");
        let [lost] = repaired.lost.as_slice() else { panic!("{len:?}: {repaired:?}") };
        assert!(lost.contains("after revision") && lost.contains(TREE), "{len:?}: {lost}");
        run(async {
            let (service, kv) = open(&disk, super::tiny()).unwrap();
            let found = all(&kv).await;
            assert!(!found.is_empty() && found.len() < keys.len(), "{len:?}: {}", found.len());
            assert_eq!(kv.status().await.unwrap().revision, Revision(300), "{len:?}");
            for entry in found {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                assert_eq!(keys.get(&text(&entry.key)), Some(&text(&entry.value)), "{len:?}");
            }
            service.shutdown().await;
        });
        assert_eq!(repair(&disk), crate::kv::Repaired::default(), "{len:?}");
    }
}
