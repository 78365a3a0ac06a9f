//! When to ask an instance how it is, and what to make of the answers.
//!
//! The meanings are Kubernetes': a threshold of failures in a row turns the verdict bad, a
//! threshold of successes in a row turns it good.

use base::Moment;
use std::time::Duration;

/// How one probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Wait before the first question.
    pub initial_delay: Duration,
    /// Time from an answer to the next question.
    pub period: Duration,
    /// Failures in a row that make the verdict bad, 1 or more.
    pub failures: u32,
    /// Successes in a row that make the verdict good, 1 or more.
    pub successes: u32,
}

/// One probe of one instance.
#[derive(Clone, Debug)]
pub struct Probe {
    policy: Policy,
    due: Option<Moment>,
    asking: bool,
    failed: u32,
    succeeded: u32,
    verdict: Option<bool>,
}

impl Probe {
    /// A probe that does not ask yet.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, due: None, asking: false, failed: 0, succeeded: 0, verdict: None }
    }

    /// Begins to ask, from `now` and the initial delay.
    pub fn begin(&mut self, now: Moment) {
        *self = Self { due: Some(now + self.policy.initial_delay), ..Self::new(self.policy) };
    }

    /// Begins to ask without the initial delay, which was for a program that had just been started.
    pub fn begin_at_once(&mut self, now: Moment) {
        *self = Self { due: Some(now), ..Self::new(self.policy) };
    }

    /// Whether it asks: begun and not ended.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.due.is_some()
    }

    /// Ends asking; an answer under way changes nothing any more.
    pub fn end(&mut self) {
        self.due = None;
        self.asking = false;
    }

    /// When the next question is due.
    #[must_use]
    pub fn wake(&self) -> Option<Moment> {
        if self.asking { None } else { self.due }
    }

    /// Whether to ask now; the caller then asks and brings the answer to [`Self::answered`].
    pub fn ask(&mut self, now: Moment) -> bool {
        let ask = !self.asking && self.due.is_some_and(|due| due <= now);
        self.asking |= ask;
        ask
    }

    /// Takes an answer; returns the verdict when it changed by it.
    pub fn answered(&mut self, good: bool, now: Moment) -> Option<bool> {
        if !self.asking {
            return None;
        }
        self.asking = false;
        self.due = Some(now + self.policy.period);
        if good {
            self.failed = 0;
            self.succeeded = self.succeeded.saturating_add(1);
        } else {
            self.succeeded = 0;
            self.failed = self.failed.saturating_add(1);
        }
        let verdict = if self.succeeded >= self.policy.successes {
            Some(true)
        } else if self.failed >= self.policy.failures {
            Some(false)
        } else {
            self.verdict
        };
        let changed = verdict != self.verdict;
        self.verdict = verdict;
        if changed { verdict } else { None }
    }

    /// The verdict so far.
    #[must_use]
    pub fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// Failures since the last success.
    #[must_use]
    pub fn failed(&self) -> u32 {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays answers (`+` good, `-` bad) one period apart; writes the verdict after each.
    fn check(failures: u32, successes: u32, answers: &str, expected: &str) {
        let period = Duration::from_secs(10);
        let mut probe =
            Probe::new(Policy { initial_delay: Duration::ZERO, period, failures, successes });
        let mut now = Moment::START;
        probe.begin(now);
        let mut verdicts = String::new();
        for answer in answers.chars() {
            assert!(probe.ask(now), "due at {now:?}");
            assert!(!probe.ask(now), "asks once at a time");
            probe.answered(answer == '+', now);
            verdicts.push(match probe.verdict() {
                None => '?',
                Some(true) => '+',
                Some(false) => '-',
            });
            assert!(!probe.ask(now), "waits for the period");
            now = now + period;
        }
        assert_eq!(verdicts, expected);
    }

    #[test]
    fn the_verdict_turns_after_the_threshold_in_a_row() {
        check(3, 1, "+--+---+", "++++ +-+".replace(' ', "+").as_str());
        check(1, 2, "+-++-", "?--+-");
        check(3, 1, "--", "??");
    }

    #[test]
    fn an_answer_after_the_end_changes_nothing() {
        let policy = Policy {
            initial_delay: Duration::from_secs(5),
            period: Duration::from_secs(1),
            failures: 1,
            successes: 1,
        };
        let mut probe = Probe::new(policy);
        probe.begin(Moment::START);
        assert_eq!(probe.wake(), Some(Moment::from_start(Duration::from_secs(5))));
        assert!(!probe.ask(Moment::START), "the initial delay is kept");
        assert!(probe.ask(Moment::from_start(Duration::from_secs(5))));
        probe.end();
        assert_eq!(probe.answered(false, Moment::START), None);
        assert_eq!(probe.wake(), None);
    }
}
