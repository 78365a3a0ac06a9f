//! How often a route may be used: token buckets per client, key, claim or field.
//!
//! A route may have several limits; a request passes when all of them allow it. They are asked in two phases:
//! addresses and fields before authentication, so that a flood is turned away cheaply; everything else
//! after it. A limit for everybody together is counted after authentication too: requests of
//! strangers must not use up what the customers are allowed.
//!
//! Where several limits of a phase apply, all are looked at before one is charged: a client that has used
//! its own limit up takes nothing from the limit that it shares with others.
//!
//! Responses say where the client stands, in the fields of the IETF draft "RateLimit header fields for HTTP"
//! (draft-ietf-httpapi-ratelimit-headers-06): `RateLimit-Limit`, `-Remaining`, `-Reset` and `RateLimit-Policy`.
//! Later drafts pack them into one structured field that clients do not read yet. With several
//! limits, the one that is nearest to its end is shown.
//!
//! The buckets are shared by all workers without a lock ([`logic::bucket::Table`]) and outlive a change of
//! the configuration as long as the text of the limit stays the same.

mod spec;

pub use spec::{COUNT_MAX, InvalidSpec, Per, Problem, Spec, parse};

use crate::{Edit, Effects, Now, Reply, Request};
use logic::bucket::{Decision, Rate, Table};
use std::{
    borrow::Cow,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

/// The most limits of one route. Each is asked for every request.
pub const LIMITS_MAX: usize = 8;

/// Keys that a limit remembers (330 KB each). With more clients than that within a period, those that made
/// the fewest requests are forgotten first; whom the limit is meant for stays.
pub const KEYS_MAX: usize = 16_384;

/// Why limits cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The numbers make no rate.
    #[error("`{spec}` is no limit: {reason}")]
    Rate {
        /// The limit.
        spec: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// Twice the same.
    #[error("the limit `{0}` stands there twice")]
    Twice(String),
    /// More than [`LIMITS_MAX`].
    #[error("a route has at most 8 limits")]
    TooMany,
}

/// A limit with its buckets. A copy shares them, so one limit can hold for several routes together.
#[derive(Clone, Debug)]
pub struct Limit {
    spec: Spec,
    rate: Rate,
    buckets: Arc<Buckets>,
}

#[derive(Debug)]
struct Buckets {
    table: Table,
    /// Goes into every hash, so that nobody can choose keys that push others out.
    secret: u64,
}

/// The limits of a route.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    limits: Vec<Limit>,
    /// `RateLimit-Policy`, for all of them.
    policy: String,
}

/// Who makes a request, as authentication found out.
#[derive(Clone, Copy)]
pub struct Who<'a> {
    /// The name of the API key, the user, or the subject of the token.
    pub name: Option<&'a str>,
    /// The value of a claim as text.
    pub claim: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Who<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Who").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a client stands with the limit that is nearest to its end. It goes through both phases.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing(Option<(u32, Decision)>);

/// What a request is counted by. Kinds do not meet in one bucket: each limit has its own table, and a
/// request without the key that the limit asks for is counted by its address, told apart by the variant.
#[derive(Hash)]
enum Key<'a> {
    All,
    Ip(IpAddr),
    Name(&'a str),
    Value(&'a [u8]),
}

impl Limit {
    /// A limit with full buckets. `secret`: 64 random bits that clients do not know.
    ///
    /// # Errors
    /// When the numbers of `spec` make no rate that can be kept.
    pub fn new(spec: Spec, secret: u64) -> Result<Self, Error> {
        let rate = spec.rate().map_err(|reason| Error::Rate { spec: spec.to_string(), reason })?;
        let keys = if spec.per == Per::All { 1 } else { KEYS_MAX };
        let buckets = Arc::new(Buckets { table: Table::new(keys), secret });
        Ok(Self { spec, rate, buckets })
    }

    /// What it says.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    fn take(&self, key: &Key<'_>, now: Now, cost: u32) -> Decision {
        // SipHash with a fixed key; the secret comes first and does what the key would do.
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.buckets.secret);
        key.hash(&mut hasher);
        self.buckets.table.take(hasher.finish(), now.moment, &self.rate, cost)
    }

    fn is_asked_before_auth(&self) -> bool {
        matches!(self.spec.per, Per::Ip | Per::Header(_))
    }
}

impl Limits {
    /// The limits `specs`. Of `old`, the limits of the configuration before, those that say the same are taken
    /// over with their buckets. `secret`: 64 random bits that clients do not know, for new ones.
    ///
    /// # Errors
    /// When there are too many, two are the same, or one makes no rate.
    pub fn new(specs: &[Spec], secret: u64, old: &[Limit]) -> Result<Self, Error> {
        if specs.len() > LIMITS_MAX {
            return Err(Error::TooMany);
        }
        let mut limits: Vec<Limit> = Vec::new();
        for spec in specs {
            if limits.iter().any(|limit| limit.spec == *spec) {
                return Err(Error::Twice(spec.to_string()));
            }
            let known = old.iter().find(|limit| limit.spec == *spec);
            limits.push(match known {
                Some(limit) => limit.clone(),
                None => Limit::new(spec.clone(), secret)?,
            });
        }
        Ok(Self::of(limits))
    }

    /// Limits that were made before, perhaps for several routes together.
    #[must_use]
    pub fn of(limits: Vec<Limit>) -> Self {
        let policy: Vec<String> = limits.iter().map(|limit| policy(&limit.spec)).collect();
        Self { limits, policy: policy.join(", ") }
    }

    /// The limits, for the next configuration.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// Counts `request` against the limits by address and field; the answer when one of them is used up.
    pub fn before_auth(
        &self,
        request: &dyn Request,
        now: Now,
        standing: &mut Standing,
    ) -> Option<Reply> {
        let anyone = Who { name: None, claim: &|_| None };
        self.phase(true, request, anyone, now, standing)
    }

    /// Counts `request` against all other limits; the answer when one of them is used up. A request that lacks
    /// the key, claim or field of a limit is counted by its address instead.
    pub fn after_auth(
        &self,
        request: &dyn Request,
        who: Who<'_>,
        now: Now,
        standing: &mut Standing,
    ) -> Option<Reply> {
        self.phase(false, request, who, now, standing)
    }

    /// Adds the fields that tell the client where it stands.
    pub fn show(&self, standing: Standing, effects: &mut Effects) {
        let Some((limit, decision)) = standing.0 else { return };
        let fields = self.fields(limit, decision);
        effects.response.extend(fields.map(|(name, value)| Edit::Set(name, value)));
    }

    fn phase(
        &self,
        is_before: bool,
        request: &dyn Request,
        who: Who<'_>,
        now: Now,
        standing: &mut Standing,
    ) -> Option<Reply> {
        let asked = || self.limits.iter().filter(|limit| limit.is_asked_before_auth() == is_before);
        let take =
            |limit: &Limit, cost| with_key(limit, request, who, |key| limit.take(key, now, cost));
        if asked().nth(1).is_some() {
            let is_used_up = |limit: &&Limit| take(limit, 0).remaining == 0;
            let refused = asked().filter(is_used_up).map(|limit| (limit, take(limit, 1)));
            // Another worker may have let time pass in between: what is allowed now is not refused.
            let refused = refused.filter(|(_, decision)| !decision.is_allowed);
            if let Some((limit, decision)) = refused.max_by_key(|(_, it)| it.retry_after_s) {
                return Some(self.refuse(limit, decision));
            }
        }
        for limit in asked() {
            let decision = take(limit, 1);
            if !decision.is_allowed {
                return Some(self.refuse(limit, decision));
            }
            standing.note(limit.rate.burst(), decision);
        }
        None
    }

    fn refuse(&self, limit: &Limit, decision: Decision) -> Reply {
        // A limit always holds one request, so there is always a time; a second is a safe wait.
        let retry_after_s = decision.retry_after_s.unwrap_or(1).max(1);
        let mut headers: Vec<_> = self.fields(limit.rate.burst(), decision).into();
        headers.push(("retry-after".into(), retry_after_s.to_string().into()));
        Reply {
            status: 429,
            code: "rate_limited",
            message: format!(
                "the limit of `{}` is used up; try again in {retry_after_s} s",
                limit.spec
            ),
            headers,
            delay: None,
        }
    }

    fn fields(
        &self,
        limit: u32,
        decision: Decision,
    ) -> [(Cow<'static, str>, Cow<'static, str>); 4] {
        [
            ("ratelimit-limit".into(), limit.to_string().into()),
            ("ratelimit-remaining".into(), decision.remaining.to_string().into()),
            ("ratelimit-reset".into(), decision.reset_s.to_string().into()),
            ("ratelimit-policy".into(), self.policy.clone().into()),
        ]
    }
}

impl Standing {
    fn note(&mut self, limit: u32, decision: Decision) {
        let rank = |it: &Decision| (it.remaining, std::cmp::Reverse(it.reset_s));
        let is_tighter = self.0.as_ref().is_none_or(|(_, known)| rank(&decision) < rank(known));
        if is_tighter {
            self.0 = Some((limit, decision));
        }
    }
}

/// Finds what `limit` counts `request` by.
fn with_key<T>(
    limit: &Limit,
    request: &dyn Request,
    who: Who<'_>,
    then: impl FnOnce(&Key<'_>) -> T,
) -> T {
    let by_address = || Key::Ip(network(request.client()));
    match &limit.spec.per {
        Per::All => then(&Key::All),
        Per::Ip => then(&by_address()),
        Per::Key => then(&who.name.map_or_else(by_address, Key::Name)),
        Per::Claim(name) => match (who.claim)(name) {
            Some(value) => then(&Key::Name(&value)),
            None => then(&by_address()),
        },
        Per::Header(name) => match request.only(name).filter(|value| !value.is_empty()) {
            Some(value) => then(&Key::Value(&value)),
            None => then(&by_address()),
        },
    }
}

/// The address that stands for a client: an IPv6 client owns at least 64 bits of addresses.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(std::net::Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// A limit as a quota policy: `100;w=60`, with `burst` when that is something else. Windows are whole seconds,
/// so what a limit of `5/100ms` allows in one second is said: `50;w=1`.
fn policy(spec: &Spec) -> String {
    let period_ms = spec.period.as_millis().max(1);
    let window_s = period_ms.div_ceil(1_000);
    let quota = u128::from(spec.count) * window_s * 1_000 / period_ms;
    if u128::from(spec.burst()) == quota {
        format!("{quota};w={window_s}")
    } else {
        format!("{quota};w={window_s};burst={}", spec.burst())
    }
}

#[cfg(test)]
mod tests;
