//! `dapr.yaml`: the template of Dapr's multi-app run.
//!
//! Dapr starts a sidecar a process; here the node itself answers its API, so the keys that tune sidecars have no
//! counterpart and are warnings.

mod app;
mod arguments;
mod resource;

pub use arguments::{Arguments, Program as ArgumentsOf};
pub(crate) use resource::{Component, Endpoint, Resources, Said, Subscription, read as resources};

use crate::{
    problems::Problems,
    source::{Mark, Source},
    tree::{self, Entry, Node},
};
use app::App;
use base::Code;
use std::sync::Arc;

/// Keys that have been given a meaning, or that need none.
const UNDERSTOOD: &[&str] = &[
    "appID",
    "appId",
    "appDirPath",
    "appPort",
    "appProtocol",
    "appChannelAddress",
    "command",
    "env",
    "daprHTTPPort",
    "daprGRPCPort",
    "maxBodySize",
    "appMaxConcurrency",
    "configFilePath",
    "resourcesPaths",
    "resourcesPath",
    "componentsPath",
];

/// Keys of the health check, which has a meaning when it is switched on.
const HEALTH: &[&str] = &[
    "enableAppHealthCheck",
    "appHealthCheckPath",
    "appHealthProbeInterval",
    "appHealthProbeTimeout",
    "appHealthThreshold",
];

/// Reads the apps.
pub(crate) fn read(source: &Arc<Source>, problems: &mut Problems) -> Option<Node> {
    let tree = tree::parse(source, problems)?;
    Some(translate(&tree, problems))
}

/// Whether a file of any name is one of Dapr's: its apps are a list.
pub(crate) fn is_template(tree: &Node) -> bool {
    tree.get("services").is_none()
        && tree.get("apps").is_some_and(|apps| {
            apps.items()
                .iter()
                .any(|app| app.get("appDirPath").is_some() || app.get("appID").is_some())
        })
}

/// The same in our own keys.
pub(crate) fn translate(tree: &Node, problems: &mut Problems) -> Node {
    for entry in tree.entries() {
        match entry.key.as_str() {
            "name" | "apps" | "common" => {}
            "version" if entry.value.text() == Some("1") => {}
            "version" => {
                let message = "the file has a version that is not known";
                problems.warning(Code::NOT_HONOURED, &entry.value.mark, message, "known is 1", "");
            }
            key => ignored(problems, key, &entry.key_mark),
        }
    }
    let none = Node::map(&tree.mark, Vec::new());
    let common = tree.get("common").unwrap_or(&none);
    for entry in common.entries() {
        if !is_understood(&entry.key) {
            ignored(problems, &format!("common.{}", entry.key), &entry.key_mark);
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
    let services = apps
        .iter()
        .filter_map(|app| {
            let app = App::new(app, common, problems)?;
            Some(app.service(problems))
        })
        .collect();
    let mark = tree.entry("apps").map_or(&tree.mark, |entry| &entry.key_mark);
    let mut root = Node::map(mark, vec![Entry::new("services", mark, Node::map(mark, services))]);
    if let Some(name) = tree.entry("name") {
        root.set(name.clone());
    }
    root
}

fn is_understood(key: &str) -> bool {
    UNDERSTOOD.contains(&key) || HEALTH.contains(&key)
}

fn ignored(problems: &mut Problems, key: &str, mark: &Mark) {
    let help = match key.rsplit('.').next().unwrap_or_default() {
        "appLogDestination" | "daprdLogDestination" => "`flotilla logs` shows all output",
        "metricsPort" => "the node counts every call by itself",
        "placementHostAddress" | "schedulerHostAddress" => "there is nothing to connect to",
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
