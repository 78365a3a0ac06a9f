//! Files of topics that are open, and where in them which message is.
//!
//! A topic that nobody uses costs no descriptor: only the files that were used last stay open. Where messages stand is
//! found by reading a file once from its head, and remembered for every 64 KiB while the file is open; so nothing of it
//! is on disk that could be lost.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    segment::{HEADER_BYTES, Place},
    stored::{self, HEAD},
};
use crate::{
    disk::{Disk, File},
    log::Error,
};

/// Most files that are kept open.
const OPEN_MAX: usize = 128;

/// How far apart the places are that are remembered.
const STEP_BYTES: u64 = 64 << 10;

/// How much is read from the disk at once: small messages must not cost a system call each.
pub(super) const READ_BYTES: usize = 512 << 10;

/// The longest message that can be meant: what is longer is damaged.
const MESSAGE_MAX: usize = ports::broker::MESSAGE_SIZE_MAX + (64 << 10);

/// See the module.
#[derive(Debug)]
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    open: Mutex<OpenFiles>,
}

#[derive(Debug, Default)]
struct OpenFiles {
    files: BTreeMap<Place, (Arc<Open>, u64)>,
    /// Counts uses.
    tick: u64,
}

/// A file that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: Arc<dyn File>,
    place: Place,
    uid: u64,
    marks: Mutex<Vec<Mark>>,
}

/// Where a message stands.
#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: u64,
    time: u64,
    at: u64,
}

/// What is looked for in a file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// The first message at this offset or behind it.
    Offset(u64),
    /// The first message that was taken then or later.
    Time(u64),
}

impl Target {
    fn is_reached(self, offset: u64, time: u64) -> bool {
        match self {
            Self::Offset(target) => offset >= target,
            Self::Time(target) => time >= target,
        }
    }
}

fn damaged(disk: &dyn Disk, place: Place, offset: u64, what: &str) -> Error {
    Error::Damaged { path: disk.path(&place.name()), offset, what: what.to_owned() }
}

impl Open {
    /// Writes the head again.
    pub(super) fn rewrite_head(&self) -> std::io::Result<()> {
        self.file.write_at(0, &self.place.header(self.uid))
    }
}

impl Files {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, open: Mutex::default() }
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    fn open_files(&self) -> MutexGuard<'_, OpenFiles> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a file.
    pub(super) fn create(&self, place: Place, uid: u64) -> std::io::Result<Arc<Open>> {
        self.forget(place);
        let file = place.create(&*self.disk, uid)?;
        Ok(self.keep(place, uid, file))
    }

    /// Opens a file, or finds it open.
    pub(super) fn get(&self, place: Place, uid: u64) -> Result<Arc<Open>, Error> {
        {
            let mut open = self.open_files();
            open.tick += 1;
            let tick = open.tick;
            if let Some((file, used)) = open.files.get_mut(&place) {
                *used = tick;
                return Ok(Arc::clone(file));
            }
        }
        let file = place.open(&*self.disk, uid)?;
        Ok(self.keep(place, uid, file))
    }

    fn keep(&self, place: Place, uid: u64, file: Arc<dyn File>) -> Arc<Open> {
        let file = Arc::new(Open { file, place, uid, marks: Mutex::default() });
        let mut open = self.open_files();
        open.tick += 1;
        let tick = open.tick;
        open.files.insert(place, (Arc::clone(&file), tick));
        if open.files.len() > OPEN_MAX {
            let oldest = open.files.iter().min_by_key(|(_, (_, used))| *used);
            if let Some(oldest) = oldest.map(|(place, _)| *place) {
                open.files.remove(&oldest);
            }
        }
        file
    }

    /// Lets go of a file.
    pub(super) fn forget(&self, place: Place) {
        self.open_files().files.remove(&place);
    }

    /// Reads whole messages from `at`, where one begins, up to `end`, where one ends.
    pub(super) fn read(&self, open: &Open, at: u64, end: u64) -> Result<Vec<u8>, Error> {
        let failed = |cause| Error::Io { path: self.disk.path(&open.place.name()), cause };
        let wanted = |len: usize| {
            let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
            left.min(len)
        };
        let mut bytes = vec![0; wanted(READ_BYTES)];
        let mut read = open.file.read_at(at, &mut bytes).map_err(failed)?;
        if let Some(len) = stored::announced(&bytes[..read])
            && len > read
            && len <= MESSAGE_MAX
        {
            bytes.resize(wanted(len).max(read), 0);
            let from = at + u64::try_from(read).unwrap_or(u64::MAX);
            read += open.file.read_at(from, &mut bytes[read..]).map_err(failed)?;
        }
        let whole: usize = stored::Each(&bytes[..read]).map(|(brief, _)| brief.len).sum();
        if whole == 0 {
            let what = "a message is incomplete";
            return Err(damaged(&*self.disk, open.place, at, what));
        }
        bytes.truncate(whole);
        Ok(bytes)
    }

    /// Where the message stands that is looked for; `end` if it is not before that, where messages end.
    pub(super) fn find(&self, open: &Open, target: Target, end: u64) -> Result<u64, Error> {
        let mut marks = open.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let known = marks.partition_point(|mark| !target.is_reached(mark.offset, mark.time));
        // The message itself may stand anywhere between the last mark before it and the next one.
        let (mut at, mut next) =
            known.checked_sub(1).map_or((HEADER_BYTES, open.place.first), |index| {
                (marks[index].at, marks[index].offset)
            });
        while at < end {
            let bytes = self.read(open, at, end)?;
            let mut step = 0;
            for (brief, _) in stored::Each(&bytes) {
                let here = at + step;
                // What is passed over is not looked at closely, so that one damaged message does not take along all
                // behind it: as long as they follow each other, their places are right.
                if brief.offset != next {
                    return Err(self.unsound(open, here));
                }
                next += 1;
                if marks.last().is_none_or(|last| here >= last.at + STEP_BYTES) {
                    marks.push(Mark { offset: brief.offset, time: brief.time, at: here });
                }
                if target.is_reached(brief.offset, brief.time) {
                    return Ok(here);
                }
                step += u64::try_from(brief.len).unwrap_or(u64::MAX);
            }
            at += step;
        }
        Ok(end)
    }

    /// The error for a message that is not as it was written.
    pub(super) fn unsound(&self, open: &Open, at: u64) -> Error {
        damaged(&*self.disk, open.place, at, "the checksum of a message does not fit")
    }

    /// Where bytes of a piece that was read from `at` on stop being messages.
    pub(super) fn first_unsound(&self, open: &Open, at: u64, bytes: &[u8]) -> Option<Error> {
        let mut here = at;
        for (brief, message) in stored::Each(bytes) {
            if !stored::is_sound(open.uid, message) || brief.len < HEAD {
                return Some(self.unsound(open, here));
            }
            here += u64::try_from(brief.len).unwrap_or(u64::MAX);
        }
        None
    }
}
