//! The gateway as others use it.

use crate::{
    error::Error,
    needs::{Key, Needs},
    registry::Registry,
    view::{ServiceView, Stats},
};
use async_trait::async_trait;
use base::{ErrorChain, InstanceId, ServiceName};
use manifest::System;
use ports::traffic::Traffic;
use proxy::{ListenerId, ListenerKind};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tracing::{info, warn};

/// Settings of the gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// The system's `.flotilla` folder; `run/needs.json` is kept in it.
    pub state_dir: PathBuf,
}

/// The gateway of one system.
#[derive(Debug)]
pub struct Service(Handle);

/// Steers the gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Inner>);

/// Locks are never held over an await; `needs` may be held while `registry` is not.
#[derive(Debug)]
struct Inner {
    data_plane: proxy::Handle,
    registry: Mutex<Registry>,
    needs: Mutex<Needs>,
}

/// The listener of the routes.
fn gateway_id() -> ListenerId {
    ListenerId::new("gateway")
}

impl Service {
    /// Makes a gateway on `data_plane`. It listens nowhere until [`Handle::apply`].
    ///
    /// # Errors
    /// [`Error::State`] when what earlier nodes left cannot be read at all.
    pub fn start(config: Config, data_plane: proxy::Handle) -> Result<(Self, Handle), Error> {
        let path = config.state_dir.join("run").join("needs.json");
        let needs = Needs::load(path.clone()).map_err(|cause| Error::State { path, cause })?;
        let handle = Handle(Arc::new(Inner {
            data_plane,
            registry: Mutex::default(),
            needs: Mutex::new(needs),
        }));
        Ok((Self(handle.clone()), handle))
    }

    /// Stops taking requests from outside; calls between services go on.
    pub fn close(&self) {
        self.0.0.data_plane.close(&gateway_id());
    }
}

impl Inner {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the listeners again that an earlier node had for callers of `system`: instances that outlived it
    /// have the addresses in their environment and call them all the time.
    fn reopen(&self, system: &System) {
        let remembered = self.needs.lock().unwrap_or_else(PoisonError::into_inner).keys();
        let is_wanted = |key: &Key| {
            let caller = system.services.iter().find(|service| service.name == key.caller);
            caller.is_some_and(|caller| caller.needs.iter().any(|need| need.service == key.need))
        };
        for key in remembered.into_iter().filter(is_wanted) {
            if let Err(error) = self.need_address(&key) {
                let error = ErrorChain(&error);
                warn!(caller = %key.caller, need = %key.need, %error, "the address of a need is not back");
            }
        }
    }

    fn need_address(&self, key: &Key) -> io::Result<SocketAddr> {
        let mut needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let id = ListenerId::new(&format!("{} -> {} on {}", key.caller, key.need, key.on));
        if let Some(open) = self.data_plane.address(&id) {
            return Ok(open);
        }
        let kind = ListenerKind::Need { caller: key.caller.clone(), service: key.need.clone() };
        let mut first = None;
        for port in needs.candidates(key) {
            let address = SocketAddr::new(key.on, port);
            match self.data_plane.listen(id.clone(), address, kind.clone()) {
                Ok(bound) => {
                    if let Some(wanted) = first {
                        info!(caller = %key.caller, need = %key.need, wanted, port, "port taken");
                    }
                    if let Err(error) = needs.remember(key, port) {
                        let error = ErrorChain(&error);
                        warn!(%error, port, "the port of a need will not survive a restart");
                    }
                    return Ok(bound);
                }
                Err(proxy::Error::Taken { .. }) => first = first.or(Some(port)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "every port for needs is taken"))
    }
}

impl Handle {
    /// Takes over routes, balancing and the gateway's address of `system`. A new address is opened before
    /// the old one closes.
    ///
    /// # Errors
    /// [`Error::Listen`] when the address cannot be opened; then requests are served as before.
    pub fn apply(&self, system: &System) -> Result<(), Error> {
        // The first request must find the routes; later ones find the old ones until the new address
        // stands, so that a failure changes nothing.
        let is_first = self.address().is_none();
        if is_first {
            self.publish(system);
            self.0.reopen(system);
        }
        let data_plane = &self.0.data_plane;
        if let Some(address) = system.gateway.listen {
            let kind = ListenerKind::Gateway;
            data_plane.listen(gateway_id(), address, kind).map_err(Error::Listen)?;
        } else {
            data_plane.close(&gateway_id());
        }
        if !is_first {
            self.publish(system);
        }
        Ok(())
    }

    fn publish(&self, system: &System) {
        // Published under the lock, so that snapshots come in the order of their changes.
        let mut registry = self.0.registry();
        self.0.data_plane.publish(registry.apply(system));
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.data_plane.address(&gateway_id())
    }

    /// Services and their instances, by name.
    #[must_use]
    pub fn registry(&self) -> Vec<ServiceView> {
        self.0.registry().services()
    }

    /// What the gateway and the data plane are doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let routes = self.0.registry().routes();
        Stats { data_plane: self.0.data_plane.stats(), routes }
    }
}

#[async_trait]
impl Traffic for Handle {
    fn route(&self, instance: &InstanceId, address: SocketAddr, weight: u32) {
        let mut registry = self.0.registry();
        self.0.data_plane.publish(registry.route(instance, address, weight));
    }

    fn unroute(&self, instance: &InstanceId) {
        let mut registry = self.0.registry();
        if let Some(snapshot) = registry.unroute(instance) {
            self.0.data_plane.publish(snapshot);
        }
    }

    fn in_flight(&self, instance: &InstanceId) -> u64 {
        let endpoints = self.0.registry().endpoints(instance);
        endpoints.iter().map(|endpoint| endpoint.in_flight()).sum()
    }

    async fn idle(&self, instance: &InstanceId) {
        let endpoints = self.0.registry().endpoints(instance);
        for endpoint in endpoints {
            endpoint.idle().await;
        }
    }

    async fn need_address(
        &self,
        caller: &ServiceName,
        need: &ServiceName,
        on: IpAddr,
    ) -> io::Result<SocketAddr> {
        let key = Key { caller: caller.clone(), need: need.clone(), on };
        let inner = Arc::clone(&self.0);
        runtime::blocking(move || inner.need_address(&key)).await
    }
}
