//! Rules for the Rust code of the crates: purity, who may spawn, module docs, file lengths.
//!
//! This reads lines, not syntax: it is here to remind, not to withstand someone who hides things.

use super::{Finding, Source, find};

/// A file over [`LINES_MAX`] must be named here; the list only ever gets shorter.
const LONG_FILES: &[&str] = &[
    "crates/adapter-docker/src/host.rs",
    "crates/api/src/wire.rs",
    "crates/flotilla/src/cli/args.rs",
    "crates/flotilla/src/cli/ui.rs",
    "crates/manifest/src/compose/service.rs",
    "crates/manifest/src/table/service.rs",
    "crates/manifest/src/tests/formats.rs",
    "crates/manifest/src/tests/problems.rs",
    "crates/manifest/src/tree.rs",
    "crates/observe/src/query.rs",
    "crates/observe/src/tests.rs",
    "crates/proxy/tests/it/support.rs",
    "crates/supervisor/src/testing/world.rs",
    "crates/supervisor/src/unit.rs",
];
const LINES_MAX: usize = 400;
const LINES_MAX_EVER: usize = 600;

/// What must not be imported, and how it looks where it is used through a shorter path.
struct Ban {
    import: &'static str,
    inline: &'static str,
}

const fn ban(import: &'static str, inline: &'static str) -> Ban {
    Ban { import, inline }
}

const IMPURE: &[Ban] = &[
    ban("std::env", "std::env"),
    ban("std::fs", "std::fs"),
    ban("std::net::TcpListener", "net::TcpListener"),
    ban("std::net::TcpStream", "net::TcpStream"),
    ban("std::net::UdpSocket", "net::UdpSocket"),
    ban("std::time::Instant", "time::Instant"),
    ban("std::time::SystemTime", "time::SystemTime"),
];

const SPAWNS: &[Ban] = &[
    ban("tokio::spawn", "tokio::spawn"),
    ban("tokio::task::spawn", "task::spawn"),
    ban("tokio::task::spawn_blocking", "task::spawn_blocking"),
    ban("tokio::task::spawn_local", "task::spawn_local"),
    ban("std::thread::spawn", "thread::spawn"),
    ban("std::thread::Builder", "thread::Builder"),
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let Some(in_crates) = source.path.strip_prefix("crates/") else { return Vec::new() };
    if !in_crates.ends_with(".rs") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    findings.extend(length(source, LONG_FILES));
    let Some((crate_name, "src", file)) = split(in_crates) else { return findings };
    if ["lib.rs", "main.rs"].contains(&file) && !source.text.starts_with("//!") {
        findings.push(Finding::new(&source.path, 1, "a crate starts with `//!`: what it is"));
    }
    if file == "tests.rs" || file.ends_with("/tests.rs") {
        return findings;
    }
    if crate_name == "logic" {
        let message = "logic reads no clock, environment, file or socket";
        findings.extend(banned(source, IMPURE, message));
    }
    if crate_name != "runtime" {
        findings.extend(banned(source, SPAWNS, "only runtime spawns: tasks have an owner"));
    }
    findings
}

/// The exceptions that are none any more.
pub(super) fn check_exceptions(sources: &[Source]) -> Vec<Finding> {
    outdated(LONG_FILES, sources)
}

/// `supervisor/src/probe/tests.rs` is `("supervisor", "src", "probe/tests.rs")`.
fn split(path: &str) -> Option<(&str, &str, &str)> {
    let (crate_name, rest) = path.split_once('/')?;
    let (folder, file) = rest.split_once('/')?;
    Some((crate_name, folder, file))
}

fn length(source: &Source, exceptions: &[&str]) -> Option<Finding> {
    let lines = source.text.lines().count();
    let message = if lines > LINES_MAX_EVER {
        format!("{lines} lines, never more than {LINES_MAX_EVER}: split it by subject")
    } else if lines > LINES_MAX && !exceptions.contains(&source.path.as_str()) {
        format!("{lines} lines, more than {LINES_MAX}: is this two subjects?")
    } else {
        return None;
    };
    Some(Finding::new(&source.path, 1, message))
}

fn outdated(exceptions: &[&str], sources: &[Source]) -> Vec<Finding> {
    let is_long = |path: &str| {
        find(sources, path).is_some_and(|source| source.text.lines().count() > LINES_MAX)
    };
    let message = "is no longer a long file: take it from LONG_FILES";
    let short = exceptions.iter().filter(|path| !is_long(path));
    short.map(|path| Finding::new(path, 1, message)).collect()
}

fn banned(source: &Source, bans: &[Ban], reason: &str) -> Vec<Finding> {
    let code = code_lines(&source.text);
    let mut findings = Vec::new();
    for (line, text) in &code {
        for ban in bans.iter().filter(|ban| mentions(text, ban.inline)) {
            let message = format!("`{}`: {reason}", ban.import);
            findings.push(Finding::new(&source.path, *line, message));
        }
    }
    for (line, path) in imports(&code) {
        for ban in bans.iter().filter(|ban| is_within(&path, ban.import)) {
            let message = format!("`{}`: {reason}", ban.import);
            findings.push(Finding::new(&source.path, line, message));
        }
    }
    findings.sort();
    findings.dedup();
    findings
}

/// The lines with their number, without comments and without `#[cfg(test)] mod … { … }`.
fn code_lines(text: &str) -> Vec<(usize, &str)> {
    let mut code = Vec::new();
    let mut lines = (1..).zip(text.lines()).peekable();
    while let Some((number, line)) = lines.next() {
        let tests_follow = line == "#[cfg(test)]"
            && lines.peek().is_some_and(|(_, next)| next.contains("mod ") && next.ends_with('{'));
        if tests_follow {
            // rustfmt puts the end of a module, and nothing else in it, at the margin.
            lines.by_ref().find(|(_, line)| *line == "}");
            continue;
        }
        code.push((number, without_comment(line)));
    }
    code
}

fn without_comment(line: &str) -> &str {
    for (at, _) in line.match_indices("//") {
        let (before, _comment) = line.split_at(at);
        // An odd number of quotes: it is inside a string.
        if before.matches('"').count() % 2 == 0 {
            return before;
        }
    }
    line
}

/// Whether `path` stands in `line` as a whole, not as a part of longer names.
fn mentions(line: &str, path: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(path).any(|(at, _)| {
        let (before, rest) = line.split_at(at);
        let (_path, after) = rest.split_at(path.len());
        !before.ends_with(is_name) && !after.starts_with(is_name)
    })
}

fn is_within(path: &str, banned: &str) -> bool {
    path.strip_prefix(banned).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every path that a `use` brings in, with the line that the `use` starts on.
fn imports(code: &[(usize, &str)]) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    let mut lines = code.iter();
    while let Some((number, line)) = lines.next() {
        let Some(first) = use_tree(line.trim()) else { continue };
        let mut tree = first.to_owned();
        while !tree.contains(';') {
            let Some((_, line)) = lines.next() else { break };
            tree.push_str(line.trim());
        }
        let tree = tree.split(';').next().unwrap_or_default();
        paths.extend(flatten(tree).into_iter().map(|path| (*number, path)));
    }
    paths
}

fn use_tree(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(") ")?.1,
        Some(rest) => rest.trim_start(),
        None => line,
    };
    line.strip_prefix("use ")
}

/// `a::{b, c::{d, self}}` is `a::b`, `a::c::d`, `a::c::self`.
fn flatten(tree: &str) -> Vec<String> {
    let Some((prefix, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default().trim();
        return if path.is_empty() { Vec::new() } else { vec![path.to_owned()] };
    };
    let body = rest.rsplit_once('}').map_or(rest, |(body, _)| body);
    let mut depth = 0_u32;
    let ends_a_branch = |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    body.split(ends_a_branch)
        .flat_map(flatten)
        .map(|path| format!("{}{path}", prefix.trim()))
        .collect()
}

#[cfg(test)]
mod tests;
