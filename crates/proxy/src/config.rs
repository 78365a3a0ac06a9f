//! What can be set, and the bounds that cannot.

use std::time::Duration;

/// Settings of the data plane.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of worker threads, 1 or more. Default: one per core this process may use.
    pub workers: usize,
    /// How long a connection to an instance may take to open. Default 1 s: instances are on this machine or
    /// its network, where a handshake that takes longer was lost.
    pub connect_timeout: Duration,
    /// How long a request may take until the head of its response, all tries together, when its
    /// route says nothing. Default 60 s, nginx' and most load balancers' value.
    pub response_timeout: Duration,
    /// How long a request waits for an instance when none takes requests. Default 1 s: it bridges the
    /// restart of the only instance of a service.
    pub no_instance_wait: Duration,
    /// How long a connection to an instance is kept without a request. Default 3.5 s: Node.js closes idle
    /// connections after 5 s, and a request must not meet that close.
    pub upstream_idle: Duration,
    /// How long a service's new instance takes until it gets its full share (all algorithms but
    /// `round_robin`, `random` and `consistent_hash`); 0 switches it off. Default 10 s, as caches and JITs
    /// warm up in about that.
    pub slow_start: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            connect_timeout: Duration::from_secs(1),
            response_timeout: Duration::from_secs(60),
            no_instance_wait: Duration::from_secs(1),
            upstream_idle: Duration::from_millis(3_500),
            slow_start: Duration::from_secs(10),
        }
    }
}

/// Largest head of a request or response in bytes, and so the largest buffer of a connection before its
/// body flows. 64 KiB is what browsers and proxies at most let pass.
pub(crate) const HEAD_SIZE_MAX: usize = 64 * 1024;

/// Most headers of a request or response.
pub(crate) const HEADERS_MAX: usize = 128;

/// How long a new connection may take to send the first head; shorter than for later heads, because a
/// client that connects has something to say.
pub(crate) const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a kept client connection may take until it has sent its next head. hyper counts the idle
/// time in, so this is also how long connections are kept: 75 s, nginx' value, above the 60 s after which
/// most clients let go themselves.
pub(crate) const NEXT_HEAD_TIMEOUT: Duration = Duration::from_secs(75);

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

/// Requests of one service that wait for an instance at the same time. Further ones fail at once: what
/// waits holds memory, and a thousand is a second's work of a busy service.
pub(crate) const WAITING_MAX: usize = 1_024;

/// How often a waiting request looks whether a penalised instance may be tried again.
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
