//! Where services take deliveries, and when somebody is there to take them.

use api::app::Reachable;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use base::ServiceName;
use manifest::{Kind, System};
use ports::traffic::Traffic;
use runtime::Stop;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
};
use supervisor::InstanceState;
use tokio::sync::watch;
use tracing::warn;

/// Who calls services on behalf of their subscriptions, as listeners and records name it.
const CALLER: &str = "flotilla";

/// Answers from memory. Cheap to clone.
#[derive(Clone)]
pub(in crate::node) struct Reach(Arc<Inner>);

struct Inner {
    gateway: gateway::Handle,
    addresses: ArcSwap<BTreeMap<ServiceName, SocketAddr>>,
    /// Services of which an instance is ready.
    ready: watch::Sender<BTreeSet<ServiceName>>,
}

impl Reach {
    pub(in crate::node) fn new(gateway: gateway::Handle) -> Self {
        let (addresses, ready) = (ArcSwap::default(), watch::Sender::default());
        Self(Arc::new(Inner { gateway, addresses, ready }))
    }

    /// Opens a listener of the data plane to each service that listens.
    pub(super) async fn apply(&self, system: &System) {
        let Ok(caller) = ServiceName::new(CALLER) else { return };
        let mut addresses = BTreeMap::new();
        for service in &system.services {
            if service.kind != Kind::Service || !service.listens {
                continue;
            }
            let on = IpAddr::V4(Ipv4Addr::LOCALHOST);
            match self.0.gateway.need_address(&caller, &service.name, on).await {
                Ok(address) => {
                    addresses.insert(service.name.clone(), address);
                }
                Err(error) => {
                    warn!(service = %service.name, %error, "nothing can be delivered to it");
                }
            }
        }
        self.0.addresses.store(Arc::new(addresses));
    }

    /// Follows the instances, and tells `became_ready` of each service of which one has become ready.
    pub(super) async fn follow(
        self,
        supervisor: supervisor::Handle,
        became_ready: impl Fn(&ServiceName),
        mut stop: Stop,
    ) {
        let mut status = supervisor.status();
        let mut before = BTreeSet::new();
        loop {
            let mut now = BTreeSet::new();
            let mut services = BTreeSet::new();
            for service in &status.services {
                for instance in &service.instances {
                    if instance.state == InstanceState::Ready {
                        now.insert((instance.id.clone(), instance.pid));
                        services.insert(service.name.clone());
                    }
                }
            }
            let new: BTreeSet<&ServiceName> =
                now.iter().filter(|it| !before.contains(*it)).map(|(id, _)| &id.service).collect();
            // First who is to be asked: whoever waits to ask it finds that out, and asks once.
            new.into_iter().for_each(&became_ready);
            self.0.ready.send_if_modified(|ready| {
                let is_new = *ready != services;
                *ready = services;
                is_new
            });
            before = now;
            tokio::select! {
                next = supervisor.changed(status.revision) => status = next,
                () = stop.wait() => return,
            }
        }
    }
}

#[async_trait]
impl Reachable for Reach {
    fn address(&self, service: &ServiceName) -> Option<SocketAddr> {
        self.0.addresses.load().get(service).copied()
    }

    async fn ready(&self, service: &ServiceName) {
        let mut ready = self.0.ready.subscribe();
        // The sender lives as long as this does.
        let _ = ready.wait_for(|ready| ready.contains(service)).await;
    }
}
