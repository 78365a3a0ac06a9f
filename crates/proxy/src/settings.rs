//! What can be set for a route, for a service and for the clients of the gateway.
//!
//! Plain values, all defaults filled in: whoever makes a snapshot decides between route, service and
//! gateway, so that a request finds one answer and compares nothing.

use logic::{
    breaker, outlier,
    retry::{RETRIES_DEFAULT, Statuses},
    sticky::Key,
};
use policy::{Policy, redirect::Redirect};
use std::{net::IpAddr, sync::Arc, time::Duration};

/// Times of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection to an instance is open. Default 1 s: instances are on this machine or its network,
    /// where a handshake that takes longer was lost.
    pub connect: Duration,
    /// Until the head of the response is there, all tries together. Default 60 s, nginx' and most load
    /// balancers' value.
    pub response: Duration,
    /// Until the head of the response to one try is there; `None`, the default: as long as all together.
    pub per_try: Option<Duration>,
    /// Without a byte of a body in either direction; `None`: for ever. Default 5 min, Envoy's value. What
    /// switched protocols has no such limit.
    pub idle: Option<Duration>,
    /// Until the last byte of the response; `None`, the default: for ever.
    pub overall: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            response: Duration::from_secs(60),
            per_try: None,
            idle: Some(Duration::from_secs(300)),
            overall: None,
        }
    }
}

/// When a request is sent again; see [`logic::retry`] for when that is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often. Default [`RETRIES_DEFAULT`].
    pub max: u32,
    /// Also after answers with these statuses. Default none.
    pub on: Statuses,
}

impl Default for Retry {
    fn default() -> Self {
        Self { max: RETRIES_DEFAULT, on: Statuses::default() }
    }
}

/// Times and retries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// What may take how long.
    pub timeouts: Timeouts,
    /// When it is sent again.
    pub retry: Retry,
}

/// Keeps the requests of a client at one instance, by a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: Arc<str>,
    /// How long the client keeps it; `None`: until the browser closes.
    pub max_age: Option<Duration>,
}

/// A route's choice about stickiness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stickiness {
    /// Its service's, see [`Traffic::sticky`].
    #[default]
    Service,
    /// None, whatever the service says.
    Off,
    /// By this cookie, at whichever of its targets the client came to first.
    On(Sticky),
}

/// What a route sets beside what it matches and where it leads. The default lets everything pass as it is.
#[derive(Clone, Debug, Default)]
pub struct RouteSettings {
    /// For each target, in their order; a target without one has its service's [`Traffic::exchange`].
    pub exchanges: Arc<[Exchange]>,
    /// Who may use it and what is changed, how bodies are packed, and how large they may be. `None`: nothing.
    pub policy: Option<Arc<Policy>>,
    /// Whether clients stay at one instance.
    pub sticky: Stickiness,
}

/// How the traffic to a service is bounded, and what happens to instances that fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Times and retries of requests that come by no route: those of other services.
    pub exchange: Exchange,
    /// Most requests that are worked on and that wait, in all workers together.
    pub limits: breaker::Limits,
    /// Most connections to each instance, in all workers together; `None`, the default: no bound.
    pub connections_max: Option<u32>,
    /// How long a request waits for an instance or a place. Default 1 s: it bridges the restart of the
    /// only instance.
    pub pending_timeout: Duration,
    /// How long until a new instance gets its full share; zero: at once. Default 10 s, as caches and
    /// JITs warm up in about that.
    pub slow_start: Duration,
    /// Whether clients of the gateway stay at one instance. Default not.
    pub sticky: Option<Sticky>,
    /// When it gets no requests for a while; `None`: never.
    pub breaker: Option<breaker::Settings>,
    /// When an instance gets none for a while; `None`: never, but for pauses of those that cannot be reached.
    pub outlier: Option<outlier::Settings>,
    /// Whether requests are refused before it collapses, see [`logic::shed`]. Default true.
    pub shed: bool,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            exchange: Exchange::default(),
            limits: breaker::Limits::default(),
            connections_max: None,
            pending_timeout: Duration::from_secs(1),
            slow_start: Duration::from_secs(10),
            sticky: None,
            breaker: Some(breaker::Settings::default()),
            outlier: Some(outlier::Settings::default()),
            shed: true,
        }
    }
}

/// What clients of the gateway may do. `None`: the data plane's own bound. The listeners of needs know no
/// such limits: their clients are services of the same system.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// Bytes of a request's head.
    pub head_size_max: Option<usize>,
    /// Fields of a request.
    pub fields_max: Option<usize>,
    /// Connections at the same time, in all workers together.
    pub connections_max: Option<usize>,
    /// Requests at the same time on one HTTP/2 connection.
    pub streams_max: Option<u32>,
    /// How long a head may take, and the first one from the connection on.
    pub head_timeout: Option<Duration>,
    /// How long a connection is kept without a request.
    pub idle_timeout: Option<Duration>,
    /// What cookies call instances by, see [`logic::sticky`]. Without it nobody stays anywhere.
    pub sticky_key: Option<Key>,
    /// What requests without TLS on a listener of the gateway are answered with; `None`: they are served.
    pub redirect_plain: Option<Arc<Redirect>>,
    /// Networks of proxies in front, whose `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted_proxies: Vec<Network>,
}

impl Clients {
    /// Whether what `peer` says about its client is believed.
    #[must_use]
    pub fn trust(&self, peer: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(peer))
    }
}

/// A network: all addresses whose first `bits` are those of `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of `address` with `bits` fixed bits; what exceeds the address' own length counts as that.
    #[must_use]
    pub fn new(address: IpAddr, bits: u8) -> Self {
        Self { address, bits: bits.min(if address.is_ipv4() { 32 } else { 128 }) }
    }

    /// Whether `address` is in it. IPv4 addresses that are written as IPv6 ones count as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = u64::from(network.to_bits() ^ address.to_bits());
                differing >> (32 - self.bits) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                differing.checked_shr(128 - u32::from(self.bits)).unwrap_or(0) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(network: &str, address: &str) -> bool {
        let (first, bits) = network.split_once('/').unwrap();
        let network = Network::new(first.parse().unwrap(), bits.parse().unwrap());
        let clients = Clients { trusted_proxies: vec![network], ..Clients::default() };
        clients.trust(address.parse().unwrap())
    }

    #[test]
    fn an_address_is_in_a_network_by_its_first_bits() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.1.2", "11.0.0.0"),
            ("192.168.1.0/31", "192.168.1.1", "192.168.1.2"),
            ("127.0.0.1/32", "127.0.0.1", "127.0.0.2"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::1"),
            ("fd00::/8", "fdff::1", "fe00::1"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
        ] {
            assert!(check(network, inside), "{inside} in {network}");
            assert!(!check(network, outside), "{outside} in {network}");
        }
        for everything in ["0.0.0.0/0", "::/0"] {
            let address = if everything.starts_with(':') { "ff::1" } else { "255.1.1.1" };
            assert!(check(everything, address), "{everything}");
        }
    }
}
