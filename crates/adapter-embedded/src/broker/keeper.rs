//! The thread that keeps the files of topics: it writes behind the journal, removes what nothing leads to, and makes
//! checkpoints.
//!
//! A file is written where nothing of it is told yet, and told when it is written. Nobody waits for it but the writer
//! when too much piles up.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tracing::{debug, warn};

use super::{
    checkpoint,
    desk::Task,
    files::Open,
    segment::{HEADER_BYTES, Place, Segment},
    shared::{Shared, micros},
    stored,
    topic::{Chunk, Topic},
};
use crate::log::Error;

/// Between attempts to write.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug)]
pub(super) struct Keeper {
    shared: Arc<Shared>,
    /// Files that were written since they were synced, each with the number of its topic's own.
    dirty: BTreeMap<Place, u64>,
    /// Those of them that could not be synced.
    suspect: BTreeSet<Place>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, dirty: BTreeMap::new(), suspect: BTreeSet::new() }
    }

    /// Does what is left at the desk until it is told to stop.
    pub(super) fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let is_stopping = match shared.desk.next() {
                Task::Stop => true,
                Task::Remove(places) => {
                    self.remove(&places);
                    false
                }
                Task::Flush(topic) => {
                    let is_stopping = self.again(|keeper| keeper.flush(&topic));
                    shared.desk.finish(None);
                    is_stopping
                }
                Task::Checkpoint(position) => {
                    let is_stopping = self.again(|keeper| keeper.checkpoint(position));
                    if !is_stopping {
                        debug!(store = shared.place, position, "checkpoint");
                        shared.desk.finish(Some(position));
                    }
                    is_stopping
                }
            };
            if is_stopping {
                return;
            }
        }
    }

    /// Tries until it succeeds. Returns whether the engine ended before.
    fn again(&mut self, mut attempt: impl FnMut(&mut Self) -> Result<(), Error>) -> bool {
        let mut pause = PAUSE_MIN;
        while let Err(error) = attempt(self) {
            warn!(
                store = self.shared.place, error = %base::ErrorChain(&error),
                "messages cannot be written to their files, the journal holds everything"
            );
            self.shared.desk.fail(error);
            if self.shared.desk.pause(pause) {
                return true;
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        false
    }

    fn failed(&self, place: Place) -> impl Fn(io::Error) -> Error {
        let path = self.shared.files.disk().path(&place.name());
        move |cause| Error::Io { path: path.clone(), cause }
    }

    /// What is left over is removed at the next start.
    fn remove(&mut self, places: &[Place]) {
        for place in places {
            // It may have got messages after it was given up.
            if self.is_needed(*place) {
                continue;
            }
            self.dirty.remove(place);
            self.shared.files.forget(*place);
            if let Err(e) = self.shared.files.disk().remove(&place.name())
                && e.kind() != io::ErrorKind::NotFound
            {
                warn!(store = self.shared.place, error = %e, "an old file cannot be removed");
            }
        }
    }

    /// Writes what of a topic is not in its files.
    fn flush(&mut self, topic: &Topic) -> Result<(), Error> {
        topic.state().is_queued = false;
        loop {
            let (chunks, active, limit, age) = {
                let state = topic.state();
                if state.is_removed || state.unwritten == 0 {
                    return Ok(());
                }
                let written = state.written;
                let chunks = state.tail.iter().filter(|chunk| chunk.last > written);
                let chunks: Vec<Chunk> = chunks.cloned().collect();
                let limits = &self.shared.limits;
                let part = u64::from(limits.segments_min);
                let limit = state.config.max_bytes.map_or(limits.segment_bytes, |bytes| {
                    (bytes.0 / part).clamp(limits.segment_bytes_min, limits.segment_bytes)
                });
                let age = state.config.retain.map(|retain| micros(retain) / part);
                (chunks, state.segments.back().copied(), limit, age)
            };
            let mut rest = &chunks[..];
            let mut active = active;
            while let Some(first) = rest.first() {
                let goes_on = active.filter(|segment| {
                    let is_young = age.is_none_or(|age| {
                        first.last_time.saturating_sub(segment.first_time) <= age
                    });
                    segment.last + 1 == first.first && segment.end < limit && is_young
                });
                let (segment, count) = self.write(topic, goes_on, rest, limit)?;
                rest = &rest[count..];
                active = Some(segment);
            }
        }
    }

    /// Writes some of `chunks` to the end of a file, or to a new one. Returns the file as it is then, and how many.
    fn write(
        &mut self,
        topic: &Topic,
        active: Option<Segment>,
        chunks: &[Chunk],
        limit: u64,
    ) -> Result<(Segment, usize), Error> {
        let first = &chunks[0];
        let mut segment = active.unwrap_or(Segment {
            first: first.first,
            last: first.first - 1,
            first_time: first.first_time,
            last_time: first.first_time,
            end: HEADER_BYTES,
        });
        let place = Place { topic: topic.number, first: segment.first };
        let open = match active {
            Some(_) => self.shared.files.get(place, topic.uid)?,
            None => self.shared.files.create(place, topic.uid).map_err(self.failed(place))?,
        };
        self.dirty.insert(place, topic.uid);
        let (mut bytes, mut count, at) = (Vec::new(), 0, segment.end);
        for chunk in chunks {
            // Messages that were removed unwritten leave a gap, and no file has one.
            if chunk.first != segment.last + 1 || segment.end >= limit {
                break;
            }
            bytes.extend_from_slice(&chunk.bytes);
            segment.last = chunk.last;
            segment.last_time = chunk.last_time;
            segment.end += chunk.len();
            count += 1;
        }
        open.file.write_at(at, &bytes).map_err(self.failed(place))?;
        self.tell(topic, active.is_some(), segment);
        Ok((segment, count))
    }

    /// Lets readers see what is in a file now.
    fn tell(&self, topic: &Topic, was_there: bool, segment: Segment) {
        let shared = &self.shared;
        let is_full = shared.tail.load(Ordering::Relaxed) > shared.limits.tail_bytes_max;
        let keep = if is_full { 0 } else { shared.limits.tail_bytes };
        let gone = shared.change(topic, |state| {
            if state.is_removed {
                return Some(segment);
            }
            let written = state.written.max(segment.last);
            let now = state.tail.iter().filter(|it| it.last > state.written && it.last <= written);
            state.unwritten -= now.map(Chunk::len).sum::<u64>();
            state.written = written;
            state.shrink(keep);
            if segment.last < state.first {
                // It was removed while it was written.
                if was_there {
                    state.segments.retain(|it| it.first != segment.first);
                }
                return Some(segment);
            }
            if was_there {
                match state.segments.back_mut().filter(|last| last.first == segment.first) {
                    Some(last) => *last = segment,
                    None => state.segments.push_back(segment),
                }
            } else {
                state.segments.push_back(segment);
            }
            None
        });
        shared.remove_files(topic, gone);
    }

    /// Makes everything durable that the journal has before `position`, and says so in the checkpoint.
    fn checkpoint(&mut self, position: u64) -> Result<(), Error> {
        let topics = self.shared.all_topics();
        for topic in &topics {
            self.flush(topic)?;
        }
        let places: BTreeSet<Place> = self.dirty.keys().copied().collect();
        for place in places {
            let Some(uid) = self.dirty.get(&place).copied() else { continue };
            match self.shared.files.get(place, uid) {
                Ok(open) => self.sync(place, &open)?,
                // It was removed meanwhile, and so it is not asked for again.
                Err(_) if !self.is_needed(place) => {}
                Err(error) => return Err(error),
            }
            self.dirty.remove(&place);
        }
        let disk = self.shared.files.disk();
        let path = disk.path(checkpoint::NAME);
        let bytes = checkpoint::encode(&self.shared, position);
        checkpoint::write(disk, &bytes).map_err(|cause| Error::Io { path, cause })?;
        for topic in &topics {
            // A topic that is quiet gives its memory back.
            self.shared.change(topic, |state| state.shrink(self.shared.limits.tail_bytes / 16));
        }
        Ok(())
    }

    /// Makes a file durable.
    fn sync(&mut self, place: Place, open: &Open) -> Result<(), Error> {
        if self.suspect.contains(&place) {
            self.rewrite(place, open)?;
        }
        if let Err(cause) = open.file.sync() {
            self.suspect.insert(place);
            return Err(self.failed(place)(cause));
        }
        self.suspect.remove(&place);
        Ok(())
    }

    /// Writes again what a file has. When a sync fails, the kernel may forget what it could not write and call the pages
    /// clean, so another sync alone would lie.
    fn rewrite(&self, place: Place, open: &Open) -> Result<(), Error> {
        let segment = self.shared.topic_of_number(place.topic).and_then(|topic| {
            let state = topic.state();
            state.segments.iter().find(|segment| segment.first == place.first).copied()
        });
        let Some(segment) = segment else { return Ok(()) };
        let (mut at, mut next) = (HEADER_BYTES, segment.first);
        open.rewrite_head().map_err(self.failed(place))?;
        while at < segment.end {
            let bytes = self.shared.files.read(open, at, segment.end)?;
            if let Some(error) = self.shared.files.first_unsound(open, at, &bytes) {
                return Err(error);
            }
            for (brief, _) in stored::Each(&bytes) {
                if brief.offset != next {
                    return Err(self.shared.files.unsound(open, at));
                }
                next += 1;
            }
            open.file.write_at(at, &bytes).map_err(self.failed(place))?;
            at += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    fn is_needed(&self, place: Place) -> bool {
        let topic = self.shared.topic_of_number(place.topic);
        topic.is_some_and(|topic| {
            topic.state().segments.iter().any(|segment| segment.first == place.first)
        })
    }
}
