//! Place holders: whether what they name will be there.

use crate::{
    read::Reader,
    source::Mark,
    suggest,
    tree::{Entry, Node, Value},
};
use base::{Code, Diagnostic};
use logic::{
    template::{Reference, Root, SyntaxError, Template},
    tx::{
        Mode,
        target::{Call, Target},
    },
};
use std::collections::BTreeSet;

/// What place holders of a step may name besides the input.
pub(super) struct Known<'a> {
    pub(super) mode: Mode,
    /// The step's own name.
    pub(super) own: &'a str,
    /// Names of all steps, and whether they are called.
    pub(super) all: &'a [(String, bool)],
    /// Those that have answered when it is its turn.
    pub(super) above: &'a BTreeSet<String>,
    /// It is done with the decision.
    pub(super) joins: bool,
}

/// No step.
static NONE: BTreeSet<String> = BTreeSet::new();

impl Known<'static> {
    /// Only the input.
    pub(super) const INPUT: Self =
        Self { mode: Mode::Message, own: "", all: &[], above: &NONE, joins: false };
}

impl Known<'_> {
    /// Whether a step stands after this one.
    fn is_below(&self, name: &str) -> bool {
        let position = |wanted: &str| self.all.iter().position(|(name, _)| name == wanted);
        position(name) > position(self.own)
    }
}

impl Reader<'_> {
    /// Whether the place holders of a call mean something; reported when they do not.
    pub(super) fn places_of_call(&mut self, node: &Node, call: &Call, known: &Known<'_>) -> bool {
        match &call.target {
            Target::Service { path: text, .. } | Target::Url(text) => {
                self.places_of_text(text, &node.mark, known)
            }
            Target::GrpcService { .. } | Target::Grpc { .. } => true,
        }
    }

    /// Whether the place holders of all texts of a value mean something. The depth is bounded by the reader of the file.
    pub(super) fn places_of_value(&mut self, node: &Node, known: &Known<'_>) -> bool {
        match &node.value {
            Value::Null | Value::Unknown => true,
            Value::Scalar(text) => self.places_of_text(text, &node.mark, known),
            Value::List(items) => {
                let mut good = true;
                for item in items {
                    good &= self.places_of_value(item, known);
                }
                good
            }
            Value::Map(entries) => {
                let mut good = true;
                for Entry { key, key_mark, value } in entries {
                    good &= self.places_of_value(value, known);
                    if key.contains("{{") {
                        let message = "a place holder cannot be a key";
                        let label = "only values have place holders";
                        self.problems.error(Code::BAD_VALUE, key_mark, message, label, "");
                        good = false;
                    }
                }
                good
            }
        }
    }

    fn places_of_text(&mut self, text: &str, mark: &Mark, known: &Known<'_>) -> bool {
        let template = match Template::parse(text) {
            Ok(template) => template,
            Err(SyntaxError { at, why, .. }) => {
                let message = "a place holder cannot be read";
                let help =
                    "write `{{input.NAME}}` or `{{steps.ID.body.NAME}}`; `{{{{` stands for `{{`";
                let end = text
                    .get(at..)
                    .and_then(|rest| rest.find("}}"))
                    .map_or(text.len(), |end| at + end + 2);
                let part = text.get(at..end).map_or_else(|| mark.clone(), |part| mark.within(part));
                self.problems.error(Code::BAD_VALUE, &part, message, why, help);
                return false;
            }
        };
        let mut good = true;
        for reference in template.references() {
            good &= self.place(reference, mark, known);
        }
        good
    }

    fn place(&mut self, reference: &Reference, mark: &Mark, known: &Known<'_>) -> bool {
        let Root::Step(step) = &reference.root else { return true };
        if known.above.contains(step) {
            return true;
        }
        let found = known.all.iter().find(|(name, _)| name == step);
        let message = format!("`{{{{{reference}}}}}` is not known there");
        let (label, help) = match found {
            _ if known.own.is_empty() => (
                "only the input is known to it".to_owned(),
                "write `{{input.NAME}}`".to_owned(),
            ),
            _ if known.mode != Mode::Saga => (
                format!("no step of a transaction whose mode is {} sees what another answers", known.mode),
                "write `{{input.NAME}}`".to_owned(),
            ),
            Some((name, _)) if name == known.own => (
                "it is what this step itself answers".to_owned(),
                "an undo finds what to undo by the query parameters `gid` and `branch_id`, which both calls have".to_owned(),
            ),
            Some((_, false)) => {
                ("that step answers nothing: it is done with the decision".to_owned(), String::new())
            }
            Some((name, true)) if known.is_below(name) => (
                format!("`{name}` stands below it"),
                format!("write it above `{}`, and `after: [{name}]`", known.own),
            ),
            Some((name, true)) => {
                (format!("`{name}` need not have answered then"), format!("write `after: [{name}]`"))
            }
            None => {
                let names = known.all.iter().filter(|(_, called)| *called || known.joins).map(|(name, _)| name.as_str());
                match suggest::nearest(step, names) {
                    Some(near) => (format!("did you mean `{near}`?"), String::new()),
                    None => (format!("there is no step `{step}`"), String::new()),
                }
            }
        };
        let problem = Diagnostic::error(Code::BAD_VALUE, message)
            .at(mark.within(&reference.to_string()).place(), label);
        self.problems.add(if help.is_empty() { problem } else { problem.help(help) });
        false
    }
}
