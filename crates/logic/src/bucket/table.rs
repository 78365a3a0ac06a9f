//! The buckets of many keys: a table of fixed size that all workers share without a lock.
//!
//! A key belongs to one set of [`WAYS`] places. Who asks for a known key changes its bucket by
//! compare-and-swap. A new key takes the place whose bucket is fullest: one that is full, as a key's is
//! that was quiet for a while, is lost without harm, since a new one is full too. Only when more than
//! [`WAYS`] keys of one set use up their tokens at the same time is a key forgotten and given a fresh
//! burst: that is the price of bounded memory, and it needs several times as many busy keys as there
//! are places, or somebody who can choose the hashes. So hash with a secret.
//!
//! **A key never has two open buckets**, also when several workers bring it at the same moment. A new
//! key's place is *pending* at first; nobody takes tokens from it. Before a pending place is opened, by
//! whoever, all other places are looked at *after* it could be seen: another one of the same key that
//! is open wins, of several pending ones the first wins and the others are *dead*. Whether a place is
//! opened or dies is one compare-and-swap. Nobody waits: who was stopped by the system in the middle
//! leaves a place that others open, or one that is out of use until it goes on.

use super::{Bucket, Decision, Rate};
use base::Moment;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst},
    fence,
};

/// Keys of a table by default, 1 MiB: the clients of a busy site within a minute.
pub const KEYS_DEFAULT: usize = 65_536;

/// Places of a set: eight tags fill one cache line, eight buckets the next.
const WAYS: usize = 8;

/// How often a new key is looked at again because others changed its places meanwhile. Each time
/// somebody else got on; after so many it is granted without a record.
const ROUNDS_MAX: u32 = 64;

/// Tag of a place that is free.
const FREE: u64 = 0;
/// Tag of a place that somebody is about to use.
const RESERVED: u64 = 1;

/// Bucket of a place that may become its key's. No real bucket is as large: it would be full in 584
/// years.
const PENDING: u64 = u64::MAX;
/// Bucket of a place that did not become its key's; who reserved it frees it.
const DEAD: u64 = u64::MAX - 1;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Set {
    tags: [AtomicU64; WAYS],
    buckets: [AtomicU64; WAYS],
}

/// Buckets by the 64-bit hash of their key.
#[derive(Debug)]
pub struct Table {
    sets: Box<[Set]>,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(KEYS_DEFAULT)
    }
}

/// What asking for tokens needs to know.
#[derive(Clone, Copy)]
struct Ask<'a> {
    tag: u64,
    now: Moment,
    rate: &'a Rate,
    cost: u32,
}

impl Ask<'_> {
    fn of(self, bucket: u64) -> (u64, Decision) {
        let (next, decision) = Bucket::unpack(bucket).take(self.now, self.rate, self.cost);
        (next.pack().min(DEAD - 1), decision)
    }
}

impl Table {
    /// A table with room for `keys` or a few more; all its memory (16 bytes per key) is taken now.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).max(1);
        Self { sets: (0..sets).map(|_| Set::default()).collect() }
    }

    /// How many keys it can hold.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Asks for `cost` tokens of the key with this hash. A key's rate must be part of what is hashed:
    /// one key under two rates is two keys.
    pub fn take(&self, key: u64, now: Moment, rate: &Rate, cost: u32) -> Decision {
        let ask = Ask { tag: key.max(RESERVED + 1), now, rate, cost };
        let set = self.set(key);
        set.charge_known(ask).unwrap_or_else(|| set.charge_new(ask))
    }

    fn set(&self, key: u64) -> &Set {
        // The high half of the product picks evenly whatever the number of sets (Lemire 2019). FNV-like
        // hashes are best in their low bits, hence the turn of the key.
        let wide = u128::from(key.rotate_left(32)) * (self.sets.len() as u128);
        &self.sets[usize::try_from(wide >> 64).unwrap_or(0)]
    }
}

impl Set {
    /// Places of this key; some may be pending or dead.
    fn places(&self, tag: u64) -> impl Iterator<Item = usize> {
        (0..WAYS).filter(move |at| self.tags[*at].load(Acquire) == tag)
    }

    fn charge_known(&self, ask: Ask<'_>) -> Option<Decision> {
        self.places(ask.tag).find_map(|at| self.charge(at, ask))
    }

    /// Takes from the bucket at `at`; `None` when that is not, or no longer, the key's.
    fn charge(&self, at: usize, ask: Ask<'_>) -> Option<Decision> {
        let mut word = self.buckets[at].load(Acquire);
        loop {
            // The tag is read after the bucket: a place that changes hands changes its tag first, so
            // another key's bucket is never taken for this one's.
            if word >= DEAD || self.tags[at].load(Acquire) != ask.tag {
                return None;
            }
            let (next, decision) = ask.of(word);
            if next == word {
                return Some(decision);
            }
            match self.buckets[at].compare_exchange_weak(word, next, AcqRel, Acquire) {
                Ok(_) => return Some(decision),
                Err(changed) => word = changed,
            }
        }
    }

    /// Takes from the bucket of a key that had none just now.
    fn charge_new(&self, ask: Ask<'_>) -> Decision {
        let Some(own) = self.reserve() else {
            // As many workers as there are places bring a new key to this set at this moment: one
            // request more or less is better than to wait for them.
            return ask.of(Bucket::default().pack()).1;
        };
        self.buckets[own].store(PENDING, Release);
        self.tags[own].store(ask.tag, SeqCst);
        let decision = (0..ROUNDS_MAX).find_map(|_| self.settle(ask, own));
        if self.is_dead(own, ask.tag) {
            self.tags[own].store(FREE, Release);
        }
        decision.unwrap_or_else(|| ask.of(Bucket::default().pack()).1)
    }

    /// Whether a reserved place did not become its key's. Only who reserved it changes it then.
    fn is_dead(&self, own: usize, tag: u64) -> bool {
        self.buckets[own].load(Acquire) == DEAD && self.tags[own].load(Acquire) == tag
    }

    /// Makes the place free that loses least; `None` when all are being taken.
    fn reserve(&self) -> Option<usize> {
        loop {
            let places = (0..WAYS).filter_map(|at| {
                let tag = self.tags[at].load(Acquire);
                let bucket = self.buckets[at].load(Acquire);
                let is_free = tag == FREE;
                let is_usable = is_free || (tag != RESERVED && bucket < DEAD);
                is_usable.then_some((!is_free, bucket, at, tag))
            });
            let (_, _, at, tag) = places.min()?;
            if self.tags[at].compare_exchange(tag, RESERVED, AcqRel, Relaxed).is_ok() {
                return Some(at);
            }
        }
    }

    /// Lets one place of the key be its only one, and takes from it; `None`: somebody else changed
    /// something meanwhile, look again.
    fn settle(&self, ask: Ask<'_>, own: usize) -> Option<Decision> {
        let state = |at: usize| self.buckets[at].load(Acquire);
        let Some(first) = self.places(ask.tag).find(|at| state(*at) != DEAD) else {
            // The winner came to a place that was looked at before it came, or is gone already.
            if self.is_dead(own, ask.tag) {
                self.buckets[own].store(PENDING, Release);
            }
            return None;
        };
        // From here on all places are looked at again, after the first one was seen.
        fence(SeqCst);
        let open = self.places(ask.tag).find(|at| state(*at) < DEAD);
        let winner = open.unwrap_or(first);
        for other in self.places(ask.tag).filter(|at| *at != winner) {
            // Fails when it is dead already, or was opened a moment ago.
            let died = self.buckets[other].compare_exchange(PENDING, DEAD, AcqRel, Acquire);
            if died.is_err_and(|state| state != DEAD) {
                return None;
            }
        }
        if open.is_some() {
            return self.charge(winner, ask);
        }
        let (opened, decision) = ask.of(Bucket::default().pack());
        let won = self.buckets[winner].compare_exchange(PENDING, opened, AcqRel, Acquire);
        won.is_ok().then_some(decision)
    }
}
