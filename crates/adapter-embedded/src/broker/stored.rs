//! A message as its bytes stand in the journal, in memory and in the files of its topic: the same everywhere, so that
//! it is encoded once and copied from then on.
//!
//! ```text
//!  length of the body (4) │ checksum (4) │ offset (8) │ time (8) │ flags (1) │ id, key, headers where there are │ payload
//! ```
//!
//! The checksum covers the body and begins with a number of the topic's own: bytes of another topic are no message here.

use base::Timestamp;
use bytes::Bytes;
use ports::broker::{Message, NewMessage, Offset};

use crate::bits::{Bits, put_bytes, put_number};

/// Length of what stands before the body.
pub(super) const HEAD: usize = 8;

/// Length of the part of the body that every message has.
const FIXED: usize = 17;

const HAS_ID: u8 = 1;
const HAS_KEY: u8 = 2;
const HAS_HEADERS: u8 = 4;

/// What can be told of a message without reading all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    /// Of head and body.
    pub(super) len: usize,
    pub(super) offset: u64,
    pub(super) time: u64,
}

/// Appends a message.
pub(super) fn encode(out: &mut Vec<u8>, uid: u64, offset: u64, time: u64, message: &NewMessage) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&time.to_le_bytes());
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    out.push(
        flag(message.id.is_some(), HAS_ID)
            | flag(message.key.is_some(), HAS_KEY)
            | flag(!message.headers.is_empty(), HAS_HEADERS),
    );
    if let Some(id) = &message.id {
        put_bytes(out, id.as_bytes());
    }
    if let Some(key) = &message.key {
        put_bytes(out, key);
    }
    if !message.headers.is_empty() {
        put_number(out, u64::try_from(message.headers.len()).unwrap_or(u64::MAX));
        for (name, value) in &message.headers {
            put_bytes(out, name.as_bytes());
            put_bytes(out, value.as_bytes());
        }
    }
    out.extend_from_slice(&message.payload);
    let body = u32::try_from(out.len() - start - HEAD).expect("messages are bounded by the port");
    let check = checksum(uid, &out[start + HEAD..]);
    out[start..start + 4].copy_from_slice(&body.to_le_bytes());
    out[start + 4..start + HEAD].copy_from_slice(&check.to_le_bytes());
}

fn checksum(uid: u64, body: &[u8]) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(&uid.to_le_bytes());
    check.update(body);
    check.finalize()
}

/// The first message of `bytes`, unchecked. `None`: it is not all there.
pub(super) fn brief(bytes: &[u8]) -> Option<Brief> {
    let (body, rest) = bytes.split_first_chunk::<4>()?;
    let body = usize::try_from(u32::from_le_bytes(*body)).ok()?;
    let rest = rest.get(4..)?.get(..body)?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let time = rest.first_chunk::<8>()?;
    Some(Brief {
        len: HEAD + body,
        offset: u64::from_le_bytes(*offset),
        time: u64::from_le_bytes(*time),
    })
}

/// How long the first message of `bytes` says it is; `None`: not even that is there.
pub(super) fn announced(bytes: &[u8]) -> Option<usize> {
    let body = u32::from_le_bytes(*bytes.first_chunk::<4>()?);
    Some(HEAD + usize::try_from(body).ok()?)
}

/// Whether the message that `bytes` are is as it was written.
pub(super) fn is_sound(uid: u64, bytes: &[u8]) -> bool {
    let Some((check, body)) =
        bytes.split_at_checked(4).and_then(|(_, rest)| rest.split_first_chunk::<4>())
    else {
        return false;
    };
    body.len() >= FIXED && u32::from_le_bytes(*check) == checksum(uid, body)
}

/// The id that its publisher gave to the message that `bytes` are.
pub(super) fn id(bytes: &[u8]) -> Option<&[u8]> {
    let body = bytes.get(HEAD..)?;
    let has_id = body.get(FIXED - 1)? & HAS_ID != 0;
    if has_id { Bits(&body[FIXED..]).bytes() } else { None }
}

/// The message that `bytes` are. `None`: it is not as it was written.
pub(super) fn decode(uid: u64, bytes: &[u8]) -> Option<Message> {
    if !is_sound(uid, bytes) {
        return None;
    }
    let Brief { offset, time, .. } = brief(bytes)?;
    let flags = bytes[HEAD + FIXED - 1];
    let mut bits = Bits(&bytes[HEAD + FIXED..]);
    let id =
        if flags & HAS_ID == 0 { format!("{uid:016x}-{offset:x}") } else { text(bits.bytes()?)? };
    let key = if flags & HAS_KEY == 0 { None } else { Some(bits.bytes()?) };
    let mut headers = Vec::new();
    if flags & HAS_HEADERS != 0 {
        for _ in 0..bits.number()? {
            let name = text(bits.bytes()?)?;
            headers.push((name, text(bits.bytes()?)?));
        }
    }
    // In memory of its own: whoever keeps one message must not keep the piece of a file that it stood in.
    let (key, payload) = match key {
        None => (None, Bytes::copy_from_slice(bits.0)),
        Some(key) => {
            let mut both = Vec::with_capacity(key.len() + bits.0.len());
            both.extend_from_slice(key);
            both.extend_from_slice(bits.0);
            let mut key_part = Bytes::from(both);
            let payload = key_part.split_off(key.len());
            (Some(key_part), payload)
        }
    };
    Some(Message { offset: Offset(offset), time: Timestamp(time), id, key, headers, payload })
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// The messages of `bytes`, one after the other, until what follows is not a whole one.
#[derive(Clone, Debug)]
pub(super) struct Each<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Each<'a> {
    type Item = (Brief, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let brief = brief(self.0)?;
        let (message, rest) = self.0.split_at_checked(brief.len)?;
        self.0 = rest;
        Some((brief, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_it_was_written_and_no_other_bytes_are_one() {
        let messages = [
            NewMessage::new("payload"),
            NewMessage {
                id: Some("id-1".to_owned()),
                key: Some("key".into()),
                headers: vec![("a".to_owned(), "ä".to_owned()), ("b".to_owned(), String::new())],
                payload: Bytes::new(),
            },
        ];
        let mut bytes = Vec::new();
        for (offset, message) in (7..).zip(&messages) {
            encode(&mut bytes, 5, offset, 1_000 + offset, message);
        }
        let read: Vec<_> = Each(&bytes).collect();
        assert_eq!(read.len(), 2);
        for ((brief, bytes), (offset, message)) in read.into_iter().zip((7..).zip(&messages)) {
            assert_eq!(
                (brief.len, brief.offset, brief.time),
                (bytes.len(), offset, 1_000 + offset)
            );
            let found = decode(5, bytes).unwrap();
            assert_eq!((found.offset, found.time.0), (Offset(offset), 1_000 + offset));
            assert_eq!((&found.key, &found.headers), (&message.key, &message.headers));
            assert_eq!(found.payload, message.payload);
            assert_eq!(found.id, message.id.clone().unwrap_or_else(|| format!("{:016x}-7", 5)));
            assert_eq!(id(bytes), message.id.as_ref().map(String::as_bytes));
            assert_eq!(decode(6, bytes), None, "of another topic");
            for at in 0..bytes.len() {
                let mut damaged = bytes.to_vec();
                damaged[at] ^= 4;
                let whole = super::brief(&damaged).is_some_and(|it| it.len == damaged.len());
                assert!(!whole || decode(5, &damaged).is_none(), "byte {at}");
            }
        }
        for len in 0..bytes.len() {
            assert!(Each(&bytes[..len]).count() < 2);
        }
    }
}
