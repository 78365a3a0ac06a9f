//! The outcomes of the last seconds, counted in slots of a second.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Slots of the window, one second each: ten seconds tell a hiccup from an outage.
pub const WINDOW_SLOTS: usize = 10;

const SLOT_MS: u64 = 1_000;

/// Requests of one second, as one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    /// Which second, plus one. 24 bits: half a year.
    second: u64,
    /// 20 bits each.
    all: u64,
    failed: u64,
}

const COUNT_MAX: u64 = (1 << 20) - 1;
const SECOND_BITS: u64 = (1 << 24) - 1;

impl Slot {
    fn unpack(word: u64) -> Self {
        Self { second: word >> 40, all: word >> 20 & COUNT_MAX, failed: word & COUNT_MAX }
    }

    fn pack(self) -> u64 {
        self.second << 40 | self.all << 20 | self.failed
    }

    fn second_of(now_ms: u64) -> u64 {
        (now_ms / SLOT_MS + 1) & SECOND_BITS
    }

    fn with(self, second: u64, is_failure: bool) -> Self {
        let old = if self.second == second { self } else { Self { second, all: 0, failed: 0 } };
        if old.all == COUNT_MAX {
            // A million requests in a second: what was counted says enough, and keeps its share.
            return old;
        }
        Self { second, all: old.all + 1, failed: old.failed + u64::from(is_failure) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Window([AtomicU64; WINDOW_SLOTS]);

impl Window {
    /// Requests and failed requests of the last [`WINDOW_SLOTS`] seconds.
    pub(super) fn counts(&self, now_ms: u64) -> (u64, u64) {
        let second = Slot::second_of(now_ms);
        let slots = self.0.iter().map(|word| Slot::unpack(word.load(Relaxed)));
        let is_recent = |slot: &Slot| {
            let age = second.wrapping_sub(slot.second) & SECOND_BITS;
            slot.all > 0 && age < WINDOW_SLOTS as u64
        };
        slots.filter(is_recent).fold((0, 0), |sum, slot| (sum.0 + slot.all, sum.1 + slot.failed))
    }

    pub(super) fn count(&self, now_ms: u64, is_failure: bool) {
        let second = Slot::second_of(now_ms);
        let at = usize::try_from(second).unwrap_or(0) % WINDOW_SLOTS;
        let slot = &self.0[at];
        let mut word = slot.load(Relaxed);
        loop {
            let next = Slot::unpack(word).with(second, is_failure).pack();
            match slot.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(changed) => word = changed,
            }
        }
    }

    /// Forgets all of it.
    pub(super) fn clear(&self) {
        self.0.iter().for_each(|slot| slot.store(0, Relaxed));
    }
}
