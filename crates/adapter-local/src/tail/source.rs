//! One output file: what was read of it, what was given back.

use super::{Options, lines::Splitter};
use crate::record::Places;
use base::InstanceId;
use ports::logs::{Line, Sink, Stream};
use runtime::Clock;
use rustix::{
    fs::{FallocateFlags, SeekFrom, fallocate, ftruncate, seek},
    io::Errno,
};
use std::{
    ffi::OsString,
    fs::File,
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::{debug, warn};

/// How much is read at once, in bytes.
pub(super) const CHUNK_LEN: usize = 64 * 1024;

/// How much is read of one file before it is the next one's turn, in bytes.
const TURN_LEN: usize = 4 * CHUNK_LEN;

/// How many lines are handed over at once; bounds what the reader holds besides the sink.
const BATCH_LINES_MAX: usize = 4096;

/// An unfinished line is shown after this time without more of it: it may be a question, or a progress mark.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// Blocks are given back in multiples of this many bytes: a multiple of every common block size.
const BLOCK_LEN: u64 = 64 * 1024;

/// How many bytes before the read position are compared on each read. A program that writes
/// `> /dev/stderr` truncates its output file, and what follows may be longer than what was there.
const RECENT_LEN: usize = 64;

/// An output file with its read position, both open.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) run: Arc<str>,
    pub(crate) instance: InstanceId,
    pub(crate) stream: Stream,
    /// The file's name in its folder.
    pub(crate) name: OsString,
    pub(crate) file: File,
    pub(crate) position: File,
}

impl Opened {
    /// Opens both streams of a run; their output files must exist.
    pub(crate) fn both(
        places: &Places,
        run: &Arc<str>,
        instance: &InstanceId,
    ) -> io::Result<Vec<Self>> {
        [("out", Stream::Out), ("err", Stream::Err)]
            .map(|(name, stream)| {
                let path = places.output(run, name);
                Ok(Self {
                    run: Arc::clone(run),
                    instance: instance.clone(),
                    stream,
                    name: path.file_name().map(OsString::from).unwrap_or_default(),
                    file: super::open_output(&path)?,
                    position: File::options()
                        .read(true)
                        .write(true)
                        .create(true)
                        .truncate(false)
                        .mode(0o600)
                        .open(places.position(run, name))?,
                })
            })
            .into_iter()
            .collect()
    }
}

/// An output file being read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) opened: Opened,
    /// The next byte to read.
    offset: u64,
    /// The last bytes before `offset`, as they were read.
    recent: Vec<u8>,
    /// Bytes read since this node follows the file; unlike `offset` it only grows.
    pub(super) read_total: u64,
    /// Everything before this is a hole.
    given_back: u64,
    lines: Splitter,
    /// There may be something to read.
    pub(super) is_hungry: bool,
    /// When the unfinished line last grew.
    quiet_since: Option<Instant>,
    can_punch: bool,
    can_collapse: bool,
    was_rewritten: bool,
}

impl Source {
    pub(super) fn new(opened: Opened) -> Self {
        let offset = resume(&opened);
        Self {
            opened,
            offset,
            recent: Vec::new(),
            read_total: 0,
            given_back: 0,
            lines: Splitter::default(),
            is_hungry: true,
            quiet_since: None,
            can_punch: true,
            can_collapse: true,
            was_rewritten: false,
        }
    }

    /// What `read_total` will be when all that is in the file now was read.
    pub(super) fn target(&self) -> u64 {
        let length = self.opened.file.metadata().map_or(0, |meta| meta.len());
        self.read_total + length.saturating_sub(self.offset)
    }

    /// When the unfinished line is to be shown.
    pub(super) fn due(&self) -> Option<Instant> {
        self.quiet_since.map(|since| since + QUIET_MAX)
    }

    /// Reads a bounded piece and hands its lines over. Returns whether there was anything.
    pub(super) fn turn(&mut self, buffer: &mut [u8], sink: &dyn Sink, options: Options) -> bool {
        let mut batch = Vec::new();
        let mut taken = 0;
        while taken < TURN_LEN {
            match self.read(buffer, &mut batch) {
                Ok(0) => {
                    self.is_hungry = false;
                    break;
                }
                Ok(length) => taken += length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    warn!(run = &*self.opened.run, error = %e, "output cannot be read");
                    self.is_hungry = false;
                    break;
                }
            }
            if batch.len() >= BATCH_LINES_MAX {
                hand_over(&mut batch, sink);
            }
        }
        hand_over(&mut batch, sink);
        if taken == 0 {
            return false;
        }
        self.quiet_since = (self.lines.pending_len() > 0).then(Instant::now);
        self.checkpoint(0);
        self.give_back(sink, options);
        if self.is_hungry {
            self.skip_when_disk_is_short(sink, options);
        }
        true
    }

    /// Shows the unfinished line; with `goes_on`, more of it may follow.
    pub(super) fn flush(&mut self, goes_on: bool, sink: &dyn Sink) {
        self.quiet_since = None;
        let (at, mut batch) = (Clock::wall(), Vec::new());
        let (instance, stream) = (&self.opened.instance, self.opened.stream);
        self.lines.flush(goes_on, &mut |text, is_cut| {
            batch.push(Line { at, instance: instance.clone(), stream, text, is_cut });
        });
        if !batch.is_empty() {
            hand_over(&mut batch, sink);
            self.checkpoint(0);
        }
    }

    fn read(&mut self, buffer: &mut [u8], batch: &mut Vec<Line>) -> io::Result<usize> {
        let overlap = self.recent.len();
        let length = self.opened.file.read_at(buffer, self.offset - overlap as u64)?;
        let bytes = buffer.get(..length).unwrap_or_default();
        let Some(fresh) = bytes.strip_prefix(self.recent.as_slice()) else {
            self.rewritten(batch);
            return self.read(buffer, batch);
        };
        let (at, instance, stream) = (Clock::wall(), &self.opened.instance, self.opened.stream);
        self.lines.push(fresh, &mut |text, is_cut| {
            batch.push(Line { at, instance: instance.clone(), stream, text, is_cut });
        });
        self.recent = bytes.get(length.saturating_sub(RECENT_LEN)..).unwrap_or_default().to_vec();
        self.offset += fresh.len() as u64;
        self.read_total += fresh.len() as u64;
        Ok(fresh.len())
    }

    /// The program truncated its file: read it from the start, and say what that means.
    fn rewritten(&mut self, batch: &mut Vec<Line>) {
        self.offset = 0;
        self.given_back = 0;
        self.recent.clear();
        self.lines = Splitter::default();
        if !std::mem::replace(&mut self.was_rewritten, true) {
            batch.push(self.word(
                "the program truncated its output with `> /dev/stdout` or `> /dev/stderr`: \
                 lines may be missing; write `>&1`, `>&2` or `>>` instead",
            ));
        }
    }

    fn word(&self, text: &str) -> Line {
        Line {
            at: Clock::wall(),
            instance: self.opened.instance.clone(),
            stream: Stream::Node,
            text: text.to_owned(),
            is_cut: false,
        }
    }

    /// Drops the oldest unread output when the program fills the disk with it.
    fn skip_when_disk_is_short(&mut self, sink: &dyn Sink, options: Options) {
        let length = self.opened.file.metadata().map_or(0, |meta| meta.len());
        let keep_from = length.saturating_sub(options.backlog_len);
        if keep_from <= self.offset || !(options.is_disk_short)(&self.opened.file) {
            return;
        }
        self.flush(true, sink);
        let dropped = keep_from - self.offset;
        self.offset = keep_from;
        self.read_total += dropped;
        self.recent.clear();
        self.lines = Splitter::default();
        self.quiet_since = None;
        self.checkpoint(0);
        self.give_back(sink, options);
        sink.append(&[self.word(&format!(
            "{}: {} of output were dropped, because the program prints faster than can be stored and the \
             disk is nearly full",
            base::Code::LOG_DROPPED,
            base::ByteSize(dropped),
        ))]);
    }

    /// Where reading goes on after a restart: the start of the unfinished line.
    fn consumed(&self) -> u64 {
        self.offset.saturating_sub(self.lines.pending_len() as u64)
    }

    /// Writes down how far the file was read. One small write into one block is whole or not there, as far as
    /// a killed node goes; after a power cut there is no program to follow any more. `collapse` announces that
    /// so many bytes are about to be cut off at the head.
    fn checkpoint(&self, collapse: u64) {
        let text = format!("1 {:020} {collapse:020}\n", self.consumed());
        if let Err(e) = self.opened.position.write_all_at(text.as_bytes(), 0) {
            warn!(run = &*self.opened.run, error = %e, "the read position cannot be written, lines may be repeated");
        }
    }

    /// Gives the blocks of what was read back to the disk.
    fn give_back(&mut self, sink: &dyn Sink, options: Options) {
        let end = self.consumed().saturating_sub(RECENT_LEN as u64) / BLOCK_LEN * BLOCK_LEN;
        if self.can_punch && end.saturating_sub(self.given_back) >= options.give_back_len {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            match fallocate(&self.opened.file, flags, self.given_back, end - self.given_back) {
                Ok(()) => self.given_back = end,
                Err(Errno::INTR) => {}
                Err(e) => {
                    debug!(run = &*self.opened.run, error = %e, "blocks cannot be given back");
                    self.can_punch = false;
                }
            }
        }
        if self.can_collapse && self.given_back >= options.collapse_len {
            self.collapse();
        }
        if !self.can_punch && self.consumed() >= options.collapse_len {
            self.restart_file(sink);
        }
    }

    /// Cuts the hole off at the head of the file. The kernel does it under the lock that appends take, so
    /// nothing that is being written gets lost. The announcement lets the next node tell whether it was
    /// done: before, the head is a hole; after, it is not.
    fn collapse(&mut self) {
        let cut = self.given_back;
        self.checkpoint(cut);
        match fallocate(&self.opened.file, FallocateFlags::COLLAPSE_RANGE, 0, cut) {
            Ok(()) => {
                self.offset -= cut;
                self.given_back = 0;
            }
            // The hole reaches the end of the file, which this operation refuses; there will be more.
            Err(Errno::INVAL | Errno::INTR) => {}
            // Such file systems (tmpfs, btrfs) have no largest size that could be reached.
            Err(_) => self.can_collapse = false,
        }
        self.checkpoint(0);
    }

    /// Where blocks cannot be given back, empties a file that was read to its end. What is printed between
    /// the look at its length and the cut is lost, which is why this happens rarely and is said.
    fn restart_file(&mut self, sink: &dyn Sink) {
        let length = self.opened.file.metadata().map_or(u64::MAX, |meta| meta.len());
        if length != self.consumed() {
            return;
        }
        match ftruncate(&self.opened.file, 0) {
            Ok(()) => {
                self.offset = 0;
                self.recent.clear();
                self.checkpoint(0);
                sink.append(&[self.word(
                    "the output file was emptied, because this file system cannot give read blocks back; \
                     a line printed at this moment may be missing",
                )]);
            }
            Err(e) => {
                warn!(run = &*self.opened.run, error = %e, "the output file cannot be emptied");
            }
        }
    }
}

fn hand_over(batch: &mut Vec<Line>, sink: &dyn Sink) {
    for lines in batch.chunks(BATCH_LINES_MAX) {
        sink.append(lines);
    }
    batch.clear();
}

/// Where an earlier node stopped reading.
fn resume(opened: &Opened) -> u64 {
    let length = opened.file.metadata().map_or(0, |meta| meta.len());
    // What was given back is a hole, so the first data is at or before the first unread byte.
    let first_data = || match seek(&opened.file, SeekFrom::Data(0)) {
        Ok(at) => at,
        Err(Errno::NXIO) => length,
        Err(_) => 0,
    };
    let offset = match read_position(&opened.position) {
        Some((offset, 0)) => offset,
        Some((offset, collapse)) if first_data() < collapse => offset.saturating_sub(collapse),
        Some((offset, _)) => offset,
        None => first_data(),
    };
    if offset <= length { offset } else { first_data() }
}

/// Offset and announced cut.
fn read_position(file: &File) -> Option<(u64, u64)> {
    let mut text = [0; 44];
    file.read_exact_at(&mut text, 0).ok()?;
    let mut words = std::str::from_utf8(&text).ok()?.split_ascii_whitespace();
    if words.next()? != "1" {
        return None;
    }
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
