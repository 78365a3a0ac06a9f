//! What a service runs, and in which folder.

use super::{
    Reader,
    values::{text, words},
    word,
};
use crate::{
    Container, Program,
    detect::{self, Place},
    shape, suggest,
    tree::{Entry, Node, Value},
};
use base::{Code, Diagnostic};
use std::path::{Component, Path, PathBuf};

/// What runs, and what is known of it.
pub(super) struct Found {
    pub(super) program: Program,
    pub(super) language: String,
    pub(super) build: Option<String>,
    /// The port that its Dockerfile says.
    pub(super) port: Option<u16>,
}

impl Reader<'_> {
    /// The folder; `false` when it is not there and that was reported.
    pub(super) fn dir(&mut self, entry: &Entry, is_job: bool) -> (PathBuf, bool) {
        let node = &entry.value;
        if let Some(dir) = node.get("dir") {
            let Some(text) = dir.text() else { return (self.context.root.clone(), false) };
            let path = normal(&dir.mark.source.dir.join(text));
            if path.is_dir() {
                return (path, true);
            }
            let what = if path.exists() { "is not a folder" } else { "does not exist" };
            let problem =
                Diagnostic::error(Code::MISSING_FILE, format!("the folder `{text}` {what}"));
            let label = suggest::near_path(&path, false)
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_default();
            let shown = format!("looked for {}", path.display());
            self.problems.add(problem.at(dir.mark.place(), label).note(shown));
            return (path, false);
        }
        let beside = &entry.key_mark.source.dir;
        let own = beside.join(&entry.key);
        if own.is_dir() {
            return (own, true);
        }
        if ["run", "image", "external"].iter().any(|key| node.get(key).is_some()) {
            return (beside.clone(), true);
        }
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            // What stands here is no map, which is said already.
            return (beside.clone(), false);
        }
        let message = format!("{} `{}` has no folder and no command", word(is_job), entry.key);
        let near = suggest::near_path(&own, false);
        let label = near.as_ref().map(|near| format!("did you mean `{near}`?")).unwrap_or_default();
        let help = format!("make the folder `{}`, or write `dir:`, `run:` or `image:`", entry.key);
        self.problems.add(
            Diagnostic::error(Code::MISSING_FILE, message)
                .at(entry.key_mark.place(), label)
                .help(help),
        );
        (own, false)
    }

    pub(super) fn program(
        &mut self,
        entry: &Entry,
        dir: &Path,
        dir_is_known: bool,
        is_job: bool,
    ) -> Found {
        let node = &entry.value;
        if let Some(program) = self.external(entry) {
            let language = "external".to_owned();
            return Found { program, language, build: None, port: None };
        }
        let build = text(node.get("build"));
        self.both_programs(entry);
        if let Some(run) = node.get("run") {
            self.only_containers_have(node);
            self.unexpanded_port(run);
            let program = match &run.value {
                Value::Scalar(line) => Program::Shell(line.clone()),
                _ => Program::Exec(words(Some(run)).unwrap_or_default()),
            };
            if program == Program::Exec(Vec::new()) && matches!(run.value, Value::List(_)) {
                self.problems.error(
                    Code::BAD_VALUE,
                    &run.mark,
                    "`run` is an empty list",
                    "",
                    "write the program and its arguments",
                );
            }
            let language = detect::language(&program, dir).to_owned();
            return Found { program, language, build, port: None };
        }
        if let Some(image) = node.get("image") {
            let container = self.container(node, image);
            return Found {
                program: Program::Container(container),
                language: "docker".to_owned(),
                build,
                port: None,
            };
        }
        self.only_containers_have(node);
        self.detected(entry, dir, dir_is_known, is_job)
    }

    /// What the folder says of how it is started.
    fn detected(&mut self, entry: &Entry, dir: &Path, dir_is_known: bool, is_job: bool) -> Found {
        let node = &entry.value;
        let build = text(node.get("build"));
        let dir_is_known = dir_is_known && matches!(node.value, Value::Map(_) | Value::Null);
        let nothing = Found {
            program: Program::Shell(String::new()),
            language: "shell".to_owned(),
            build: None,
            port: None,
        };
        if !dir_is_known {
            return nothing;
        }
        let place = Place {
            dir,
            root: &self.context.root,
            service: &entry.key,
            system: &self.system,
            vars: self.context.vars,
        };
        match detect::detect(&place) {
            Ok(found) => Found {
                program: found.program,
                language: found.language.to_owned(),
                build: build.or(found.build),
                port: found.port,
            },
            Err(notes) => {
                let at = node.get("dir").map_or(&entry.key_mark, |dir| &dir.mark);
                let message = format!("how to start {} `{}` is not known", word(is_job), entry.key);
                let mut problem = Diagnostic::error(Code::NO_COMMAND, message)
                    .at(at.place(), "nothing that can be started was found")
                    .help("write `run: <command>`; a server listens on `$PORT`");
                for note in notes {
                    problem = problem.note(note);
                }
                self.problems.add(problem);
                nothing
            }
        }
    }

    fn both_programs(&mut self, entry: &Entry) {
        let node = &entry.value;
        if let (Some(run), Some(image)) = (node.entry("run"), node.entry("image")) {
            let message = format!("`{}` has a command and an image", entry.key);
            let help = "a process has `run`, a container has `image` (its arguments are `command`); remove one";
            let first = format!("`run` stands in {}", run.key_mark.seen_from(&image.key_mark));
            let problem = Diagnostic::error(Code::BAD_VALUE, message)
                .at(image.key_mark.place(), "one of them must go");
            self.problems.add(problem.note(first).help(help));
        }
    }

    /// Without a shell nobody replaces `$PORT`.
    fn unexpanded_port(&mut self, run: &Node) {
        for item in run.items() {
            if item.text().is_some_and(|text| text.contains("$PORT")) {
                let message = "a list runs without a shell, so `$PORT` is not replaced";
                let help =
                    "write the command as one line, or let the program read the variable PORT";
                self.problems.warning(
                    Code::BAD_VALUE,
                    &item.mark,
                    message,
                    "the program gets this text",
                    help,
                );
            }
        }
    }

    /// `command` beside `run` is a mistake for one of them.
    fn only_containers_have(&mut self, node: &Node) {
        for key in ["entrypoint", "command", "volumes", "publish", "user", "workdir"] {
            if let Some(entry) = node.entry(key) {
                let message = format!("`{key}` is for containers, and this is a process");
                let help = match key {
                    "command" | "entrypoint" => "write `run:`, or add `image:`",
                    "workdir" => "write `dir:`, or add `image:`",
                    "publish" => "write `port:` or a route under `gateway:`, or add `image:`",
                    _ => "remove it, or add `image:`",
                };
                self.problems.error(
                    Code::BAD_VALUE,
                    &entry.key_mark,
                    message,
                    "there is no `image`",
                    help,
                );
            }
        }
    }

    fn container(&mut self, node: &Node, image: &Node) -> Container {
        let volumes = node.get("volumes").map(Node::items).unwrap_or_default();
        Container {
            image: image.text().unwrap_or_default().to_owned(),
            entrypoint: words(node.get("entrypoint")),
            command: words(node.get("command")),
            volumes: volumes.iter().filter_map(|item| self.volume(item)).collect(),
            publish: node
                .get("publish")
                .map(Node::items)
                .unwrap_or_default()
                .iter()
                .filter_map(|item| shape::publish(item.text()?))
                .collect(),
            user: text(node.get("user")),
            workdir: text(node.get("workdir")),
        }
    }

    /// `./data:/data` with an absolute source; a source without a slash is the name of a volume.
    fn volume(&mut self, node: &Node) -> Option<String> {
        let (source, target) = node.text()?.split_once(':')?;
        if !source.starts_with(['.', '/', '~']) {
            return Some(format!("{source}:{target}"));
        }
        let home = self.context.vars.get("HOME").map(String::as_str).unwrap_or_default();
        let path = match source.strip_prefix('~') {
            Some(rest) => PathBuf::from(format!("{home}{rest}")),
            None => node.mark.source.dir.join(source),
        };
        Some(format!("{}:{target}", normal(&path).display()))
    }
}

/// `a/./b/../c` as `a/c`, by the text alone.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}
