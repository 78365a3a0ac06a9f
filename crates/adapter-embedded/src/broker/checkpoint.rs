//! The checkpoint: what all topics and groups were up to some entry of the journal, and how much of each file was durable
//! then. It is one file, which is replaced as a whole.

use ports::broker::TopicName;
use std::io;

use super::{
    Error,
    record::{GroupMade, TopicMade},
    segment::Segment,
    shared::Shared,
};
use crate::{
    bits::{Bits, put_number},
    disk::Disk,
    log::UNFINISHED,
};

/// The file.
pub(super) const NAME: &str = "checkpoint";

/// The format that this release writes; it reads all before it. It speaks for the journal's records too.
const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"FLOT-BRK";

/// Length of the head: magic, version, a checksum of the two, length of the rest, checksum of the rest. The first 16 bytes
/// have the same meaning in all formats to come.
const HEAD: usize = 28;

/// What a checkpoint says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Checkpoint {
    /// The entry of the journal from which on there is more.
    pub(super) position: u64,
    pub(super) next_topic: u64,
    pub(super) next_group: u64,
    pub(super) topics: Vec<TopicKept>,
}

/// A topic of a checkpoint.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TopicKept {
    pub(super) made: TopicMade,
    pub(super) first: u64,
    /// The last message that is in files, or was.
    pub(super) written: u64,
    pub(super) last_time: u64,
    pub(super) segments: Vec<Segment>,
    pub(super) groups: Vec<GroupMade>,
}

impl TopicKept {
    fn encode(&self, out: &mut Vec<u8>) {
        self.made.encode(out);
        let count = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
        let numbers = [self.first, self.written, self.last_time, count(self.segments.len())];
        numbers.into_iter().for_each(|number| put_number(out, number));
        for Segment { first, last, first_time, last_time, end } in &self.segments {
            let numbers = [*first, *last, *first_time, *last_time, *end];
            numbers.into_iter().for_each(|number| put_number(out, number));
        }
        put_number(out, count(self.groups.len()));
        self.groups.iter().for_each(|group| group.encode(out));
    }

    fn decode(bits: &mut Bits<'_>) -> Option<Self> {
        let made = TopicMade::decode(bits)?;
        let [first, written, last_time] = [bits.number()?, bits.number()?, bits.number()?];
        // The numbers are not trusted for taking memory.
        let segments = (0..bits.number()?).map(|_| {
            let [first, last, first_time] = [bits.number()?, bits.number()?, bits.number()?];
            let [last_time, end] = [bits.number()?, bits.number()?];
            Some(Segment { first, last, first_time, last_time, end })
        });
        let segments = segments.collect::<Option<_>>()?;
        let groups = (0..bits.number()?).map(|_| GroupMade::decode(bits)).collect::<Option<_>>()?;
        Some(Self { made, first, written, last_time, segments, groups })
    }
}

impl Checkpoint {
    fn decode(bits: &mut Bits<'_>) -> Option<Self> {
        let [position, next_topic, next_group] = [bits.number()?, bits.number()?, bits.number()?];
        let topics = (0..bits.number()?).map(|_| TopicKept::decode(bits)).collect::<Option<_>>()?;
        Some(Self { position, next_topic, next_group, topics }).filter(|_| bits.0.is_empty())
    }
}

/// All that is known, with everything that is in files.
pub(super) fn encode(shared: &Shared, position: u64) -> Vec<u8> {
    let (topics, next_topic, next_group) = {
        let topics = shared.topics();
        let all: Vec<_> = topics.by_number.values().cloned().collect();
        (all, topics.next_topic, topics.next_group)
    };
    let mut body = Vec::new();
    let numbers = [position, next_topic, next_group, u64::try_from(topics.len()).unwrap_or(0)];
    numbers.into_iter().for_each(|number| put_number(&mut body, number));
    let now = shared.clock.now();
    for topic in topics {
        let groups = topic.groups();
        let groups = groups.values().filter(|group| group.state().config.durable);
        let groups = groups.map(|group| group.made(now)).collect();
        let kept = {
            let state = topic.state();
            let (topic, uid, name) = (topic.number, topic.uid, topic.name.clone());
            TopicKept {
                made: TopicMade { topic, uid, name, config: state.config },
                first: state.first,
                written: state.written,
                last_time: state.last_time,
                segments: state.segments.iter().copied().collect(),
                groups,
            }
        };
        kept.encode(&mut body);
    }
    seal(&body)
}

fn seal(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD + body.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes.extend_from_slice(&u64::try_from(body.len()).unwrap_or(u64::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Puts it in place of the one before.
pub(super) fn write(disk: &dyn Disk, bytes: &[u8]) -> io::Result<()> {
    let unfinished = format!("{NAME}{UNFINISHED}");
    if let Err(e) = disk.remove(&unfinished)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e);
    }
    let file = disk.create(&unfinished)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    // The names of the files that it speaks of must be durable before it is.
    disk.sync()?;
    disk.rename(&unfinished, NAME)?;
    disk.sync()
}

/// Begins a store in which there is nothing.
pub(super) fn begin(disk: &dyn Disk) -> io::Result<()> {
    let mut body = Vec::new();
    // No entry, the first numbers of a topic and a group, no topics.
    [0, 1, 1, 0].into_iter().for_each(|number| put_number(&mut body, number));
    write(disk, &seal(&body))
}

/// Reads the newest one; `None`: there is none.
pub(super) fn read(disk: &dyn Disk) -> Result<Option<Checkpoint>, Error> {
    let file = disk.path(NAME);
    let failed = |cause| Error::Io { file: file.clone(), cause };
    let damaged = |offset: usize, what: &str| {
        let offset = u64::try_from(offset).ok();
        Error::Damaged { file: file.clone(), offset, what: what.to_owned() }
    };
    let open = match disk.open(NAME) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(failed)?,
    };
    let len = usize::try_from(open.len().map_err(failed)?).unwrap_or(usize::MAX);
    let mut bytes = vec![0; len];
    let read = open.read_at(0, &mut bytes).map_err(failed)?;
    bytes.truncate(read);
    let short = |at: usize| {
        bytes.get(at..at + 4).and_then(|it| it.first_chunk()).map(|it| u32::from_le_bytes(*it))
    };
    let prelude = bytes.get(..12).map(crc32fast::hash);
    if bytes.get(..8) != Some(MAGIC) || prelude.is_none() || short(12) != prelude {
        return Err(damaged(0, "the head is not as it was written"));
    }
    let version = short(8).unwrap_or_default();
    if version > VERSION {
        return Err(Error::Newer { file, version: version.into(), known: VERSION.into() });
    }
    let body = bytes.get(HEAD..).unwrap_or_default();
    let announced =
        bytes.get(16..24).and_then(|it| it.first_chunk()).map(|it| u64::from_le_bytes(*it));
    if announced != u64::try_from(body.len()).ok() {
        return Err(damaged(16, "it is not as long as it says"));
    }
    if short(24) != Some(crc32fast::hash(body)) {
        return Err(damaged(HEAD, "its checksum does not fit"));
    }
    let mut bits = Bits(body);
    let checkpoint = Checkpoint::decode(&mut bits);
    let at = HEAD + body.len() - bits.0.len();
    checkpoint
        .map(Some)
        .ok_or_else(|| damaged(at, "it says something that this release does not know"))
}

impl Checkpoint {
    /// The topic that has a name, if two do it is damaged.
    pub(super) fn twice(&self) -> Option<&TopicName> {
        let mut names: Vec<&TopicName> = self.topics.iter().map(|it| &it.made.name).collect();
        names.sort();
        names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }
}
