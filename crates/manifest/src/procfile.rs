//! `Procfile`: a line a process, `name: command`.

use crate::{
    problems::Problems,
    read,
    source::{Mark, Source},
    tree::{Entry, Node},
};
use base::{Code, Diagnostic};
use std::{collections::BTreeMap, sync::Arc};

/// Processes that by habit listen on no port, also as a part of the name (`mail-worker`). The format cannot say it, and
/// waiting for a port that is never opened would fail their start.
const WORKERS: &[&str] = &[
    "worker",
    "workers",
    "clock",
    "cron",
    "scheduler",
    "beat",
    "celery",
    "sidekiq",
    "resque",
    "queue",
    "consumer",
    "jobs",
    "css",
    "js",
    "assets",
    "tailwind",
    "webpack",
    "watch",
    "watcher",
    "tunnel",
];

/// Runs once before everything else (Heroku's release phase).
const RELEASE: &str = "release";

/// Reads the lines. `vars` is the `.env` beside it: Foreman gives it to all processes.
pub(crate) fn read(
    source: &Arc<Source>,
    vars: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Option<Node> {
    let whole = Mark::new(source, 1, 1, 1);
    let (mut services, mut jobs): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
    let mut first: BTreeMap<String, Mark> = BTreeMap::new();
    for (at, line) in source.text.lines().enumerate() {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mark = Mark::new(source, at + 1, 1, line.chars().count());
        let parts = text.split_once(':').map(|(name, command)| (name.trim(), command.trim()));
        let fits = |name: &str| {
            !name.is_empty()
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        let Some((name, command)) =
            parts.filter(|(name, command)| fits(name) && !command.is_empty())
        else {
            problems.error(
                Code::SYNTAX,
                &mark,
                "this line is not `name: command`",
                "",
                "comments begin with `#`",
            );
            continue;
        };
        let name_mark = mark.within(name);
        if let Some(first) = first.get(name) {
            let problem =
                Diagnostic::error(Code::DUPLICATE, format!("the process `{name}` is given twice"));
            let note = format!("it is given first in {}", first.seen_from(&mark));
            problems.add(problem.at(name_mark.place(), "given again here").note(note));
            continue;
        }
        first.insert(name.to_owned(), name_mark.clone());
        let command_mark = mark.within(command);
        let entry = process(name, command, &name_mark, &command_mark, vars, problems);
        if name == RELEASE { jobs.push(entry) } else { services.push(entry) }
    }
    if services.is_empty() && !problems.has_errors() {
        problems.error(
            Code::NO_COMMAND,
            &whole,
            "the Procfile has no process",
            "",
            "write `web: ./server`",
        );
    }
    if let Some(release) = jobs.first() {
        let mark = release.key_mark.clone();
        for service in &mut services {
            let need = Node::list(&mark, vec![Node::scalar(&mark, RELEASE)]);
            service.value.set(Entry::new("needs", &mark, need));
        }
    }
    let mut root =
        Node::map(&whole, vec![Entry::new("services", &whole, Node::map(&whole, services))]);
    if !jobs.is_empty() {
        root.set(Entry::new("jobs", &whole, Node::map(&whole, jobs)));
    }
    Some(root)
}

fn process(
    name: &str,
    command: &str,
    mark: &Mark,
    command_mark: &Mark,
    vars: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> Entry {
    let own = read::to_name(name);
    let shown = if own.is_empty() { name } else { own.as_str() };
    if shown != name {
        let message = format!("process `{name}` is called `{shown}` here");
        problems.warning(Code::NOT_HONOURED, mark, message, "a name is a DNS label", "");
    }
    let mut value = Node::map(mark, Vec::new());
    value.set(Entry::new("dir", mark, Node::scalar(mark, ".")));
    value.set(Entry::new("run", mark, Node::scalar(command_mark, command)));
    // Foreman's PORT is where its numbering starts; every instance has a port of its own here.
    let env = vars.iter().filter(|(key, _)| *key != "PORT" && !key.starts_with("FLOTILLA_"));
    let env: Vec<Entry> =
        env.map(|(key, value)| Entry::new(key, mark, Node::scalar(mark, value))).collect();
    if !env.is_empty() {
        value.set(Entry::new("env", mark, Node::map(mark, env)));
    }
    let worker = shown.split('-').any(|part| WORKERS.contains(&part)) && !command.contains("PORT");
    if worker && name != RELEASE {
        value.set(Entry::new("listen", mark, Node::scalar(mark, "false")));
    }
    Entry::new(shown, mark, value)
}
