//! Where a head ends.

use super::Bad;

/// Looks for the end of a head over several reads, each byte once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadEnd {
    /// Up to where there is no end.
    seen: usize,
    /// Where the line that is not complete yet begins.
    line: usize,
    /// The longest complete line, and whether it is the first.
    longest: usize,
    is_first_longest: bool,
    /// An empty line before the head was let pass.
    is_spent: bool,
}

impl HeadEnd {
    /// How long the head at the beginning of `bytes` is, with the empty line that ends it; `None`: it is not
    /// complete. `bytes` must begin with what it began with at the last call.
    ///
    /// # Errors
    /// When a line ends with a bare line feed. Some read it as a line's end and some do not (RFC 9112 §2.2
    /// lets a recipient do either), which is how requests are smuggled.
    pub(crate) fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, Bad> {
        while let Some(found) = memchr::memchr(b'\n', bytes.get(self.seen..).unwrap_or_default()) {
            let at = self.seen + found;
            if at == self.line || bytes[at - 1] != b'\r' {
                return Err(Bad::request("a line ends with a bare line feed"));
            }
            self.seen = at + 1;
            if at - 1 == self.line {
                return Ok(Some(at + 1));
            }
            self.end_line(at - self.line);
            self.line = at + 1;
        }
        self.seen = bytes.len();
        Ok(None)
    }

    fn end_line(&mut self, length: usize) {
        if length > self.longest {
            self.longest = length;
            self.is_first_longest = self.line == 0;
        }
    }

    /// For a head before which an empty line was let pass.
    pub(crate) fn spent() -> Self {
        Self { is_spent: true, ..Self::default() }
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.is_spent
    }

    /// Length of the longest line so far, be it complete or not.
    pub(crate) fn longest_line(&self) -> usize {
        self.longest.max(self.seen - self.line)
    }

    /// Whether the longest line so far is the first.
    pub(crate) fn is_first_line_longest(&self) -> bool {
        if self.seen - self.line > self.longest { self.line == 0 } else { self.is_first_longest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_wherever_the_bytes_are_split() {
        let head = b"GET / HTTP/1.1\r\nhost: a\r\n\r\nrest";
        let length = head.len() - 4;
        for first in 0..head.len() {
            let mut end = HeadEnd::default();
            let early = end.find(&head[..first]).unwrap();
            assert_eq!(early, (first >= length).then_some(length), "{first}");
            if early.is_none() {
                assert_eq!(end.find(head).unwrap(), Some(length));
            }
        }
    }

    #[test]
    fn a_bare_line_feed_is_refused_wherever_it_stands() {
        for bad in ["\n", "GET / HTTP/1.1\n", "GET / HTTP/1.1\r\nhost: a\n\r\n", "a\r\n\n", "a\nb"]
        {
            assert!(HeadEnd::default().find(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert_eq!(HeadEnd::default().find(b"\r\n"), Ok(Some(2)));
        assert_eq!(HeadEnd::default().find(b"\r"), Ok(None));
    }
}
