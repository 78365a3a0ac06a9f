//! Query strings: written by the client, read by the server (RFC 3986 §2.1, §3.4).

use crate::wire::{Level, LogQuery, RequestQuery, Stream};

/// Escapes everything but unreserved characters.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Undoes [`escape`]; `+` is a space in a query (`is_query`), and a plus sign elsewhere. `None` when an escape
/// is broken or the result is not UTF-8.
pub(crate) fn unescape(text: &str, is_query: bool) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                out.push(u8::try_from(high * 16 + low).ok()?);
            }
            b'+' if is_query => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

/// The pairs of a query string in order; `None` when an escape is broken.
pub(crate) fn pairs(query: &str) -> Option<Vec<(String, String)>> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((unescape(name, true)?, unescape(value, true)?))
        })
        .collect()
}

/// The query string of a question to the logs, with its `?`, or nothing.
pub(crate) fn of_logs(question: &LogQuery, follow: bool) -> String {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    let mut all = |name: &'static str, values: &[String]| {
        pairs.extend(values.iter().map(|value| (name, value.clone())));
    };
    all("service", &question.services);
    all("instance", &question.instances);
    pairs.extend(question.streams.iter().map(|stream| ("stream", stream.name().to_owned())));
    let texts = [("since", &question.since), ("until", &question.until), ("grep", &question.grep)];
    pairs.extend(texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    if question.ignore_case {
        pairs.push(("ignore_case", "true".to_owned()));
    }
    if let Some(level) = question.level {
        pairs.push(("level", level.name().to_owned()));
    }
    let numbers = [("tail", question.tail), ("after", question.after), ("limit", question.limit)];
    pairs.extend(numbers.into_iter().filter_map(|(name, value)| Some((name, value?.to_string()))));
    if follow {
        pairs.push(("follow", "true".to_owned()));
    }
    joined(&pairs)
}

/// The query string of a question to the finished requests, with its `?`, or nothing.
pub(crate) fn of_requests(question: &RequestQuery) -> String {
    let mut pairs: Vec<(&str, String)> = Vec::new();
    pairs.extend(question.services.iter().map(|service| ("service", service.clone())));
    pairs.extend(question.statuses.iter().map(|status| ("status", status.clone())));
    let texts = [("path", &question.path), ("slower", &question.slower)];
    pairs.extend(texts.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
    pairs.extend(question.tail.map(|tail| ("tail", tail.to_string())));
    joined(&pairs)
}

fn joined(pairs: &[(&str, String)]) -> String {
    let joined: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
    if joined.is_empty() { String::new() } else { format!("?{}", joined.join("&")) }
}

impl Stream {
    /// As it is written in JSON and in a query.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
            Self::Node => "node",
        }
    }

    /// Reads [`Stream::name`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Out, Self::Err, Self::Node].into_iter().find(|stream| stream.name() == text)
    }
}

impl Level {
    /// As it is written in JSON and in a query.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Reads [`Level::name`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Debug, Self::Info, Self::Warn, Self::Error]
            .into_iter()
            .find(|level| level.name() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn what_is_escaped_reads_back(text in ".{0,40}") {
            proptest::prop_assert_eq!(unescape(&escape(&text), true), Some(text.clone()));
            proptest::prop_assert_eq!(unescape(&escape(&text), false), Some(text));
        }
    }

    #[test]
    fn a_broken_escape_is_refused() {
        for bad in ["%", "%4", "%zz", "%ff", "a=%g0"] {
            assert_eq!(pairs(bad), None, "{bad}");
        }
        assert_eq!(
            pairs("a=1&&b=x+y&c"),
            Some(vec![
                ("a".into(), "1".into()),
                ("b".into(), "x y".into()),
                ("c".into(), String::new()),
            ])
        );
    }
}
