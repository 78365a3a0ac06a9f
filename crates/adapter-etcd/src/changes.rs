//! From etcd's events to changes: whole revisions, each once, in order.

use crate::names::{Names, number, revision};
use ports::kv::{Change, Event, Range, Revision};
use proto::etcd::{
    etcdserverpb::WatchResponse,
    mvccpb::{Event as Told, event::EventType},
};
use std::collections::VecDeque;

#[cfg(test)]
mod tests;

/// What a watch has been told and has to tell.
#[derive(Debug)]
pub(crate) struct Changes {
    names: Names,
    range: Range,
    /// The first revision that was not told yet; `None`: not known before etcd says where the watch begins.
    next: Option<Revision>,
    /// A revision of which more may come.
    open: Option<Change>,
    ready: VecDeque<Change>,
}

impl Changes {
    pub(crate) fn new(names: Names, range: Range, from: Option<Revision>) -> Self {
        let next = from.map(|from| from.max(Revision(1)));
        Self { names, range, next, open: None, ready: VecDeque::new() }
    }

    /// Where etcd must begin; 0: at the next revision.
    ///
    /// That is one revision early: etcd keeps the values of the revision up to which it compacted, but not its
    /// deletions, and would not say that they are missing.
    pub(crate) fn begin(&self) -> i64 {
        self.next.map_or(0, |next| number(Revision(next.0 - 1)).max(1))
    }

    /// The watch was opened, for the first time or again: what came in part comes anew.
    pub(crate) fn opened(&mut self, at: i64) {
        self.open = None;
        self.next.get_or_insert(revision(at).next());
    }

    /// Takes what etcd says.
    pub(crate) fn take(&mut self, response: WatchResponse) {
        let is_quiet = response.events.is_empty() && !response.fragment && self.open.is_none();
        for event in response.events {
            self.add(event);
        }
        if !response.fragment {
            self.close();
        }
        if is_quiet && let (Some(next), Some(header)) = (&mut self.next, response.header) {
            // Nothing happened up to here: what is behind may be forgotten.
            *next = (*next).max(revision(header.revision).next());
        }
    }

    /// The next change that is whole.
    pub(crate) fn pop(&mut self) -> Option<Change> {
        self.ready.pop_front()
    }

    fn add(&mut self, told: Told) {
        let is_put = told.r#type() == EventType::Put;
        let Some(kv) = told.kv else { return };
        let revision = revision(kv.mod_revision);
        if self.next.is_none_or(|next| revision < next) {
            return;
        }
        if self.open.as_ref().is_some_and(|open| open.revision != revision) {
            self.close();
        }
        let Some(entry) = self.names.entry(kv) else { return };
        if !self.range.contains(&entry.key) {
            return;
        }
        let event =
            if is_put { Event::Put(entry) } else { Event::Delete { key: entry.key, revision } };
        let open = self.open.get_or_insert_with(|| Change { revision, events: Vec::new() });
        open.events.push(event);
    }

    fn close(&mut self) {
        if let Some(change) = self.open.take() {
            self.next = Some(change.revision.next());
            self.ready.push_back(change);
        }
    }
}
