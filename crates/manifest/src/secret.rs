//! `${secret:NAME}`: a reference to a value that this crate never sees.
//!
//! The reference stays in the text of the model until the value is used; only few places may hold one, because
//! everything else is shown: in command lines, in listings, in exports.

use std::ops::Range;

/// How a reference begins.
pub(crate) const START: &str = "${secret:";

/// Where references may stand, for messages.
pub(crate) const PLACES: &str =
    "it may stand in `env`, `db`, `engines`, and `api` and `outbox` of a service";

/// Longest name in bytes.
const NAME_LEN_MAX: usize = 253;

/// Checks a secret's name.
pub(crate) fn name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a secret must have a name".to_owned());
    }
    if text.len() > NAME_LEN_MAX {
        return Err(format!("a secret's name has at most {NAME_LEN_MAX} bytes"));
    }
    // A default would be the secret, in the file, for everybody who reads it.
    if [":-", ":?", ":+"].iter().any(|operator| text.contains(operator)) {
        return Err(
            "a secret has no default: it would stand in the file for everybody to read".to_owned()
        );
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    match text.chars().find(|c| !fits(*c)) {
        Some(bad) => Err(format!(
            "`{}` is not allowed in a secret's name: it has letters, digits, `_`, `-`, `.`, `/` and `:`",
            bad.escape_default()
        )),
        None => Ok(()),
    }
}

/// The references in a text whose names are in order, as names and where each one stands.
pub(crate) fn references(text: &str) -> Vec<(&str, Range<usize>)> {
    let mut all = Vec::new();
    for (at, _) in text.match_indices(START) {
        let Some(rest) = text.get(at + START.len()..) else { continue };
        let Some((inside, _)) = rest.split_once('}') else { continue };
        if name(inside).is_ok() {
            all.push((inside, at..at + START.len() + inside.len() + 1));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_with_their_names() {
        let names = |text| references(text).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            names("a ${secret:A} b ${secret:db/pass-1.x}${secret:r:p}"),
            ["A", "db/pass-1.x", "r:p"]
        );
        assert!(names("${secret:} ${secret:A ${secret:A:-b} $secret:A {secret:A}").is_empty());
        assert_eq!(references("x${secret:A}y"), [("A", 1..12)]);
    }

    #[test]
    fn a_name_has_no_default_and_no_blanks() {
        for good in ["A", "db-password", "a.b/c:d", "9"] {
            assert_eq!(name(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "A:-x", "A:?x", "A:+x", "ä", "a\n", &"x".repeat(254)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }
}
