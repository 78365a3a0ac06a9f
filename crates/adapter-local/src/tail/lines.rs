//! Cutting bytes into lines.

use ports::logs::LINE_LEN_MAX;

/// Cuts a stream of bytes into lines of bounded length. Holds back at most [`LINE_LEN_MAX`] bytes between two
/// calls.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// The line that has not ended.
    pending: Vec<u8>,
    /// A piece of that line was given out already.
    is_continued: bool,
}

impl Splitter {
    /// Bytes taken in and not given out.
    pub(super) fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Takes bytes in; gives every finished line to `emit`, with whether the line goes on after it.
    pub(super) fn push(&mut self, mut bytes: &[u8], emit: &mut impl FnMut(String, bool)) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            let (head, tail) = bytes.split_at(end);
            bytes = tail.get(1..).unwrap_or_default();
            if self.pending.is_empty() {
                self.finish(head, emit);
            } else {
                self.pending.extend_from_slice(head);
                let line = std::mem::take(&mut self.pending);
                self.finish(&line, emit);
                self.pending = line;
                self.pending.clear();
            }
        }
        self.pending.extend_from_slice(bytes);
        let mut given = 0;
        while self.pending.len() - given > LINE_LEN_MAX {
            let rest = self.pending.get(given..).unwrap_or_default();
            let at = cut(rest);
            emit(text(rest.get(..at).unwrap_or_default()), true);
            self.is_continued = true;
            given += at;
        }
        self.pending.drain(..given);
    }

    /// Gives out what is held back of an unfinished line. With `goes_on`, the line may be continued and the
    /// bytes of an unfinished character stay.
    pub(super) fn flush(&mut self, goes_on: bool, emit: &mut impl FnMut(String, bool)) {
        let keep = if goes_on { unfinished(&self.pending) } else { 0 };
        let at = self.pending.len() - keep;
        if at > 0 {
            emit(text(self.pending.get(..at).unwrap_or_default()), goes_on);
            self.pending.drain(..at);
            self.is_continued = true;
        }
    }

    fn finish(&mut self, line: &[u8], emit: &mut impl FnMut(String, bool)) {
        let mut line = line.strip_suffix(b"\r").unwrap_or(line);
        let was_continued = std::mem::take(&mut self.is_continued);
        if line.is_empty() && was_continued {
            // Its text is out already; only its end was missing.
            return;
        }
        while line.len() > LINE_LEN_MAX {
            let (head, tail) = line.split_at(cut(line));
            emit(text(head), true);
            line = tail;
        }
        emit(text(line), false);
    }
}

/// Where to cut a line that is too long: not inside of a character, when that can be avoided.
fn cut(line: &[u8]) -> usize {
    let head = line.get(..LINE_LEN_MAX).unwrap_or(line);
    head.len() - unfinished(head)
}

/// How many bytes at the end begin a character of UTF-8 without ending it (0 to 3).
fn unfinished(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let Some(byte) = bytes.get(bytes.len() - back) else { break };
        let needed = match byte {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            0x80..=0xBF => continue,
            _ => 1,
        };
        return if needed > back { back } else { 0 };
    }
    0
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pushes the pieces (`|` flushes with the line going on, `$` flushes at the end) and shows what comes out, `+` for a cut.
    fn check(pieces: &[&[u8]], expected: &[&str]) {
        let mut splitter = Splitter::default();
        let mut seen = Vec::new();
        let mut emit = |text: String, cut: bool| {
            let shown = if text.len() > 100 { format!("{} bytes", text.len()) } else { text };
            seen.push(format!("{shown}{}", if cut { "+" } else { "" }));
        };
        for piece in pieces {
            match *piece {
                b"|" => splitter.flush(true, &mut emit),
                b"$" => splitter.flush(false, &mut emit),
                bytes => splitter.push(bytes, &mut emit),
            }
            assert!(splitter.pending_len() <= LINE_LEN_MAX);
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn lines_come_out_whole_however_they_arrive() {
        check(&[b"a\nb\r\n\nc"], &["a", "b", ""]);
        check(&[b"a", b"b", b"\nc\n"], &["ab", "c"]);
        check(&[b"a\r", b"\nb\n"], &["a", "b"]);
        check(&[b"\xff\xfe\n"], &["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn a_line_that_stays_unfinished_is_given_out_once() {
        check(&[b"name: ", b"|", b"ann\n", b"next\n"], &["name: +", "ann", "next"]);
        check(&[b"prompt", b"|", b"\n", b"next\n"], &["prompt+", "next"]);
        check(&[b"last words", b"$"], &["last words"]);
        check(&[b"last words", b"$", b"\n", b"more\n"], &["last words", "more"]);
        check(&[b"caf\xc3", b"|", b"\xa9\n"], &["caf+", "é"]);
        check(&[b"caf\xc3", b"$"], &["caf\u{fffd}"]);
    }

    #[test]
    fn a_line_without_end_is_cut_and_not_grown() {
        let long = vec![b'x'; LINE_LEN_MAX * 2 + 10];
        check(&[&long], &["65536 bytes+", "65536 bytes+"]);
        check(&[&long, b"\n"], &["65536 bytes+", "65536 bytes+", "xxxxxxxxxx"]);
        let exact = vec![b'x'; LINE_LEN_MAX];
        check(&[&exact, b"\n", b"y\n"], &["65536 bytes", "y"]);
        check(&[&exact, b"x", b"\n"], &["65536 bytes+", "x"]);
    }

    #[test]
    fn a_cut_does_not_split_a_character() {
        let mut long = vec![b'x'; LINE_LEN_MAX - 1];
        long.extend_from_slice("é\n".as_bytes());
        check(&[&long], &["65535 bytes+", "é"]);
    }
}
