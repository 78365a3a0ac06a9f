//! `lock/…` and `unlock/…`.

use super::{Answer, Ask, json};
use crate::app::{blocks::lock, fault::Fault};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    #[serde(default, alias = "resource_id")]
    resource_id: String,
    #[serde(default, alias = "lock_owner")]
    lock_owner: String,
    /// A number, or as the JSON of protobuf allows, its text.
    #[serde(default, alias = "expiry_in_seconds")]
    expiry_in_seconds: Value,
}

impl Lock {
    fn expiry(&self) -> Result<i64, Fault> {
        let whole = |number: &Value| {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "only what is whole and small gets there"
            )]
            let of_float = |it: f64| (it.fract() == 0.0 && it.abs() < 1e15).then_some(it as i64);
            number.as_i64().or_else(|| number.as_f64().and_then(of_float))
        };
        let read = match &self.expiry_in_seconds {
            Value::Null => Some(0),
            Value::String(text) => text.parse().ok(),
            other => whole(other),
        };
        read.ok_or_else(|| Fault::malformed("`expiryInSeconds` is not a whole number"))
    }
}

pub(super) async fn lock(ask: Ask) -> Answer {
    let store = ask.value(0);
    lock::check(&ask.shared, &ask.caller, store)?;
    let request: Lock = ask.read()?;
    let (resource, owner) = (&request.resource_id, &request.lock_owner);
    let expiry = request.expiry()?;
    let success = lock::try_lock(&ask.shared, &ask.caller, store, resource, owner, expiry).await?;
    Ok(json(&json!({ "success": success })))
}

pub(super) async fn unlock(ask: Ask) -> Answer {
    let store = ask.value(0);
    lock::check(&ask.shared, &ask.caller, store)?;
    let request: Lock = ask.read()?;
    let (resource, owner) = (&request.resource_id, &request.lock_owner);
    let unlocked = lock::unlock(&ask.shared, &ask.caller, store, resource, owner).await?;
    Ok(json(&json!({ "status": unlocked.number() })))
}
