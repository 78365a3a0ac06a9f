//! How the traffic to a service is bounded and timed, and what happens to instances that fail.

use logic::{breaker, outlier, retry::Statuses};
use std::time::Duration;

/// Times of an exchange, as far as they are said. Between several places that say something, see
/// [`Timeouts::over`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection to an instance is open. Default 1 s.
    pub connect: Option<Duration>,
    /// Until the head of the response, all tries together. Default 60 s.
    pub response: Option<Duration>,
    /// Without a byte of a body in either direction; zero: for ever. Default 5 min.
    pub idle: Option<Duration>,
    /// Until the last byte of the response; zero: for ever, which is the default.
    pub overall: Option<Duration>,
}

impl Timeouts {
    /// These, and what they leave open from `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            connect: self.connect.or(below.connect),
            response: self.response.or(below.response),
            idle: self.idle.or(below.idle),
            overall: self.overall.or(below.overall),
        }
    }
}

/// When a request is tried again, as far as it is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retries {
    /// How often. Default 2.
    pub max: Option<u32>,
    /// Statuses after which an idempotent request is tried again too. Default none.
    pub on: Option<Statuses>,
    /// How long one try may take until the head of the response. Default: as long as all together.
    pub per_try: Option<Duration>,
}

impl Retries {
    /// These, and what they leave open from `below`.
    #[must_use]
    pub fn over(self, below: Self) -> Self {
        Self {
            max: self.max.or(below.max),
            on: self.on.or(below.on),
            per_try: self.per_try.or(below.per_try),
        }
    }
}

/// Whether the requests of a client stay at one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sticky {
    /// They go anywhere.
    Off,
    /// They stay, by a cookie that the gateway sets.
    Cookie {
        /// The cookie's name; `None`: `flotilla-<service>`.
        name: Option<String>,
        /// How long the client keeps it; `None`: until the browser closes.
        max_age: Option<Duration>,
    },
}

/// For all traffic to a service, from the gateway and from other services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Times, as far as the service says.
    pub timeouts: Timeouts,
    /// Retries, as far as the service says.
    pub retries: Retries,
    /// Most requests that it works on and that wait.
    pub limits: breaker::Limits,
    /// Most connections to each instance; `None`: no bound.
    pub max_connections: Option<u32>,
    /// How long a request waits for an instance or a place. Default 1 s.
    pub pending_timeout: Duration,
    /// How long until a new instance gets its full share; zero: at once. Default 10 s.
    pub slow_start: Duration,
    /// Whether clients stay at one instance.
    pub sticky: Sticky,
    /// When it gets no requests for a while; `None`: never.
    pub breaker: Option<breaker::Settings>,
    /// When an instance gets none for a while; `None`: never.
    pub outlier: Option<outlier::Settings>,
    /// Whether requests are refused before it collapses.
    pub shed: bool,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            retries: Retries::default(),
            limits: breaker::Limits::default(),
            max_connections: None,
            pending_timeout: Duration::from_secs(1),
            slow_start: Duration::from_secs(10),
            sticky: Sticky::Off,
            breaker: Some(breaker::Settings::default()),
            outlier: Some(outlier::Settings::default()),
            shed: true,
        }
    }
}
