//! Rules for every text file.

use super::{Finding, Source};

/// Written in two parts, so that this file does not find itself.
const OPEN_POINTS: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Not ours to mend.
const GENERATED: &[&str] = &["Cargo.lock", "package-lock.json"];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if GENERATED.iter().any(|name| source.path.ends_with(name)) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (line, text) in (1..).zip(source.text.lines()) {
        let messages = open_points(text).into_iter().chain(machine_paths(text));
        findings.extend(messages.map(|message| Finding::new(&source.path, line, message)));
    }
    findings
}

/// An open point without an issue is forgotten.
fn open_points(line: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for word in OPEN_POINTS {
        for (at, _) in line.match_indices(word) {
            let (before, after) = (&line.as_bytes()[..at], &line.as_bytes()[at + word.len()..]);
            let is_word = !before.last().is_some_and(is_word_byte)
                && !after.first().is_some_and(is_word_byte);
            if is_word && !starts_with_issue(after) {
                messages.push(format!("{word} needs an issue: `{word}(#12)`"));
            }
        }
    }
    messages
}

fn starts_with_issue(after: &[u8]) -> bool {
    let Some(rest) = after.strip_prefix(b"(#") else { return false };
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && rest.get(digits) == Some(&b')')
}

/// A path of one machine is wrong on all others.
fn machine_paths(line: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for path in MACHINE_PATHS {
        for (at, _) in line.match_indices(path) {
            // `a/b` in the middle of a longer path, or behind `~` or `$X`, is another place.
            let before = line.as_bytes()[..at].last();
            let is_start =
                !before.is_some_and(|byte| is_word_byte(byte) || b".-~})".contains(byte));
            if is_start {
                messages.push(format!("`{path}` is a path of one machine"));
            }
        }
    }
    messages
}

fn is_word_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::lines;

    /// `@` stands for what this file must not contain itself.
    fn check_line(line: &str, replacement: &str, expected: &str) {
        let text = format!("fine\n{}\n", line.replace('@', replacement));
        let found = lines(check(&Source { path: "a.md".to_owned(), text }));
        assert_eq!(found, expected.replace('@', replacement), "{line}");
    }

    #[test]
    fn an_open_point_needs_an_issue() {
        let word = OPEN_POINTS[0];
        check_line("// @: later", word, "2: @ needs an issue: `@(#12)`");
        check_line("// @(ann): later", word, "2: @ needs an issue: `@(#12)`");
        check_line("// @(#): later", word, "2: @ needs an issue: `@(#12)`");
        check_line("# @", OPEN_POINTS[1], "2: @ needs an issue: `@(#12)`");
        check_line("// @(#12): later", word, "");
        check_line("let x = X@S;", word, "");
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for path in MACHINE_PATHS {
            check_line("see @x", path, "2: `@` is a path of one machine");
            check_line("\"@x\"", path, "2: `@` is a path of one machine");
            check_line("home@x ~@x ./a@x $HOME@x ${X}@x", path, "");
        }
    }

    #[test]
    fn what_a_program_wrote_is_not_looked_at() {
        let text = format!("{}\n", OPEN_POINTS[0]);
        assert_eq!(check(&Source { path: "web/package-lock.json".to_owned(), text }), []);
    }
}
