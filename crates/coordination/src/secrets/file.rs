//! Files with secrets.

use super::SecretFileError;
use crate::{config::Format, secrets::Secret};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fs, path::Path};

/// Secrets by name, each with its values by key.
pub(super) type Named = BTreeMap<String, BTreeMap<String, Secret>>;

/// Largest file: more than anyone writes by hand.
const SIZE_MAX: u64 = 8 << 20;

/// Reads a file. Blocks.
pub(super) fn read(path: &Path, format: &Format) -> Result<Named, SecretFileError> {
    let failed = |cause| SecretFileError::Read { path: path.to_owned(), cause };
    let size = fs::metadata(path).map_err(failed)?.len();
    if size > SIZE_MAX {
        let reason = format!("it has {size} bytes, {SIZE_MAX} are allowed");
        return Err(failed(std::io::Error::other(reason)));
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let parsed = match format {
        Format::Json { separator } => json(&text).map(|all| flat(all, separator)),
        Format::JsonNested { separator } => json(&text).map(|all| nested(all, separator)),
        Format::Env => lines(&text),
    };
    parsed.map_err(|(line, reason)| SecretFileError::Syntax { path: path.to_owned(), line, reason })
}

/// One value under the secret's own name.
pub(super) fn single(name: &str, value: Secret) -> (String, BTreeMap<String, Secret>) {
    (name.to_owned(), BTreeMap::from([(name.to_owned(), value)]))
}

/// What is wrong, and in which line.
type Wrong = (usize, String);

fn json(text: &str) -> Result<Map<String, Value>, Wrong> {
    match serde_json::from_str(text) {
        Ok(Value::Object(all)) => Ok(all),
        Ok(_) => Err((1, "it is not a JSON object".to_owned())),
        // Its message says what it expected, and nothing of what it found.
        Err(error) => Err((error.line(), format!("not JSON: {error}"))),
    }
}

fn flat(all: Map<String, Value>, separator: &str) -> Named {
    let mut leaves = Vec::new();
    for (name, value) in all {
        collect(name, value, separator, &mut leaves);
    }
    leaves.into_iter().map(|(name, value)| single(&name, value)).collect()
}

fn nested(all: Map<String, Value>, separator: &str) -> Named {
    let secrets = all.into_iter().map(|(name, value)| {
        let Value::Object(members) = value else {
            let mut leaves = Vec::new();
            collect(name.clone(), value, separator, &mut leaves);
            return (name, leaves.into_iter().collect());
        };
        let mut leaves = Vec::new();
        for (key, value) in members {
            collect(key, value, separator, &mut leaves);
        }
        (name, leaves.into_iter().collect())
    });
    secrets.collect()
}

/// The texts in `value`, each named by its path. What is deeper than JSON of people ever is, the parser has refused.
fn collect(name: String, value: Value, separator: &str, leaves: &mut Vec<(String, Secret)>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                collect(format!("{name}{separator}{key}"), value, separator, leaves);
            }
        }
        Value::Array(members) => {
            for (at, value) in members.into_iter().enumerate() {
                collect(format!("{name}{separator}{at}"), value, separator, leaves);
            }
        }
        Value::String(text) => leaves.push((name, Secret::new(text))),
        Value::Null => leaves.push((name, Secret::new(""))),
        other @ (Value::Bool(_) | Value::Number(_)) => {
            leaves.push((name, Secret::new(other.to_string())));
        }
    }
}

fn lines(text: &str) -> Result<Named, Wrong> {
    let mut named = Named::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let number = 1 + text.matches('\n').count() - rest.matches('\n').count();
        let wrong = |reason: &str| (number, reason.to_owned());
        if rest.starts_with('#') {
            rest = split_line(rest).1.trim_start();
            continue;
        }
        let assignment = rest.strip_prefix("export ").unwrap_or(rest);
        let (line, _) = split_line(assignment);
        let parts = assignment.split_once('=').filter(|_| line.contains('='));
        let (name, value) = parts.ok_or_else(|| wrong("it is not NAME=VALUE"))?;
        let name = name.trim();
        let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(is_inside) {
            return Err(wrong("what stands before `=` is no name"));
        }
        let (value, after) = value_of(value.trim_start_matches([' ', '\t'])).map_err(wrong)?;
        let (name, values) = single(name, Secret::new(value));
        named.insert(name, values);
        rest = after.trim_start();
    }
    Ok(named)
}

/// The value that `text` begins with, and what comes behind its line.
fn value_of(text: &str) -> Result<(String, &str), &'static str> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let (line, after) = split_line(text);
        // A `#` begins a comment only behind a space: passwords have them in the middle.
        let end = line.match_indices('#').map(|(at, _)| at).find(|at| {
            line.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with([' ', '\t']))
        });
        let value = end.and_then(|end| line.get(..end)).unwrap_or(line);
        return Ok((value.trim_end().to_owned(), after));
    };
    let mut value = String::new();
    let mut rest = text.chars();
    rest.next();
    loop {
        match rest.next() {
            None => return Err("its quote is not closed"),
            Some(c) if c == quote => break,
            Some('\\') if quote == '"' => match rest.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(c @ ('"' | '\\' | '$')) => value.push(c),
                Some(c) => value.extend(['\\', c]),
                None => return Err("its quote is not closed"),
            },
            Some(c) => value.push(c),
        }
    }
    let (behind, after) = split_line(rest.as_str());
    let behind = behind.trim();
    if behind.is_empty() || behind.starts_with('#') {
        Ok((value, after))
    } else {
        Err("something stands behind the closing quote")
    }
}

fn split_line(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, format: &Format, text: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(file);
        fs::write(&path, text).unwrap();
        let printed = match read(&path, format) {
            Ok(named) => {
                let secrets = named.iter().map(|(name, values)| {
                    let values = values.iter().map(|(key, v)| format!("{key}={:?}", v.expose()));
                    format!("{name}: {}", values.collect::<Vec<_>>().join(" "))
                });
                secrets.collect::<Vec<_>>().join("; ")
            }
            Err(SecretFileError::Syntax { line, reason, .. }) => format!("line {line}: {reason}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(printed, expected);
    }

    #[test]
    fn json_is_flattened_or_kept_one_level_deep() {
        let text =
            r#"{"token": "t", "redis": {"password": "p", "a": {"b": 1}}, "list": [true, null]}"#;
        check(
            "s.json",
            &Format::Json { separator: ":".to_owned() },
            text,
            "list:0: list:0=\"true\"; list:1: list:1=\"\"; redis:a:b: redis:a:b=\"1\"; \
             redis:password: redis:password=\"p\"; token: token=\"t\"",
        );
        check(
            "s.json",
            &Format::JsonNested { separator: ":".to_owned() },
            text,
            "list: list:0=\"true\" list:1=\"\"; redis: a:b=\"1\" password=\"p\"; token: token=\"t\"",
        );
    }

    #[test]
    fn lines_may_be_quoted_commented_and_exported() {
        let text = "\n# all\nA=plain # comment\nexport B = 'it is #1' # c\nC=\"two\\n\\\"l\nines\"\n\
            D=\nE=pa#ss=word\r\nF='\\n'";
        check(
            "s.env",
            &Format::of(Path::new("s.env")),
            text,
            r##"A: A="plain"; B: B="it is #1"; C: C="two\n\"l\nines"; D: D=""; E: E="pa#ss=word"; F: F="\\n""##,
        );
    }

    #[test]
    fn what_cannot_be_read_is_named_with_its_line_and_not_shown() {
        check("s.env", &Format::Env, "A=1\n\nhunter2", "line 3: it is not NAME=VALUE");
        check("s.env", &Format::Env, "A=\"1\nB=2", "line 1: its quote is not closed");
        check(
            "s.env",
            &Format::Env,
            "A='1' 2",
            "line 1: something stands behind the closing quote",
        );
        check(
            "s.env",
            &Format::Env,
            "A='1\n2'\nB B=1",
            "line 3: what stands before `=` is no name",
        );
        let json = Format::Json { separator: ":".to_owned() };
        check("s.json", &json, "[]", "line 1: it is not a JSON object");
        check(
            "s.json",
            &json,
            "{\n\"a\": hunter2}",
            "line 2: not JSON: expected value at line 2 column 6",
        );
    }
}
