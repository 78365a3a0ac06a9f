//! `healthz`, `metadata`, `shutdown`.

use super::{Answer, Ask, empty, json};
use crate::app::{blocks::metadata, fault::Fault};

/// Whether the whole is ready: the building blocks, which always are, and the app's port.
pub(super) async fn health(ask: Ask) -> Answer {
    is_same_app(&ask)?;
    let is_open = ask.caller.instance.app.as_ref().is_none_or(|app| app.is_open);
    let answer = if is_open { Ok(empty()) } else { Err(Fault::not_ready()) };
    // An `await` so that all handlers are of one shape.
    std::future::ready(answer).await
}

/// Whether the building blocks are ready. They are before the app is, which asks from its start-up.
pub(super) async fn outbound(ask: Ask) -> Answer {
    is_same_app(&ask)?;
    std::future::ready(Ok(empty())).await
}

fn is_same_app(ask: &Ask) -> Result<(), Fault> {
    match ask.param("appid") {
        Some(app) if app != ask.caller.app_id() => Err(Fault::other_app()),
        _ => Ok(()),
    }
}

pub(super) async fn metadata(ask: Ask) -> Answer {
    std::future::ready(Ok(json(&metadata::get(&ask.shared, &ask.caller).json()))).await
}

pub(super) async fn set_metadata(ask: Ask) -> Answer {
    let value = std::str::from_utf8(&ask.body)
        .map_err(|_not_text| Fault::unreadable_body("the value is not UTF-8"))?;
    metadata::set(&ask.shared, &ask.caller, ask.value(0).to_owned(), value.to_owned())?;
    std::future::ready(Ok(empty())).await
}

pub(super) async fn shutdown(ask: Ask) -> Answer {
    metadata::shutdown(&ask.shared, &ask.caller).await?;
    Ok(empty())
}
