//! From a path to a system: reads the file and all it includes, lays them over each other, resolves.

use crate::{
    Loaded, Options,
    check::Checker,
    compose, dapr, dotenv,
    find::{self, Format},
    overlay,
    problems::Problems,
    procfile, read,
    source::{Mark, Source},
    suggest, table,
    tree::{self, Entry, Node, Value},
};
use base::{Code, Diagnostic};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Deepest chain of files that include files. Two are useful, more than eight are a circle in disguise.
const INCLUDES_MAX: usize = 8;

/// Reads a file, checks everything, and resolves it.
///
/// Paths in `file`'s places are shown relative to what was given. No environment variable is read but
/// those in `options`.
///
/// # Errors
/// All problems that were found, warnings too, in the order of the files and their lines.
pub fn load(file: &Path, options: &Options) -> Result<Loaded, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let system = Loader {
        options,
        problems: &mut problems,
        chain: Vec::new(),
        environments: Vec::new(),
        foreign: false,
        dapr: false,
    }
    .system(file);
    if problems.has_errors() {
        return Err(problems.into_sorted());
    }
    match system {
        Some(system) => Ok(Loaded { system, warnings: problems.into_sorted() }),
        None => Err(problems.into_sorted()),
    }
}

struct Loader<'a> {
    options: &'a Options,
    problems: &'a mut Problems,
    /// The files being read, outermost first, to notice a circle.
    chain: Vec<PathBuf>,
    /// Names of all environments.
    environments: Vec<String>,
    /// A file of another format was read.
    foreign: bool,
    /// It was Dapr's.
    dapr: bool,
}

impl Loader<'_> {
    fn system(&mut self, file: &Path) -> Option<crate::System> {
        let absolute = match absolute(file) {
            Ok(path) => path,
            Err(error) => {
                let problem = Diagnostic::error(
                    Code::NO_FILE,
                    format!("`{}` cannot be read", file.display()),
                );
                self.problems.add(problem.note(error.to_string()));
                return None;
            }
        };
        let root = absolute.parent().unwrap_or(Path::new("/")).to_owned();
        let shown = file.to_string_lossy();
        let tree = self.file(&absolute, shown.strip_prefix("./").unwrap_or(&shown), None)?;
        if let Some(asked) = &self.options.environment
            && !self.environments.contains(asked)
        {
            let known = self.environments.iter().map(String::as_str);
            let problem = Diagnostic::error(
                Code::BAD_VALUE,
                format!("there is no environment `{asked}` in the file"),
            );
            let problem = match suggest::nearest(asked, known) {
                Some(near) => problem.help(format!("did you mean `{near}`?")),
                None if self.environments.is_empty() => {
                    problem.help("the file has no `environments:`")
                }
                None => problem.help(format!("the file has {}", self.environments.join(", "))),
            };
            self.problems.add(problem);
        }
        let (vars, foreign, dapr) = (&self.options.vars, self.foreign, self.dapr);
        let context = read::Context { root, vars, foreign, dapr };
        Some(read::system(&tree, &context, self.problems))
    }

    /// Reads one file with all it includes. `asked` is where it was named.
    fn file(&mut self, path: &Path, name: &str, asked: Option<&Mark>) -> Option<Node> {
        let missing = if asked.is_some() { Code::MISSING_FILE } else { Code::NO_FILE };
        let source = match Source::read(path, name, missing) {
            Ok(source) => source,
            Err(mut problem) => {
                if let Some(mark) = asked {
                    *problem = problem.at(mark.place(), "named here");
                    if let Some(near) = suggest::near_path(path, true) {
                        *problem = problem.help(format!("did you mean `{near}`?"));
                    }
                }
                self.problems.add(*problem);
                return None;
            }
        };
        self.problems.read_file(&source, path.to_owned());
        self.chain.push(path.to_owned());
        let tree = match find::format(path) {
            Format::Flotilla => self.own(&source),
            Format::Compose => {
                let vars = dotenv::beside(&source, &self.options.vars, self.problems);
                let tree = compose::read(&source, path, &vars, self.problems);
                self.foreign(tree)
            }
            Format::Procfile => {
                let vars = dotenv::own(&source, self.problems);
                let tree = procfile::read(&source, &vars, self.problems);
                self.foreign(tree)
            }
            Format::Dapr => {
                let tree = dapr::read(&source, self.problems);
                self.dapr = true;
                self.foreign(tree)
            }
        };
        self.chain.pop();
        tree
    }

    /// Checks what another format was translated to: a bad value is shown where it stands in that format.
    fn foreign(&mut self, tree: Option<Node>) -> Option<Node> {
        self.foreign = true;
        let mut tree = tree?;
        Checker::new(None, None, self.problems).check(&mut tree, &table::ROOT);
        Some(tree)
    }

    fn own(&mut self, source: &Arc<Source>) -> Option<Node> {
        let mut tree = tree::parse(source, self.problems)?;
        if dapr::is_template(&tree) {
            let tree = dapr::translate(&tree, self.problems);
            self.dapr = true;
            return self.foreign(Some(tree));
        }
        if matches!(tree.value, Value::Null) {
            let help =
                "write `services:` with a service below, or let `flotilla init` write the file";
            self.problems.error(Code::NO_COMMAND, &tree.mark, "the file is empty", "", help);
            return Some(tree);
        }
        let environment = self.options.environment.as_deref();
        Checker::new(Some(&self.options.vars), environment, self.problems)
            .check(&mut tree, &table::ROOT);
        let included = tree.remove("include");
        let mut environments = tree.remove("environments");
        map_env(&mut tree);
        if let Some(Entry { value: Node { value: Value::Map(entries), .. }, .. }) =
            &mut environments
        {
            entries.iter_mut().for_each(|entry| map_env(&mut entry.value));
        }
        let mut base = Node::map(&tree.mark, Vec::new());
        for part in included.iter().flat_map(|entry| entry.value.texts()) {
            if let Some(other) = self.include(source, part) {
                base = overlay::lay(base, other);
            }
        }
        if base.entries().iter().any(|entry| !entry.value.entries().is_empty()) {
            tree = overlay::lay(base, tree);
        }
        for entry in environments.iter().flat_map(|entry| entry.value.entries()) {
            if !self.environments.contains(&entry.key) {
                self.environments.push(entry.key.clone());
            }
            if environment == Some(entry.key.as_str()) {
                tree = overlay::lay(tree, entry.value.clone());
            }
        }
        Some(tree)
    }

    fn include(&mut self, source: &Source, part: &Node) -> Option<Node> {
        let text = part.text()?;
        let path = source.dir.join(text);
        let path = absolute(&path).unwrap_or(path);
        if self.chain.contains(&path) || self.chain.len() >= INCLUDES_MAX {
            let message = format!("`{text}` includes itself");
            self.problems.error(
                Code::BAD_VALUE,
                &part.mark,
                message,
                "already being read",
                "remove it from `include`",
            );
            return None;
        }
        if self.problems.files.contains(&path) {
            let message = format!("`{text}` is included twice");
            self.problems.error(
                Code::DUPLICATE,
                &part.mark,
                message,
                "read before",
                "keep one of them",
            );
            return None;
        }
        let path = if path.is_dir() {
            match find::find(&path) {
                Ok(path) => path,
                Err(problem) => {
                    self.problems.add(problem.at(part.mark.place(), "named here"));
                    return None;
                }
            }
        } else {
            path
        };
        let mut tree = self.file(&path, &source.sibling_name(text), Some(&part.mark))?;
        if find::format(&path) == Format::Flotilla {
            pin_folders(&mut tree);
        }
        Some(tree)
    }
}

/// Writes down which folders the services of an included file stand in: a service named again in the
/// including file keeps the folder beside the file that it came from.
fn pin_folders(tree: &mut Node) {
    for_each_service(tree, |entry| {
        let mark = &entry.key_mark;
        if entry.value.get("dir").is_none() {
            let own = mark.source.dir.join(&entry.key).is_dir();
            let dir = Node::scalar(mark, if own { entry.key.as_str() } else { "." });
            if own || entry.value.get("run").is_some() || entry.value.get("image").is_some() {
                entry.value.set(Entry::new("dir", &mark.clone(), dir));
            }
        }
    });
}

/// Turns `env: [KEY=VALUE]` into a map, so that overlays merge it by variable.
fn map_env(tree: &mut Node) {
    for_each_service(tree, |entry| {
        let Value::Map(entries) = &mut entry.value.value else { return };
        let Some(env) = entries.iter_mut().find(|entry| entry.key == "env") else { return };
        if let Value::List(items) = &env.value.value {
            let pairs = items.iter().filter_map(|item| {
                let (key, value) = item.text()?.split_once('=')?;
                Some(Entry::new(key, &item.mark, Node::scalar(&item.mark, value)))
            });
            env.value = Node::map(&env.value.mark, pairs.collect());
        }
    });
}

fn for_each_service(tree: &mut Node, mut act: impl FnMut(&mut Entry)) {
    let Value::Map(root) = &mut tree.value else { return };
    for kind in root.iter_mut().filter(|entry| entry.key == "services" || entry.key == "jobs") {
        if let Value::Map(services) = &mut kind.value.value {
            services.iter_mut().for_each(&mut act);
        }
    }
}

/// Absolute and without symbolic links, so that the same file is recognised by any path.
///
/// Only the folder is resolved: a linked `flotilla.yaml` describes the folder where the link stands.
fn absolute(file: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(file)?;
    match (path.parent().map(Path::canonicalize), path.file_name()) {
        (Some(Ok(folder)), Some(name)) => Ok(folder.join(name)),
        // A missing folder is told by who reads the file.
        _ => Ok(path),
    }
}

/// The variables of two environments; the first one wins.
pub(crate) fn over(
    first: &BTreeMap<String, String>,
    second: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = second;
    all.extend(first.iter().map(|(key, value)| (key.clone(), value.clone())));
    all
}
