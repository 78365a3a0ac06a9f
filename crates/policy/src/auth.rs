//! Who makes a request: a token, an API key, or a name with a password. One of several is enough.
//!
//! ```text
//!  Credentials (a view) ──► Auth::check ──► Found::Passed    who it is; fields that tell the service
//!                                       ├─► Found::Refused   400, 401, 403, 503 with its challenges
//!                                       └─► Found::Slow      a password to hash first, off the request path
//! ```
//!
//! What must hold: fields that tell the service who it is are removed when the client sent them, whatever way
//! they are spelt; nothing an attacker sent is repeated in an answer; who has no valid credentials learns
//! which kinds there are, and why their own were refused, and nothing of others'.

pub mod basic;
mod cache;
mod credentials;
pub mod json;
pub mod jwks;
pub mod jwt;
pub mod key;
pub mod keys;
mod pem;
mod refusal;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use credentials::Credentials;
pub(crate) use credentials::{unescape, without_parameter};
use refusal::Refusal;

use crate::{Edit, Effects, Now, Reply, Request};
use basic::{Basic, Work};
use jwt::{Jwt, Source};
use keys::ApiKeys;
use serde_json::{Map, Value};
use std::{borrow::Cow, sync::Arc};

/// What the access log shows of a subject, in characters.
pub const SUBJECT_LEN_MAX: usize = 256;
/// The most kinds of credentials of a route: each is asked for every request.
pub const METHODS_MAX: usize = 8;

/// A kind of credentials.
#[derive(Debug)]
pub enum Method {
    /// A token.
    Jwt(Jwt),
    /// An API key.
    Keys(ApiKeys),
    /// A name and a password.
    Basic(Basic),
}

/// What a route asks for.
#[derive(Debug)]
pub struct Auth {
    /// Any of these; asked in their order.
    methods: Vec<Method>,
    /// A part of the challenges; printable ASCII without quotes and backslashes.
    realm: String,
    /// The field that tells the service who it is, in lowercase.
    subject: Option<String>,
    /// All fields that tell the service something.
    told: Vec<String>,
}

/// Why methods make no [`Auth`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// None, so nobody could pass.
    #[error("no kind of credentials is named, so nobody could pass")]
    None,
    /// More than [`METHODS_MAX`].
    #[error("more than 8 kinds of credentials")]
    TooMany,
    /// Two of the same kind that would look at the same field.
    #[error("several {0}, of which the first would refuse what the others take")]
    Same(&'static str),
    /// A realm that would break the field it stands in.
    #[error("the realm must be printable ASCII without quotes and backslashes")]
    Realm,
    /// A name that is no field's, or not in lowercase.
    #[error("`{0}` is not the lowercase name of a field that may be set here")]
    Field(String),
}

/// Who it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// A token's `sub`, a key's or a user's name; printable, at most [`SUBJECT_LEN_MAX`] characters.
    pub subject: Option<String>,
    /// A token's claims.
    pub claims: Option<Arc<Map<String, Value>>>,
}

impl Identity {
    /// The value of claim `name` as text (see [`jwt::Config::headers`]): text, numbers and truth values as they
    /// stand, everything else as JSON.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<String> {
        match jwt::find_claim(self.claims.as_ref()?, name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }
}

/// What became of the search for credentials.
#[derive(Debug)]
pub(crate) enum Found {
    /// Who it is, and which method says so.
    Passed(Identity, usize),
    Refused(Reply),
    Slow(Work),
}

/// What one method found.
#[derive(Debug)]
enum Outcome {
    Absent,
    Passed(Identity),
    Refused(Refusal),
    Slow(Work),
}

impl Auth {
    /// Any of `methods`. `realm` names what is guarded; `subject` is the field, if any, in which the service
    /// gets to know who it is.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(methods: Vec<Method>, realm: &str, subject: Option<String>) -> Result<Self, Error> {
        if methods.is_empty() {
            return Err(Error::None);
        }
        if methods.len() > METHODS_MAX {
            return Err(Error::TooMany);
        }
        let count =
            |is_kind: fn(&Method) -> bool| methods.iter().filter(|method| is_kind(method)).count();
        if count(|method| matches!(method, Method::Basic(_))) > 1 {
            return Err(Error::Same("lists of users"));
        }
        let is_plain = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
        if !realm.chars().all(is_plain) {
            return Err(Error::Realm);
        }
        let mut told: Vec<String> = subject.iter().cloned().collect();
        for method in &methods {
            if let Method::Jwt(jwt) = method {
                told.extend(jwt.config.headers.iter().map(|(name, _)| name.clone()));
            }
        }
        if let Some(bad) = told.iter().find(|name| !is_settable(name)) {
            return Err(Error::Field(bad.clone()));
        }
        Ok(Self { methods, realm: realm.to_owned(), subject, told })
    }

    /// The fields in which the service is told who it is, in lowercase: those of every route belong into
    /// [`Parts::reserved`](crate::Parts::reserved) of all.
    #[must_use]
    pub fn told(&self) -> &[String] {
        &self.told
    }

    /// Looks for credentials that pass. `checked`: what the work of the call before came to.
    pub(crate) fn check(&self, request: &dyn Request, now: Now, checked: Option<bool>) -> Found {
        let credentials = Credentials::new(request);
        let (mut refused, mut slow) = (None::<Refusal>, None);
        for (at, method) in self.methods.iter().enumerate() {
            let outcome = match method {
                Method::Jwt(jwt) => jwt.check(&credentials, now),
                Method::Keys(keys) => keys.check(&credentials),
                Method::Basic(basic) => basic.check(&credentials, checked),
            };
            match outcome {
                Outcome::Absent => {}
                Outcome::Passed(identity) => return Found::Passed(identity, at),
                Outcome::Slow(work) => slow = Some(work),
                Outcome::Refused(refusal) if refusal.is_final() => {
                    return Found::Refused(self.answer(Some(&refusal)));
                }
                // The one that came nearest says why.
                Outcome::Refused(refusal) => {
                    if refused.as_ref().is_none_or(|old| refusal.rank() > old.rank()) {
                        refused = Some(refusal);
                    }
                }
            }
        }
        match slow {
            Some(work) => Found::Slow(work),
            None => Found::Refused(self.answer(refused.as_ref())),
        }
    }

    /// The answer for `refusal`, or for no credentials at all.
    fn answer(&self, refusal: Option<&Refusal>) -> Reply {
        let missing = Refusal::credentials("credentials are needed and missing");
        let is_about_token = refusal.is_some_and(Refusal::is_about_token);
        let mut reply = refusal.unwrap_or(&missing).reply();
        if matches!(reply.status, 400 | 503) {
            return reply;
        }
        let mut seen: Vec<&'static str> = Vec::new();
        for method in &self.methods {
            let scheme = match method {
                Method::Jwt(_) => "Bearer",
                Method::Keys(_) => "ApiKey",
                Method::Basic(_) => "Basic",
            };
            if seen.contains(&scheme) {
                continue;
            }
            seen.push(scheme);
            let mut challenge = format!("{scheme} realm=\"{}\"", self.realm);
            match method {
                Method::Basic(_) => challenge.push_str(", charset=\"UTF-8\""),
                Method::Jwt(_) if is_about_token => {
                    challenge.push_str(&refusal.map(Refusal::parameters).unwrap_or_default());
                }
                Method::Jwt(_) | Method::Keys(_) => {}
            }
            reply.headers.push((Cow::Borrowed("www-authenticate"), Cow::Owned(challenge)));
        }
        reply
    }

    /// Tells the service who it is, and takes away what it is not to see.
    ///
    /// `by`: the method that says so. Only its claims are told, by its own names: another issuer may mean
    /// something else by a claim, or may not be trusted with it.
    pub(crate) fn tell(
        &self,
        identity: &Identity,
        by: usize,
        request: &dyn Request,
        effects: &mut Effects,
    ) {
        drop_fields(&self.told, request, effects);
        let mut set = |name: &String, value: Option<String>| {
            let value = value.filter(|value| is_value(value));
            effects
                .request
                .extend(value.map(|value| Edit::Set(Cow::Owned(name.clone()), Cow::Owned(value))));
        };
        if let Some(name) = &self.subject {
            set(name, identity.subject.clone());
        }
        if let Some(Method::Jwt(jwt)) = self.methods.get(by) {
            jwt.config.headers.iter().for_each(|(name, claim)| set(name, identity.claim(claim)));
        }
        self.drop_credentials(request, effects);
        effects.subject.clone_from(&identity.subject);
    }

    fn drop_credentials(&self, request: &dyn Request, effects: &mut Effects) {
        let credentials = Credentials::new(request);
        let is_scheme = |scheme| matches!(credentials.scheme(scheme), Ok(Some(_)));
        for method in &self.methods {
            match method {
                Method::Jwt(jwt) if jwt.config.forward => {}
                Method::Jwt(jwt) => match &jwt.config.source {
                    Source::Bearer if is_scheme("bearer") => remove("authorization", effects),
                    Source::Bearer => {}
                    Source::Header(name) => remove(name, effects),
                    Source::Cookie(name) => {
                        effects.request.extend(credentials.without_cookie(name));
                    }
                },
                Method::Basic(basic) if !basic.forward && is_scheme("basic") => {
                    remove("authorization", effects);
                }
                Method::Basic(_) => {}
                Method::Keys(keys) if keys.forward => {}
                Method::Keys(keys) => {
                    remove(&keys.header, effects);
                    let query =
                        effects.query.clone().or_else(|| request.query().map(str::to_owned));
                    if let (Some(name), Some(query)) = (&keys.query, query) {
                        effects.query = without_parameter(&query, name).or(effects.query.take());
                    }
                }
            }
        }
    }

    /// The parameters of the query that hold credentials that the service is not to see.
    pub(crate) fn hidden_parameters(&self) -> impl Iterator<Item = &str> {
        self.methods.iter().filter_map(|method| match method {
            Method::Keys(keys) if !keys.forward => keys.query.as_deref(),
            _ => None,
        })
    }
}

/// Removes the fields `names` and those that servers behind us may take for them: CGI and WSGI make `X_User`
/// and `X-User` the same variable.
pub(crate) fn drop_fields(names: &[String], request: &dyn Request, effects: &mut Effects) {
    if names.is_empty() {
        return;
    }
    let dashed = |byte: u8| if byte == b'_' { b'-' } else { byte };
    request.all(&mut |name, _| {
        let is_same = |own: &String| own.bytes().map(dashed).eq(name.bytes().map(dashed));
        if names.iter().any(is_same) {
            let edit = Edit::Remove(Cow::Owned(name.to_owned()));
            if !effects.request.contains(&edit) {
                effects.request.push(edit);
            }
        }
    });
}

fn remove(name: &str, effects: &mut Effects) {
    effects.request.push(Edit::Remove(Cow::Owned(name.to_owned())));
}

/// Whether a field of that name may tell the service something: what frames a message is not ours to write.
fn is_settable(name: &str) -> bool {
    let is_token = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.!#$%&'*+^`|~".contains(&byte)
    };
    const FRAMING: [&str; 10] = [
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    !name.is_empty() && name.bytes().all(is_token) && !FRAMING.contains(&name)
}

/// Whether `text` can be the value of a field: no control characters, which could end it and begin another.
fn is_value(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\t')
}

/// `text` for a log: without control characters, cut to [`SUBJECT_LEN_MAX`].
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SUBJECT_LEN_MAX).collect()
}
