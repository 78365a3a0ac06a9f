//! Paths: as the router sees them, and as an app gets them.

use std::borrow::Cow;

/// `path` with single slashes and without the one at its end, as endpoints are compared.
pub(crate) fn tidy(path: &str) -> Cow<'_, str> {
    let is_tidy = !path.contains("//") && (path.len() < 2 || !path.ends_with('/'));
    if is_tidy {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        out.push('/');
        out.push_str(segment);
    }
    if out.is_empty() {
        out.push('/');
    }
    Cow::Owned(out)
}

/// What follows `parts` in `path`, however many slashes stand between them.
pub(crate) fn after<'a>(path: &'a str, parts: &[&str]) -> Option<&'a str> {
    let mut rest = path;
    for part in parts {
        rest = rest.strip_prefix('/')?.trim_start_matches('/').strip_prefix(part)?;
    }
    Some(rest.strip_prefix('/')?.trim_start_matches('/'))
}

/// The path of a method as an app gets it: from the root, without empty and dot segments, with the slash at its end
/// if it had one. `None` when it leads out of the root, hides a dot segment from whoever decodes it, or cannot
/// be decoded.
pub(crate) fn clean(method: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    for segment in method.split('/').filter(|segment| !segment.is_empty()) {
        match Segment::of(segment)? {
            Segment::Here => {}
            Segment::Up => {
                kept.pop()?;
            }
            Segment::Name => kept.push(segment),
        }
    }
    let mut path = String::with_capacity(method.len() + 1);
    for segment in &kept {
        path.push('/');
        path.push_str(segment);
    }
    if kept.is_empty() || method.ends_with('/') {
        path.push('/');
    }
    Some(path)
}

enum Segment {
    Name,
    Here,
    Up,
}

impl Segment {
    fn of(segment: &str) -> Option<Self> {
        let decoded = decode(segment)?;
        if decoded.iter().any(u8::is_ascii_control) {
            return None;
        }
        match &*decoded {
            b"." => return Some(Self::Here),
            b".." => return Some(Self::Up),
            _ => {}
        }
        // Some servers decode slashes, take `\` for one, or cut off what follows `;`.
        let mut parts = decoded.split(|byte| matches!(byte, b'/' | b'\\'));
        let hides = parts.any(|part| {
            let name = part.split(|byte| *byte == b';').next().unwrap_or_default();
            name == b".."
        });
        (!hides).then_some(Self::Name)
    }
}

/// Undoes `%` escapes once.
fn decode(segment: &str) -> Option<Cow<'_, [u8]>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment.as_bytes()));
    }
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(Cow::Owned(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_clean_path_stays_below_its_root(method in "(/|\\.|%2e|%2E|%2f|%5c|;|a|%25){0,24}") {
            if let Some(path) = clean(&method) {
                proptest::prop_assert!(path.starts_with('/'));
                let decoded = crate::query::unescape(&path, false).unwrap_or_default();
                for part in decoded.split(['/', '\\']) {
                    proptest::prop_assert_ne!(part.split(';').next().unwrap_or_default(), "..");
                }
                // Cleaning twice changes nothing.
                let again = clean(&path);
                proptest::prop_assert_eq!(again.as_deref(), Some(&*path));
            }
        }

        #[test]
        fn a_tidy_path_has_no_empty_segment(path in "[/a.]{0,20}") {
            let path = format!("/{path}");
            let tidy = tidy(&path);
            proptest::prop_assert!(!tidy.contains("//") && (tidy.len() < 2 || !tidy.ends_with('/')));
            let names = |path: &str| path.split('/').filter(|it| !it.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            proptest::prop_assert_eq!(names(&tidy), names(&path));
        }
    }
}
