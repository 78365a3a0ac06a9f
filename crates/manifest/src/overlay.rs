//! One tree laid over another: an including file over what it includes, an environment over the file.
//!
//! Maps are merged key by key; texts and lists replace what was there.

use crate::tree::{Entry, Node, Value};

/// Keys that only a container has. A service that becomes a process by an overlay loses them, and its
/// port with them: a process is given its port.
const CONTAINER_KEYS: &[&str] =
    &["image", "entrypoint", "command", "volumes", "publish", "user", "workdir", "port", "build"];

/// Keys that mean nothing to a service that somebody else starts.
const OF_PROGRAMS: &[&str] = &["run", "restart", "stop", "limits", "env", "env_file", "db"];

/// Lays a file over what it includes, or an environment over its file.
pub(crate) fn lay(base: Node, over: Node) -> Node {
    merge(base, over, &mut Vec::new())
}

fn merge(base: Node, over: Node, path: &mut Vec<String>) -> Node {
    match (base.value, over.value) {
        (Value::Map(mut entries), Value::Map(over_entries)) => {
            if let [kind, _] = path.as_slice()
                && (kind == "services" || kind == "jobs")
            {
                drop_other_program(&mut entries, &over_entries);
            }
            for entry in over_entries {
                match entries.iter_mut().find(|old| old.key == entry.key) {
                    Some(old) => {
                        path.push(entry.key.clone());
                        let base = std::mem::replace(
                            &mut old.value,
                            Node { mark: entry.key_mark.clone(), value: Value::Null },
                        );
                        let value = merge(base, entry.value, path);
                        path.pop();
                        *old = Entry { key: entry.key, key_mark: entry.key_mark, value };
                    }
                    None => entries.push(entry),
                }
            }
            Node { mark: over.mark, value: Value::Map(entries) }
        }
        // `users:` without anything after it changes nothing.
        (value @ Value::Map(_), Value::Null) => Node { mark: over.mark, value },
        (_, value) => Node { mark: over.mark, value },
    }
}

/// `run` over `image` makes a container a process, `image` over `run` the other way round, and `external` over both
/// leaves the start to somebody else.
fn drop_other_program(base: &mut Vec<Entry>, over: &[Entry]) {
    let over_has = |key: &str| over.iter().any(|entry| entry.key == key);
    let is_container = base.iter().any(|entry| entry.key == "image");
    if over_has("external") {
        base.retain(|entry| {
            !CONTAINER_KEYS.contains(&entry.key.as_str())
                && !OF_PROGRAMS.contains(&entry.key.as_str())
        });
    } else if over_has("run") || over_has("image") {
        base.retain(|entry| entry.key != "external");
    }
    if over_has("run") && !over_has("image") && is_container {
        base.retain(|entry| !CONTAINER_KEYS.contains(&entry.key.as_str()));
    } else if over_has("image") && !over_has("run") {
        base.retain(|entry| entry.key != "run");
    }
}
