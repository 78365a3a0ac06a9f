//! The one spelling of a path.

use logic::route::path::{clean, strip};

/// - Cleaning a clean path changes nothing, and nothing is left in it that a reader may take for a way
///   up, another segment or an end.
/// - The same path with all its bytes encoded, its slashes doubled and parameters added is the same.
/// - What is left after stripping some of its segments is what is left of the clean path.
pub(crate) fn check(data: &[u8]) {
    let Ok(path) = str::from_utf8(data) else { return };
    let Ok(cleaned) = clean(path) else { return };
    let text = cleaned.as_str();
    assert_eq!(clean(text).as_ref(), Ok(&cleaned), "cleaning is not idempotent");
    assert!(text.starts_with('/') && !text.contains("//"), "slashes: {text:?}");
    assert!(!text.contains(['\\', '\0', ';', '#', '?']), "a reader may see an end: {text:?}");
    let is_dots = |segment: &str| segment == "." || segment == "..";
    assert!(!text.split('/').any(is_dots), "a way up: {text:?}");
    let respelled = respell(text);
    assert_eq!(clean(&respelled).as_ref(), Ok(&cleaned), "respelled as {respelled:?}");
    strips(path, text);
    strips(&respelled, text);
}

fn respell(clean: &str) -> String {
    let mut other = String::new();
    let mut bytes = clean.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' => other.push_str("//"),
            b'%' => {
                other.push('%');
                // The encodings that stay encoded.
                other.extend(
                    bytes.by_ref().take(2).map(|digit| char::from(digit.to_ascii_lowercase())),
                );
            }
            plain => other.push_str(&format!("%{plain:02x}")),
        }
    }
    other.push_str(";p=1%41");
    other
}

fn strips(sent: &str, cleaned: &str) {
    let segments: Vec<&str> = cleaned.split('/').filter(|segment| !segment.is_empty()).collect();
    for count in 0..=segments.len().min(3) {
        let (prefix, rest) = segments.split_at(count);
        let left = strip(sent, &format!("/{}", prefix.join("/")));
        let left = clean(left).expect("a part of a path that is not refused is not refused");
        assert_eq!(left.as_str().trim_matches('/'), rest.join("/"), "{count} off {sent:?}");
    }
}
