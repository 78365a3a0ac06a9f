//! An event as it stands in the log.
//!
//! ```text
//!  ┌ length of the body ┬ checksum of position and body ┬ body ┐
//! ```
//!
//! The checksum is beside that of the frame, so that one event can be read without the frame it was written with; and it
//! is over the position too, so that an index that leads astray is noticed.

use base::Timestamp;
use bytes::Bytes;
use ports::streams::{Event, Position};

use crate::bits::{Bits, put_bytes, put_number};

/// Bytes before the body.
pub(super) const HEAD: usize = 8;

/// The only kind of entry.
const EVENT: u8 = 1;

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) stream: &'a str,
    /// The position of the first event of its stream, which stands for the stream in the index.
    pub(super) number: u64,
    pub(super) revision: u64,
    pub(super) time: Timestamp,
    pub(super) id: &'a str,
    pub(super) kind: &'a str,
    pub(super) tags: Vec<&'a str>,
    pub(super) metadata: &'a [u8],
    pub(super) data: &'a [u8],
}

impl<'a> Record<'a> {
    /// Appends the entry.
    pub(super) fn encode(&self, position: u64, out: &mut Vec<u8>) {
        let head = out.len();
        out.extend_from_slice(&[0; HEAD]);
        out.push(EVENT);
        put_bytes(out, self.stream.as_bytes());
        put_number(out, self.number);
        put_number(out, self.revision);
        put_number(out, self.time.0);
        put_bytes(out, self.id.as_bytes());
        put_bytes(out, self.kind.as_bytes());
        put_number(out, u64::try_from(self.tags.len()).unwrap_or(u64::MAX));
        for tag in &self.tags {
            put_bytes(out, tag.as_bytes());
        }
        put_bytes(out, self.metadata);
        put_bytes(out, self.data);
        let body = head + HEAD;
        let len = u32::try_from(out.len() - body).expect("an event is bounded");
        let check = checksum(position, &out[body..]);
        out[head..head + 4].copy_from_slice(&len.to_le_bytes());
        out[head + 4..body].copy_from_slice(&check.to_le_bytes());
    }

    /// Reads a body. `None`: it is none that this release knows.
    pub(super) fn decode(body: &'a [u8]) -> Option<Self> {
        let mut bits = Bits(body);
        if bits.byte()? != EVENT {
            return None;
        }
        let stream = text(&mut bits)?;
        let (number, revision, time) = (bits.number()?, bits.number()?, bits.number()?);
        let (id, kind) = (text(&mut bits)?, text(&mut bits)?);
        let tags = (0..bits.number()?).map(|_| text(&mut bits)).collect::<Option<_>>()?;
        let (metadata, data) = (bits.bytes()?, bits.bytes()?);
        let time = Timestamp(time);
        bits.0.is_empty().then_some(Self {
            stream,
            number,
            revision,
            time,
            id,
            kind,
            tags,
            metadata,
            data,
        })
    }

    /// As readers get it. Its bytes stay in `buffer`, which the record was decoded from.
    pub(super) fn event(&self, position: u64, buffer: &Bytes) -> Event {
        let part = |part: &[u8]| {
            if part.is_empty() { Bytes::new() } else { buffer.slice_ref(part) }
        };
        Event {
            position: Position(position),
            stream: self.stream.to_owned(),
            revision: self.revision,
            time: self.time,
            id: self.id.to_owned(),
            kind: self.kind.to_owned(),
            tags: self.tags.iter().map(|tag| (*tag).to_owned()).collect(),
            data: part(self.data),
            metadata: part(self.metadata),
        }
    }
}

fn text<'a>(bits: &mut Bits<'a>) -> Option<&'a str> {
    std::str::from_utf8(bits.bytes()?).ok()
}

fn checksum(position: u64, body: &[u8]) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(&position.to_le_bytes());
    check.update(body);
    check.finalize()
}

/// The head of an entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    len: u32,
    check: u32,
}

impl Head {
    /// `None`: there are too few bytes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (len, rest) = bytes.split_first_chunk()?;
        let check = rest.first_chunk()?;
        Some(Self { len: u32::from_le_bytes(*len), check: u32::from_le_bytes(*check) })
    }

    /// Bytes of the body.
    pub(super) fn len(self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX)
    }

    /// Whether `body` was written at this position.
    pub(super) fn fits(self, position: u64, body: &[u8]) -> bool {
        self.check == checksum(position, body)
    }
}

/// The entries of a frame's payload, each with where it begins. An entry that cannot be read ends them with `None`.
pub(super) fn entries(payload: &[u8]) -> impl Iterator<Item = Option<(usize, Record<'_>)>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = payload.get(at..).filter(|rest| !rest.is_empty())?;
        let found = Head::decode(rest).and_then(|head| {
            let body = rest.get(HEAD..HEAD.checked_add(head.len())?)?;
            Some((head, Record::decode(body)?))
        });
        let Some((head, record)) = found else {
            at = payload.len();
            return Some(None);
        };
        let begin = at;
        at += HEAD + head.len();
        Some(Some((begin, record)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(tags: &[&'a str], data: &'a [u8]) -> Record<'a> {
        Record {
            stream: "account-7",
            number: 3,
            revision: 12,
            time: Timestamp(1_700_000_000_000_000),
            id: "an id",
            kind: "deposited",
            tags: tags.to_vec(),
            metadata: b"{}",
            data,
        }
    }

    #[test]
    fn entries_come_back_as_they_were_written_and_fit_only_their_position() {
        let records =
            [record(&[], b""), record(&["a:1", "b:2"], b"data"), record(&["x"], &[7; 900])];
        let mut payload = Vec::new();
        for (position, record) in (5..).zip(&records) {
            record.encode(position, &mut payload);
        }
        let found: Vec<_> = entries(&payload).map(Option::unwrap).collect();
        assert_eq!(found.iter().map(|(_, record)| record.clone()).collect::<Vec<_>>(), records);
        for (position, (at, _)) in (5..).zip(&found) {
            let head = Head::decode(&payload[*at..]).unwrap();
            let body = &payload[at + HEAD..at + HEAD + head.len()];
            assert!(head.fits(position, body) && !head.fits(position + 1, body));
        }
    }

    #[test]
    fn bytes_that_are_no_entry_are_told_apart_whatever_they_are() {
        let mut payload = Vec::new();
        record(&["tag"], b"data").encode(1, &mut payload);
        for len in 1..payload.len() {
            assert!(entries(&payload[..len]).any(|entry| entry.is_none()), "{len}");
        }
        for at in 0..payload.len() {
            let mut flipped = payload.clone();
            flipped[at] ^= 0x81;
            // Only that it ends: a checksum tells whether it is right.
            assert!(entries(&flipped).count() < 3);
        }
    }
}
