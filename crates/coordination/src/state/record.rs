//! A value of the state store as it is kept in the engine.
//!
//! ```text
//!  1 │ flags │ n │ content type (n bytes) │ expires (8 bytes, if flag 1) │ value
//! ```

use super::{CONTENT_TYPE_LEN_MAX, Etag, Item, VALUE_LEN_MAX};
use crate::error::Error;
use base::Timestamp;
use bytes::{BufMut as _, Bytes, BytesMut};
use ports::kv::{self, Entry};

const FORMAT: u8 = 1;
const HAS_EXPIRY: u8 = 1;

/// What stands before a value at most.
const HEADER_LEN_MAX: usize = 3 + CONTENT_TYPE_LEN_MAX + 8;
const _: () = assert!(VALUE_LEN_MAX + HEADER_LEN_MAX <= kv::VALUE_MAX, "every record fits");

/// The record of a value; its content type is at most [`CONTENT_TYPE_LEN_MAX`] bytes long.
pub(super) fn encode(
    value: &[u8],
    content_type: Option<&str>,
    expires: Option<Timestamp>,
) -> Bytes {
    let content_type = content_type.unwrap_or_default();
    let mut record = BytesMut::with_capacity(HEADER_LEN_MAX + value.len());
    record.put_u8(FORMAT);
    record.put_u8(if expires.is_some() { HAS_EXPIRY } else { 0 });
    record.put_u8(u8::try_from(content_type.len()).expect("its length was checked"));
    record.put_slice(content_type.as_bytes());
    if let Some(expires) = expires {
        record.put_u64(expires.0);
    }
    record.put_slice(value);
    record.freeze()
}

/// The item of an entry whose key ends with `key`.
pub(super) fn decode(key: String, entry: &Entry) -> Result<Item, Error> {
    match parts(&entry.value) {
        Ok((content_type, expires, value)) => {
            Ok(Item { key, value, etag: Etag(entry.modified.0), content_type, expires })
        }
        Err(reason) => Err(Error::Damaged { what: format!("the key `{key}`"), reason }),
    }
}

type Parts = (Option<String>, Option<Timestamp>, Bytes);

fn parts(record: &Bytes) -> Result<Parts, String> {
    let short = || "it is cut off".to_owned();
    let [format, flags, length, rest @ ..] = &record[..] else { return Err(short()) };
    if *format != FORMAT || flags & !HAS_EXPIRY != 0 {
        return Err(format!("its format {format}.{flags} is not known: a newer version wrote it"));
    }
    let (content_type, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(short)?;
    let content_type =
        std::str::from_utf8(content_type).map_err(|error| format!("its content type: {error}"))?;
    let content_type = Some(content_type).filter(|text| !text.is_empty()).map(str::to_owned);
    let (expires, value) = if flags & HAS_EXPIRY == 0 {
        (None, rest)
    } else {
        let (expires, value) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        (Some(Timestamp(u64::from_be_bytes(*expires))), value)
    };
    Ok((content_type, expires, record.slice_ref(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::kv::Revision;

    fn entry(value: Bytes) -> Entry {
        let (created, modified) = (Revision(3), Revision(7));
        Entry { key: Bytes::from("k"), value, created, modified, version: 2, lease: None }
    }

    #[test]
    fn a_record_reads_back_what_was_written() {
        for content_type in [None, Some("application/json")] {
            for expires in [None, Some(Timestamp(u64::MAX))] {
                for value in [&b""[..], b"\x01\x00", &[7; 300]] {
                    let record = encode(value, content_type, expires);
                    let item = decode("k".to_owned(), &entry(record)).unwrap();
                    assert_eq!(item.value, value);
                    assert_eq!(item.content_type.as_deref(), content_type);
                    assert_eq!((item.expires, item.etag), (expires, Etag(7)));
                }
            }
        }
    }

    #[test]
    fn what_is_no_record_is_said_to_be_damaged() {
        for bad in
            [&b""[..], b"\x01", b"\x02\0\0", b"\x01\x02\0", b"\x01\0\x09abc", b"\x01\x01\0\0"]
        {
            let error = decode("k".to_owned(), &entry(Bytes::from(bad))).unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{bad:?}: {error}");
        }
    }
}
