//! Why credentials do not pass, in the words of RFC 6750 §3.1.

use crate::Reply;
use std::borrow::Cow;

/// A refusal. Descriptions are fixed phrases without quotes, so they may stand in a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: Kind,
    description: &'static str,
    scope: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Wrong or unknown.
    Credentials,
    Token,
    /// Known, and not enough.
    Scope,
    /// Too many passwords are being checked.
    Busy,
    /// Nobody can be checked now.
    Unavailable,
    /// Means two things.
    Malformed,
}

impl Refusal {
    pub(super) fn credentials(description: &'static str) -> Self {
        Self { kind: Kind::Credentials, description, scope: String::new() }
    }
    pub(super) fn token(description: &'static str) -> Self {
        Self { kind: Kind::Token, description, scope: String::new() }
    }
    pub(super) fn malformed(description: &'static str) -> Self {
        Self { kind: Kind::Malformed, description, scope: String::new() }
    }
    pub(super) fn unavailable(description: &'static str) -> Self {
        Self { kind: Kind::Unavailable, description, scope: String::new() }
    }
    pub(super) fn busy() -> Self {
        let description = "too many passwords are being checked";
        Self { kind: Kind::Busy, description, scope: String::new() }
    }
    /// The token lacks one of `scopes`.
    pub(super) fn scope(scopes: &[String]) -> Self {
        // What cannot stand in a quoted string is no scope (RFC 6749 §3.3).
        let is_plain = |c: char| matches!(c, '!' | '#'..='[' | ']'..='~');
        let plain = scopes.iter().filter(|scope| scope.chars().all(is_plain));
        let scope = plain.map(String::as_str).collect::<Vec<_>>().join(" ");
        Self { kind: Kind::Scope, description: "the token lacks a scope", scope }
    }

    /// Why, in words.
    #[must_use]
    pub const fn description(&self) -> &'static str {
        self.description
    }

    /// Whether other credentials of the same request are not looked at.
    pub(super) fn is_final(&self) -> bool {
        self.kind == Kind::Malformed
    }

    /// Of several refusals the one with the highest rank is told.
    pub(super) fn rank(&self) -> u8 {
        self.kind as u8
    }

    pub(super) fn is_about_token(&self) -> bool {
        matches!(self.kind, Kind::Token | Kind::Scope)
    }

    /// What follows the realm in a challenge.
    pub(super) fn parameters(&self) -> String {
        let error = match self.kind {
            Kind::Token => "invalid_token",
            Kind::Scope => "insufficient_scope",
            Kind::Credentials | Kind::Busy | Kind::Unavailable | Kind::Malformed => {
                return String::new();
            }
        };
        let mut text = format!(", error=\"{error}\", error_description=\"{}\"", self.description);
        if !self.scope.is_empty() {
            text.push_str(&format!(", scope=\"{}\"", self.scope));
        }
        text
    }

    pub(super) fn reply(&self) -> Reply {
        let (status, code) = match self.kind {
            Kind::Credentials | Kind::Token => (401, "unauthorized"),
            Kind::Scope => (403, "forbidden"),
            Kind::Busy | Kind::Unavailable => (503, "auth_unavailable"),
            Kind::Malformed => (400, "bad_request"),
        };
        let wait = (status == 503).then_some((Cow::Borrowed("retry-after"), Cow::Borrowed("1")));
        Reply {
            status,
            code,
            message: self.description.to_owned(),
            headers: wait.into_iter().collect(),
            delay: None,
        }
    }
}
