//! Where words go: data to standard output, messages to standard error.
//!
//! Nothing here panics when the reader has gone; `flotilla ps | head -1` ends quietly. Colours are
//! a property of each stream, decided once.

use super::{
    args::Format,
    exit::{Exit, Failure},
};
use base::Diagnostic;
use std::{
    env,
    io::{self, IsTerminal, Write},
};

/// ANSI colours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Paint {
    /// Whether colours are wanted.
    pub on: bool,
}

/// What a text should look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tint {
    /// Good.
    Green,
    /// Needs a look.
    Yellow,
    /// Bad.
    Red,
    /// Less important.
    Dim,
    /// More important.
    Bold,
    /// One of the colours that tell services apart, by number; any number will do.
    Service(usize),
}

/// Colours that tell services apart: readable on dark and light ground, none of them the red,
/// yellow and green that mean something.
const SERVICE_COLOURS: [&str; 8] = ["36", "35", "34", "96", "95", "94", "38;5;173", "38;5;67"];

impl Paint {
    /// Colours `text`, or gives it back as it is.
    pub(crate) fn tint(self, tint: Tint, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let code = match tint {
            Tint::Green => "32",
            Tint::Yellow => "33",
            Tint::Red => "31",
            Tint::Dim => "2",
            Tint::Bold => "1",
            Tint::Service(number) => SERVICE_COLOURS[number % SERVICE_COLOURS.len()],
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// The number of a service's colour: the same in every run and every command, because it comes from
/// the name alone.
pub(crate) fn colour_number(service: &str) -> usize {
    // FNV-1a, then a finisher: names that differ in one letter must not get the same low bits. The
    // result must not change with a release, so the standard library's hasher will not do.
    let mut hash = service
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    for (shift, factor) in [(16, 0x7feb_352d_u32), (15, 0x846c_a68b)] {
        hash = (hash ^ (hash >> shift)).wrapping_mul(factor);
    }
    usize::from((hash >> 24).to_le_bytes()[0])
}

/// Both streams and how they are used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Colours on standard output.
    pub paint: Paint,
    /// Colours on standard error.
    pub paint_err: Paint,
    /// Standard output is a terminal.
    pub is_terminal: bool,
    /// Only data and errors.
    pub quiet: bool,
    /// What data looks like.
    pub format: Format,
}

/// What decides about colours, read from the environment by [`Output::new`].
#[derive(Clone, Debug, Default)]
struct ColourWish {
    no_color: Option<String>,
    clicolor: Option<String>,
    force: Option<String>,
    term: Option<String>,
}

impl ColourWish {
    /// Whether a stream gets colours (no-color.org, bixense.com/clicolors).
    fn decide(&self, refused: bool, is_terminal: bool) -> bool {
        let set = |value: &Option<String>| value.as_deref().is_some_and(|v| !v.is_empty());
        if refused || set(&self.no_color) {
            return false;
        }
        if self.force.as_deref().is_some_and(|v| !v.is_empty() && v != "0") {
            return true;
        }
        is_terminal && self.clicolor.as_deref() != Some("0") && self.term.as_deref() != Some("dumb")
    }
}

impl Output {
    /// Looks at the streams and the environment.
    pub(crate) fn new(format: Format, no_color: bool, quiet: bool) -> Self {
        let wish = ColourWish {
            no_color: env::var("NO_COLOR").ok(),
            clicolor: env::var("CLICOLOR").ok(),
            force: env::var("CLICOLOR_FORCE").ok(),
            term: env::var("TERM").ok(),
        };
        let is_terminal = io::stdout().is_terminal();
        Self {
            paint: Paint { on: wish.decide(no_color, is_terminal) },
            paint_err: Paint { on: wish.decide(no_color, io::stderr().is_terminal()) },
            is_terminal,
            quiet,
            format,
        }
    }

    /// Whether data is to be JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes data as it is and flushes it.
    ///
    /// # Errors
    /// `Closed` when the reader has gone.
    pub(crate) fn raw(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// As [`Self::raw`], for what may be no text.
    ///
    /// # Errors
    /// As [`Self::raw`].
    #[expect(clippy::unused_self, reason = "a command without an Output has no business to print")]
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(|e| unwritable(&e))
    }

    /// Writes data and ends the line.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.raw(&format!("{}\n", text.trim_end_matches('\n')))
    }

    /// Writes a JSON value: pretty on a terminal, one line otherwise.
    pub(crate) fn json(&self, value: &serde_json::Value) -> Result<(), Failure> {
        let text = if self.is_terminal { format!("{value:#}") } else { value.to_string() };
        self.line(&text)
    }

    /// Says something to the person in front of the screen, unless told to be quiet.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.err(text);
        }
    }

    /// Passes a line on that another program wrote to its standard error.
    pub(crate) fn relay(&self, line: &str) {
        self.err(line);
    }

    /// Writes to standard error. A reader that has gone is no reason to stop: the work matters more.
    fn err(&self, text: &str) {
        let _gone = writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n'));
    }

    /// Prints problems in full.
    pub(crate) fn problems(&self, problems: &[Diagnostic]) {
        for problem in problems {
            self.err(&problem.render(self.paint_err.on));
        }
    }

    /// Prints why a command failed and returns its exit code.
    pub(crate) fn failure(&self, failure: &Failure) -> Exit {
        match failure {
            Failure::Problems(problems) => self.problems(problems),
            Failure::Message { text, help, .. } => {
                self.err(&format!("{}: {text}", self.paint_err.tint(Tint::Red, "error")));
                if let Some(help) = help {
                    self.err(&format!("  {}: {help}", self.paint_err.tint(Tint::Green, "help")));
                }
            }
            Failure::Closed => {}
        }
        failure.exit()
    }
}

/// Tells a reader that has gone from a disk that is full.
fn unwritable(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::Closed
    } else {
        Failure::new(Exit::Failure, format!("cannot write the output: {error}"))
    }
}

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A cell: what it says and how it looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    tint: Option<Tint>,
}

impl Cell {
    /// A coloured cell.
    pub(crate) fn tinted(text: impl Into<String>, tint: Tint) -> Self {
        Self { text: text.into(), tint: Some(tint) }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tint: None }
    }
}

/// Renders rows under headings; columns as wide as their widest cell, two spaces between. A column
/// without a heading and without content disappears.
pub(crate) fn table(paint: Paint, head: &[(&str, Align)], rows: &[Vec<Cell>]) -> String {
    let width = |column: usize, title: &str| {
        let widest =
            rows.iter().filter_map(|row| row.get(column)).map(|cell| width_of(&cell.text)).max();
        width_of(title).max(widest.unwrap_or(0))
    };
    let widths: Vec<usize> =
        head.iter().enumerate().map(|(column, (title, _))| width(column, title)).collect();
    let mut text = String::new();
    if head.iter().any(|(title, _)| !title.is_empty()) {
        let titles: Vec<Cell> =
            head.iter().map(|(title, _)| Cell::tinted(*title, Tint::Dim)).collect();
        push_row(&mut text, paint, head, &widths, &titles);
    }
    for row in rows {
        push_row(&mut text, paint, head, &widths, row);
    }
    text
}

/// Appends one row without blanks at its end.
fn push_row(
    text: &mut String,
    paint: Paint,
    head: &[(&str, Align)],
    widths: &[usize],
    row: &[Cell],
) {
    let mut pending = 0;
    let mut is_first = true;
    for ((cell, (_, align)), width) in row.iter().zip(head).zip(widths) {
        if *width == 0 {
            continue;
        }
        if !is_first {
            pending += 2;
        }
        is_first = false;
        let gap = width.saturating_sub(width_of(&cell.text));
        if *align == Align::Right {
            pending += gap;
        }
        if !cell.text.is_empty() {
            text.push_str(&" ".repeat(pending));
            pending = 0;
            text.push_str(
                &cell.tint.map_or_else(|| cell.text.clone(), |t| paint.tint(t, &cell.text)),
            );
        }
        if *align == Align::Left {
            pending += gap;
        }
    }
    text.push('\n');
}

/// Columns a text takes on a terminal; every character counts one.
fn width_of(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_table_aligns_words_left_and_numbers_right_without_trailing_blanks() {
        let head = [
            ("SERVICE", Align::Left),
            ("READY", Align::Right),
            ("", Align::Left),
            ("STATE", Align::Left),
        ];
        let rows = vec![
            vec!["users".into(), "3/3".into(), "".into(), Cell::tinted("ready", Tint::Green)],
            vec!["a-long-name".into(), "10/12".into(), "".into(), "starting".into()],
            vec!["x".into(), "".into(), "".into(), "".into()],
        ];
        expect![[r#"
            SERVICE      READY  STATE
            users          3/3  ready
            a-long-name  10/12  starting
            x
        "#]]
        .assert_eq(&table(Paint { on: false }, &head, &rows));
        assert!(table(Paint { on: true }, &head, &rows).contains("\x1b[32mready\x1b[0m"));
    }

    #[test]
    fn colours_follow_the_terminal_and_the_users_wish() {
        let some = |text: &str| Some(text.to_owned());
        let plain = ColourWish::default();
        assert!(plain.decide(false, true));
        assert!(!plain.decide(false, false));
        assert!(!plain.decide(true, true));
        assert!(!ColourWish { no_color: some("1"), ..plain.clone() }.decide(false, true));
        assert!(ColourWish { no_color: some(""), ..plain.clone() }.decide(false, true));
        assert!(!ColourWish { clicolor: some("0"), ..plain.clone() }.decide(false, true));
        assert!(ColourWish { force: some("1"), ..plain.clone() }.decide(false, false));
        assert!(
            !ColourWish { force: some("1"), no_color: some("1"), ..plain.clone() }
                .decide(false, true)
        );
        assert!(!ColourWish { term: some("dumb"), ..plain }.decide(false, true));
    }

    #[test]
    fn the_services_of_a_small_system_differ_in_colour() {
        let numbers: std::collections::BTreeSet<_> = ["users", "items", "orders", "web"]
            .map(|name| colour_number(name) % SERVICE_COLOURS.len())
            .into();
        assert!(numbers.len() >= 3, "{numbers:?}");
    }
}
