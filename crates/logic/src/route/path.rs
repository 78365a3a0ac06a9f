//! One spelling for each path.
//!
//! A service may read `/a/../admin`, `/%61dmin`, `//admin` or `/admin;x` as `/admin`; if the gateway reads
//! them as something else, a route that guards `/admin` is walked around. So a path is matched as the
//! most obliging reader would have it, and refused where readers differ in what they would reach:
//!
//! - `.` and `..` segments are refused, however written; so are `/` and `\` when encoded, a plain `\`,
//!   NUL, `#` and `?` as they are, overlong UTF-8, and a `%` without two hexadecimal digits;
//! - everything else that is percent-encoded is decoded, once, but for `%23`, `%25` and `%3F`, which stay:
//!   decoded they would mean something else to the next reader;
//! - parameters do not count (`;` and what follows it in a segment): servlet containers cut them off;
//! - repeated slashes count as one.
//!
//! What is forwarded is the path as it was sent. Cleaning a clean path changes nothing.

use std::borrow::Cow;

/// A path in its one spelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleanPath<'a>(Cow<'a, str>);

impl CleanPath<'_> {
    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It does not begin with `/`.
    NotAbsolute,
    /// A segment is `.` or `..`, however written.
    DotSegment,
    /// An encoded `/` or `\`, a plain `\`, `#` or `?`, a NUL, or overlong UTF-8.
    Ambiguous,
    /// A `%` without two hexadecimal digits.
    BrokenEncoding,
}

impl Refused {
    /// Says it in words.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::DotSegment => "the path has a `.` or `..` segment",
            Self::Ambiguous => {
                "the path has an encoded slash, a backslash, a `#`, a NUL or overlong UTF-8"
            }
            Self::BrokenEncoding => "the path has a `%` without two hexadecimal digits",
        }
    }
}

/// Checks `path` (without query) and gives its one spelling. Nothing is allocated for a path that
/// already has it.
///
/// # Errors
/// When the path could be read in more than one way; see the module.
pub fn clean(path: &str) -> Result<CleanPath<'_>, Refused> {
    if !path.starts_with('/') {
        return Err(Refused::NotAbsolute);
    }
    let is_plain = !path.contains("//")
        && !path.bytes().any(|byte| matches!(byte, b'%' | b'\\' | b';' | b'#' | b'?' | 0));
    let clean = if is_plain { Cow::Borrowed(path) } else { Cow::Owned(respell(path)?) };
    if clean.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Refused::DotSegment);
    }
    Ok(CleanPath(clean))
}

fn respell(path: &str) -> Result<String, Refused> {
    let mut clean = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    let (mut in_parameter, mut before) = (false, 0);
    while let Some(byte) = bytes.next() {
        let (byte, is_encoded) = match byte {
            b'%' => {
                let high = bytes.next().and_then(hex).ok_or(Refused::BrokenEncoding)?;
                let low = bytes.next().and_then(hex).ok_or(Refused::BrokenEncoding)?;
                (high * 16 + low, true)
            }
            plain => (plain, false),
        };
        let is_overlong = is_overlong(before, byte);
        before = byte;
        match (byte, is_encoded) {
            (b'\\' | 0, _) | (b'/', true) | (b'#' | b'?', false) => return Err(Refused::Ambiguous),
            _ if is_overlong => return Err(Refused::Ambiguous),
            (b'/', false) => {
                in_parameter = false;
                if clean.last() != Some(&b'/') {
                    clean.push(b'/');
                }
            }
            (b';', _) => in_parameter = true,
            _ if in_parameter => {}
            (b'#', true) => clean.extend_from_slice(b"%23"),
            (b'%', true) => clean.extend_from_slice(b"%25"),
            (b'?', true) => clean.extend_from_slice(b"%3F"),
            (other, _) => clean.push(other),
        }
    }
    // Bytes that are no UTF-8 match no rule; what stands for them only has to differ from all rules.
    Ok(String::from_utf8_lossy(&clean).into_owned())
}

/// Whether two bytes begin a longer UTF-8 form of what fits a shorter one (RFC 3629 §10): `%C0%AF` was
/// a slash and `%C0%AE` a dot to decoders that did not look.
const fn is_overlong(first: u8, second: u8) -> bool {
    match first {
        0xc0 | 0xc1 => matches!(second, 0x80..=0xbf),
        0xe0 => matches!(second, 0x80..=0x9f),
        0xf0 => matches!(second, 0x80..=0x8f),
        _ => false,
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Removes from `path`, as it was sent, as many segments as `prefix` has. What is left begins with `/`.
/// Empty segments and those of parameters only are no segments, as in [`clean`].
#[must_use]
pub fn strip<'a>(path: &'a str, prefix: &str) -> &'a str {
    let mut rest = path;
    for _ in prefix.split('/').filter(|segment| !is_blank(segment)) {
        loop {
            let segment = rest.trim_start_matches('/');
            let end = segment.find('/').unwrap_or(segment.len());
            let (segment, after) = segment.split_at(end);
            rest = after;
            if rest.is_empty() || !is_blank(segment) {
                break;
            }
        }
    }
    if rest.is_empty() { "/" } else { rest }
}

fn is_blank(segment: &str) -> bool {
    let encoded = segment.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%3b"));
    segment.is_empty() || segment.starts_with(';') || encoded
}
