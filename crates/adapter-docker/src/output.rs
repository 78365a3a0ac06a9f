//! What a container printed, from the engine's log: frames with a time into lines, and where to go on.
//!
//! Pure. The engine stores what it read from a container in frames: a line, or 16 KiB of a longer one, each with
//! the time it was read (to the nanosecond; parts of one line share it). Its API can only start at a second, so
//! a place is the time of the last frame and how many frames of that time were taken, and what comes again is skipped.
//!
//! Limit: a wall clock that is set back by seconds makes new frames look older than the place; a reader that has to start
//! again then misses them, because the engine leaves out what is older than the second it is asked for.

use ports::logs::{LINE_LEN_MAX, Stream};

/// How much later than a frame of one stream an older one of the other may stand in the log, in nanoseconds. The
/// engine stamps and stores each stream on its own; between the two it only waits for the processor and the disk.
const ORDER_SLACK_NS: u64 = 2_000_000_000;

/// How far one stream has been handed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Time of the last frame, in nanoseconds since 1970-01-01 UTC. All earlier frames are done.
    pub at_ns: u64,
    /// How many frames of that time are done.
    pub frames: u32,
    /// How many bytes of the frame after these are done.
    pub bytes: u32,
}

/// Both streams' places: standard output, standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place(pub [Mark; 2]);

impl Place {
    /// Length of the text form, the same for every value, so that it can be written over.
    pub(crate) const LEN: usize = 90;

    /// The text form: a version, and six numbers.
    pub(crate) fn write(&self) -> [u8; Self::LEN] {
        let [out, err] = self.0;
        let text = format!(
            "1 {:020} {:010} {:010} {:020} {:010} {:010}",
            out.at_ns, out.frames, out.bytes, err.at_ns, err.frames, err.bytes
        );
        let mut bytes = [b' '; Self::LEN];
        for (to, from) in bytes.iter_mut().zip(text.bytes()) {
            *to = from;
        }
        bytes[Self::LEN - 1] = b'\n';
        bytes
    }

    /// Reads the text form; `None` when it is none (then everything is read again rather than lost).
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split_whitespace();
        if parts.next()? != "1" {
            return None;
        }
        let mut mark = || {
            Some(Mark {
                at_ns: parts.next()?.parse().ok()?,
                frames: parts.next()?.parse().ok()?,
                bytes: parts.next()?.parse().ok()?,
            })
        };
        Some(Self([mark()?, mark()?]))
    }

    /// The second from which the engine must be asked, 0 for all.
    pub(crate) fn since_s(&self) -> i32 {
        let earliest = self.0.iter().map(|mark| mark.at_ns).min().unwrap_or(0);
        i32::try_from(earliest / 1_000_000_000).unwrap_or(i32::MAX)
    }
}

/// A line or a part of one that is too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub stream: Stream,
    pub text: String,
    pub is_cut: bool,
}

/// Makes lines of frames.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    halves: [Half; 2],
}

#[derive(Debug, Default)]
struct Half {
    /// Everything up to here has been made into pieces.
    done: Mark,
    /// The last frame seen.
    seen: Mark,
    /// Where this reading began.
    began: Mark,
    /// Frames of the time `began` that came again.
    again: u32,
    /// Still skipping what was done before.
    is_catching_up: bool,
    /// The next frame that is not skipped is the first after the place.
    is_at_place: bool,
    /// A line that has not ended.
    open: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(place: Place) -> Self {
        let mut reader = Self::default();
        reader.begin(place);
        reader
    }

    /// The place from which a later reader loses nothing.
    ///
    /// A quiet stream follows the other one at a distance, so that the engine need not send an hour of output
    /// again because nothing was printed to standard error since.
    pub(crate) fn place(&mut self) -> Place {
        let behind =
            Mark { at_ns: self.latest_ns().saturating_sub(ORDER_SLACK_NS), frames: 0, bytes: 0 };
        for half in &mut self.halves {
            if half.open.is_empty() && half.done.at_ns < behind.at_ns {
                half.done = behind;
            }
        }
        let [out, err] = &self.halves;
        Place([out.done, err.done])
    }

    /// Time of the latest frame, in nanoseconds since 1970-01-01 UTC.
    pub(crate) fn latest_ns(&self) -> u64 {
        self.halves.iter().map(|half| half.seen.at_ns).max().unwrap_or(0)
    }

    /// Starts again at [`Reader::place`], because the connection was lost.
    pub(crate) fn rewind(&mut self) {
        let place = self.place();
        self.begin(place);
    }

    fn begin(&mut self, place: Place) {
        for (half, done) in self.halves.iter_mut().zip(place.0) {
            half.done = done;
            half.began = done;
            half.seen = Mark { bytes: 0, ..done };
            half.again = 0;
            half.is_catching_up = done != Mark::default();
            half.is_at_place = true;
            half.open.clear();
        }
    }

    /// Takes one frame: `<RFC 3339 time> <text>`. Returns whether frames before it were missing.
    pub(crate) fn take(&mut self, stream: Stream, frame: &[u8], pieces: &mut Vec<Piece>) -> bool {
        let half = &mut self.halves[usize::from(stream == Stream::Err)];
        let (at_ns, text) = split_time(frame).unwrap_or((half.seen.at_ns, frame));
        half.take(stream, at_ns, text, pieces)
    }

    /// Takes the end of the output: what has no line end is a line too.
    pub(crate) fn end(&mut self, pieces: &mut Vec<Piece>) {
        for (half, stream) in self.halves.iter_mut().zip([Stream::Out, Stream::Err]) {
            if !half.open.is_empty() {
                pieces.push(Piece { stream, text: lossy(&half.open), is_cut: false });
                half.open.clear();
            }
            half.done = half.seen;
        }
    }
}

impl Half {
    fn take(&mut self, stream: Stream, at_ns: u64, text: &[u8], pieces: &mut Vec<Piece>) -> bool {
        let mut is_missing = false;
        let mut skip = 0;
        if self.is_catching_up {
            let is_same = at_ns == self.began.at_ns;
            if at_ns < self.began.at_ns || (is_same && self.again < self.began.frames) {
                self.again += u32::from(is_same);
                // From the place on everything is new, even what a clock that was set back calls old.
                self.is_catching_up = self.again < self.began.frames || self.began.frames == 0;
                return false;
            }
            self.is_catching_up = false;
            is_missing = self.again < self.began.frames;
        }
        if std::mem::take(&mut self.is_at_place) && !is_missing {
            skip = usize::try_from(self.began.bytes).unwrap_or(0);
        }
        let before = self.seen;
        self.seen = Mark {
            at_ns,
            frames: if at_ns == before.at_ns { before.frames.saturating_add(1) } else { 1 },
            bytes: 0,
        };
        self.open.extend_from_slice(text.get(skip..).unwrap_or_default());
        let is_whole = self.open.pop_if(|byte| *byte == b'\n').is_some();
        let mut has_cut = false;
        while self.open.len() > LINE_LEN_MAX {
            let rest = self.open.split_off(boundary(&self.open));
            pieces.push(Piece { stream, text: lossy(&self.open), is_cut: true });
            self.open = rest;
            has_cut = true;
        }
        if is_whole {
            self.open.pop_if(|byte| *byte == b'\r');
            pieces.push(Piece { stream, text: lossy(&self.open), is_cut: false });
            self.open.clear();
            self.done = self.seen;
        } else if has_cut && let Some(bytes) = text.len().checked_sub(self.open.len()) {
            // The rest lies within this frame, so a later reader can begin inside of it.
            self.done = Mark { bytes: u32::try_from(bytes).unwrap_or(0), ..before };
        }
        is_missing
    }
}

/// The largest cut at or below the limit that does not split a UTF-8 character.
fn boundary(line: &[u8]) -> usize {
    let is_inside = |at: usize| line.get(at).is_some_and(|byte| byte & 0b1100_0000 == 0b1000_0000);
    (LINE_LEN_MAX - 3..=LINE_LEN_MAX).rev().find(|at| !is_inside(*at)).unwrap_or(LINE_LEN_MAX)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Splits `2026-11-21T01:18:03.603676609Z text`.
fn split_time(frame: &[u8]) -> Option<(u64, &[u8])> {
    let end = frame.iter().take(40).position(|byte| *byte == b' ')?;
    let (time, text) = frame.split_at(end);
    Some((nanos(std::str::from_utf8(time).ok()?)?, text.get(1..)?))
}

/// Nanoseconds since 1970-01-01 UTC of an RFC 3339 time in UTC.
fn nanos(time: &str) -> Option<u64> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<u64>);
    let mut number = || date.next()?.ok();
    let (year, month, day) = (number()?, number()?, number()?);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.splitn(3, ':').map(str::parse::<u64>);
    let mut number = || clock.next()?.ok();
    let (hour, minute, second) = (number()?, number()?, number()?);
    if !(1970..3000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    // Days of the civil calendar, the year taken to begin in March so that the leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    let seconds = (days.checked_sub(719_469)? * 24 + hour) * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000_000 + fraction)
}

#[cfg(test)]
mod tests;
