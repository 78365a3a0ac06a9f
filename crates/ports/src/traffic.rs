//! Who gets requests, and who is still working on some.

use async_trait::async_trait;
use base::{InstanceId, ServiceName};
use std::net::{IpAddr, SocketAddr};

/// What an instance asks for when it is given an app API of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppWish {
    /// An address of this machine that the instance can reach.
    pub on: IpAddr,
    /// The port for HTTP; `None`: any.
    pub http: Option<u16>,
    /// The port for gRPC; `None`: any.
    pub grpc: Option<u16>,
}

impl AppWish {
    /// Any ports at `on`.
    #[must_use]
    pub fn on(on: IpAddr) -> Self {
        Self { on, http: None, grpc: None }
    }
}

/// Where an instance finds its app API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppAddresses {
    /// HTTP.
    pub http: SocketAddr,
    /// gRPC.
    pub grpc: SocketAddr,
}

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

    /// Where `instance` finds its app API: two listeners of its own, by which it is known who asks. Opens them the
    /// first time; they answer before the instance is started. Any ports are the same after a restart of the
    /// node, because adopted instances still have them in their environment; unless somebody else has taken one
    /// meanwhile, then it is another one.
    ///
    /// # Errors
    /// When no listener can be opened at `wish.on`; `AddrInUse` when a port of the wish is taken, and the message
    /// names the address.
    async fn app_addresses(
        &self,
        instance: &InstanceId,
        wish: AppWish,
    ) -> std::io::Result<AppAddresses>;

    /// Closes the listeners of [`Self::app_addresses`]: the instance is gone, and its number may be given to
    /// another one.
    fn close_app(&self, instance: &InstanceId);
}
