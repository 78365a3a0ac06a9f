//! `dapr.yaml`: the template of Dapr's multi-app run.
//!
//! Dapr starts a sidecar a process; here the node itself answers its API, so the keys that tune sidecars have no
//! counterpart and are warnings.

use crate::{
    problems::Problems,
    read,
    source::{Mark, Source},
    tree::{self, Entry, Node},
};
use base::Code;
use std::sync::Arc;

/// Reads the apps.
pub(crate) fn read(source: &Arc<Source>, problems: &mut Problems) -> Option<Node> {
    let tree = tree::parse(source, problems)?;
    let mut common = Vec::new();
    let mut services = Vec::new();
    for entry in tree.entries() {
        match entry.key.as_str() {
            "version" | "apps" => {}
            "common" => {
                for part in entry.value.entries() {
                    if part.key == "env" {
                        common.extend(part.value.entries().iter().cloned());
                    } else {
                        ignored(problems, &format!("common.{}", part.key), &part.key_mark);
                    }
                }
            }
            key => ignored(problems, key, &entry.key_mark),
        }
    }
    let apps = tree.get("apps").map(Node::items).unwrap_or_default();
    if apps.is_empty() {
        let mark = tree.entry("apps").map_or(&tree.mark, |entry| &entry.key_mark);
        problems.error(
            Code::NO_COMMAND,
            mark,
            "the file has no apps",
            "",
            "write `apps:` with a list below",
        );
    }
    for app in apps {
        services.extend(service(app, &common, problems));
    }
    let mark = tree.entry("apps").map_or(&tree.mark, |entry| &entry.key_mark);
    Some(Node::map(mark, vec![Entry::new("services", mark, Node::map(mark, services))]))
}

fn ignored(problems: &mut Problems, key: &str, mark: &Mark) {
    let help = match key.rsplit('.').next().unwrap_or_default() {
        "resourcesPath" | "resourcesPaths" | "componentsPath" => {
            "components are not supported by this version"
        }
        "daprHTTPPort" | "daprGRPCPort" => {
            "there is no sidecar; services find each other by `needs`: <NAME>_URL is injected"
        }
        "appLogDestination" | "daprdLogDestination" => "`flotilla logs` shows all output",
        _ => "",
    };
    problems.warning(
        Code::NOT_HONOURED,
        mark,
        format!("`{key}` is not honoured"),
        "has no effect here",
        help,
    );
}

fn service(app: &Node, common: &[Entry], problems: &mut Problems) -> Option<Entry> {
    let folder = app.get("appDirPath").and_then(Node::text).unwrap_or(".");
    let given = app.get("appID").or_else(|| app.get("appId"));
    let last = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let id = given.and_then(Node::text).unwrap_or(last);
    let mark = given.map_or(&app.mark, |node| &node.mark);
    let name = read::to_name(id);
    if name.is_empty() {
        problems.error(Code::BAD_VALUE, mark, "an app has no name", "", "write `appID:`");
        return None;
    }
    if name != id {
        let message = format!("app `{id}` is called `{name}` here");
        problems.warning(Code::NOT_HONOURED, mark, message, "a name is a DNS label", "");
    }
    let mut out = Node::map(mark, Vec::new());
    let dir_mark = app.get("appDirPath").map_or(mark, |node| &node.mark);
    out.set(Entry::new("dir", dir_mark, Node::scalar(dir_mark, folder)));
    let mut env: Vec<Entry> = common.to_vec();
    let mut health = Node::map(mark, Vec::new());
    let enabled = app.get("enableAppHealthCheck").and_then(Node::text) == Some("true");
    for entry in app.entries() {
        let text = entry.value.text().unwrap_or_default();
        let set = |health: &mut Node, key: &str, value: String| {
            health.set(Entry::new(key, &entry.key_mark, Node::scalar(&entry.value.mark, value)));
        };
        match entry.key.as_str() {
            "appID" | "appId" | "appDirPath" | "enableAppHealthCheck" => {}
            "appProtocol" if matches!(text, "http" | "grpc") => {}
            "appPort" => {
                out.set(Entry::new("port", &entry.key_mark, entry.value.clone()));
                env.push(Entry::new(
                    "APP_PORT",
                    &entry.key_mark,
                    Node::scalar(&entry.value.mark, text),
                ));
            }
            "command" => out.set(Entry::new("run", &entry.key_mark, entry.value.clone())),
            "env" => {
                for variable in entry.value.entries() {
                    env.retain(|old| old.key != variable.key);
                    env.push(variable.clone());
                }
            }
            "appHealthCheckPath" if enabled => set(&mut health, "http", text.to_owned()),
            "appHealthProbeInterval" if enabled => set(&mut health, "period", format!("{text}s")),
            "appHealthProbeTimeout" if enabled => set(&mut health, "timeout", format!("{text}ms")),
            "appHealthThreshold" if enabled => set(&mut health, "failures", text.to_owned()),
            key => ignored(problems, key, &entry.key_mark),
        }
    }
    if app.get("appPort").is_none() {
        out.set(Entry::new("listen", mark, Node::scalar(mark, "false")));
    } else if enabled {
        if health.get("http").is_none() {
            health.set(Entry::new("http", mark, Node::scalar(mark, "/healthz")));
        }
        let ready = Entry::new("ready", mark, health);
        out.set(Entry::new("health", mark, Node::map(mark, vec![ready])));
    }
    if !env.is_empty() {
        out.set(Entry::new("env", mark, Node::map(mark, env)));
    }
    Some(Entry::new(name, mark, out))
}
