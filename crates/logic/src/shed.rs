//! Refusing some requests in time, so that an overloaded service goes on answering the others.
//!
//! A service that is given more than it can do does not slow down a little: its queue grows until every
//! answer comes after its caller has given up, and all its work is wasted. A [`Limiter`] watches for
//! the sign of that and then bounds how many requests are at the service at the same time. There is
//! one for each service and worker; it counts a request until the head of its response has come, so
//! streams and tunnels hold no place.
//!
//! **The sign** is `CoDel`'s (Nichols and Jacobson 2012): in a standing queue even the *fast* requests
//! are slow. So not the mean is looked at, which a few reports or long polls move, but the tenth
//! percentile of a window of a second, against what it usually is. Only when it exceeds
//! [`TOLERANCE`] times the usual by more than [`SLACK_US`], or one request in five is not answered in
//! time, with [`CROWD_MIN`] requests or more at the service, in two windows one after the other, is
//! there a limit at all.
//!
//! **The limit** is what Little's law says the service needs at the throughput it has, twice over, and
//! never below [`LIMIT_MIN`]; from then on it moves as TCP's window does (Netflix'
//! `concurrency-limits` and Envoy's adaptive concurrency are built so): up by a tenth after a window
//! without the sign, down by a fifth after one with it. After [`CALM_WINDOWS`] windows in which
//! nobody was refused it is gone.
//!
//! **When it was no queue**, but the service became slower for good (a new version, a slow
//! dependency), fewer requests do not make it faster. So when half the crowd is as slow as the whole
//! was, or the sign stays for [`CURE_WINDOWS`] windows, what was seen becomes the usual and the
//! limit goes.
//!
//! Its limits: it needs [`SAMPLES_MIN`] answers in a window, so a service that answers nothing is the
//! breaker's; it does not see a queue that fast requests bypass; a load that other nodes bring it
//! cannot take away.

mod histogram;

use histogram::Histogram;

/// Shortest window in milliseconds.
pub const WINDOW_MS: u64 = 1_000;

/// A window that has too few samples for so long is begun anew, in milliseconds: what lies further
/// back says nothing of now.
pub const WINDOW_MS_MAX: u64 = 10_000;

/// Fewest answers that a window is judged by.
pub const SAMPLES_MIN: u32 = 50;

/// How much slower than usual the fast requests may be. A garbage collection or a cold cache doubles
/// them; four times means that three requests stand before each.
pub const TOLERANCE: u64 = 4;

/// What is added to the tolerance, in microseconds: below this nobody notices a queue.
pub const SLACK_US: u64 = 20_000;

/// With fewer requests than this at the service from one worker there is no crowd to thin out.
pub const CROWD_MIN: u32 = 32;

/// The lowest limit: it keeps a service with a few threads busy.
pub const LIMIT_MIN: u32 = 4;

/// Share of a window's requests without an answer in time that is a sign by itself, in percent.
pub const LATE_PERCENT: u64 = 20;

/// Bad windows in a row that bring a limit.
pub const BAD_WINDOWS: u8 = 2;

/// Windows without a refusal after which the limit is gone.
pub const CALM_WINDOWS: u8 = 30;

/// Bad windows in a row under a limit that show that it cures nothing.
pub const CURE_WINDOWS: u8 = 60;

/// How long a request waits for a place at most, in milliseconds: long enough for the answer before it,
/// short enough that the queue here does not become the one that is to be avoided there.
pub const QUEUE_MS: u64 = 250;

/// What may happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// It goes to the service; [`Limiter::end`] must follow.
    Admit,
    /// It waits for up to [`QUEUE_MS`]; [`Limiter::admit_next`] or [`Limiter::give_up`] must follow.
    Queue,
    /// It is refused with 503.
    Shed {
        /// What `Retry-After` says, in seconds: 1 to 8, more the longer it lasts.
        retry_after_s: u32,
    },
}

/// How a request at the service ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The head of its response came, so long after it was sent, in microseconds.
    Answered(u64),
    /// There was no answer in time.
    Late,
    /// It says nothing of the service's speed: not connected, broken off, or the client went away.
    Unknown,
}

/// One window.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began_ms: u64,
    latencies: Histogram,
    late: u32,
    /// Most requests at the service.
    peak: u32,
    refused: u32,
}

/// How it was when the limit came.
#[derive(Clone, Copy, Debug)]
struct Before {
    peak: u32,
    fast_us: u64,
}

/// One worker's view of one service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limiter {
    at_work: u32,
    waiting: u32,
    limit: Option<u32>,
    window: Window,
    /// Tenth percentile and mean of usual windows in microseconds; 0: not known yet.
    fast_us: u64,
    mean_us: u64,
    bad_windows: u8,
    calm_windows: u8,
    before: Option<Before>,
}

impl Limiter {
    /// Decides about a request that comes. `pending_max` bounds those that wait for a place.
    pub fn arrive(&mut self, now_ms: u64, pending_max: u32) -> Verdict {
        self.turn(now_ms);
        // Who waits goes first.
        if self.waiting == 0 && self.has_room() {
            self.begin();
            return Verdict::Admit;
        }
        let queue_max = self.limit.unwrap_or(u32::MAX).min(pending_max);
        if self.waiting < queue_max {
            self.waiting += 1;
            return Verdict::Queue;
        }
        self.refuse()
    }

    /// Whether the request that has waited longest may go now; it counts as at work then.
    #[must_use]
    pub fn admit_next(&mut self) -> bool {
        let may = self.waiting > 0 && self.has_room();
        if may {
            self.waiting -= 1;
            self.begin();
        }
        may
    }

    /// One that waited does not wait any longer; it is refused with this verdict.
    pub fn give_up(&mut self) -> Verdict {
        self.waiting = self.waiting.saturating_sub(1);
        self.refuse()
    }

    /// Books the end of a request that was admitted. [`Limiter::admit_next`] may be true afterwards.
    pub fn end(&mut self, now_ms: u64, end: End) {
        self.at_work = self.at_work.saturating_sub(1);
        match end {
            End::Answered(latency_us) => self.window.latencies.add(latency_us),
            End::Late => self.window.late = self.window.late.saturating_add(1),
            End::Unknown => {}
        }
        self.turn(now_ms);
    }

    /// The limit on requests at the service from this worker; `None` in normal operation.
    #[must_use]
    pub const fn limit(&self) -> Option<u32> {
        self.limit
    }

    /// Requests at the service.
    #[must_use]
    pub const fn at_work(&self) -> u32 {
        self.at_work
    }

    /// Requests that wait for a place.
    #[must_use]
    pub const fn waiting(&self) -> u32 {
        self.waiting
    }

    fn has_room(&self) -> bool {
        self.limit.is_none_or(|limit| self.at_work < limit)
    }

    fn begin(&mut self) {
        self.at_work = self.at_work.saturating_add(1);
        self.window.peak = self.window.peak.max(self.at_work);
    }

    fn refuse(&mut self) -> Verdict {
        self.window.refused = self.window.refused.saturating_add(1);
        Verdict::Shed { retry_after_s: 1 << self.bad_windows.min(3) }
    }

    /// Judges the window when it is over.
    fn turn(&mut self, now_ms: u64) {
        let age_ms = now_ms.saturating_sub(self.window.began_ms);
        if age_ms < WINDOW_MS {
            return;
        }
        let window = self.window;
        let samples = window.latencies.count().saturating_add(window.late);
        if samples < SAMPLES_MIN && age_ms < WINDOW_MS_MAX {
            return;
        }
        self.window = Window { began_ms: now_ms, peak: self.at_work, ..Window::default() };
        if samples < SAMPLES_MIN {
            self.bad_windows = 0;
            self.calm(&window);
        } else if self.is_bad(&window, samples) {
            self.bad_windows = self.bad_windows.saturating_add(1);
            self.calm_windows = 0;
            if self.bad_windows >= BAD_WINDOWS {
                self.tighten(&window, age_ms);
            }
        } else {
            self.bad_windows = 0;
            self.learn(&window);
            self.calm(&window);
        }
    }

    fn is_bad(&self, window: &Window, samples: u32) -> bool {
        // A limit may be below what is a crowd without one.
        let is_crowd = window.peak >= self.limit.unwrap_or(CROWD_MIN).min(CROWD_MIN);
        let fast_us = window.latencies.tenth_percentile();
        let is_slow = self.fast_us > 0 && fast_us > self.fast_us * TOLERANCE + SLACK_US;
        let is_late = u64::from(window.late) * 100 >= u64::from(samples) * LATE_PERCENT;
        is_crowd && (is_slow || is_late)
    }

    fn tighten(&mut self, window: &Window, age_ms: u64) {
        let fast_us = window.latencies.tenth_percentile();
        if self.is_no_queue(fast_us) {
            self.lift();
            (self.fast_us, self.mean_us) = (fast_us, window.latencies.mean());
            return;
        }
        self.before.get_or_insert(Before { peak: window.peak, fast_us });
        let now = self.limit.unwrap_or(window.peak).max(LIMIT_MIN);
        let answers = u64::from(window.latencies.count());
        let needed = answers * (self.mean_us * 2 + SLACK_US) / (age_ms.max(1) * 1_000);
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        // Not at once to what a single window suggests, and always some way down.
        let down = needed.clamp(now / 4, now - now / 5);
        self.limit = Some(down.max(LIMIT_MIN));
    }

    /// Whether fewer requests were as slow as many.
    fn is_no_queue(&self, fast_us: u64) -> bool {
        let (Some(before), Some(limit)) = (self.before, self.limit) else { return false };
        let is_halved = limit <= before.peak / 2;
        let is_as_slow = fast_us * 4 >= before.fast_us * 3;
        (is_halved && is_as_slow) || self.bad_windows >= CURE_WINDOWS
    }

    fn calm(&mut self, window: &Window) {
        let Some(limit) = self.limit else { return };
        if window.refused > 0 || window.peak >= limit {
            self.calm_windows = 0;
            self.limit = Some(limit.saturating_add(limit / 10 + 1));
            return;
        }
        self.calm_windows += 1;
        if self.calm_windows >= CALM_WINDOWS {
            self.lift();
        }
    }

    fn lift(&mut self) {
        self.limit = None;
        self.before = None;
        self.bad_windows = 0;
        self.calm_windows = 0;
    }

    /// Moves what is usual: down quickly; up slowly, and not under a limit, where slowness is what
    /// the limit has left of the queue.
    fn learn(&mut self, window: &Window) {
        let (fast_us, mean_us) = (window.latencies.tenth_percentile(), window.latencies.mean());
        let is_limited = self.limit.is_some();
        let step = |usual_us: u64, seen_us: u64| {
            if usual_us == 0 {
                seen_us
            } else if seen_us < usual_us {
                usual_us - (usual_us - seen_us).div_ceil(4)
            } else if is_limited {
                usual_us
            } else {
                usual_us + (seen_us - usual_us) / 16
            }
        };
        self.fast_us = step(self.fast_us, fast_us);
        self.mean_us = step(self.mean_us, mean_us);
    }
}

#[cfg(test)]
mod tests;
