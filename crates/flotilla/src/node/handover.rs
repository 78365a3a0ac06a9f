//! A node is replaced by a new process and nobody notices: `flotilla restart --node`.
//!
//! ```text
//!  present node                                   successor (`__node --succeed`, started by the present node)
//!    │ starts it, one end of a socket pair as its standard input
//!    │ ◄──────────────── Hello ──────────────────── has read the file
//!    │ ───── Welcome, with all listening sockets ─► data plane stands, accepts nothing
//!    │ ◄─────────────── Prepared ──────────────────
//!    │ lets go of instances, logs, API (they queue)
//!    │ ─────────────────── Go ────────────────────► adopts the instances, opens logs and API,
//!    │ accepts and serves all the while              waits until what served serves again, accepts
//!    │ ◄──────────────── Ready ────────────────────
//!    │ stops accepting; open connections go on for the grace, each until its next answer; ends
//! ```
//!
//! What must hold: at every moment one of the two accepts from every listening socket, and one of the two holds the lock
//! of the state folder: both travel as descriptors, so neither is ever let go and taken again. Whatever goes wrong
//! before `Ready` ends the successor; the present node takes the instances back and goes on.
//!
//! The socket pair has no name, so nobody else can speak on it; it stays open until the successor ends, which tells
//! the old node that there is nobody left to give its clients to.

mod giver;
mod link;
mod taker;

pub(super) use giver::{Asked, Outgoing, Replaced, Successor, own_program};
pub(crate) use taker::Predecessor;
pub(super) use taker::{Taken, has_admin};

use api::wire;
use base::InstanceId;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};
use tracing::warn;

/// What both programs must agree on. Two that differ do not try.
const VERSION: u32 = 1;

/// How long the successor may take until its data plane stands: it reads a file and starts some threads.
const PREPARE_MAX: Duration = Duration::from_secs(10);

/// How long it may take from `Go` to `Ready`: it opens the log store, adopts, and waits for [`SETTLE_MAX`].
const READY_MAX: Duration = Duration::from_secs(25);

/// How long is waited until every instance that served serves again. One that takes longer has become slow or bad
/// meanwhile, which is no reason to keep the others waiting.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// What the successor says.
#[derive(Debug, Serialize, Deserialize)]
enum FromNew {
    /// It runs, speaks this version and finds nothing wrong with the file.
    Hello { version: u32 },
    /// Its data plane has the sockets.
    Prepared,
    /// It serves.
    Ready,
    /// It cannot, and ends.
    Failed { problems: Vec<wire::Diagnostic> },
}

/// What the present node says.
#[derive(Debug, Serialize, Deserialize)]
enum FromOld {
    /// The descriptors that follow, in this order: the lock, the API's sockets, those for DTM's clients, each listener's.
    Welcome {
        unix: bool,
        admin: Option<SocketAddr>,
        /// HTTP and gRPC. A node of before there was such a thing says nothing of it.
        #[serde(default)]
        dtm: Option<(SocketAddr, SocketAddr)>,
        listeners: Vec<Listener>,
    },
    /// The instances are yours.
    Go(Box<Told>),
}

/// A listener of the data plane and how many sockets it has.
#[derive(Debug, Serialize, Deserialize)]
struct Listener {
    id: String,
    address: SocketAddr,
    sockets: usize,
}

/// What the present node knows and the file does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Instances that took requests, as `users/1`.
    pub(super) routed: BTreeSet<String>,
    /// Numbers of instances set by hand, with what the file said then.
    pub(super) scaled: BTreeMap<String, Scaled>,
    /// Services stopped by hand.
    pub(super) stopped: BTreeSet<String>,
    /// Instances that ended well, with what they were started from.
    pub(super) completed: BTreeMap<String, BTreeMap<String, u64>>,
}

/// A number of instances set by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scaled {
    count: u32,
    file: u32,
}

impl Told {
    /// What there is to tell of a system.
    pub(super) fn of(
        system: &manifest::System,
        status: &supervisor::Status,
        registry: &[gateway::ServiceView],
    ) -> Self {
        let routed = registry.iter().flat_map(|service| &service.instances);
        let mut told = Self {
            routed: routed.filter(|i| i.is_routed).map(|i| i.instance.to_string()).collect(),
            ..Self::default()
        };
        for service in &status.services {
            let Some(file) = system.services.iter().find(|s| s.name == service.name) else {
                continue;
            };
            let name = service.name.to_string();
            let is_stopped = service.state == supervisor::ServiceState::Stopped;
            // Scaled to none looks the same, and is said by the number.
            if is_stopped && service.desired > 0 {
                told.stopped.insert(name.clone());
            }
            if service.desired != file.instances && file.kind == manifest::Kind::Service {
                let scaled = Scaled { count: service.desired, file: file.instances };
                told.scaled.insert(name, scaled);
            }
            let done = service.instances.iter().filter(|instance| {
                instance.state == supervisor::InstanceState::Completed && !is_one_off(&instance.id)
            });
            for instance in done {
                told.completed.insert(instance.id.to_string(), manifest::fingerprint(file));
            }
        }
        told
    }

    /// What of it still holds for the file as it is now.
    pub(super) fn carried(&self, system: &manifest::System) -> supervisor::Carried {
        let mut carried = supervisor::Carried::default();
        for service in &system.services {
            let name = service.name.as_str();
            // The file says another number by now: that is newer.
            if let Some(scaled) = self.scaled.get(name).filter(|s| s.file == service.instances) {
                carried.counts.insert(service.name.clone(), scaled.count);
            }
            if self.stopped.contains(name) {
                carried.stopped.insert(service.name.clone());
            }
            let fingerprint = manifest::fingerprint(service);
            let same = self.completed.iter().filter(|(_, from)| **from == fingerprint);
            let done = same.filter_map(|(id, _)| InstanceId::parse(id).ok());
            carried.completed.extend(done.filter(|id| id.service == service.name));
        }
        carried
    }
}

/// Whether it is a run of `flotilla run`: those have numbers above all instances.
pub(super) fn is_one_off(id: &InstanceId) -> bool {
    id.number > supervisor::INSTANCES_MAX
}

/// Waits until each of `routed` is ready again, or will not be soon.
pub(super) async fn settle(supervisor: &supervisor::Handle, routed: &BTreeSet<String>) {
    let wait = async {
        let mut status = supervisor.status();
        while is_undecided(&status, routed) {
            status = supervisor.changed(status.revision).await;
        }
    };
    if tokio::time::timeout(SETTLE_MAX, wait).await.is_err() {
        warn!("not every instance that served before the node was replaced serves again yet");
    }
}

fn is_undecided(status: &supervisor::Status, routed: &BTreeSet<String>) -> bool {
    use supervisor::InstanceState::{Started, Starting, Unready};
    let mut instances = status.services.iter().flat_map(|service| &service.instances);
    instances.any(|instance| {
        matches!(instance.state, Starting | Started | Unready)
            && routed.contains(&instance.id.to_string())
    })
}

#[cfg(test)]
mod tests;
