//! Compose's own rules for laying one file over another.

use crate::tree::{Entry, Node, Value};

/// Lists that are appended; all others are replaced.
const APPENDED: &[&str] =
    &["ports", "expose", "volumes", "env_file", "profiles", "dns", "tmpfs", "external_links"];

/// Lays `over` over `base`.
pub(super) fn lay(base: Node, over: Node) -> Node {
    merge(base, over, "")
}

fn merge(base: Node, over: Node, key: &str) -> Node {
    let mark = over.mark.clone();
    match (mapped(base, key).value, mapped(over, key).value) {
        (Value::Map(mut entries), Value::Map(over)) => {
            for entry in over {
                match entries.iter_mut().find(|old| old.key == entry.key) {
                    Some(old) => {
                        let base = std::mem::replace(
                            &mut old.value,
                            Node { mark: mark.clone(), value: Value::Null },
                        );
                        let value = merge(base, entry.value, &entry.key);
                        *old = Entry { key: entry.key, key_mark: entry.key_mark, value };
                    }
                    None => entries.push(entry),
                }
            }
            Node { mark, value: Value::Map(entries) }
        }
        (Value::List(mut items), Value::List(over)) if APPENDED.contains(&key) => {
            for item in over {
                if item.text().is_none() || !items.iter().any(|old| old.text() == item.text()) {
                    items.push(item);
                }
            }
            Node { mark, value: Value::List(items) }
        }
        (value, Value::Null) => Node { mark, value },
        (_, value) => Node { mark, value },
    }
}

/// `environment` and `depends_on` as maps, which is how lists of them are merged.
fn mapped(node: Node, key: &str) -> Node {
    let Value::List(items) = &node.value else { return node };
    let entries = match key {
        "environment" => items
            .iter()
            .filter_map(|item| {
                let (name, value) = item.text().map(|text| {
                    text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)))
                })?;
                let value = value.map_or(Value::Null, |value| Value::Scalar(value.to_owned()));
                Some(Entry::new(name, &item.mark, Node { mark: item.mark.clone(), value }))
            })
            .collect(),
        "depends_on" => items
            .iter()
            .filter_map(|item| {
                let condition = Entry::new(
                    "condition",
                    &item.mark,
                    Node::scalar(&item.mark, "service_started"),
                );
                Some(Entry::new(item.text()?, &item.mark, Node::map(&item.mark, vec![condition])))
            })
            .collect(),
        _ => return node,
    };
    Node::map(&node.mark, entries)
}
