//! What can be set, and the bounds that cannot.

use crate::settings::{Exchange, Timeouts, Traffic};
use std::time::Duration;

/// Settings of the data plane.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of worker threads, 1 or more. Default: one per core this process may use.
    pub workers: usize,
    /// For services of which nothing is set: how long a connection to an instance may take to open. Default
    /// 1 s: instances are on this machine or its network, where a handshake that takes longer was lost.
    pub connect_timeout: Duration,
    /// For services and routes of which nothing is set: how long a request may take until the head of its
    /// response, all tries together. Default 60 s, nginx' and most load balancers' value.
    pub response_timeout: Duration,
    /// How long a client may take to send a body that is read before it is forwarded. Default 30 s.
    pub body_timeout: Duration,
    /// How long a body may stand still, in either direction, before it is given up. Default 5 min, Envoy's
    /// value: event streams send something more often than that. What switched protocols has no
    /// such limit.
    pub stream_idle: Duration,
    /// For services of which nothing is set: how long a request waits for an instance when none takes requests.
    /// Default 1 s: it bridges the restart of the only instance of a service.
    pub no_instance_wait: Duration,
    /// How long a connection to an instance is kept without a request. Default 3.5 s: Node.js closes idle
    /// connections after 5 s, and a request must not meet that close.
    pub upstream_idle: Duration,
    /// How long a new connection may take to send its first head. Default 10 s: a client that connects has
    /// something to say.
    pub first_head_timeout: Duration,
    /// How long a head may take from its first byte to its last. Default 10 s; whoever takes longer holds
    /// connections on purpose.
    pub head_timeout: Duration,
    /// How long a client's connection is kept without a request. Default 75 s, nginx' value, above the
    /// 60 s after which most clients let go themselves.
    pub client_idle: Duration,
    /// For services of which nothing is set: how long a new instance takes until it gets its full share (all algorithms but
    /// `round_robin`, `random` and `consistent_hash`); 0 switches it off. Default 10 s, as caches and JITs
    /// warm up in about that.
    pub slow_start: Duration,
}

impl Config {
    /// How the traffic of a service is bounded of which nothing is set.
    pub(crate) fn traffic(&self) -> Traffic {
        let timeouts = Timeouts {
            connect: self.connect_timeout,
            response: self.response_timeout,
            idle: Some(self.stream_idle),
            ..Timeouts::default()
        };
        Traffic {
            exchange: Exchange { timeouts, ..Exchange::default() },
            pending_timeout: self.no_instance_wait,
            slow_start: self.slow_start,
            ..Traffic::default()
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(30),
            stream_idle: Duration::from_secs(300),
            no_instance_wait: Duration::from_secs(1),
            upstream_idle: Duration::from_millis(3_500),
            first_head_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            client_idle: Duration::from_secs(75),
            slow_start: Duration::from_secs(10),
        }
    }
}

/// Largest head of a request or response in bytes, and so the largest buffer of a connection before its
/// body flows. 64 KiB is what browsers and proxies at most let pass.
pub(crate) const HEAD_SIZE_MAX: usize = 64 * 1024;

/// Most fields of a request.
pub(crate) const FIELDS_MAX: usize = 128;

/// Longest line of a head in bytes: the target with its query, or one field. Browsers and most servers stop
/// at 8 to 16 KiB.
pub(crate) const LINE_SIZE_MAX: usize = 16 * 1024;

/// Bytes of one stream of HTTP/2 that may be on their way to us.
pub(crate) const STREAM_WINDOW: u32 = 64 * 1024;

/// Bytes of all streams of one connection that may be on their way to us.
pub(crate) const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Streams that a client may reset before they were looked at, and mistakes it may make: after that many
/// the connection ends with `ENHANCE_YOUR_CALM` ("rapid reset", CVE-2023-44487).
pub(crate) const RESETS_MAX: usize = 32;

/// Requests that a client of HTTP/2 may take back soon after it made them, less those it lets be answered: who
/// leaves a page takes back all at once. After that many the connection ends with `ENHANCE_YOUR_CALM`, because
/// each has cost an instance work ("rapid reset" with time between request and reset).
pub(crate) const TAKEN_BACK_MAX: u32 = 2 * STREAMS_MAX;

/// What is taken back later than this is no rapid reset but a long stream that is not wanted any more.
pub(crate) const TAKEN_BACK_SOON: Duration = Duration::from_secs(1);

/// How long a client of HTTP/2 without requests under way may take to go when it was told to: it has to
/// answer a ping, and the slowest networks take a second or two for that.
pub(crate) const GOODBYE: Duration = Duration::from_secs(5);

/// Bytes of one response that may wait in the memory of its HTTP/2 connection while its client does not read.
pub(crate) const STREAM_SEND_MAX: usize = 64 * 1024;

/// Most that is read from a client after it was refused, so that it can read why before the connection
/// is gone (RFC 9112 §9.6).
pub(crate) const LINGER_SIZE_MAX: usize = 256 * 1024;

/// How long that may take.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// Largest request body that is held for a second try, and largest response body that is read
/// completely before its head is forwarded so that a failure in the middle can still be mended.
/// 64 KiB: an instance's reply to most calls, and at most one such buffer each way per open request.
pub(crate) const REPLAY_SIZE_MAX: usize = 64 * 1024;

/// Client connections of one worker. At about 13 KiB each, 16384 bound the worker to 220 MiB; further
/// ones wait in the kernel's accept queue.
pub(crate) const CONNECTIONS_MAX: usize = 16_384;

/// Kept idle connections per worker and endpoint: enough for the burst of a load test, few enough that an
/// instance with a small file limit (256 on some systems) lives.
pub(crate) const UPSTREAM_IDLE_MAX: usize = 128;

/// For a request that must not be sent twice only connections that were in use this recently are taken:
/// the close of an idle peer is then hardly ever under way.
pub(crate) const UPSTREAM_FRESH: Duration = Duration::from_millis(500);

/// How often a waiting request looks by itself: whether an instance that is passed over may be tried again, and
/// whether there is a place after all.
pub(crate) const WAITING_LOOK: Duration = Duration::from_millis(50);

/// Concurrent streams a client may open on one HTTP/2 connection (RFC 9113 advises at least 100).
pub(crate) const STREAMS_MAX: u32 = 256;

/// Length of the kernel's queue of connections not yet accepted, per worker and listener.
pub(crate) const ACCEPT_QUEUE: i32 = 1_024;

/// Silence after which the kernel asks whether a client is still there, so that one that vanished does not
/// stay in flight for ever.
pub(crate) const TCP_KEEPALIVE: Duration = Duration::from_secs(60);

/// Pause after a failed accept: it fails when file descriptors run out, and then only time helps.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Most memories of exchanges that a worker keeps for later.
pub(crate) const SCRATCH_KEPT_MAX: usize = 256;

/// Memory of an exchange that is larger is not kept: heads that large are rare.
pub(crate) const SCRATCH_SIZE_MAX: usize = 32 * 1024;

/// Most response bodies that a worker packs at the same time; further ones are sent as they are. One
/// encoder holds up to 1 MiB.
pub(crate) const ENCODERS_MAX: usize = 64;
