//! A first `flotilla.yaml` for a folder.

use crate::{
    detect::{self, Detected, Place},
    read,
};
use base::{Code, Diagnostic, ServiceName};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Most folders that are looked into: a folder with more is no system of services.
const FOLDERS_MAX: usize = 500;

/// Folders that hold services by habit.
const PARENTS: &[&str] = &["services", "apps", "cmd", "packages", "src", "backend"];

/// Folders that never are services.
const SKIPPED: &[&str] = &[
    "node_modules",
    "target",
    "build",
    "dist",
    "vendor",
    "venv",
    "docs",
    "doc",
    "test",
    "tests",
    "scripts",
    "examples",
    "__pycache__",
];

/// Files of other formats that are included instead of repeated.
const OTHERS: &[&str] = &[
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
    "Procfile",
    "dapr.yaml",
];

/// Names of services that get the requests nobody else wants.
const ENTRANCES: &[&str] = &["web", "frontend", "gateway", "ui", "www", "app", "api"];

/// What `flotilla init` would write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The text of `flotilla.yaml`.
    pub yaml: String,
    /// What was found: name, language, and the file that told.
    pub services: Vec<(ServiceName, String, String)>,
    /// What the user should know, a line each.
    pub notes: Vec<String>,
}

/// Looks into a folder and proposes a file. Nothing is written or executed.
///
/// # Errors
/// When the folder cannot be read (F010), or nothing in it can be started (F009).
pub fn inspect(dir: &Path) -> Result<Proposal, Box<Diagnostic>> {
    let unreadable = |error: std::io::Error| {
        let problem = Diagnostic::error(
            Code::MISSING_FILE,
            format!("the folder `{}` cannot be read", dir.display()),
        );
        Box::new(problem.note(error.to_string()))
    };
    let root = dir.canonicalize().map_err(unreadable)?;
    let system =
        root.file_name().map(|name| read::to_name(&name.to_string_lossy())).unwrap_or_default();
    let system = if system.is_empty() { "system".to_owned() } else { system };
    let mut search =
        Search { root: &root, system: &system, found: BTreeMap::new(), notes: Vec::new() };
    for folder in folders(&root).map_err(unreadable)? {
        search.look(&folder);
    }
    for parent in PARENTS {
        for folder in folders(&root.join(parent)).unwrap_or_default() {
            search.look(&folder);
        }
    }
    let others: Vec<&str> =
        OTHERS.iter().copied().filter(|name| root.join(name).is_file()).take(1).collect();
    if search.found.is_empty() && others.is_empty() {
        search.add(&system.clone(), &root, ".");
    }
    if search.found.is_empty() && others.is_empty() {
        return Err(Box::new(
            Diagnostic::error(Code::NO_COMMAND, "nothing that can be started was found")
                .note(format!("looked into {} and its folders", dir.display()))
                .note("looked for Cargo.toml, package.json, app.py, main.py, manage.py, go.mod, pom.xml, build.gradle, Dockerfile, compose.yaml, Procfile, dapr.yaml")
                .help("write flotilla.yaml by hand: `services: { api: { run: ./api } }`"),
        ));
    }
    Ok(propose(&system, &others, search))
}

struct Found {
    dir: String,
    detected: Detected,
}

struct Search<'a> {
    root: &'a Path,
    system: &'a str,
    found: BTreeMap<String, Found>,
    notes: Vec<String>,
}

impl Search<'_> {
    fn look(&mut self, folder: &Path) {
        let Some(name) = folder.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return;
        };
        let shown = folder.strip_prefix(self.root).unwrap_or(folder).to_string_lossy().into_owned();
        self.add(&name, folder, &shown);
    }

    fn add(&mut self, name: &str, folder: &Path, shown: &str) {
        let own = read::to_name(name);
        if own.is_empty() {
            return;
        }
        let vars = BTreeMap::new();
        let place =
            Place { dir: folder, root: self.root, service: &own, system: self.system, vars: &vars };
        let Ok(detected) = detect::detect(&place) else { return };
        // The inner folder of a Django project, which the `manage.py` beside it starts.
        let is_inner = folder != self.root
            && folder.parent().is_some_and(|outer| outer.join("manage.py").is_file());
        if is_inner && detected.why == "wsgi.py" {
            return;
        }
        if self.found.contains_key(&own) {
            self.notes.push(format!("`{shown}` is left out: there is another service `{own}`"));
            return;
        }
        self.found.insert(own, Found { dir: shown.to_owned(), detected });
    }
}

/// The visible folders in a folder, by name.
fn folders(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir)?.take(FOLDERS_MAX * 4).flatten();
    let mut all: Vec<PathBuf> = entries
        .filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            !name.starts_with('.') && !SKIPPED.contains(&name.as_str())
        })
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .take(FOLDERS_MAX)
        .collect();
    all.sort();
    Ok(all)
}

fn propose(system: &str, others: &[&str], search: Search<'_>) -> Proposal {
    let mut yaml = String::from("# yaml-language-server: $schema=./.flotilla/schema.json\n");
    yaml.push_str(&format!("name: {}\n", quoted(system)));
    let mut notes = search.notes;
    // What another format describes is included; its services are not repeated from their folders.
    if let Some(other) = others.first() {
        yaml.push_str(&format!("include: {other}\n"));
        notes.push(format!(
            "{other} is included: its services run as they are, keys here win over it"
        ));
        if !search.found.is_empty() {
            let names: Vec<&str> = search.found.keys().map(String::as_str).collect();
            notes.push(format!(
                "folders that look like services are left to {other}: {}; `run:` beside a name makes it a process",
                names.join(", ")
            ));
        }
        return Proposal { yaml, services: Vec::new(), notes };
    }
    yaml.push_str("services:\n");
    let mut services = Vec::new();
    for (name, Found { dir, detected }) in &search.found {
        yaml.push_str(&format!("  {}:", quoted(name)));
        if dir == name {
            yaml.push_str(&format!(" {{}}  # {}, from {}\n", detected.language, detected.why));
        } else {
            yaml.push_str(&format!(
                "  # {}, from {}\n    dir: {}\n",
                detected.language,
                detected.why,
                quoted(dir)
            ));
        }
        if let Ok(name) = ServiceName::new(name) {
            services.push((name, detected.language.to_owned(), detected.why.clone()));
        }
    }
    let entrance = match search.found.len() {
        1 => search.found.keys().next().map(String::as_str),
        _ => ENTRANCES.iter().copied().find(|name| search.found.contains_key(*name)),
    };
    yaml.push_str("gateway:\n  routes:\n");
    for name in search.found.keys().filter(|name| Some(name.as_str()) != entrance) {
        yaml.push_str(&format!("    /{name}: {}\n", quoted(name)));
    }
    if let Some(name) = entrance {
        yaml.push_str(&format!("    /: {}\n", quoted(name)));
    }
    notes.push(
        "a service that calls another gets its address with `needs: [name]` as <NAME>_URL"
            .to_owned(),
    );
    Proposal { yaml, services, notes }
}

/// Quoted when YAML could take it for something else than a text, or apart.
fn quoted(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_/.".contains(c))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "null" | "true" | "false" | "yes" | "no" | "on" | "off" | "y" | "n"
        );
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "''")) }
}
