//! The newest delivery of each message, as far as it came to this process.
//!
//! JetStream takes what an older delivery gives back or extends as if it were the newest. Whoever got both is told apart
//! here; where the newer one went to another process it counts, and the message comes earlier or later than it should.

use crate::receipt::Stamp;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// How many deliveries are remembered, at least; at most twice as many.
const REMEMBERED: usize = 1 << 16;

#[derive(Debug, Default)]
pub(crate) struct Newest(Mutex<Generations>);

type Deliveries = HashMap<(Box<str>, u64), Last>;

/// When the new ones are many, they become the old ones, and the old ones are forgotten.
#[derive(Debug, Default)]
struct Generations {
    new: Deliveries,
    old: Deliveries,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    delivery: u64,
    is_given_back: bool,
}

impl Newest {
    pub(crate) fn deliver(&self, stamp: &Stamp<'_>) {
        self.put(stamp, Last { delivery: stamp.delivery, is_given_back: false });
    }

    pub(crate) fn give_back(&self, stamp: &Stamp<'_>) {
        self.put(stamp, Last { delivery: stamp.delivery, is_given_back: true });
    }

    fn put(&self, stamp: &Stamp<'_>, last: Last) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.new.len() >= REMEMBERED {
            generations.old = std::mem::take(&mut generations.new);
        }
        generations.new.insert(key(stamp), last);
    }

    pub(crate) fn settle(&self, stamp: &Stamp<'_>) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(stamp);
        generations.new.remove(&key);
        generations.old.remove(&key);
    }

    /// Whether it may still be given back: no newer delivery is known.
    pub(crate) fn is_newest(&self, stamp: &Stamp<'_>) -> bool {
        self.last(stamp).is_none_or(|last| last.delivery <= stamp.delivery)
    }

    /// Whether somebody may still be working on it.
    pub(crate) fn is_in_work(&self, stamp: &Stamp<'_>) -> bool {
        let is_back = |last: Last| last.delivery == stamp.delivery && last.is_given_back;
        self.is_newest(stamp) && !self.last(stamp).is_some_and(is_back)
    }

    fn last(&self, stamp: &Stamp<'_>) -> Option<Last> {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = key(stamp);
        generations.new.get(&key).or_else(|| generations.old.get(&key)).copied()
    }
}

/// Epochs make the names of consumers differ between streams of the same name.
fn key(stamp: &Stamp<'_>) -> (Box<str>, u64) {
    (format!("{}.{}", stamp.stream, stamp.consumer).into(), stamp.offset)
}

#[cfg(test)]
mod tests {
    use super::{Newest, REMEMBERED};
    use crate::receipt::Stamp;

    fn stamp(subject: &str) -> Stamp<'_> {
        Stamp::read(subject).expect("it is one")
    }

    #[test]
    fn a_newer_delivery_takes_the_place_of_an_older() {
        let newest = Newest::default();
        let (older, newer) = (stamp("$JS.ACK.s.g_1.1.7.1.0.0"), stamp("$JS.ACK.s.g_1.2.7.2.0.0"));
        assert!(newest.is_newest(&older), "nothing is known");
        newest.deliver(&older);
        assert!(newest.is_newest(&older) && newest.is_in_work(&older));
        newest.deliver(&newer);
        assert!(!newest.is_newest(&older) && newest.is_newest(&newer));
        newest.give_back(&newer);
        assert!(newest.is_newest(&newer) && !newest.is_in_work(&newer));
        assert!(newest.is_in_work(&stamp("$JS.ACK.s.g_2.1.7.1.0.0")), "of another consumer");
        newest.settle(&newer);
        assert!(newest.is_newest(&older), "it is forgotten");
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let newest = Newest::default();
        let subjects: Vec<String> =
            (1..=2 * REMEMBERED + 1).map(|n| format!("$JS.ACK.s.g_1.2.{n}.{n}.0.0")).collect();
        subjects.iter().for_each(|subject| newest.deliver(&stamp(subject)));
        let older = |n: usize| format!("$JS.ACK.s.g_1.1.{n}.0.0.0");
        assert!(newest.is_newest(&stamp(&older(1))));
        assert!(!newest.is_newest(&stamp(&older(REMEMBERED + 1))));
    }
}
