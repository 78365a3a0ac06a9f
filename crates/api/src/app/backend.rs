//! What the app API needs from the node. The binary implements it over the supervisor and the file; tests implement
//! it in memory.

mod pubsub;

pub use pubsub::topic_name;
pub(crate) use pubsub::{OWN_TOPICS, called, topic_of};

use crate::backend;
use async_trait::async_trait;
use base::{InstanceId, ServiceName};
use coordination::StoreKind;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

/// The node, as seen by the app API.
///
/// Contract: everything but [`AppBackend::shutdown`] is asked on the way of requests and answers from memory, at
/// once and without a lock that anybody holds for long.
#[async_trait]
pub trait AppBackend: Send + Sync {
    /// What is known of the instance that a listener belongs to; `None` when it is gone.
    fn instance(&self, id: &InstanceId) -> Option<Arc<Instance>>;

    /// The service that `name` means, as it was written by a caller: a service's name, or the app id it has in a file
    /// of another format.
    fn service(&self, name: &str) -> Option<Callee>;

    /// Whether `caller` may call `callee`; asked only for services that exist. Under a strict mesh only what `needs`
    /// lists may be called.
    fn may_call(&self, caller: &ServiceName, callee: &ServiceName) -> bool;

    /// What stands for the namespace of all services: the system's name.
    fn namespace(&self) -> Arc<str>;

    /// The address behind a name for something outside the system, `https://host/base`.
    fn external(&self, name: &str) -> Option<Arc<str>> {
        let _ = name;
        None
    }

    /// The names and addresses of what [`AppBackend::external`] knows.
    fn externals(&self) -> Vec<(String, Arc<str>)> {
        Vec::new()
    }

    /// Whether `service` may use a store. One that it may not use does not exist for it.
    fn may_use(&self, service: &ServiceName, kind: StoreKind, store: &str) -> bool {
        let _ = (service, kind, store);
        true
    }

    /// Whether `service` may read a secret of a store that it may use.
    fn may_read_secret(&self, service: &ServiceName, store: &str, secret: &str) -> bool {
        let _ = (service, store, secret);
        true
    }

    /// Type and version of a store that a component file defines, `state.redis` and `v1`.
    fn origin(&self, kind: StoreKind, store: &str) -> Option<(String, String)> {
        let _ = (kind, store);
        None
    }

    /// The component of this name by which `service` reaches the broker; `None`: there is none that it may use.
    fn pubsub(&self, service: &ServiceName, name: &str) -> Option<Arc<manifest::PubSub>> {
        let _ = (service, name);
        None
    }

    /// Where what a state store's transactions write is published.
    fn state_outbox(&self, store: &str) -> Option<manifest::StateOutbox> {
        let _ = store;
        None
    }

    /// Components besides the stores of coordination.
    fn components(&self, service: &ServiceName) -> Vec<Component> {
        let _ = service;
        Vec::new()
    }

    /// What `service` is subscribed to.
    fn subscriptions(&self, service: &ServiceName) -> Vec<Subscription> {
        let _ = service;
        Vec::new()
    }

    /// Metadata of the instance that the node knows, such as its command (`appCommand`).
    fn extended(&self, id: &InstanceId) -> BTreeMap<String, String> {
        let _ = id;
        BTreeMap::new()
    }

    /// Stops the instance, as it asked for itself. Returns when that has begun.
    ///
    /// # Errors
    /// `Unknown`, `Conflict`, `Stopping`.
    async fn shutdown(&self, id: &InstanceId) -> Result<(), backend::Error>;
}

/// What is known of the instance that a listener belongs to.
#[derive(Clone, Debug, Default)]
pub struct Instance {
    /// The app id, where it is not the service's name.
    pub app_id: Option<Arc<str>>,
    /// Where it takes requests, when it does.
    pub app: Option<Channel>,
    /// Where its app API listens: some calls go back through it.
    pub api: Option<SocketAddr>,
    /// Largest body of a request that is answered here, in bytes, where it is not the usual one.
    pub body_len_max: Option<usize>,
    /// What its requests must carry as `dapr-api-token`, when they must.
    pub token: Option<Arc<str>>,
    /// What requests to it carry as `dapr-api-token`.
    pub app_token: Option<Arc<str>>,
}

/// Where an instance takes requests.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its address.
    pub address: SocketAddr,
    /// How it speaks there.
    pub protocol: Protocol,
    /// It listens.
    pub is_open: bool,
    /// It is asked for its health in this way.
    pub health: Option<HealthCheck>,
    /// Most requests that it gets at a time; 0: as many as come.
    pub concurrency_max: u32,
}

/// How the health of an app is watched.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    /// What is asked.
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// How many failures in a row count.
    pub threshold: u32,
}

/// How an app speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// gRPC without TLS.
    Grpc,
    /// gRPC over TLS.
    Grpcs,
    /// HTTP/2 without TLS, by prior knowledge.
    H2c,
}

impl Protocol {
    /// As `app-protocol` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
            Self::Grpcs => "grpcs",
            Self::H2c => "h2c",
        }
    }

    /// Whether it answers the calls of gRPC.
    #[must_use]
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::Grpcs)
    }
}

/// A service that can be called.
#[derive(Clone, Debug)]
pub struct Callee {
    /// Its name.
    pub name: ServiceName,
    /// Its app id, where it is not its name.
    pub app_id: Option<Arc<str>>,
    /// How its instances speak.
    pub protocol: Protocol,
    /// What requests to it carry as `dapr-api-token`.
    pub app_token: Option<Arc<str>>,
}

impl Callee {
    pub(crate) fn app_id(&self) -> &str {
        self.app_id.as_deref().unwrap_or(self.name.as_str())
    }
}

/// A component, as metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// Its name.
    pub name: String,
    /// Its type, `state.redis`.
    pub kind: String,
    /// Its version, `v1`.
    pub version: String,
    /// What it can do, such as `ETAG`.
    pub capabilities: Vec<String>,
}

/// A subscription, as metadata shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The broker's name.
    pub pubsub: String,
    /// The topic.
    pub topic: String,
    /// Conditions and paths, in order.
    pub rules: Vec<(String, String)>,
    /// Where messages go that nobody could process.
    pub dead_letter: Option<String>,
}
