//! Which instance gets the next request.

/// How requests are spread over the ready instances of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Each in turn.
    RoundRobin,
    /// Any, with equal chance.
    Random,
    /// In turn, in proportion to the weights, evenly interleaved (smooth weighted round robin).
    Weighted,
    /// The one with the fewest requests in flight per weight.
    LeastConnections,
    /// The one that answers fastest: peak-sensitive moving average of the latency × requests in flight.
    LeastResponseTime,
    /// The better of two drawn at random, by latency × requests in flight (Mitzenmacher 2001).
    #[default]
    P2c,
    /// The same key goes to the same instance while it lives (ring hash with bounded loads).
    ConsistentHash,
}
