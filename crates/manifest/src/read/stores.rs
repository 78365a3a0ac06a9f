//! Stores for state, locks, configuration and secrets.

use super::{
    Reader,
    values::{duration, flag, size, text, texts},
};
use crate::{
    ConfigStore, EnvNames, KeyPrefix, LockStore, Origin, Scopes, SecretFormat, SecretSource,
    SecretStore, StateKind, StateStore,
    shape::names,
    source::Mark,
    tree::{Entry, Node, Value},
};
use base::{ByteSize, Code, ServiceName};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

/// How much a cache holds when nothing is said: enough for sessions of a small system, little enough to forget.
const CACHE_SIZE_DEFAULT: ByteSize = ByteSize(64 * 1024 * 1024);

/// With less, hardly any value would fit beside what is needed to keep it.
const CACHE_SIZE_MIN: ByteSize = ByteSize(64 * 1024);

/// The store that answers `${secret:NAME}`.
pub(super) const SECRET_STORE: &str = "secretstore";

impl Reader<'_> {
    pub(super) fn state(&mut self, node: Option<&Node>) -> Vec<StateStore> {
        let entries = node.map(Node::entries).unwrap_or_default();
        let mut all = Vec::new();
        for entry in entries {
            if !self.store_name(entry) {
                continue;
            }
            let node = &entry.value;
            let is_cache = flag(node.get("cache")).unwrap_or(false);
            let max = size(node.get("max"));
            if let (false, Some(at)) = (is_cache, node.entry("max")) {
                let message = format!("`max` of store `{}` bounds nothing", entry.key);
                let help = "write `cache: true`, or remove `max`";
                let label = "only a cache forgets what does not fit";
                self.problems.error(Code::BAD_VALUE, &at.key_mark, message, label, help);
            }
            if let (Some(max), Some(at)) = (max, node.get("max"))
                && max < CACHE_SIZE_MIN
            {
                let message = format!("`max` of store `{}` is too small", entry.key);
                self.problems.error(Code::BAD_VALUE, &at.mark, message, "at least 64Ki", "");
            }
            let ttl = duration(node.get("ttl"));
            if let (Some(Duration::ZERO), Some(at)) = (ttl, node.get("ttl")) {
                let message = format!("values of store `{}` would be gone at once", entry.key);
                self.problems.error(
                    Code::BAD_VALUE,
                    &at.mark,
                    message,
                    "must be longer than 0",
                    "remove `ttl` to keep them for ever",
                );
            }
            all.push(StateStore {
                name: entry.key.clone(),
                kind: match is_cache {
                    true => StateKind::Cache { max: max.unwrap_or(CACHE_SIZE_DEFAULT) },
                    false => StateKind::Durable,
                },
                ttl,
                prefix: prefix(node.get("prefix")),
                scopes: self.scopes(node),
                origin: origin("state", Some(&entry.key_mark)),
            });
        }
        all
    }

    pub(super) fn locks(&mut self, node: Option<&Node>) -> Vec<LockStore> {
        let Some(node) = node else { return Vec::new() };
        let named = |name: &str, node: Option<&Node>, scopes, mark: &Mark| LockStore {
            name: name.to_owned(),
            prefix: prefix(node.and_then(|node| node.get("prefix"))),
            scopes,
            origin: origin("lock", Some(mark)),
        };
        let mut all: Vec<LockStore> = Vec::new();
        for item in node.items() {
            let Some(name) = item.text() else { continue };
            if all.iter().any(|store| store.name == name) {
                let message = format!("the store `{name}` is named twice");
                self.problems.error(Code::DUPLICATE, &item.mark, message, "", "remove one of them");
                continue;
            }
            all.push(named(name, None, Scopes::default(), &item.mark));
        }
        for entry in node.entries() {
            if self.store_name(entry) {
                let scopes = self.scopes(&entry.value);
                all.push(named(&entry.key, Some(&entry.value), scopes, &entry.key_mark));
            }
        }
        all
    }

    pub(super) fn configuration(&mut self, node: Option<&Node>) -> Vec<ConfigStore> {
        let entries = node.map(Node::entries).unwrap_or_default();
        let mut all = Vec::new();
        for entry in entries {
            if !self.store_name(entry) {
                continue;
            }
            let mut values = BTreeMap::new();
            for value in entry.value.get("values").map(Node::entries).unwrap_or_default() {
                if let Err(why) = names::key_prefix(&value.key) {
                    let message = format!("`{}` cannot be a key of the configuration", value.key);
                    self.problems.error(Code::BAD_VALUE, &value.key_mark, message, why, "");
                }
                let text = value.value.text().unwrap_or_default();
                values.insert(value.key.clone(), text.to_owned());
            }
            all.push(ConfigStore {
                name: entry.key.clone(),
                values,
                scopes: self.scopes(&entry.value),
                origin: origin("configuration", Some(&entry.key_mark)),
            });
        }
        all
    }

    pub(super) fn secret_store(&mut self, node: &Node) -> SecretStore {
        let mut sources = Vec::new();
        if flag(node.get("kv")).unwrap_or(true) {
            sources.push(SecretSource::Kv);
        }
        for file in node.get("file").map(Node::texts).unwrap_or_default() {
            if let Some(path) = self.existing(file) {
                let format = secret_format(&path);
                sources.push(SecretSource::File { path, format });
            }
        }
        let env = node.get("env");
        let prefix = env.and_then(|env| env.get("prefix"));
        if let (Some(env), None) = (env, prefix)
            && matches!(env.value, Value::Map(_) | Value::Null)
        {
            let help = "write `{ prefix: SHOP_ }`, or a list of names";
            self.problems.error(Code::BAD_VALUE, &env.mark, "`env` has no `prefix`", "", help);
        }
        match (env.and_then(Node::text), text(prefix)) {
            (Some("true"), _) => sources.push(SecretSource::Env(EnvNames::All)),
            (Some(_), _) => {}
            (None, Some(prefix)) => sources.push(SecretSource::Env(EnvNames::Prefix(prefix))),
            (None, None) => {
                let names = texts(env).into_iter().collect();
                sources.push(SecretSource::Env(EnvNames::Listed(names)));
            }
        }
        if sources.is_empty() && !self.problems.has_errors() {
            let message = "`secrets` looks nowhere";
            let help = "write `file:` or `env:`, or remove `kv: false`";
            self.problems.error(Code::BAD_VALUE, &node.mark, message, "", help);
        }
        SecretStore {
            name: SECRET_STORE.to_owned(),
            sources,
            scopes: self.scopes(node),
            origin: origin("secretstores", Some(&node.mark)),
        }
    }

    /// Reports a key that cannot be the name of a store.
    fn store_name(&mut self, entry: &Entry) -> bool {
        let Err(why) = names::store(&entry.key) else { return true };
        let message = format!("`{}` cannot be the name of a store", entry.key);
        self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, why, "");
        false
    }

    fn scopes(&mut self, node: &Node) -> Scopes {
        let mut all = BTreeSet::new();
        let Some(scopes) = node.get("scopes") else { return Scopes::default() };
        if matches!(&scopes.value, Value::List(items) if items.is_empty()) {
            let message = "`scopes` names no service";
            let help = "remove it to let all services see the store";
            self.problems.error(
                Code::BAD_VALUE,
                &scopes.mark,
                message,
                "nobody could use it",
                help,
            );
        }
        for item in scopes.items() {
            let Some(name) = item.text() else { continue };
            match ServiceName::new(name) {
                Ok(service) if self.known.contains_key(name) => {
                    all.insert(service);
                }
                Ok(_) => self.unknown_service(name, &item.mark),
                // Refused by the check.
                Err(_) => {}
            }
        }
        Scopes(all)
    }
}

/// Where a store comes from when it is one of our own file.
pub(super) fn origin(block: &str, mark: Option<&Mark>) -> Origin {
    Origin {
        kind: format!("{block}.flotilla"),
        version: "v1".to_owned(),
        place: mark.map(Mark::place),
    }
}

/// What a file with secrets has in it, by its name.
pub(super) fn secret_format(path: &Path) -> SecretFormat {
    let is_json = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
    if is_json { SecretFormat::Json { separator: ":".to_owned() } } else { SecretFormat::Lines }
}

fn prefix(node: Option<&Node>) -> KeyPrefix {
    match node.and_then(Node::text) {
        None | Some("service") => KeyPrefix::Service,
        Some("store") => KeyPrefix::Store,
        Some("none") => KeyPrefix::None,
        Some("namespace") => KeyPrefix::Namespace,
        Some(literal) => KeyPrefix::Literal(literal.to_owned()),
    }
}
