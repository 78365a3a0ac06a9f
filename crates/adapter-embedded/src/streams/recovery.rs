//! Opening a store: the index, and what the log has beyond it.

use runtime::Clock;
use std::{
    path::PathBuf,
    sync::{
        Arc, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tracing::{info, warn};

use super::{
    Error,
    checkpoint::Desk,
    fetch::Files,
    index::{self, Numbers, Store},
    list::Place,
    overlay::{Overlay, Rows},
    record::entries,
    shared::{Newest, Shared, View},
};
use crate::{
    disk::Disk,
    log::{self, Frame, Log, SEGMENT_BYTES},
};

/// What bounds the engine. Tests have smaller ones.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) segment_bytes: u64,
    /// When the overlay is written to the index. The larger, the fewer rows it takes there, and the longer takes a start.
    pub(super) overlay_bytes: usize,
    /// When writers wait for that.
    pub(super) overlay_bytes_max: usize,
    /// Up to which size the index is read as a whole when it is opened. For a larger one a start would take too long.
    pub(super) checked_bytes: u64,
    /// When even a small overlay is written to the index, so that an engine that got quiet starts quickly and gives its
    /// memory back.
    pub(super) checkpoint_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            overlay_bytes: 24 << 20,
            overlay_bytes_max: 96 << 20,
            checked_bytes: 1 << 30,
            checkpoint_age: Duration::from_secs(60),
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
    let start = Instant::now();
    let (store, is_rebuilt) = open_index(disk, limits)?;
    let mut replay =
        Replay { numbers: store.first_base()?.numbers, rows: Rows::default(), segment: None };
    let from = replay.numbers.position;
    let log = Log::open(disk, limits.segment_bytes, from, |frame| -> Result<(), Error> {
        // What is in a file that has a successor is durable.
        if replay.segment.replace(frame.segment).is_some_and(|before| before != frame.segment)
            && replay.rows.bytes >= limits.overlay_bytes
        {
            let rows = std::mem::take(&mut replay.rows);
            store.first_write(&rows, replay.numbers)?;
        }
        replay.add(&**disk, frame)
    })?;
    whole(&**disk, &log)?;
    let Numbers { position, streams } = replay.numbers;
    if is_rebuilt {
        let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        info!(store = place, events = position, streams, ms, "built the index of events again");
    }
    let base = Arc::new(store.first_base()?);
    let view = View {
        numbers: replay.numbers,
        base,
        frozen: None,
        active: Arc::new(Overlay::new(replay.rows)),
    };
    let files = Files::new(Arc::clone(disk));
    files.set_segments(Arc::clone(log.segments()));
    let shared = Arc::new(Shared {
        clock: Clock::start(),
        place,
        view: RwLock::new(view),
        files,
        newest: watch::Sender::new(Newest { position, is_closed: false }),
        desk: Desk::default(),
        index_bytes: AtomicU64::new(store.bytes()),
        is_index_damaged: AtomicBool::new(false),
    });
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
    let before = shared.view().numbers;
    let mut replay = Replay { numbers: before, rows: Rows::default(), segment: None };
    let log = Log::open(disk, limits.segment_bytes, next, |frame| replay.add(&**disk, frame))?;
    shared.files.set_segments(Arc::clone(log.segments()));
    // Not before: until the log is open it is not sure that they are durable.
    shared.apply(replay.rows, replay.numbers.position - before.position, 0);
    Ok(log)
}

/// Opens the index, and says whether it has to be built again. One that is damaged is removed for that: nothing is in it
/// that is not in the log.
fn open_index(disk: &Arc<dyn Disk>, limits: &Limits) -> Result<(Store, bool), Error> {
    let failed = |cause| Error::Io { file: disk.path(index::NAME), cause };
    let names = disk.list().map_err(failed)?;
    if !names.iter().any(|name| name == index::NAME) {
        let is_lost = log::begins_at_zero(&names);
        if is_lost {
            info!(file = %disk.path(index::NAME).display(), "the index is missing: it is built from the log");
        }
        return Ok((Store::open(disk, limits.checked_bytes)?, is_lost));
    }
    match Store::open(disk, limits.checked_bytes) {
        Err(Error::Damaged { file, what, .. }) => {
            warn!(file = %file.display(), what, "the index cannot be used: it is built again from the log");
            index::remove(&**disk).map_err(failed)?;
            Ok((Store::open(disk, limits.checked_bytes)?, true))
        }
        other => Ok((other?, false)),
    }
}

/// The first file of the log must be there: what was in it can be told by nothing else.
fn whole(disk: &dyn Disk, log: &Log) -> Result<(), Error> {
    let segments = log.segments().list();
    match segments.first() {
        Some(first) if first.first > 0 => {
            let what = format!(
                "the files with the events before position {} are missing",
                first.first + 1
            );
            let file: PathBuf = disk.path(&first.name());
            Err(Error::Damaged { file, offset: None, what })
        }
        _ => Ok(()),
    }
}

/// Taking the index from the log.
#[derive(Debug)]
struct Replay {
    numbers: Numbers,
    rows: Rows,
    /// The file that was read last.
    segment: Option<u64>,
}

impl Replay {
    /// Adds the events of a frame that follow.
    fn add(&mut self, disk: &dyn Disk, frame: &Frame) -> Result<(), Error> {
        let damaged = |what: String| Error::Damaged {
            file: disk.path(&frame.file()),
            offset: Some(frame.offset),
            what,
        };
        let begun = self.rows.begun;
        let mut position = frame.first;
        for entry in entries(&frame.payload) {
            position += 1;
            let entry = entry.filter(|_| position <= frame.first + u64::from(frame.count));
            let Some((at, record)) = entry else {
                return Err(damaged(format!("event {position} is none that this release knows")));
            };
            if position <= self.numbers.position {
                continue;
            }
            let known = self.rows.streams.get(record.stream);
            let is_next = known.map_or(record.revision > 0 || record.number == position, |known| {
                known.revision + 1 == record.revision && known.number == record.number
            });
            if !is_next {
                let (revision, stream) = (record.revision, record.stream);
                let what = format!("revision {revision} of stream `{stream}` is out of order");
                return Err(damaged(what));
            }
            let offset = frame.payload_at() + u64::try_from(at).unwrap_or(u64::MAX);
            let offset = u32::try_from(offset)
                .ok()
                .ok_or_else(|| damaged("the file is too long".to_owned()))?;
            self.rows.add(Place { position, offset }, &record);
            self.numbers.position = position;
        }
        self.numbers.streams += self.rows.begun - begun;
        if position != frame.first + u64::from(frame.count) {
            return Err(damaged(format!("events after {position} are missing")));
        }
        Ok(())
    }
}
