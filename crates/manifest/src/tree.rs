//! YAML as a tree whose every node knows where it stands.
//!
//! Built from the parser's events by a loop with an explicit stack, never by recursion. What a value
//! *is* (a number, `no`, `1.10`) is not decided here: scalars stay text, and who reads them knows
//! what they want. Merge keys (`<<`), anchors and aliases are resolved here.

use crate::{
    problems::Problems,
    source::{Mark, Source},
};
use base::{Code, Diagnostic};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// Most nodes a file may have once its aliases are copied in: stops "billion laughs", which nests aliases.
const NODES_MAX: usize = 50_000;

/// Deepest nesting. The deepest path of our own format has seven levels; walks over the tree recurse.
const DEPTH_MAX: usize = 40;

/// Most keys in one map: a duplicate is looked for among all of them, so the work grows with the square.
const ENTRIES_MAX: usize = 2_000;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// The scalar, the flow collection, or (for a block collection) the key that it belongs to.
    pub(crate) mark: Mark,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Its text depends on a variable that is not known now; fits everywhere.
    Unknown,
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_mark: Mark,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn scalar(mark: &Mark, text: impl Into<String>) -> Self {
        Self { mark: mark.clone(), value: Value::Scalar(text.into()) }
    }

    pub(crate) fn list(mark: &Mark, items: Vec<Self>) -> Self {
        Self { mark: mark.clone(), value: Value::List(items) }
    }

    pub(crate) fn map(mark: &Mark, entries: Vec<Entry>) -> Self {
        Self { mark: mark.clone(), value: Value::Map(entries) }
    }

    /// The value of `key` when this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Like [`Self::get`], following `path`.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The entries of a map; empty for everything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Scalar(_) | Value::List(_) | Value::Unknown => &[],
        }
    }

    /// The items of a list; empty for everything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            Value::Null | Value::Scalar(_) | Value::Map(_) | Value::Unknown => &[],
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(text) => Some(text),
            Value::Null | Value::List(_) | Value::Map(_) | Value::Unknown => None,
        }
    }

    /// The texts of a list of scalars, or the one scalar; nodes that are neither are left out.
    pub(crate) fn texts(&self) -> Vec<&Self> {
        match &self.value {
            Value::Scalar(_) => vec![self],
            Value::List(items) => items.iter().filter(|item| item.text().is_some()).collect(),
            Value::Null | Value::Map(_) | Value::Unknown => Vec::new(),
        }
    }

    /// Sets `key`, replacing what was there; turns anything but a map into one.
    pub(crate) fn set(&mut self, entry: Entry) {
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        if let Value::Map(entries) = &mut self.value {
            match entries.iter_mut().find(|old| old.key == entry.key) {
                Some(old) => *old = entry,
                None => entries.push(entry),
            }
        }
    }

    /// Takes `key` out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let Value::Map(entries) = &mut self.value else { return None };
        let at = entries.iter().position(|entry| entry.key == key)?;
        Some(entries.remove(at))
    }
}

impl Entry {
    pub(crate) fn new(key: impl Into<String>, key_mark: &Mark, value: Node) -> Self {
        Self { key: key.into(), key_mark: key_mark.clone(), value }
    }
}

/// Reads a text. Syntax errors and keys given twice go to `problems`; `None` only after a syntax error.
pub(crate) fn parse(source: &Arc<Source>, problems: &mut Problems) -> Option<Node> {
    let documents = documents(source, 1, problems)?;
    let empty = Node { mark: Mark::new(source, 1, 1, 1), value: Value::Null };
    Some(documents.into_iter().next().unwrap_or(empty))
}

/// Reads a text of several documents; `None` only after a syntax error.
pub(crate) fn parse_all(source: &Arc<Source>, problems: &mut Problems) -> Option<Vec<Node>> {
    documents(source, usize::MAX, problems)
}

fn documents(source: &Arc<Source>, max: usize, problems: &mut Problems) -> Option<Vec<Node>> {
    let mut builder = Builder::new(source, max, problems);
    for event in Parser::new_from_str(&source.text) {
        let result = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(Box::new(syntax(source, &error))),
        };
        if let Err(problem) = result {
            problems.add(*problem);
            return None;
        }
    }
    Some(builder.roots)
}

/// Explains what the parser did not like.
fn syntax(source: &Arc<Source>, error: &ScanError) -> Diagnostic {
    let marker = error.marker();
    let lines = source.text.lines().count();
    let mark = if marker.line() > lines {
        // What ends too early is shown at the end of the last line that says something.
        let last =
            source.text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).last();
        last.map_or_else(
            || Mark::new(source, 1, 1, 1),
            |(at, line)| Mark::new(source, at + 1, line.trim_end().chars().count() + 1, 1),
        )
    } else {
        Mark::new(source, marker.line(), marker.col() + 1, 1)
    };
    let line = source.text.lines().nth(marker.line().saturating_sub(1)).unwrap_or_default();
    let tabbed = line.chars().take_while(|c| c.is_whitespace()).any(|c| c == '\t');
    let help = if tabbed {
        "YAML is indented with spaces, not with tabs"
    } else {
        "check the indentation, and quote texts that have `: `, ` #`, `{`, `[` or a quote in them"
    };
    Diagnostic::error(Code::SYNTAX, "this is not valid YAML")
        .at(mark.place(), error.info().to_lowercase())
        .help(help)
}

/// A collection that is not closed yet.
struct Open {
    mark: Mark,
    flow: bool,
    anchor: usize,
    entries: Vec<Entry>,
    items: Vec<Node>,
    /// A key that waits for its value.
    key: Option<(String, Mark, bool)>,
    is_map: bool,
    /// Keys that `<<` brought: a key of the map's own may replace them.
    merged: Vec<String>,
    /// Depth of what is inside, to bound what aliases nest.
    inner: usize,
}

struct Builder<'a> {
    source: &'a Arc<Source>,
    problems: &'a mut Problems,
    stack: Vec<Open>,
    /// Finished anchored nodes with their size and depth.
    anchors: BTreeMap<usize, (Node, usize, usize)>,
    nodes: usize,
    documents: usize,
    documents_max: usize,
    /// The documents that are finished.
    roots: Vec<Node>,
}

type Step = Result<(), Box<Diagnostic>>;

impl<'a> Builder<'a> {
    fn new(source: &'a Arc<Source>, documents_max: usize, problems: &'a mut Problems) -> Self {
        let (stack, anchors, roots) = (Vec::new(), BTreeMap::new(), Vec::new());
        Self { source, problems, stack, anchors, nodes: 0, documents: 0, documents_max, roots }
    }

    fn mark(&self, span: Span) -> Mark {
        let start = span.start;
        let rest = self.source.line(u32::try_from(start.line()).unwrap_or(0)).chars().count();
        let length = if span.end.line() == start.line() {
            span.end.index().saturating_sub(start.index())
        } else {
            rest.saturating_sub(start.col())
        };
        Mark::new(self.source, start.line(), start.col() + 1, length)
    }

    fn fail(&self, span: Span, message: &str, help: &str) -> Box<Diagnostic> {
        Box::new(
            Diagnostic::error(Code::SYNTAX, message).at(self.mark(span).place(), "").help(help),
        )
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > self.documents_max {
                    let help = "keep one document a file; `include:` reads further files";
                    return Err(self.fail(span, "a second document starts here", help));
                }
                Ok(())
            }
            Event::Alias(id) => {
                let Some((node, size, depth)) = self.anchors.get(&id) else {
                    return Err(self.fail(
                        span,
                        "this alias stands inside its own anchor",
                        "repeat the value instead",
                    ));
                };
                let (mut node, size, depth) = (node.clone(), *size, *depth);
                if !matches!(node.value, Value::Map(_) | Value::List(_)) {
                    node.mark = self.mark(span);
                }
                self.push(node, size, depth, span, false)
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.as_ref(), span)?;
                let plain = style == ScalarStyle::Plain;
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    text => Value::Scalar(text.to_owned()),
                };
                let node = Node { mark: self.mark(span), value };
                if anchor > 0 {
                    self.anchors.insert(anchor, (node.clone(), 1, 0));
                }
                self.push(node, 1, 0, span, plain)
            }
            Event::SequenceStart(anchor, tag) => self.open(anchor, tag.as_ref(), span, false),
            Event::MappingStart(anchor, tag) => self.open(anchor, tag.as_ref(), span, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
        }
    }

    fn refuse_tag(&self, tag: Option<&Cow<'_, Tag>>, span: Span) -> Step {
        match tag {
            Some(tag)
                if !tag.is_yaml_core_schema() && tag.handle != "!!" && !tag.suffix.is_empty() =>
            {
                let message = format!("the YAML tag `{tag}` is not supported");
                Err(self.fail(span, &message, "remove the tag"))
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        anchor: usize,
        tag: Option<&Cow<'_, Tag>>,
        span: Span,
        is_map: bool,
    ) -> Step {
        self.refuse_tag(tag, span)?;
        if self.stack.len() >= DEPTH_MAX {
            return Err(self.fail(
                span,
                "values are nested too deeply",
                "at most 40 levels are read",
            ));
        }
        let flow = span.end.index() > span.start.index();
        self.stack.push(Open {
            mark: self.mark(span),
            flow,
            anchor,
            entries: Vec::new(),
            items: Vec::new(),
            key: None,
            is_map,
            merged: Vec::new(),
            inner: 0,
        });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Step {
        let Some(mut open) = self.stack.pop() else { return Ok(()) };
        let start = open.mark.clone();
        if open.flow {
            let end = self.mark(span);
            open.mark.length = if end.line == start.line {
                (end.column + 1).saturating_sub(start.column).max(1)
            } else {
                let width = u32::try_from(self.source.line(start.line).trim_end().chars().count())
                    .unwrap_or(1);
                (width + 1).saturating_sub(start.column).max(1)
            };
        }
        let depth = open.inner + 1;
        let (value, size) = if open.is_map {
            let size = open.entries.iter().map(|entry| size_of(&entry.value)).sum::<usize>();
            (Value::Map(open.entries), size + 1)
        } else {
            let size = open.items.iter().map(size_of).sum::<usize>();
            (Value::List(open.items), size + 1)
        };
        let mut node = Node { mark: open.mark, value };
        if !open.flow {
            // A block collection has no extent of its own; what names it is its key.
            if let Some((_, key_mark, _)) = self.stack.last().and_then(|parent| parent.key.as_ref())
            {
                node.mark = key_mark.clone();
            } else if let Some(entry) = node.entries().first() {
                node.mark = entry.key_mark.clone();
            }
        }
        if open.anchor > 0 {
            self.anchors.insert(open.anchor, (node.clone(), size, depth));
        }
        // The nodes inside were counted when they came.
        self.push(node, 1, depth, span, false)
    }

    /// Puts a finished node where it belongs: the root, a list, a key, or a key's value.
    fn push(&mut self, node: Node, size: usize, depth: usize, span: Span, plain: bool) -> Step {
        self.nodes += size;
        if self.nodes > NODES_MAX || self.stack.len() + depth > DEPTH_MAX {
            let help = "aliases are copied in where they are used; write fewer of them";
            return Err(self.fail(
                span,
                "the file grows too large when its aliases are followed",
                help,
            ));
        }
        let Some(open) = self.stack.last_mut() else {
            self.roots.push(node);
            return Ok(());
        };
        open.inner = open.inner.max(depth);
        if !open.is_map {
            open.items.push(node);
            return Ok(());
        }
        let Some((key, key_mark, merge)) = open.key.take() else {
            return match node.value {
                Value::Scalar(key) => {
                    let merge = plain && key == "<<";
                    open.key = Some((key, node.mark, merge));
                    Ok(())
                }
                Value::Null => {
                    Err(self.fail(span, "a key is missing before `:`", "write the key's name"))
                }
                Value::List(_) | Value::Map(_) | Value::Unknown => Err(self.fail(
                    span,
                    "a key must be a plain text",
                    "quote the key if it has `{` or `[` in it, and a text with a place holder: \"{{input.name}}\"",
                )),
            };
        };
        let mut value = node;
        if matches!(value.value, Value::Null) {
            value.mark = key_mark.clone();
        }
        if merge {
            return self.merge(value, span);
        }
        self.insert(Entry { key, key_mark, value }, span)
    }

    /// Adds an entry to the open map; a key given twice is reported and the first one stays.
    fn insert(&mut self, entry: Entry, span: Span) -> Step {
        let Some(open) = self.stack.last_mut() else { return Ok(()) };
        if open.entries.len() >= ENTRIES_MAX {
            return Err(self.fail(
                span,
                "this map has too many keys",
                "at most 2000 keys are read in one map",
            ));
        }
        let Some(first) = open.entries.iter_mut().find(|old| old.key == entry.key) else {
            open.entries.push(entry);
            return Ok(());
        };
        // A key in the map itself wins over one that `<<` brought, wherever the `<<` stands.
        if let Some(at) = open.merged.iter().position(|key| *key == entry.key) {
            open.merged.remove(at);
            *first = entry;
            return Ok(());
        }
        let message = format!("the key `{}` is given twice", entry.key);
        let note = format!("it is given first in {}", first.key_mark.seen_from(&entry.key_mark));
        self.problems.add(
            Diagnostic::error(Code::DUPLICATE, message)
                .at(entry.key_mark.place(), "given again here")
                .note(note)
                .help("keep one of them"),
        );
        Ok(())
    }

    /// Follows `<<`: entries that the map does not have itself.
    fn merge(&mut self, value: Node, span: Span) -> Step {
        let maps: Vec<Node> = match value.value {
            Value::Map(_) => vec![value],
            Value::List(items) if items.iter().all(|item| matches!(item.value, Value::Map(_))) => {
                items
            }
            Value::Null | Value::Scalar(_) | Value::List(_) | Value::Unknown => {
                return Err(self.fail(
                    span,
                    "`<<` must be given a map or a list of maps",
                    "write `<<: *anchor`",
                ));
            }
        };
        let Some(open) = self.stack.last_mut() else { return Ok(()) };
        for entry in maps.iter().flat_map(Node::entries) {
            if !open.entries.iter().any(|old| old.key == entry.key) {
                open.merged.push(entry.key.clone());
                open.entries.push(entry.clone());
            }
        }
        Ok(())
    }
}

/// How many nodes it has, itself included.
fn size_of(node: &Node) -> usize {
    1 + node.entries().iter().map(|entry| size_of(&entry.value)).sum::<usize>()
        + node.items().iter().map(size_of).sum::<usize>()
}
