//! The rules that no compiler and no clippy lint holds.
//!
//! Each check is a pure function from text to [`Finding`]s, and has a test that shows it failing.
//! Reading files and asking cargo happens only here.

mod error_codes;
mod layers;
mod licences;
mod rust_code;
mod text;

use std::{
    collections::BTreeSet,
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::process::Workspace;

/// Something to mend, and where.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    /// Counted from 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A text file of the repository. Its path is relative to the root.
#[derive(Debug)]
struct Source {
    path: String,
    text: String,
}

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let sources = sources(&workspace.root)?;
    let mut findings = BTreeSet::new();
    for source in &sources {
        findings.extend(text::check(source));
        findings.extend(rust_code::check(source));
    }
    findings.extend(rust_code::check_exceptions(&sources));
    findings.extend(error_codes::check(&sources));

    let members = layers::members(&workspace.metadata(&["--no-deps"])?, &workspace.root)?;
    findings.extend(layers::check(&members, &sources));
    let lock = find(&sources, "Cargo.lock").context("there is no Cargo.lock")?;
    findings.extend(licences::check(&workspace.metadata(&["--locked"])?, lock)?);

    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("{} files are tidy", sources.len());
            Ok(())
        }
        1 => bail!("there is 1 finding"),
        count => bail!("there are {count} findings"),
    }
}

fn find<'a>(sources: &'a [Source], path: &str) -> Option<&'a Source> {
    sources.iter().find(|source| source.path == path)
}

/// Folders that are not ours, or that a build or a run made.
const SKIPPED: &[&str] =
    &[".flotilla", ".git", "__pycache__", "data", "dist", "node_modules", "target"];

/// Nothing that people write is longer.
const SOURCE_BYTES_MAX: u64 = 1 << 20;

fn sources(root: &Path) -> Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("cannot read the folder `{}`", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() && !SKIPPED.iter().any(|skipped| entry.file_name() == *skipped) {
                folders.push(entry.path());
            } else if kind.is_file() && entry.metadata()?.len() <= SOURCE_BYTES_MAX {
                found.extend(read(root, &entry.path())?);
            }
        }
    }
    found.sort_by(|one: &Source, other| one.path.cmp(&other.path));
    Ok(found)
}

/// `None` for what is not text, or is gone by now: editors make and remove files all the time.
fn read(root: &Path, path: &PathBuf) -> Result<Option<Source>> {
    let Ok(bytes) = fs::read(path) else { return Ok(None) };
    let Ok(text) = String::from_utf8(bytes) else { return Ok(None) };
    let path = path.strip_prefix(root)?.to_str().context("a file's name is not UTF-8")?;
    Ok(Some(Source { path: path.to_owned(), text }))
}

/// Findings without their path, one per line: what the tests of the checks compare.
#[cfg(test)]
fn lines(findings: impl IntoIterator<Item = Finding>) -> String {
    let lines: Vec<_> =
        findings.into_iter().map(|found| format!("{}: {}", found.line, found.message)).collect();
    lines.join("\n")
}
