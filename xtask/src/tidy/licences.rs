//! Under which licences others let us use their work.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, Source};

/// Licences that ask for no more than a notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Reads `cargo metadata` with all dependencies; `lock` is where they are found by line.
pub(super) fn check(metadata: &Value, lock: &Source) -> Result<Vec<Finding>> {
    let packages = metadata["packages"].as_array().context("no packages in cargo's metadata")?;
    let mut findings = Vec::new();
    // What has no source is our own.
    for package in packages.iter().filter(|package| !package["source"].is_null()) {
        let name = package["name"].as_str().context("a package without a name")?;
        let message = match package["license"].as_str() {
            Some(licence) if is_allowed(licence) == Some(true) => continue,
            Some(licence) if is_allowed(licence).is_none() => {
                format!("`{name}` has a licence that cannot be read: {licence}")
            }
            Some(licence) => format!("`{name}` has a licence that is not allowed: {licence}"),
            None => format!("`{name}` does not name its licence"),
        };
        let entry = format!("name = \"{name}\"");
        let line = lock.text.lines().position(|line| line == entry).map_or(1, |at| at + 1);
        findings.push(Finding::new(&lock.path, line, message));
    }
    Ok(findings)
}

/// Evaluates an SPDX expression; `None` if it is none. The old `MIT/Apache-2.0` means OR.
fn is_allowed(expression: &str) -> Option<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let allowed = any(&mut words)?;
    words.next().is_none().then_some(allowed)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// `a OR b`: one is enough.
fn any(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = all(words)?;
    while words.next_if_eq(&"OR").is_some() {
        allowed |= all(words)?;
    }
    Some(allowed)
}

/// `a AND b`, which binds tighter than OR.
fn all(words: &mut Words<'_>) -> Option<bool> {
    let mut allowed = one(words)?;
    while words.next_if_eq(&"AND").is_some() {
        allowed &= one(words)?;
    }
    Some(allowed)
}

fn one(words: &mut Words<'_>) -> Option<bool> {
    match words.next()? {
        "(" => {
            let allowed = any(words)?;
            words.next_if_eq(&")").map(|_| allowed)
        }
        "AND" | "OR" | "WITH" | ")" => None,
        licence if words.next_if_eq(&"WITH").is_some() => {
            let with_exception = format!("{licence} WITH {}", words.next()?);
            Some(ALLOWED.contains(&licence) || ALLOWED.contains(&with_exception.as_str()))
        }
        licence => Some(ALLOWED.contains(&licence)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tidy::lines;

    #[test]
    fn an_expression_is_evaluated() {
        let check =
            |expression, expected| assert_eq!(is_allowed(expression), expected, "{expression}");
        check("MIT", Some(true));
        check("MIT OR Apache-2.0", Some(true));
        check("MIT/Apache-2.0", Some(true));
        check("GPL-3.0-only OR MIT", Some(true));
        check("GPL-3.0-only AND MIT", Some(false));
        check("(MIT OR Apache-2.0) AND Unicode-3.0", Some(true));
        check("(MIT OR Apache-2.0) AND OpenSSL", Some(false));
        check("MIT OR Apache-2.0 AND OpenSSL", Some(true));
        check("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", Some(true));
        check("GPL-2.0-only WITH Classpath-exception-2.0", Some(false));
        check("MPL-2.0", Some(false));
        check("MIT OR", None);
        check("(MIT", None);
        check("MIT MIT", None);
        check("", None);
    }

    #[test]
    fn a_package_that_we_may_not_use_is_found_in_the_lock_file() {
        let package = |name: &str, source: Option<&str>, license: Option<&str>| json!({ "name": name, "source": source, "license": license });
        let metadata = json!({ "packages": [
            package("ours", None, None),
            package("fine", Some("registry"), Some("MIT")),
            package("greedy", Some("registry"), Some("AGPL-3.0-only")),
            package("silent", Some("registry"), None),
            package("odd", Some("registry"), Some("MIT or so")),
        ]});
        let text = "[[package]]\nname = \"fine\"\n\n[[package]]\nname = \"greedy\"\n".to_owned();
        let lock = Source { path: "Cargo.lock".to_owned(), text };
        assert_eq!(
            lines(check(&metadata, &lock).unwrap()),
            "5: `greedy` has a licence that is not allowed: AGPL-3.0-only\n\
             1: `silent` does not name its licence\n\
             1: `odd` has a licence that cannot be read: MIT or so"
        );
    }
}
