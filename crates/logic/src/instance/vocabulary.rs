//! The words an instance's life is told in: what it is measured by, where it is, what happens to it,
//! what is to be done, what people are told.

use crate::{backoff::Backoff, probe};
use base::Moment;
use std::time::Duration;

/// After how many failures in a row an instance is said to be in a crash loop.
pub const CRASH_LOOP_FAILURES: u32 = 3;

/// How often SIGKILL is repeated while a process does not end (it may hang in the kernel).
pub const KILL_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What an instance's life is measured by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// When to start again.
    pub restart: Restart,
    /// Waits between starts.
    pub backoff: Backoff,
    /// Ready for this long, failures are counted anew.
    pub reset_after: Duration,
    /// Starts again at most this often in a row; then it has failed. `None`: for ever.
    pub retries_max: Option<u32>,
    /// How long open requests may take at a stop.
    pub drain: Duration,
    /// How long the process may take after the signal.
    pub grace: Duration,
    /// Startup probe.
    pub startup: Option<probe::Policy>,
    /// Readiness probe.
    pub ready: Option<probe::Policy>,
    /// Liveness probe.
    pub live: Option<probe::Policy>,
    /// The startup probe asks the same as the readiness probe: its success counts for both.
    pub startup_is_ready: bool,
    /// Takes requests, so it is routed and drained.
    pub routed: bool,
}

/// When to start an instance again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// However it ended.
    Always,
    /// When it ended badly.
    OnFailure,
    /// Never.
    Never,
}

/// One of the three probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Until it succeeds the others wait.
    Startup,
    /// Decides about traffic.
    Ready,
    /// Decides about life.
    Live,
}

/// Where an instance is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The host was asked to start it.
    Starting,
    /// It runs; its startup probe has not succeeded.
    Started,
    /// It runs.
    Running {
        /// Whether it is ready.
        ready: bool,
    },
    /// It gets no new request; the signal follows at `until` or when it is idle.
    Draining {
        /// The end of patience.
        until: Moment,
    },
    /// It was signalled; SIGKILL follows at `kill_at`.
    Stopping {
        /// The end of patience.
        kill_at: Moment,
        /// SIGKILL was sent.
        killed: bool,
    },
    /// The main process ended; the host clears up.
    Ending {
        /// What follows.
        next: Next,
    },
    /// The next start is due at `until`.
    Backoff {
        /// When.
        until: Moment,
    },
    /// Not started again.
    Failed,
    /// Ended well and is not started again.
    Completed,
}

/// What follows an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It goes away.
    Gone,
    /// It starts again after a wait.
    Again {
        /// The wait.
        wait: Duration,
    },
    /// It stays failed.
    Failed,
    /// It stays completed.
    Completed,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Start the program; answer `Started` or `Refused`, later `Exited`.
    Start,
    /// Ask this probe once; answer `Probed`.
    Ask(Kind),
    /// Send it requests.
    Route,
    /// Send it no more requests.
    Unroute,
    /// Wait until no request is open; answer `Idle`.
    AwaitIdle,
    /// Send the stop signal.
    Signal,
    /// Send SIGKILL to all its processes.
    Kill,
    /// Clear up after the end; answer `Forgotten`.
    Forget,
    /// Tell people.
    Say(News),
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The process was started.
    Started,
    /// Ready to work after this long.
    Ready(Duration),
    /// Not ready any more.
    Unready,
    /// The startup probe failed too often.
    NeverReady,
    /// The liveness probe failed too often.
    NotAlive,
    /// It ended by itself.
    Exited,
    /// It could not be started.
    Refused,
    /// It starts again after this wait.
    Again(Duration),
    /// It gets no new requests and finishes the open ones.
    Draining,
    /// It was asked to end; requests were still open when `false`.
    Asked {
        /// All requests were finished.
        drained: bool,
    },
    /// It did not heed the signal and was killed.
    Killed,
    /// It is gone.
    Gone,
    /// It ended well.
    Completed,
    /// It is given up.
    Failed,
}

/// What happened to an instance's run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The program runs.
    Started,
    /// It could not be started.
    Refused,
    /// The main process ended.
    Exited {
        /// With code 0.
        success: bool,
    },
    /// The host has cleared up.
    Forgotten,
    /// No request is open.
    Idle,
    /// A probe was answered.
    Probed(Kind, bool),
    /// Time passed.
    Tick,
}
