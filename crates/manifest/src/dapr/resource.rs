//! Dapr's resource files: components, configurations and the like, several documents in one file.
//!
//! Only the shape is read here; what a component means to us says [`crate::read`].

mod subscription;

pub(crate) use subscription::{Said, Subscription};

use crate::{
    problems::Problems,
    source::{Mark, Source},
    suggest,
    tree::{self, Node, Value},
};
use base::{Code, Diagnostic};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Most files of one folder that are read. Folders of components have a handful; tests of theirs have a thousand.
const FILES_MAX: usize = 2_000;

/// A component.
#[derive(Debug)]
pub(crate) struct Component {
    pub(crate) name: String,
    pub(crate) name_mark: Mark,
    /// `state.redis`.
    pub(crate) kind: String,
    pub(crate) kind_mark: Mark,
    pub(crate) version: String,
    pub(crate) metadata: Vec<Item>,
    /// App ids; empty for all.
    pub(crate) scopes: Vec<String>,
}

/// An entry of a component's metadata.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) name: String,
    /// `None`: it is a secret, which is not looked up for what a file says.
    pub(crate) value: Option<String>,
    pub(crate) mark: Mark,
}

/// Which secrets an app may read.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) store: String,
    pub(crate) by_default: bool,
    pub(crate) allowed: Vec<String>,
    pub(crate) denied: Vec<String>,
}

/// An address outside, by name.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) mark: Mark,
    pub(crate) url: String,
    pub(crate) scopes: Vec<String>,
}

/// What a folder or a file has.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    pub(crate) components: Vec<Component>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) secret_scopes: Vec<Scope>,
    pub(crate) subscriptions: Vec<Subscription>,
}

impl Component {
    /// The entry `name`, whatever the case of its letters.
    pub(crate) fn item(&self, name: &str) -> Option<&Item> {
        self.metadata.iter().find(|item| item.name.eq_ignore_ascii_case(name))
    }

    /// The value of the entry `name`.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.item(name)?.value.as_deref()
    }
}

/// Reads a folder, or one file; `named` is where it was named.
pub(crate) fn read(
    named: &Node,
    vars: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Resources {
    let mut reader = Reader { vars, problems, found: Resources::default() };
    let Some(text) = named.text() else { return reader.found };
    let path = crate::read::normal(&named.mark.source.dir.join(text));
    if path.is_dir() {
        for file in reader.files(&path, &named.mark) {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
            let shown = format!("{}/{}", text.trim_end_matches('/'), name.unwrap_or_default());
            reader.file(&file, &named.mark.source.sibling_name(&shown), &named.mark, true);
        }
    } else if path.is_file() {
        reader.file(&path, &named.mark.source.sibling_name(text), &named.mark, false);
    } else {
        let problem = Diagnostic::error(Code::MISSING_FILE, format!("`{text}` does not exist"));
        let near = suggest::near_path(&path, false);
        let label = near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
        let problem = problem.at(named.mark.place(), label);
        reader.problems.add(problem.note(format!("looked for {}", path.display())));
    }
    reader.found
}

struct Reader<'a> {
    vars: &'a BTreeMap<String, String>,
    problems: &'a mut Problems,
    found: Resources,
}

impl Reader<'_> {
    /// The YAML files of a folder, in the order of their names.
    fn files(&mut self, folder: &Path, mark: &Mark) -> Vec<PathBuf> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                let message = format!("the folder `{}` cannot be read", folder.display());
                let problem = Diagnostic::error(Code::MISSING_FILE, message);
                self.problems.add(problem.at(mark.place(), error.to_string()));
                return Vec::new();
            }
        };
        let is_yaml = |path: &PathBuf| {
            let end = path.extension().map(|end| end.to_string_lossy().to_lowercase());
            matches!(end.as_deref(), Some("yaml" | "yml")) && path.is_file()
        };
        let mut files: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(is_yaml).collect();
        files.sort();
        if files.len() > FILES_MAX {
            let message = format!("`{}` has {} files", folder.display(), files.len());
            let label = format!("at most {FILES_MAX} are read");
            self.problems.error(Code::BAD_VALUE, mark, message, label, "is this the right folder?");
            files.clear();
        }
        files
    }

    fn file(&mut self, path: &Path, name: &str, named: &Mark, is_in_folder: bool) {
        let source = match Source::read(path, name, Code::MISSING_FILE) {
            Ok(source) => source,
            Err(problem) => return self.problems.add(problem.at(named.place(), "named here")),
        };
        self.problems.read_file(&source, path.to_owned());
        for document in tree::parse_all(&source, self.problems).unwrap_or_default() {
            if !matches!(document.value, Value::Null) {
                self.document(&document, is_in_folder);
            }
        }
    }

    fn document(&mut self, node: &Node, is_in_folder: bool) {
        let kind = node.get("kind");
        let is_theirs = node
            .get("apiVersion")
            .and_then(Node::text)
            .is_some_and(|version| version.starts_with("dapr.io/"));
        let mark = kind.map_or(&node.mark, |kind| &kind.mark);
        match kind.and_then(Node::text) {
            Some(other) if !is_theirs => {
                let message = format!("`{other}` is not a resource of Dapr");
                let label = "`apiVersion` does not begin with dapr.io/";
                self.ignored(mark, message, label, "");
            }
            Some("Component") => self.component(node),
            Some("Configuration") if is_in_folder => {
                let message = "a Configuration in a folder is not applied";
                let help = "name the file itself: `configFilePath` in dapr.yaml, `components` in flotilla.yaml";
                self.ignored(mark, message, "has no effect here", help);
            }
            Some("Configuration") => self.configuration(node),
            Some("HTTPEndpoint") => self.endpoint(node),
            Some("Resiliency") => {
                let help =
                    "write `timeout`, `retries` and `traffic: { breaker: … }` in flotilla.yaml";
                self.ignored(mark, "Resiliency is not honoured", "has no effect here", help);
            }
            Some("Subscription") => self.subscription(node),
            Some(other) => {
                let message = format!("resources of the kind `{other}` are not read");
                self.ignored(mark, message, "has no effect here", "");
            }
            None => {
                let message = "this is not a resource of Dapr";
                self.ignored(mark, message, "it has no `kind`", "");
            }
        }
    }

    fn ignored(&mut self, mark: &Mark, message: impl Into<String>, label: &str, help: &str) {
        self.problems.warning(Code::NOT_HONOURED, mark, message, label, help);
    }

    /// The name of a resource; reported when it has none.
    fn name(&mut self, node: &Node) -> Option<(String, Mark)> {
        let name = node.at(&["metadata", "name"]);
        let text = name.and_then(Node::text).filter(|text| !text.trim().is_empty());
        if let (Some(text), Some(name)) = (text, name) {
            return Some((text.to_owned(), name.mark.clone()));
        }
        let message = "this resource has no name";
        self.problems.error(
            Code::BAD_VALUE,
            &node.mark,
            message,
            "",
            "write `metadata: { name: … }`",
        );
        None
    }

    fn component(&mut self, node: &Node) {
        let Some((name, name_mark)) = self.name(node) else { return };
        let kind = node.at(&["spec", "type"]);
        let (Some(text), Some(at)) = (kind.and_then(Node::text), kind) else {
            let message = format!("the component `{name}` has no type");
            let help = "write `spec: { type: state.redis }`";
            return self.problems.error(Code::BAD_VALUE, &name_mark, message, "", help);
        };
        let version = node.at(&["spec", "version"]).and_then(Node::text).unwrap_or("v1");
        let items = node.at(&["spec", "metadata"]).map(Node::items).unwrap_or_default();
        let metadata = items.iter().filter_map(|item| self.item(item)).collect();
        self.found.components.push(Component {
            name,
            name_mark,
            kind: text.to_owned(),
            kind_mark: at.mark.clone(),
            version: version.to_owned(),
            metadata,
            scopes: texts(node.get("scopes")),
        });
    }

    fn item(&mut self, node: &Node) -> Option<Item> {
        let name = node.get("name").and_then(Node::text)?.to_owned();
        let mark = node.get("value").map_or(&node.mark, |value| &value.mark).clone();
        let value = match (node.get("value"), node.get("envRef")) {
            (Some(value), _) => Some(value.text().unwrap_or_default().to_owned()),
            (None, Some(variable)) => {
                let asked = variable.text().unwrap_or_default();
                // As there: what is not set is empty.
                Some(self.vars.get(asked).cloned().unwrap_or_default())
            }
            (None, None) => None,
        };
        Some(Item { name, value, mark })
    }

    fn configuration(&mut self, node: &Node) {
        for entry in node.get("spec").map(Node::entries).unwrap_or_default() {
            if entry.key != "secrets" {
                let message = format!("`spec.{}` of a Configuration is not honoured", entry.key);
                self.ignored(&entry.key_mark, message, "has no effect here", help_for(&entry.key));
            }
        }
        let scopes = node.at(&["spec", "secrets", "scopes"]).map(Node::items).unwrap_or_default();
        for scope in scopes {
            let Some(store) = scope.get("storeName").and_then(Node::text) else {
                let message = "a scope of secrets names no store";
                self.problems.error(
                    Code::BAD_VALUE,
                    &scope.mark,
                    message,
                    "",
                    "write `storeName:`",
                );
                continue;
            };
            let access = scope.get("defaultAccess");
            let by_default = match access.and_then(Node::text) {
                None | Some("allow" | "") => true,
                Some("deny") => false,
                Some(_) => {
                    let mark = access.map_or(&scope.mark, |access| &access.mark);
                    let message = "`defaultAccess` is `allow` or `deny`";
                    self.problems.error(Code::BAD_VALUE, mark, message, "", "");
                    false
                }
            };
            self.found.secret_scopes.push(Scope {
                store: store.to_owned(),
                by_default,
                allowed: texts(scope.get("allowedSecrets")),
                denied: texts(scope.get("deniedSecrets")),
            });
        }
    }

    fn endpoint(&mut self, node: &Node) {
        let Some((name, mark)) = self.name(node) else { return };
        let url = node.at(&["spec", "baseUrl"]);
        let text = url.and_then(Node::text).unwrap_or_default().trim_end_matches('/');
        let is_url = ["http://", "https://"].iter().any(|scheme| text.starts_with(scheme));
        if !is_url || text.contains(char::is_whitespace) {
            let at = url.map_or(&mark, |url| &url.mark);
            let message = format!("the endpoint `{name}` has no URL");
            let help = "write `spec: { baseUrl: \"https://host\" }`";
            return self.problems.error(Code::BAD_VALUE, at, message, "", help);
        }
        for key in ["headers", "clientTLS"] {
            if let Some(entry) = node.get("spec").and_then(|spec| spec.entry(key)) {
                let message = format!("`{key}` of an HTTPEndpoint is not honoured");
                self.ignored(&entry.key_mark, message, "has no effect here", "");
            }
        }
        let (url, scopes) = (text.to_owned(), texts(node.get("scopes")));
        self.found.endpoints.push(Endpoint { name, mark, url, scopes });
    }
}

/// What to do instead of a part of a Configuration.
fn help_for(key: &str) -> &'static str {
    match key {
        "tracing" => "the data plane traces every call by itself",
        "metric" | "metrics" => "the data plane counts every call by itself",
        "nameResolution" => "services are found by the node",
        "httpPipeline" | "appHttpPipeline" => {
            "rules for requests stand under `gateway:` in flotilla.yaml"
        }
        _ => "",
    }
}

fn texts(node: Option<&Node>) -> Vec<String> {
    let nodes = node.map(Node::texts).unwrap_or_default();
    nodes.iter().filter_map(|node| node.text()).map(str::to_owned).collect()
}
