//! Opening a store: the checkpoint, and what the journal has beyond it.
//!
//! Files of topics are cut to what the checkpoint says was durable; what the journal has beyond that is held in memory
//! and written to files again, as if it had just been published.

use bytes::Bytes;
use runtime::Clock;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use tracing::info;

use super::{
    Error,
    checkpoint::{self, Checkpoint, TopicKept},
    files::Files,
    group::Group,
    limits::Limits,
    record::{Entry, Record},
    segment::{Place, Segment},
    shared::{Shared, micros},
    topic::{Chunk, Topic},
};
use crate::{
    bits::Bits,
    disk::Disk,
    log::{self, Frame, Log},
};

/// A store that was read.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) shared: Arc<Shared>,
    pub(super) journal: Log,
    /// Bytes of the journal beyond the checkpoint.
    pub(super) journal_bytes: u64,
}

/// Opens the store in `disk`, or makes an empty one.
pub(super) fn open(
    disk: &Arc<dyn Disk>,
    place: String,
    limits: Limits,
    clock: Clock,
) -> Result<Opened, Error> {
    let kept = match checkpoint::read(&**disk)? {
        Some(kept) => kept,
        None => begin(&**disk)?,
    };
    if let Some(name) = kept.twice() {
        let what = format!("topic `{name}` is there twice");
        return Err(Error::Damaged { file: disk.path(checkpoint::NAME), offset: None, what });
    }
    let position = kept.position;
    let shared = Shared::new(place, limits.clone(), Files::new(Arc::clone(disk)), clock);
    shared.desk.begin(position);
    restore(&shared, kept);
    let mut journal_bytes = 0;
    let journal = Log::open(disk, limits.journal_segment_bytes, position, |frame| {
        journal_bytes += u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
        replay(&shared, &**disk, frame, position, true)
    })?;
    settle_files(&shared, &**disk)?;
    let date = shared.date().0;
    for topic in shared.all_topics() {
        let state = topic.state();
        let window = micros(state.config.dedup_window);
        if state.last > 0 && state.last_time.saturating_add(window) >= date {
            topic.dedup().unread = Some(state.last);
        }
    }
    Ok(Opened { shared: Arc::new(shared), journal, journal_bytes })
}

/// Makes the first checkpoint of a store. Where there is anything else, there was one.
fn begin(disk: &dyn Disk) -> Result<Checkpoint, Error> {
    let failed = |cause| Error::Io { file: disk.path(checkpoint::NAME), cause };
    let names = disk.list().map_err(failed)?;
    if names.iter().any(|name| name.ends_with(".log") || Place::parse(name).is_some()) {
        let what = "it is missing, and there are files that it should speak of".to_owned();
        return Err(Error::Damaged { file: disk.path(checkpoint::NAME), offset: None, what });
    }
    checkpoint::begin(disk).map_err(failed)?;
    Ok(Checkpoint { next_topic: 1, next_group: 1, ..Checkpoint::default() })
}

/// Takes over what a checkpoint says.
fn restore(shared: &Shared, kept: Checkpoint) {
    let now = shared.clock.now();
    let mut topics = shared.topics_mut();
    (topics.next_topic, topics.next_group) = (kept.next_topic, kept.next_group);
    for TopicKept { made, first, written, last_time, segments, groups } in kept.topics {
        let topic = Arc::new(Topic::new(made.topic, made.uid, made.name.clone(), made.config));
        {
            let mut state = topic.state();
            (state.first, state.last, state.written) = (first, written, written);
            (state.last_time, state.segments) = (last_time, VecDeque::from(segments));
        }
        for group in groups {
            let restored = Group::new(&group, now);
            restored.purge_before(first);
            topic.groups().insert(group.name, Arc::new(restored));
        }
        topics.by_number.insert(made.topic, Arc::clone(&topic));
        topics.by_name.insert(made.name, topic);
    }
}

/// Does again what a frame of the journal says, from entry `from` on. Groups know what was settled, but for a start.
pub(super) fn replay(
    shared: &Shared,
    disk: &dyn Disk,
    frame: &Frame,
    from: u64,
    is_start: bool,
) -> Result<(), Error> {
    let mut bits = Bits(&frame.payload);
    let mut messages: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for entry in frame.first..frame.first + u64::from(frame.count) {
        let read = Entry::decode(&mut bits);
        let at = frame.payload.len() - bits.0.len();
        let Some(read) = read else { return Err(unknown(disk, frame, at)) };
        if entry < from {
            continue;
        }
        match read {
            Entry::Messages { topic, bytes } => {
                messages.entry(topic).or_default().extend_from_slice(bytes);
            }
            Entry::Record(Record::Settled(_) | Record::GroupIs { .. }) if !is_start => {}
            Entry::Record(record) => {
                // What is published before it must be there before it.
                push(shared, std::mem::take(&mut messages));
                shared.apply(record);
            }
        }
    }
    push(shared, messages);
    Ok(())
}

fn push(shared: &Shared, messages: BTreeMap<u64, Vec<u8>>) {
    for (topic, bytes) in messages {
        // One that is not known any more was removed later.
        let Some(topic) = shared.topic_of_number(topic) else { continue };
        if let Some(chunk) = Chunk::new(Bytes::from(bytes)) {
            // Who published them may not know it, and do it again.
            topic.dedup().unread = Some(chunk.last);
            shared.push(&topic, chunk);
        }
    }
}

fn unknown(disk: &dyn Disk, frame: &Frame, at: usize) -> Error {
    let (path, offset) = (disk.path(&frame.file()), frame.offset);
    let what = format!("there is no record as the one at byte {at} of the frame");
    log::Error::Damaged { path, offset, what }.into()
}

/// Makes the files what is known of them.
fn settle_files(shared: &Shared, disk: &dyn Disk) -> Result<(), Error> {
    let failed = |cause| Error::Io { file: disk.path(""), cause };
    let names = disk.list().map_err(failed)?;
    let found: BTreeSet<Place> = names.iter().filter_map(|name| Place::parse(name)).collect();
    let mut needed = BTreeSet::new();
    for topic in shared.all_topics() {
        let segments = topic.state().segments.clone();
        for segment in &segments {
            let place = Place { topic: topic.number, first: segment.first };
            needed.insert(place);
            cut(disk, place, *segment, found.contains(&place))?;
        }
    }
    for place in found.difference(&needed) {
        let name = place.name();
        disk.remove(&name).map_err(|cause| Error::Io { file: disk.path(&name), cause })?;
    }
    Ok(())
}

/// Cuts a file to what is known to be durable.
fn cut(disk: &dyn Disk, place: Place, segment: Segment, is_there: bool) -> Result<(), Error> {
    let name = place.name();
    let damaged = |offset: u64, what: String| Error::Damaged {
        file: disk.path(&name),
        offset: Some(offset),
        what,
    };
    if !is_there {
        return Err(damaged(0, format!("it is missing, it had {} bytes", segment.end)));
    }
    let failed = |cause| Error::Io { file: disk.path(&name), cause };
    let file = disk.open(&name).map_err(failed)?;
    let len = file.len().map_err(failed)?;
    if len < segment.end {
        return Err(damaged(len, format!("it ends here, it had {} bytes", segment.end)));
    }
    if len > segment.end {
        info!(file = name, at = segment.end, "cut off what comes again from the journal");
        file.set_len(segment.end).map_err(failed)?;
    }
    Ok(())
}
