//! Values with place holders: `"{{input.sku}}"`, `"order {{steps.reserve.body.id}}"`.
//!
//! This is no language: a place holder names a value and nothing else. Its path begins with `input` or with `steps`, a step's name and
//! `body`. Then follow names (`.sku`, or `["any text"]`) and positions in lists (`[0]` or `.0`). A `?` at the end says that the value may
//! be missing; it is `null` then. `{{{{` stands for `{{` itself; `}}` outside of a place holder is a text like any other.
//!
//! A text that is exactly one place holder becomes the value with its type. In a longer text a value is put in as text: a text as it is,
//! `null` as nothing, everything else as JSON. Keys of objects are taken as they are.

use serde_json::Value;
use std::fmt;

mod parse;
mod render;

#[cfg(test)]
mod tests;

/// Most place holders of one text; more are a mistake or an attack.
pub const PLACES_MAX: usize = 64;

/// Deepest nesting of a value that is looked into, as of the parser of JSON.
pub const DEPTH_MAX: usize = 128;

/// A text with place holders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Reference),
}

/// What a place holder names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Where it begins.
    pub root: Root,
    /// What follows.
    pub path: Vec<Segment>,
    /// It may be missing.
    pub is_optional: bool,
}

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// What the transaction was given.
    Input,
    /// The body of what the step of this name has answered.
    Step(String),
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// A name in an object.
    Name(String),
    /// A position in a list, from 0; also the name in an object that is written so.
    Index(usize),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}`: {why}")]
pub struct SyntaxError {
    /// What was read, shortened.
    pub text: String,
    /// At which byte of the text the place holder begins.
    pub at: usize,
    /// What is wrong, and how it is right.
    pub why: &'static str,
}

/// Why a template gave no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// It is none.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// What it names is not there.
    #[error("`{{{{{0}}}}}`: there is no such value; write `{{{{{0}?}}}}` if it may be missing")]
    Missing(Reference),
    /// In the path of a URL it would lead somewhere else.
    #[error("`{{{{{0}}}}}` is `.` or `..`, which cannot be part of a path")]
    Dots(Reference),
    /// The value is nested deeper than [`DEPTH_MAX`].
    #[error("nested deeper than {DEPTH_MAX}")]
    Deep,
}

/// What place holders get their values from.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// What the transaction was given.
    pub input: &'a Value,
    /// The body of what a step has answered, by its name; `None`: it has not answered.
    pub step: &'a dyn Fn(&str) -> Option<&'a Value>,
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("input", self.input).finish_non_exhaustive()
    }
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// Names the place holder and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        parse::template(text)
    }

    /// The value: of any type when the text is one place holder, otherwise a text.
    ///
    /// # Errors
    /// [`RenderError::Missing`].
    pub fn render(&self, scope: &Scope<'_>) -> Result<Value, RenderError> {
        render::value(&self.parts, scope)
    }

    /// The value as text.
    ///
    /// # Errors
    /// [`RenderError::Missing`].
    pub fn render_text(&self, scope: &Scope<'_>) -> Result<String, RenderError> {
        render::text(&self.parts, scope, |text, _| Ok(text))
    }

    /// The value as a part of a URL: what is put in for place holders is percent-encoded but for RFC 3986's unreserved characters, so that
    /// no value changes which path is called.
    ///
    /// # Errors
    /// [`RenderError::Missing`], [`RenderError::Dots`].
    pub fn render_url(&self, scope: &Scope<'_>) -> Result<String, RenderError> {
        render::text(&self.parts, scope, render::encoded)
    }

    /// What it names, in order.
    pub fn references(&self) -> impl Iterator<Item = &Reference> {
        self.parts.iter().filter_map(|part| match part {
            Part::Place(reference) => Some(reference),
            Part::Text(_) => None,
        })
    }
}

/// Renders all texts of a value.
///
/// # Errors
/// The first that is no template, or that names what is missing.
pub fn render(value: &Value, scope: &Scope<'_>) -> Result<Value, RenderError> {
    render::whole(value, scope, DEPTH_MAX)
}

/// What all texts of a value name, in order.
///
/// # Errors
/// The first text that is no template; [`RenderError::Deep`].
pub fn references(value: &Value) -> Result<Vec<Reference>, RenderError> {
    let mut found = Vec::new();
    render::collect(value, &mut found, DEPTH_MAX)?;
    Ok(found)
}

impl fmt::Display for Reference {
    /// As it is written between the braces, without the `?`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Root::Input => f.write_str("input")?,
            Root::Step(step) => {
                f.write_str("steps")?;
                name(f, step)?;
                f.write_str(".body")?;
            }
        }
        for segment in &self.path {
            match segment {
                Segment::Name(text) => name(f, text)?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

fn name(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if !text.is_empty() && text.chars().all(parse::is_plain) {
        write!(f, ".{text}")
    } else {
        // Escapes are those of JSON, as they are read.
        write!(f, "[{}]", Value::from(text))
    }
}
