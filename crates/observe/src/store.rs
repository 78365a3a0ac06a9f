//! The writing side: blocks go to the newest segment and to the ring, full segments are sealed, old ones deleted.
//!
//! Two locks. `writer` is held while a block is written to the disk; only writers take it. `shared` is held for
//! the moment in which a written block becomes visible or a reader notes which spans it will read; it is never
//! held over a system call. So a slow disk slows writers, and nobody else.

use crate::{
    Config, Error, Recovery, Stats,
    block::{self, Summary},
    segment::{Chunk, HEADER_LEN, Segment},
};
use base::{ByteSize, Timestamp};
use ports::logs::Line;
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;
use tracing::{info, warn};

/// Longest segment, in bytes; a smaller store has smaller ones, so that deleting one is never much of it.
const SEGMENT_LEN_MAX: u64 = 8 << 20;
const SEGMENT_LEN_MIN: u64 = 64 << 10;
/// A store is kept in at least this many segments.
const SEGMENTS_MIN: u64 = 8;

#[derive(Debug)]
pub(crate) struct Store {
    config: Config,
    segment_len: u64,
    writer: Mutex<Writer>,
    shared: Mutex<Shared>,
    progress: watch::Sender<Progress>,
}

/// What followers wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Number of the newest line, 0 before the first.
    pub(crate) last_seq: u64,
    /// No line will come any more.
    pub(crate) is_closed: bool,
}

#[derive(Debug)]
struct Writer {
    /// The newest segment's file and where its next block goes.
    active: Option<(File, u64)>,
    next_seq: u64,
    block: Vec<u8>,
    /// The last write failed; said once.
    is_failing: bool,
}

/// What readers see.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Oldest first; the last one may still grow.
    pub(crate) segments: VecDeque<Segment>,
    /// The newest blocks, without a gap up to the newest line.
    pub(crate) ring: VecDeque<RingBlock>,
    ring_len: usize,
    pub(crate) next_seq: u64,
    dropped_failed: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct RingBlock {
    pub(crate) summary: Summary,
    pub(crate) bytes: Arc<[u8]>,
}

impl Shared {
    /// The first line that the ring has; `next_seq` when it is empty.
    pub(crate) fn ring_seq(&self) -> u64 {
        self.ring.front().map_or(self.next_seq, |block| block.summary.first_seq)
    }

    /// The first line that is kept at all.
    pub(crate) fn first_seq(&self) -> u64 {
        self.first_chunk().map_or(u64::MAX, |chunk| chunk.first_seq).min(self.ring_seq())
    }

    /// When the oldest lines were read.
    pub(crate) fn oldest(&self) -> Timestamp {
        self.first_chunk().map_or_else(Timestamp::default, |chunk| chunk.time_min)
    }

    fn first_chunk(&self) -> Option<&Chunk> {
        self.segments.iter().find_map(|segment| segment.chunks.first())
    }

    fn len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking writer leaves is whole: a block becomes visible in one step at the end.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens the folder, makes it when it is not there, and cuts what a killed node left half written.
    pub(crate) fn open(config: Config) -> Result<(Self, Recovery), Error> {
        let dir = config.dir.clone();
        let unusable = |cause| Error::Dir { path: dir.clone(), cause };
        std::fs::create_dir_all(&dir).map_err(unusable)?;
        let mut shared = Shared::default();
        let mut recovery = Recovery::default();
        for path in segment_paths(&dir).map_err(unusable)? {
            let read = |cause| Error::Segment { path: path.clone(), cause };
            match Segment::open(&path).map_err(read)? {
                None => recovery.foreign.push(path),
                Some((segment, damage)) => {
                    recovery.torn_bytes += damage.torn_bytes;
                    shared.segments.push_back(segment);
                }
            }
        }
        let newest = shared.segments.back().map_or(1, |segment| segment.first_seq);
        // A file that is left alone keeps its name: new lines are numbered behind it.
        let foreign = recovery.foreign.iter().filter_map(|path| Segment::seq_of(path));
        let from_name = foreign.map(|seq| seq.saturating_add(1)).fold(newest, u64::max);
        shared.next_seq = shared.segments.iter().map(Segment::next_seq).fold(from_name, u64::max);
        let active = resume(&mut shared).map_err(unusable)?;
        let next_seq = shared.next_seq;
        let segment_len =
            (config.bytes_max.0 / SEGMENTS_MIN).clamp(SEGMENT_LEN_MIN, SEGMENT_LEN_MAX);
        let progress = Progress { last_seq: next_seq - 1, is_closed: false };
        let writer = Writer { active, next_seq, block: Vec::new(), is_failing: false };
        let store = Self {
            config,
            segment_len,
            writer: Mutex::new(writer),
            shared: Mutex::new(shared),
            progress: watch::Sender::new(progress),
        };
        store.retain();
        if recovery.torn_bytes > 0 {
            info!(bytes = recovery.torn_bytes, "cut the unfinished end of the log store");
        }
        for path in &recovery.foreign {
            warn!(path = %path.display(), "not a log segment of this version, left alone");
        }
        Ok((store, recovery))
    }

    pub(crate) fn shared(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    pub(crate) fn stats(&self) -> Stats {
        let shared = self.shared();
        Stats {
            size: ByteSize(shared.len()),
            size_max: self.config.bytes_max,
            lines: shared.segments.iter().map(|segment| segment.lines).sum(),
            dropped_old: shared.first_seq() - 1,
            dropped_failed: shared.dropped_failed,
        }
    }

    /// Writes `lines` and makes them visible.
    pub(crate) fn append(&self, lines: &[Line]) {
        let mut writer = lock(&self.writer);
        let mut rest = lines;
        while !rest.is_empty() {
            let mut bytes = std::mem::take(&mut writer.block);
            let (taken, summary) = block::encode(&mut bytes, writer.next_seq, rest);
            let written = self.write(&mut writer, &bytes);
            self.note_result(&mut writer, &written);
            writer.next_seq += u64::from(summary.count);
            self.publish(summary, &bytes, written.is_ok());
            writer.block = bytes;
            rest = rest.get(taken..).unwrap_or_default();
        }
        let last_seq = writer.next_seq - 1;
        drop(writer);
        // Two writers may arrive here in the other order: the number never goes back.
        self.progress.send_if_modified(|progress| {
            let is_news = progress.last_seq < last_seq;
            progress.last_seq = progress.last_seq.max(last_seq);
            is_news
        });
    }

    /// Ends the store: what is written goes to the disk, followers end when they have read everything.
    pub(crate) fn close(&self) -> io::Result<()> {
        let synced = match &lock(&self.writer).active {
            Some((file, _)) => file.sync_data(),
            None => Ok(()),
        };
        self.progress.send_modify(|progress| progress.is_closed = true);
        synced
    }

    /// Puts a block at the end of the newest segment, or of a new one when that is full.
    fn write(&self, writer: &mut Writer, bytes: &[u8]) -> io::Result<()> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let is_full = writer
            .active
            .as_ref()
            .is_some_and(|(_, end)| *end > HEADER_LEN && end + len > self.segment_len);
        if is_full {
            self.seal(writer);
        }
        if writer.active.is_none() {
            let (segment, file) = Segment::create(&self.config.dir, writer.next_seq)?;
            writer.active = Some((file, segment.end));
            self.shared().segments.push_back(segment);
            self.retain();
        }
        let Some((file, end)) = &mut writer.active else { return Ok(()) };
        if let Err(cause) = file.write_all_at(bytes, *end) {
            // Half a block is harmless, the next one overwrites it and a reader would see that it is
            // torn; but on a full disk its room is worth having back.
            if let Err(e) = file.set_len(*end) {
                warn!(error = %e, "cannot cut a half written log block");
            }
            return Err(cause);
        }
        *end += len;
        Ok(())
    }

    /// Ends the newest segment. Without its footer it is only slower to open.
    fn seal(&self, writer: &mut Writer) {
        let Some((file, end)) = writer.active.take() else { return };
        let footer = self.shared().segments.back().map(Segment::footer).unwrap_or_default();
        let written = file.write_all_at(&footer, end);
        let mut shared = self.shared();
        let Some(segment) = shared.segments.back_mut() else { return };
        segment.is_sealed = true;
        match written {
            Ok(()) => segment.len = end + u64::try_from(footer.len()).unwrap_or_default(),
            Err(e) => warn!(error = %e, "cannot write the index of a log segment"),
        }
    }

    fn publish(&self, summary: Summary, bytes: &[u8], is_written: bool) {
        let block = RingBlock { summary, bytes: bytes.into() };
        let memory_max = usize::try_from(self.config.memory_max.0).unwrap_or(usize::MAX);
        let mut shared = self.shared();
        if is_written && let Some(segment) = shared.segments.back_mut() {
            segment.add(&summary);
        } else {
            shared.dropped_failed += u64::from(summary.count);
        }
        shared.next_seq = summary.first_seq + u64::from(summary.count);
        shared.ring_len += ring_cost(&block);
        shared.ring.push_back(block);
        while shared.ring_len > memory_max
            && let Some(old) = shared.ring.pop_front()
        {
            shared.ring_len -= ring_cost(&old);
        }
    }

    /// Deletes the oldest segments until a full newest one fits too.
    fn retain(&self) {
        loop {
            let oldest = {
                let mut shared = self.shared();
                let newest_len = shared.segments.back().map_or(0, |segment| segment.len);
                let len = shared.len() - newest_len + newest_len.max(self.segment_len);
                if shared.segments.len() < 2 || len <= self.config.bytes_max.0 {
                    return;
                }
                shared.segments.pop_front()
            };
            let Some(oldest) = oldest else { return };
            match std::fs::remove_file(&oldest.path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    warn!(path = %oldest.path.display(), error = %e, "cannot delete old logs");
                }
                _ => {}
            }
        }
    }

    fn note_result(&self, writer: &mut Writer, result: &io::Result<()>) {
        match result {
            Err(e) if !writer.is_failing => {
                let dir = self.config.dir.display();
                warn!(dir = %dir, error = %e, "logs cannot be written and are kept in memory only");
                writer.is_failing = true;
            }
            Ok(()) if writer.is_failing => {
                info!("logs can be written again");
                writer.is_failing = false;
            }
            _ => {}
        }
    }
}

/// What a block takes of the ring's memory: itself and its bookkeeping.
fn ring_cost(block: &RingBlock) -> usize {
    block.bytes.len() + size_of::<RingBlock>() + 2 * size_of::<usize>()
}

/// The store's files, oldest first.
fn segment_paths(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if Segment::seq_of(&path).is_some() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Opens the newest segment for writing when it is not sealed, without its torn end. Torn ends of older ones are
/// left: nothing is written behind them.
fn resume(shared: &mut Shared) -> io::Result<Option<(File, u64)>> {
    let Some(newest) = shared.segments.back_mut().filter(|segment| !segment.is_sealed) else {
        return Ok(None);
    };
    if newest.len < HEADER_LEN || newest.lines == 0 {
        // Nothing in it: the next line makes it anew.
        let path = newest.path.clone();
        shared.segments.pop_back();
        std::fs::remove_file(path)?;
        return Ok(None);
    }
    let file = OpenOptions::new().read(true).write(true).open(&newest.path)?;
    if newest.len > newest.end {
        file.set_len(newest.end)?;
        newest.len = newest.end;
    }
    let end = newest.end;
    Ok(Some((file, end)))
}
