//! From texts to templates.

use super::{PLACES_MAX, Part, Reference, Root, Segment, SyntaxError, Template};

/// Most characters of a text that an error repeats.
const QUOTED_MAX: usize = 60;

pub(super) fn template(text: &str) -> Result<Template, SyntaxError> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        plain.push_str(before);
        let at = text.len() - after.len() - "{{".len();
        if let Some(after) = after.strip_prefix("{{") {
            plain.push_str("{{");
            rest = after;
            continue;
        }
        let error = |why| SyntaxError { text: quoted(text.get(at..).unwrap_or_default()), at, why };
        let (inner, after) =
            inner(after).ok_or_else(|| error("the place holder does not end: `}}` is missing"))?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Place(reference(inner.trim()).map_err(error)?));
        if parts.len() > 2 * PLACES_MAX {
            return Err(error("too many place holders in one text"));
        }
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(Template { parts })
}

/// What stands before the closing braces, and after them. Braces within quotes do not close.
fn inner(text: &str) -> Option<(&str, &str)> {
    let mut is_quoted = false;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            '}' if !is_quoted => {
                let (inner, rest) = text.split_at(at);
                if let Some(after) = rest.strip_prefix("}}") {
                    return Some((inner, after));
                }
            }
            _ => {}
        }
    }
    None
}

fn reference(text: &str) -> Result<Reference, &'static str> {
    let (text, is_optional) = match text.strip_suffix('?') {
        Some(text) => (text.trim_end(), true),
        None => (text, false),
    };
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (root, rest) = text.split_at(end);
    let mut path = segments(rest)?;
    let root = match root {
        "input" => Root::Input,
        "steps" => {
            let mut all = path.into_iter();
            let step = match all.next() {
                Some(Segment::Name(step)) => step,
                Some(Segment::Index(number)) => number.to_string(),
                None => return Err("name the step: `steps.NAME.body`"),
            };
            if all.next() != Some(Segment::Name("body".to_owned())) {
                return Err("of a step there is its `body` only: `steps.NAME.body`");
            }
            path = all.collect();
            Root::Step(step)
        }
        _ => return Err("a place holder begins with `input` or `steps`; `{{{{` writes two braces"),
    };
    Ok(Reference { root, path, is_optional })
}

fn segments(mut text: &str) -> Result<Vec<Segment>, &'static str> {
    let mut path = Vec::new();
    while !text.is_empty() {
        let (segment, rest) = if let Some(rest) = text.strip_prefix('.') {
            dotted(rest)?
        } else if let Some(rest) = text.strip_prefix('[') {
            bracketed(rest)?
        } else {
            return Err("after `]` comes `.` or `[`");
        };
        path.push(segment);
        text = rest;
    }
    Ok(path)
}

fn dotted(text: &str) -> Result<(Segment, &str), &'static str> {
    let end = text.find(['.', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err("a name consists of letters, digits, `-` and `_`; others are written [\"so\"]");
    }
    Ok((index(name).map_or_else(|| Segment::Name(name.to_owned()), Segment::Index), rest))
}

fn bracketed(text: &str) -> Result<(Segment, &str), &'static str> {
    const WHY: &str = "in brackets stands a position, as [0], or a name, as [\"so\"]";
    if text.starts_with('"') {
        // JSON knows how a quoted text ends and what its escapes mean.
        let mut names = serde_json::Deserializer::from_str(text).into_iter::<String>();
        let name = names.next().and_then(Result::ok).ok_or(WHY)?;
        let rest = text.get(names.byte_offset()..).and_then(|rest| rest.strip_prefix(']'));
        return Ok((Segment::Name(name), rest.ok_or(WHY)?));
    }
    let (inner, rest) = text.split_once(']').ok_or(WHY)?;
    Ok((Segment::Index(index(inner).ok_or(WHY)?), rest))
}

/// A position as JSON pointers write it: digits without a leading zero.
fn index(text: &str) -> Option<usize> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let has_zero = text.len() > 1 && text.starts_with('0');
    if is_number && !has_zero { text.parse().ok() } else { None }
}

pub(super) fn is_plain(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '-' | '_')
}

fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
