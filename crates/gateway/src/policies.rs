//! Makes the policies of routes, and keeps those that did not change: with them the tokens that were
//! verified, the passwords that were hashed, and what is left of rate limits.

use crate::{error::Error, jwks::Keyring};
use base::Place;
use logic::route::Rule;
use manifest::{Auth, Jwt, Route, Rules, System};
use policy::{
    Parts, Policy,
    allow::Allow,
    auth::{self, Method, basic, jwt, keys},
    compress::{self, Compress},
    cors::Cors,
    edits::Edits,
    fault::Fault,
    rate::Limits,
    redirect::Redirect,
    rewrite::Rewrite,
};
use std::sync::Arc;

/// The policies of one configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policies {
    made: Vec<Made>,
    /// The gateway's own limits, which routes without limits of their own share.
    shared: Limits,
}

/// A policy and what it was made of.
#[derive(Clone, Debug)]
struct Made {
    rule: Rule,
    of: Of,
    policy: Option<Arc<Policy>>,
}

/// What a policy is made of.
#[derive(Clone, Debug, PartialEq)]
struct Of {
    rules: Rules,
    compress: Option<compress::Config>,
    body_max: Option<u64>,
    /// Headers in which any route tells services who somebody is: no client may set them, on no route.
    reserved: Vec<String>,
}

/// Random numbers that no client knows.
#[derive(Clone, Copy)]
pub(crate) struct Secrets {
    /// For the hashes of rate limits.
    pub(crate) rates: u64,
    /// For passwords that were right.
    pub(crate) passwords: [u8; 32],
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Policies {
    /// The policies of `routes` in their order, given with what they match. What `self` has for the same match and
    /// rules is taken over as it is; of what changed, rate limits that say the same go on counting.
    ///
    /// # Errors
    /// When a part of one cannot be made. The file's check finds the same before.
    pub(crate) fn renewed(
        &self,
        routes: &[(Rule, &Route)],
        system: &System,
        keyring: &Keyring,
        secrets: Secrets,
    ) -> Result<Self, Error> {
        let shared = routes
            .iter()
            .find(|(_, route)| route.rules.rate.is_shared && !route.rules.rate.limits.is_empty());
        let shared = match shared {
            None => Limits::default(),
            Some((_, route)) => {
                let old = self.shared.limits();
                Limits::new(&route.rules.rate.limits, secrets.rates, old)
                    .map_err(|cause| Error::policy(&route.place, cause))?
            }
        };
        let reserved = reserved(routes);
        let maker = Maker { old: self, shared: &shared, reserved, system, keyring, secrets };
        let mut made = Vec::with_capacity(routes.len());
        for (rule, route) in routes {
            made.push(maker.made(rule, route, &made)?);
        }
        Ok(Self { made, shared })
    }

    /// The policy of the route at `at`; `None` when it asks nothing.
    pub(crate) fn get(&self, at: usize) -> Option<Arc<Policy>> {
        self.made.get(at)?.policy.clone()
    }
}

struct Maker<'a> {
    old: &'a Policies,
    shared: &'a Limits,
    reserved: Vec<String>,
    system: &'a System,
    keyring: &'a Keyring,
    secrets: Secrets,
}

impl Maker<'_> {
    fn made(&self, rule: &Rule, route: &Route, fresh: &[Made]) -> Result<Made, Error> {
        let of = Of {
            rules: route.rules.clone(),
            compress: route.compress.clone(),
            body_max: route.body_max.map(|size| size.0),
            reserved: self.reserved.clone(),
        };
        let before = self.old.made.iter().find(|made| made.rule == *rule);
        if let Some(before) = before.filter(|before| before.of == of) {
            return Ok(before.clone());
        }
        // A policy that counts nothing of its own serves all routes that ask the same: a token that was verified
        // for one needs no signature check for the next.
        let counts = of.rules.allow.is_some()
            || !(of.rules.rate.is_shared || of.rules.rate.limits.is_empty());
        if let Some(twin) = fresh.iter().find(|twin| !counts && twin.of == of) {
            return Ok(Made { rule: rule.clone(), ..twin.clone() });
        }
        let old = before.and_then(|before| before.policy.as_deref()).and_then(Policy::rates);
        let policy = self.policy(&of, old, &route.place)?;
        Ok(Made { rule: rule.clone(), of, policy })
    }

    fn policy(
        &self,
        of: &Of,
        old: Option<&Limits>,
        place: &Place,
    ) -> Result<Option<Arc<Policy>>, Error> {
        let Of { rules, compress, body_max, reserved } = of;
        let limits = match (rules.rate.limits.is_empty(), rules.rate.is_shared) {
            (true, _) => None,
            (false, true) => Some(Limits::of(self.shared.limits().to_vec())),
            (false, false) => {
                let old = old.map(Limits::limits).unwrap_or_default();
                let limits = Limits::new(&rules.rate.limits, self.secrets.rates, old);
                Some(limits.map_err(|cause| Error::policy(place, cause))?)
            }
        };
        let edits = Edits::new(rules.edits.clone()).map_err(|e| Error::policy(place, e))?;
        let parts = Parts {
            redirect: made(rules.redirect.as_ref(), Redirect::new, place)?,
            cors: made(rules.cors.as_ref(), Cors::new, place)?,
            rates: limits,
            auth: self.auth(rules, place)?,
            allow: match &rules.allow {
                None => None,
                Some(text) => Some(Allow::new(text).map_err(|e| Error::policy(place, e))?),
            },
            reserved: reserved.clone(),
            fault: made(rules.fault.as_ref(), Fault::new, place)?,
            edits: (!edits.is_empty()).then_some(edits),
            rewrite: made(rules.rewrite.as_ref(), Rewrite::new, place)?,
            compress: made(compress.as_ref(), Compress::new, place)?,
            body_max: *body_max,
        };
        let policy = Policy::new(parts);
        let asks_nothing =
            policy.is_empty() && policy.compress().is_none() && policy.body_max().is_none();
        Ok((!asks_nothing).then(|| Arc::new(policy)))
    }

    fn auth(&self, rules: &Rules, place: &Place) -> Result<Option<auth::Auth>, Error> {
        let Auth { jwt, api_keys, basic, subject_header } = &rules.auth;
        let mut methods = Vec::new();
        if let Some(jwt) = jwt {
            methods.push(Method::Jwt(self.jwt(jwt, &rules.scopes)));
        }
        if let Some(it) = api_keys {
            let keys = it.keys.iter().map(|(name, key)| (name.clone(), key.reveal().to_owned()));
            let config = keys::Config {
                header: it.header.clone(),
                query: it.query.clone(),
                keys: keys.collect(),
                forward: it.forward,
            };
            let keys = keys::ApiKeys::new(config).map_err(|e| Error::policy(place, e))?;
            methods.push(Method::Keys(keys));
        }
        if let Some(it) = basic {
            let users =
                it.users.iter().map(|(name, hash)| (name.clone(), hash.reveal().to_owned()));
            let config = basic::Config {
                users: users.collect(),
                forward: it.forward,
                secret: self.secrets.passwords,
            };
            let basic = basic::Basic::new(config).map_err(|e| Error::policy(place, e))?;
            methods.push(Method::Basic(basic));
        }
        if methods.is_empty() {
            return Ok(None);
        }
        let auth = auth::Auth::new(methods, &self.system.name, subject_header.clone());
        auth.map(Some).map_err(|e| Error::policy(place, e))
    }

    fn jwt(&self, said: &Jwt, scopes: &[String]) -> jwt::Jwt {
        jwt::Jwt::new(jwt::Config {
            keys: self.keyring.keys(&said.keys),
            algorithms: said.algorithms.clone(),
            issuers: said.issuers.clone(),
            audiences: said.audiences.clone(),
            scopes: said.scopes.iter().chain(scopes).cloned().collect(),
            leeway: said.leeway,
            needs_expiry: said.needs_expiry,
            source: said.source.clone(),
            forward: said.forward,
            headers: said.headers.clone(),
        })
    }
}

/// The headers in which one of `routes` tells its service who somebody is.
fn reserved(routes: &[(Rule, &Route)]) -> Vec<String> {
    let told = |auth: &Auth| {
        let claims = auth.jwt.iter().flat_map(|jwt| &jwt.headers).map(|(name, _)| name);
        auth.subject_header.iter().chain(claims).cloned().collect::<Vec<_>>()
    };
    let mut all: Vec<_> = routes.iter().flat_map(|(_, route)| told(&route.rules.auth)).collect();
    all.sort();
    all.dedup();
    all
}

/// Makes a part that the file may have.
fn made<C: Clone, T, E: std::error::Error + Send + Sync + 'static>(
    config: Option<&C>,
    make: impl FnOnce(C) -> Result<T, E>,
    place: &Place,
) -> Result<Option<T>, Error> {
    config.cloned().map(make).transpose().map_err(|cause| Error::policy(place, cause))
}

#[cfg(test)]
mod tests;
