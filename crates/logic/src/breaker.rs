//! When a service gets no requests for a while, because practically none is answered.
//!
//! The states and names are Hystrix' and resilience4j's. *Closed*: all pass, and their outcomes are
//! counted in a window of [`WINDOW_SLOTS`] seconds. When the window holds at least
//! [`Settings::requests_min`] requests of which [`Settings::failure_percent`] failed, it *opens*: all
//! are refused, for [`Settings::open_ms`], which doubles with every further opening up to
//! [`Settings::open_ms_max`]. Then it is *half open*: [`PROBES`] requests may pass as probes. When all
//! of them succeed it closes, when one fails it opens again.
//!
//! One observation is one *request*, after its retries, not one attempt: an instance that dies makes
//! attempts fail and no request. A request that met no instance at all is not counted
//! ([`Outcome::Unknown`]): the bounded queue holds such, and nothing may stand in the way of the
//! first instance that comes. By default only requests without an answer count, because an answer,
//! be it a 500, costs as little to pass on as a refusal and says more.
//!
//! The defaults need no setting: nothing opens below 20 requests in ten seconds, nor while one in ten
//! is answered; the first pause is a second. Whoever learns of a new instance calls
//! [`Breaker::instance_came`], so that a repaired service does not wait for a pause to end.
//!
//! The state is a few atomic words, shared by all workers. A lost race costs a sample, never a state.

mod occupancy;
mod window;

pub use occupancy::{Full, Limits, Occupancy};
pub use window::WINDOW_SLOTS;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use window::Window;

/// Probes of a half-open breaker. Three that succeed one after the other are no accident.
pub const PROBES: u8 = 3;

/// After this long without a verdict a half-open breaker lets [`PROBES`] more pass: the first may be
/// streams that last for hours, or their answers may have been lost.
pub const PROBE_PATIENCE_MS: u64 = 10_000;

/// What counts as a failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failures {
    /// No complete answer: not connected, broken off, or too late.
    #[default]
    NoAnswer,
    /// Also the answers 502, 503 and 504.
    Gateway,
    /// Also every other answer from 500 to 599.
    ServerErrors,
}

impl Failures {
    /// Whether an answer with `status` counts as a failure.
    #[must_use]
    pub const fn include(self, status: u16) -> bool {
        match self {
            Self::NoAnswer => false,
            Self::Gateway => matches!(status, 502..=504),
            Self::ServerErrors => matches!(status, 500..=599),
        }
    }
}

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What counts as a failure.
    pub failures: Failures,
    /// Share of failed requests that opens it, in percent; above 100: never.
    pub failure_percent: u8,
    /// Fewest requests of a window that may open it.
    pub requests_min: u32,
    /// First pause in milliseconds.
    pub open_ms: u64,
    /// Longest pause in milliseconds.
    pub open_ms_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            failures: Failures::NoAnswer,
            failure_percent: 90,
            requests_min: 20,
            open_ms: 1_000,
            open_ms_max: 30_000,
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered.
    Success,
    /// A failure as the settings have it.
    Failure,
    /// It says nothing: the client went away, or there was no instance.
    Unknown,
}

/// What may happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It passes; report its outcome with this ticket, exactly once.
    Pass(Ticket),
    /// It is refused; for how long still, in milliseconds, 1 or more.
    Refuse {
        /// When it is worth another try.
        retry_after_ms: u64,
    },
}

/// As what a request was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticket {
    /// As one of many.
    Normal,
    /// To find out whether the service answers again.
    Probe,
}

/// What a breaker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// All pass.
    Closed,
    /// None passes.
    Open,
    /// A few pass as probes.
    HalfOpen,
}

/// The breaker's state apart from the window, as one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    phase: Phase,
    /// Open: its end. Half open: when it lets more probes pass. 40 bits of ms: 34 years.
    until_ms: u64,
    /// How often it opened since it was closed; 0 when closed. 6 bits.
    openings: u8,
    /// Half open: probes that may still begin. 8 bits.
    left: u8,
    /// Half open: probes that succeeded. 8 bits.
    succeeded: u8,
}

const TIME_BITS: u64 = (1 << 40) - 1;
const OPENINGS_MAX: u8 = 63;

impl Gate {
    /// A closed breaker; it packs to 0.
    pub const CLOSED: Self =
        Self { phase: Phase::Closed, until_ms: 0, openings: 0, left: 0, succeeded: 0 };

    /// Reads what [`Gate::pack`] wrote.
    #[must_use]
    pub fn unpack(word: u64) -> Self {
        let [phase_and_openings, left, succeeded, ..] = word.to_le_bytes();
        let phase = match phase_and_openings >> 6 {
            0 => Phase::Closed,
            1 => Phase::Open,
            _ => Phase::HalfOpen,
        };
        let openings = phase_and_openings & OPENINGS_MAX;
        Self { phase, until_ms: word >> 24, openings, left, succeeded }
    }

    /// The state as one word.
    #[must_use]
    pub fn pack(self) -> u64 {
        let phase = match self.phase {
            Phase::Closed => 0,
            Phase::Open => 1,
            Phase::HalfOpen => 2_u8,
        };
        let first = phase << 6 | self.openings.min(OPENINGS_MAX);
        let low = u64::from(first) | u64::from(self.left) << 8 | u64::from(self.succeeded) << 16;
        (self.until_ms & TIME_BITS) << 24 | low
    }

    /// What it is doing.
    #[must_use]
    pub const fn phase(self) -> Phase {
        self.phase
    }

    /// Decides about one request, and gives the state after it.
    pub fn admit(self, now_ms: u64) -> (Self, Verdict) {
        match self.phase {
            Phase::Closed => (self, Verdict::Pass(Ticket::Normal)),
            Phase::HalfOpen if self.left > 0 => {
                (Self { left: self.left - 1, ..self }, Verdict::Pass(Ticket::Probe))
            }
            Phase::Open | Phase::HalfOpen if now_ms < self.until_ms => {
                (self, Verdict::Refuse { retry_after_ms: self.until_ms - now_ms })
            }
            Phase::Open | Phase::HalfOpen => {
                let half = self.half_open(now_ms);
                (Self { left: PROBES - 1, ..half }, Verdict::Pass(Ticket::Probe))
            }
        }
    }

    /// The state after a probe's outcome. Of one that comes too late nothing is learnt.
    #[must_use]
    pub fn probed(self, now_ms: u64, outcome: Outcome, settings: &Settings) -> Self {
        if self.phase != Phase::HalfOpen {
            return self;
        }
        match outcome {
            Outcome::Unknown => Self { left: (self.left + 1).min(PROBES), ..self },
            Outcome::Failure => self.open(now_ms, settings),
            Outcome::Success if self.succeeded + 1 >= PROBES => Self::CLOSED,
            Outcome::Success => Self { succeeded: self.succeeded + 1, ..self },
        }
    }

    /// The state when too many failed.
    #[must_use]
    pub fn open(self, now_ms: u64, settings: &Settings) -> Self {
        let factor = 1_u64 << self.openings.min(20);
        let pause_ms = settings.open_ms.saturating_mul(factor).min(settings.open_ms_max).max(1);
        Self {
            phase: Phase::Open,
            until_ms: now_ms.saturating_add(pause_ms).min(TIME_BITS),
            openings: (self.openings + 1).min(OPENINGS_MAX),
            left: 0,
            succeeded: 0,
        }
    }

    fn half_open(self, now_ms: u64) -> Self {
        Self {
            phase: Phase::HalfOpen,
            until_ms: now_ms.saturating_add(PROBE_PATIENCE_MS).min(TIME_BITS),
            left: PROBES,
            succeeded: 0,
            ..self
        }
    }
}

/// The breaker of one service.
#[derive(Debug, Default)]
pub struct Breaker {
    gate: AtomicU64,
    window: Window,
}

impl Breaker {
    /// Decides about one request. While closed this is one atomic load.
    pub fn admit(&self, now_ms: u64) -> Verdict {
        let mut word = self.gate.load(Relaxed);
        loop {
            let (next, verdict) = Gate::unpack(word).admit(now_ms);
            if next.pack() == word {
                return verdict;
            }
            match self.gate.compare_exchange_weak(word, next.pack(), Relaxed, Relaxed) {
                Ok(_) => return verdict,
                Err(changed) => word = changed,
            }
        }
    }

    /// Books how a request ended that [`Breaker::admit`] let pass, and says what the breaker does now
    /// if that changed.
    pub fn settle(
        &self,
        ticket: Ticket,
        now_ms: u64,
        outcome: Outcome,
        settings: &Settings,
    ) -> Option<Phase> {
        match ticket {
            Ticket::Probe => {
                let change = self.change(|gate| gate.probed(now_ms, outcome, settings));
                if change == Some(Phase::Closed) {
                    // The failures that opened it are history.
                    self.window.clear();
                }
                change
            }
            Ticket::Normal if outcome == Outcome::Unknown => None,
            Ticket::Normal => {
                let is_failure = outcome == Outcome::Failure;
                self.window.count(now_ms, is_failure);
                if !(is_failure && self.is_too_bad(now_ms, settings)) {
                    return None;
                }
                self.change(|gate| match gate.phase {
                    Phase::Closed => gate.open(now_ms, settings),
                    Phase::Open | Phase::HalfOpen => gate,
                })
            }
        }
    }

    /// Says that there is an instance of which nothing bad is known: an open breaker tries it at once.
    pub fn instance_came(&self, now_ms: u64) {
        self.change(|gate| match gate.phase {
            Phase::Open => gate.half_open(now_ms),
            Phase::Closed | Phase::HalfOpen => gate,
        });
    }

    /// What it is doing, for people to see. An open one whose pause is over is half open.
    #[must_use]
    pub fn phase(&self, now_ms: u64) -> Phase {
        let gate = Gate::unpack(self.gate.load(Relaxed));
        match gate.phase {
            Phase::Open if now_ms >= gate.until_ms => Phase::HalfOpen,
            phase => phase,
        }
    }

    /// Requests and failed requests of the window.
    #[must_use]
    pub fn counts(&self, now_ms: u64) -> (u64, u64) {
        self.window.counts(now_ms)
    }

    fn is_too_bad(&self, now_ms: u64, settings: &Settings) -> bool {
        let (all, failed) = self.counts(now_ms);
        all >= u64::from(settings.requests_min)
            && failed * 100 >= all * u64::from(settings.failure_percent)
    }

    /// Moves the gate, and gives its new phase if that differs from the old.
    fn change(&self, step: impl Fn(Gate) -> Gate) -> Option<Phase> {
        let mut word = self.gate.load(Relaxed);
        loop {
            let (old, next) = (Gate::unpack(word), step(Gate::unpack(word)));
            if old == next {
                return None;
            }
            match self.gate.compare_exchange_weak(word, next.pack(), Relaxed, Relaxed) {
                Ok(_) => return (old.phase != next.phase).then_some(next.phase),
                Err(changed) => word = changed,
            }
        }
    }
}

#[cfg(test)]
mod tests;
