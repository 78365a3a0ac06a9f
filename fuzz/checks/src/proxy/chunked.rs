//! The chunked coding.

use proxy::fuzzing::{Decoded, chunked};

use super::{bytes, cut};

/// - How the bytes come in makes no difference.
/// - A decoder that is simpler and slower finds the same data and the same end.
/// - The data in chunks of another size is the same data.
pub(crate) fn check(data: &[u8]) {
    let whole = chunked(&[data]);
    assert_eq!(chunked(&cut(data)), whole, "cut in three");
    assert_eq!(chunked(&bytes(data)), whole, "byte by byte");
    match &whole {
        Ok(Some(decoded)) => {
            assert_eq!(simple(data), Some((decoded.data.clone(), decoded.used)));
            for (name, value) in &decoded.trailers {
                let is_broken = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
                assert!(!name.iter().chain(value).any(is_broken), "{name:?} {value:?}");
                let name = name.to_ascii_lowercase();
                let frames: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"host"];
                assert!(!frames.contains(&name.as_slice()), "a trailer that frames");
            }
        }
        // What follows an end is not looked at, so an error or an end that is missing stays that.
        Ok(None) => assert_eq!(simple(data), None),
        Err(status) => assert!(matches!(status, 400 | 431)),
    }
    let mut encoded = Vec::new();
    for part in data.chunks(7) {
        encoded.extend(format!("{:X};a=\"b\"\r\n", part.len()).bytes());
        encoded.extend(part);
        encoded.extend(b"\r\n");
    }
    encoded.extend(b"0\r\n\r\n");
    let decoded = Decoded { data: data.to_vec(), trailers: Vec::new(), used: encoded.len() };
    assert_eq!(chunked(&cut(&encoded)), Ok(Some(decoded)));
}

/// Data and length of a body, by RFC 9112 §7.1 and nothing more lenient; `None` when it is broken or not
/// complete.
fn simple(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut data = Vec::new();
    let mut at = 0;
    loop {
        let line = line(input, &mut at)?;
        let end = line.iter().position(|byte| *byte == b';').unwrap_or(line.len());
        let digits = str::from_utf8(line.get(..end)?).ok()?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let size = usize::from_str_radix(digits, 16).ok()?;
        if size == 0 {
            break;
        }
        data.extend_from_slice(input.get(at..at.checked_add(size)?)?);
        at += size;
        (input.get(at..at + 2)? == b"\r\n").then_some(())?;
        at += 2;
    }
    while !line(input, &mut at)?.is_empty() {}
    Some((data, at))
}

/// The next line without its end.
fn line<'a>(input: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = input.get(*at..)?;
    let length = rest.windows(2).position(|pair| pair == b"\r\n")?;
    *at += length + 2;
    rest.get(..length)
}
