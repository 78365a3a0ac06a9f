//! The strict check: does a tree have the shape that the table describes?
//!
//! Everything that can be said of a value by itself is said here; what depends on other values is said by
//! [`crate::read`]. Variables are replaced on the way, because only here it is known which texts are the shell's.

use crate::{
    interpolate::{Failure, Rules, interpolate},
    problems::Problems,
    secret,
    shape::{EventForm, Form, Misfit, Shape, Table},
    source::Mark,
    suggest, table,
    tree::{Entry, Node, Value},
};
use base::{Code, Diagnostic};
use std::collections::BTreeMap;

/// Checks a tree against a shape and replaces variables in it.
pub(crate) struct Checker<'a> {
    /// The environment for `${NAME}`; `None` when the text was replaced before.
    pub(crate) vars: Option<&'a BTreeMap<String, String>>,
    /// Environments that are not asked for: what is not set there is not a problem now.
    pub(crate) environment: Option<&'a str>,
    pub(crate) problems: &'a mut Problems,
    path: Vec<String>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(
        vars: Option<&'a BTreeMap<String, String>>,
        environment: Option<&'a str>,
        problems: &'a mut Problems,
    ) -> Self {
        Self { vars, environment, problems, path: Vec::new() }
    }

    pub(crate) fn check(&mut self, node: &mut Node, shape: &'static Shape) {
        match (&mut node.value, shape) {
            (Value::Unknown, _) => {}
            (_, Shape::Data) => self.data(node),
            (_, Shape::Any(shapes)) => self.any(node, shapes),
            (Value::Scalar(_), Shape::Scalar(form)) => self.scalar(node, *form),
            (
                Value::Null,
                Shape::Scalar(Form::Value | Form::Variable)
                | Shape::Keys(_)
                | Shape::Names { .. }
                | Shape::Mixed { .. },
            ) => {}
            (Value::List(items), Shape::List(shape)) => {
                for item in items {
                    self.check(item, shape);
                }
            }
            (Value::Map(entries), Shape::Keys(table)) => self.keys(entries, table),
            (Value::Map(entries), Shape::Names { value, .. }) => {
                for entry in entries {
                    self.path.push(entry.key.clone());
                    self.check(&mut entry.value, value);
                    self.path.pop();
                }
            }
            (Value::Map(entries), Shape::Mixed { table, value, .. }) => {
                for entry in entries.iter_mut().filter(|entry| !entry.key.starts_with("x-")) {
                    let known = table.keys.iter().find(|key| key.name == entry.key);
                    // What is neither known nor a map can only be a known key that was misspelt.
                    let is_name = matches!(entry.value.value, Value::Map(_) | Value::Null);
                    match known.map(|key| key.shape).or(is_name.then_some(*value)) {
                        Some(shape) => {
                            self.path.push(entry.key.clone());
                            self.check(&mut entry.value, shape);
                            self.path.pop();
                        }
                        None => self.unknown_key(entry, table),
                    }
                }
            }
            (
                _,
                Shape::Scalar(_)
                | Shape::List(_)
                | Shape::Keys(_)
                | Shape::Names { .. }
                | Shape::Mixed { .. },
            ) => {
                self.wrong_type(node, &[shape]);
            }
        }
    }

    /// Any value: only variables are replaced.
    fn data(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Scalar(_) => self.scalar(node, Form::Value),
            Value::List(items) => items.iter_mut().for_each(|item| self.data(item)),
            Value::Map(entries) => {
                for entry in entries {
                    self.path.push(entry.key.clone());
                    self.data(&mut entry.value);
                    self.path.pop();
                }
            }
            Value::Null | Value::Unknown => {}
        }
    }

    /// The alternative of the node's own kind; alternatives never share a kind.
    fn any(&mut self, node: &mut Node, shapes: &'static [Shape]) {
        let fits = |shape: &&Shape| match (&node.value, shape) {
            (Value::Scalar(_), Shape::Scalar(_)) | (Value::List(_), Shape::List(_)) => true,
            (
                Value::Map(_) | Value::Null,
                Shape::Keys(_) | Shape::Names { .. } | Shape::Mixed { .. },
            ) => true,
            (
                Value::Null | Value::Scalar(_) | Value::List(_) | Value::Map(_) | Value::Unknown,
                _,
            ) => false,
        };
        match shapes.iter().find(fits) {
            Some(shape) => self.check(node, shape),
            None => self.wrong_type(node, &shapes.iter().collect::<Vec<_>>()),
        }
    }

    fn keys(&mut self, entries: &mut [Entry], table: &'static Table) {
        for entry in entries {
            if let Some(key) = table.keys.iter().find(|key| key.name == entry.key) {
                self.path.push(entry.key.clone());
                self.check(&mut entry.value, key.shape);
                self.path.pop();
            } else if !entry.key.starts_with("x-") {
                self.unknown_key(entry, table);
            }
        }
    }

    fn unknown_key(&mut self, entry: &Entry, table: &'static Table) {
        let key = &entry.key;
        let owner = match self.path.as_slice() {
            [] => String::new(),
            _ => format!(" in {}", self.subject()),
        };
        let names = || table.keys.iter().map(|key| key.name);
        let mut problem =
            Diagnostic::error(Code::UNKNOWN_KEY, format!("unknown key `{key}`{owner}"));
        let mut label = String::new();
        if table.later.contains(&key.as_str()) {
            label.push_str("not supported by this version yet");
            problem = problem.help(format!("remove `{key}`, or use a version that supports it"));
        } else if let Some((_, hint)) = table.hints.iter().find(|(name, _)| name == key) {
            problem = problem.help(*hint);
        } else if let Some(near) = suggest::nearest(key, names()) {
            label = format!("did you mean `{near}`?");
        } else {
            problem = problem
                .help(format!("the keys here are {}", names().collect::<Vec<_>>().join(", ")));
        }
        self.problems.add(problem.at(entry.key_mark.place(), label));
    }

    fn scalar(&mut self, node: &mut Node, form: Form) {
        // What came out of a variable may be a secret: a message shows what stands in the file.
        let written = node.text().unwrap_or_default().to_owned();
        if let Some(vars) = self.vars
            && form.is_interpolated()
        {
            self.replace(node, vars);
        }
        let Value::Scalar(text) = &node.value else { return };
        if self.vars.is_some() && !form.takes_secrets() && !secret::references(text).is_empty() {
            return self.no_place_for_secrets(node, form);
        }
        let (why, part) = match form.check(text) {
            Ok(()) => return,
            Err(Misfit::Type) => return self.wrong_type(node, &[&Shape::Scalar(form)]),
            Err(Misfit::Value(why)) => (why, None),
            Err(Misfit::Part { why, at }) => (why, Some(at)),
        };
        // A text that came out of variables does not stand in the file.
        let mark = match part.filter(|_| written == *text) {
            Some(part) => node.mark.inside(text, part),
            None => node.mark.clone(),
        };
        let message = match form {
            form if form.is_hidden() => format!("{} cannot be used", self.subject()),
            _ => format!("{} cannot be `{}`", self.subject(), shorten(&written)),
        };
        let near = match form {
            Form::Word(words) => suggest::nearest(text, words.iter().copied()),
            _ => None,
        };
        let code = match form {
            Form::Condition | Form::Event(EventForm::Condition) => Code::CONDITION,
            _ => Code::BAD_VALUE,
        };
        let problem = Diagnostic::error(code, message);
        self.problems.add(match near {
            Some(near) => problem.at(mark.place(), format!("did you mean `{near}`?")).help(why),
            None => problem.at(mark.place(), why),
        });
    }

    fn no_place_for_secrets(&mut self, node: &mut Node, form: Form) {
        let message = format!("{} cannot hold a secret", self.subject());
        let label = match form {
            Form::Shell => "everybody on the machine can read command lines",
            _ => "`${secret:NAME}` is not replaced here",
        };
        let mark = node.mark.within(secret::START);
        let problem = Diagnostic::error(Code::BAD_VALUE, message).at(mark.place(), label);
        self.problems.add(problem.help(secret::PLACES));
        node.value = Value::Unknown;
    }

    /// Replaces the variables of a text; one that is missing makes the value unknown.
    fn replace(&mut self, node: &mut Node, vars: &BTreeMap<String, String>) {
        let Value::Scalar(text) = &mut node.value else { return };
        if !text.contains('$') {
            return;
        }
        let (replaced, failures) = interpolate(text, vars, Rules::Own);
        if failures.is_empty() {
            *text = replaced;
            return;
        }
        node.value = Value::Unknown;
        let other_environment = self.path.first().is_some_and(|key| key == "environments")
            && self.path.get(1).map(String::as_str) != self.environment;
        for failure in &failures {
            if !other_environment
                || matches!(failure, Failure::Malformed { .. } | Failure::Secret { .. })
            {
                self.problems.add(variable_problem(failure, &node.mark));
            }
        }
    }

    fn wrong_type(&mut self, node: &Node, shapes: &[&Shape]) {
        let expected: Vec<String> = shapes.iter().map(|shape| describe(shape)).collect();
        let expected = expected.join(" or ");
        let (found, is) = match &node.value {
            Value::Null => ("nothing stands here".to_owned(), "is empty"),
            Value::Scalar(text) => {
                (format!("`{}` is not {expected}", shorten(text)), "has the wrong type")
            }
            Value::List(_) => ("this is a list".to_owned(), "has the wrong type"),
            Value::Map(_) => ("this is a map".to_owned(), "has the wrong type"),
            Value::Unknown => return,
        };
        let message = format!("{} {is}", self.subject());
        let help = match &node.value {
            Value::Null => format!("write {expected}, or remove the key"),
            // The label says it.
            Value::Scalar(text) => match self.path.as_slice() {
                [.., kind, name] if kind == "services" || kind == "jobs" => {
                    format!("write `{name}: {{ run: {} }}`", shorten(text))
                }
                _ => String::new(),
            },
            Value::List(_) | Value::Map(_) | Value::Unknown => format!("write {expected}"),
        };
        self.problems.error(Code::WRONG_TYPE, &node.mark, message, found, &help);
    }

    /// What the present path is called: ``service `users` ``, `` `stop.grace` of service `users` ``.
    fn subject(&self) -> String {
        subject(&self.path)
    }
}

/// What a path is called.
pub(crate) fn subject(path: &[String]) -> String {
    let inner = match path {
        [first, _, rest @ ..] if first == "environments" && !rest.is_empty() => rest,
        all => all,
    };
    match inner {
        [] => "the file".to_owned(),
        [kind, name] if kind == "services" => format!("service `{name}`"),
        [kind, name] if kind == "jobs" => format!("job `{name}`"),
        [kind, name, key @ ..] if kind == "services" => {
            format!("`{}` of service `{name}`", key.join("."))
        }
        [kind, name, key @ ..] if kind == "jobs" => format!("`{}` of job `{name}`", key.join(".")),
        [kind, name, key @ ..]
            if kind == "transactions"
                && !key.is_empty()
                && !table::is_key_of_transactions(name) =>
        {
            format!("`{}` of transaction `{name}`", key.join("."))
        }
        [gateway, routes, route] if gateway == "gateway" && routes == "routes" => {
            format!("route `{route}`")
        }
        [gateway, routes, route, key @ ..] if gateway == "gateway" && routes == "routes" => {
            format!("`{}` of route `{route}`", key.join("."))
        }
        key => format!("`{}`", key.join(".")),
    }
}

fn describe(shape: &Shape) -> String {
    match shape {
        Shape::Scalar(form) => form.expected(),
        Shape::List(_) => "a list".to_owned(),
        Shape::Keys(_) => "a map".to_owned(),
        Shape::Names { what, .. } | Shape::Mixed { what, .. } => format!("a map by {what}"),
        Shape::Any(shapes) => shapes.iter().map(describe).collect::<Vec<_>>().join(" or "),
        Shape::Data => "any value".to_owned(),
    }
}

/// Says what is wrong with a variable in a text that stands at `mark`.
pub(crate) fn variable_problem(failure: &Failure, mark: &Mark) -> Diagnostic {
    match failure {
        Failure::Unset { name } => {
            let message = format!("the environment variable `{name}` is not set");
            let mark = [format!("${{{name}"), format!("${name}")]
                .iter()
                .map(|part| (part, mark.within(part)))
                .find(|(part, found)| found.length as usize == part.chars().count())
                .map_or_else(|| mark.clone(), |(_, found)| found);
            Diagnostic::error(Code::VARIABLE, message)
                .at(mark.place(), "and there is no default")
                .help(format!(
                    "set it, or give it a default: `${{{name}:-value}}`; `$$` is a dollar sign"
                ))
        }
        Failure::Required { name, message } => {
            let text = format!("the environment variable `{name}` is not set");
            let label = if message.is_empty() { "it must be set" } else { message };
            let mark = mark.within(&format!("${{{name}"));
            Diagnostic::error(Code::VARIABLE, text)
                .at(mark.place(), label)
                .help(format!("set `{name}`"))
        }
        Failure::Secret { text, why } => {
            // A default that somebody wrote is a secret that somebody wrote.
            let shown = text.split_once(":-").map_or(text.as_str(), |(start, _)| start);
            let message = format!("`{}` cannot be a secret", shorten(shown));
            Diagnostic::error(Code::BAD_VALUE, message)
                .at(mark.within(secret::START).place(), why)
                .help("write `${secret:NAME}`")
        }
        Failure::Malformed { text } => {
            let message = format!("`{}` is not a variable", shorten(text));
            Diagnostic::error(Code::VARIABLE, message)
                .at(mark.within("${").place(), "cannot be read")
                .help("write `${NAME}` or `${NAME:-default}`; `$$` is a dollar sign")
        }
    }
}

/// A value for a message: one line, not too long.
pub(crate) fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > CHARS_MAX || line.len() < text.len() {
        format!("{}…", line.chars().take(CHARS_MAX).collect::<String>())
    } else {
        line.to_owned()
    }
}
