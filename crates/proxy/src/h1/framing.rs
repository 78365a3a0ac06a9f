//! How long a body is (RFC 9112 §6).

use super::{Bad, Fields, Known};

/// What delimits a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// All until the connection ends; responses only.
    UntilClose,
}

impl Framing {
    /// Of a request of HTTP/1.`minor`.
    pub(crate) fn of_request(fields: &Fields, minor: u8) -> Result<Self, Bad> {
        let Declared { length, is_chunked } = declared(fields, minor)?;
        Ok(match (length, is_chunked) {
            (_, true) => Self::Chunked,
            (None | Some(0), false) => Self::None,
            (Some(length), false) => Self::Length(length),
        })
    }

    /// Of a response with `status` to a `HEAD` request or another one.
    pub(crate) fn of_response(
        fields: &Fields,
        minor: u8,
        status: u16,
        is_head: bool,
    ) -> Result<Self, Bad> {
        let Declared { length, is_chunked } = declared(fields, minor)?;
        if is_head || status < 200 || matches!(status, 204 | 304) {
            return Ok(Self::None);
        }
        Ok(match (length, is_chunked) {
            (_, true) => Self::Chunked,
            (Some(0), false) => Self::None,
            (Some(length), false) => Self::Length(length),
            (None, false) => Self::UntilClose,
        })
    }
}

struct Declared {
    length: Option<u64>,
    is_chunked: bool,
}

/// What the fields say, when they say it once.
fn declared(fields: &Fields, minor: u8) -> Result<Declared, Bad> {
    let (mut length, mut is_chunked) = (None, false);
    for value in fields.all(Known::ContentLength) {
        if length.is_some() {
            return Err(Bad::request("there is more than one Content-Length"));
        }
        length = Some(content_length(value)?);
    }
    for value in fields.all(Known::TransferEncoding) {
        if is_chunked {
            return Err(Bad::request("there is more than one Transfer-Encoding"));
        }
        transfer_encoding(value)?;
        is_chunked = true;
    }
    if is_chunked && length.is_some() {
        return Err(Bad::request("there are both Content-Length and Transfer-Encoding"));
    }
    if is_chunked && minor == 0 {
        return Err(Bad::request("HTTP/1.0 has no Transfer-Encoding"));
    }
    Ok(Declared { length, is_chunked })
}

/// Digits only: no sign, no list, no white space within. 19 digits fit into 64 bits.
fn content_length(value: &[u8]) -> Result<u64, Bad> {
    let is_number = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let add = |number: u64, digit: &u8| {
        number.wrapping_mul(10).wrapping_add(u64::from(digit.wrapping_sub(b'0')))
    };
    let length = value.iter().fold(0, add);
    let is_good = is_number && length <= i64::MAX.unsigned_abs();
    if is_good { Ok(length) } else { Err(Bad::request("Content-Length is not a number")) }
}

/// `chunked` and nothing else. A coding that is known and not done here is 501 (RFC 9112 §6.1).
fn transfer_encoding(value: &[u8]) -> Result<(), Bad> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let is_coding = |item: &[u8]| {
        [&b"gzip"[..], b"deflate", b"compress", b"x-gzip", b"x-compress"]
            .iter()
            .any(|coding| item.eq_ignore_ascii_case(coding))
    };
    let items: Vec<&[u8]> = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
    match items.as_slice() {
        [codings @ .., last]
            if last.eq_ignore_ascii_case(b"chunked")
                && !codings.is_empty()
                && codings.iter().all(|item| is_coding(item)) =>
        {
            Err(Bad { status: 501, why: "of transfer codings only chunked is served" })
        }
        _ => Err(Bad::request("Transfer-Encoding is not chunked")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.add(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn request(lines: &[(&str, &str)]) -> Result<Framing, u16> {
        Framing::of_request(&fields(lines), 1).map_err(|bad| bad.status)
    }

    #[test]
    fn a_request_has_one_length_or_chunks_or_nothing() {
        assert_eq!(request(&[]), Ok(Framing::None));
        assert_eq!(request(&[("content-length", "0")]), Ok(Framing::None));
        assert_eq!(request(&[("content-length", "12")]), Ok(Framing::Length(12)));
        assert_eq!(request(&[("Transfer-Encoding", "Chunked")]), Ok(Framing::Chunked));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for length in ["", "+5", "-1", "0x5", "5, 5", "5,5", "5 5", "18446744073709551616", "９"] {
            assert_eq!(request(&[("content-length", length)]), Err(400), "{length}");
        }
        assert_eq!(request(&[("content-length", "9223372036854775808")]), Err(400));
        for coding in ["", "identity", "xchunked", "chunked, chunked", "chunked,", "\u{b}chunked"] {
            assert_eq!(request(&[("transfer-encoding", coding)]), Err(400), "{coding}");
        }
        let twice = ("content-length", "5");
        assert_eq!(request(&[twice, twice]), Err(400));
        let chunked = ("transfer-encoding", "chunked");
        assert_eq!(request(&[chunked, chunked]), Err(400));
        assert_eq!(request(&[chunked, twice]), Err(400));
        assert_eq!(request(&[("transfer-encoding", "gzip, chunked")]), Err(501));
        assert!(Framing::of_request(&fields(&[chunked]), 0).is_err());
    }

    #[test]
    fn some_responses_have_no_body_whatever_they_say() {
        let long = fields(&[("content-length", "5")]);
        let response = |status, is_head| Framing::of_response(&long, 1, status, is_head);
        assert_eq!(response(200, false), Ok(Framing::Length(5)));
        for (status, is_head) in [(200, true), (204, false), (304, false), (103, false)] {
            assert_eq!(response(status, is_head), Ok(Framing::None), "{status}");
        }
        let open = Framing::of_response(&fields(&[]), 1, 200, false);
        assert_eq!(open, Ok(Framing::UntilClose));
    }
}
