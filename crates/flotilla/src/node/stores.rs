//! From the stores of the file to those of coordination.

use coordination::{
    ConfigStore, Format, KeyPrefix, LockStore, Secret, SecretSource, SecretStore, StateKind,
    StateStore, Stores,
};
use manifest::{Coordination, EnvNames, SecretFormat};
use std::collections::BTreeMap;

/// The stores of `system`; `environment` is the node's.
pub(super) fn of(
    system: &str,
    file: &Coordination,
    environment: &BTreeMap<String, String>,
) -> Stores {
    Stores {
        state: file.state.iter().map(|store| state(system, store)).collect(),
        locks: file.locks.iter().map(|store| lock(system, store)).collect(),
        configuration: file.configuration.iter().map(configuration).collect(),
        secrets: secrets(file, environment),
    }
}

/// Where secrets are that can be known before there is an engine.
pub(super) fn secrets(
    file: &Coordination,
    environment: &BTreeMap<String, String>,
) -> Vec<SecretStore> {
    file.secrets.iter().map(|store| secret(file, store, environment)).collect()
}

fn state(system: &str, store: &manifest::StateStore) -> StateStore {
    StateStore {
        name: store.name.clone(),
        namespace: None,
        kind: match store.kind {
            manifest::StateKind::Durable => StateKind::Durable,
            manifest::StateKind::Cache { max } => StateKind::Cache { max },
        },
        ttl: store.ttl,
        prefix: prefix(system, &store.prefix),
    }
}

fn lock(system: &str, store: &manifest::LockStore) -> LockStore {
    let name = store.name.clone();
    LockStore { name, namespace: None, prefix: prefix(system, &store.prefix) }
}

fn configuration(store: &manifest::ConfigStore) -> ConfigStore {
    ConfigStore { name: store.name.clone(), namespace: None, values: store.values.clone() }
}

fn prefix(system: &str, prefix: &manifest::KeyPrefix) -> KeyPrefix {
    match prefix {
        manifest::KeyPrefix::Service => KeyPrefix::Service,
        manifest::KeyPrefix::Store => KeyPrefix::Store,
        manifest::KeyPrefix::None => KeyPrefix::None,
        manifest::KeyPrefix::Namespace => KeyPrefix::Namespace(system.to_owned()),
        manifest::KeyPrefix::Literal(text) => KeyPrefix::Literal(text.clone()),
    }
}

fn secret(
    file: &Coordination,
    store: &manifest::SecretStore,
    environment: &BTreeMap<String, String>,
) -> SecretStore {
    let source = |source: &manifest::SecretSource| match source {
        manifest::SecretSource::Kv => SecretSource::Kv { namespace: store.name.clone() },
        manifest::SecretSource::File { path, format } => {
            let format = match format {
                SecretFormat::Json { separator } => Format::Json { separator: separator.clone() },
                SecretFormat::JsonNested { separator } => {
                    Format::JsonNested { separator: separator.clone() }
                }
                SecretFormat::Lines => Format::Env,
            };
            SecretSource::File { path: path.clone(), format }
        }
        manifest::SecretSource::Env(names) => {
            let (label, values) = ("environment".to_owned(), variables(file, names, environment));
            match names {
                EnvNames::All => SecretSource::Ambient { label, values },
                EnvNames::Listed(_) | EnvNames::Prefix(_) => SecretSource::Values { label, values },
            }
        }
    };
    SecretStore { name: store.name.clone(), sources: store.sources.iter().map(source).collect() }
}

/// The variables that are secrets, by the secret's name.
fn variables(
    file: &Coordination,
    names: &EnvNames,
    environment: &BTreeMap<String, String>,
) -> BTreeMap<String, Secret> {
    let referenced = file.referenced();
    let name = |variable: &str| match names {
        EnvNames::All => Some(variable.to_owned()),
        EnvNames::Listed(listed) => {
            let is_named = listed.contains(variable) || referenced.contains(variable);
            is_named.then(|| variable.to_owned())
        }
        EnvNames::Prefix(prefix) => {
            let rest = variable.strip_prefix(prefix.as_str())?;
            (!rest.is_empty()).then(|| rest.to_owned())
        }
    };
    let secrets = environment.iter().filter_map(|(key, value)| Some((name(key)?, value)));
    secrets.map(|(name, value)| (name, Secret::new(value.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn names(names: &EnvNames) -> Vec<String> {
        let environment = ["PATH", "API_KEY", "SHOP_TOKEN", "SHOP_"];
        let environment = environment.map(|name| (name.to_owned(), "x".to_owned()));
        let found = variables(&Coordination::default(), names, &environment.into());
        found.into_keys().collect()
    }

    #[test]
    fn only_the_variables_that_the_file_calls_secrets_are_some() {
        let listed = BTreeSet::from(["API_KEY".to_owned(), "MISSING".to_owned()]);
        assert_eq!(names(&EnvNames::Listed(listed)), ["API_KEY"]);
        assert_eq!(names(&EnvNames::Prefix("SHOP_".to_owned())), ["TOKEN"]);
        assert_eq!(names(&EnvNames::All).len(), 4);
    }
}
