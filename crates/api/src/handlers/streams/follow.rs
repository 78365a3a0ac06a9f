//! Events as they are appended, after those that are there.

use super::BATCH;
use crate::{
    sse::{self, Source},
    wire::streams::Event,
};
use bytes::Bytes;
use events::Error;
use ports::streams::{self, Direction, Page, Position, Query};

/// Which events.
pub(super) enum Which {
    /// Those of one stream.
    One { stream: String },
    /// Those of all streams that match.
    All { query: Query },
}

/// Reads on as events are appended.
pub(super) struct Follow {
    streams: events::Streams,
    which: Which,
    /// The revision (of one stream) or position (of all) that comes next.
    from: u64,
    /// The last position that is known to be there.
    last: Option<Position>,
}

impl Follow {
    pub(super) fn new(streams: events::Streams, which: Which, from: u64) -> Self {
        Self { streams, which, from, last: None }
    }

    async fn read(&self) -> Result<Page, Error> {
        let direction = Direction::Forwards;
        match &self.which {
            Which::One { stream } => {
                match self.streams.read(stream, Some(self.from), direction, BATCH).await {
                    // It may come to be.
                    Err(Error::Streams(streams::Error::NoStream(_))) => Ok(Page::default()),
                    page => page,
                }
            }
            Which::All { query } => {
                self.streams.read_all(query, Some(Position(self.from)), direction, BATCH).await
            }
        }
    }

    /// Everything up to `last` was read that `page` does not name.
    fn advance(&mut self, page: &Page, last: Position) {
        let of = |event: &streams::Event| match self.which {
            Which::One { .. } => event.revision,
            Which::All { .. } => event.position.0,
        };
        let behind = page.events.last().map(|event| of(event).saturating_add(1));
        let known = match self.which {
            Which::One { .. } => None,
            Which::All { .. } if page.next.is_none() => Some(last.0.saturating_add(1)),
            Which::All { .. } => page.next,
        };
        self.from = self.from.max(behind.unwrap_or(0)).max(known.unwrap_or(0));
        if page.next.is_none() {
            self.last = Some(last);
        }
    }

    async fn page(&mut self) -> Result<Page, Error> {
        loop {
            // Known before it is read, so that what comes meanwhile is not taken for read.
            let last = match self.last {
                None => self.streams.status().await?.position,
                Some(last) => {
                    let now = self.streams.wait(last).await?;
                    if now <= last {
                        continue;
                    }
                    now
                }
            };
            let page = self.read().await?;
            // Nothing is awaited from here on, so a call that is dropped has taken nothing.
            let is_whole = page.next.is_none();
            self.advance(&page, last);
            if !is_whole {
                self.last = None;
            }
            if !page.events.is_empty() {
                return Ok(page);
            }
        }
    }
}

impl Source for Follow {
    async fn next(&mut self) -> Option<Bytes> {
        let page = self.page().await.ok()?;
        let is_one = matches!(self.which, Which::One { .. });
        let mut out = Vec::new();
        for event in page.events {
            let id = if is_one { event.revision } else { event.position.0 };
            out.extend_from_slice(&sse::message(id, "event", &Event::from(event)));
        }
        Some(out.into())
    }
}
