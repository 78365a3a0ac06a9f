//! All that a route asks of its requests, in the order that the crate's documentation gives.

#[cfg(test)]
mod tests;

use crate::{
    Effects, Now, Reply, Request, Verdict,
    allow::Allow,
    auth::{self, Auth, Found, Identity, basic::Work},
    compress::Compress,
    cors::Cors,
    edits::{Edits, Known},
    fault::Fault,
    rate::{Limits, Standing, Who},
    redirect::Redirect,
    rewrite::Rewrite,
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// What a policy is made of; each part is checked where it is made.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each part is documented in its module")]
pub struct Parts {
    pub redirect: Option<Redirect>,
    pub cors: Option<Cors>,
    pub rates: Option<Limits>,
    pub auth: Option<Auth>,
    pub allow: Option<Allow>,
    pub fault: Option<Fault>,
    /// Fields in lowercase that a request must not bring: those in which any route tells services who it is
    /// (see [`Auth::told`]), since a service cannot tell the routes apart. Spelt with `_` for `-` they are
    /// removed too.
    pub reserved: Vec<String>,
    pub edits: Option<Edits>,
    pub rewrite: Option<Rewrite>,
    /// For the data plane, which packs the bodies.
    pub compress: Option<Compress>,
    /// The largest body of a request in bytes, for the data plane, which counts them; `None`: its own limit.
    pub body_max: Option<u64>,
}

/// What a route asks of its requests. Never changed; shared by all workers.
#[derive(Debug, Default)]
pub struct Policy {
    parts: Parts,
}

impl Policy {
    /// A policy of `parts`.
    #[must_use]
    pub const fn new(parts: Parts) -> Self {
        Self { parts }
    }

    /// Whether [`Policy::admit`] would let every request pass as it is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Parts {
            redirect,
            cors,
            rates,
            auth,
            allow,
            fault,
            reserved,
            edits,
            rewrite,
            compress: _,
            body_max: _,
        } = &self.parts;
        redirect.is_none()
            && cors.is_none()
            && rates.is_none()
            && auth.is_none()
            && allow.is_none()
            && fault.is_none()
            && reserved.is_empty()
            && edits.as_ref().is_none_or(Edits::is_empty)
            && rewrite.is_none()
    }

    /// How response bodies are packed.
    #[must_use]
    pub fn compress(&self) -> Option<&Compress> {
        self.parts.compress.as_ref()
    }

    /// The largest body of a request in bytes.
    #[must_use]
    pub const fn body_max(&self) -> Option<u64> {
        self.parts.body_max
    }

    /// The limits, for the next configuration to take over.
    #[must_use]
    pub fn rates(&self) -> Option<&Limits> {
        self.parts.rates.as_ref()
    }

    /// The condition, for its counters.
    #[must_use]
    pub fn allow(&self) -> Option<&Allow> {
        self.parts.allow.as_ref()
    }

    /// Decides what becomes of `request`.
    #[must_use]
    pub fn admit(&self, request: &dyn Request, now: Now) -> Verdict {
        if self.is_empty() {
            return Verdict::Pass(Effects::default());
        }
        if let Some(reply) =
            self.parts.redirect.as_ref().and_then(|redirect| redirect.apply(request))
        {
            return Verdict::Reply(reply);
        }
        if let Some(reply) = self.parts.cors.as_ref().and_then(|cors| cors.preflight(request)) {
            return Verdict::Reply(reply);
        }
        let mut standing = Standing::default();
        let refused = self
            .parts
            .rates
            .as_ref()
            .and_then(|rates| rates.before_auth(request, now, &mut standing));
        match refused {
            Some(reply) => self.reply(request, reply),
            None => self.go_on(request, now, standing, None),
        }
    }

    /// Decides what becomes of the same `request` as [`Policy::admit`] said [`Verdict::Wait`] for, once
    /// [`Pending::run`] has returned; a request that was not waited for is refused. Never says `Wait` again.
    #[must_use]
    pub fn resume(&self, pending: &Pending, request: &dyn Request, now: Now) -> Verdict {
        let is_right = pending.0.is_right.get().copied().unwrap_or(false);
        self.go_on(request, now, pending.0.standing, Some(is_right))
    }

    /// From authentication on. `checked`: what hashing the password came to.
    fn go_on(
        &self,
        request: &dyn Request,
        now: Now,
        mut standing: Standing,
        checked: Option<bool>,
    ) -> Verdict {
        let mut effects = Effects::default();
        auth::drop_fields(&self.parts.reserved, request, &mut effects);
        let identity =
            match self.parts.auth.as_ref().map(|auth| (auth, auth.check(request, now, checked))) {
                None => None,
                Some((_, Found::Refused(reply))) => return self.reply(request, reply),
                Some((_, Found::Slow(work))) => return Verdict::Wait(Pending::new(work, standing)),
                Some((auth, Found::Passed(identity, by))) => {
                    auth.tell(&identity, by, request, &mut effects);
                    Some(identity)
                }
            };
        if let Some(reply) = self.count(request, identity.as_ref(), now, &mut standing) {
            return self.reply(request, reply);
        }
        if let Some(allow) = &self.parts.allow
            && !allow.check(request, identity.as_ref())
        {
            return self.reply(request, forbidden());
        }
        if let Some(fault) = &self.parts.fault
            && let Some(reply) = fault.apply(request, now.random, &mut effects)
        {
            return self.reply(request, reply);
        }
        match self.change(request, standing, &mut effects) {
            Some(reply) => self.reply(request, reply),
            None => Verdict::Pass(effects),
        }
    }

    fn count(
        &self,
        request: &dyn Request,
        identity: Option<&Identity>,
        now: Now,
        standing: &mut Standing,
    ) -> Option<Reply> {
        let rates = self.parts.rates.as_ref()?;
        let claim = |name: &str| identity.and_then(|identity| identity.claim(name));
        let who =
            Who { name: identity.and_then(|identity| identity.subject.as_deref()), claim: &claim };
        rates.after_auth(request, who, now, standing)
    }

    /// Collects how `request` and its response are changed; the answer when that cannot be done safely.
    fn change(
        &self,
        request: &dyn Request,
        standing: Standing,
        effects: &mut Effects,
    ) -> Option<Reply> {
        if let Some(rewrite) = &self.parts.rewrite
            && let Some(reply) = rewrite.apply(request, effects)
        {
            return Some(reply);
        }
        // A rewrite may have put the query, and a key in it, into the new path.
        if let (Some(auth), Some(path)) = (&self.parts.auth, &mut effects.path) {
            hide_parameters(auth, path);
        }
        if let Some(rates) = &self.parts.rates {
            rates.show(standing, effects);
        }
        if let Some(edits) = &self.parts.edits {
            let subject = effects.subject.take();
            edits.apply(request, Known { subject: subject.as_deref() }, effects);
            effects.subject = subject;
        }
        // Last, so that what the service or an edit says about origins does not open more than is allowed.
        if let Some(cors) = &self.parts.cors {
            cors.apply(request, effects);
        }
        None
    }

    /// An answer that pages of allowed origins may read.
    fn reply(&self, request: &dyn Request, mut reply: Reply) -> Verdict {
        if let Some(cors) = &self.parts.cors {
            cors.dress(request, &mut reply);
        }
        Verdict::Reply(reply)
    }
}

fn forbidden() -> Reply {
    Reply {
        status: 403,
        code: "forbidden",
        message: "this request is not allowed".to_owned(),
        headers: Vec::new(),
        delay: None,
    }
}

fn hide_parameters(auth: &Auth, path: &mut String) {
    for name in auth.hidden_parameters() {
        let hidden = path.split_once('?').and_then(|(path, query)| {
            let query = auth::without_parameter(query, name)?;
            Some(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
        });
        if let Some(hidden) = hidden {
            *path = hidden;
        }
    }
}

/// A request whose password is to be hashed. A copy is the same one.
#[derive(Clone)]
pub struct Pending(Arc<Waiting>);

struct Waiting {
    work: Work,
    standing: Standing,
    is_right: OnceLock<bool>,
}

impl Pending {
    fn new(work: Work, standing: Standing) -> Self {
        Self(Arc::new(Waiting { work, standing, is_right: OnceLock::new() }))
    }

    /// Hashes the password, which takes a core 50 ms to a second: not on a thread that serves connections.
    pub fn run(&self) {
        self.0.is_right.get_or_init(|| self.0.work.run());
    }
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Pending {}

impl fmt::Debug for Pending {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Pending").field("work", &self.0.work).finish_non_exhaustive()
    }
}
