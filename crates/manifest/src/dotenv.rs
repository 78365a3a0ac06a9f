//! Files of `KEY=VALUE` lines: `.env` and what `env_file` names.

use crate::{
    problems::Problems,
    source::{Mark, Source},
};
use base::Code;
use std::{collections::BTreeMap, path::Path, sync::Arc};

/// Reads the lines: `KEY=VALUE`, `export KEY=VALUE`, comments, single quotes (nothing is replaced in them), double
/// quotes (`\n`, `\"`, `\\` and `\$` are). A comment after an unquoted value begins with ` #`.
pub(crate) fn parse(source: &Arc<Source>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for (at, line) in source.text.lines().enumerate() {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let text = text.strip_prefix("export ").unwrap_or(text);
        let pair = text.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        match pair.filter(|(key, _)| !key.is_empty() && !key.contains(char::is_whitespace)) {
            Some((key, value)) => {
                all.insert(key.to_owned(), unquote(value));
            }
            None => {
                let mark = Mark::new(source, at + 1, 1, line.chars().count());
                problems.error(
                    Code::SYNTAX,
                    &mark,
                    "this line is not KEY=VALUE",
                    "",
                    "comments begin with `#`",
                );
            }
        }
    }
    all
}

fn unquote(value: &str) -> String {
    if let Some(inner) = value.strip_prefix('\'').and_then(|rest| rest.split_once('\'')) {
        return inner.0.to_owned();
    }
    if let Some(rest) = value.strip_prefix('"') {
        let mut out = String::new();
        let mut letters = rest.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '"' => return out,
                '\\' => match letters.next() {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some(other) => out.push(other),
                    None => out.push('\\'),
                },
                other => out.push(other),
            }
        }
    }
    value.split_once(" #").map_or(value, |(value, _)| value.trim_end()).to_owned()
}

/// The `.env` beside a file; empty when there is none.
pub(crate) fn own(source: &Source, problems: &mut Problems) -> BTreeMap<String, String> {
    let path = source.dir.join(".env");
    if !path.is_file() {
        return BTreeMap::new();
    }
    match read(&path, &source.sibling_name(".env"), problems) {
        Ok(vars) => vars,
        Err(problem) => {
            problems.add(*problem);
            BTreeMap::new()
        }
    }
}

/// `vars` over the `.env` beside a file.
pub(crate) fn beside(
    source: &Source,
    vars: &BTreeMap<String, String>,
    problems: &mut Problems,
) -> BTreeMap<String, String> {
    crate::load::over(vars, own(source, problems))
}

/// Reads a file of variables.
pub(crate) fn read(
    path: &Path,
    name: &str,
    problems: &mut Problems,
) -> Result<BTreeMap<String, String>, Box<base::Diagnostic>> {
    let source = Source::read(path, name, Code::MISSING_FILE)?;
    Ok(parse(&source, problems))
}
