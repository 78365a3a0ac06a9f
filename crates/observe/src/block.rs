//! Lines as bytes: the unit that is written, checked and read back as a whole.
//!
//! ```text
//!  0  u32  length of the payload
//!  4  u32  CRC-32 of everything after it
//!  8  u64  number of the first line
//! 16  u32  count of lines
//! 20  u32  count of instances
//! 24  u64  earliest time, µs
//! 32  u64  latest time, µs
//! 40  instances: u8 length of the name, name, u32 number
//!     lines:     u8 instance, u8 stream and flags, varint time − earliest, varint length, text
//! ```
//! Little endian throughout. A block needs nothing outside of itself to be read.

use crate::crc::crc32;
use base::{InstanceId, ServiceName, Timestamp};
use ports::logs::{Line, Stream};

/// Length of the fixed part, in bytes.
pub(crate) const HEAD_LEN: usize = 40;

/// Text after which a block is closed, in bytes: large enough to make checksum and system call
/// cheap per line, small enough to be read for one line.
const TEXT_LEN_TARGET: usize = 32 * 1024;

/// Most text one line may carry, in bytes. Lines come cut to 64 KiB, which U+FFFD may make three
/// times as long; what is longer still is cut here, so that a reader's memory has a bound.
const TEXT_LEN_MAX: usize = 256 * 1024;

/// Largest payload a reader believes in, in bytes; above the largest that is written.
const PAYLOAD_LEN_MAX: usize = 2 * 1024 * 1024;

/// Most instances in a block: their number is a byte in each line.
const INSTANCES_MAX: usize = 255;

const FLAG_CUT: u8 = 0b100;

/// What the index keeps of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Whole length, in bytes.
    pub(crate) len: u32,
    pub(crate) first_seq: u64,
    pub(crate) count: u32,
    pub(crate) time_min: Timestamp,
    pub(crate) time_max: Timestamp,
    /// One bit for each service that occurs; services may share a bit.
    pub(crate) services: u64,
}

/// The bit of a service in [`Summary::services`] (FNV-1a, folded to six bits).
pub(crate) fn service_bit(service: &ServiceName) -> u64 {
    let hash = service.as_str().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    1 << ((hash ^ (hash >> 32)) % 64)
}

/// Writes a block with as many of `lines` (one or more) as fit into `out`, which is cleared. Returns how
/// many those were.
pub(crate) fn encode(out: &mut Vec<u8>, first_seq: u64, lines: &[Line]) -> (usize, Summary) {
    let (taken, instances) = select(lines);
    let taken_lines = lines.get(..taken).unwrap_or_default();
    let times = taken_lines.iter().map(|line| line.at);
    let time_min = times.clone().min().unwrap_or_default();
    let time_max = times.max().unwrap_or_default();
    out.clear();
    out.resize(HEAD_LEN, 0);
    let mut services = 0;
    for instance in &instances {
        let name = instance.service.as_str();
        // A name has at most 63 bytes.
        out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&instance.number.to_le_bytes());
        services |= service_bit(&instance.service);
    }
    let mut at = 0;
    for line in taken_lines {
        if instances.get(at) != Some(&&line.instance) {
            at = instances.iter().position(|instance| **instance == line.instance).unwrap_or(0);
        }
        push_line(out, u8::try_from(at).unwrap_or(0), line, time_min);
    }
    let payload_len = u32::try_from(out.len() - HEAD_LEN).unwrap_or(u32::MAX);
    let count = u32::try_from(taken).unwrap_or(u32::MAX);
    let instance_count = u32::try_from(instances.len()).unwrap_or(u32::MAX);
    put(out, 0, &payload_len.to_le_bytes());
    put(out, 8, &first_seq.to_le_bytes());
    put(out, 16, &count.to_le_bytes());
    put(out, 20, &instance_count.to_le_bytes());
    put(out, 24, &time_min.0.to_le_bytes());
    put(out, 32, &time_max.0.to_le_bytes());
    let sum = crc32(out.get(8..).unwrap_or_default());
    put(out, 4, &sum.to_le_bytes());
    let len = u32::try_from(out.len()).unwrap_or(u32::MAX);
    (taken, Summary { len, first_seq, count, time_min, time_max, services })
}

/// How many of `lines` make one block, and the instances that occur in them.
fn select(lines: &[Line]) -> (usize, Vec<&InstanceId>) {
    let mut instances: Vec<&InstanceId> = Vec::new();
    let mut text_len = 0;
    let mut taken = 0;
    for line in lines {
        if taken > 0 && text_len + line.text.len() > TEXT_LEN_TARGET {
            break;
        }
        if instances.last() != Some(&&line.instance) && !instances.contains(&&line.instance) {
            if instances.len() == INSTANCES_MAX {
                break;
            }
            instances.push(&line.instance);
        }
        // Empty lines take room too.
        text_len += line.text.len() + 8;
        taken += 1;
    }
    (taken, instances)
}

fn push_line(out: &mut Vec<u8>, instance: u8, line: &Line, time_min: Timestamp) {
    let end = line.text.floor_char_boundary(TEXT_LEN_MAX);
    let (text, rest) = line.text.split_at(end);
    let stream = match line.stream {
        Stream::Out => 0,
        Stream::Err => 1,
        Stream::Node => 2,
    };
    let is_cut = line.is_cut || !rest.is_empty();
    out.push(instance);
    out.push(stream | if is_cut { FLAG_CUT } else { 0 });
    push_varint(out, line.at.0.saturating_sub(time_min.0));
    push_varint(out, u64::try_from(text.len()).unwrap_or(u64::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn put(out: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = out.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        let [low, ..] = value.to_le_bytes();
        out.push(low | 0x80);
        value >>= 7;
    }
    let [low, ..] = value.to_le_bytes();
    out.push(low);
}

/// A block whose checksum held.
#[derive(Debug)]
pub(crate) struct Block<'a> {
    pub(crate) summary: Summary,
    pub(crate) instances: Vec<InstanceId>,
    rest: Cursor<'a>,
}

/// One line of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) seq: u64,
    pub(crate) at: Timestamp,
    /// Place in [`Block::instances`].
    pub(crate) instance: usize,
    pub(crate) stream: Stream,
    pub(crate) is_cut: bool,
    pub(crate) text: &'a str,
}

/// How long the block at the start of `bytes` says it is, when that can be believed.
fn claimed_len(head: &[u8]) -> Option<usize> {
    let payload = usize::try_from(Cursor(head).u32()?).ok()?;
    (payload <= PAYLOAD_LEN_MAX).then_some(HEAD_LEN + payload)
}

/// Length of the block at the start of `bytes` and the number of its last line, as its head says, unchecked.
pub(crate) fn claims(bytes: &[u8]) -> Option<(usize, u64)> {
    let mut cursor = Cursor(bytes.get(8..)?);
    let first_seq = cursor.u64()?;
    let last_seq = first_seq.checked_add(u64::from(cursor.u32()?.checked_sub(1)?))?;
    Some((claimed_len(bytes)?, last_seq))
}

/// Reads the block at the start of `bytes`; `None` when it is torn or damaged.
pub(crate) fn decode(bytes: &[u8]) -> Option<Block<'_>> {
    let len = claimed_len(bytes)?;
    let bytes = bytes.get(..len)?;
    let mut cursor = Cursor(bytes.get(4..)?);
    if cursor.u32()? != crc32(bytes.get(8..)?) {
        return None;
    }
    let first_seq = cursor.u64()?;
    let count = cursor.u32()?;
    let instance_count = cursor.u32()?;
    let time_min = Timestamp(cursor.u64()?);
    let time_max = Timestamp(cursor.u64()?);
    let mut instances = Vec::new();
    let mut services = 0;
    for _ in 0..instance_count {
        let name_len = usize::from(cursor.u8()?);
        let name = str::from_utf8(cursor.take(name_len)?).ok()?;
        let service = ServiceName::new(name).ok()?;
        services |= service_bit(&service);
        instances.push(InstanceId { service, number: cursor.u32()? });
    }
    let len = u32::try_from(len).ok()?;
    let summary = Summary { len, first_seq, count, time_min, time_max, services };
    Some(Block { summary, instances, rest: cursor })
}

impl<'a> Block<'a> {
    /// Its lines in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let Summary { first_seq, count, time_min, .. } = self.summary;
        let mut cursor = self.rest;
        (0..u64::from(count)).map_while(move |offset| {
            let instance = usize::from(cursor.u8()?);
            let flags = cursor.u8()?;
            let delta = cursor.varint()?;
            let len = usize::try_from(cursor.varint()?).ok()?;
            Some(Entry {
                seq: first_seq.saturating_add(offset),
                at: Timestamp(time_min.0.saturating_add(delta)),
                instance,
                stream: match flags & 0b11 {
                    0 => Stream::Out,
                    1 => Stream::Err,
                    _ => Stream::Node,
                },
                is_cut: flags & FLAG_CUT != 0,
                text: str::from_utf8(cursor.take(len)?).ok()?,
            })
        })
    }
}

/// Reads numbers off the front of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line() -> impl Strategy<Value = Line> {
        let stream = prop_oneof![Just(Stream::Out), Just(Stream::Err), Just(Stream::Node)];
        (any::<u64>(), 0..4_usize, 1..u32::MAX, stream, ".{0,6}", any::<bool>()).prop_map(
            |(at, service, number, stream, text, is_cut)| Line {
                at: Timestamp(at),
                instance: InstanceId {
                    service: ServiceName::new(["a", "users", "x-y", "0"][service]).unwrap(),
                    number,
                },
                stream,
                text,
                is_cut,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn lines_read_back_as_they_were_written(lines in prop::collection::vec(line(), 1..300), seq: u32) {
            let mut bytes = Vec::new();
            let mut rest = &lines[..];
            let mut seq = u64::from(seq);
            while !rest.is_empty() {
                let (taken, summary) = encode(&mut bytes, seq, rest);
                let block = decode(&bytes).unwrap();
                prop_assert_eq!(block.summary, summary);
                let read: Vec<Line> = block.entries().map(|entry| Line {
                    at: entry.at,
                    instance: block.instances[entry.instance].clone(),
                    stream: entry.stream,
                    text: entry.text.to_owned(),
                    is_cut: entry.is_cut,
                }).collect();
                prop_assert_eq!(&read[..], &rest[..taken]);
                rest = &rest[taken..];
                seq += u64::try_from(taken).unwrap();
            }
        }

        #[test]
        fn a_damaged_or_torn_block_is_noticed(lines in prop::collection::vec(line(), 1..20), at: prop::sample::Index, flip in 1_u8..) {
            let mut bytes = Vec::new();
            encode(&mut bytes, 1, &lines);
            let at = at.index(bytes.len());
            prop_assert!(decode(&bytes[..at]).is_none());
            bytes[at] ^= flip;
            prop_assert!(decode(&bytes).is_none());
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(block) = decode(&bytes) {
                block.entries().count();
            }
        }
    }
}
