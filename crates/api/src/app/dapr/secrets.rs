//! `secrets/…`.

use super::{Answer, Ask, empty, json};
use crate::app::blocks::secrets;

pub(super) async fn get(ask: Ask) -> Answer {
    let secret = secrets::get(&ask.shared, &ask.caller, ask.value(0), ask.value(1)).await?;
    Ok(if secret.is_empty() { empty() } else { json(&secret) })
}

pub(super) async fn bulk(ask: Ask) -> Answer {
    let secrets = secrets::bulk(&ask.shared, &ask.caller, ask.value(0)).await?;
    Ok(if secrets.is_empty() { empty() } else { json(&secrets) })
}
