//! Heads of responses.

use proxy::fuzzing::{Body, response_head};

use super::{bytes, cut, strict};

/// As for requests; and what has no body has none, whatever it says.
pub(crate) fn check(data: &[u8]) {
    for is_head in [false, true] {
        let whole = response_head(&[data], is_head);
        assert_eq!(response_head(&cut(data), is_head), whole, "cut in three");
        assert_eq!(response_head(&bytes(data), is_head), whole, "byte by byte");
        let Ok(Some((response, length))) = whole else { continue };
        let head = data.get(..length).expect("a head is a part of what came");
        let lines = strict::lines(head);
        let (first, rest) = lines.split_first().expect("there is a status line");
        let start = format!("HTTP/1.{} {}", response.minor, response.status);
        assert!(first.starts_with(start.as_bytes()), "{first:?} does not start with {start:?}");
        assert!((100..=599).contains(&response.status));
        strict::fields(rest, &response.fields);
        let is_empty = is_head || response.status < 200 || matches!(response.status, 204 | 304);
        assert!(!is_empty || response.body == Body::None);
        strict::framing(&response.fields, response.minor, response.body, is_empty);
        assert!(!response.reason.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
}
