//! What becomes of a message after a subscriber was asked to take it.
//!
//! The verdicts are those of Dapr's pub/sub API. A message is never lost silently: what is not done and not tried again goes to
//! the dead letters, or, where there are none, is dropped with a reason that is counted and logged.

use crate::backoff::Backoff;
use std::{fmt, time::Duration};

/// How often and with which pauses a subscription tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Most deliveries of one message; `None`: no end. 0 is taken as 1.
    pub attempts_max: Option<u32>,
    /// The pauses between.
    pub backoff: Backoff,
    /// Whether there is a place for what is given up.
    pub has_dead_letters: bool,
}

/// What the subscriber said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Success,
    /// Not now: also when there was no answer.
    Retry,
    /// Never.
    Drop,
    /// There is nobody who takes it (a method that the app does not have): no dead letter either.
    Unwanted,
    /// It was not asked: no route matches.
    NoRoute,
    /// It was not asked: the message is too old.
    Expired,
}

/// What is to be done with the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Acknowledge.
    Ack,
    /// Give back, to come again after this time.
    Nack(Duration),
    /// Publish to the dead letters, then acknowledge.
    DeadLetter(Reason),
    /// Acknowledge, and say that it was dropped.
    Drop(Reason),
}

/// Why a message was given up. Its text goes into the dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The subscriber wants it never.
    Refused,
    /// There is nobody who takes it.
    Unwanted,
    /// No route matches.
    NoRoute,
    /// It is too old.
    Expired,
    /// So many deliveries failed.
    Attempts(u32),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => write!(f, "the subscriber dropped it"),
            Self::Unwanted => write!(f, "the subscriber does not take such messages"),
            Self::NoRoute => write!(f, "no route matches it"),
            Self::Expired => write!(f, "it expired before it was delivered"),
            Self::Attempts(1) => write!(f, "its only attempt failed"),
            Self::Attempts(attempts) => write!(f, "all {attempts} attempts failed"),
        }
    }
}

impl Policy {
    /// What to do after delivery `attempt` (1 is the first). `random` is any number, for the pause.
    #[must_use]
    pub fn decide(&self, attempt: u32, verdict: Verdict, random: u64) -> Step {
        let reason = match verdict {
            Verdict::Success => return Step::Ack,
            Verdict::Unwanted => return Step::Drop(Reason::Unwanted),
            Verdict::Retry if self.attempts_max.is_none_or(|most| attempt < most) => {
                return Step::Nack(self.backoff.wait(attempt, random));
            }
            Verdict::Retry => Reason::Attempts(attempt),
            Verdict::Drop => Reason::Refused,
            Verdict::NoRoute => Reason::NoRoute,
            Verdict::Expired => Reason::Expired,
        };
        if self.has_dead_letters { Step::DeadLetter(reason) } else { Step::Drop(reason) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(attempts_max: Option<u32>, attempt: u32, verdict: Verdict) -> [Step; 2] {
        let backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };
        [true, false].map(|has_dead_letters| {
            // 20 moves the pause neither way.
            Policy { attempts_max, backoff, has_dead_letters }.decide(attempt, verdict, 20)
        })
    }

    #[test]
    fn what_failed_comes_again_until_its_attempts_are_used_up() {
        let nack = |seconds| [Step::Nack(Duration::from_secs(seconds)); 2];
        let given_up = |attempts| {
            let reason = Reason::Attempts(attempts);
            [Step::DeadLetter(reason), Step::Drop(reason)]
        };
        for (attempts_max, attempt, expected) in [
            (Some(3), 1, nack(1)),
            (Some(3), 2, nack(2)),
            (Some(3), 3, given_up(3)),
            (Some(3), 9, given_up(9)),
            (Some(1), 1, given_up(1)),
            (Some(0), 1, given_up(1)),
            (None, 4, nack(8)),
            (None, u32::MAX, nack(60)),
        ] {
            assert_eq!(
                decide(attempts_max, attempt, Verdict::Retry),
                expected,
                "{attempts_max:?} {attempt}"
            );
        }
    }

    #[test]
    fn other_verdicts_are_final_whatever_the_attempt() {
        let given_up = |reason| [Step::DeadLetter(reason), Step::Drop(reason)];
        for (verdict, expected) in [
            (Verdict::Success, [Step::Ack; 2]),
            (Verdict::Drop, given_up(Reason::Refused)),
            (Verdict::NoRoute, given_up(Reason::NoRoute)),
            (Verdict::Expired, given_up(Reason::Expired)),
            (Verdict::Unwanted, [Step::Drop(Reason::Unwanted); 2]),
        ] {
            for attempt in [1, 7] {
                assert_eq!(decide(Some(3), attempt, verdict), expected, "{verdict:?}");
            }
        }
    }

    #[test]
    fn reasons_are_read_by_people() {
        assert_eq!(Reason::Attempts(1).to_string(), "its only attempt failed");
        assert_eq!(Reason::Attempts(5).to_string(), "all 5 attempts failed");
    }
}
