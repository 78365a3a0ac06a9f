//! `configuration/…`: values, and changes that are posted to the app.

use super::{Answer, Ask, empty, json, json_with};
use crate::app::{blocks::configuration, fault::Fault};
use http::StatusCode;
use serde_json::json;

pub(super) async fn get(ask: Ask) -> Answer {
    let keys = ask.params("key");
    let items = configuration::get(&ask.shared, &ask.caller, ask.value(0), &keys).await?;
    Ok(if items.is_empty() { empty() } else { json(&items) })
}

pub(super) async fn subscribe(ask: Ask) -> Answer {
    let store = ask.value(0);
    configuration::check(&ask.shared, &ask.caller, store)?;
    if ask.caller.instance.app.is_none() {
        return Err(Fault::no_channel());
    }
    let keys = ask.params("key");
    let updates = configuration::subscribe(&ask.shared, &ask.caller, store, &keys).await?;
    let id = updates.id.clone();
    if !ask.shared.pushes.push(&ask.caller, store, updates) {
        return Err(Fault::configuration_subscribe(store, &keys, "the node is ending"));
    }
    Ok(json(&json!({ "id": id })))
}

pub(super) async fn unsubscribe(ask: Ask) -> Answer {
    let (store, id) = (ask.value(0), ask.value(1));
    configuration::check(&ask.shared, &ask.caller, store)?;
    let answer = match configuration::unsubscribe(&ask.shared, &ask.caller, store, id) {
        Ok(()) => json(&json!({ "ok": true })),
        Err(message) => json_with(
            StatusCode::INTERNAL_SERVER_ERROR,
            &json!({ "ok": false, "message": message }),
        ),
    };
    // An `await` so that all handlers are of one shape.
    std::future::ready(Ok(answer)).await
}
