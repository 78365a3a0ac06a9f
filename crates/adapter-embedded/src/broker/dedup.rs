//! Which ids were published lately.
//!
//! Kept in memory only: when the engine is opened they are read again from the messages of the window, as soon as
//! somebody publishes with an id. Those of messages that were removed before are forgotten then.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
};

/// Most ids of a topic that are remembered, whatever its window is: about 16 MiB.
pub(super) const IDS_MAX: usize = 256 << 10;

/// An id, short. Two ids that differ have the same one less often than disks fail.
pub(super) type Print = (u64, u64);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Dedup {
    states: [RandomState; 2],
    offsets: HashMap<Print, u64>,
    /// In the order in which they are forgotten, each with its time.
    order: VecDeque<(u64, Print)>,
    /// What was published up to here is to be read from the topic first.
    pub(super) unread: Option<u64>,
}

impl Dedup {
    pub(super) fn print(&self, id: &[u8]) -> Print {
        let [a, b] = &self.states;
        (a.hash_one(id), b.hash_one(id))
    }

    /// Where the message with this id stands, if it was taken after `cutoff`.
    pub(super) fn get(&mut self, print: Print, cutoff: u64) -> Option<u64> {
        self.forget(cutoff);
        self.offsets.get(&print).copied()
    }

    pub(super) fn insert(&mut self, print: Print, offset: u64, time: u64) {
        if self.offsets.insert(print, offset).is_none() {
            self.order.push_back((time, print));
        }
        if self.order.len() > IDS_MAX {
            self.pop();
        }
    }

    fn forget(&mut self, cutoff: u64) {
        while self.order.front().is_some_and(|(time, _)| *time < cutoff) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some((_, print)) = self.order.pop_front() {
            self.offsets.remove(&print);
        }
    }
}
