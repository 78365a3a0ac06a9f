//! JSON Web Tokens (RFC 7515, 7519, with the advice of RFC 8725): who signed it, for whom, until when.
//!
//! Order: size and shape, issuer, key, signature, then dates and audience. A token that passed is remembered by
//! its SHA-256, so that the next request with it costs a hash instead of a signature; its dates and whether
//! the keys are still the same are checked each time.
//!
//! Why not a crate: `jsonwebtoken` works over `aws-lc-rs` or the pure-Rust implementations, and either would
//! be a second cryptography library beside the one that TLS uses; what is left to do over `ring` is in
//! `token` and `claims`.

mod claims;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use claims::find as find_claim;
pub use token::{TOKEN_SIZE_MAX, Token, parse};

use super::{
    Credentials, Identity, Outcome, Refusal,
    cache::{Cache, Digest},
    jwks::Keys,
    key::Algorithm,
};
use crate::Now;
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value};
use std::{fmt, sync::Arc, time::Duration};

/// Clocks of issuers are off by seconds; RFC 7519 §4.1.4 allows "a few minutes" at most.
pub const LEEWAY: Duration = Duration::from_secs(60);
/// Tokens remembered per route: at most this many of [`TOKEN_SIZE_MAX`] each, in practice 2 MiB.
const REMEMBERED_MAX: usize = 2048;
/// Keys that are tried for a token without `kid`: each costs a signature check.
const TRIED_MAX: usize = 4;

/// Where a token is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// In `Authorization: Bearer`.
    #[default]
    Bearer,
    /// In a field of its own, with or without `Bearer` before it; the name in lowercase.
    Header(String),
    /// In a cookie. Browsers send it by themselves: the service needs its own guard against forged requests.
    Cookie(String),
}

/// What tokens must be like.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who may sign.
    pub keys: Keys,
    /// With which algorithms; empty: all that the keys allow.
    pub algorithms: Vec<Algorithm>,
    /// `iss` is one of these; empty: any.
    pub issuers: Vec<String>,
    /// `aud` has one of these; empty: any, and none.
    pub audiences: Vec<String>,
    /// Scopes that a token must all have.
    pub scopes: Vec<String>,
    /// How far clocks may be apart. Default [`LEEWAY`].
    pub leeway: Duration,
    /// Whether a token without `exp` is refused. Default true.
    pub needs_expiry: bool,
    /// Where it is.
    pub source: Source,
    /// Whether the service gets the token too. Default true, since services often look into it again.
    pub forward: bool,
    /// Fields that tell the service claims: names in lowercase, and the claim (see [`Config::default`]).
    pub headers: Vec<(String, String)>,
}

impl Default for Config {
    /// `a.b` names the claim `a.b`, or `b` inside `a`.
    fn default() -> Self {
        Self {
            keys: Keys::new(),
            algorithms: Vec::new(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            scopes: Vec::new(),
            leeway: LEEWAY,
            needs_expiry: true,
            source: Source::default(),
            forward: true,
            headers: Vec::new(),
        }
    }
}

/// Checks tokens.
pub struct Jwt {
    pub(super) config: Config,
    verified: Cache<Verified>,
}

/// A token that passed, and under which keys.
struct Verified {
    generation: u64,
    validity: claims::Validity,
    identity: Identity,
}

impl Jwt {
    /// Checks tokens by `config`.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, verified: Cache::new(REMEMBERED_MAX) }
    }

    /// What the token says, if it is to be believed now.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verify(&self, token: &str, now: Now) -> Result<Identity, Refusal> {
        let Some((keys, generation)) = self.config.keys.current() else {
            return Err(Refusal::unavailable("the keys of the tokens' issuer are not here yet"));
        };
        if token.len() > TOKEN_SIZE_MAX {
            return Err(Refusal::token("the token is too large"));
        }
        let digest = sha256(token);
        let known = self.verified.get(&digest, |known| {
            let is_current =
                known.generation == generation && known.validity.check(now.timestamp).is_ok();
            is_current.then(|| known.identity.clone())
        });
        if let Some(identity) = known {
            return Ok(identity);
        }
        let (claims, validity) = self.examine(token, &keys, now).map_err(Refusal::token)?;
        let lacks = |scope: &&String| !claims::has_scope(&claims, scope);
        if self.config.scopes.iter().any(|scope| lacks(&scope)) {
            return Err(Refusal::scope(&self.config.scopes));
        }
        let subject = claims.get("sub").and_then(Value::as_str).map(super::printable);
        let identity = Identity { subject, claims: Some(Arc::new(claims)) };
        self.verified.put(digest, Verified { generation, validity, identity: identity.clone() });
        Ok(identity)
    }

    fn examine(
        &self,
        text: &str,
        keys: &super::jwks::KeySet,
        now: Now,
    ) -> Result<(Map<String, Value>, claims::Validity), &'static str> {
        let config = &self.config;
        let token = parse(text)?;
        if !config.algorithms.is_empty() && !config.algorithms.contains(&token.algorithm) {
            return Err("the token's algorithm is not allowed");
        }
        // Before the key is looked for: a stranger's token must not make us fetch keys.
        claims::check_issuer(&token.claims, &config.issuers)?;
        let id = token.key_id.as_deref();
        let mut found = keys.find(token.algorithm, id).peekable();
        if found.peek().is_none() {
            let is_new_id = id.is_some_and(|id| keys.keys().iter().all(|key| key.id() != Some(id)));
            if !is_new_id {
                return Err("the token's algorithm is not allowed");
            }
            config.keys.ask_for_refresh();
            return Err("the token is signed with an unknown key");
        }
        let is_signed =
            |key: &super::key::Key| key.verify(token.algorithm, token.signed, &token.signature);
        if !found.take(TRIED_MAX).any(is_signed) {
            return Err("the token's signature is wrong");
        }
        let validity = claims::Validity::read(&token.claims, config.leeway, config.needs_expiry)?;
        validity.check(now.timestamp)?;
        claims::check_audience(&token.claims, &config.audiences)?;
        Ok((token.claims, validity))
    }

    /// Looks for a token in `credentials` and checks it.
    pub(super) fn check(&self, credentials: &Credentials<'_>, now: Now) -> Outcome {
        let token = match &self.config.source {
            Source::Bearer => credentials.bearer(),
            Source::Header(name) => credentials.field(name).map(|value| {
                let value = value?;
                let (scheme, rest) = value.split_once(' ').unwrap_or(("", &value));
                Some(
                    if scheme.eq_ignore_ascii_case("bearer") {
                        rest.trim_start_matches(' ')
                    } else {
                        &value
                    }
                    .to_owned(),
                )
            }),
            Source::Cookie(name) => credentials.cookie(name),
        };
        match token {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(None) => Outcome::Absent,
            Ok(Some(token)) => match self.verify(&token, now) {
                Ok(identity) => Outcome::Passed(identity),
                Err(refusal) => Outcome::Refused(refusal),
            },
        }
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Jwt").field("config", &self.config).finish_non_exhaustive()
    }
}

fn sha256(text: &str) -> Digest {
    let mut hash = Digest::default();
    hash.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    hash
}
