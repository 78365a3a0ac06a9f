//! The half of a node that carries requests: the data plane and the gateway above it.

use super::{door::Door, gateway_error, state_error};
use base::{Code, Diagnostic, ErrorChain, InstanceId};
use gateway::{AccessLog, AccessLogHandle};
use manifest::System;
use ports::traffic::Traffic as _;
use std::{collections::BTreeSet, path::Path, sync::Arc, time::Duration};

/// How long requests that are open when the data plane closes may still take. Instances have had their own
/// drain before, so what is left are answers on their way.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// A data plane that nobody has told of a system yet.
pub(super) struct Bare {
    proxy: proxy::Service,
    handle: proxy::Handle,
    door: Arc<Door>,
}

/// The parts.
pub(super) struct Plane {
    proxy: proxy::Service,
    pub(super) handle: proxy::Handle,
    /// Where requests to the app API wait for it.
    pub(super) door: Arc<Door>,
    gateway_service: gateway::Service,
    pub(super) gateway: gateway::Handle,
    access_log_service: AccessLog,
    pub(super) access_log: AccessLogHandle,
}

impl Bare {
    /// Starts the workers.
    ///
    /// # Errors
    /// When the system refuses threads.
    pub(super) fn start() -> Result<Self, Box<Diagnostic>> {
        let (proxy, handle) =
            proxy::Service::start(proxy::Config::default()).map_err(|e| state_error(&e))?;
        let door = Door::new();
        handle.set_local(Arc::clone(&door) as Arc<dyn proxy::local::Local>);
        Ok(Self { proxy, handle, door })
    }

    /// Takes the sockets of the node that is being replaced; accepts nothing before [`Plane::accept`].
    ///
    /// # Errors
    /// When they are no listening sockets.
    pub(super) fn inherit(&self, listeners: Vec<proxy::Sockets>) -> Result<(), Box<Diagnostic>> {
        self.handle.inherit(listeners).map_err(|e| state_error(&e))
    }

    /// Opens the listeners and publishes the routes of `system`.
    ///
    /// # Errors
    /// When a port is taken or the state folder cannot be used.
    pub(super) fn serve(self, state_dir: &Path, system: &System) -> Result<Plane, Box<Diagnostic>> {
        let Self { proxy, handle, door } = self;
        let [data, home] = ["XDG_DATA_HOME", "HOME"].map(std::env::var_os);
        let config = gateway::Config {
            state_dir: state_dir.to_owned(),
            ca_folder: gateway::certificates::ca_folder(data.as_deref(), home.as_deref()),
        };
        let (gateway_service, gateway) =
            gateway::Service::start(config, handle.clone()).map_err(|e| state_error(&e))?;
        let (access_log_service, access_log) = AccessLog::start(handle.requests());
        write_to(&access_log, system)?;
        gateway.apply(system).map_err(|e| gateway_error(&e, system))?;
        Ok(Plane { proxy, handle, door, gateway_service, gateway, access_log_service, access_log })
    }
}

/// Writes the access log to where the file of `system` says.
///
/// # Errors
/// When it cannot be written there; it is written to where it was before.
pub(super) fn write_to(log: &AccessLogHandle, system: &System) -> Result<(), Box<Diagnostic>> {
    log.write_to(system.gateway.access_log.as_deref()).map_err(|e| {
        let message = ErrorChain(&e).to_string();
        let help =
            "name another file with `gateway: { access_log: <path> }`, or make this one writable";
        Box::new(Diagnostic::error(Code::BAD_VALUE, message).help(help))
    })
}

impl Plane {
    /// Takes no requests from outside any more.
    pub(super) fn close_gateway(&self) {
        self.gateway_service.close();
    }

    /// Accepts from inherited sockets.
    pub(super) fn accept(&self) {
        self.handle.start_accepting();
    }

    /// Lets requests to the app API, on connections that clients have kept, be answered by the node that has taken over.
    pub(super) fn moved(&self) {
        let listeners = self.handle.stats().listeners.into_iter();
        let address = |listener: proxy::ListenerStats| match listener.kind {
            proxy::ListenerKind::App { caller } => Some((caller, listener.address)),
            proxy::ListenerKind::Gateway | proxy::ListenerKind::Need { .. } => None,
        };
        self.door.moved(listeners.filter_map(address).collect());
    }

    /// Closes the data plane.
    pub(super) async fn end(self) {
        self.proxy.shutdown(GRACE).await;
        self.access_log_service.shutdown().await;
    }

    /// Ends while another process accepts from the same sockets: each open connection with its next answer.
    pub(super) async fn retire(self, grace: Duration) {
        self.proxy.retire(grace).await;
        self.access_log_service.shutdown().await;
    }

    /// Sends nothing more to instances that are not in `ready`. For a node that took its instances back: what ended
    /// while nobody watched is known to its data plane only.
    pub(super) fn forget_others(&self, ready: &BTreeSet<InstanceId>) {
        let routed = self.gateway.registry().into_iter().flat_map(|service| service.instances);
        for instance in routed.filter(|i| i.is_routed && !ready.contains(&i.instance)) {
            self.gateway.unroute(&instance.instance);
        }
    }
}
