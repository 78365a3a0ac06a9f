//! What the runtime says of itself, and what an app adds to that.

use crate::app::{
    Caller, Shared,
    backend::{Channel, Component, Protocol, Subscription},
    fault::{Code, Fault},
};
use base::InstanceId;
use coordination::{StoreInfo, StoreKind};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The version of the runtime API this is, and, as build metadata (semver.org §10), ours.
pub(crate) const RUNTIME_VERSION: &str = concat!("1.18.0+flotilla.", env!("CARGO_PKG_VERSION"));

/// Most entries that an instance may add, and the most bytes of name and value of one: labels for people and
/// tools, not a store.
const ENTRIES_MAX: usize = 64;
const ENTRY_LEN_MAX: usize = 4 << 10;

/// What the runtime says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    pub(crate) id: String,
    pub(crate) runtime_version: String,
    pub(crate) components: Vec<Component>,
    pub(crate) extended: BTreeMap<String, String>,
    pub(crate) subscriptions: Vec<Subscription>,
    /// Names of addresses outside the system.
    pub(crate) endpoints: Vec<String>,
    pub(crate) app: Option<Channel>,
}

pub(crate) fn get(shared: &Shared, caller: &Caller) -> Metadata {
    let backend = &shared.backend;
    let service = &caller.id.service;
    let stores = shared.coordination.stores();
    let seen = stores.iter().filter(|store| backend.may_use(service, store.kind, &store.name));
    let mut components: Vec<Component> = seen.map(|store| component(shared, store)).collect();
    components.extend(backend.components(service));
    let mut extended = backend.extended(&caller.id);
    extended.insert("daprRuntimeVersion".to_owned(), RUNTIME_VERSION.to_owned());
    extended.extend(shared.extended.get(&caller.id));
    Metadata {
        id: caller.app_id().to_owned(),
        runtime_version: RUNTIME_VERSION.to_owned(),
        components,
        extended,
        subscriptions: backend.subscriptions(service),
        endpoints: backend.externals().into_iter().map(|(name, _)| name).collect(),
        app: caller.instance.app.clone(),
    }
}

fn component(shared: &Shared, store: &StoreInfo) -> Component {
    let (kind, capabilities): (_, &[&str]) = match store.kind {
        StoreKind::State | StoreKind::Cache => {
            ("state.flotilla", &["ETAG", "TRANSACTIONAL", "TTL"])
        }
        StoreKind::Lock => ("lock.flotilla", &[]),
        StoreKind::Configuration => ("configuration.flotilla", &[]),
        StoreKind::Secret => ("secretstores.flotilla", &["MULTIPLE_KEY_VALUES_PER_SECRET"]),
    };
    let origin = shared.backend.origin(store.kind, &store.name);
    let (kind, version) = origin.unwrap_or_else(|| (kind.to_owned(), "v1".to_owned()));
    let capabilities = capabilities.iter().map(|name| (*name).to_owned()).collect();
    Component { name: store.name.clone(), kind, version, capabilities }
}

/// Sets an entry of the caller's metadata.
pub(crate) fn set(
    shared: &Shared,
    caller: &Caller,
    key: String,
    value: String,
) -> Result<(), Fault> {
    if key.is_empty() || key.len() + value.len() > ENTRY_LEN_MAX {
        let why = format!("a metadata entry has a name and at most {ENTRY_LEN_MAX} bytes");
        return Err(Fault::bad_request(why));
    }
    if shared.extended.set(&caller.id, key, value) {
        return Ok(());
    }
    Err(Fault::bad_request(format!("an instance has at most {ENTRIES_MAX} metadata entries")))
}

/// Stops the caller, as it asked for itself.
pub(crate) async fn shutdown(shared: &Shared, caller: &Caller) -> Result<(), Fault> {
    shared.backend.shutdown(&caller.id).await.map_err(|e| {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Fault::new(status, Code::Internal, "ERR_INTERNAL", e.to_string())
    })
}

impl Metadata {
    /// As the HTTP API has it.
    pub(crate) fn json(&self) -> Value {
        let mut all = json!({
            "id": self.id,
            "runtimeVersion": self.runtime_version,
            "extended": self.extended,
            "appConnectionProperties": self.app.as_ref().map_or_else(|| json!({}), connection),
            "actorRuntime": { "runtimeStatus": "DISABLED", "hostReady": false },
            "scheduler": {},
            "workflows": {},
        });
        let component = |it: &Component| {
            json!({
                "name": it.name,
                "type": it.kind,
                "version": it.version,
                "capabilities": it.capabilities,
            })
        };
        // What is empty is left out, as the runtime does.
        if !self.components.is_empty() {
            all["components"] = self.components.iter().map(component).collect();
        }
        if !self.subscriptions.is_empty() {
            all["subscriptions"] = self.subscriptions.iter().map(subscription).collect();
        }
        if !self.endpoints.is_empty() {
            all["httpEndpoints"] =
                self.endpoints.iter().map(|name| json!({ "name": name })).collect();
        }
        all
    }
}

fn subscription(it: &Subscription) -> Value {
    let rule = |(condition, path): &(String, String)| {
        let mut rule = Map::new();
        if !condition.is_empty() {
            rule.insert("match".to_owned(), json!(condition));
        }
        rule.insert("path".to_owned(), json!(path));
        Value::Object(rule)
    };
    json!({
        "pubsubname": it.pubsub,
        "topic": it.topic,
        "rules": it.rules.iter().map(rule).collect::<Vec<_>>(),
        "deadLetterTopic": it.dead_letter.as_deref().unwrap_or_default(),
        "type": "DECLARATIVE",
    })
}

fn connection(app: &Channel) -> Value {
    let mut all = json!({
        "port": app.address.port(),
        "protocol": app.protocol.name(),
        "channelAddress": app.address.ip().to_string(),
    });
    if app.concurrency_max > 0 {
        all["maxConcurrency"] = json!(app.concurrency_max);
    }
    if let Some(health) = &app.health {
        all["health"] = json!({
            "healthProbeInterval": duration(health.interval),
            "healthProbeTimeout": duration(health.timeout),
            "healthThreshold": health.threshold,
        });
        // A gRPC app is asked by a call, not by a path.
        if app.protocol != Protocol::Grpc && app.protocol != Protocol::Grpcs {
            all["health"]["healthCheckPath"] = json!(health.path);
        }
    }
    all
}

/// As Go prints durations: `5s`, `500ms`.
pub(crate) fn duration(time: std::time::Duration) -> String {
    let millis = time.as_millis();
    if millis.is_multiple_of(1_000) {
        format!("{}s", millis / 1_000)
    } else {
        format!("{millis}ms")
    }
}

/// What instances added to their metadata.
#[derive(Default)]
pub(crate) struct Extended(Mutex<HashMap<InstanceId, BTreeMap<String, String>>>);

impl Extended {
    fn lock(&self) -> MutexGuard<'_, HashMap<InstanceId, BTreeMap<String, String>>> {
        // A panic between two accesses leaves a whole map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, id: &InstanceId) -> BTreeMap<String, String> {
        self.lock().get(id).cloned().unwrap_or_default()
    }

    /// Whether there was room.
    fn set(&self, id: &InstanceId, key: String, value: String) -> bool {
        let mut all = self.lock();
        let entries = all.entry(id.clone()).or_default();
        if entries.len() >= ENTRIES_MAX && !entries.contains_key(&key) {
            return false;
        }
        entries.insert(key, value);
        true
    }

    pub(crate) fn forget(&self, id: &InstanceId) {
        self.lock().remove(id);
    }
}
