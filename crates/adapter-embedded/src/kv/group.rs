//! What a group of commands does: each is decided against what those before it leave, before any of it is durable.

use bytes::Bytes;
use ports::kv::{
    Condition, Entry, Error, Is, Lease, Life, Operation, Outcome, Range, Revision, Transaction,
};
use std::{collections::BTreeMap, time::Duration};

use super::{
    leases::gone,
    merge::Layers,
    overlay::bounds,
    record::{Changed, Effect, Record},
    row::{Row, Version, lease_id, own},
    shared::Shared,
};
use crate::log::Batch;

/// Most bytes of keys that one range may delete: they are one record of the log, and in memory.
const DELETED_BYTES_MAX: usize = 256 << 20;

/// Decides commands one after the other and collects what the log is to have.
#[derive(Debug)]
pub(super) struct Group<'a> {
    shared: &'a Shared,
    layers: Layers,
    revision: u64,
    compacted: u64,
    last_lease: u64,
    /// What the group has changed so far.
    pending: BTreeMap<Bytes, Version>,
    /// Leases that the group ends.
    pub(super) ended: Vec<u64>,
    pub(super) records: Vec<Record>,
    batch: &'a mut Batch,
}

impl<'a> Group<'a> {
    pub(super) fn new(shared: &'a Shared, batch: &'a mut Batch) -> Self {
        batch.clear();
        let view = shared.view();
        Self {
            shared,
            layers: view.layers.clone(),
            revision: view.revision,
            compacted: view.compacted,
            last_lease: view.last_lease,
            pending: BTreeMap::new(),
            ended: Vec::new(),
            records: Vec::new(),
            batch,
        }
    }

    /// Bytes that the log will get.
    pub(super) fn bytes(&self) -> u64 {
        self.batch.len()
    }

    /// Decides a transaction, which was checked.
    pub(super) fn commit(&mut self, transaction: &Transaction) -> Result<Outcome, Error> {
        let mut holds = true;
        for condition in &transaction.conditions {
            holds = holds && self.holds(condition)?;
        }
        if !holds {
            let found = transaction.conditions.iter().map(|condition| self.entry(&condition.key));
            let found = found.collect::<Result<_, _>>()?;
            return Ok(Outcome::Refused { revision: Revision(self.revision), found });
        }
        let leases = self.check_leases(&transaction.operations)?;
        let mut effects = Vec::with_capacity(transaction.operations.len());
        let mut last_lease = self.last_lease;
        for (operation, own_ttl) in transaction.operations.iter().zip(leases) {
            match operation {
                Operation::Put { key, value, life } => {
                    let (lease, own_ttl) = match life {
                        Life::Endless => (0, 0),
                        Life::Lease(lease) => (lease.0.get(), own_ttl),
                        Life::Ttl(ttl) => {
                            last_lease += 1;
                            (last_lease, seconds(*ttl))
                        }
                    };
                    effects.push(self.put(key, value, lease, own_ttl)?);
                }
                Operation::Delete { key } => effects.extend(self.delete(key)?),
                Operation::DeleteRange { range } => self.delete_range(range, &mut effects)?,
            }
        }
        self.last_lease = last_lease;
        if !effects.is_empty() {
            self.change(effects, 0);
        }
        Ok(Outcome::Committed { revision: Revision(self.revision) })
    }

    pub(super) fn grant(&mut self, ttl: Duration) -> Result<Lease, Error> {
        let ttl = seconds(ttl);
        let id = lease_id(self.last_lease + 1).ok_or_else(|| gone(0))?;
        self.last_lease += 1;
        self.record(Record::Grant { lease: self.last_lease, ttl });
        Ok(Lease { id, ttl: Duration::from_secs(ttl.into()) })
    }

    /// Ends a lease, if it is there, and deletes its keys.
    pub(super) fn end(&mut self, lease: u64) -> Result<(), Error> {
        let keys = self.shared.leases().keys(lease);
        let Some(keys) = keys else { return Ok(()) };
        // What the group gave to the lease before, or took from it.
        let given = self.pending.iter().filter(|(_, version)| has_lease(version, lease));
        let mut keys: Vec<Bytes> = given.map(|(key, _)| key.clone()).chain(keys).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut effects = Vec::new();
        for key in keys {
            if self.version(&key, false)?.is_some_and(|version| has_lease(&version, lease)) {
                effects.push(Effect { key, row: None, left: lease });
            }
        }
        self.shared.leases().set_ending(lease, true);
        self.ended.push(lease);
        self.change(effects, lease);
        Ok(())
    }

    /// Forgets the history up to `revision`.
    pub(super) fn compact(&mut self, revision: u64) -> Result<(), Error> {
        if revision > self.revision {
            let newest = self.revision;
            let message = format!("revision {revision} is in the future, {newest} is the newest");
            return Err(Error::Invalid(message));
        }
        if revision > self.compacted {
            self.compacted = revision;
            self.record(Record::Compact { revision });
        }
        Ok(())
    }

    fn record(&mut self, record: Record) {
        record.encode(self.batch.entry());
        self.records.push(record);
    }

    /// Takes the next revision if keys change.
    fn change(&mut self, effects: Vec<Effect>, ended: u64) {
        let revision = if effects.is_empty() { 0 } else { self.revision + 1 };
        self.revision = self.revision.max(revision);
        for effect in &effects {
            let version = Version { revision, row: effect.row.clone() };
            self.pending.insert(effect.key.clone(), version);
        }
        self.record(Record::Change(Changed { revision, ended, effects }));
    }

    /// A key as the group has left it so far; `None` when it was never there or is deleted.
    fn version(&self, key: &[u8], with_value: bool) -> Result<Option<Version>, Error> {
        let version = match self.pending.get(key) {
            Some(version) => Some(version.clone()),
            None => {
                self.layers.get(key, with_value).map_err(|trouble| self.shared.trouble(trouble))?
            }
        };
        Ok(version.filter(|version| version.row.is_some()))
    }

    fn entry(&self, key: &Bytes) -> Result<Option<Entry>, Error> {
        let version = self.version(key, true)?;
        Ok(version.and_then(|Version { revision, row }| {
            row.map(|row| row.entry(Bytes::copy_from_slice(key), revision))
        }))
    }

    fn holds(&self, condition: &Condition) -> Result<bool, Error> {
        let with_value = matches!(condition.is, Is::Value(_));
        let version = self.version(&condition.key, with_value)?;
        let found = version.as_ref().and_then(|it| it.row.as_ref().map(|row| (it.revision, row)));
        Ok(match (&condition.is, found) {
            (Is::Missing, found) => found.is_none(),
            (_, None) => false,
            (Is::Present, Some(_)) => true,
            (Is::CreatedAt(revision), Some((_, row))) => row.created == revision.0,
            (Is::ModifiedAt(revision), Some((modified, _))) => modified == revision.0,
            (Is::Value(value), Some((_, row))) => row.value == *value,
        })
    }

    /// For each operation the seconds of the lease that it names, if that is an entry's own, else 0.
    fn check_leases(&self, operations: &[Operation]) -> Result<Vec<u32>, Error> {
        let now = self.shared.now();
        let check = |operation: &Operation| match operation {
            Operation::Put { life: Life::Lease(lease), .. } => {
                let id = lease.0.get();
                self.shared.leases().look(id, now).ok_or_else(|| gone(id))
            }
            Operation::Put { .. } | Operation::Delete { .. } | Operation::DeleteRange { .. } => {
                Ok(0)
            }
        };
        operations.iter().map(check).collect()
    }

    fn put(&self, key: &[u8], value: &[u8], lease: u64, own_ttl: u32) -> Result<Effect, Error> {
        let before = self.version(key, false)?.and_then(|version| version.row);
        let (key, value) = own(key, value);
        let (created, version, left) = before
            .map_or((self.revision + 1, 1, 0), |row| (row.created, row.version + 1, row.lease));
        Ok(Effect { key, row: Some(Row { created, version, lease, own_ttl, value }), left })
    }

    fn delete(&self, key: &[u8]) -> Result<Option<Effect>, Error> {
        let before = self.version(key, false)?.and_then(|version| version.row);
        let key = Bytes::copy_from_slice(key);
        Ok(before.map(|row| Effect { key, row: None, left: row.lease }))
    }

    fn delete_range(&self, range: &Range, effects: &mut Vec<Effect>) -> Result<(), Error> {
        let mut rows = self.layers.rows(range, false);
        let (mut left, mut size) = (BTreeMap::new(), 0);
        while let Some((key, version)) = rows.next().map_err(|it| self.shared.trouble(it))? {
            size += key.len();
            if size > DELETED_BYTES_MAX {
                let (what, limit) = ("bytes of keys in the range", DELETED_BYTES_MAX);
                return Err(Error::TooLarge { what, size, limit });
            }
            left.insert(key, version.row.map_or(0, |row| row.lease));
        }
        for (key, version) in self.pending.range::<[u8], _>(bounds(range)) {
            match &version.row {
                Some(row) => drop(left.insert(key.clone(), row.lease)),
                None => drop(left.remove(key)),
            }
        }
        effects.extend(left.into_iter().map(|(key, left)| Effect { key, row: None, left }));
        Ok(())
    }
}

fn has_lease(version: &Version, lease: u64) -> bool {
    version.row.as_ref().is_some_and(|row| row.lease == lease)
}

/// Whole seconds, rounded up.
fn seconds(ttl: Duration) -> u32 {
    let whole = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    u32::try_from(whole).unwrap_or(u32::MAX)
}
