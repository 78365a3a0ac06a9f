//! May a request that failed be tried again?
//!
//! Two things must hold. It must be *safe*: either the instance has provably not processed the
//! request, or processing it twice is the same as once (RFC 9110 §9.2.2) and we still have all of it.
//! And it must be *affordable*: retries are bounded per request and, by a budget, as a share of all
//! requests, so that an overloaded service is not finished off by its callers' second tries.

use crate::deadline::Deadline;
use base::Moment;
use std::time::Duration;

/// How often one request is sent again by default: with three instances, one that just died and one
/// that is dying, the third still answers.
pub const RETRIES_DEFAULT: u32 = 2;

/// How many instances that refuse the connection one request passes over. Such tries cost no instance
/// any work, so they are bounded apart from real retries; 16 dead instances at once are an outage.
pub const CONNECT_FAILURES_MAX: u32 = 16;

/// How often one request may meet a kept connection that turns out closed. Each such meeting removes
/// the connection, so this only bounds the absurd case of a peer that closes all of them at once.
pub const STALE_CONNECTIONS_MAX: u32 = 8;

/// Share of requests that may be retries, in percent (design §5).
pub const BUDGET_PERCENT: u64 = 20;

/// Retries per second that are allowed at any rate of requests.
pub const BUDGET_MIN_PER_SECOND: u64 = 10;

/// Most retries that can be saved up: ten seconds of the minimum. Enough for every request that is open
/// at one instance of a small service when it dies.
pub const BUDGET_SAVED_MAX: u64 = 100;

/// What went wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made: nothing was sent.
    ConnectFailed,
    /// A kept connection turned out closed before any byte of the request was written.
    NotSent,
    /// The connection broke after (some of) the request was sent and before the response was complete.
    Broken,
    /// No answer before the request's deadline. The instance may still be working on it.
    TimedOut,
    /// No answer within the time of one try, while the request's deadline has not come. The instance
    /// may still be working on it.
    TryTimedOut,
    /// An answer came whose status the route wants tried again, see [`Statuses`]. Without another try
    /// that answer is the answer.
    Status,
}

/// Statuses of answers after which a route wants a request tried again, from 400 to 599.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses([u64; 4]);

impl Statuses {
    /// What `retry: on` means without a list: the answers of something in between that had no
    /// answer itself (RFC 9110 §15.6.3 to §15.6.5).
    pub const GATEWAY: [u16; 3] = [502, 503, 504];

    /// The set of these; `None` when one lies outside of 400 to 599, where no answer is worth a retry.
    #[must_use]
    pub fn of(statuses: &[u16]) -> Option<Self> {
        let mut set = Self::default();
        for status in statuses {
            if !(400..600).contains(status) {
                return None;
            }
            let (word, bit) = Self::place(*status);
            set.0[word] |= 1 << bit;
        }
        Some(set)
    }

    /// Whether `status` is one of them.
    #[must_use]
    pub fn contain(&self, status: u16) -> bool {
        let (word, bit) = Self::place(status);
        (400..600).contains(&status) && self.0[word] & 1 << bit != 0
    }

    fn place(status: u16) -> (usize, u16) {
        let at = status.saturating_sub(400);
        (usize::from(at / 64).min(3), at % 64)
    }
}

/// What must be known of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Twice is the same as once.
    pub is_idempotent: bool,
    /// All of its body is still there.
    pub is_replayable: bool,
    /// How often it may be sent again.
    pub retries_max: u32,
}

/// What was tried so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// How often it was sent again after `Broken`, `TryTimedOut` or `Status`.
    pub retries: u32,
    /// How many connections failed.
    pub connect_failures: u32,
    /// How many kept connections were stale.
    pub stale: u32,
}

/// Whether RFC 9110 §9.2.2 calls the method idempotent. Methods it does not know are not.
#[must_use]
pub fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
}

/// Decides whether a request goes out once more, and books it in `used` and `budget` if so.
#[must_use]
pub fn again(
    failure: Failure,
    request: Request,
    used: &mut Used,
    budget: &mut Budget,
    now: Moment,
) -> bool {
    again_before(failure, request, used, budget, (now, Deadline::NONE))
}

/// As [`again`], but never when the deadline leaves no time for an answer.
#[must_use]
pub fn again_before(
    failure: Failure,
    request: Request,
    used: &mut Used,
    budget: &mut Budget,
    (now, deadline): (Moment, Deadline),
) -> bool {
    if !deadline.allows_try(now) {
        return false;
    }
    match failure {
        Failure::ConnectFailed => {
            used.connect_failures += 1;
            used.connect_failures <= CONNECT_FAILURES_MAX
        }
        Failure::NotSent => {
            used.stale += 1;
            used.stale <= STALE_CONNECTIONS_MAX
        }
        // A try that takes too long is sent to another instance although the first may still work on
        // it: for an idempotent request that is once more, not twice.
        Failure::Broken | Failure::TryTimedOut | Failure::Status => {
            let may = request.is_idempotent
                && request.is_replayable
                && used.retries < request.retries_max
                && budget.withdraw(now);
            used.retries += u32::from(may);
            may
        }
        // Another instance would most likely be as slow, and the caller's patience is used up.
        Failure::TimedOut => false,
    }
}

/// A bucket of retries: every request puts [`BUDGET_PERCENT`] of one in, every second
/// [`BUDGET_MIN_PER_SECOND`], every retry takes one out.
#[derive(Clone, Debug)]
pub struct Budget {
    /// Hundredths of a retry.
    saved: u64,
    filled_at: Moment,
}

impl Budget {
    /// A full bucket.
    #[must_use]
    pub fn new(now: Moment) -> Self {
        Self { saved: BUDGET_SAVED_MAX * 100, filled_at: now }
    }

    /// Books a request.
    pub fn deposit(&mut self) {
        self.saved = (self.saved + BUDGET_PERCENT).min(BUDGET_SAVED_MAX * 100);
    }

    /// Takes one retry out if there is one.
    pub fn withdraw(&mut self, now: Moment) -> bool {
        let since = now.since(self.filled_at).min(Duration::from_secs(60));
        let earned = u64::try_from(since.as_millis()).unwrap_or(0) * BUDGET_MIN_PER_SECOND / 10;
        if earned > 0 {
            self.saved = (self.saved + earned).min(BUDGET_SAVED_MAX * 100);
            self.filled_at = now;
        }
        if self.saved < 100 {
            return false;
        }
        self.saved -= 100;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Request = Request { is_idempotent: true, is_replayable: true, retries_max: 2 };
    const POST: Request = Request { is_idempotent: false, is_replayable: true, retries_max: 2 };

    fn once(failure: Failure, request: Request) -> bool {
        let mut budget = Budget::new(Moment::START);
        again(failure, request, &mut Used::default(), &mut budget, Moment::START)
    }

    #[test]
    fn what_was_not_sent_may_always_be_sent_again() {
        for request in [GET, POST] {
            assert!(once(Failure::ConnectFailed, request));
            assert!(once(Failure::NotSent, request));
        }
    }

    #[test]
    fn what_may_have_been_processed_is_repeated_only_when_twice_is_the_same_as_once() {
        assert!(once(Failure::Broken, GET));
        assert!(!once(Failure::Broken, POST));
        assert!(!once(Failure::Broken, Request { is_replayable: false, ..GET }));
        assert!(!once(Failure::TimedOut, GET));
        for failure in [Failure::TryTimedOut, Failure::Status] {
            assert!(once(failure, GET));
            assert!(!once(failure, POST));
        }
    }

    #[test]
    fn nothing_is_sent_again_when_the_deadline_leaves_no_time_for_an_answer() {
        let at = |left_ms| Deadline::new(Moment::START, Some(Duration::from_millis(left_ms)), None);
        let tried = |failure, left_ms| {
            let (mut used, mut budget) = (Used::default(), Budget::new(Moment::START));
            again_before(failure, GET, &mut used, &mut budget, (Moment::START, at(left_ms)))
        };
        for failure in [Failure::ConnectFailed, Failure::NotSent, Failure::TryTimedOut] {
            assert!(tried(failure, 100), "{failure:?}");
            assert!(!tried(failure, 1), "{failure:?}");
        }
    }

    #[test]
    fn a_set_of_statuses_holds_what_was_put_in() {
        let set = Statuses::of(&Statuses::GATEWAY).unwrap();
        let held: Vec<u16> = (0..=u16::MAX).filter(|status| set.contain(*status)).collect();
        assert_eq!(held, Statuses::GATEWAY);
        let all: Vec<u16> = (400..600).collect();
        let set = Statuses::of(&all).unwrap();
        assert!((0..=u16::MAX).all(|status| set.contain(status) == all.contains(&status)));
        assert!([399, 600, 200, 0].iter().all(|bad| Statuses::of(&[*bad]).is_none()));
    }

    #[test]
    fn every_kind_of_retry_has_its_bound() {
        for (failure, bound) in [
            (Failure::Broken, 2),
            (Failure::TryTimedOut, 2),
            (Failure::Status, 2),
            (Failure::ConnectFailed, CONNECT_FAILURES_MAX),
            (Failure::NotSent, STALE_CONNECTIONS_MAX),
        ] {
            let (mut used, mut budget) = (Used::default(), Budget::new(Moment::START));
            let mut count = 0;
            while again(failure, GET, &mut used, &mut budget, Moment::START) {
                count += 1;
            }
            assert_eq!(count, bound, "{failure:?}");
        }
        assert!(!once(Failure::Broken, Request { retries_max: 0, ..GET }));
        // Passing over an instance that is gone repeats nothing.
        assert!(once(Failure::ConnectFailed, Request { retries_max: 0, ..GET }));
    }

    #[test]
    fn the_budget_allows_a_fifth_of_the_requests_and_a_minimum_per_second() {
        let mut budget = Budget::new(Moment::START);
        let mut spent = 0;
        while budget.withdraw(Moment::START) {
            spent += 1;
        }
        assert_eq!(spent, BUDGET_SAVED_MAX);

        for _ in 0..50 {
            budget.deposit();
        }
        let granted = (0..50).filter(|_| budget.withdraw(Moment::START)).count();
        assert_eq!(granted, 10);

        let second = Moment::START + Duration::from_secs(1);
        let granted = (0..50).filter(|_| budget.withdraw(second)).count();
        assert_eq!(granted, 10);
    }

    #[test]
    fn methods_are_idempotent_as_the_rfc_says() {
        for yes in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            assert!(is_idempotent(yes), "{yes}");
        }
        for no in ["POST", "PATCH", "CONNECT", "get", "PURGE", ""] {
            assert!(!is_idempotent(no), "{no}");
        }
    }
}
