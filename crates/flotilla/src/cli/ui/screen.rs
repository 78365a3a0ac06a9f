//! A live block at the bottom of the terminal under a stream of lines.
//!
//! ```text
//! users/1 │ a line that scrolls away
//! users/2 │ another                        ▲ printed once, part of the scrollback
//! ────────────────────────────────────────
//! error[F012]: orders did not become ready ▼ the block: erased and drawn again with every change
//! restart which service? or_
//! ```
//!
//! No alternate screen: what was printed stays readable after the end.

use std::fmt::Write as _;

/// Knows how many lines of the block are on the terminal.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    block: Vec<String>,
}

impl Screen {
    /// What to write so that `lines` (each ended by a line end, or empty) stand above the block `block`.
    /// The block is cut to `height` lines, of which the last are kept; its lines are cut by the terminal
    /// at its right edge. Empty when nothing changes.
    pub(crate) fn draw(&mut self, lines: &str, mut block: Vec<String>, height: usize) -> String {
        let most = height.saturating_sub(1).max(1);
        if block.len() > most {
            block.drain(..block.len() - most);
        }
        if lines.is_empty() && block == self.block {
            return String::new();
        }
        // Mode 2026 lets the terminal show it in one go; those that do not know it ignore it.
        let mut text = String::from("\x1b[?2026h");
        text.push_str(&self.erase());
        text.push_str(lines);
        if !block.is_empty() {
            // Without wrapping a line takes one row, however narrow the terminal is.
            text.push_str("\x1b[?7l");
            for line in &block {
                let _infallible = writeln!(text, "{line}");
            }
            text.push_str("\x1b[?7h");
        }
        text.push_str("\x1b[?2026l");
        self.block = block;
        text
    }

    /// Takes the block away from the terminal.
    fn erase(&self) -> String {
        match self.block.len() {
            0 => String::new(),
            rows => format!("\x1b[{rows}F\x1b[J"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal that knows the sequences a [`Screen`] writes.
    #[derive(Default)]
    struct Terminal {
        rows: Vec<String>,
    }

    impl Terminal {
        fn show(&mut self, text: &str) {
            let text = text.replace("\x1b[?2026h", "").replace("\x1b[?2026l", "");
            let text = text.replace("\x1b[?7l", "").replace("\x1b[?7h", "");
            let rest = match text.strip_prefix("\x1b[") {
                Some(rest) => {
                    let (rows, rest) = rest.split_once("F\x1b[J").unwrap();
                    self.rows.truncate(self.rows.len() - rows.parse::<usize>().unwrap());
                    rest
                }
                None => &text,
            };
            assert!(!rest.contains('\x1b'), "{rest:?}");
            self.rows.extend(rest.lines().map(str::to_owned));
        }
    }

    #[test]
    fn lines_go_above_the_block_and_the_block_stays_last() {
        let (mut screen, mut terminal) = (Screen::default(), Terminal::default());
        let block = |lines: &[&str]| lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>();
        terminal.show(&screen.draw("", block(&["users 0/1", "items 0/1"]), 24));
        terminal.show(&screen.draw("log one\nlog two\n", block(&["users 1/1", "items 0/1"]), 24));
        assert_eq!(terminal.rows, ["log one", "log two", "users 1/1", "items 0/1"]);
        terminal.show(&screen.draw("summary\n", block(&[]), 24));
        assert_eq!(terminal.rows, ["log one", "log two", "summary"]);
        terminal.show(&screen.draw("", block(&["a", "b", "c", "d"]), 3));
        assert_eq!(terminal.rows, ["log one", "log two", "summary", "c", "d"]);
    }

    #[test]
    fn nothing_is_written_when_nothing_changed() {
        let mut screen = Screen::default();
        assert!(screen.draw("", vec![], 24).is_empty());
        assert!(!screen.draw("", vec!["a".into()], 24).is_empty());
        assert!(screen.draw("", vec!["a".into()], 24).is_empty());
    }
}
