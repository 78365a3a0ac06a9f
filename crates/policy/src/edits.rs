//! Fields that a route adds, sets or removes, in the request and in the response.
//!
//! Names and values are checked when the configuration is read. What the data plane writes itself (framing,
//! hop-by-hop fields, `Host`, the forwarding chain) is refused with the reason: to change it here would
//! break a message, or lie to the service about its client.
//!
//! Values may have variables, in braces: `{client}` the client's address, `{method}`, `{scheme}`, `{host}` (as
//! sent), `{path}` (as sent), `{query}`, `{subject}` (who it is, after authentication), `{request_id}` (the
//! request's `X-Request-Id`). `{{` is a brace; a brace that begins no name, as in JSON, is itself.
//! What a client sent is cleaned before it goes into a field: control characters are dropped.
//!
//! A field that would be set to nothing because its variables are empty is removed: a service that trusts
//! `X-User: {subject}` must not get the one that a client made up.

mod names;
mod refused;
mod value;

pub use names::{InvalidName, NAME_LEN_MAX, field_name, is_token, is_token_byte, is_value_char};
pub use value::{InvalidValue, VALUE_LEN_MAX, Value, Variable};

use crate::{Edit, Effects, Request};
use std::borrow::Cow;

/// The most edits of one list. They are applied one after the other to every request.
pub const EDITS_MAX: usize = 64;

/// What `headers:` says, for requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// For the request, before the service gets it.
    pub request: Changes,
    /// For the response, before the client gets it.
    pub response: Changes,
}

/// Changes of one message. A name stands in one of the three lists only, so their order says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Fields that replace all of their name.
    pub set: Vec<(String, String)>,
    /// Fields beside those of their name.
    pub add: Vec<(String, String)>,
    /// Names that are removed.
    pub remove: Vec<String>,
}

/// Which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// To the service.
    Request,
    /// To the client.
    Response,
}

/// Why an edit cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name is none.
    #[error("not a field name")]
    Name(#[source] InvalidName),
    /// The value cannot be sent.
    #[error("the value of `{name}` cannot be sent")]
    Value {
        /// The field.
        name: String,
        /// What is wrong.
        #[source]
        cause: InvalidValue,
    },
    /// The field is not the configuration's to change.
    #[error("`{name}` cannot be changed here: {reason}")]
    Refused {
        /// The field.
        name: String,
        /// Why, and what to do instead.
        reason: &'static str,
    },
    /// The same name in two places.
    #[error("`{0}` is changed twice")]
    Twice(String),
    /// More than [`EDITS_MAX`].
    #[error("at most 64 fields of a message can be changed")]
    TooMany,
}

/// What is known of a request beyond itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Who it is, after authentication.
    pub subject: Option<&'a str>,
}

/// Compiled edits.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    request: Vec<Compiled>,
    response: Vec<Compiled>,
}

#[derive(Clone, Debug)]
enum Compiled {
    /// The same for every request.
    Fixed(Edit),
    Set(String, Value),
    Add(String, Value),
}

impl Edits {
    /// Checks `config`.
    ///
    /// # Errors
    /// At the first name or value that is refused.
    pub fn new(config: Config) -> Result<Self, Error> {
        Ok(Self {
            request: compile(config.request, Message::Request)?,
            response: compile(config.response, Message::Response)?,
        })
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty()
    }

    /// Adds the edits for `request` and its response to `effects`.
    pub fn apply(&self, request: &dyn Request, known: Known<'_>, effects: &mut Effects) {
        let fill = |edits: &[Compiled], into: &mut Vec<Edit>| {
            into.extend(edits.iter().filter_map(|edit| edit.fill(request, known)));
        };
        fill(&self.request, &mut effects.request);
        fill(&self.response, &mut effects.response);
    }
}

impl Compiled {
    fn fill(&self, request: &dyn Request, known: Known<'_>) -> Option<Edit> {
        match self {
            Self::Fixed(edit) => Some(edit.clone()),
            Self::Set(name, value) => {
                let value = value.fill(request, known);
                let name = Cow::Owned(name.clone());
                Some(match value.is_empty() {
                    true => Edit::Remove(name),
                    false => Edit::Set(name, Cow::Owned(value)),
                })
            }
            Self::Add(name, value) => {
                let value = value.fill(request, known);
                (!value.is_empty()).then(|| Edit::Add(Cow::Owned(name.clone()), Cow::Owned(value)))
            }
        }
    }
}

fn compile(changes: Changes, message: Message) -> Result<Vec<Compiled>, Error> {
    if changes.set.len() + changes.add.len() + changes.remove.len() > EDITS_MAX {
        return Err(Error::TooMany);
    }
    let mut compiled = Vec::new();
    // Removed and set names; and those of `add`, which may repeat there but stand nowhere else.
    let (mut once, mut added) = (Vec::new(), Vec::new());
    for name in changes.remove {
        let name = check_name(&name, message, refused::Change::Remove)?;
        note(&mut once, &name)?;
        compiled.push(Compiled::Fixed(Edit::Remove(Cow::Owned(name))));
    }
    for (name, value) in changes.set {
        let name = check_name(&name, message, refused::Change::Set)?;
        note(&mut once, &name)?;
        compiled.push(match check_value(&name, &value)? {
            Ok(fixed) => Compiled::Fixed(Edit::Set(Cow::Owned(name), Cow::Owned(fixed))),
            Err(value) => Compiled::Set(name, value),
        });
    }
    for (name, value) in changes.add {
        let name = check_name(&name, message, refused::Change::Add)?;
        if once.contains(&name) {
            return Err(Error::Twice(name));
        }
        added.push(name.clone());
        compiled.push(match check_value(&name, &value)? {
            Ok(fixed) => Compiled::Fixed(Edit::Add(Cow::Owned(name), Cow::Owned(fixed))),
            Err(value) => Compiled::Add(name, value),
        });
    }
    Ok(compiled)
}

fn note(once: &mut Vec<String>, name: &str) -> Result<(), Error> {
    if once.iter().any(|known| known == name) {
        return Err(Error::Twice(name.to_owned()));
    }
    once.push(name.to_owned());
    Ok(())
}

fn check_name(name: &str, message: Message, change: refused::Change) -> Result<String, Error> {
    let name = field_name(name).map_err(Error::Name)?;
    match refused::reason(&name, message, change) {
        Some(reason) => Err(Error::Refused { name, reason }),
        None => Ok(name),
    }
}

/// A value without variables as text, one with variables compiled.
fn check_value(name: &str, value: &str) -> Result<Result<String, Value>, Error> {
    let parsed =
        Value::parse(value).map_err(|cause| Error::Value { name: name.to_owned(), cause })?;
    Ok(parsed.into_fixed())
}

#[cfg(test)]
mod tests;
