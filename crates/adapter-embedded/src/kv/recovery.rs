//! Opening a store: the tree, and what the log has beyond it.

use runtime::Clock;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Duration,
};
use tracing::warn;

use super::{
    Error,
    base::{self, Numbers, Store},
    checkpoint::Desk,
    history::{History, records},
    leases::Leases,
    merge::Layers,
    overlay::Overlay,
    record::Record,
    repair::set_aside,
    shared::{Shared, View},
    trouble::Trouble,
    watch::Watchers,
};
use crate::{
    disk::Disk,
    log::{self, Frame, Log, SEGMENT_BYTES},
};

/// What bounds the engine. Tests have smaller ones.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) segment_bytes: u64,
    /// How much of the log is kept for watches that begin in the past: minutes under heavy writing, and as good as for
    /// ever for a system that only holds its configuration and locks here.
    pub(super) history_bytes: u64,
    /// When the overlay is written to the tree. The larger, the more puts of the same key are written once, and the
    /// longer takes a start.
    pub(super) overlay_bytes: usize,
    /// When writers wait for that.
    pub(super) overlay_bytes_max: usize,
    /// How much a start may have to read from the log.
    pub(super) replay_bytes: u64,
    /// Up to which size the tree is read as a whole when it is opened, because what is damaged in its inner pages cannot
    /// be told from a key that is missing. For a tree that is larger a start would take too long.
    pub(super) checked_bytes: u64,
    /// When even a small overlay is written to the tree.
    pub(super) checkpoint_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            history_bytes: 256 << 20,
            overlay_bytes: 24 << 20,
            overlay_bytes_max: 96 << 20,
            replay_bytes: 64 << 20,
            checked_bytes: 1 << 30,
            checkpoint_age: super::writer::CHECKPOINT_AGE,
        }
    }
}

/// A store that was read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Log,
    pub(super) store: Store,
}

/// Opens the store in `disk`, or makes an empty one.
pub(super) fn open(disk: &Arc<dyn Disk>, place: String, limits: &Limits) -> Result<Opened, Error> {
    let store = open_tree(disk, limits)?;
    let of = |trouble: Trouble| trouble.of(&**disk);
    let numbers = store.numbers().map_err(of)?;
    let mut leases = Leases::default();
    let mut keys = Vec::new();
    store
        .leases(
            |id, ttl| leases.load(id, ttl),
            |id, key, own_ttl| keys.push((id, key.to_vec(), own_ttl)),
        )
        .map_err(of)?;
    for (id, key, own_ttl) in keys {
        leases.load_key(id, &key, own_ttl);
    }
    let base = Arc::new(store.base().map_err(of)?);
    let shared = Arc::new(shared(disk, place, &numbers, leases, base));
    shared.tree_bytes.store(store.bytes(), std::sync::atomic::Ordering::Relaxed);
    let mut revision = numbers.revision;
    let position = numbers.position;
    let log = Log::open(disk, limits.segment_bytes, position, |frame| -> Result<(), Error> {
        shared.apply(read(&**disk, frame, &mut revision)?);
        Ok(())
    })?;
    adopt(&shared, &log);
    let now = shared.now();
    shared.leases().restart(now);
    Ok(Opened { shared, log, store })
}

/// Opens the log anew after an error, and makes visible what turns out to be in it. All before entry `next` was
/// acknowledged and must be there.
pub(super) fn reopen_log(
    shared: &Shared,
    disk: &Arc<dyn Disk>,
    limits: &Limits,
    next: u64,
) -> Result<Log, Error> {
    let mut revision = shared.view().revision;
    let mut found = Vec::new();
    let log = Log::open(disk, limits.segment_bytes, next, |frame| -> Result<(), Error> {
        found.extend(read(&**disk, frame, &mut revision)?);
        Ok(())
    })?;
    // A watch that is told of them must find them there.
    adopt(shared, &log);
    // Not before: until the log is open it is not sure that they are durable.
    shared.apply(found);
    Ok(log)
}

/// Lets readers see the log, and learns from it what is forgotten.
fn adopt(shared: &Shared, log: &Log) {
    let oldest = log.segments().list().first().map_or(0, |segment| segment.mark);
    let mut view = shared.view_mut();
    view.compacted = view.compacted.max(oldest);
    drop(view);
    shared.history.set_segments(Arc::clone(log.segments()));
}

/// The records of a frame, of which the first change follows `revision`.
fn read(disk: &dyn Disk, frame: &Frame, revision: &mut u64) -> Result<Vec<Record>, Error> {
    let records = records(disk, frame)?;
    for record in &records {
        if let Record::Change(changed) = record
            && changed.revision != 0
        {
            *revision += 1;
            if changed.revision != *revision {
                let what = format!("revision {revision} is missing, {} follows", changed.revision);
                let (path, offset) = (disk.path(&frame.file()), frame.offset);
                return Err(log::Error::Damaged { path, offset, what }.into());
            }
        }
    }
    Ok(records)
}

/// Opens the tree. One that is damaged is built again if the log still has everything.
fn open_tree(disk: &Arc<dyn Disk>, limits: &Limits) -> Result<Store, Error> {
    match Store::open(disk, limits.checked_bytes) {
        Err(Error::Damaged { file, offset, what }) => {
            let names = disk.list().map_err(|cause| Error::Io { file: file.clone(), cause })?;
            if !log::begins_at_zero(&names) {
                return Err(Error::Damaged { file, offset, what });
            }
            let aside = set_aside(&**disk, base::NAME)?;
            warn!(
                file = %file.display(), what, aside = %aside.display(),
                "the tree is damaged: it is set aside and built again from the log, which has everything"
            );
            Store::open(disk, limits.checked_bytes)
        }
        other => other,
    }
}

fn shared(
    disk: &Arc<dyn Disk>,
    place: String,
    numbers: &Numbers,
    leases: Leases,
    base: Arc<base::Base>,
) -> Shared {
    let layers = Layers {
        revision: numbers.revision,
        active: Arc::new(Overlay::default()),
        frozen: None,
        base,
    };
    Shared {
        clock: Clock::start(),
        place,
        view: RwLock::new(View {
            revision: numbers.revision,
            compacted: numbers.compacted,
            last_lease: numbers.last_lease,
            layers,
        }),
        leases: Mutex::new(leases),
        snapshots: Mutex::new(BTreeMap::new()),
        history: History::new(Arc::clone(disk)),
        watchers: Watchers::default(),
        desk: Desk::default(),
        tree_bytes: AtomicU64::new(0),
        is_closed: AtomicBool::new(false),
    }
}
