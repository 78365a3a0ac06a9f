//! One app of a template, in our own keys.

use super::{ignored, is_understood};
use crate::{
    problems::Problems,
    read,
    source::Mark,
    tree::{Entry, Node, Value},
};
use base::{ByteSize, Code};
use std::net::IpAddr;

/// Largest `maxBodySize` that is kept; the node holds what it answers in memory.
const BODY_SIZE_MAX: ByteSize = ByteSize(16 * 1024 * 1024);

/// Spellings of the folders with components.
const RESOURCES: &[&str] = &["resourcesPaths", "resourcesPath", "componentsPath"];

/// An app with what `common` says for it.
pub(super) struct App<'a> {
    node: &'a Node,
    common: &'a Node,
    name: String,
    id: &'a str,
    /// The folder as it is written.
    folder: &'a str,
    mark: &'a Mark,
}

impl<'a> App<'a> {
    pub(super) fn new(node: &'a Node, common: &'a Node, problems: &mut Problems) -> Option<Self> {
        let folder = node.get("appDirPath").and_then(Node::text).unwrap_or(".");
        let given = node.get("appID").or_else(|| node.get("appId"));
        let last = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let id = given.and_then(Node::text).unwrap_or(last);
        let mark = given.map_or(&node.mark, |node| &node.mark);
        let name = read::to_name(id);
        if name.is_empty() {
            problems.error(Code::BAD_VALUE, mark, "an app has no name", "", "write `appID:`");
            return None;
        }
        if name != id {
            let message = format!("app `{id}` is called `{name}` here");
            let label = "a name is a DNS label";
            let help = "its app API still finds it by both";
            problems.warning(Code::NOT_HONOURED, mark, message, label, help);
        }
        Some(Self { node, common, name, id, folder, mark })
    }

    /// A key of the app, or else of `common`.
    fn entry(&self, key: &str) -> Option<&'a Entry> {
        let is_said = |entry: &&Entry| !matches!(entry.value.value, Value::Null);
        self.node.entry(key).filter(is_said).or_else(|| self.common.entry(key).filter(is_said))
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.entry(key)?.value.text()
    }

    /// A number above 0; there, anything else means that nothing is said.
    fn number(&self, key: &str) -> Option<&'a Entry> {
        let entry = self.entry(key)?;
        let is_none = entry.value.text().is_some_and(|text| {
            text.is_empty() || text.parse::<i64>().is_ok_and(|number| number <= 0)
        });
        (!is_none).then_some(entry)
    }

    pub(super) fn service(&self, problems: &mut Problems) -> Entry {
        for entry in self.node.entries() {
            if !is_understood(&entry.key) {
                ignored(problems, &entry.key, &entry.key_mark);
            }
        }
        let mark = self.mark;
        let mut out = Node::map(mark, Vec::new());
        let dir_mark = self.node.get("appDirPath").map_or(mark, |node| &node.mark);
        out.set(Entry::new("dir", dir_mark, Node::scalar(dir_mark, self.folder)));
        let port = self.number("appPort");
        match port {
            Some(port) => out.set(renamed(port, "port")),
            None => out.set(said(mark, "listen", "false")),
        }
        match self.entry("command") {
            Some(command) => {
                out.set(renamed(command, "run"));
                // There, an app that ends is not started again.
                out.set(said(mark, "restart", "on_failure"));
            }
            // Only a sidecar: somebody else starts the app.
            None => self.external(port, &mut out),
        }
        self.channel(problems);
        let env = self.env(problems);
        if !env.is_empty() {
            out.set(Entry::new("env", mark, Node::map(mark, env)));
        }
        let api = self.api(problems);
        if !api.is_empty() {
            out.set(Entry::new("api", mark, Node::map(mark, api)));
        }
        if let Some(most) = self.number("appMaxConcurrency") {
            let traffic = Node::map(mark, vec![renamed(most, "max_requests")]);
            out.set(Entry::new("traffic", mark, traffic));
        }
        if let Some(health) = self.health(port.is_some(), problems) {
            out.set(health);
        }
        let components = self.components();
        if !components.is_empty() {
            out.set(Entry::new("components", mark, Node::list(mark, components)));
        }
        Entry::new(self.name.clone(), mark, out)
    }

    /// Where an app listens that somebody else starts.
    fn external(&self, port: Option<&Entry>, out: &mut Node) {
        let host = self.text("appChannelAddress").filter(|host| !is_loopback(host));
        let host = host.and_then(|host| host.parse::<IpAddr>().ok());
        match (host, port.and_then(|port| Some((port, port.value.text()?)))) {
            (Some(host), Some((port, number))) => {
                let host = if host.is_ipv6() { format!("[{host}]") } else { host.to_string() };
                let address = Node::scalar(&port.value.mark, format!("{host}:{number}"));
                out.set(Entry::new("external", &port.key_mark, address));
                out.remove("port");
            }
            _ => out.set(said(self.mark, "external", "true")),
        }
    }

    /// Says that an app is looked for on this machine.
    fn channel(&self, problems: &mut Problems) {
        let Some(entry) = self.entry("appChannelAddress") else { return };
        let host = entry.value.text().unwrap_or_default();
        let is_taken = self.entry("command").is_none() && host.parse::<IpAddr>().is_ok();
        if !is_loopback(host) && !is_taken {
            let message = "`appChannelAddress` is not honoured";
            let label = "the app is called at 127.0.0.1";
            problems.warning(Code::NOT_HONOURED, &entry.value.mark, message, label, "");
        }
    }

    fn env(&self, problems: &mut Problems) -> Vec<Entry> {
        let mut all: Vec<Entry> = Vec::new();
        for part in [self.common, self.node] {
            for variable in part.get("env").map(Node::entries).unwrap_or_default() {
                all.retain(|old| old.key != variable.key);
                // There the port is told by `APP_PORT`, and so it is here.
                if variable.key == "PORT" {
                    let message = "the variable PORT cannot be set";
                    let help = "it is `appPort`";
                    let label = "has no effect here";
                    problems.warning(Code::NOT_HONOURED, &variable.key_mark, message, label, help);
                    continue;
                }
                let mut variable = variable.clone();
                // Without a value it is empty there, not the variable of whoever starts it.
                if matches!(variable.value.value, Value::Null) {
                    variable.value.value = Value::Scalar(String::new());
                }
                all.push(variable);
            }
        }
        all
    }

    fn api(&self, problems: &mut Problems) -> Vec<Entry> {
        let mut api = Vec::new();
        for (theirs, ours) in [("daprHTTPPort", "http_port"), ("daprGRPCPort", "grpc_port")] {
            api.extend(self.number(theirs).map(|entry| renamed(entry, ours)));
        }
        if let Some(entry) = self.entry("appProtocol") {
            api.push(renamed(entry, "protocol"));
        }
        if self.id != self.name {
            api.push(said(self.mark, "app_id", self.id));
        }
        if let Some(entry) = self.number("maxBodySize") {
            let text = entry.value.text().unwrap_or_default();
            // A bare number counts mebibytes there.
            let text = match text.parse::<u64>() {
                Ok(number) => format!("{number}Mi"),
                Err(_) => text.to_owned(),
            };
            let size = text.parse::<ByteSize>().ok();
            let text = if size.is_some_and(|size| size > BODY_SIZE_MAX) {
                let message = "a request to the app API has at most 16 MiB";
                let label = "bounded by that";
                problems.warning(Code::NOT_HONOURED, &entry.value.mark, message, label, "");
                "16Mi".to_owned()
            } else {
                text
            };
            let value = Node::scalar(&entry.value.mark, text);
            api.push(Entry::new("body_max", &entry.key_mark, value));
        }
        api
    }

    /// The health check of the app is what decides whether it gets traffic.
    fn health(&self, listens: bool, problems: &mut Problems) -> Option<Entry> {
        let switch = self.entry("enableAppHealthCheck")?;
        if !listens || switch.value.text() != Some("true") {
            return None;
        }
        if matches!(self.text("appProtocol"), Some("grpc" | "grpcs")) {
            let message = "health checks over gRPC are not honoured";
            let label = "the app counts as healthy while its port is open";
            problems.warning(Code::NOT_HONOURED, &switch.key_mark, message, label, "");
            return None;
        }
        let mark = self.mark;
        let mut ready = Node::map(mark, vec![said(&switch.key_mark, "http", "/healthz")]);
        let mut set = |key: &str, theirs: &str, unit: &str| {
            if let Some(entry) = self.entry(theirs) {
                let text = entry.value.text().unwrap_or_default();
                let is_bare = text.bytes().all(|byte| byte.is_ascii_digit());
                let text = if is_bare { format!("{text}{unit}") } else { text.to_owned() };
                let value = Node::scalar(&entry.value.mark, text);
                ready.set(Entry::new(key, &entry.key_mark, value));
            }
        };
        set("http", "appHealthCheckPath", "");
        set("period", "appHealthProbeInterval", "s");
        set("timeout", "appHealthProbeTimeout", "ms");
        set("failures", "appHealthThreshold", "");
        let ready = Entry::new("ready", mark, ready);
        Some(Entry::new("health", mark, Node::map(mark, vec![ready])))
    }

    /// Folders of components and the file of settings: those of the app, or those in its folder, or the common ones.
    fn components(&self) -> Vec<Node> {
        let folder = self.mark.source.dir.join(self.folder);
        let mut all = self.paths(self.node, RESOURCES, true);
        if all.is_empty() && folder.join(".dapr/resources").is_dir() {
            all.push(self.beside(".dapr/resources"));
        }
        if all.is_empty() {
            all = self.paths(self.common, RESOURCES, false);
        }
        let mut settings = self.paths(self.node, &["configFilePath"], true);
        if settings.is_empty() && folder.join(".dapr/config.yaml").is_file() {
            settings.push(self.beside(".dapr/config.yaml"));
        }
        if settings.is_empty() {
            settings = self.paths(self.common, &["configFilePath"], false);
        }
        all.extend(settings);
        all
    }

    fn beside(&self, path: &str) -> Node {
        Node::scalar(self.mark, format!("{}/{path}", self.folder.trim_end_matches('/')))
    }

    /// The paths that keys of `node` name, from the folder of the file.
    fn paths(&self, node: &Node, keys: &[&str], is_own: bool) -> Vec<Node> {
        let named = keys.iter().filter_map(|key| node.get(key)).flat_map(Node::texts);
        named
            .filter_map(|path| {
                let text = path.text().filter(|text| !text.is_empty())?;
                let text = if is_own && !text.starts_with('/') {
                    let inner = text.strip_prefix("./").unwrap_or(text);
                    format!("{}/{inner}", self.folder.trim_end_matches('/'))
                } else {
                    text.to_owned()
                };
                Some(Node::scalar(&path.mark, text))
            })
            .collect()
    }
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "" | "localhost" | "127.0.0.1" | "::1")
}

/// An entry under the name that it has here.
fn renamed(entry: &Entry, key: &str) -> Entry {
    Entry::new(key, &entry.key_mark, entry.value.clone())
}

fn said(mark: &Mark, key: &str, text: &str) -> Entry {
    Entry::new(key, mark, Node::scalar(mark, text))
}
