//! Letting those in who were just answered.
//!
//! Callers who wait for one write before they make the next one fall into two halves: while one half waits for the disk,
//! the other half queues, and each group serves only half of them. So the writer lets whoever was just answered come
//! back before it writes again: for a small part of the time that the disk takes, and only where it was seen to help. A
//! caller who is alone never waits.

use std::time::{Duration, Instant};

/// The part of the last write's time that is waited at most.
const PART: u32 = 8;

/// And never longer: on a disk that takes this much longer there is nothing to be won by more.
const WAIT_MAX: Duration = Duration::from_micros(500);

/// After waits in vain, this many groups are written without.
const PAUSE: u32 = 32;

/// Decides how long a group stays open.
#[derive(Debug, Default)]
pub(crate) struct Gather {
    /// How many may come back.
    answered: usize,
    wait: Duration,
    /// Groups that are still to be written without waiting.
    pause: u32,
}

/// A group that is open.
#[derive(Debug)]
pub(crate) struct Open {
    expected: usize,
    until: Option<Instant>,
}

impl Gather {
    /// Opens a group for which `waiting` commands are there.
    pub(crate) fn open(&mut self, waiting: usize) -> Open {
        let is_worth_it = self.pause == 0 && self.answered > 1 && !self.wait.is_zero();
        self.pause = self.pause.saturating_sub(1);
        let until = is_worth_it.then(|| Instant::now() + self.wait);
        Open { expected: waiting + self.answered, until }
    }

    /// Notes what became of a group: how many were in it, and how long the disk took.
    pub(crate) fn close(&mut self, open: &Open, count: usize, took: Duration) {
        if open.until.is_some() && count < open.expected / 4 * 3 {
            self.pause = PAUSE;
        }
        self.answered = count;
        self.wait = (took / PART).min(WAIT_MAX);
    }
}

impl Open {
    /// Whether more may come within the time, when `count` are in it. Lets others run before it says so.
    pub(crate) fn waits(&self, count: usize) -> bool {
        let waits = count < self.expected && self.until.is_some_and(|until| Instant::now() < until);
        if waits {
            std::thread::yield_now();
        }
        waits
    }
}
