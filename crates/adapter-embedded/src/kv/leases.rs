//! Leases that are alive.

use bytes::Bytes;
use ports::kv::{Error, LeaseId, LeaseStatus};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use super::{
    record::{Changed, Effect},
    row::lease_id,
};

/// All leases that are alive, by name and by the moment at which they end. Moments are milliseconds of the engine's
/// clock.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: HashMap<u64, Held>,
    ends: BTreeSet<(u64, u64)>,
    /// How many of them are no entry's own.
    granted: u64,
}

#[derive(Debug)]
struct Held {
    /// Seconds.
    ttl: u32,
    ends: u64,
    keys: Keys,
    /// Granted with an entry, and forgotten with the last one that has it.
    is_own: bool,
    /// The log is being told that it ends: it cannot be renewed any more.
    is_ending: bool,
}

/// Mostly one, for which a set would be a waste.
#[derive(Debug)]
enum Keys {
    One(Bytes),
    Many(BTreeSet<Bytes>),
}

impl Leases {
    /// A lease that has its full time from `now` on.
    pub(super) fn grant(&mut self, id: u64, ttl: u32, is_own: bool, now: u64) {
        let ends = now + u64::from(ttl) * 1_000;
        let keys = Keys::Many(BTreeSet::new());
        let held = Held { ttl, ends, keys, is_own, is_ending: false };
        if self.held.insert(id, held).is_none() {
            self.granted += u64::from(!is_own);
        }
        self.ends.insert((ends, id));
    }

    /// Lets `key` end with the lease.
    pub(super) fn attach(&mut self, id: u64, key: Bytes) {
        let Some(held) = self.held.get_mut(&id) else { return };
        match &mut held.keys {
            Keys::Many(keys) if keys.is_empty() => held.keys = Keys::One(key),
            Keys::Many(keys) => drop(keys.insert(key)),
            Keys::One(one) if *one == key => {}
            Keys::One(one) => held.keys = Keys::Many([one.clone(), key].into()),
        }
    }

    /// Lets `key` end with the lease no more.
    pub(super) fn detach(&mut self, id: u64, key: &[u8]) {
        let Some(held) = self.held.get_mut(&id) else { return };
        match &mut held.keys {
            Keys::Many(keys) => drop(keys.remove(key)),
            Keys::One(one) if *one == key => held.keys = Keys::Many(BTreeSet::new()),
            Keys::One(_) => {}
        }
        let is_bare = matches!(&held.keys, Keys::Many(keys) if keys.is_empty());
        if held.is_own && is_bare {
            self.end(id);
        }
    }

    /// Does what a change does to leases. `last` is the newest one; returns the newest after the change.
    pub(super) fn follow(&mut self, changed: &Changed, mut last: u64, now: u64) -> u64 {
        let leased = |effect: &Effect| effect.row.as_ref().map_or(0, |row| row.lease);
        // First what comes and then what goes: a lease of entries may pass from one to another.
        for effect in &changed.effects {
            let lease = leased(effect);
            if let Some(row) = effect.row.as_ref().filter(|row| row.own_ttl != 0) {
                // An entry's own lease may have ended with it in the same group, after another was given it.
                if lease > last || !self.held.contains_key(&lease) {
                    self.grant(lease, row.own_ttl, true, now);
                }
                last = last.max(lease);
            }
            if lease != 0 && lease != effect.left {
                self.attach(lease, effect.key.clone());
            }
        }
        for effect in &changed.effects {
            if effect.left != 0 && effect.left != leased(effect) {
                self.detach(effect.left, &effect.key);
            }
        }
        last
    }

    pub(super) fn end(&mut self, id: u64) {
        if let Some(held) = self.held.remove(&id) {
            self.ends.remove(&(held.ends, id));
            self.granted -= u64::from(!held.is_own);
        }
    }

    /// The lease, if keys may be given to it.
    fn alive(&self, id: u64, now: u64) -> Option<&Held> {
        self.held.get(&id).filter(|held| held.ends > now && !held.is_ending)
    }

    /// Whether it is alive: its seconds if it is an entry's own, else 0.
    pub(super) fn look(&self, id: u64, now: u64) -> Option<u32> {
        self.alive(id, now).map(|held| if held.is_own { held.ttl } else { 0 })
    }

    /// Gives it its full time again.
    pub(super) fn renew(&mut self, id: LeaseId, now: u64) -> Result<Duration, Error> {
        let number = id.0.get();
        if self.alive(number, now).is_none() {
            return Err(Error::LeaseGone(id));
        }
        let held = self.held.get_mut(&number).ok_or(Error::LeaseGone(id))?;
        self.ends.remove(&(held.ends, number));
        held.ends = now + u64::from(held.ttl) * 1_000;
        self.ends.insert((held.ends, number));
        Ok(Duration::from_secs(held.ttl.into()))
    }

    pub(super) fn status(&self, id: LeaseId, now: u64) -> Result<LeaseStatus, Error> {
        let held = self.alive(id.0.get(), now).ok_or(Error::LeaseGone(id))?;
        let ttl = Duration::from_secs(held.ttl.into());
        let remaining = Duration::from_secs((held.ends - now) / 1_000);
        Ok(LeaseStatus { ttl, remaining, keys: held.keys() })
    }

    /// The keys that end with a lease, in order; `None`: it is not there or about to be gone.
    pub(super) fn keys(&self, id: u64) -> Option<Vec<Bytes>> {
        self.held.get(&id).filter(|held| !held.is_ending).map(Held::keys)
    }

    /// Up to `limit` leases whose time is over, in the order in which it was.
    pub(super) fn over(&self, now: u64, limit: usize) -> Vec<u64> {
        let over = self.ends.iter().take_while(|(ends, _)| *ends <= now);
        over.take(limit).map(|(_, id)| *id).collect()
    }

    /// When the next one ends.
    pub(super) fn next_end(&self) -> Option<u64> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// Keeps a lease from being renewed while the log is told that it ends, or lets it again.
    pub(super) fn set_ending(&mut self, id: u64, is_ending: bool) {
        if let Some(held) = self.held.get_mut(&id) {
            held.is_ending = is_ending;
        }
    }

    /// How many are alive, those of entries not counted.
    pub(super) fn granted(&self) -> u64 {
        self.granted
    }

    /// Gives all their full time.
    pub(super) fn restart(&mut self, now: u64) {
        self.ends.clear();
        for (id, held) in &mut self.held {
            held.ends = now + u64::from(held.ttl) * 1_000;
            held.is_ending = false;
            self.ends.insert((held.ends, *id));
        }
    }

    /// A lease as the tree has it.
    pub(super) fn load(&mut self, id: u64, ttl: u32) {
        self.grant(id, ttl, false, 0);
    }

    /// A key of a lease as the tree has it; `own_ttl` is not 0 if the lease is an entry's own.
    pub(super) fn load_key(&mut self, id: u64, key: &[u8], own_ttl: u32) {
        if own_ttl != 0 && !self.held.contains_key(&id) {
            self.grant(id, own_ttl, true, 0);
        }
        self.attach(id, Bytes::copy_from_slice(key));
    }
}

impl Held {
    fn keys(&self) -> Vec<Bytes> {
        match &self.keys {
            Keys::One(key) => vec![key.clone()],
            Keys::Many(keys) => keys.iter().cloned().collect(),
        }
    }
}

/// What the port calls a lease that is not alive.
pub(super) fn gone(id: u64) -> Error {
    lease_id(id)
        .map_or_else(|| Error::Invalid("a lease has no number 0".to_owned()), Error::LeaseGone)
}
