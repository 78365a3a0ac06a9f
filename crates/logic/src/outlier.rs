//! Which instances are passed over, by what came of the requests they were given.
//!
//! Two rules in one word per instance. *Pause*: an instance that cannot be reached or breaks off is
//! passed over for [`PAUSE_MS`], doubling up to [`PAUSE_MS_MAX`], and is back with its first answer;
//! this bridges the moment until the supervisor takes a dead process out. *Ejection* (Envoy's outlier
//! detection): an instance whose last [`Settings::consecutive`] answers were all server errors, or
//! none at all, is passed over for [`Settings::eject_ms`] times the number of its ejections, up to
//! [`Settings::eject_ms_max`]; each [`Settings::eject_ms`] without one takes one of these away.
//!
//! Ejections must never take a service down that is merely unwell: at most
//! [`Settings::ejected_percent_max`] of its instances are ejected, the last one never, and when more
//! than [`Settings::panic_percent`] are (because others were taken out meanwhile), ejections count
//! for nothing. Pauses are not ignored so: who cannot be reached does not answer either.

mod success_rate;

pub use success_rate::{SuccessRate, success_rate_floor};

/// First pause of an instance that could not be reached, in milliseconds.
pub const PAUSE_MS: u64 = 100;

/// Longest pause in milliseconds. The supervisor hears of a dead process within milliseconds and
/// takes it out; this only has to hold for instances that live and do not answer.
pub const PAUSE_MS_MAX: u64 = 5_000;

/// When instances are ejected, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Failures in a row that eject; 0: none do.
    pub consecutive: u8,
    /// First ejection in milliseconds.
    pub eject_ms: u64,
    /// Longest ejection in milliseconds.
    pub eject_ms_max: u64,
    /// Most instances of a service that are ejected at the same time, in percent; one is always
    /// allowed if another remains.
    pub ejected_percent_max: u8,
    /// With more than this share of the instances ejected, ejections are ignored.
    pub panic_percent: u8,
}

impl Default for Settings {
    /// Envoy's 5 in a row, 30 s and 300 s, and its panic at one half; up to a half may be ejected, where
    /// Envoy's tenth would mean one instance for nearly everybody.
    fn default() -> Self {
        Self {
            consecutive: 5,
            eject_ms: 30_000,
            eject_ms_max: 300_000,
            ejected_percent_max: 50,
            panic_percent: 50,
        }
    }
}

/// What came of a request that an instance was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It answered, with this status.
    Answered(u16),
    /// It could not be connected to: a pause, and a failure.
    Unreachable,
    /// It broke off before its answer was complete: a pause, and a failure.
    Broken,
    /// It did not answer in time: a failure.
    TimedOut,
}

impl Event {
    /// Whether it speaks against the instance. 501 and 505 do not: they say what the service
    /// cannot do, and every instance would say so.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Answered(status) => matches!(status, 500 | 502..=504 | 506..=599),
            Self::Unreachable | Self::Broken | Self::TimedOut => true,
        }
    }

    const fn pauses(self) -> bool {
        matches!(self, Self::Unreachable | Self::Broken)
    }
}

/// One instance's record; packs into one word, 0 is a clean one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Until when it is passed over, in ms. 40 bits: 34 years.
    until_ms: u64,
    /// It was ejected, not only paused.
    is_ejection: bool,
    /// Pauses in a row. 5 bits.
    pauses: u8,
    /// Failures in a row. 8 bits.
    failures: u8,
    /// Ejections that are not forgiven yet. 8 bits.
    ejections: u8,
}

const TIME_BITS: u64 = (1 << 40) - 1;
const PAUSES_MAX: u8 = 31;

impl Record {
    /// Reads what [`Record::pack`] wrote.
    #[must_use]
    pub const fn unpack(word: u64) -> Self {
        let [flags, failures, ejections, ..] = word.to_le_bytes();
        Self {
            until_ms: word >> 24,
            is_ejection: flags & 0x80 != 0,
            pauses: flags & PAUSES_MAX,
            failures,
            ejections,
        }
    }

    /// The record as one word.
    #[must_use]
    pub fn pack(self) -> u64 {
        let flags = u8::from(self.is_ejection) << 7 | self.pauses.min(PAUSES_MAX);
        let low = [flags, self.failures, self.ejections, 0, 0, 0, 0, 0];
        (self.until_ms & TIME_BITS) << 24 | u64::from_le_bytes(low)
    }

    /// Whether it is passed over at `now_ms` because it could not be reached of late.
    #[must_use]
    pub const fn is_paused(self, now_ms: u64) -> bool {
        !self.is_ejection && now_ms < self.until_ms
    }

    /// Whether it is passed over at `now_ms` because of its answers.
    #[must_use]
    pub const fn is_ejected(self, now_ms: u64) -> bool {
        self.is_ejection && now_ms < self.until_ms
    }

    /// Whether it is passed over at `now_ms` at all.
    #[must_use]
    pub const fn is_out(self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }

    /// Until when it is passed over, or was, in ms.
    #[must_use]
    pub const fn until_ms(self) -> u64 {
        self.until_ms
    }

    /// Whether `event` would leave the record as it is. True for nearly every answer, so that
    /// callers need not write.
    #[must_use]
    pub fn is_indifferent_to(self, event: Event) -> bool {
        !event.is_failure() && self.failures == 0 && self.pauses == 0
    }

    /// The record after `event`. `may_eject` is asked when an ejection is due, see [`may_eject`];
    /// without its leave the next failure asks again.
    #[must_use]
    pub fn after(
        self,
        now_ms: u64,
        event: Event,
        settings: &Settings,
        may_eject: impl FnOnce() -> bool,
    ) -> Self {
        if !event.is_failure() {
            return self.answered();
        }
        // All requests that were open when it died fail together: that is one failure, not many.
        // And nothing is learnt of an instance that is ejected from what it was given before.
        if self.is_out(now_ms) && (self.is_ejection || event.pauses()) {
            return self;
        }
        let failures = self.failures.saturating_add(1);
        let record = Self { failures, ..self };
        let is_due = settings.consecutive > 0 && failures >= settings.consecutive;
        if is_due && may_eject() {
            return record.eject(now_ms, settings);
        }
        if event.pauses() {
            return record.pause(now_ms, settings);
        }
        // An answer, even a bad one, shows that it can be reached.
        let is_answer = matches!(event, Event::Answered(_));
        if is_answer { Self { failures, ..record.reached() } } else { record }
    }

    /// The record after it is ejected at `now_ms`, for whatever reason.
    #[must_use]
    pub fn eject(self, now_ms: u64, settings: &Settings) -> Self {
        let ejections = self.unforgiven(now_ms, settings).saturating_add(1);
        let out_ms = settings.eject_ms.saturating_mul(u64::from(ejections));
        Self {
            until_ms: end(now_ms, out_ms.min(settings.eject_ms_max)),
            is_ejection: true,
            pauses: 0,
            failures: 0,
            ejections,
        }
    }

    fn pause(self, now_ms: u64, settings: &Settings) -> Self {
        let pauses = (self.pauses + 1).min(PAUSES_MAX);
        let out_ms = (PAUSE_MS << (pauses - 1).min(16)).min(PAUSE_MS_MAX);
        Self {
            until_ms: end(now_ms, out_ms),
            is_ejection: false,
            pauses,
            // What was forgiven until now is booked, because the time it counts from is overwritten.
            ejections: self.unforgiven(now_ms, settings),
            ..self
        }
    }

    /// A good answer ends a pause, and the failures in a row; an ejection is served in full, since the
    /// answer belongs to a request from before it.
    fn answered(self) -> Self {
        Self { failures: 0, ..self.reached() }
    }

    fn reached(self) -> Self {
        if self.pauses == 0 {
            return self;
        }
        let until_ms = if self.is_ejection { self.until_ms } else { 0 };
        Self { until_ms, pauses: 0, ..self }
    }

    /// Ejections that still count at `now_ms`.
    fn unforgiven(self, now_ms: u64, settings: &Settings) -> u8 {
        let good_ms = now_ms.saturating_sub(self.until_ms);
        let forgiven = good_ms / settings.eject_ms.max(1);
        self.ejections.saturating_sub(u8::try_from(forgiven).unwrap_or(u8::MAX))
    }
}

fn end(now_ms: u64, out_ms: u64) -> u64 {
    now_ms.saturating_add(out_ms).min(TIME_BITS)
}

/// Whether one more of `members` instances may be ejected, when `ejected` are.
#[must_use]
pub fn may_eject(ejected: usize, members: usize, settings: &Settings) -> bool {
    let after = ejected + 1;
    // The last one is never ejected: a poor answer is better than none.
    after < members
        && (after == 1 || after * 100 <= members * usize::from(settings.ejected_percent_max))
}

/// Whether so many of `members` instances are ejected that ejections are ignored.
#[must_use]
pub fn is_panic(ejected: usize, members: usize, settings: &Settings) -> bool {
    ejected * 100 > members * usize::from(settings.panic_percent)
}

#[cfg(test)]
mod tests;
