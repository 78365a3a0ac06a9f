//! What any head must be like that a strict codec accepts, read line by line without a parser.

use proxy::fuzzing::{Body, List};

/// Lines of a head without their ends; panics when one could be taken for more or fewer lines.
pub(super) fn lines(head: &[u8]) -> Vec<&[u8]> {
    let inside = head.strip_suffix(b"\r\n\r\n").expect("a head ends with an empty line");
    // One empty line before the first may be let pass (RFC 9112 §2.2).
    let inside = inside.strip_prefix(b"\r\n").unwrap_or(inside);
    let mut lines = Vec::new();
    let mut rest = inside;
    while let Some(at) = rest.windows(2).position(|pair| pair == b"\r\n") {
        let (line, after) = rest.split_at(at);
        lines.push(line);
        rest = after.get(2..).unwrap_or_default();
    }
    lines.push(rest);
    for line in &lines {
        assert!(!line.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)), "{line:?}");
        assert!(!line.is_empty() && !line[0].is_ascii_whitespace(), "a folded or empty line");
    }
    lines
}

/// The fields are those of the lines, one each, in order, with names that end at the colon.
pub(super) fn fields(lines: &[&[u8]], fields: &List) {
    assert_eq!(lines.len(), fields.len(), "a line is a field");
    for (line, (name, value)) in lines.iter().zip(fields) {
        let colon = line.iter().position(|byte| *byte == b':').expect("a field has a colon");
        assert_eq!(line.get(..colon), Some(name.as_slice()));
        assert_eq!(line.get(colon + 1..).unwrap_or_default().trim_ascii(), value.trim_ascii());
        assert!(!name.is_empty() && name.iter().all(is_token_byte), "{name:?}");
    }
}

fn is_token_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// The body is as long as one field says, and no two fields speak of it. `may_be_none`: the message may have
/// none whatever its fields say.
pub(super) fn framing(fields: &List, minor: u8, body: Body, may_be_none: bool) {
    let all = |name: &str| -> Vec<&[u8]> {
        let is_it = |field: &&(Vec<u8>, Vec<u8>)| field.0.eq_ignore_ascii_case(name.as_bytes());
        fields.iter().filter(is_it).map(|field| field.1.as_slice()).collect()
    };
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    assert!(lengths.len() + codings.len() <= 1, "two fields say how long the body is");
    let length = lengths.first().map(|length| {
        assert!(length.iter().all(u8::is_ascii_digit), "{length:?}");
        str::from_utf8(length).ok().and_then(|text| text.parse::<u64>().ok()).expect("a number")
    });
    if let Some(coding) = codings.first() {
        assert!(coding.eq_ignore_ascii_case(b"chunked") && minor == 1, "{coding:?}");
    }
    let declared = match (length, codings.len()) {
        (Some(0), _) => Body::None,
        (Some(length), _) => Body::Length(length),
        (None, 1) => Body::Chunked,
        (None, _) => body,
    };
    assert!(body == declared || (may_be_none && body == Body::None), "{body:?}, not {declared:?}");
}
