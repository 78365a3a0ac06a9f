//! Keeps what services print, and finds it again: the log store.
//!
//! ```text
//! adapters ── Sink::append ──► block ──► newest segment file ──┐
//!                               │                              ├──► Handle::query, Handle::follow
//!                               └──────► ring in memory ───────┘
//! ```
//! Each line gets a number (`seq`), from 1, without gaps but for lines the disk refused. The number is the
//! cursor of everything: pages, tails and followers are "lines after number n that fit", so a reader that was
//! cut off goes on where it was, and a slow one costs nothing: it reads from the disk what has left the ring.
//!
//! *Durability.* Every `append` hands its lines to the kernel before it returns, without `fsync`: a node that is
//! killed loses none of them, a machine that loses power may lose the last seconds. Log lines are not
//! acknowledged to anyone, so an `fsync` would buy nothing. A torn end is found by checksum and cut at
//! the last whole block.
//!
//! *Bounds.* [`Config::bytes_max`] on disk (oldest files go first), [`Config::memory_max`] for the ring, a page for
//! each reader. Start reading at [`Handle`].

#![warn(missing_docs)]

mod block;
mod crc;
mod level;
mod query;
mod segment;
mod store;

#[cfg(test)]
mod tests;

pub use level::Level;
pub use query::{Filter, Grep, LINES_MAX, PAGE_TEXT_LEN_MAX, Page, Query, Record};

use base::{ByteSize, Code, Diagnostic, InstanceId};
use ports::logs::{Line, Recall, Sink, Stream};
use std::{io, path::PathBuf, sync::Arc};
use store::{Progress, Store};
use tokio::sync::watch;

/// Where the logs are and how much room they may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of the store; nobody else writes there.
    pub dir: PathBuf,
    /// Most room on disk. Default 256 MiB: some two million lines, a working day of a chatty system. At
    /// least 512 KiB is used.
    pub bytes_max: ByteSize,
    /// Most memory for the newest lines. Default 8 MiB: followers that keep up never touch the disk, even when
    /// they pause for a second of 50,000 lines.
    pub memory_max: ByteSize,
}

impl Config {
    /// The defaults, in `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), bytes_max: ByteSize(256 << 20), memory_max: ByteSize(8 << 20) }
    }
}

/// Why the store cannot be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be made, listed or written.
    #[error("cannot use the log folder `{}`", .path.display())]
    Dir {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A file of the store cannot be read.
    #[error("cannot read the log file `{}`", .path.display())]
    Segment {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The last lines could not be brought to the disk.
    #[error("cannot bring the last log lines to the disk")]
    Close(#[source] io::Error),
}

/// What was found when the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Bytes of half written blocks, which a killed node or a power cut left.
    pub torn_bytes: u64,
    /// Files with our name but not of this version; they are left alone.
    pub foreign: Vec<PathBuf>,
}

/// How full the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Room taken on disk.
    pub size: ByteSize,
    /// Most room it may take.
    pub size_max: ByteSize,
    /// Lines on disk.
    pub lines: u64,
    /// Oldest lines deleted to stay within the limit, since the store was made.
    pub dropped_old: u64,
    /// Lines the disk refused since the node started.
    pub dropped_failed: u64,
}

/// The store, for its owner.
#[derive(Debug)]
pub struct Service {
    store: Arc<Store>,
    recovery: Recovery,
}

impl Service {
    /// Opens the store, or makes a new one. Blocks: it reads the index of each file, and the newest file whole.
    ///
    /// # Errors
    /// `Dir`, `Segment`.
    pub fn open(config: Config) -> Result<Self, Error> {
        let (store, recovery) = Store::open(config)?;
        Ok(Self { store: Arc::new(store), recovery })
    }

    /// What was found when it was opened.
    #[must_use]
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// For those who write and ask.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { store: self.store.clone() }
    }

    /// Brings what was written to the disk and ends all followers once they have read it. Blocks for the time of an
    /// `fsync`. Lines that come later are still kept, but nobody is told of them.
    ///
    /// # Errors
    /// `Close` when the disk refuses.
    pub fn close(self) -> Result<(), Error> {
        self.store.close().map_err(Error::Close)
    }
}

/// The store, for those who write and ask. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    store: Arc<Store>,
}

impl Handle {
    /// Lines that fit, oldest first, as many as one page holds. To read on, ask with `after` = `next` and no
    /// `tail`, while `more` is set.
    ///
    /// # Cancel safety
    /// Cancel safe; at most 8 MiB more are read.
    pub async fn query(&self, query: &Query) -> Page {
        let mut query = query.clone();
        let limit = query.limit.clamp(1, LINES_MAX);
        self.place_tail(&mut query).await;
        let mut all = Page::default();
        let mut text_len = 0;
        loop {
            query.limit = limit - all.records.len();
            let page = self.step(query.clone()).await;
            query.after = page.next;
            text_len += page.records.iter().map(|record| record.text.len()).sum::<usize>();
            all.records.extend(page.records);
            all.next = page.next;
            all.more = page.more;
            all.dropped += page.dropped;
            all.damaged += page.damaged;
            let is_full = all.records.len() >= limit || text_len >= PAGE_TEXT_LEN_MAX;
            if is_full || !page.more {
                return all;
            }
        }
    }

    /// Lines that fit, those that are there and then those that come, without gap or duplicate.
    #[must_use]
    pub fn follow(&self, mut query: Query) -> Follow {
        query.after = query.after.min(self.newest());
        Follow { handle: self.clone(), query, progress: self.store.progress() }
    }

    /// How full the store is.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.store.stats()
    }

    /// Number of the newest line; 0 before the first.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.store.shared().next_seq - 1
    }

    /// What a reader must be told about `page`: lines that are missing in it.
    #[must_use]
    pub fn notices(&self, page: &Page) -> Vec<Diagnostic> {
        notices(page, &self.stats())
    }

    async fn step(&self, query: Query) -> Page {
        let store = self.store.clone();
        runtime::blocking(move || query::step(&store, &query)).await
    }

    /// Turns `tail` into the place where it starts.
    async fn place_tail(&self, query: &mut Query) {
        let Some(mut wanted) = query.tail else { return };
        let mut before = self.newest() + 1;
        let mut start = Some(before - 1);
        while wanted > 0 {
            let store = self.store.clone();
            let filter = query.filter.clone();
            let step = move || query::step_back(&store, &filter, before, wanted);
            let (found, from, is_whole) = runtime::blocking(step).await;
            wanted -= found;
            start = from;
            if is_whole {
                break;
            }
            before = from.unwrap_or(0);
        }
        query.tail = None;
        query.after = query.after.max(start.unwrap_or(0));
    }
}

impl Sink for Handle {
    fn append(&self, lines: &[Line]) {
        self.store.append(lines);
    }
}

impl Recall for Handle {
    /// Looks in the ring and at most 8 MiB back on the disk, in the calling thread.
    fn last(&self, instance: &InstanceId, count: usize) -> Vec<String> {
        let wanted = count.min(LINES_MAX);
        if wanted == 0 {
            return Vec::new();
        }
        let filter = Filter {
            instances: vec![instance.clone()],
            streams: vec![Stream::Out, Stream::Err],
            ..Filter::default()
        };
        let before = self.newest() + 1;
        let tail = u64::try_from(wanted).unwrap_or(u64::MAX);
        let (_, start, _) = query::step_back(&self.store, &filter, before, tail);
        let query = Query { filter, after: start.unwrap_or(0), tail: None, limit: wanted };
        let page = query::step(&self.store, &query);
        page.records.into_iter().map(|record| record.text).collect()
    }
}

/// A reader that goes on. It holds a cursor, no lines: a slow one costs nothing.
#[derive(Debug)]
pub struct Follow {
    handle: Handle,
    query: Query,
    progress: watch::Receiver<Progress>,
}

impl Follow {
    /// The next lines that fit, one at least unless the page says that some are missing; `None` after the store
    /// was closed and everything was read.
    ///
    /// # Cancel safety
    /// Cancel safe: a page that was not returned is read again.
    pub async fn next(&mut self) -> Option<Page> {
        if self.query.tail.is_some() {
            let mut query = self.query.clone();
            self.handle.place_tail(&mut query).await;
            self.query = query;
        }
        loop {
            let progress = *self.progress.borrow_and_update();
            let page = self.handle.step(self.query.clone()).await;
            self.query.after = page.next;
            if !page.records.is_empty() || page.dropped > 0 || page.damaged > 0 {
                return Some(page);
            }
            if page.more {
                continue;
            }
            if progress.is_closed || self.progress.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Number of the last line that was looked at.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.query.after
    }
}

fn notices(page: &Page, stats: &Stats) -> Vec<Diagnostic> {
    let mut all = Vec::new();
    let code = Code::LOG_DROPPED;
    if page.dropped > 0 {
        let what = format!(
            "{} older log lines were deleted to stay within {}",
            page.dropped, stats.size_max
        );
        all.push(
            Diagnostic::warning(code, what)
                .help("a service that prints less keeps its logs longer"),
        );
    }
    if page.damaged > 0 {
        let what = format!("{} log lines cannot be read back: the disk damaged them", page.damaged);
        all.push(Diagnostic::warning(code, what).help("check the disk under `.flotilla/logs`"));
    }
    if stats.dropped_failed > 0 {
        let what = format!("{} log lines could not be written to the disk", stats.dropped_failed);
        all.push(
            Diagnostic::warning(code, what).help("make room on the disk under `.flotilla/logs`"),
        );
    }
    all
}
