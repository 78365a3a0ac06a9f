//! A topic as everybody sees it: what is durable, and where it is.

use base::ByteSize;
use bytes::Bytes;
use ports::broker::{Error, GroupName, Offset, TopicConfig, TopicName, TopicStatus};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

use super::{dedup::Dedup, group::Group, segment::Segment, stored};

/// Most bytes that are handed to a reader at once from memory.
const PIECE_BYTES: usize = 256 << 10;

/// Messages in memory that follow each other.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) first_time: u64,
    pub(super) last_time: u64,
    pub(super) bytes: Bytes,
}

impl Chunk {
    /// Of encoded messages; `None`: there are none.
    pub(super) fn new(bytes: Bytes) -> Option<Self> {
        let first = stored::brief(&bytes)?;
        let (last, _) = stored::Each(&bytes).last()?;
        Some(Self {
            first: first.offset,
            last: last.offset,
            first_time: first.time,
            last_time: last.time,
            bytes,
        })
    }

    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }

    /// Its messages from `offset` on.
    fn from(&self, offset: u64) -> Bytes {
        if offset <= self.first {
            return self.bytes.clone();
        }
        let before = stored::Each(&self.bytes).take_while(|(brief, _)| brief.offset < offset);
        let skipped: usize = before.map(|(brief, _)| brief.len).sum();
        self.bytes.slice(skipped..)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) number: u64,
    /// Drawn for it; goes into checksums and ids.
    pub(super) uid: u64,
    pub(super) name: TopicName,
    state: Mutex<State>,
    groups: Mutex<BTreeMap<GroupName, Arc<Group>>>,
    /// Only the writer uses it.
    dedup: Mutex<Dedup>,
    /// Told when there is something to look at: messages, or an end.
    pub(super) news: watch::Sender<()>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: TopicConfig,
    /// The oldest message that is kept.
    pub(super) first: u64,
    /// The newest message that ever was.
    pub(super) last: u64,
    pub(super) last_time: u64,
    /// What is in files, oldest first.
    pub(super) segments: VecDeque<Segment>,
    /// Everything behind the files, and some before that.
    pub(super) tail: VecDeque<Chunk>,
    pub(super) tail_bytes: u64,
    /// Up to here it is in files.
    pub(super) written: u64,
    /// Bytes that are not.
    pub(super) unwritten: u64,
    /// It waits for being written to files.
    pub(super) is_queued: bool,
    pub(super) is_removed: bool,
}

/// Where the next messages are.
#[derive(Debug)]
pub(super) enum Piece {
    /// There are none yet.
    End,
    Memory(Vec<Bytes>),
    /// In this file, with the message `offset` or the one after it.
    File(Segment, u64),
}

impl Topic {
    pub(super) fn new(number: u64, uid: u64, name: TopicName, config: TopicConfig) -> Self {
        let state = State {
            config,
            first: 1,
            last: 0,
            last_time: 0,
            segments: VecDeque::new(),
            tail: VecDeque::new(),
            tail_bytes: 0,
            written: 0,
            unwritten: 0,
            is_queued: false,
            is_removed: false,
        };
        Self {
            number,
            uid,
            name,
            state: Mutex::new(state),
            groups: Mutex::default(),
            dedup: Mutex::default(),
            news: watch::Sender::new(()),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Taken before [`Self::state`] where both are.
    pub(super) fn groups(&self) -> MutexGuard<'_, BTreeMap<GroupName, Arc<Group>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dedup(&self) -> MutexGuard<'_, Dedup> {
        self.dedup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn group(&self, name: &GroupName) -> Result<Arc<Group>, Error> {
        let found = self.groups().get(name).cloned();
        found.ok_or_else(|| Error::NoGroup { topic: self.name.clone(), group: name.clone() })
    }

    pub(super) fn group_of_number(&self, number: u64) -> Option<Arc<Group>> {
        self.groups().values().find(|group| group.number == number).cloned()
    }

    pub(super) fn tell(&self) {
        self.news.send_replace(());
    }

    pub(super) fn status(&self) -> TopicStatus {
        let groups = self.groups().len();
        let state = self.state();
        TopicStatus {
            name: self.name.clone(),
            config: state.config,
            first: Offset(state.first),
            last: Offset(state.last),
            messages: (state.last + 1).saturating_sub(state.first),
            bytes: state.bytes(),
            groups,
        }
    }

    /// What comes at `offset` or behind it.
    pub(super) fn piece(&self, offset: u64) -> Result<Piece, Error> {
        let state = self.state();
        if state.is_removed {
            return Err(Error::NoTopic(self.name.clone()));
        }
        let offset = offset.max(state.first);
        if offset > state.last {
            return Ok(Piece::End);
        }
        if state.tail.front().is_some_and(|chunk| chunk.first <= offset) {
            let at = state.tail.partition_point(|chunk| chunk.last < offset);
            let mut bytes = 0;
            let chunks = state.tail.range(at..).take_while(|chunk| {
                let is_begun = bytes > 0;
                bytes += chunk.bytes.len();
                !is_begun || bytes <= PIECE_BYTES
            });
            return Ok(Piece::Memory(chunks.map(|chunk| chunk.from(offset)).collect()));
        }
        let at = state.segments.partition_point(|segment| segment.last < offset);
        Ok(state.segments.get(at).map_or(Piece::End, |segment| Piece::File(*segment, offset)))
    }

    /// What comes with the first message that was taken at `time` or later: of this file, or from this offset on.
    pub(super) fn piece_of(&self, time: u64) -> Result<Option<Segment>, u64> {
        let state = self.state();
        let at = state.segments.partition_point(|segment| segment.last_time < time);
        if let Some(segment) = state.segments.get(at) {
            return Ok(Some(*segment));
        }
        let at = state.tail.partition_point(|chunk| chunk.last_time < time);
        let Some(chunk) = state.tail.get(at) else { return Ok(None) };
        let mut each = stored::Each(&chunk.bytes);
        Err(each.find(|(brief, _)| brief.time >= time).map_or(chunk.last + 1, |(it, _)| it.offset))
    }
}

impl State {
    /// Bytes that its messages take.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::bytes).sum::<u64>() + self.unwritten
    }

    /// Adds messages that are durable. Those that are there already are left out.
    pub(super) fn push(&mut self, chunk: Chunk) {
        let chunk = if chunk.first > self.last {
            chunk
        } else {
            match Chunk::new(chunk.from(self.last + 1)) {
                Some(chunk) => chunk,
                None => return,
            }
        };
        self.last = chunk.last;
        self.last_time = self.last_time.max(chunk.last_time);
        self.tail_bytes += chunk.len();
        self.unwritten += chunk.len();
        self.tail.push_back(chunk);
    }

    /// Forgets what is before `first`, but for files, which are removed later. They stand in the answer.
    pub(super) fn set_first(&mut self, first: u64) -> Vec<Segment> {
        self.first = self.first.max(first.min(self.last + 1));
        let first = self.first;
        let is_gone = |last: u64| last < first;
        while let Some(chunk) = self.tail.front().filter(|chunk| is_gone(chunk.last)) {
            let len = chunk.len();
            self.tail_bytes -= len;
            if chunk.last > self.written {
                self.unwritten -= len;
                self.written = chunk.last;
            }
            self.tail.pop_front();
        }
        let mut gone = Vec::new();
        while self.segments.front().is_some_and(|segment| is_gone(segment.last)) {
            gone.extend(self.segments.pop_front());
        }
        gone
    }

    /// Drops what is in files as well, oldest first, until at most `bytes` are in memory.
    pub(super) fn shrink(&mut self, bytes: u64) {
        while self.tail_bytes > bytes
            && self.tail.front().is_some_and(|chunk| chunk.last <= self.written)
        {
            self.tail_bytes -= self.tail.pop_front().map_or(0, |chunk| chunk.len());
        }
    }

    /// What has to be the first message so that nothing is kept that may go: no message older than `cutoff`, nothing
    /// beyond the bytes of the configuration. Whole files and chunks only.
    pub(super) fn retained(&self, cutoff: Option<u64>) -> u64 {
        let written = self.written;
        let files = self.segments.iter().map(|it| (it.last, it.last_time, it.bytes()));
        let chunks = self.tail.iter().filter(|chunk| chunk.last > written);
        let chunks = chunks.map(|it| (it.last, it.last_time, it.len()));
        let mut bytes = self.bytes();
        let mut first = self.first;
        for (last, time, len) in files.chain(chunks) {
            let is_old = cutoff.is_some_and(|cutoff| time < cutoff);
            let is_beyond =
                self.config.max_bytes.is_some_and(|ByteSize(max)| bytes.saturating_sub(len) >= max);
            if !is_old && !is_beyond {
                break;
            }
            bytes = bytes.saturating_sub(len);
            first = last + 1;
        }
        first
    }
}
