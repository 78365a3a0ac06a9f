//! The reading side: which lines fit, page by page, from either end.
//!
//! A page is made of *spans* (a chunk on the disk, a block in the ring) that were noted under the lock and
//! are read without it. `tail` is no list but a place: the line after which the newest `n` start; reading goes
//! on from there, and so a tail that is then followed has neither gap nor duplicate.

use crate::{
    Level,
    block::{self, Block, Entry, service_bit},
    segment::Chunk,
    store::{Shared, Store},
};
use base::{InstanceId, ServiceName, Timestamp};
use ports::logs::Stream;
use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

/// Most lines in a page.
pub const LINES_MAX: usize = 10_000;
/// Text after which a page is closed, in bytes, so that ten thousand long lines do not grow the node.
pub const PAGE_TEXT_LEN_MAX: usize = 2 << 20;
/// How much is read before the reader may be cancelled, in bytes.
const STEP_LEN_MAX: u64 = 8 << 20;
/// How many spans are noted under the lock at once.
const SPANS_MAX: usize = 4_096;
/// A step looks at as many lines as the page may hold twice over, so that small pages are cheap, but at this
/// many at least, so that a search with few hits makes few steps.
const STEP_LINES_MIN: u64 = 1_024;

/// Which lines are wanted. Empty: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these services; together with `instances`, either fits.
    pub services: Vec<ServiceName>,
    /// Only these instances.
    pub instances: Vec<InstanceId>,
    /// Only these streams.
    pub streams: Vec<Stream>,
    /// Read at this time or later.
    pub since: Option<Timestamp>,
    /// Read before this time.
    pub until: Option<Timestamp>,
    /// Contain this text.
    pub grep: Option<Grep>,
    /// At least this grave. A line that says nothing of itself counts as [`Level::Info`].
    pub level: Option<Level>,
}

/// A text to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grep {
    text: String,
    ignore_case: bool,
}

impl Grep {
    /// Finds lines that contain `text`; with `ignore_case` in upper or lower case (Unicode's simple folding).
    #[must_use]
    pub fn new(text: &str, ignore_case: bool) -> Self {
        let text = if ignore_case { text.to_lowercase() } else { text.to_owned() };
        Self { text, ignore_case }
    }

    fn fits(&self, line: &str) -> bool {
        if !self.ignore_case {
            return line.contains(&self.text);
        }
        if !line.is_ascii() {
            return line.to_lowercase().contains(&self.text);
        }
        let (line, text) = (line.as_bytes(), self.text.as_bytes());
        text.is_empty() || line.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
    }
}

/// A question: which lines, from where, how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// Which lines.
    pub filter: Filter,
    /// Only lines after this number (a page's `next`); 0 for the oldest. A number from the future counts as the
    /// newest line's.
    pub after: u64,
    /// Only the newest this many of those that fit.
    pub tail: Option<u64>,
    /// Most lines in a page, 1 to [`LINES_MAX`].
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self { filter: Filter::default(), after: 0, tail: None, limit: 1_000 }
    }
}

/// One line as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1, growing by one with each line of the store.
    pub seq: u64,
    /// When the node read it.
    pub at: Timestamp,
    /// Who printed it.
    pub instance: InstanceId,
    /// Where to.
    pub stream: Stream,
    /// The text without its line end.
    pub text: String,
    /// The line was too long and goes on in the next record.
    pub is_cut: bool,
}

/// Lines that fit, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The lines.
    pub records: Vec<Record>,
    /// Everything up to this number was looked at: go on with `after` = `next`.
    pub next: u64,
    /// The page is full, or the reader stopped on the way; there may be more.
    pub more: bool,
    /// Lines of the range asked for that had been deleted to stay within the store's limit. Whether they
    /// would have fitted is not known.
    pub dropped: u64,
    /// Lines that could not be read back, because the disk damaged them.
    pub damaged: u64,
}

/// What is read in one go.
#[derive(Debug)]
enum Span {
    Disk { path: Arc<Path>, offset: u64, len: u32, last_seq: u64 },
    Ring { bytes: Arc<[u8]>, last_seq: u64 },
}

impl Span {
    fn last_seq(&self) -> u64 {
        match self {
            Self::Disk { last_seq, .. } | Self::Ring { last_seq, .. } => *last_seq,
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Disk { len, .. } => u64::from(*len),
            Self::Ring { bytes, .. } => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        }
    }
}

/// Spans to read, and how far the numbers are covered by them.
#[derive(Debug, Default)]
struct Plan {
    spans: Vec<Span>,
    /// Lines from `from` to `to`, both included, are in the spans or do not fit.
    from: u64,
    to: u64,
    is_whole: bool,
    first_kept: u64,
    /// Time of the oldest lines that are kept.
    oldest: Timestamp,
    ring_seq: u64,
}

impl Filter {
    fn service_bits(&self) -> u64 {
        let services = self.services.iter().map(service_bit);
        let instances = self.instances.iter().map(|instance| service_bit(&instance.service));
        let bits = services.chain(instances).fold(0, |bits, bit| bits | bit);
        if bits == 0 { u64::MAX } else { bits }
    }

    fn may_fit(&self, bits: u64, services: u64, min: Timestamp, max: Timestamp) -> bool {
        bits & services != 0
            && self.since.is_none_or(|since| max >= since)
            && self.until.is_none_or(|until| min < until)
    }

    fn wants(&self, instance: &InstanceId) -> bool {
        (self.services.is_empty() && self.instances.is_empty())
            || self.services.contains(&instance.service)
            || self.instances.contains(instance)
    }

    fn fits(&self, entry: &Entry<'_>) -> bool {
        (self.streams.is_empty() || self.streams.contains(&entry.stream))
            && self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at < until)
            && self.grep.as_ref().is_none_or(|grep| grep.fits(entry.text))
            && self.level.is_none_or(|level| Level::of(entry.text).unwrap_or(Level::Info) >= level)
    }
}

/// One step forward: at most [`STEP_LEN_MAX`] bytes are read. `more` is set when it has not come to
/// the end.
pub(crate) fn step(store: &Store, query: &Query) -> Page {
    let limit = query.limit.clamp(1, LINES_MAX);
    let plan = plan_forward(&store.shared(), &query.filter, query.after, limit);
    let mut page = Page { next: plan.to, more: !plan.is_whole, ..Page::default() };
    let is_kept = query.filter.since.is_some_and(|since| since >= plan.oldest);
    if query.after < plan.to && !is_kept {
        page.dropped = plan.first_kept.saturating_sub(query.after + 1);
    }
    let mut text_len = 0;
    let mut reader = Reader::default();
    for span in &plan.spans {
        let on_disk = matches!(span, Span::Disk { .. });
        let until_seq = if on_disk { plan.ring_seq } else { u64::MAX };
        let fitting = reader.read(span, query.after, &query.filter, |block, entry| {
            if entry.seq <= query.after || entry.seq >= until_seq {
                return true;
            }
            if page.records.len() == limit || text_len >= PAGE_TEXT_LEN_MAX {
                return false;
            }
            text_len += entry.text.len();
            page.records.extend(record(block, entry));
            true
        });
        page.damaged += fitting.damaged;
        if !fitting.is_whole {
            // The line that did not fit any more was the one after the last.
            page.next = page.records.last().map_or(query.after, |record| record.seq);
            page.more = true;
            break;
        }
    }
    page
}

/// One step backward from before line `before`: how many of `wanted` lines were found, and the number after which
/// they start. `None` as number: the start of the store was reached.
pub(crate) fn step_back(
    store: &Store,
    filter: &Filter,
    before: u64,
    wanted: u64,
) -> (u64, Option<u64>, bool) {
    let plan = plan_backward(&store.shared(), filter, before);
    let mut found = 0;
    let mut reader = Reader::default();
    for span in &plan.spans {
        let on_disk = matches!(span, Span::Disk { .. });
        let until_seq = if on_disk { before.min(plan.ring_seq) } else { before };
        let mut seqs = Vec::new();
        reader.read(span, 0, filter, |_, entry| {
            if entry.seq < until_seq {
                seqs.push(entry.seq);
            }
            true
        });
        let left = usize::try_from(wanted - found).unwrap_or(usize::MAX);
        if let Some(place) = seqs.len().checked_sub(left) {
            return (wanted, seqs.get(place).map(|seq| seq - 1), true);
        }
        found += u64::try_from(seqs.len()).unwrap_or_default();
    }
    (found, (!plan.is_whole).then_some(plan.from), plan.is_whole)
}

fn record(block: &Block<'_>, entry: &Entry<'_>) -> Option<Record> {
    Some(Record {
        seq: entry.seq,
        at: entry.at,
        instance: block.instances.get(entry.instance)?.clone(),
        stream: entry.stream,
        text: entry.text.to_owned(),
        is_cut: entry.is_cut,
    })
}

fn plan_forward(shared: &Shared, filter: &Filter, after: u64, limit: usize) -> Plan {
    let bits = filter.service_bits();
    let mut plan = Plan {
        to: shared.next_seq - 1,
        is_whole: true,
        first_kept: shared.first_seq(),
        oldest: shared.oldest(),
        ring_seq: shared.ring_seq(),
        ..Plan::default()
    };
    let lines_max = STEP_LINES_MIN.max(2 * u64::try_from(limit).unwrap_or(u64::MAX / 2));
    let (mut len, mut lines) = (0, 0);
    let mut push = |plan: &mut Plan, span: Span, count: u32| {
        len += span.len();
        lines += u64::from(count);
        let is_full =
            len >= STEP_LEN_MAX || lines >= lines_max || plan.spans.len() + 1 >= SPANS_MAX;
        if is_full {
            plan.to = span.last_seq();
            plan.is_whole = false;
        }
        plan.spans.push(span);
        is_full
    };
    if after + 1 < plan.ring_seq {
        let from = shared.segments.partition_point(|segment| segment.next_seq() <= after + 1);
        for segment in shared.segments.range(from..) {
            let from = segment.chunks.partition_point(|chunk| chunk.last_seq <= after);
            for chunk in segment.chunks.get(from..).unwrap_or_default() {
                if chunk.first_seq >= plan.ring_seq {
                    break;
                }
                if !filter.may_fit(bits, chunk.services, chunk.time_min, chunk.time_max) {
                    continue;
                }
                let last_seq = chunk.last_seq.min(plan.ring_seq - 1);
                let path = segment.path.clone();
                let span = Span::Disk { path, offset: chunk.offset, len: chunk.len, last_seq };
                if push(&mut plan, span, chunk.lines) {
                    return plan;
                }
            }
        }
    }
    let from = shared.ring.partition_point(|block| {
        block.summary.first_seq + u64::from(block.summary.count) <= after + 1
    });
    for block in shared.ring.range(from..) {
        let about = &block.summary;
        if filter.may_fit(bits, about.services, about.time_min, about.time_max) {
            let last_seq = about.first_seq + u64::from(about.count) - 1;
            let span = Span::Ring { bytes: block.bytes.clone(), last_seq };
            if push(&mut plan, span, about.count) {
                return plan;
            }
        }
    }
    plan
}

fn plan_backward(shared: &Shared, filter: &Filter, before: u64) -> Plan {
    let bits = filter.service_bits();
    let mut plan = Plan { is_whole: true, ring_seq: shared.ring_seq(), ..Plan::default() };
    let mut len = 0;
    let mut push = |plan: &mut Plan, span: Span, first_seq: u64| {
        len += span.len();
        let is_full = len >= STEP_LEN_MAX || plan.spans.len() + 1 >= SPANS_MAX;
        if is_full {
            plan.from = first_seq;
            plan.is_whole = false;
        }
        plan.spans.push(span);
        is_full
    };
    let until = shared.ring.partition_point(|block| block.summary.first_seq < before);
    for block in shared.ring.range(..until).rev() {
        let about = &block.summary;
        if filter.may_fit(bits, about.services, about.time_min, about.time_max) {
            let last_seq = about.first_seq + u64::from(about.count) - 1;
            let span = Span::Ring { bytes: block.bytes.clone(), last_seq };
            if push(&mut plan, span, about.first_seq) {
                return plan;
            }
        }
    }
    let before = before.min(plan.ring_seq);
    for segment in shared.segments.iter().rev().filter(|segment| segment.first_seq < before) {
        for chunk in segment.chunks.iter().rev().filter(|chunk| chunk.first_seq < before) {
            if !filter.may_fit(bits, chunk.services, chunk.time_min, chunk.time_max) {
                continue;
            }
            let path = segment.path.clone();
            let Chunk { offset, len, last_seq, first_seq, .. } = *chunk;
            if push(&mut plan, Span::Disk { path, offset, len, last_seq }, first_seq) {
                return plan;
            }
        }
    }
    plan
}

/// How reading a span ended.
struct Fitting {
    /// The visitor did not stop it.
    is_whole: bool,
    damaged: u64,
}

/// Reads spans, keeping the last file open and one buffer.
#[derive(Debug, Default)]
struct Reader {
    open: Option<(Arc<Path>, File)>,
    bytes: Vec<u8>,
}

impl Reader {
    /// Shows `visit` the lines of `span` that fit, until it returns false. Blocks of lines up to `after` are skipped.
    fn read(
        &mut self,
        span: &Span,
        after: u64,
        filter: &Filter,
        mut visit: impl FnMut(&Block<'_>, &Entry<'_>) -> bool,
    ) -> Fitting {
        let mut bytes = std::mem::take(&mut self.bytes);
        let result = match span {
            Span::Ring { bytes, .. } => walk(bytes, after, filter, &mut visit),
            Span::Disk { path, offset, len, .. } => {
                bytes.resize(usize::try_from(*len).unwrap_or(0), 0);
                match self.load(path, *offset, &mut bytes) {
                    Ok(()) => walk(&bytes, after, filter, &mut visit),
                    // Deleted to stay within the limit after the span was noted: as if a moment later.
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
                    Err(_) => Err(0),
                }
            }
        };
        self.bytes = bytes;
        match result {
            Ok(is_whole) => Fitting { is_whole, damaged: 0 },
            Err(reached) => Fitting { is_whole: true, damaged: damage(span, reached) },
        }
    }

    fn load(&mut self, path: &Arc<Path>, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|(open, _)| open != path) {
            self.open = Some((path.clone(), File::open(path)?));
        }
        match &self.open {
            Some((_, file)) => file.read_exact_at(bytes, offset),
            None => Ok(()),
        }
    }
}

fn damage(span: &Span, reached: u64) -> u64 {
    // Without a whole block before it nobody knows how many lines there were: at least one.
    if reached == 0 { 1 } else { span.last_seq().saturating_sub(reached).max(1) }
}

/// Walks blocks; `Ok(false)` when the visitor stopped, the last good number when a block is damaged.
fn walk(
    bytes: &[u8],
    after: u64,
    filter: &Filter,
    visit: &mut impl FnMut(&Block<'_>, &Entry<'_>) -> bool,
) -> Result<bool, u64> {
    let mut rest = bytes;
    let mut reached = 0;
    while !rest.is_empty() {
        if let Some((len, last_seq)) = block::claims(rest).filter(|(_, last)| *last <= after) {
            reached = last_seq;
            rest = rest.get(len..).unwrap_or_default();
            continue;
        }
        let block = block::decode(rest).ok_or(reached)?;
        let wanted: Vec<bool> =
            block.instances.iter().map(|instance| filter.wants(instance)).collect();
        for entry in block.entries() {
            reached = entry.seq;
            if wanted.get(entry.instance) == Some(&true)
                && filter.fits(&entry)
                && !visit(&block, &entry)
            {
                return Ok(false);
            }
        }
        let len = usize::try_from(block.summary.len).unwrap_or(usize::MAX);
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(true)
}
