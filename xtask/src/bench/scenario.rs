//! What is measured, and what each figure is called.

use super::load::Wrk;

/// A figure.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Metric {
    /// In JSON.
    pub(super) key: &'static str,
    /// In the table.
    pub(super) head: &'static str,
    pub(super) decimals: usize,
}

const fn metric(key: &'static str, head: &'static str, decimals: usize) -> Metric {
    Metric { key, head, decimals }
}

/// Of runs under load. The first metric is the one that ratios and budgets are about.
pub(super) const LOAD: &[Metric] = &[
    metric("cpu_us", "CPU us/req", 1),
    metric("user_us", "user", 1),
    metric("system_us", "system", 1),
    metric("requests_per_second", "req/s", 0),
    metric("p50_ms", "p50 ms", 2),
    metric("p99_ms", "p99 ms", 2),
    metric("memory_mib", "RSS MiB", 1),
    metric("failed", "failed", 0),
    metric("others_percent", "others %", 0),
];

pub(super) const IDLE: &[Metric] = &[
    metric("per_connection_bytes", "bytes/connection", 0),
    metric("before_mib", "RSS before MiB", 2),
    metric("after_mib", "RSS after MiB", 2),
];

pub(super) const HALF_LOAD: &[Metric] = &[
    metric("added_p50_ms", "added p50 ms", 3),
    metric("added_p99_ms", "added p99 ms", 3),
    metric("direct_p50_ms", "direct p50", 3),
    metric("direct_p99_ms", "direct p99", 3),
    metric("p50_ms", "p50", 3),
    metric("p99_ms", "p99", 3),
    metric("requests_per_second", "req/s", 0),
    metric("failed", "failed", 0),
    metric("others_percent", "others %", 0),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http(Wrk),
    Https(Wrk),
    Handshake,
    H2,
    Idle,
    HalfLoad,
}

#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) kind: Kind,
    /// Bytes of an answer.
    pub(super) size: usize,
    /// Power of two choices everywhere.
    pub(super) chooses: bool,
    /// The most our first metric may be, as a ratio to a peer's.
    pub(super) budget: &'static [(&'static str, f64)],
    /// The most our own figures may be, by the metric's key.
    pub(super) limits: &'static [(&'static str, f64)],
}

impl Scenario {
    pub(super) fn metrics(&self) -> &'static [Metric] {
        match self.kind {
            Kind::Http(_) | Kind::Https(_) | Kind::Handshake | Kind::H2 => LOAD,
            Kind::Idle => IDLE,
            Kind::HalfLoad => HALF_LOAD,
        }
    }

    pub(super) fn needs_tls(&self) -> bool {
        matches!(self.kind, Kind::Https(_) | Kind::Handshake)
    }

    pub(super) fn needs_h2load(&self) -> bool {
        matches!(self.kind, Kind::H2 | Kind::Handshake)
    }
}

const KEPT: Wrk = Wrk { closes: false, posts: false };
const CLOSED: Wrk = Wrk { closes: true, posts: false };
const POST: Wrk = Wrk { closes: false, posts: true };

const STRICT: &[(&str, f64)] = &[("haproxy", 0.8), ("nginx", 0.8), ("envoy", 0.25)];
const EVEN: &[(&str, f64)] = &[("haproxy", 1.0)];

const SMALL: Scenario = Scenario {
    name: "get",
    about: "GET, 1 KB answer, 64 kept connections",
    kind: Kind::Http(KEPT),
    size: 1024,
    chooses: false,
    budget: STRICT,
    limits: &[],
};

/// All of them, in the order in which they run.
pub(super) const ALL: &[Scenario] = &[
    SMALL,
    Scenario {
        name: "post",
        about: "POST of 1 KB, 1 KB answer, 64 kept connections",
        kind: Kind::Http(POST),
        ..SMALL
    },
    Scenario {
        name: "large",
        about: "GET, 64 KB answer, 64 kept connections",
        size: 64 * 1024,
        budget: EVEN,
        ..SMALL
    },
    Scenario {
        name: "connect",
        about: "GET, 1 KB answer, a new connection for each request",
        kind: Kind::Http(CLOSED),
        budget: EVEN,
        ..SMALL
    },
    Scenario {
        name: "balance",
        about: "as get, every proxy takes the better of two random upstreams of three",
        chooses: true,
        ..SMALL
    },
    Scenario {
        name: "h2",
        about: "HTTP/2 GET, 1 KB answer, 16 connections of 4 streams",
        kind: Kind::H2,
        budget: &[],
        ..SMALL
    },
    Scenario {
        name: "h2-large",
        about: "HTTP/2 GET, 64 KB answer, 16 connections of 4 streams",
        kind: Kind::H2,
        size: 64 * 1024,
        budget: &[],
        ..SMALL
    },
    Scenario {
        name: "tls",
        about: "https GET, 1 KB answer, 64 kept connections",
        kind: Kind::Https(KEPT),
        budget: &[],
        ..SMALL
    },
    Scenario {
        name: "handshake",
        about: "https GET, 1 KB answer, a new connection and a whole handshake for each request",
        kind: Kind::Handshake,
        budget: &[],
        ..SMALL
    },
    Scenario {
        name: "resume",
        about: "https GET, 1 KB answer, a new connection with a resumed session for each request",
        kind: Kind::Https(CLOSED),
        budget: &[],
        ..SMALL
    },
    Scenario {
        name: "idle",
        about: "1,000 connections that have had one request each and now are silent",
        kind: Kind::Idle,
        budget: &[],
        limits: &[("per_connection_bytes", 4096.0)],
        ..SMALL
    },
    Scenario {
        name: "half-load",
        about: "GET, 1 KB answer, 16 kept connections at half of what each proxy can do; added = proxied minus direct",
        kind: Kind::HalfLoad,
        budget: &[],
        limits: &[("added_p50_ms", 0.15), ("added_p99_ms", 1.0)],
        ..SMALL
    },
];
