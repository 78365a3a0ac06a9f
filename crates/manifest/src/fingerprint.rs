//! What of a service needs a new process when it changes.
//!
//! Kept with each run, also over a restart of the node by another build: so the hash is our own and never changes.

use crate::{AppProtocol, Database, External, Program, Service};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

/// A hash for each part of a service that its processes were started with: `run`, `dir`, `env.LOG_LEVEL`, …
///
/// Probes, restarts, stopping, balancing and the number of instances are not among them: they change without a new process.
#[must_use]
pub fn fingerprint(service: &Service) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let mut put = |key: &str, value: &[&str]| {
        all.insert(key.to_owned(), hash(value));
    };
    match &service.program {
        Program::Shell(line) => put("run", &["shell", line]),
        Program::Exec(words) => put("run", &listed("exec", words)),
        Program::Container(container) => {
            put("image", &[&container.image]);
            if let Some(words) = &container.entrypoint {
                put("entrypoint", &listed("", words));
            }
            if let Some(words) = &container.command {
                put("command", &listed("", words));
            }
            if !container.volumes.is_empty() {
                put("volumes", &listed("", &container.volumes));
            }
            if !container.publish.is_empty() {
                let ports: Vec<String> = container
                    .publish
                    .iter()
                    .map(|(host, inside)| format!("{host}:{inside}"))
                    .collect();
                put("publish", &listed("", &ports));
            }
            if let Some(user) = &container.user {
                put("user", &[user]);
            }
            if let Some(workdir) = &container.workdir {
                put("workdir", &[workdir]);
            }
        }
        Program::External(External { address }) => put("external", &[&shown(*address)]),
    }
    put("dir", &[&service.dir.to_string_lossy()]);
    if let Some(build) = &service.build {
        put("build", &[build]);
    }
    for (name, value) in &service.env {
        put(&format!("env.{name}"), &[value]);
    }
    let limits = service.limits;
    let limits = [shown(limits.cpu), shown(limits.memory.map(|size| size.0)), shown(limits.pids)];
    if limits.iter().any(|limit| !limit.is_empty()) {
        put("limits", &listed("", &limits));
    }
    if let Some(port) = service.port {
        put("port", &[&port.to_string()]);
    }
    if !service.listens {
        put("listen", &["false"]);
    }
    match &service.db {
        Some(Database::Sqlite) => put("db", &["sqlite"]),
        Some(Database::Url(url)) => put("db", &["url", url]),
        None => {}
    }
    // Only who is needed: each one is an address in the environment. The order and the condition are not.
    let needs: BTreeSet<&str> = service.needs.iter().map(|need| need.service.as_str()).collect();
    if !needs.is_empty() {
        put("needs", &needs.into_iter().collect::<Vec<_>>());
    }
    api(service, &mut put);
    all
}

/// What of the app API stands in the environment of the processes.
fn api(service: &Service, put: &mut impl FnMut(&str, &[&str])) {
    // Of tokens it is a hash of what the file says: the name of a secret, or a text that the environment shows too.
    let api = &service.api;
    for (key, port) in [("api.http_port", api.http_port), ("api.grpc_port", api.grpc_port)] {
        if let Some(port) = port {
            put(key, &[&port.to_string()]);
        }
    }
    for (key, token) in [("api.token", &api.token), ("api.app_token", &api.app_token)] {
        if let Some(token) = token {
            put(key, &[token.reveal()]);
        }
    }
    if api.app_id != service.name.as_str() {
        put("api.app_id", &[&api.app_id]);
    }
    if api.protocol != AppProtocol::default() {
        put("api.protocol", &[&shown(Some(api.protocol))]);
    }
}

/// What differs, in words: `run changed`, `env LOG_LEVEL added`, `limits removed`.
#[must_use]
pub fn differences(old: &BTreeMap<String, u64>, new: &BTreeMap<String, u64>) -> Vec<String> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let word = match (old.get(key), new.get(key)) {
                (Some(before), Some(after)) if before == after => return None,
                (Some(_), Some(_)) => "changed",
                (None, _) => "added",
                (_, None) => "removed",
            };
            let name =
                key.strip_prefix("env.").map_or_else(|| key.clone(), |name| format!("env {name}"));
            Some(format!("{name} {word}"))
        })
        .collect()
}

fn listed<'a>(kind: &'a str, words: &'a [String]) -> Vec<&'a str> {
    std::iter::once(kind).chain(words.iter().map(String::as_str)).collect()
}

fn shown(value: Option<impl Debug>) -> String {
    value.map(|value| format!("{value:?}")).unwrap_or_default()
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo). Each part is followed by a byte that no UTF-8 text has.
fn hash(parts: &[&str]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // FNV-1a of `foobar` is 0x85944171f73967e8; ours goes on with the byte 0xff.
        let expected = (0x8594_4171_f739_67e8_u64 ^ 0xff).wrapping_mul(0x0100_0000_01b3);
        assert_eq!(hash(&["foobar"]), expected);
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }

    #[test]
    fn differences_are_told_in_words() {
        let old = [("run", 1), ("env.A", 1), ("env.B", 1), ("limits", 4)];
        let new = [("run", 2), ("env.A", 1), ("env.B", 2), ("env.C", 3)];
        let map = |pairs: &[(&str, u64)]| {
            pairs.iter().map(|(key, hash)| ((*key).to_owned(), *hash)).collect()
        };
        assert_eq!(
            differences(&map(&old), &map(&new)),
            ["env B changed", "env C added", "limits removed", "run changed"]
        );
    }
}
