//! The kv contract as a plain data structure: no task, no clock, no disk.
//!
//! Everything is written in the most obvious way, so that it can be checked by reading; engines are compared with
//! it. Time is an argument: the moment of the engine's clock at which a call takes effect.

use super::super::{
    Change, Condition, Entry, Error, Event, Is, Lease, LeaseId, LeaseStatus, Life, Operation,
    Outcome, PAGE_MAX, Page, Range, Revision, Transaction, check_key, check_ttl,
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
    time::Duration,
};

/// Keys, their history and leases.
#[derive(Clone, Debug, Default)]
pub struct Model {
    entries: View,
    revision: Revision,
    compacted: Revision,
    history: BTreeMap<Revision, Vec<Event>>,
    leases: BTreeMap<LeaseId, Holding>,
    last_lease: u64,
}

/// All keys at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View(BTreeMap<Bytes, Entry>);

/// A living lease.
#[derive(Clone, Debug)]
struct Holding {
    ttl: Duration,
    ends: Duration,
    keys: BTreeSet<Bytes>,
    /// Granted for one entry by [`Life::Ttl`].
    is_own: bool,
}

impl View {
    /// One key.
    #[must_use]
    pub fn get(&self, key: &[u8]) -> Option<&Entry> {
        self.0.get(key)
    }

    /// All entries in the order of keys.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// One page, said to be of `revision`.
    #[must_use]
    pub fn page(&self, range: &Range, limit: usize, revision: Revision) -> Page {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut inside = self.0.values().filter(|entry| range.contains(&entry.key));
        let entries = inside.by_ref().take(limit).cloned().collect();
        Page { entries, revision, next: inside.next().map(|entry| entry.key.clone()) }
    }
}

impl Model {
    /// An empty engine at revision 0.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The newest revision.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The last revision whose history is gone.
    #[must_use]
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// All keys as they are.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.entries
    }

    /// Number of living leases, those of single entries not counted.
    #[must_use]
    pub fn leases(&self) -> u64 {
        let granted = self.leases.values().filter(|lease| !lease.is_own).count();
        u64::try_from(granted).unwrap_or(u64::MAX)
    }

    /// Ends the leases whose time is over at `now`: a revision for each that has keys.
    pub fn tick(&mut self, now: Duration) {
        let over =
            |(id, lease): (&LeaseId, &Holding)| (lease.ends <= now).then_some((lease.ends, *id));
        let mut ended: Vec<_> = self.leases.iter().filter_map(over).collect();
        ended.sort_unstable();
        for (_, id) in ended {
            self.end(id);
        }
    }

    /// What a restart of the engine does: every lease has its full time again.
    pub fn restart(&mut self, now: Duration) {
        for lease in self.leases.values_mut() {
            lease.ends = now + lease.ttl;
        }
    }

    /// As `Kv::commit`.
    ///
    /// # Errors
    /// As there.
    pub fn commit(&mut self, now: Duration, transaction: &Transaction) -> Result<Outcome, Error> {
        transaction.check()?;
        self.tick(now);
        if !transaction.conditions.iter().all(|condition| self.holds(condition)) {
            let look = |condition: &Condition| self.entries.get(&condition.key).cloned();
            let found = transaction.conditions.iter().map(look).collect();
            return Ok(Outcome::Refused { revision: self.revision, found });
        }
        for operation in &transaction.operations {
            if let Operation::Put { life: Life::Lease(lease), .. } = operation
                && !self.leases.contains_key(lease)
            {
                return Err(Error::LeaseGone(*lease));
            }
        }
        let revision = self.revision.next();
        let mut events = Vec::new();
        for operation in &transaction.operations {
            match operation {
                Operation::Put { key, value, life } => {
                    events.push(self.put(now, key, value, *life, revision));
                }
                Operation::Delete { key } => events.extend(self.delete(key, revision)),
                Operation::DeleteRange { range } => {
                    let inside: Vec<Bytes> =
                        self.entries.0.keys().filter(|key| range.contains(key)).cloned().collect();
                    events.extend(inside.iter().filter_map(|key| self.delete(key, revision)));
                }
            }
        }
        // Only now: a later operation may have used the lease of an entry that an earlier one removed.
        self.leases.retain(|_, lease| !lease.is_own || !lease.keys.is_empty());
        self.record(events);
        Ok(Outcome::Committed { revision: self.revision })
    }

    /// As `Kv::grant`.
    ///
    /// # Errors
    /// As there.
    pub fn grant(&mut self, now: Duration, ttl: Duration) -> Result<Lease, Error> {
        check_ttl(ttl)?;
        self.tick(now);
        Ok(self.grant_as(now, ttl, false))
    }

    /// As `Kv::renew`.
    ///
    /// # Errors
    /// As there.
    pub fn renew(&mut self, now: Duration, id: LeaseId) -> Result<Duration, Error> {
        self.tick(now);
        let lease = self.leases.get_mut(&id).ok_or(Error::LeaseGone(id))?;
        lease.ends = now + lease.ttl;
        Ok(lease.ttl)
    }

    /// As `Kv::revoke`.
    pub fn revoke(&mut self, now: Duration, id: LeaseId) {
        self.tick(now);
        self.end(id);
    }

    /// As `Kv::lease`.
    ///
    /// # Errors
    /// As there.
    pub fn lease(&mut self, now: Duration, id: LeaseId) -> Result<LeaseStatus, Error> {
        self.tick(now);
        let lease = self.leases.get(&id).ok_or(Error::LeaseGone(id))?;
        let remaining = Duration::from_secs(lease.ends.saturating_sub(now).as_secs());
        Ok(LeaseStatus { ttl: lease.ttl, remaining, keys: lease.keys.iter().cloned().collect() })
    }

    /// The first change within `range` at `from` or later.
    ///
    /// # Errors
    /// [`Error::Compacted`] when it may have been forgotten.
    pub fn change(&self, range: &Range, from: Revision) -> Result<Option<Change>, Error> {
        let from = from.max(Revision(1));
        if from <= self.compacted {
            return Err(Error::Compacted { compacted: self.compacted });
        }
        let found = self.history.range(from..).find_map(|(revision, events)| {
            let inside = |event: &&Event| range.contains(event.key());
            let events: Vec<Event> = events.iter().filter(inside).cloned().collect();
            (!events.is_empty()).then_some(Change { revision: *revision, events })
        });
        Ok(found)
    }

    /// As `Kv::compact`.
    ///
    /// # Errors
    /// As there.
    pub fn compact(&mut self, revision: Revision) -> Result<(), Error> {
        if revision > self.revision {
            let message = format!("revision {revision} is in the future: {} is", self.revision);
            return Err(Error::Invalid(format!("{message} the newest")));
        }
        self.compacted = self.compacted.max(revision);
        self.history.retain(|revision, _| *revision > self.compacted);
        Ok(())
    }

    fn holds(&self, condition: &Condition) -> bool {
        let entry = self.entries.get(&condition.key);
        match &condition.is {
            Is::Missing => entry.is_none(),
            Is::Present => entry.is_some(),
            Is::CreatedAt(revision) => entry.is_some_and(|entry| entry.created == *revision),
            Is::ModifiedAt(revision) => entry.is_some_and(|entry| entry.modified == *revision),
            Is::Value(value) => entry.is_some_and(|entry| entry.value == *value),
        }
    }

    fn put(
        &mut self,
        now: Duration,
        key: &Bytes,
        value: &Bytes,
        life: Life,
        revision: Revision,
    ) -> Event {
        let before = self.entries.0.remove(key);
        if let Some(lease) = before.as_ref().and_then(|entry| entry.lease) {
            self.detach(lease, key);
        }
        let lease = match life {
            Life::Endless => None,
            Life::Lease(lease) => Some(lease),
            Life::Ttl(ttl) => Some(self.grant_as(now, ttl, true).id),
        };
        if let Some(holding) = lease.and_then(|lease| self.leases.get_mut(&lease)) {
            holding.keys.insert(key.clone());
        }
        let entry = Entry {
            key: key.clone(),
            value: value.clone(),
            created: before.as_ref().map_or(revision, |entry| entry.created),
            modified: revision,
            version: before.map_or(1, |entry| entry.version + 1),
            lease,
        };
        self.entries.0.insert(key.clone(), entry.clone());
        Event::Put(entry)
    }

    fn delete(&mut self, key: &Bytes, revision: Revision) -> Option<Event> {
        let entry = self.entries.0.remove(key)?;
        if let Some(lease) = entry.lease {
            self.detach(lease, key);
        }
        Some(Event::Delete { key: entry.key, revision })
    }

    fn detach(&mut self, id: LeaseId, key: &Bytes) {
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.keys.remove(key);
        }
    }

    fn grant_as(&mut self, now: Duration, ttl: Duration, is_own: bool) -> Lease {
        self.last_lease += 1;
        let id = LeaseId(NonZeroU64::new(self.last_lease).expect("it counts from one"));
        let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        let ttl = Duration::from_secs(whole);
        self.leases.insert(id, Holding { ttl, ends: now + ttl, keys: BTreeSet::new(), is_own });
        Lease { id, ttl }
    }

    fn end(&mut self, id: LeaseId) {
        let Some(lease) = self.leases.remove(&id) else { return };
        let revision = self.revision.next();
        let events = lease.keys.iter().filter_map(|key| self.delete(key, revision)).collect();
        self.record(events);
    }

    /// Takes a revision, if something changed.
    fn record(&mut self, events: Vec<Event>) {
        if !events.is_empty() {
            self.revision = self.revision.next();
            self.history.insert(self.revision, events);
        }
    }
}

/// What engines do with a key before they read it.
pub(super) fn look(view: &View, key: &[u8]) -> Result<Option<Entry>, Error> {
    check_key(key)?;
    Ok(view.get(key).cloned())
}
