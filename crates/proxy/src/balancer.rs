//! What one worker remembers of one service: whose turn it is, how many retries it may make, and how many
//! requests it has there.
//!
//! Requests that wait for a place under the limit of [`logic::shed`] stand in a line of their own here; the
//! limiter counts them, so there are never more than it allows.

use crate::cluster::View;
use base::Moment;
use logic::{
    balance::{Algorithm, Picker, Random},
    retry::Budget,
    shed::{End, Limiter, Verdict},
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};
use tokio::sync::Notify;

/// One worker's memory of one service.
pub(crate) struct Balancer {
    picker: RefCell<Picker>,
    budget: RefCell<Budget>,
    limiter: RefCell<Limiter>,
    /// As many as the limiter counts as waiting.
    line: RefCell<VecDeque<Rc<Waiter>>>,
}

/// A request that waits for a place.
#[derive(Default)]
struct Waiter {
    is_admitted: Cell<bool>,
    admitted: Notify,
}

impl Balancer {
    /// `start` is where rounds begin.
    pub(crate) fn new(algorithm: Algorithm, start: usize, now: Moment) -> Self {
        Self {
            picker: RefCell::new(Picker::new(algorithm, start)),
            budget: RefCell::new(Budget::new(now)),
            limiter: RefCell::default(),
            line: RefCell::default(),
        }
    }

    /// Spreads requests by `algorithm` from now on.
    pub(crate) fn follow(&self, algorithm: Algorithm, start: usize) {
        let mut picker = self.picker.borrow_mut();
        if picker.algorithm() != algorithm {
            *picker = Picker::new(algorithm, start);
        }
    }

    pub(crate) fn pick(
        &self,
        view: &View<'_>,
        key: Option<u64>,
        random: &mut Random,
    ) -> Option<usize> {
        self.picker.borrow_mut().pick(view, key, random)
    }

    /// Lets `change` see the budget of retries.
    pub(crate) fn budget<T>(&self, change: impl FnOnce(&mut Budget) -> T) -> T {
        change(&mut self.budget.borrow_mut())
    }

    /// Asks for a place at the service; `Some`: it has to be waited for.
    ///
    /// # Errors
    /// When there is none; with the seconds after which it is worth another try.
    pub(crate) fn arrive(
        self: &Rc<Self>,
        now_ms: u64,
        pending_max: u32,
    ) -> Result<Option<Queued>, u32> {
        let verdict = self.limiter.borrow_mut().arrive(now_ms, pending_max);
        match verdict {
            Verdict::Admit => Ok(None),
            Verdict::Shed { retry_after_s } => Err(retry_after_s),
            Verdict::Queue => {
                let waiter = Rc::<Waiter>::default();
                self.line.borrow_mut().push_back(Rc::clone(&waiter));
                // The limit may just have risen.
                self.admit_waiting();
                Ok(Some(Queued { balancer: Rc::clone(self), waiter, is_over: false }))
            }
        }
    }

    /// Books the end of a request that had a place.
    pub(crate) fn end(&self, now_ms: u64, end: End) {
        let mut limiter = self.limiter.borrow_mut();
        limiter.end(now_ms, end);
        if limiter.waiting() > 0 {
            drop(limiter);
            self.admit_waiting();
        }
    }

    fn admit_waiting(&self) {
        let mut line = self.line.borrow_mut();
        let mut limiter = self.limiter.borrow_mut();
        while !line.is_empty() && limiter.admit_next() {
            if let Some(next) = line.pop_front() {
                next.is_admitted.set(true);
                next.admitted.notify_one();
            }
        }
    }
}

/// A request in the line; whoever drops it leaves the line or gives the place back.
pub(crate) struct Queued {
    balancer: Rc<Balancer>,
    waiter: Rc<Waiter>,
    is_over: bool,
}

impl Queued {
    /// Waits for the place.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn admitted(&self) {
        while !self.waiter.is_admitted.get() {
            self.waiter.admitted.notified().await;
        }
    }

    /// Ends the wait: with the place, or with the seconds after which it is worth another try.
    pub(crate) fn finish(mut self) -> Result<(), u32> {
        self.is_over = true;
        if self.waiter.is_admitted.get() { Ok(()) } else { Err(self.leave()) }
    }

    fn leave(&self) -> u32 {
        self.balancer.line.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.waiter));
        match self.balancer.limiter.borrow_mut().give_up() {
            Verdict::Shed { retry_after_s } => retry_after_s,
            Verdict::Admit | Verdict::Queue => 1,
        }
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        if self.waiter.is_admitted.get() {
            // No time has passed as far as this says, so that no window is judged here.
            self.balancer.end(0, End::Unknown);
        } else {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A balancer whose limiter has seen a service become slow under a crowd; how many are at work, and when.
    fn crowded() -> (Rc<Balancer>, u32, u64) {
        let balancer = Rc::new(Balancer::new(Algorithm::P2c, 0, Moment::START));
        let mut now_ms = 1;
        for latency_us in [1_000, 1_000, 900_000, 900_000, 900_000] {
            for _ in 0..60 {
                assert!(balancer.arrive(now_ms, 10).unwrap().is_none());
            }
            now_ms += 1_100;
            for _ in 0..60 {
                balancer.end(now_ms, End::Answered(latency_us));
            }
            if balancer.limiter.borrow().limit().is_some() {
                break;
            }
        }
        let limit = balancer.limiter.borrow().limit().unwrap();
        for _ in 0..limit {
            assert!(balancer.arrive(now_ms, 10).unwrap().is_none());
        }
        (balancer, limit, now_ms)
    }

    fn waiting(balancer: &Balancer) -> (usize, u32) {
        (balancer.line.borrow().len(), balancer.limiter.borrow().waiting())
    }

    #[test]
    fn who_has_waited_longest_gets_the_next_place() {
        let (balancer, limit, now_ms) = crowded();
        let first = balancer.arrive(now_ms, 3).unwrap().unwrap();
        let second = balancer.arrive(now_ms, 3).unwrap().unwrap();
        let third = balancer.arrive(now_ms, 3).unwrap().unwrap();
        assert!(balancer.arrive(now_ms, 3).is_err(), "the line is full");
        balancer.end(now_ms, End::Unknown);
        let states = [&first, &second, &third].map(|queued| queued.waiter.is_admitted.get());
        assert_eq!(states, [true, false, false]);
        assert_eq!(waiting(&balancer), (2, 2));
        // Who goes away leaves the line; who was admitted gives the place to the next.
        drop(second);
        assert_eq!(waiting(&balancer), (1, 1));
        drop(first);
        assert!(third.waiter.is_admitted.get());
        assert_eq!(third.finish(), Ok(()));
        assert_eq!(waiting(&balancer), (0, 0));
        assert_eq!(balancer.limiter.borrow().at_work(), limit);
    }

    #[test]
    fn who_waits_in_vain_is_told_when_to_come_again() {
        let (balancer, limit, now_ms) = crowded();
        let queued = balancer.arrive(now_ms, 3).unwrap().unwrap();
        assert!(queued.finish().is_err_and(|seconds| (1..=8).contains(&seconds)));
        assert_eq!(waiting(&balancer), (0, 0));
        assert_eq!(balancer.limiter.borrow().at_work(), limit);
    }
}
