//! `deploy` of a compose service: copies, limits, restarts.

use super::{Convert, not_honoured, service::Parts};
use crate::tree::{Entry, Node};

impl Convert<'_> {
    pub(super) fn deploy(&mut self, owner: &str, entry: &Entry, parts: &mut Parts) {
        for part in entry.value.entries() {
            match part.key.as_str() {
                "replicas" => parts.put("instances", &part.key_mark, part.value.clone()),
                "mode" if part.value.text() == Some("replicated") => {}
                "resources" => self.resources(owner, part, parts),
                "restart_policy" => {
                    for key in part.value.entries() {
                        match (key.key.as_str(), key.value.text()) {
                            ("condition", Some("none")) => parts.policy(&key.key_mark, "never"),
                            ("condition", Some("on-failure")) => {
                                parts.policy(&key.key_mark, "on_failure");
                            }
                            ("condition", Some("any")) => parts.policy(&key.key_mark, "always"),
                            (name, _) => not_honoured(
                                self.problems,
                                &format!("deploy.restart_policy.{name}"),
                                owner,
                                &key.key_mark,
                            ),
                        }
                    }
                }
                key => not_honoured(self.problems, &format!("deploy.{key}"), owner, &part.key_mark),
            }
        }
    }

    fn resources(&mut self, owner: &str, entry: &Entry, parts: &mut Parts) {
        for part in entry.value.entries() {
            if part.key != "limits" {
                not_honoured(
                    self.problems,
                    &format!("deploy.resources.{}", part.key),
                    owner,
                    &part.key_mark,
                );
                continue;
            }
            for limit in part.value.entries() {
                match limit.key.as_str() {
                    "cpus" => parts.put_in("limits", "cpu", &limit.key_mark, limit.value.clone()),
                    "memory" => {
                        parts.put_in("limits", "memory", &limit.key_mark, size(&limit.value));
                    }
                    "pids" => parts.put_in("limits", "pids", &limit.key_mark, limit.value.clone()),
                    key => not_honoured(
                        self.problems,
                        &format!("deploy.resources.limits.{key}"),
                        owner,
                        &limit.key_mark,
                    ),
                }
            }
        }
    }
}

/// Docker counts `512m` by 1024, we count `512M` by 1000 and `512Mi` by 1024.
pub(super) fn size(node: &Node) -> Node {
    let Some(text) = node.text() else { return node.clone() };
    let lower = text.to_ascii_lowercase();
    let plain = lower.trim_end_matches('b');
    let converted = match plain.strip_suffix(['k', 'm', 'g', 't']) {
        Some(number) if number.parse::<f64>().is_ok() => {
            let unit = plain.chars().last().unwrap_or('m').to_ascii_uppercase();
            format!("{number}{unit}i")
        }
        Some(_) => text.to_owned(),
        None => plain.to_owned(),
    };
    Node::scalar(&node.mark, converted)
}
