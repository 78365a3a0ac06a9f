//! One spelling for each path.
//!
//! A service may read `/a/../admin`, `/%61dmin` or `//admin` as `/admin`; if the gateway reads them as
//! something else, a route that guards `/admin` is walked around. So, for matching: dot segments,
//! encoded slashes and backslashes, NUL and broken percent-encoding are refused, the rest is decoded
//! and repeated slashes count as one. What is forwarded is the path as it was sent.

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
    /// An encoded `/` or `\`, a plain `\`, or a NUL.
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
            Self::Ambiguous => "the path has an encoded slash, a backslash or a NUL",
            Self::BrokenEncoding => "the path has a `%` without two hexadecimal digits",
        }
    }
}

/// Checks `path` (without query) and gives its one spelling.
///
/// # Errors
/// When the path could be read in more than one way; see the module.
pub fn clean(path: &str) -> Result<CleanPath<'_>, Refused> {
    if !path.starts_with('/') {
        return Err(Refused::NotAbsolute);
    }
    let is_plain =
        !path.contains("//") && !path.bytes().any(|byte| matches!(byte, b'%' | b'\\' | 0));
    let clean = if is_plain { Cow::Borrowed(path) } else { Cow::Owned(respell(path)?) };
    for segment in clean.split('/') {
        // Some servers cut path parameters off before they resolve dots: `/..;x/admin`.
        let name = segment.split_once(';').map_or(segment, |(name, _)| name);
        if matches!(name, "." | "..") {
            return Err(Refused::DotSegment);
        }
    }
    Ok(CleanPath(clean))
}

fn respell(path: &str) -> Result<String, Refused> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let (byte, is_encoded) = match byte {
            b'%' => {
                let high = bytes.next().and_then(hex).ok_or(Refused::BrokenEncoding)?;
                let low = bytes.next().and_then(hex).ok_or(Refused::BrokenEncoding)?;
                (high * 16 + low, true)
            }
            plain => (plain, false),
        };
        match byte {
            b'\\' | 0 => return Err(Refused::Ambiguous),
            b'/' if is_encoded => return Err(Refused::Ambiguous),
            b'/' if decoded.last() == Some(&b'/') => {}
            other => decoded.push(other),
        }
    }
    // Bytes that are no UTF-8 match no rule; what stands for them only has to differ from all rules.
    Ok(String::from_utf8_lossy(&decoded).into_owned())
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
#[must_use]
pub fn strip<'a>(path: &'a str, prefix: &str) -> &'a str {
    let mut rest = path;
    for _ in prefix.split('/').filter(|segment| !segment.is_empty()) {
        let segment = rest.trim_start_matches('/');
        rest = segment.find('/').and_then(|end| segment.get(end..)).unwrap_or("");
    }
    if rest.is_empty() { "/" } else { rest }
}
