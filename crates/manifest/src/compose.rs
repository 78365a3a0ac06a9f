//! `compose.yaml`, translated into the keys of `flotilla.yaml`.
//!
//! The translation keeps the places of the compose file, so everything found wrong later is shown there. A key
//! that has no counterpart is a warning at its line: nothing is left out silently.
//!
//! Not the whole of Compose: networks, secrets and configs of the engine, swarm placement and the like are the
//! business of Docker's own tool.

mod deploy;
mod health;
mod merge;
mod mounts;
mod service;

use crate::{
    check,
    interpolate::{Failure, Rules, interpolate},
    problems::Problems,
    read,
    source::{Mark, Source},
    suggest,
    tree::{self, Entry, Node, Value},
};
use base::{Code, Severity};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
};

/// Deepest chain of `extends` and of `include`.
const CHAIN_MAX: usize = 8;

/// Reads a compose file with its override, its includes and what it extends.
pub(crate) fn read(
    source: &Arc<Source>,
    path: &Path,
    vars: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Option<Node> {
    let mut files = Files { vars, problems, depth: 0 };
    let mut tree = files.parse(source)?;
    if let Some(over) = files.beside(source, path) {
        tree = merge::lay(tree, over);
    }
    files.extend(&mut tree);
    Some(Convert::new(&tree, vars, problems).file(&tree))
}

/// Reads the files that belong together.
struct Files<'a> {
    vars: &'a BTreeMap<String, String>,
    problems: &'a mut Problems,
    depth: usize,
}

impl Files<'_> {
    fn parse(&mut self, source: &Arc<Source>) -> Option<Node> {
        let mut tree = tree::parse(source, self.problems)?;
        self.replace(&mut tree);
        let included = tree.remove("include");
        for part in included.iter().flat_map(|entry| parts(&entry.value)) {
            let file = if part.text().is_some() { Some(part) } else { part.get("path") };
            for key in part.entries().iter().filter(|entry| entry.key != "path") {
                not_honoured(self.problems, &format!("include.{}", key.key), "", &key.key_mark);
            }
            for file in file.map(Node::texts).unwrap_or_default() {
                if let Some(other) = self.other(file) {
                    tree = merge::lay(other, tree);
                }
            }
        }
        Some(tree)
    }

    /// Reads a file that another one names.
    fn other(&mut self, named: &Node) -> Option<Node> {
        let text = named.text()?;
        let path = named.mark.source.dir.join(text);
        let path = if path.is_dir() { path.join("compose.yaml") } else { path };
        if self.depth >= CHAIN_MAX {
            let message = format!("`{text}` is read within itself");
            self.problems.error(
                Code::BAD_VALUE,
                &named.mark,
                message,
                "too deep",
                "remove the circle",
            );
            return None;
        }
        match Source::read(&path, &named.mark.source.sibling_name(text), Code::MISSING_FILE) {
            Ok(source) => {
                self.problems.read_file(&source, path);
                self.depth += 1;
                let tree = self.parse(&source);
                self.depth -= 1;
                tree
            }
            Err(problem) => {
                let near = suggest::near_path(&path, true);
                let label = near.map_or_else(
                    || "named here".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                self.problems.add(problem.at(named.mark.place(), label));
                None
            }
        }
    }

    /// `compose.override.yaml` beside `compose.yaml`, which Compose reads by itself.
    fn beside(&mut self, source: &Source, path: &Path) -> Option<Node> {
        let (stem, ending) = (path.file_stem()?.to_str()?, path.extension()?.to_str()?);
        if stem.ends_with(".override") {
            return None;
        }
        let names = ["yaml", "yml"].map(|other| format!("{stem}.override.{other}"));
        let name = names
            .iter()
            .filter(|name| source.dir.join(name).is_file())
            .max_by_key(|name| name.ends_with(ending))?;
        let over =
            Source::read(&source.dir.join(name), &source.sibling_name(name), Code::MISSING_FILE);
        match over {
            Ok(over) => {
                self.problems.read_file(&over, over.dir.join(name));
                self.parse(&over)
            }
            Err(problem) => {
                self.problems.add(*problem);
                None
            }
        }
    }

    /// Replaces variables in all texts. What is not set is empty, as in Compose, but said.
    fn replace(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Scalar(text) if text.contains('$') => {
                let (replaced, failures) = interpolate(text, self.vars, Rules::Compose);
                for failure in &failures {
                    let mut problem = check::variable_problem(failure, &node.mark);
                    if matches!(failure, Failure::Unset { .. }) {
                        problem.severity = Severity::Warning;
                        "and there is no default, so it is empty".clone_into(&mut problem.label);
                    }
                    self.problems.add(problem);
                }
                *text = replaced;
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.replace(item)),
            Value::Map(entries) => {
                entries.iter_mut().for_each(|entry| self.replace(&mut entry.value));
            }
            Value::Null | Value::Scalar(_) | Value::Unknown => {}
        }
    }

    /// Lays every service over what it `extends`.
    fn extend(&mut self, tree: &mut Node) {
        let before = tree.get("services").cloned();
        let names: Vec<String> =
            before.iter().flat_map(Node::entries).map(|entry| entry.key.clone()).collect();
        for name in names {
            let Some(services) = tree.get("services").cloned() else { return };
            let Some(entry) = services.entry(&name) else { continue };
            if entry.value.get("extends").is_none() {
                continue;
            }
            let extended = self.extended(&entry.value, &services, 0);
            if let Value::Map(root) = &mut tree.value
                && let Some(kind) = root.iter_mut().find(|entry| entry.key == "services")
            {
                kind.value.set(Entry { value: extended, ..entry.clone() });
            }
        }
    }

    fn extended(&mut self, service: &Node, services: &Node, depth: usize) -> Node {
        let Some(extends) = service.entry("extends") else { return service.clone() };
        let mut own = service.clone();
        own.remove("extends");
        let wanted = if extends.value.text().is_some() {
            Some(&extends.value)
        } else {
            extends.value.get("service")
        };
        let Some(wanted) = wanted.filter(|_| depth < CHAIN_MAX) else {
            let message = "`extends` cannot be followed";
            let label =
                if depth < CHAIN_MAX { "it names no service" } else { "it goes in a circle" };
            self.problems.error(
                Code::BAD_VALUE,
                &extends.key_mark,
                message,
                label,
                "write `extends: { service: name }`",
            );
            unknown_image(&mut own);
            return own;
        };
        let other = match extends.value.get("file") {
            Some(file) => self.other(file).and_then(|tree| tree.get("services").cloned()),
            None => Some(services.clone()),
        };
        let name = wanted.text().unwrap_or_default();
        let base = other.as_ref().and_then(|other| Some((other.get(name)?, other)));
        match base {
            Some((base, others)) => {
                let mut base = self.extended(base, others, depth + 1);
                // Compose does not inherit what it would need from other services.
                base.remove("depends_on");
                merge::lay(base, own)
            }
            None => {
                if other.is_some() {
                    let message = format!("there is no service `{name}` to extend");
                    self.problems.error(Code::UNKNOWN_SERVICE, &wanted.mark, message, "", "");
                }
                unknown_image(&mut own);
                own
            }
        }
    }
}

/// What runs is not known, and that was reported.
fn unknown_image(service: &mut Node) {
    if service.get("image").is_none() && service.get("build").is_none() {
        let mark = service.mark.clone();
        service.set(Entry::new("image", &mark, Node { mark: mark.clone(), value: Value::Unknown }));
    }
}

/// The items of a list, or the value itself.
fn parts(node: &Node) -> Vec<&Node> {
    match &node.value {
        Value::List(items) => items.iter().collect(),
        Value::Null | Value::Scalar(_) | Value::Map(_) | Value::Unknown => vec![node],
    }
}

/// Warns of a key without effect.
pub(crate) fn not_honoured(problems: &mut Problems, key: &str, owner: &str, mark: &Mark) {
    // A key, or a phrase for what has no key of its own.
    let shown = if key.contains(' ') { key.to_owned() } else { format!("`{key}`") };
    let of = if owner.is_empty() { String::new() } else { format!(" of service `{owner}`") };
    let help = match key {
        "networks" | "links" | "hostname" | "network_mode" => {
            "services find each other by `depends_on`: <NAME>_URL is injected"
        }
        "container_name" => "containers are named by their instance",
        "labels" => "routes stand in a flotilla.yaml: `include:` this file and write `gateway:`",
        "secrets" | "configs" => "mount the file with `volumes`, or pass it with `environment`",
        _ => "",
    };
    problems.warning(
        Code::NOT_HONOURED,
        mark,
        format!("{shown}{of} is not honoured"),
        "has no effect here",
        help,
    );
}

/// Translates the merged tree.
struct Convert<'a> {
    vars: &'a BTreeMap<String, String>,
    problems: &'a mut Problems,
    project: String,
    /// Services that others wait for until they end: they are jobs.
    jobs: BTreeSet<String>,
    /// Services whose profile is not active.
    skipped: BTreeSet<String>,
    /// Named volumes with the name that the engine knows.
    volumes: BTreeMap<String, String>,
}

impl<'a> Convert<'a> {
    fn new(tree: &Node, vars: &'a BTreeMap<String, String>, problems: &'a mut Problems) -> Self {
        let folder =
            tree.mark.source.dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let project =
            tree.get("name").and_then(Node::text).map(str::to_owned).or(folder).unwrap_or_default();
        let services = || tree.get("services").map(Node::entries).unwrap_or_default().iter();
        let jobs = services()
            .flat_map(|entry| entry.value.get("depends_on").map(Node::entries).unwrap_or_default())
            .filter(|need| {
                need.value.get("condition").and_then(Node::text)
                    == Some("service_completed_successfully")
            })
            .map(|need| need.key.clone())
            .collect();
        let active: Vec<&str> = vars
            .get("COMPOSE_PROFILES")
            .map(|list| list.split(',').map(str::trim).collect())
            .unwrap_or_default();
        let skipped = services()
            .filter(|entry| {
                let profiles = entry.value.get("profiles").map(Node::texts).unwrap_or_default();
                let is_active = |node: &&Node| {
                    node.text().is_some_and(|name| active.contains(&name) || active.contains(&"*"))
                };
                !profiles.is_empty() && !profiles.iter().any(is_active)
            })
            .map(|entry| entry.key.clone())
            .collect();
        Self {
            vars,
            problems,
            project: read::to_name(&project),
            jobs,
            skipped,
            volumes: BTreeMap::new(),
        }
    }

    fn file(mut self, tree: &Node) -> Node {
        let mark = &tree.mark;
        let mut root = Node::map(mark, Vec::new());
        if let Some(volumes) = tree.get("volumes") {
            self.named_volumes(volumes);
        }
        let (mut services, mut jobs) = (Vec::new(), Vec::new());
        for entry in tree.entries() {
            match entry.key.as_str() {
                "name" => root.set(Entry::new(
                    "name",
                    &entry.key_mark,
                    Node::scalar(&entry.value.mark, &*self.project),
                )),
                // Obsolete in Compose itself, without effect there too.
                "version" | "volumes" => {}
                "services" => {
                    for service in entry.value.entries() {
                        if let Some(done) = self.service(service) {
                            let list = if self.jobs.contains(&service.key) {
                                &mut jobs
                            } else {
                                &mut services
                            };
                            list.push(done);
                        }
                    }
                }
                key if key.starts_with("x-") => {}
                key => not_honoured(self.problems, key, "", &entry.key_mark),
            }
        }
        let services_mark = tree.entry("services").map_or(mark, |entry| &entry.key_mark);
        root.set(Entry::new("services", services_mark, Node::map(services_mark, services)));
        if !jobs.is_empty() {
            root.set(Entry::new("jobs", services_mark, Node::map(services_mark, jobs)));
        }
        root
    }

    /// Reports a value of the wrong kind.
    fn wrong(&mut self, key: &str, node: &Node, expected: &str) {
        if !matches!(node.value, Value::Null | Value::Unknown) {
            let message = format!("`{key}` has the wrong type");
            self.problems.error(
                Code::WRONG_TYPE,
                &node.mark,
                message,
                format!("this is not {expected}"),
                &format!("write {expected}"),
            );
        }
    }
}
