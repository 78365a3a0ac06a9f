//! Dapr's outbox: what a transaction of a state store writes is published when it commits.

use super::{
    is_true,
    pubsub::{self, Use},
    state::{Op, Save},
};
use crate::{
    app::{
        Caller, Shared,
        deliver::envelope::{KIND, PUBSUB, TOPIC},
        fault::Fault,
    },
    cloudevents::new_id,
    wire::Time,
};
use base::ErrorChain;
use events::Event;
use ports::{broker::TopicName, kv};

/// Marks a write that is published and not stored: it stands for what is published of the key.
const PROJECTION: &str = "outbox.projection";

/// Metadata of a write that is no attribute of its event.
const OF_THE_WRITE: [&str; 5] = ["contentType", "ttlInSeconds", "data", "id", PROJECTION];

/// What a transaction does besides its own steps, and those steps without the ones that are only published.
///
/// # Errors
/// When the messages cannot be made, or their topic is not there.
pub(crate) async fn beside(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    operations: Vec<Op>,
) -> Result<(Vec<Op>, Vec<kv::Operation>), Fault> {
    let Some(outbox) = shared.backend.state_outbox(store) else {
        return Ok((operations, Vec::new()));
    };
    let app = caller.app_id();
    let Some(events) = &shared.events else { return Err(Fault::outbox(app, "there is no broker")) };
    let place = pubsub::find(shared, caller, &outbox.pubsub, &outbox.topic, Use::Publish)
        .map_err(|fault| Fault::outbox(app, fault.message))?;
    let (projections, operations): (Vec<Op>, Vec<Op>) =
        operations.into_iter().partition(is_projection);
    let mut messages: Vec<(TopicName, Event)> = Vec::new();
    for operation in &operations {
        let Op::Upsert(save) = operation else { continue };
        let projection = projections.iter().find_map(|projection| match projection {
            Op::Upsert(other) if other.key == save.key => Some(other),
            Op::Upsert(_) | Op::Delete(_) => None,
        });
        let event = event(caller, &place, save, projection.unwrap_or(save));
        messages.push((place.topic.clone(), event.map_err(|why| Fault::outbox(app, why))?));
    }
    if messages.is_empty() {
        return Ok((operations, Vec::new()));
    }
    let beside = events.outbox(messages).await;
    let beside = beside.map_err(|e| Fault::outbox(app, ErrorChain(&e)))?;
    Ok((operations, beside))
}

fn is_projection(operation: &Op) -> bool {
    match operation {
        Op::Upsert(save) => save.metadata.get(PROJECTION).is_some_and(|text| is_true(text)),
        Op::Delete(_) => false,
    }
}

/// The event of a write, with the value that is published of it.
fn event(
    caller: &Caller,
    place: &pubsub::Place,
    save: &Save,
    published: &Save,
) -> Result<Event, String> {
    let kind = published.content_type.as_ref().or_else(|| published.metadata.get("contentType"));
    let mut event = Event {
        id: format!("outbox-{}", new_id()),
        source: caller.app_id().to_owned(),
        kind: KIND.to_owned(),
        time: Some(Time(runtime::Clock::wall()).to_string()),
        content_type: Some(kind.map_or("text/plain", String::as_str).to_owned()),
        data: published.value.clone(),
        ..Event::default()
    };
    event.extensions.insert(TOPIC.to_owned(), place.called.clone());
    event.extensions.insert(PUBSUB.to_owned(), place.component.name.clone());
    for (name, value) in &save.metadata {
        let name = name.strip_prefix("cloudevent.").unwrap_or(name);
        match name {
            _ if OF_THE_WRITE.contains(&name) => {}
            "source" => event.source.clone_from(value),
            "type" => event.kind.clone_from(value),
            "subject" => event.subject = Some(value.clone()),
            "time" => event.time = Some(value.clone()),
            "datacontenttype" => event.content_type = Some(value.clone()),
            name => {
                event.extensions.insert(name.to_owned(), value.clone());
            }
        }
    }
    event.check().map_err(|e| e.to_string())?;
    Ok(event)
}
