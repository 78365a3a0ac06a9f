//! What services share, all together: the stores that are there by themselves, and who refers to what.

use super::{
    Reader, components,
    events::Draft,
    same,
    stores::{SECRET_STORE, origin},
    values::texts,
};
use crate::{
    BrokerEngine, ConfigStore, ConfigUse, Coordination, EnvNames, Etcd, Events, KeyPrefix,
    KvEngine, LockStore, OnChange, PubSub, Scopes, Secret, SecretReference, SecretRule,
    SecretSource, SecretStore, Service, StateKind, StateStore, StopSignal, secret,
    source::Mark,
    suggest,
    tree::{Entry, Node, Value},
};
use base::{Code, Diagnostic, Place};
use std::collections::{BTreeMap, BTreeSet};

/// The store that is there when the file names none.
const STATE_STORE: &str = "statestore";
const LOCK_STORE: &str = "lockstore";
const CONFIG_STORE: &str = "configstore";
const PUBSUB: &str = "pubsub";

impl Reader<'_> {
    /// All that services share; rules of single services are added to `services`.
    pub(super) fn coordination(
        &mut self,
        tree: &Node,
        services: &mut [Service],
        events: &mut Draft,
    ) -> (Coordination, components::Found) {
        let kv = tree.at(&["engines", "kv"]);
        let secrets = tree.get("secrets");
        let mut all = Coordination {
            kv: kv.map_or(KvEngine::Embedded, |node| self.kv(node)),
            kv_place: kv.map(|node| node.mark.place()),
            state: self.state(tree.get("state")),
            locks: self.locks(tree.get("locks")),
            configuration: self.configuration(tree.get("config")),
            secrets: secrets.map(|node| self.secret_store(node)).into_iter().collect(),
            ..Coordination::default()
        };
        let components = self.components(tree, services, &mut all, events);
        self.defaults(tree, components, &mut all, events);
        for service in &mut *services {
            let is_own = |entry: &Entry| entry.key == service.name.as_str();
            let found = super::entries(tree).find(|(_, entry)| is_own(entry));
            if let Some((is_job, entry)) = found.filter(|(_, entry)| self.is_first(entry)) {
                if !is_job {
                    service.config = self.config_use(entry, &all);
                }
                own_secrets(entry, service, &all);
            }
        }
        self.references(&mut all, services, &events.all);
        (all, components)
    }

    pub(super) fn is_first(&self, entry: &Entry) -> bool {
        self.known.get(&entry.key).is_some_and(|known| same(&known.mark, &entry.key_mark))
    }

    /// The stores that are there without a word in the file. Whoever runs somebody else's components gets what these say.
    fn defaults(
        &mut self,
        tree: &Node,
        found: components::Found,
        all: &mut Coordination,
        events: &mut Draft,
    ) {
        let is_foreign = self.context.foreign && found.is_any;
        let lacks = |key: &str, is_empty: bool| tree.get(key).is_none() && is_empty && !is_foreign;
        let scopes = Scopes::default;
        if lacks("state", all.state.is_empty()) {
            all.state.push(StateStore {
                name: STATE_STORE.to_owned(),
                kind: StateKind::Durable,
                ttl: None,
                prefix: KeyPrefix::default(),
                scopes: scopes(),
                origin: origin("state", None),
            });
        }
        if events.all.pubsubs.is_empty() && !is_foreign {
            events.all.pubsubs.push(PubSub {
                name: PUBSUB.to_owned(),
                scopes: scopes(),
                allowed: BTreeSet::new(),
                protected: BTreeSet::new(),
                publishing: BTreeMap::new(),
                subscribing: BTreeMap::new(),
                group: None,
                prefix: String::new(),
                origin: origin("pubsub", None),
            });
        }
        if lacks("locks", all.locks.is_empty()) {
            let (name, prefix) = (LOCK_STORE.to_owned(), KeyPrefix::default());
            let origin = origin("lock", None);
            all.locks.push(LockStore { name, prefix, scopes: scopes(), origin });
        }
        if lacks("config", all.configuration.is_empty()) {
            let (name, values) = (CONFIG_STORE.to_owned(), BTreeMap::new());
            let origin = origin("configuration", None);
            all.configuration.push(ConfigStore { name, values, scopes: scopes(), origin });
        }
        // What answers `${secret:NAME}` is the first one, and it is always there in a file of ours.
        if tree.get("secrets").is_none() && !is_foreign {
            let sources =
                vec![SecretSource::Kv, SecretSource::Env(EnvNames::Listed(BTreeSet::new()))];
            let (name, origin) = (SECRET_STORE.to_owned(), origin("secretstores", None));
            if !all.secrets.iter().any(|store| store.name == name) {
                all.secrets.insert(0, SecretStore { name, sources, scopes: scopes(), origin });
            }
        }
    }

    fn config_use(&mut self, entry: &Entry, all: &Coordination) -> Option<ConfigUse> {
        let node = entry.value.get("config")?;
        let keys = if matches!(node.value, Value::List(_)) { Some(node) } else { node.get("keys") };
        let patterns = texts(keys);
        if patterns.is_empty() && !matches!(keys.map(|keys| &keys.value), Some(Value::Unknown)) {
            let message = format!("`config` of service `{}` names no key", entry.key);
            let help = "write `keys: [\"*\"]` for all keys, or remove `config`";
            self.problems.error(Code::BAD_VALUE, &node.mark, message, "nothing could change", help);
        }
        let known: Vec<&str> = all.configuration.iter().map(|store| store.name.as_str()).collect();
        let store = match (node.get("store"), known.as_slice()) {
            (Some(asked), _) => {
                let name = asked.text()?;
                if !known.contains(&name) {
                    self.unknown_store(name, &asked.mark, &known);
                }
                name
            }
            (None, [only]) => only,
            (None, []) => {
                let message = "there is no store for configuration";
                let help = "write `config: { configstore: {} }` at the top level";
                self.problems.error(Code::BAD_VALUE, &node.mark, message, "", help);
                CONFIG_STORE
            }
            (None, several) => {
                if !several.contains(&CONFIG_STORE) {
                    let message =
                        format!("which store `config` of service `{}` means is open", entry.key);
                    let help = format!("write `store:`; there are {}", several.join(", "));
                    self.problems.error(Code::BAD_VALUE, &node.mark, message, "", &help);
                }
                CONFIG_STORE
            }
        };
        Some(ConfigUse {
            store: store.to_owned(),
            keys: patterns,
            on_change: match node.get("on_change").and_then(Node::text) {
                Some("sighup") => OnChange::Signal(StopSignal::Hup),
                _ => OnChange::Restart,
            },
        })
    }

    fn unknown_store(&mut self, name: &str, mark: &Mark, known: &[&str]) {
        let message = format!("there is no store `{name}` for configuration");
        let problem = Diagnostic::error(Code::BAD_VALUE, message);
        self.problems.add(match suggest::nearest(name, known.iter().copied()) {
            Some(near) => problem.at(mark.place(), format!("did you mean `{near}`?")),
            None => {
                let help = if known.is_empty() {
                    "add it under `config:` at the top level".to_owned()
                } else {
                    format!("add it under `config:`; there are {}", known.join(", "))
                };
                problem.at(mark.place(), "not in the file").help(help)
            }
        });
    }

    /// Notes what the file asks for, and lets the environment answer it.
    fn references(&mut self, all: &mut Coordination, services: &[Service], events: &Events) {
        let mut found = Vec::new();
        let mut note = |text: &str, key: &str, place: Option<Place>| {
            for (name, _) in secret::references(text) {
                found.push(SecretReference {
                    name: name.to_owned(),
                    key: key.to_owned(),
                    place: place.clone(),
                });
            }
        };
        if let KvEngine::Etcd(Etcd { user: Some((user, password)), .. }) = &all.kv {
            note(user, "`engines.kv`", all.kv_place.clone());
            note(password.reveal(), "`engines.kv`", all.kv_place.clone());
        }
        if let BrokerEngine::Nats(nats) = &events.broker {
            let user = nats.user.iter().flat_map(|(user, word)| [user.as_str(), word.reveal()]);
            for text in user.chain(nats.token.iter().map(Secret::reveal)) {
                note(text, "`engines.broker`", events.broker_place.clone());
            }
        }
        for outbox in &events.outboxes {
            let key = format!("`outbox` of service `{}`", outbox.service);
            if let Some(url) = &outbox.url {
                note(url.reveal(), &key, outbox.place.clone());
            }
        }
        for service in services {
            let mut note = |text: &str, key: &str| {
                let place = service.places.get(key).cloned();
                note(text, &format!("`{key}` of service `{}`", service.name), place);
            };
            for (name, value) in &service.env {
                note(value, &format!("env.{name}"));
            }
            if let Some(crate::Database::Url(url)) = &service.db {
                note(url, "db");
            }
            for (key, token) in
                [("api.token", &service.api.token), ("api.app_token", &service.api.app_token)]
            {
                if let Some(token) = token {
                    note(token.reveal(), key);
                }
            }
        }
        all.references = found;
        let asked: BTreeSet<String> = all.referenced().into_iter().map(str::to_owned).collect();
        if asked.is_empty() {
            return;
        }
        let Some(store) = all.secrets.first_mut() else { return };
        let of_kv = |reference: &&SecretReference| reference.key == "`engines.kv`";
        for source in &mut store.sources {
            if let SecretSource::Env(EnvNames::Listed(names)) = source {
                names.extend(asked.iter().cloned());
            }
        }
        let only_kv = store.sources == [SecretSource::Kv];
        if let (true, Some(reference)) = (only_kv, all.references.iter().find(of_kv)) {
            let message =
                format!("the secret `{}` is kept by the engine that needs it", reference.name);
            let problem = Diagnostic::error(Code::BAD_VALUE, message);
            let problem = problem.help("give it by `secrets: { env: …, file: … }`");
            self.problems.add(match &reference.place {
                Some(place) => {
                    problem.at(place.clone(), "cannot be read before the engine answers")
                }
                None => problem,
            });
        }
    }
}

/// `api.secrets`: the same rule for all stores.
fn own_secrets(entry: &Entry, service: &mut Service, all: &Coordination) {
    let Some(node) = entry.value.at(&["api", "secrets"]) else { return };
    let allowed: BTreeSet<String> = texts(Some(node)).into_iter().collect();
    for store in &all.secrets {
        let rule =
            SecretRule { by_default: false, allowed: allowed.clone(), denied: BTreeSet::new() };
        service.api.secrets.insert(store.name.clone(), rule);
    }
}
