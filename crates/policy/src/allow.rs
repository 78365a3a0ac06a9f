//! `allow:` a condition on the request and on who makes it, in CEL (see `logic::condition`).
//!
//! | Variable | What |
//! |---|---|
//! | `request.method`, `.scheme`, `.host`, `.path` | as they are matched: the host in lowercase without its port, the path normalised |
//! | `request.query` | what follows `?`, as sent; empty when there is none |
//! | `request.parameters['x']` | a parameter of the query, unescaped; there is no answer if it stands there twice |
//! | `request.headers['x']` | a field, its values joined by `, `; names in any case |
//! | `request.client` | the client's address, as in `request.client.inNetwork('10.0.0.0/8')` |
//! | `claims.x` | a claim of the token; with an API key or a password there are none |
//! | `subject` | who it is; empty when nobody had to say |
//!
//! A condition that has no answer (a claim is missing, a number is compared with a text) is no permission, and
//! is counted, so that a mistyped condition shows.

#[cfg(test)]
mod tests;

use crate::{
    Request,
    auth::{Identity, unescape},
};
use logic::condition::{Condition, Kind, Value, Variable};
use std::{
    borrow::Cow,
    cell::Cell,
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

pub use logic::condition::{CompileError, TEXT_SIZE_MAX};

/// What conditions on requests may refer to.
pub const VARIABLES: &[Variable] = &[
    Variable { name: "claims", kind: Kind::Map },
    Variable { name: "request.client", kind: Kind::Single },
    Variable { name: "request.headers", kind: Kind::Fields },
    Variable { name: "request.host", kind: Kind::Single },
    Variable { name: "request.method", kind: Kind::Single },
    Variable { name: "request.parameters", kind: Kind::Map },
    Variable { name: "request.path", kind: Kind::Single },
    Variable { name: "request.query", kind: Kind::Single },
    Variable { name: "request.scheme", kind: Kind::Single },
    Variable { name: "subject", kind: Kind::Single },
];

/// A condition that requests must meet.
#[derive(Debug)]
pub struct Allow {
    condition: Condition,
    denied: AtomicU64,
    failed: AtomicU64,
}

impl Allow {
    /// Compiles `text`.
    ///
    /// # Errors
    /// What is wrong with it, and at which byte.
    pub fn new(text: &str) -> Result<Self, CompileError> {
        let condition = Condition::compile(text, VARIABLES)?;
        Ok(Self { condition, denied: AtomicU64::new(0), failed: AtomicU64::new(0) })
    }

    /// Whether `request` of `identity` meets the condition.
    pub fn check(&self, request: &dyn Request, identity: Option<&Identity>) -> bool {
        let count = match self.evaluate(request, identity) {
            Ok(true) => return true,
            Ok(false) => &self.denied,
            Err(_) => &self.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn evaluate(&self, request: &dyn Request, identity: Option<&Identity>) -> Result<bool, String> {
        let view = View { request, identity, is_ambiguous: Cell::new(false) };
        let answer = self.condition.evaluate(&|variable, key| view.look_up(variable, key));
        if view.is_ambiguous.get() {
            // Whichever the condition saw, the service may take the other.
            return Err("a parameter stands there twice".to_owned());
        }
        answer.map_err(|error| error.to_string())
    }

    /// Why the condition has no answer for `request`, for people; `None` when it has.
    pub fn explain(&self, request: &dyn Request, identity: Option<&Identity>) -> Option<String> {
        self.evaluate(request, identity).err()
    }

    /// How many requests it refused.
    #[must_use]
    pub fn denied(&self) -> u64 {
        self.denied.load(Ordering::Relaxed)
    }

    /// For how many requests it had no answer, so they were refused too.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// What a condition looks at.
struct View<'a> {
    request: &'a dyn Request,
    identity: Option<&'a Identity>,
    is_ambiguous: Cell<bool>,
}

impl<'a> View<'a> {
    fn look_up(&self, variable: &str, key: Option<&str>) -> Option<Value<'a>> {
        let (request, identity) = (self.request, self.identity);
        let borrowed = |text: &'a str| Some(Value::Text(Cow::Borrowed(text)));
        match variable {
            "request.method" => borrowed(request.method()),
            "request.scheme" => borrowed(request.scheme()),
            "request.path" => borrowed(request.path()),
            "request.query" => borrowed(request.query().unwrap_or_default()),
            "request.host" => Some(Value::Text(Cow::Owned(host_name(request.host())))),
            "request.client" => {
                Some(Value::Text(Cow::Owned(request.client().to_canonical().to_string())))
            }
            "request.headers" => match key {
                Some(key) => field(request, key),
                None => Some(fields(request)),
            },
            "request.parameters" => self.parameters(key),
            "subject" => borrowed(
                identity.and_then(|identity| identity.subject.as_deref()).unwrap_or_default(),
            ),
            "claims" => {
                let claims = identity.and_then(|identity| identity.claims.as_deref());
                match key {
                    Some(key) => claims?.get(key).map(value),
                    None => {
                        let entry = |(name, claim): (&'a String, _)| {
                            (Cow::Borrowed(name.as_str()), value(claim))
                        };
                        Some(Value::Map(claims.into_iter().flatten().map(entry).collect()))
                    }
                }
            }
            _ => None,
        }
    }

    fn parameters(&self, key: Option<&str>) -> Option<Value<'a>> {
        let mut found = BTreeMap::new();
        let query = self.request.query().unwrap_or_default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (unescape(name), unescape(value)) else { continue };
            let is_asked = key.is_none_or(|key| key == name);
            if is_asked && found.insert(name, value).is_some() {
                self.is_ambiguous.set(true);
            }
        }
        let owned = |text| Value::Text(Cow::Owned(text));
        match key {
            Some(key) => found.remove(key).map(owned),
            None => Some(Value::Map(
                found.into_iter().map(|(name, value)| (Cow::Owned(name), owned(value))).collect(),
            )),
        }
    }
}

/// A JSON value as one of a condition's.
fn value(json: &serde_json::Value) -> Value<'_> {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Null,
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::Text(Cow::Borrowed(text)),
        Json::Array(items) => Value::List(items.iter().map(value).collect()),
        Json::Object(members) => Value::Map(
            members
                .iter()
                .map(|(name, member)| (Cow::Borrowed(name.as_str()), value(member)))
                .collect(),
        ),
    }
}

/// The host in lowercase without its port.
fn host_name(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.to_ascii_lowercase()
}

fn field<'a>(request: &dyn Request, name: &str) -> Option<Value<'a>> {
    let mut joined: Option<String> = None;
    request.each(name, &mut |bytes| {
        push(&mut joined, bytes);
        true
    });
    joined.map(|text| Value::Text(Cow::Owned(text)))
}

fn fields<'a>(request: &dyn Request) -> Value<'a> {
    let mut found = BTreeMap::<String, Option<String>>::new();
    request.all(&mut |name, bytes| push(found.entry(name.to_owned()).or_default(), bytes));
    let entry = |(name, text): (String, Option<String>)| {
        (Cow::Owned(name), Value::Text(Cow::Owned(text.unwrap_or_default())))
    };
    Value::Map(found.into_iter().map(entry).collect())
}

/// Adds a value to those of the same field (RFC 9110 §5.3).
fn push(joined: &mut Option<String>, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match joined {
        None => *joined = Some(text.into_owned()),
        Some(joined) => {
            joined.push_str(", ");
            joined.push_str(&text);
        }
    }
}
