//! What the writer, the readers and the watches share.

use bytes::Bytes;
use ports::kv::{Entry, Error, PAGE_MAX, Page, Range, Revision};
use runtime::Clock;
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use super::{
    checkpoint::Desk,
    history::History,
    leases::Leases,
    merge::Layers,
    record::{Changed, Record},
    row::Version,
    trouble::Trouble,
    watch::Watchers,
};
use crate::log;

/// Most bytes of one page: what a reader has to take at once.
const PAGE_BYTES: usize = 4 << 20;

/// Everything that is known, as of the newest revision.
#[derive(Debug)]
pub(super) struct View {
    pub(super) revision: u64,
    pub(super) compacted: u64,
    pub(super) last_lease: u64,
    pub(super) layers: Layers,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) clock: Clock,
    /// Where the store is, for people.
    pub(super) place: String,
    pub(super) view: RwLock<View>,
    pub(super) leases: Mutex<Leases>,
    /// Revisions at which snapshots look, each with how many do.
    pub(super) snapshots: Mutex<BTreeMap<u64, usize>>,
    pub(super) history: History,
    pub(super) watchers: Watchers,
    pub(super) desk: Desk,
    /// Bytes of the tree's file.
    pub(super) tree_bytes: AtomicU64,
    pub(super) is_closed: AtomicBool,
}

impl Shared {
    pub(super) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn view_mut(&self) -> RwLockWriteGuard<'_, View> {
        self.view.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshots(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.snapshots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine's clock in milliseconds.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.now().since_start().as_millis()).unwrap_or(u64::MAX)
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.history.segments().bytes() + self.tree_bytes.load(Ordering::Relaxed)
    }

    /// Whether it still answers.
    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.is_closed.load(Ordering::Acquire) { Err(self.closed()) } else { Ok(()) }
    }

    pub(super) fn closed(&self) -> Error {
        self.unavailable(Arc::new(io::Error::other("the engine was shut down")))
    }

    pub(super) fn unavailable(&self, cause: Arc<dyn std::error::Error + Send + Sync>) -> Error {
        Error::Unavailable { place: self.place.clone(), cause }
    }

    /// What a reader is told when the tree does not answer. Has it opened anew if that may help.
    pub(super) fn trouble(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Damaged(_) => {
                Error::Refused { place: self.place.clone(), cause: Arc::new(trouble) }
            }
            Trouble::Failed(_) => {
                self.desk.ask_to_reopen();
                self.unavailable(Arc::new(trouble))
            }
        }
    }

    /// What a reader is told when the log cannot be read.
    pub(super) fn cannot_read(&self, error: log::Error) -> Error {
        let place = self.place.clone();
        match error {
            log::Error::Io { .. } => Error::Unavailable { place, cause: Arc::new(error) },
            log::Error::Damaged { .. } | log::Error::Newer { .. } => {
                Error::Refused { place, cause: Arc::new(error) }
            }
        }
    }

    /// One key as it is.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Entry>, Error> {
        let version = {
            let view = self.view();
            let layers = &view.layers;
            let newer = layers.active.get(key);
            newer
                .or_else(|| layers.frozen.as_ref().and_then(|frozen| frozen.get(key)))
                .ok_or_else(|| Arc::clone(&layers.base))
        };
        let version = match version {
            Ok(version) => Some(version),
            Err(base) => base.get(key, true).map_err(|trouble| self.trouble(trouble))?,
        };
        let Some(Version { revision, row: Some(row) }) = version else { return Ok(None) };
        Ok(Some(row.entry(Bytes::copy_from_slice(key), revision)))
    }

    /// One page of what `layers` hold.
    pub(super) fn page(&self, layers: &Layers, range: &Range, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut rows = layers.rows(range, true);
        let mut page = Page { revision: Revision(layers.revision), ..Page::default() };
        let mut bytes = 0;
        while let Some((key, version)) = rows.next().map_err(|trouble| self.trouble(trouble))? {
            if page.entries.len() == limit || bytes > PAGE_BYTES {
                page.next = Some(key);
                break;
            }
            if let Some(row) = version.row {
                bytes += key.len() + row.value.len();
                page.entries.push(row.entry(key, version.revision));
            }
        }
        Ok(page)
    }

    /// Makes what the log has visible.
    pub(super) fn apply(&self, records: Vec<Record>) {
        let mut told = Vec::new();
        let mut rest = Vec::with_capacity(records.len());
        for record in records {
            match record {
                Record::Change(changed) => {
                    let changed = Arc::new(changed);
                    if changed.revision != 0 {
                        // A watch may read what is in the history and not visible yet, but not the other way round.
                        self.history.push(Arc::clone(&changed));
                        told.push(Arc::clone(&changed));
                    }
                    rest.push(Applied::Change(changed));
                }
                Record::Grant { lease, ttl } => rest.push(Applied::Grant { lease, ttl }),
                Record::Compact { revision } => rest.push(Applied::Compact { revision }),
            }
        }
        self.make_visible(&rest);
        self.watchers.tell(&told);
    }

    fn make_visible(&self, records: &[Applied]) {
        let now = self.now();
        let mut view = self.view_mut();
        let active = Arc::clone(&view.layers.active);
        let mut rows = active.write();
        let mut leases = self.leases();
        let kept = self.snapshots().last_key_value().map(|(revision, _)| *revision);
        for record in records {
            match record {
                Applied::Change(changed) => {
                    if changed.revision != 0 {
                        view.revision = changed.revision;
                    }
                    view.last_lease = leases.follow(changed, view.last_lease, now);
                    for effect in &changed.effects {
                        let version =
                            Version { revision: changed.revision, row: effect.row.clone() };
                        rows.put(effect.key.clone(), version, kept);
                    }
                    if changed.ended != 0 {
                        leases.end(changed.ended);
                        rows.leases.insert(changed.ended, None);
                    }
                }
                Applied::Grant { lease, ttl } => {
                    leases.grant(*lease, *ttl, false, now);
                    rows.leases.insert(*lease, Some(*ttl));
                    view.last_lease = view.last_lease.max(*lease);
                }
                Applied::Compact { revision } => view.compacted = view.compacted.max(*revision),
            }
        }
        view.layers.revision = view.revision;
    }
}

/// A record, its change shared with the history.
#[derive(Debug)]
enum Applied {
    Change(Arc<Changed>),
    Grant { lease: u64, ttl: u32 },
    Compact { revision: u64 },
}
