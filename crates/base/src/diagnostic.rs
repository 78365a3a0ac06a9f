//! One problem as the user sees it: code, place with a caret, cause, fix.

use crate::error::Code;
use std::{fmt, sync::Arc};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing is refused.
    Warning,
    /// What was asked for is refused or failed.
    Error,
}

/// Where in a file something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters the caret underlines, 1 or more.
    pub length: u32,
    /// The text of that line, without its end; printed above the caret.
    pub text: Arc<str>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One problem: what is wrong, where, why, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// Error or warning.
    pub severity: Severity,
    /// What is wrong: one line, lowercase, no full stop.
    pub message: String,
    /// Where, when a file is to blame.
    pub place: Option<Place>,
    /// What stands beside the caret.
    pub label: String,
    /// Facts, each one line: last output, what was tried.
    pub notes: Vec<String>,
    /// How to mend it: one line.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error without a place.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: None,
            label: String::new(),
            notes: Vec::new(),
            help: None,
        }
    }

    /// A warning without a place.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds where it is; `label` stands beside the caret and may be empty.
    #[must_use]
    pub fn at(mut self, place: Place, label: impl Into<String>) -> Self {
        self.place = Some(place);
        self.label = label.into();
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Renders it for a terminal; `colour` adds ANSI colours.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let paint = |code: &str, text: &str| {
            if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
        };
        let (word, tint) = match self.severity {
            Severity::Error => ("error", "1;31"),
            Severity::Warning => ("warning", "1;33"),
        };
        let head = paint(tint, &format!("{word}[{}]", self.code));
        let mut out = format!("{head}: {}\n", paint("1", &self.message));
        let mut margin = String::from("  ");
        if let Some(place) = &self.place {
            let number = place.line.to_string();
            margin = " ".repeat(number.len() + 1);
            let (text, width) = excerpt(place);
            let carets = usize::try_from(place.length.max(1)).unwrap_or(1);
            let carets = "^".repeat(carets.min(EXCERPT_LEN));
            out.push_str(&format!("{margin}{} {place}\n", paint("34", "┌─")));
            out.push_str(&format!("{} {} {}\n", paint("34", &number), paint("34", "│"), text));
            let mark = paint(tint, format!("{carets} {}", self.label).trim_end());
            out.push_str(&format!("{margin}{} {}{mark}\n", paint("34", "│"), " ".repeat(width)));
        }
        for note in &self.notes {
            out.push_str(&format!("{margin}= {note}\n"));
        }
        if let Some(help) = &self.help {
            out.push_str(&format!("{margin}{}: {help}\n", paint("32", "help")));
        }
        out
    }
}

/// Longest piece of a line that is shown, in characters. A longer one wraps on most terminals, and then the caret
/// points nowhere.
const EXCERPT_LEN: usize = 110;

/// The part of the line around the place, and how far from its start the caret stands.
fn excerpt(place: &Place) -> (String, usize) {
    let column = usize::try_from(place.column.saturating_sub(1)).unwrap_or(0);
    let length = place.text.chars().count();
    if length <= EXCERPT_LEN {
        return (place.text.to_string(), column);
    }
    let start = column.saturating_sub(EXCERPT_LEN / 2).min(length - EXCERPT_LEN);
    let piece: String = place.text.chars().skip(start).take(EXCERPT_LEN).collect();
    let (before, shift) = if start > 0 { ("…", 1) } else { ("", 0) };
    let after = if start + EXCERPT_LEN < length { "…" } else { "" };
    (format!("{before}{piece}{after}"), column.saturating_sub(start) + shift)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendered_problem_shows_place_caret_cause_and_fix() {
        let place = Place {
            file: "flotilla.yaml".into(),
            line: 16,
            column: 15,
            length: 6,
            text: "    health: { ready: /ready }".into(),
        };
        let text = Diagnostic::error(Code::NOT_READY, "orders did not become ready within 30s")
            .at(place, "GET /ready answered 404")
            .note("last output: \"listening on 0.0.0.0:3000\"")
            .help("use $PORT, or write `port: 3000`")
            .render(false);
        assert_eq!(
            text,
            "error[F012]: orders did not become ready within 30s\n   \
             ┌─ flotilla.yaml:16:15\n\
             16 │     health: { ready: /ready }\n   \
             │               ^^^^^^ GET /ready answered 404\n   \
             = last output: \"listening on 0.0.0.0:3000\"\n   \
             help: use $PORT, or write `port: 3000`\n"
        );
    }

    #[test]
    fn of_a_long_line_only_the_piece_around_the_place_is_shown() {
        let text = format!("{}here{}", "a".repeat(300), "b".repeat(300));
        let place = Place { file: "f".into(), line: 1, column: 301, length: 4, text: text.into() };
        let shown = Diagnostic::error(Code::SYNTAX, "bad").at(place, "").render(false);
        let mut lines = shown.lines().skip(2);
        let (line, caret) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(line.chars().count() < 120, "{line}");
        let at = line.chars().position(|c| c == 'h').unwrap();
        assert_eq!(caret.chars().position(|c| c == '^').unwrap(), at, "{shown}");
    }
}
