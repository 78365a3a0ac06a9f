//! Going through a topic in order, from memory or from its files.

use bytes::{Buf, Bytes};
use ports::broker::{Error, Message, Start};
use std::{collections::VecDeque, sync::Arc};

use super::{
    files::{Files, Open, Target},
    segment::{HEADER_BYTES, Place, Segment},
    shared::Shared,
    stored,
    topic::{Piece, Topic},
};
use crate::log;

/// Messages that were fetched.
#[derive(Debug)]
struct Fetched {
    bytes: Bytes,
    /// Where they begin, if they are of a file.
    from: Option<(Arc<Open>, u64)>,
}

/// Where it goes on in a file after what was fetched.
#[derive(Clone, Copy, Debug)]
struct Hint {
    segment: u64,
    offset: u64,
    at: u64,
}

/// A place in a topic. It holds nothing but that and what was read ahead, so that a group can keep one.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The offset of the next message, or of what was removed before it.
    next: u64,
    fetched: VecDeque<Fetched>,
    hint: Option<Hint>,
}

/// A part of a file that is to be read.
struct Part {
    segment: Segment,
    place: Place,
    uid: u64,
    offset: u64,
    at: Option<u64>,
}

/// What was read of it.
struct Read {
    open: Arc<Open>,
    at: u64,
    bytes: Vec<u8>,
}

impl Part {
    fn read(&self, files: &Files) -> Result<Read, log::Error> {
        let open = files.get(self.place, self.uid)?;
        let at = match self.at {
            Some(at) => at,
            None => files.find(&open, Target::Offset(self.offset), self.segment.end)?,
        };
        let bytes = files.read(&open, at, self.segment.end)?;
        Ok(Read { open, at, bytes })
    }
}

impl Cursor {
    pub(super) fn new(next: u64) -> Self {
        Self { next, fetched: VecDeque::new(), hint: None }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Gives its memory back.
    pub(super) fn forget(&mut self) {
        self.fetched.clear();
    }

    /// Goes on with the message at `offset` or the one after it.
    pub(super) fn seek(&mut self, offset: u64) {
        // What was fetched and lies before it is passed over when it is met.
        if offset < self.next {
            self.fetched.clear();
        }
        self.next = offset;
    }

    /// Fetches messages unless some are there. `false`: the topic has none yet.
    pub(super) async fn fill(&mut self, shared: &Shared, topic: &Topic) -> Result<bool, Error> {
        while self.fetched.is_empty() {
            let Some(part) = self.fetch(topic)? else { return Ok(!self.fetched.is_empty()) };
            let files = Arc::clone(&shared.files);
            let (part, read) = runtime::blocking(move || {
                let read = part.read(&files);
                (part, read)
            })
            .await;
            self.take_in(shared, topic, &part, read)?;
        }
        Ok(true)
    }

    /// As [`Self::fill`], on a thread that may wait for the disk.
    pub(super) fn fill_now(&mut self, shared: &Shared, topic: &Topic) -> Result<bool, Error> {
        while self.fetched.is_empty() {
            let Some(part) = self.fetch(topic)? else { return Ok(!self.fetched.is_empty()) };
            let read = part.read(&shared.files);
            self.take_in(shared, topic, &part, read)?;
        }
        Ok(true)
    }

    /// Fetches what is in memory, or says what is to be read.
    fn fetch(&mut self, topic: &Topic) -> Result<Option<Part>, Error> {
        match topic.piece(self.next)? {
            Piece::End => Ok(None),
            Piece::Memory(pieces) => {
                self.fetched.extend(pieces.into_iter().map(|bytes| Fetched { bytes, from: None }));
                Ok(None)
            }
            Piece::File(segment, offset) => {
                let hint = self.hint.filter(|hint| {
                    (hint.segment, hint.offset) == (segment.first, offset) && hint.at < segment.end
                });
                let at = hint.map(|hint| hint.at);
                let at = at.or_else(|| (offset == segment.first).then_some(HEADER_BYTES));
                let place = Place { topic: topic.number, first: segment.first };
                Ok(Some(Part { segment, place, uid: topic.uid, offset, at }))
            }
        }
    }

    fn take_in(
        &mut self,
        shared: &Shared,
        topic: &Topic,
        part: &Part,
        read: Result<Read, log::Error>,
    ) -> Result<(), Error> {
        match read {
            Ok(Read { open, at, bytes }) => {
                let end = at + u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let last = stored::Each(&bytes).last().map_or(part.offset, |(it, _)| it.offset);
                self.hint = Some(Hint { segment: part.segment.first, offset: last + 1, at: end });
                self.fetched.push_back(Fetched { bytes: bytes.into(), from: Some((open, at)) });
                Ok(())
            }
            // It was removed meanwhile: there is something else to read.
            Err(_) if topic.state().first > part.segment.last => Ok(()),
            Err(error) => Err(shared.cannot_read(error)),
        }
    }

    /// Takes at most `max` messages out of what was fetched, and at most `bytes` of them, but at least one.
    pub(super) fn pop(
        &mut self,
        shared: &Shared,
        topic: &Topic,
        max: usize,
        bytes: usize,
    ) -> Result<Vec<Message>, Error> {
        let first = topic.state().first.max(self.next);
        let (mut messages, mut size) = (Vec::new(), 0);
        while messages.len() < max
            && size < bytes
            && let Some(fetched) = self.fetched.front_mut()
        {
            let Some(brief) = stored::brief(&fetched.bytes) else {
                self.fetched.pop_front();
                continue;
            };
            if brief.offset >= first {
                let Some(message) = stored::decode(topic.uid, &fetched.bytes[..brief.len]) else {
                    // Those before it are given first; it is met again.
                    if messages.is_empty() {
                        return Err(unsound(shared, topic, fetched));
                    }
                    break;
                };
                messages.push(message);
                size += brief.len;
            }
            self.next = self.next.max(brief.offset + 1);
            fetched.bytes.advance(brief.len);
            if let Some((_, at)) = &mut fetched.from {
                *at += u64::try_from(brief.len).unwrap_or(u64::MAX);
            }
        }
        while self.fetched.front().is_some_and(|fetched| fetched.bytes.is_empty()) {
            self.fetched.pop_front();
        }
        Ok(messages)
    }
}

fn unsound(shared: &Shared, topic: &Topic, fetched: &Fetched) -> Error {
    match &fetched.from {
        Some((open, at)) => shared.cannot_read(shared.files.unsound(open, *at)),
        None => {
            let cause = std::io::Error::other("a message in memory is not as it was written");
            let place = format!("{}, topic {}", shared.place, topic.name);
            Error::Refused { place, cause: Arc::new(cause) }
        }
    }
}

/// The offset at which reading begins; `None`: with what comes next.
pub(super) async fn resolve(
    shared: &Shared,
    topic: &Arc<Topic>,
    start: Start,
) -> Result<Option<u64>, Error> {
    Ok(match start {
        Start::Beginning => Some(topic.state().first),
        Start::End => None,
        Start::Offset(offset) => Some(offset.0.max(1)),
        Start::Time(time) => {
            let (files, topic) = (Arc::clone(&shared.files), Arc::clone(topic));
            let found = runtime::blocking(move || since(&files, &topic, time.0)).await;
            found.map_err(|error| shared.cannot_read(error))?
        }
    })
}

/// The first message that was taken at `time` or later. Blocks.
pub(super) fn since(files: &Files, topic: &Topic, time: u64) -> Result<Option<u64>, log::Error> {
    loop {
        let segment = match topic.piece_of(time) {
            Ok(Some(segment)) => segment,
            Ok(None) => return Ok(None),
            Err(offset) => return Ok(Some(offset)),
        };
        let place = Place { topic: topic.number, first: segment.first };
        let found = files.get(place, topic.uid).and_then(|open| {
            let at = files.find(&open, Target::Time(time), segment.end)?;
            if at == segment.end {
                return Ok(segment.last + 1);
            }
            let bytes = files.read(&open, at, segment.end)?;
            Ok(stored::brief(&bytes).map_or(segment.last + 1, |brief| brief.offset))
        });
        match found {
            Ok(offset) => return Ok(Some(offset)),
            // It was removed meanwhile.
            Err(_) if topic.state().first > segment.last => {}
            Err(error) => return Err(error),
        }
    }
}

impl Cursor {
    /// Passes over what was fetched and tells the ids that publishers gave, each with offset and time.
    pub(super) fn ids(
        &mut self,
        shared: &Shared,
        topic: &Topic,
        mut tell: impl FnMut(&[u8], u64, u64),
    ) -> Result<(), Error> {
        let first = topic.state().first;
        while let Some(fetched) = self.fetched.pop_front() {
            if let Some((open, at)) = &fetched.from
                && let Some(error) = shared.files.first_unsound(open, *at, &fetched.bytes)
            {
                return Err(shared.cannot_read(error));
            }
            for (brief, message) in stored::Each(&fetched.bytes) {
                if let Some(id) = stored::id(message).filter(|_| brief.offset >= first) {
                    tell(id, brief.offset, brief.time);
                }
                self.next = self.next.max(brief.offset + 1);
            }
        }
        // Without this, a topic whose messages were all removed would be asked again and again.
        self.next = self.next.max(first);
        Ok(())
    }
}
