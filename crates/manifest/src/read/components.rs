//! What Dapr's components mean here: their stores are there under their names, kept by our engines.

mod places;
mod secrets;

use super::Reader;
use crate::{
    ConfigStore, Coordination, HttpEndpoint, KeyPrefix, LockStore, Origin, Scopes, SecretRule,
    Service, StateKind, StateStore,
    dapr::{self, Component, Resources},
    shape::names,
    source::Mark,
    suggest,
    tree::Node,
};
use base::{ByteSize, Code, Diagnostic, ServiceName};
use places::Seen;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::Duration,
};

/// Dapr's stores in memory have no bound. This one is far above what tests and examples keep.
const MEMORY_SIZE: ByteSize = ByteSize(256 * 1024 * 1024);

/// Kinds of components that exist there and are not served.
const NOT_SERVED: &[(&str, &str)] = &[
    ("pubsub", "publish and subscribe are not served by this version"),
    ("bindings", "bindings are not served by this version"),
    ("middleware", "rules for requests stand under `gateway:` in flotilla.yaml"),
    ("nameresolution", "services are found by the node; it is not needed"),
    ("crypto", "cryptography is not served by this version"),
    ("conversation", "conversations are not served by this version"),
    ("workflow", "workflows are not served by this version"),
    ("workflowbackend", "workflows are not served by this version"),
    ("exporters", "traces are written by the node"),
];

/// Kinds that are served.
const SERVED: &[&str] = &["state", "lock", "configuration", "secretstores"];

/// Metadata of components for state that we give a meaning.
const OF_STATE: &[&str] = &["keyPrefix", "ttlInSeconds", "actorStateStore"];

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// A folder or a file of components was named.
    pub(super) is_any: bool,
}

impl Reader<'_> {
    /// Adds the stores of all components that the file names.
    pub(super) fn components(
        &mut self,
        tree: &Node,
        services: &mut [Service],
        all: &mut Coordination,
    ) -> Found {
        let places = self.places(tree);
        let ids: BTreeMap<String, ServiceName> = services
            .iter()
            .map(|service| (service.api.app_id.clone(), service.name.clone()))
            .collect();
        let folders = services.iter().map(|service| service.dir.clone()).collect::<BTreeSet<_>>();
        let own = Own::of(all);
        for place in &places {
            let resources = dapr::resources(place.node, self.context.vars, self.problems);
            let folder = if place.path.is_dir() {
                place.path.clone()
            } else {
                place.path.parent().unwrap_or(Path::new("/")).to_owned()
            };
            let mut near: Vec<PathBuf> = folders.iter().cloned().collect();
            near.extend([folder, self.context.root.clone()]);
            let mut taker =
                Taker { reader: self, all, own: &own, ids: &ids, seen: &place.seen, near: &near };
            taker.take(&resources);
            for scope in &resources.secret_scopes {
                let rule = SecretRule {
                    by_default: scope.by_default,
                    allowed: scope.allowed.iter().cloned().collect(),
                    denied: scope.denied.iter().cloned().collect(),
                };
                for service in services.iter_mut() {
                    if place.seen.includes(&service.name) {
                        service.api.secrets.insert(scope.store.clone(), rule.clone());
                    }
                }
            }
        }
        Found { is_any: !places.is_empty() }
    }
}

/// Names of stores in the file itself, which win over components.
struct Own {
    state: BTreeSet<String>,
    locks: BTreeSet<String>,
    configuration: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

impl Own {
    fn of(all: &Coordination) -> Self {
        Self {
            state: all.state.iter().map(|store| store.name.clone()).collect(),
            locks: all.locks.iter().map(|store| store.name.clone()).collect(),
            configuration: all.configuration.iter().map(|store| store.name.clone()).collect(),
            secrets: all.secrets.iter().map(|store| store.name.clone()).collect(),
        }
    }
}

/// Takes over what one folder has.
struct Taker<'r, 'c> {
    reader: &'r mut Reader<'c>,
    all: &'r mut Coordination,
    own: &'r Own,
    ids: &'r BTreeMap<String, ServiceName>,
    seen: &'r Seen,
    /// Folders from which a relative path of a component may start.
    near: &'r [PathBuf],
}

impl Taker<'_, '_> {
    fn take(&mut self, resources: &Resources) {
        for component in &resources.components {
            self.component(component);
        }
        for endpoint in &resources.endpoints {
            let Some(scopes) = self.scopes(&endpoint.scopes) else { continue };
            if self.all.endpoints.iter().any(|known| known.name == endpoint.name) {
                let message = format!("the endpoint `{}` is given twice", endpoint.name);
                self.error(&endpoint.mark, &message, "given again here", "call it differently");
                continue;
            }
            self.all.endpoints.push(HttpEndpoint {
                name: endpoint.name.clone(),
                url: endpoint.url.clone(),
                scopes,
                place: endpoint.mark.place(),
            });
        }
    }

    fn error(&mut self, mark: &Mark, message: &str, label: &str, help: &str) {
        self.reader.problems.error(Code::DUPLICATE, mark, message, label, help);
    }

    fn ignored(&mut self, mark: &Mark, message: &str, label: &str, help: &str) {
        self.reader.problems.warning(Code::NOT_HONOURED, mark, message, label, help);
    }

    fn component(&mut self, component: &Component) {
        let block = component.kind.split('.').next().unwrap_or_default();
        if let Some((_, why)) = NOT_SERVED.iter().find(|(name, _)| *name == block) {
            let message =
                format!("the component `{}` (`{}`) is not served", component.name, component.kind);
            return self.ignored(&component.kind_mark, &message, why, "");
        }
        if !SERVED.contains(&block) {
            let message = format!("`{}` is not a type of components that is known", component.kind);
            let known = SERVED.iter().chain(NOT_SERVED.iter().map(|(name, _)| name)).copied();
            let label = suggest::nearest(block, known)
                .map(|near| format!("did you mean `{near}.…`?"))
                .unwrap_or_default();
            return self.ignored(&component.kind_mark, &message, &label, "it is left out");
        }
        if let Err(why) = names::store(&component.name) {
            let message = format!("the component `{}` is not served", component.name);
            let why = format!("the name of a store {why}");
            return self.ignored(&component.name_mark, &message, &why, "call it differently");
        }
        let Some(scopes) = self.scopes(&component.scopes) else {
            let message =
                format!("no service of this system sees the component `{}`", component.name);
            return self.ignored(&component.name_mark, &message, "its `scopes` name others", "");
        };
        let own = match block {
            "state" => &self.own.state,
            "lock" => &self.own.locks,
            "configuration" => &self.own.configuration,
            _ => &self.own.secrets,
        };
        // The file has the last word.
        if own.contains(&component.name) {
            return;
        }
        match block {
            "state" => self.state(component, scopes),
            "lock" => self.lock(component, scopes),
            "configuration" => self.configuration(component, scopes),
            _ => self.secrets(component, scopes),
        }
    }

    /// Who sees a component; `None` when nobody does.
    fn scopes(&self, app_ids: &[String]) -> Option<Scopes> {
        let named: BTreeSet<ServiceName> = app_ids
            .iter()
            .filter_map(|id| self.ids.get(id).cloned().or_else(|| ServiceName::new(id).ok()))
            .filter(|name| self.ids.values().any(|known| known == name))
            .collect();
        let all = match (self.seen, app_ids.is_empty()) {
            (Seen::ByAll, true) => return Some(Scopes::default()),
            (Seen::ByAll, false) => named,
            (Seen::By(some), true) => some.clone(),
            (Seen::By(some), false) => some.intersection(&named).cloned().collect(),
        };
        (!all.is_empty()).then_some(Scopes(all))
    }

    fn origin(component: &Component) -> Origin {
        Origin {
            kind: component.kind.clone(),
            version: component.version.clone(),
            place: Some(component.kind_mark.place()),
        }
    }

    fn state(&mut self, component: &Component, scopes: Scopes) {
        let is_memory = matches!(component.kind.as_str(), "state.in-memory" | "state.memcached");
        if !is_memory {
            self.served_here(component, OF_STATE);
        }
        let store = StateStore {
            name: component.name.clone(),
            kind: match is_memory {
                true => StateKind::Cache { max: MEMORY_SIZE },
                false => StateKind::Durable,
            },
            ttl: self.ttl(component),
            prefix: self.prefix(component),
            scopes,
            origin: Self::origin(component),
        };
        match self.all.state.iter_mut().find(|known| known.name == store.name) {
            None => self.all.state.push(store),
            Some(known)
                if (known.kind, known.ttl, &known.prefix)
                    == (store.kind, store.ttl, &store.prefix) =>
            {
                known.scopes.add(store.scopes);
            }
            Some(known) => {
                let first = known.origin.clone();
                self.differs(component, &first);
            }
        }
    }

    fn lock(&mut self, component: &Component, scopes: Scopes) {
        self.served_here(component, &["keyPrefix"]);
        let (name, prefix) = (component.name.clone(), self.prefix(component));
        let origin = Self::origin(component);
        match self.all.locks.iter_mut().find(|known| known.name == name) {
            None => self.all.locks.push(LockStore { name, prefix, scopes, origin }),
            Some(known) if known.prefix == prefix => known.scopes.add(scopes),
            Some(known) => {
                let first = known.origin.clone();
                self.differs(component, &first);
            }
        }
    }

    fn configuration(&mut self, component: &Component, scopes: Scopes) {
        self.served_here(component, &[]);
        let (name, values) = (component.name.clone(), BTreeMap::new());
        let origin = Self::origin(component);
        match self.all.configuration.iter_mut().find(|known| known.name == name) {
            None => self.all.configuration.push(ConfigStore { name, values, scopes, origin }),
            Some(known) => known.scopes.add(scopes),
        }
    }

    /// Says what keeps the data instead, and which metadata has no effect.
    fn served_here(&mut self, component: &Component, known: &[&str]) {
        let (block, product) =
            component.kind.split_once('.').unwrap_or((component.kind.as_str(), ""));
        let is_known = |name: &str| known.iter().any(|known| known.eq_ignore_ascii_case(name));
        let unused: Vec<&str> = component
            .metadata
            .iter()
            .map(|item| item.name.as_str())
            .filter(|name| !is_known(name))
            .collect();
        let message = format!(
            "the component `{}` (`{}`) is served by our own engine, not by {product}",
            component.name, component.kind
        );
        let problem = Diagnostic::warning(Code::NOT_HONOURED, message)
            .at(component.kind_mark.place(), format!("nothing connects to {product}"));
        let problem = match unused.as_slice() {
            [] => problem,
            [one] => problem.note(format!("`{one}` has no effect")),
            some => problem.note(format!("{} have no effect", quoted(some))),
        };
        let help = match block {
            "state" => "`engines: { kv: … }` in flotilla.yaml chooses the engine",
            "configuration" => "values are set by `flotilla config set`",
            _ => "",
        };
        let problem = if help.is_empty() { problem } else { problem.help(help) };
        self.reader.problems.add(problem);
    }

    fn differs(&mut self, component: &Component, first: &Origin) {
        let message = format!("the component `{}` is given twice, and differently", component.name);
        let problem = Diagnostic::error(Code::DUPLICATE, message)
            .at(component.kind_mark.place(), "given again here")
            .help("a store has one meaning in the whole system; call one of them differently");
        self.reader.problems.add(match &first.place {
            Some(place) => {
                problem.note(format!("it is given first in {}:{}", place.file, place.line))
            }
            None => problem,
        });
    }

    fn prefix(&mut self, component: &Component) -> KeyPrefix {
        let Some(item) = component.item("keyPrefix") else { return KeyPrefix::Service };
        match item.value.as_deref() {
            None => {
                let message = "`keyPrefix` cannot be a secret";
                self.ignored(&item.mark, message, "the app id is used", "write it as `value:`");
                KeyPrefix::Service
            }
            Some("" | "appid") => KeyPrefix::Service,
            Some("name") => KeyPrefix::Store,
            Some("namespace") => KeyPrefix::Namespace,
            Some("none") => KeyPrefix::None,
            Some(literal) => match names::key_prefix(literal) {
                Ok(()) => KeyPrefix::Literal(literal.to_owned()),
                Err(why) => {
                    let problems = &mut *self.reader.problems;
                    let message = "this cannot be a `keyPrefix`";
                    problems.error(Code::BAD_VALUE, &item.mark, message, why, "");
                    KeyPrefix::Service
                }
            },
        }
    }

    fn ttl(&mut self, component: &Component) -> Option<Duration> {
        let item = component.item("ttlInSeconds")?;
        match item.value.as_deref().unwrap_or_default().trim().parse::<i64>() {
            Ok(seconds) => u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs),
            Err(_) => {
                let problems = &mut *self.reader.problems;
                let message = "`ttlInSeconds` is not a whole number";
                problems.error(Code::BAD_VALUE, &item.mark, message, "", "");
                None
            }
        }
    }
}

impl Scopes {
    /// Lets more services see a store; all stay all.
    fn add(&mut self, more: Self) {
        if self.0.is_empty() || more.0.is_empty() {
            self.0.clear();
        } else {
            self.0.extend(more.0);
        }
    }
}

fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
