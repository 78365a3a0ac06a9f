//! `volumes` and `ports` of a compose service.

use super::{Convert, not_honoured};
use crate::{
    source::Mark,
    tree::{Entry, Node},
};
use base::Code;

impl Convert<'_> {
    /// The top-level `volumes`: which names the engine knows them by.
    pub(super) fn named_volumes(&mut self, node: &Node) {
        for entry in node.entries() {
            let own = entry.value.get("name").and_then(Node::text);
            let external = entry.value.get("external").and_then(Node::text) == Some("true");
            let name = match own {
                Some(name) => name.to_owned(),
                None if external => entry.key.clone(),
                None => format!("{}_{}", self.project, entry.key),
            };
            self.volumes.insert(entry.key.clone(), name);
            for part in entry.value.entries() {
                if !matches!(part.key.as_str(), "name" | "external") && !part.key.starts_with("x-")
                {
                    not_honoured(
                        self.problems,
                        &format!("volumes.{}.{}", entry.key, part.key),
                        "",
                        &part.key_mark,
                    );
                }
            }
        }
    }

    pub(super) fn mounts(&mut self, owner: &str, entry: &Entry) -> Node {
        let mut all = Vec::new();
        if entry.value.items().is_empty() {
            self.wrong("volumes", &entry.value, "a list");
        }
        for item in entry.value.items() {
            let mount = match item.text() {
                Some(text) => match text.split_once(':') {
                    Some((source, target)) => Some((source.to_owned(), target.to_owned())),
                    None => {
                        not_honoured(self.problems, "a volume without a name", owner, &item.mark);
                        None
                    }
                },
                None => self.long_mount(owner, item),
            };
            if let Some((source, target)) = mount {
                let target = self.mode(owner, &target, &item.mark);
                let source = self.volumes.get(&source).cloned().unwrap_or(source);
                all.push(Node::scalar(&item.mark, format!("{source}:{target}")));
            }
        }
        Node::list(&entry.value.mark, all)
    }

    /// `target[:mode]` with only the modes that the engine's API takes.
    fn mode(&mut self, owner: &str, target: &str, mark: &Mark) -> String {
        let Some((target, modes)) = target.split_once(':') else { return target.to_owned() };
        let mut read_only = false;
        for mode in modes.split(',') {
            match mode {
                "ro" => read_only = true,
                "rw" => {}
                other => not_honoured(self.problems, &format!("mount option {other}"), owner, mark),
            }
        }
        if read_only { format!("{target}:ro") } else { target.to_owned() }
    }

    fn long_mount(&mut self, owner: &str, item: &Node) -> Option<(String, String)> {
        let text = |key: &str| item.get(key).and_then(Node::text);
        let kind = text("type").unwrap_or("volume");
        if !matches!(kind, "bind" | "volume") {
            not_honoured(self.problems, &format!("a mount of type {kind}"), owner, &item.mark);
            return None;
        }
        for entry in item.entries() {
            if !matches!(entry.key.as_str(), "type" | "source" | "target" | "read_only") {
                not_honoured(
                    self.problems,
                    &format!("volumes.{}", entry.key),
                    owner,
                    &entry.key_mark,
                );
            }
        }
        let (Some(source), Some(target)) = (text("source"), text("target")) else {
            let help = "write `source:` and `target:`";
            self.problems.error(
                Code::BAD_VALUE,
                &item.mark,
                "a mount has a source and a target",
                "",
                help,
            );
            return None;
        };
        let mode = if text("read_only") == Some("true") { ":ro" } else { "" };
        Some((source.to_owned(), format!("{target}{mode}")))
    }

    /// The container's own port (the first one) and all that are published at a port of this machine.
    pub(super) fn ports(&mut self, owner: &str, entry: &Entry) -> (Option<Node>, Vec<Node>) {
        let (mut own, mut published) = (None, Vec::new());
        if entry.value.items().is_empty() {
            self.wrong("ports", &entry.value, "a list");
        }
        for item in entry.value.items() {
            let Some((host, inside)) = self.port(owner, item) else { continue };
            let is_port = |text: &str| text.parse::<u16>().is_ok_and(|port| port > 0);
            if !is_port(&inside) || !host.as_deref().is_none_or(is_port) {
                let help = "write `8080:80`, or `80` for the port inside alone";
                self.problems.error(Code::BAD_VALUE, &item.mark, "this is not a port", "", help);
                continue;
            }
            own.get_or_insert_with(|| Node::scalar(&item.mark, inside.clone()));
            if let Some(host) = host {
                published.push(Node::scalar(&item.mark, format!("{host}:{inside}")));
            }
        }
        (own, published)
    }

    /// One entry of `ports`: `[[ip:]host:]inside[/protocol]`, or the map form.
    fn port(&mut self, owner: &str, item: &Node) -> Option<(Option<String>, String)> {
        let Some(text) = item.text() else {
            for entry in item.entries() {
                let known = matches!(
                    entry.key.as_str(),
                    "target" | "published" | "protocol" | "name" | "app_protocol"
                );
                let default = entry.key == "mode"
                    || (entry.key == "host_ip" && entry.value.text() == Some("127.0.0.1"));
                if !known && !default {
                    not_honoured(
                        self.problems,
                        &format!("ports.{}", entry.key),
                        owner,
                        &entry.key_mark,
                    );
                }
            }
            if item.get("protocol").and_then(Node::text).is_some_and(|protocol| protocol != "tcp") {
                not_honoured(self.problems, "a port that is not TCP", owner, &item.mark);
                return None;
            }
            let port = |key: &str| item.get(key).and_then(Node::text).map(str::to_owned);
            return Some((port("published"), port("target")?));
        };
        let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        if protocol != "tcp" {
            not_honoured(self.problems, "a port that is not TCP", owner, &item.mark);
            return None;
        }
        if text.contains('-') {
            not_honoured(self.problems, "a range of ports", owner, &item.mark);
            return None;
        }
        let (front, inside) =
            text.rsplit_once(':').map_or((None, text), |(front, inside)| (Some(front), inside));
        let (address, host) = match front.map(|front| {
            front.rsplit_once(':').map_or((None, front), |(ip, host)| (Some(ip), host))
        }) {
            Some((address, host)) => (address, Some(host).filter(|host| !host.is_empty())),
            None => (None, None),
        };
        if address.is_some_and(|address| !matches!(address, "127.0.0.1" | "localhost")) {
            not_honoured(self.problems, "the address of a published port", owner, &item.mark);
        }
        Some((host.map(str::to_owned), inside.to_owned()))
    }
}
