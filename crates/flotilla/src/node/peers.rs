//! Apps that other processes of the user run: called by name as if they were in the system.

use super::{NodeOptions, control::Wishes, plane::Plane};
use crate::peers::{Entry, Folder};
use api::app::{Callee, Protocol};
use arc_swap::ArcSwap;
use base::{InstanceId, ServiceName};
use ports::traffic::Traffic;
use runtime::TaskSet;
use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// How often the folder is read: a program that was started by hand is found before its user has typed the next line.
const PERIOD: Duration = Duration::from_millis(200);

/// Numbers of instances of other processes begin here, so that none is one of ours.
const NUMBER_FIRST: u32 = 1_000_000;

/// Who can be called. Cheap to clone; empty unless [`Peers::follow`] runs.
#[derive(Clone, Default)]
pub(super) struct Peers(Arc<ArcSwap<HashMap<String, Callee>>>);

/// What is beside the system when its node stands in for sidecars; nothing at all otherwise.
#[derive(Clone, Default)]
pub(super) struct Neighbours {
    peers: Peers,
    /// Ends the node.
    end: Option<watch::Sender<bool>>,
}

impl Neighbours {
    /// Those that `options` ask for.
    pub(super) fn start(
        options: &NodeOptions,
        plane: &Plane,
        wishes: &Wishes,
        tasks: &mut TaskSet,
    ) -> Self {
        let Some(sidecar) = &options.sidecar else { return Self::default() };
        let peers = Peers::default();
        if let Some(folder) = &sidecar.peers {
            let (following, folder) = (peers.clone(), folder.clone());
            let traffic = Arc::new(plane.gateway.clone());
            tasks.spawn("apps of others", |stop| following.follow(folder, traffic, stop));
        }
        Self { peers, end: Some(wishes.shutdown.clone()) }
    }

    /// The app that another process runs under this name.
    pub(super) fn service(&self, app_id: &str) -> Option<Callee> {
        self.peers.service(app_id)
    }

    /// Ends the node, if an app may ask for that.
    pub(super) fn end(&self) -> bool {
        match &self.end {
            Some(end) => {
                end.send_replace(true);
                true
            }
            None => false,
        }
    }
}

/// What is routed: the file that says it, its instance, and its address.
type Routed = BTreeMap<OsString, (InstanceId, SocketAddr)>;

impl Peers {
    /// The app that another process runs under this name.
    pub(super) fn service(&self, app_id: &str) -> Option<Callee> {
        self.0.load().get(app_id).cloned()
    }

    /// Follows the folder until the node ends.
    pub(super) async fn follow(
        self,
        folder: Folder,
        traffic: Arc<dyn Traffic>,
        mut stop: runtime::Stop,
    ) {
        let mut routed = Routed::new();
        let mut next = NUMBER_FIRST;
        loop {
            let read = folder.clone();
            let found = runtime::blocking(move || read.list()).await;
            self.update(&found, &mut routed, &mut next, &*traffic);
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = stop.wait() => return,
            }
        }
    }

    fn update(
        &self,
        found: &[(OsString, Entry)],
        routed: &mut Routed,
        next: &mut u32,
        traffic: &dyn Traffic,
    ) {
        let own = std::process::id();
        let mut callees = HashMap::new();
        let mut seen = Routed::new();
        for (file, entry) in found.iter().filter(|(_, entry)| entry.pid != own) {
            let (Some(address), Some(name)) = (entry.address, name(&entry.app_id)) else {
                continue;
            };
            let instance = match routed.get(file) {
                Some((instance, before)) if *before == address => instance.clone(),
                _ => {
                    *next = next.wrapping_add(1).max(NUMBER_FIRST);
                    let instance = InstanceId { service: name.clone(), number: *next };
                    traffic.route(&instance, address, 1);
                    instance
                }
            };
            seen.insert(file.clone(), (instance, address));
            let app_id = (entry.app_id != name.as_str()).then(|| entry.app_id.as_str().into());
            let protocol = protocol(&entry.protocol);
            let callee = Callee { name, app_id, protocol, app_token: None };
            callees.insert(entry.app_id.clone(), callee);
        }
        for (file, (instance, address)) in routed.iter() {
            if seen.get(file) != Some(&(instance.clone(), *address)) {
                traffic.unroute(instance);
            }
        }
        *routed = seen;
        self.0.store(Arc::new(callees));
    }
}

/// What the data plane calls it. Two app ids that differ only in letters no name has must not become one service.
fn name(app_id: &str) -> Option<ServiceName> {
    /// Room for a hash in a name.
    const PLAIN_LEN_MAX: usize = 40;
    if let Ok(name) = ServiceName::new(app_id) {
        return Some(name);
    }
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let plain: String = app_id.chars().map(letter).take(PLAIN_LEN_MAX).collect();
    let sum = app_id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let name = format!("{}-{sum:016x}", plain.trim_matches('-'));
    ServiceName::new(name.trim_start_matches('-')).ok()
}

fn protocol(text: &str) -> Protocol {
    match text {
        "https" => Protocol::Https,
        "grpc" => Protocol::Grpc,
        "grpcs" => Protocol::Grpcs,
        "h2c" => Protocol::H2c,
        _ => Protocol::Http,
    }
}

#[cfg(test)]
mod tests;
