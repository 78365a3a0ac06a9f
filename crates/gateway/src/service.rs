//! The gateway as others use it.

use crate::{
    apply::{Applied, Prepared},
    certificates::Trust,
    error::Error,
    jwks::{Client, KeysView},
    policies::Secrets,
    portbook::{Key, PortBook, Speech, What},
    registry::Registry,
    secrets,
    view::{ServiceView, Stats},
};
use async_trait::async_trait;
use base::{ErrorChain, InstanceId, ServiceName};
use manifest::System;
use ports::traffic::{AppAddresses, AppWish, Traffic};
use proxy::{ListenerId, ListenerKind, Tls};
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
    /// The system's `.flotilla` folder; `run/needs.json`, `run/apps.json` and `run/sticky.key` are kept in
    /// it.
    pub state_dir: PathBuf,
    /// Where the authority of `tls: dev` is kept, see [`crate::certificates::ca_folder`]; without one `tls: dev` fails.
    pub ca_folder: Option<PathBuf>,
}

/// The gateway of one system.
#[derive(Debug)]
pub struct Service(Handle);

/// Steers the gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle(Arc<Inner>);

/// Locks are never held over an await. `applied` is taken before `ports`, and `ports` before `registry`;
/// `tls` is taken alone or last.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) data_plane: proxy::Handle,
    pub(crate) ca_folder: Option<PathBuf>,
    pub(crate) sticky_key: logic::sticky::Key,
    pub(crate) secrets: Secrets,
    pub(crate) client: Client,
    registry: Mutex<Registry>,
    ports: Mutex<PortBook>,
    applied: Mutex<Applied>,
    /// The certificates that are in use now.
    pub(crate) tls: Arc<Mutex<Option<Tls>>>,
}

/// The listener of the routes.
pub(crate) fn gateway_id() -> ListenerId {
    ListenerId::new("gateway")
}

/// The listener that sends to the other one.
pub(crate) fn redirect_id() -> ListenerId {
    ListenerId::new("gateway-http")
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    /// Makes a gateway on `data_plane`. It listens nowhere until [`Handle::apply`].
    ///
    /// # Errors
    /// [`Error::State`] when what earlier nodes left cannot be read at all.
    pub fn start(config: Config, data_plane: proxy::Handle) -> Result<(Self, Handle), Error> {
        let run = config.state_dir.join("run");
        let ports = PortBook::load(run.clone());
        let ports = ports.map_err(|(path, cause)| Error::State { path, cause })?;
        let sticky_key = run.join("sticky.key");
        let secrets = secrets::draw().map_err(|cause| Error::State { path: run, cause })?;
        let handle = Handle(Arc::new(Inner {
            data_plane,
            ca_folder: config.ca_folder,
            sticky_key: secrets::sticky_key(&sticky_key)?,
            secrets,
            client: Client::default(),
            registry: Mutex::default(),
            ports: Mutex::new(ports),
            applied: Mutex::default(),
            tls: Arc::default(),
        }));
        Ok((Self(handle.clone()), handle))
    }

    /// Stops taking requests from outside, and looking after keys and certificates; calls between services go on.
    pub fn close(&self) {
        let inner = &self.0.0;
        inner.data_plane.close(&redirect_id());
        inner.data_plane.close(&gateway_id());
        *locked(&inner.applied) = Applied::default();
    }
}

impl Inner {
    pub(crate) fn registry(&self) -> MutexGuard<'_, Registry> {
        locked(&self.registry)
    }

    /// Opens the listeners again that an earlier node had for callers of `system`: instances that outlived it
    /// have the addresses in their environment and call them all the time.
    fn reopen(&self, system: &System) {
        let remembered = {
            let mut ports = locked(&self.ports);
            ports.keep_apps_of(&system.services.iter().map(|service| &service.name).collect());
            ports.keys()
        };
        let is_wanted = |key: &Key| match &key.what {
            What::Need { caller, need } => {
                let caller = system.services.iter().find(|service| service.name == *caller);
                caller.is_some_and(|caller| caller.needs.iter().any(|it| it.service == *need))
            }
            // Whoever adopts their instances asks for them before anything is accepted from sockets that were
            // inherited.
            What::App { .. } => false,
        };
        for key in remembered.into_iter().filter(is_wanted) {
            if let Err(error) = self.open(&key) {
                let error = ErrorChain(&error);
                warn!(listener = %key, %error, "the address of a need is not back");
            }
        }
    }

    /// Opens a listener at the port that it had, or another one.
    fn open(&self, key: &Key) -> io::Result<SocketAddr> {
        let mut ports = locked(&self.ports);
        if let Some(open) = self.data_plane.address(&key.listener()) {
            return Ok(open);
        }
        let bound = self.listen_at_any(key, &ports)?;
        self.remember(&mut ports, &[(key.clone(), bound.port())]);
        Ok(bound)
    }

    /// Opens the two listeners of an app API, both or none.
    fn open_app(&self, caller: &InstanceId, wish: AppWish) -> io::Result<AppAddresses> {
        let key = |speech| Key { what: What::App { caller: caller.clone(), speech }, on: wish.on };
        let (http, grpc) = (key(Speech::Http), key(Speech::Grpc));
        let mut ports = locked(&self.ports);
        let was_open = self.data_plane.address(&http.listener()).is_some();
        let addresses = AppAddresses {
            http: self.open_one(&http, wish.http, &ports)?,
            grpc: self.open_one(&grpc, wish.grpc, &ports).inspect_err(|_failed| {
                if !was_open {
                    self.data_plane.close(&http.listener());
                }
            })?,
        };
        let new = [(http, addresses.http.port()), (grpc, addresses.grpc.port())];
        self.remember(&mut ports, &new);
        Ok(addresses)
    }

    fn open_one(&self, key: &Key, wished: Option<u16>, ports: &PortBook) -> io::Result<SocketAddr> {
        let open = self.data_plane.address(&key.listener());
        match (open, wished) {
            (Some(open), None) => Ok(open),
            (Some(open), Some(port)) if open.port() == port => Ok(open),
            (_, Some(port)) => {
                let address = SocketAddr::new(key.on, port);
                Ok(self.data_plane.listen(key.listener(), address, key.listens_for())?)
            }
            (None, None) => self.listen_at_any(key, ports),
        }
    }

    fn listen_at_any(&self, key: &Key, ports: &PortBook) -> io::Result<SocketAddr> {
        let mut first = None;
        for port in ports.candidates(key) {
            let address = SocketAddr::new(key.on, port);
            match self.data_plane.listen(key.listener(), address, key.listens_for()) {
                Ok(bound) => {
                    if let Some(wanted) = first {
                        info!(listener = %key, wanted, port, "port taken");
                    }
                    return Ok(bound);
                }
                Err(proxy::Error::Taken { .. }) => first = first.or(Some(port)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, "every port for services is taken"))
    }

    fn remember(&self, ports: &mut PortBook, new: &[(Key, u16)]) {
        if let Err(error) = ports.remember(new) {
            let (error, what) = (ErrorChain(&error), new.first().map(|(key, _)| key.to_string()));
            warn!(%error, ?what, "its port will not survive a restart");
        }
    }

    fn close_app(&self, caller: &InstanceId) {
        let mut ports = locked(&self.ports);
        for key in ports.keys() {
            if matches!(&key.what, What::App { caller: other, .. } if other == caller) {
                self.data_plane.close(&key.listener());
            }
        }
        ports.forget_app(caller);
    }
}

impl Key {
    fn listener(&self) -> ListenerId {
        ListenerId::new(&self.to_string())
    }

    fn listens_for(&self) -> ListenerKind {
        match &self.what {
            What::Need { caller, need } => {
                ListenerKind::Need { caller: caller.clone(), service: need.clone() }
            }
            What::App { caller, .. } => ListenerKind::App { caller: caller.clone() },
        }
    }
}

impl Handle {
    /// Takes over routes, policies, balancing, certificates and the gateway's addresses of `system`, all together
    /// or none. A new address is opened before the old one closes. Policies that did not change are kept, and with
    /// them what is left of rate limits; so are keys and certificates. Blocks on files.
    ///
    /// # Errors
    /// When a file, a certificate, or a policy cannot be used, or an address cannot be opened; then requests are
    /// served as before.
    ///
    /// # Panics
    /// Outside a tokio runtime, when there are certificates or keys to keep fresh.
    pub fn apply(&self, system: &System) -> Result<(), Error> {
        let inner = &self.0;
        let mut applied = locked(&inner.applied);
        let prepared = inner.prepare(system, &applied)?;
        let Prepared { plan, keyring, certificates } = prepared;
        let tls = certificates.tls(locked(&inner.tls).clone());
        // The first request must find the routes; later ones find the old ones until the new address
        // stands, so that a failure changes nothing.
        let is_first = self.address().is_none();
        if is_first {
            let before = inner.commit(plan);
            if let Err(error) = inner.listen(&system.gateway, tls) {
                inner.commit(before);
                return Err(error);
            }
            inner.reopen(system);
        } else {
            inner.listen(&system.gateway, tls)?;
            inner.commit(plan);
        }
        inner.take_over(&mut applied, keyring, certificates);
        Ok(())
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.data_plane.address(&gateway_id())
    }

    /// How a machine comes to trust the certificates of `tls: dev`; `None` with certificates from files or none.
    #[must_use]
    pub fn trust(&self) -> Option<Trust> {
        locked(&self.0.applied).trust()
    }

    /// The certificates in use.
    #[must_use]
    pub fn certificates(&self) -> Vec<proxy::Certificate> {
        locked(&self.0.tls).as_ref().map(|tls| tls.certificates().to_vec()).unwrap_or_default()
    }

    /// What somebody should look at, although it works: certificates that expire soon, keys that everybody can read.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let tls = locked(&self.0.tls).clone();
        let now = runtime::Clock::wall();
        let dates = tls.iter().flat_map(|tls| tls.warnings(now)).map(|warning| warning.to_string());
        dates.chain(locked(&self.0.applied).warnings().iter().cloned()).collect()
    }

    /// The keys for tokens, by where they come from.
    #[must_use]
    pub fn keys(&self) -> Vec<KeysView> {
        locked(&self.0.applied).keyring.view()
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
        let key = Key { what: What::Need { caller: caller.clone(), need: need.clone() }, on };
        let inner = Arc::clone(&self.0);
        runtime::blocking(move || inner.open(&key)).await
    }

    async fn app_addresses(
        &self,
        instance: &InstanceId,
        wish: AppWish,
    ) -> io::Result<AppAddresses> {
        let (inner, instance) = (Arc::clone(&self.0), instance.clone());
        runtime::blocking(move || inner.open_app(&instance, wish)).await
    }

    fn close_app(&self, instance: &InstanceId) {
        self.0.close_app(instance);
    }
}
