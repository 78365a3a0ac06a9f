//! What Dapr's components mean here: their stores are there under their names, kept by our engines.

mod places;
mod pubsub;
mod secrets;
mod values;

use super::{
    Reader,
    events::{Declared, Draft},
};
use crate::{
    ConfigStore, Coordination, HttpEndpoint, LockStore, Origin, Scopes, SecretRule, Service,
    StateKind, StateStore,
    dapr::{self, Component, Endpoint, Resources, Subscription},
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
};

/// Dapr's stores in memory have no bound. This one is far above what tests and examples keep.
const MEMORY_SIZE: ByteSize = ByteSize(256 * 1024 * 1024);

/// Kinds of components that exist there and are not served.
const NOT_SERVED: &[(&str, &str)] = &[
    ("bindings", "bindings but `bindings.cron` are not served by this version"),
    ("middleware", "rules for requests stand under `gateway:` in flotilla.yaml"),
    ("nameresolution", "services are found by the node; it is not needed"),
    ("crypto", "cryptography is not served by this version"),
    ("conversation", "conversations are not served by this version"),
    ("workflow", "workflows are not served by this version"),
    ("workflowbackend", "workflows are not served by this version"),
    ("exporters", "traces are written by the node"),
];

/// Kinds that are served.
const SERVED: &[&str] = &["state", "pubsub", "lock", "configuration", "secretstores"];

/// The one binding that is served.
const CRON: &str = "bindings.cron";

/// Metadata of components for state that we give a meaning.
const OF_STATE: &[&str] =
    &["keyPrefix", "ttlInSeconds", "actorStateStore", "outboxPublishPubsub", "outboxPublishTopic"];

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
        events: &mut Draft,
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
            let Resources { components, endpoints, secret_scopes, subscriptions } = resources;
            let (seen, near) = (&place.seen, &near);
            let mut taker = Taker { reader: self, all, events, own: &own, ids: &ids, seen, near };
            taker.take(&components, &endpoints);
            for subscription in subscriptions {
                taker.subscription(subscription);
            }
            for scope in &secret_scopes {
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
    events: &'r mut Draft,
    own: &'r Own,
    ids: &'r BTreeMap<String, ServiceName>,
    seen: &'r Seen,
    /// Folders from which a relative path of a component may start.
    near: &'r [PathBuf],
}

impl Taker<'_, '_> {
    /// A subscription of somebody here; what no app of this system reads is another's.
    fn subscription(&mut self, subscription: Subscription) {
        if let Some(scopes) = self.scopes(&subscription.scopes) {
            self.events.declared.push(Declared { subscription, scopes });
        }
    }

    fn take(&mut self, components: &[Component], endpoints: &[Endpoint]) {
        for component in components {
            self.component(component);
        }
        for endpoint in endpoints {
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
        let is_cron = component.kind == CRON;
        if let Some((_, why)) = NOT_SERVED.iter().find(|(name, _)| *name == block && !is_cron) {
            let message =
                format!("the component `{}` (`{}`) is not served", component.name, component.kind);
            return self.ignored(&component.kind_mark, &message, why, "");
        }
        if !SERVED.contains(&block) && !is_cron {
            let message = format!("`{}` is not a type of components that is known", component.kind);
            let known = SERVED.iter().chain(NOT_SERVED.iter().map(|(name, _)| name)).copied();
            let label = suggest::nearest(block, known)
                .map(|near| format!("did you mean `{near}.…`?"))
                .unwrap_or_default();
            return self.ignored(&component.kind_mark, &message, &label, "it is left out");
        }
        if let Err(why) = names::store(&component.name) {
            let message = format!("the component `{}` is not served", component.name);
            let why = format!("the name of a component {why}");
            return self.ignored(&component.name_mark, &message, &why, "call it differently");
        }
        let Some(scopes) = self.scopes(&component.scopes) else {
            let message =
                format!("no service of this system sees the component `{}`", component.name);
            return self.ignored(&component.name_mark, &message, "its `scopes` name others", "");
        };
        let own = match block {
            "state" => Some(&self.own.state),
            "lock" => Some(&self.own.locks),
            "configuration" => Some(&self.own.configuration),
            "secretstores" => Some(&self.own.secrets),
            _ => None,
        };
        // The file has the last word.
        if own.is_some_and(|own| own.contains(&component.name)) {
            return;
        }
        match block {
            "pubsub" => self.pubsub(component, scopes),
            _ if is_cron => self.cron_binding(component, &scopes),
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
        self.state_outbox(component);
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
            "pubsub" => "`engines: { broker: … }` in flotilla.yaml chooses the engine",
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
            .help("a name has one meaning in the whole system; call one of them differently");
        self.reader.problems.add(match &first.place {
            Some(place) => {
                problem.note(format!("it is given first in {}:{}", place.file, place.line))
            }
            None => problem,
        });
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
