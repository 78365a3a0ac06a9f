//! From a checked tree to the model.
//!
//! A value that the check refused is taken as if it were not there: it was reported, and what follows from it
//! would only repeat that. What is reported here needs more than one value: names that must exist, circles,
//! ports used twice, routes that hide each other, folders and commands that must be found.

mod api;
mod auth;
mod components;
mod contradictions;
mod coordination;
mod engines;
mod env;
mod events;
mod gateway;
mod health;
mod needs;
mod ports;
mod program;
mod route;
mod rules;
mod service;
mod stores;
mod traffic;
mod transactions;
mod values;

pub use auth::keys_of;
pub(crate) use program::normal;

use crate::{
    System,
    problems::Problems,
    source::Mark,
    suggest,
    tree::{Entry, Node},
};
use base::{Code, Diagnostic, ServiceName};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// Where the gateway listens when the file does not say.
pub(crate) const GATEWAY_PORT: u16 = 8080;
/// Where the admin API listens when the file does not say.
pub(crate) const ADMIN_PORT: u16 = 8081;

/// What is known besides the tree.
pub(crate) struct Context<'a> {
    /// The folder of the file.
    pub(crate) root: PathBuf,
    pub(crate) vars: &'a BTreeMap<String, String>,
    /// A format without routes was read.
    pub(crate) foreign: bool,
    /// It was Dapr's.
    pub(crate) dapr: bool,
}

/// What is known of a service before all are read.
#[derive(Debug)]
struct Known {
    kind: KnownKind,
    listens: bool,
    /// Balanced by `consistent_hash`.
    is_hashed: bool,
    mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KnownKind {
    Service,
    Job,
    Cron,
}

/// Reads a tree into a system; problems go to `problems`.
pub(crate) fn system(tree: &Node, context: &Context<'_>, problems: &mut Problems) -> System {
    let name = system_name(tree, context);
    let (known, refused_topics) = (BTreeMap::new(), Vec::new());
    let mut reader = Reader { context, problems, system: name, known, refused_topics };
    reader.names(tree);
    let (mut services, mut edges) = (Vec::new(), Vec::new());
    for (is_job, entry) in entries(tree) {
        if let Ok(name) = ServiceName::new(&entry.key)
            && reader.known.get(&entry.key).is_some_and(|known| same(&known.mark, &entry.key_mark))
        {
            let (service, needs) = reader.service(name, entry, is_job);
            services.push(service);
            edges.push((entry.key.clone(), needs));
        }
    }
    reader.circles(&edges);
    if services.is_empty() && !reader.problems.has_errors() {
        let help = "write `services:` with a service below, such as `api: { run: ./api }`";
        reader.problems.error(Code::NO_COMMAND, &tree.mark, "the file has no services", "", help);
    }
    let gateway = reader.gateway(tree);
    let admin = tree.at(&["admin", "listen"]);
    let admin_address = admin.and_then(values::address).unwrap_or_else(|| loopback(ADMIN_PORT));
    reader.ports(tree, &gateway, admin_address);
    let mut draft = reader.events(tree, &services);
    let (coordination, found) = reader.coordination(tree, &mut services, &mut draft);
    reader.app_ids(tree, &services);
    let transactions = reader.transactions(tree.get("transactions"), &coordination, &mut draft);
    let events = reader.events_done(draft, &services, &coordination, found.is_any);
    System {
        name: reader.system,
        root: context.root.clone(),
        files: reader.problems.files.clone(),
        services,
        gateway,
        admin: admin_address,
        admin_place: admin.map(|node| node.mark.place()),
        coordination,
        events,
        transactions,
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// `name:`, or the folder's name; made fit for a container's or a file's name.
fn system_name(tree: &Node, context: &Context<'_>) -> String {
    let folder = || context.root.file_name().map(|name| name.to_string_lossy().into_owned());
    let text = tree
        .get("name")
        .and_then(Node::text)
        .map(str::to_owned)
        .or_else(folder)
        .unwrap_or_default();
    let name = to_name(&text);
    if name.is_empty() { "system".to_owned() } else { name }
}

/// The nearest text that is a [`ServiceName`], or an empty one.
pub(crate) fn to_name(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let cut: String =
        plain.trim_matches('-').chars().take(base::id::SERVICE_NAME_LEN_MAX).collect();
    cut.trim_end_matches('-').to_owned()
}

/// All services and jobs in the order of the file.
fn entries(tree: &Node) -> impl Iterator<Item = (bool, &Entry)> {
    tree.entries().iter().flat_map(|kind| {
        let is_job = kind.key == "jobs";
        let entries = if is_job || kind.key == "services" { kind.value.entries() } else { &[] };
        entries.iter().map(move |entry| (is_job, entry))
    })
}

fn same(a: &Mark, b: &Mark) -> bool {
    a.line == b.line && a.column == b.column && std::sync::Arc::ptr_eq(&a.source, &b.source)
}

struct Reader<'a> {
    context: &'a Context<'a>,
    problems: &'a mut Problems,
    system: String,
    /// By the name as it stands in the file, also names that are not allowed: who needs them is not wrong too.
    known: BTreeMap<String, Known>,
    /// Topics of the file that were reported: who names them is not wrong too.
    refused_topics: Vec<String>,
}

impl Reader<'_> {
    /// Notes all names; reports those that are not allowed or used twice.
    fn names(&mut self, tree: &Node) {
        for (is_job, entry) in entries(tree) {
            let Entry { key, key_mark, value } = entry;
            if let Err(why) = ServiceName::new(key) {
                let better = to_name(key);
                let help =
                    if better.is_empty() { String::new() } else { format!("call it `{better}`") };
                let message = format!("`{key}` cannot be the name of a {}", word(is_job));
                self.problems.error(Code::BAD_VALUE, key_mark, message, why.to_string(), &help);
            }
            if let Some(first) = self.known.get(key) {
                let message = format!("the name `{key}` is used twice");
                let problem = Diagnostic::error(Code::DUPLICATE, message)
                    .at(key_mark.place(), "used again here")
                    .note(format!("it is used first in {}", first.mark.seen_from(key_mark)))
                    .help("services and jobs share their names; call one of them differently");
                self.problems.add(problem);
                continue;
            }
            let kind = match (is_job, value.get("schedule")) {
                (false, _) => KnownKind::Service,
                (true, None) => KnownKind::Job,
                (true, Some(_)) => KnownKind::Cron,
            };
            let listens = !is_job && value.get("listen").and_then(Node::text) != Some("false");
            let balance = value.get("balance");
            let rule = balance.and_then(|node| node.get("algorithm")).or(balance);
            let is_hashed = rule.and_then(Node::text) == Some("consistent_hash");
            let mark = key_mark.clone();
            self.known.insert(key.clone(), Known { kind, listens, is_hashed, mark });
        }
    }

    /// Reports a name that does not exist.
    fn unknown_service(&mut self, name: &str, mark: &Mark) {
        let known = || self.known.keys().map(String::as_str);
        let message = format!("there is no service `{name}`");
        let near = suggest::nearest(name, known()).map(str::to_owned);
        let list: Vec<&str> = known().take(20).collect();
        let problem = Diagnostic::error(Code::UNKNOWN_SERVICE, message);
        let problem = match near {
            Some(near) => problem.at(mark.place(), format!("did you mean `{near}`?")),
            None => problem
                .at(mark.place(), "not in the file")
                .help(format!("add it under `services:`; there are {}", list.join(", "))),
        };
        self.problems.add(problem);
    }

    /// Reports a service that is not there or cannot be called; `None` when it is not there.
    fn called(&mut self, name: &str, mark: &Mark, help: &str) -> Option<()> {
        let Some(known) = self.known.get(name) else {
            self.unknown_service(name, mark);
            return None;
        };
        if !known.listens {
            let message = format!("`{name}` cannot be called");
            let label = match known.kind {
                KnownKind::Service => "it does not listen",
                KnownKind::Job | KnownKind::Cron => "it is a job, which serves no requests",
            };
            self.problems.error(Code::BAD_VALUE, mark, message, label, help);
        }
        Some(())
    }
}

fn word(is_job: bool) -> &'static str {
    if is_job { "job" } else { "service" }
}
