//! A value of the file as JSON.

use crate::tree::{Node, Value};
use serde_json::{Map, Value as Json};

/// What a node means as JSON; `None` when nothing stands there.
///
/// A text in quotes or below a `|` is a text. Any other is what it is in JSON: a number, `true`, `false`, `null`, or else a text, so that `010` and
/// `1.2.3` stay what was written.
pub(super) fn json(node: &Node) -> Option<String> {
    json_value(node).map(|json| json.to_string())
}

/// The same as a value.
pub(crate) fn json_value(node: &Node) -> Option<Json> {
    match node.value {
        Value::Null | Value::Unknown => None,
        Value::Scalar(_) | Value::List(_) | Value::Map(_) => Some(value(node)),
    }
}

/// The depth is bounded by the reader of the file.
fn value(node: &Node) -> Json {
    match &node.value {
        Value::Null | Value::Unknown => Json::Null,
        Value::Scalar(text) if is_quoted(node) => Json::String(text.clone()),
        Value::Scalar(text) => scalar(text),
        Value::List(items) => Json::Array(items.iter().map(value).collect()),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), value(&entry.value)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// A number or a word as JSON has it, or else a text.
fn scalar(text: &str) -> Json {
    match serde_json::from_str::<Json>(text) {
        Ok(read @ (Json::Null | Json::Bool(_) | Json::Number(_))) => read,
        _ => Json::String(text.to_owned()),
    }
}

/// Whether a text is written as one: in quotes, with a tag, or below a `|` or `>`.
fn is_quoted(node: &Node) -> bool {
    let line = node.mark.source.line(node.mark.line);
    let column = usize::try_from(node.mark.column).unwrap_or(1).saturating_sub(1);
    let before: String = line.chars().take(column).collect();
    let mut written: String = line.chars().skip(column).collect();
    if written.starts_with('&') {
        // An anchor stands before what it names.
        written = written.split_once(' ').map(|(_, rest)| rest.to_owned()).unwrap_or_default();
    }
    let above = node.mark.source.line(node.mark.line.saturating_sub(1));
    let header = above.split_whitespace().next_back().unwrap_or_default();
    let is_block = before.trim().is_empty() && header.starts_with(['|', '>']);
    is_block || written.trim_start().starts_with(['"', '\'', '!'])
}
