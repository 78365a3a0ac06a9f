//! Reads: pages, snapshots, and what is left of the history.

use super::Shared;
use crate::{
    members::{Attempt, Effect, Trouble},
    names::{number, revision},
};
use async_trait::async_trait;
use ports::kv::{Entry, Error, PAGE_MAX, Page, Range, Revision, Snapshot};
use proto::etcd::etcdserverpb::{RangeRequest, RangeResponse};
use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

/// Longest page. etcd makes it whatever its size; what is longer is asked for again in smaller pages.
pub(super) const PAGE_SIZE_MAX: usize = 32 << 20;

/// By how much pages are made smaller then.
const PAGE_STEP: usize = 8;

impl Shared {
    pub(super) async fn entries(&self, request: RangeRequest) -> Result<RangeResponse, Trouble> {
        self.members
            .call(Effect::Read, |attempt: Attempt| {
                let request = attempt.request(request.clone());
                let mut client = attempt.kv().max_decoding_message_size(PAGE_SIZE_MAX);
                async move { Ok(client.range(request).await?.into_inner()) }
            })
            .await
    }

    /// Looks at no entry, at `at` (0: now); returns the newest revision.
    pub(super) async fn probe(&self, at: Revision) -> Result<Revision, Trouble> {
        let request = RangeRequest {
            key: self.names.any(),
            revision: number(at),
            count_only: true,
            ..RangeRequest::default()
        };
        let response = self.entries(request).await?;
        Ok(revision(response.header.map_or(0, |header| header.revision)))
    }

    /// The last revision that is forgotten. etcd does not tell, but refuses to read before it.
    pub(super) async fn compacted(&self) -> Result<Revision, Error> {
        let is_forgotten = async |at: u64| match self.probe(Revision(at)).await {
            Ok(_) => Ok(false),
            Err(Trouble::Compacted(_)) => Ok(true),
            Err(trouble) => Err(self.trouble(trouble)),
        };
        let mut forgotten = self.compacted.load(Ordering::Relaxed).max(1);
        if !is_forgotten(forgotten).await? {
            return Ok(Revision(forgotten));
        }
        let newest = self.probe(Revision(0)).await.map_err(|trouble| self.trouble(trouble))?;
        // Compaction may go on meanwhile, but not beyond what is the newest by then.
        let mut kept = newest.0;
        while is_forgotten(kept).await? {
            forgotten = kept;
            kept = self.probe(Revision(0)).await.map_err(|trouble| self.trouble(trouble))?.0;
        }
        while forgotten + 1 < kept {
            let middle = forgotten + (kept - forgotten) / 2;
            if is_forgotten(middle).await? {
                forgotten = middle;
            } else {
                kept = middle;
            }
        }
        self.compacted.fetch_max(kept, Ordering::Relaxed);
        Ok(Revision(kept))
    }

    /// Entries of `range` at `at` (0: now).
    pub(super) async fn page(
        &self,
        range: &Range,
        limit: usize,
        at: Revision,
    ) -> Result<Page, Error> {
        let Some(span) = self.names.span(range) else {
            let revision = match at {
                Revision(0) => self.probe(at).await.map_err(|trouble| self.trouble(trouble))?,
                at => at,
            };
            return Ok(Page { entries: Vec::new(), revision, next: None });
        };
        let asked = limit.clamp(1, PAGE_MAX);
        // Entries are often alike: a page that was too long is not asked for at every call.
        let mut limit = asked.min(self.page.load(Ordering::Relaxed));
        loop {
            let request = RangeRequest {
                key: span.key.clone(),
                range_end: span.end.clone(),
                limit: i64::try_from(limit).unwrap_or(1),
                revision: number(at),
                ..RangeRequest::default()
            };
            let response = match self.entries(request).await {
                Ok(response) => response,
                Err(Trouble::TooLong(_)) if limit > 1 => {
                    limit = (limit / PAGE_STEP).max(1);
                    self.page.store(limit, Ordering::Relaxed);
                    continue;
                }
                Err(Trouble::Compacted(_)) => {
                    return Err(Error::Compacted { compacted: self.compacted().await? });
                }
                Err(trouble) => return Err(self.trouble(trouble)),
            };
            if limit < asked {
                // They need not stay alike.
                self.page.store((limit * 2).min(PAGE_MAX), Ordering::Relaxed);
            }
            let newest = revision(response.header.map_or(0, |header| header.revision));
            let own = response.kvs.into_iter().filter_map(|kv| self.names.entry(kv));
            let entries: Vec<Entry> = own.collect();
            let last = entries.last().filter(|_| response.more);
            let next = last.and_then(|last| Range::key(last.key.clone()).to);
            let revision = if at == Revision(0) { newest } else { at };
            return Ok(Page { entries, revision, next });
        }
    }
}

/// All keys at one revision, which etcd's history has.
pub(super) struct At {
    pub(super) shared: Arc<Shared>,
    pub(super) revision: Revision,
}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("At").field(&self.revision).finish()
    }
}

#[async_trait]
impl Snapshot for At {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn range(&mut self, range: &Range, limit: usize) -> Result<Page, Error> {
        self.shared.page(range, limit, self.revision).await
    }
}
