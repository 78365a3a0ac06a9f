//! What a token's claims must say (RFC 7519 §4.1), once it is known who signed them.

use base::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;

/// When a token holds, in microseconds since 1970: from the first (inclusive) to the second (exclusive),
/// leeway included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    from: u64,
    until: u64,
}

impl Validity {
    /// Reads `exp`, `nbf` and `iat`.
    pub(super) fn read(
        claims: &Map<String, Value>,
        leeway: Duration,
        needs_expiry: bool,
    ) -> Result<Self, &'static str> {
        let leeway = u64::try_from(leeway.as_micros()).unwrap_or(u64::MAX);
        let until = match date(claims, "exp")? {
            Some(end) => end.saturating_add(leeway),
            None if needs_expiry => return Err("the token never expires"),
            None => u64::MAX,
        };
        // A token from the future is forged or its issuer's clock is wrong: neither is to be trusted.
        let from = date(claims, "nbf")?.max(date(claims, "iat")?).unwrap_or(0);
        Ok(Self { from: from.saturating_sub(leeway), until })
    }

    pub(super) fn check(self, now: Timestamp) -> Result<(), &'static str> {
        if now.0 >= self.until {
            Err("the token has expired")
        } else if now.0 < self.from {
            Err("the token is not valid yet")
        } else {
            Ok(())
        }
    }
}

/// A `NumericDate` in microseconds: seconds, which need not be whole.
fn date(claims: &Map<String, Value>, name: &str) -> Result<Option<u64>, &'static str> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let micros = match value.as_u64() {
        Some(seconds) => seconds.saturating_mul(1_000_000),
        None => {
            let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
            let seconds = seconds.ok_or("the token has a date that is none")?;
            Duration::try_from_secs_f64(seconds)
                .ok()
                .and_then(|since| u64::try_from(since.as_micros()).ok())
                .unwrap_or(u64::MAX)
        }
    };
    Ok(Some(micros))
}

/// Whether `iss` is one of `issuers`; any, when none are named.
pub(super) fn check_issuer(
    claims: &Map<String, Value>,
    issuers: &[String],
) -> Result<(), &'static str> {
    let is_known =
        || claims.get("iss").is_some_and(|issuer| issuers.iter().any(|known| issuer == known));
    if issuers.is_empty() || is_known() { Ok(()) } else { Err("the token is from another issuer") }
}

/// Whether `aud`, one or a list, has one of `audiences`; any, when none are named.
pub(super) fn check_audience(
    claims: &Map<String, Value>,
    audiences: &[String],
) -> Result<(), &'static str> {
    let is_ours = |value: &Value| audiences.iter().any(|ours| value == ours);
    let is_meant = || match claims.get("aud") {
        Some(Value::Array(list)) => list.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => false,
    };
    if audiences.is_empty() || is_meant() {
        Ok(())
    } else {
        Err("the token is for another audience")
    }
}

/// Whether the token grants `scope`: in `scope` (RFC 9068 §2.2.3: words with spaces between) or `scp`, as
/// text or as a list.
pub(super) fn has_scope(claims: &Map<String, Value>, scope: &str) -> bool {
    ["scope", "scp"].iter().any(|name| match claims.get(*name) {
        Some(Value::String(words)) => words.split(' ').any(|word| word == scope),
        Some(Value::Array(list)) => list.iter().any(|word| word == scope),
        _ => false,
    })
}

/// A claim by its name, or by the names on the way to it: `realm.role` is first looked for as it stands, then
/// as `role` in `realm`.
pub(crate) fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    find(claims.get(first)?.as_object()?, rest)
}
