//! From templates to values.

use super::{Part, Reference, RenderError, Root, Scope, Segment, Template};
use serde_json::{Map, Value};
use std::{borrow::Cow, fmt::Write};

pub(super) fn value(parts: &[Part], scope: &Scope<'_>) -> Result<Value, RenderError> {
    match parts {
        [Part::Place(reference)] => Ok(found(reference, scope)?.clone()),
        parts => Ok(Value::String(text(parts, scope, |text, _| Ok(text))?)),
    }
}

pub(super) fn text(
    parts: &[Part],
    scope: &Scope<'_>,
    put: impl for<'a> Fn(Cow<'a, str>, &Reference) -> Result<Cow<'a, str>, RenderError>,
) -> Result<String, RenderError> {
    let mut whole = String::new();
    for part in parts {
        match part {
            Part::Text(text) => whole.push_str(text),
            Part::Place(reference) => {
                let text = match found(reference, scope)? {
                    Value::String(text) => Cow::Borrowed(text.as_str()),
                    Value::Null => Cow::Borrowed(""),
                    other => Cow::Owned(other.to_string()),
                };
                whole.push_str(&put(text, reference)?);
            }
        }
    }
    Ok(whole)
}

pub(super) fn encoded<'a>(
    text: Cow<'a, str>,
    reference: &Reference,
) -> Result<Cow<'a, str>, RenderError> {
    // A dot cannot be encoded away: `%2e%2e` means the parent as well.
    if matches!(&*text, "." | "..") {
        return Err(RenderError::Dots(reference.clone()));
    }
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if text.bytes().all(is_unreserved) {
        return Ok(text);
    }
    let mut whole = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        if is_unreserved(byte) {
            whole.push(char::from(byte));
        } else {
            // Writing to a text does not fail.
            let _ = write!(whole, "%{byte:02X}");
        }
    }
    Ok(Cow::Owned(whole))
}

/// What a place holder names.
fn found<'a>(reference: &Reference, scope: &Scope<'a>) -> Result<&'a Value, RenderError> {
    let mut value = match &reference.root {
        Root::Input => Some(scope.input),
        Root::Step(step) => (scope.step)(step),
    };
    for segment in &reference.path {
        value = value.and_then(|value| match segment {
            Segment::Name(name) => value.get(name),
            Segment::Index(index) if value.is_object() => value.get(index.to_string()),
            Segment::Index(index) => value.get(index),
        });
    }
    match value {
        Some(value) => Ok(value),
        None if reference.is_optional => Ok(&Value::Null),
        None => Err(RenderError::Missing(reference.clone())),
    }
}

pub(super) fn whole(value: &Value, scope: &Scope<'_>, depth: usize) -> Result<Value, RenderError> {
    let Some(depth) = depth.checked_sub(1) else { return Err(RenderError::Deep) };
    Ok(match value {
        Value::String(text) if text.contains("{{") => Template::parse(text)?.render(scope)?,
        Value::Array(values) => Value::Array(
            values.iter().map(|value| whole(value, scope, depth)).collect::<Result<_, _>>()?,
        ),
        Value::Object(values) => Value::Object(
            values
                .iter()
                .map(|(key, value)| Ok((key.clone(), whole(value, scope, depth)?)))
                .collect::<Result<Map<_, _>, RenderError>>()?,
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    })
}

pub(super) fn collect(
    value: &Value,
    found: &mut Vec<Reference>,
    depth: usize,
) -> Result<(), RenderError> {
    let Some(depth) = depth.checked_sub(1) else { return Err(RenderError::Deep) };
    match value {
        Value::String(text) if text.contains("{{") => {
            found.extend(Template::parse(text)?.references().cloned());
        }
        Value::Array(values) => {
            values.iter().try_for_each(|value| collect(value, found, depth))?;
        }
        Value::Object(values) => {
            values.values().try_for_each(|value| collect(value, found, depth))?;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Ok(())
}
