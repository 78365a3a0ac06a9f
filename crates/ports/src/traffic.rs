//! Who gets requests, and who is still working on some.

use async_trait::async_trait;
use base::{InstanceId, ServiceName};
use std::net::{IpAddr, SocketAddr};

/// The registry's knowledge as the data plane needs it. The supervisor says it, the gateway does it.
///
/// Contract:
/// - `route` and `unroute` take effect before they return: a request that arrives later sees them.
/// - After `unroute` returns, no new request is sent to the instance; those already sent go on
///   and are counted by `in_flight` until they end.
/// - All methods are idempotent.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// Lets `instance` take requests at `address`, with `weight` (1 = normal, 0 = only when nothing
    /// else is there). Called again, it changes address and weight.
    fn route(&self, instance: &InstanceId, address: SocketAddr, weight: u32);

    /// Sends `instance` no new request.
    fn unroute(&self, instance: &InstanceId);

    /// Number of requests (and upgraded connections) `instance` is working on.
    fn in_flight(&self, instance: &InstanceId) -> u64;

    /// Waits until `instance` works on nothing. Returns at once for one that is not known.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn idle(&self, instance: &InstanceId);

    /// The address at which `caller` reaches `need`, on a listener of its own that balances over the
    /// ready instances of `need`. Opens the listener at `on` (an address of this machine that the
    /// caller can reach) the first time. The port is the same after a restart of the node, because adopted
    /// instances still have it in their environment.
    ///
    /// # Errors
    /// When no listener can be opened at `on`.
    async fn need_address(
        &self,
        caller: &ServiceName,
        need: &ServiceName,
        on: IpAddr,
    ) -> std::io::Result<SocketAddr>;
}
