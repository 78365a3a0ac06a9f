//! Values of fields, with variables.

use super::{Known, is_value_char};
use crate::Request;

/// The longest value, in bytes, written or filled in; more is refused or cut off. Servers commonly take 8 KiB
/// for a whole line.
pub const VALUE_LEN_MAX: usize = 4096;

/// What may stand in braces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The client's address.
    Client,
    /// The method.
    Method,
    /// `http` or `https`.
    Scheme,
    /// The host as sent, with a port if there is one.
    Host,
    /// The path as sent, without the query.
    Path,
    /// The query as sent, without `?`; empty when there is none.
    Query,
    /// Who it is; empty for a request that is not authenticated.
    Subject,
    /// The request's `X-Request-Id`; empty unless there is exactly one.
    RequestId,
}

impl Variable {
    const ALL: [(&'static str, Self); 8] = [
        ("client", Self::Client),
        ("method", Self::Method),
        ("scheme", Self::Scheme),
        ("host", Self::Host),
        ("path", Self::Path),
        ("query", Self::Query),
        ("subject", Self::Subject),
        ("request_id", Self::RequestId),
    ];
}

/// Why a text is no value. Offsets are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidValue {
    /// A control character: with CR or LF a value would become two fields.
    #[error("a control character stands at {offset}")]
    Control {
        /// Where.
        offset: usize,
    },
    /// A name that is none of the variables.
    #[error(
        "`{{{name}}}` at {offset} is no variable: there are client, method, scheme, host, path, query, \
         subject and request_id; write `{{{{` for a brace"
    )]
    Unknown {
        /// The name.
        name: String,
        /// Where its brace stands.
        offset: usize,
    },
    /// Longer than [`VALUE_LEN_MAX`].
    #[error("a value has at most 4096 bytes")]
    TooLong,
}

/// A value, parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

impl Value {
    /// Reads `text`, where `{name}` is a variable.
    ///
    /// # Errors
    /// For control characters, unknown variables and texts that are too long.
    pub fn parse(text: &str) -> Result<Self, InvalidValue> {
        let text = text.trim_matches([' ', '\t']);
        if text.len() > VALUE_LEN_MAX {
            return Err(InvalidValue::TooLong);
        }
        if let Some((offset, _)) = text.char_indices().find(|(_, c)| !is_value_char(*c)) {
            return Err(InvalidValue::Control { offset });
        }
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            literal.push_str(before);
            if let Some(next) = after.strip_prefix('{') {
                literal.push('{');
                rest = next;
                continue;
            }
            let Some((name, next)) = after.split_once('}').filter(|(name, _)| is_word(name)) else {
                literal.push('{');
                rest = after;
                continue;
            };
            let Some((_, variable)) = Variable::ALL.iter().find(|(known, _)| *known == name) else {
                let offset = text.len() - after.len() - 1;
                return Err(InvalidValue::Unknown { name: name.to_owned(), offset });
            };
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable(*variable));
            rest = next;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The text when there is no variable in it.
    pub(super) fn into_fixed(mut self) -> Result<String, Self> {
        match self.0.as_mut_slice() {
            [] => Ok(String::new()),
            [Part::Text(text)] => Ok(std::mem::take(text)),
            _ => Err(self),
        }
    }

    /// The value for `request`: without control characters, at most [`VALUE_LEN_MAX`] bytes, and nothing at all
    /// when all of its variables are empty.
    #[must_use]
    pub fn fill(&self, request: &dyn Request, known: Known<'_>) -> String {
        let mut filled = String::new();
        let (mut has_variables, mut has_found) = (false, false);
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Variable(variable) => {
                    has_variables = true;
                    let before = filled.len();
                    push(*variable, request, known, &mut filled);
                    has_found |= filled.len() > before;
                }
            }
        }
        if has_variables && !has_found {
            return String::new();
        }
        let end = filled.floor_char_boundary(VALUE_LEN_MAX);
        filled.truncate(end);
        let trimmed = filled.trim_matches([' ', '\t']);
        if trimmed.len() == filled.len() { filled } else { trimmed.to_owned() }
    }
}

fn push(variable: Variable, request: &dyn Request, known: Known<'_>, into: &mut String) {
    let mut clean = |text: &str| into.extend(text.chars().filter(|c| is_value_char(*c)));
    match variable {
        Variable::Client => clean(&request.client().to_canonical().to_string()),
        Variable::Method => clean(request.method()),
        Variable::Scheme => clean(request.scheme()),
        Variable::Host => clean(request.host()),
        Variable::Path => clean(request.raw_path()),
        Variable::Query => clean(request.query().unwrap_or_default()),
        Variable::Subject => clean(known.subject.unwrap_or_default()),
        Variable::RequestId => {
            let id = request.only("x-request-id").unwrap_or_default();
            clean(&String::from_utf8_lossy(&id));
        }
    }
}

/// Whether `text` looks like the name of a variable: what else stands in braces is meant as it is.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}
