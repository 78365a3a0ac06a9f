//! Messages: publishing them, and reading them without taking them from anybody.

use crate::cli::{
    Context,
    args::{Format, Publish},
    data,
    exit::{Exit, Failure, Outcome},
    locate,
    logs::RECONNECT_PAUSE,
    output::{Align, Cell, Tint, table},
    ps::to_json,
    state::value,
    store::visible,
};
use api::{
    Client,
    client::Error,
    wire::{
        self,
        topics::{Event, Later, Message},
    },
};
use std::time::Duration;

/// Most messages of one page.
const PAGE: u32 = 500;

/// Before a node that has no broker at the moment is asked again.
const AWAY_PAUSE: Duration = Duration::from_secs(1);

/// `1 message`, `3 messages`.
pub(super) fn count(number: u64) -> String {
    if number == 1 { "1 message".to_owned() } else { format!("{number} messages") }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The message that was typed.
fn message(args: &Publish) -> Result<wire::topics::Publish, Failure> {
    let data = data::typed(args.data.as_deref(), args.text)?;
    Ok(wire::topics::Publish {
        data: data.json,
        text: data.text,
        base64: data.base64,
        raw: args.raw,
        id: args.id.clone(),
        key: args.key.clone(),
        kind: args.kind.clone(),
        source: args.source.clone(),
        subject: args.subject.clone(),
        content_type: args.content_type.clone(),
        extensions: args.headers.iter().cloned().collect(),
        after_ms: args.after.map(millis),
        at: args.at,
        ttl_ms: args.ttl.map(millis),
    })
}

pub(super) async fn publish(context: &Context, client: &Client, args: &Publish) -> Outcome {
    let done = client.publish(&args.topic, &message(args)?).await;
    let done = done.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&done)?)?;
        return Ok(Exit::Success);
    }
    let text = match (done.offset, done.duplicate, done.at) {
        (Some(offset), false, _) => format!("published, offset {offset}"),
        (Some(offset), true, _) => format!("it was there already, offset {offset}"),
        (None, _, Some(at)) => {
            let id = visible(done.later.as_deref().unwrap_or_default());
            format!("it is published at {at}, until then it is {id}")
        }
        (None, _, None) => "published".to_owned(),
    };
    context.out.say(&text);
    Ok(Exit::Success)
}

/// Messages as they come, after the newest `tail`.
pub(super) async fn tail(context: &Context, client: &Client, topic: &str, tail: u64) -> Outcome {
    let found = client.topic(topic).await.map_err(|e| locate::unanswered(&e))?.topic;
    // An offset and not the end, so that nothing is missed when the stream breaks before the first message.
    let from = found.last.saturating_add(1).saturating_sub(tail).max(1);
    follow(context, client, topic, from.to_string()).await
}

/// Messages from anywhere on, and those that come.
pub(super) async fn follow(
    context: &Context,
    client: &Client,
    topic: &str,
    mut from: String,
) -> Outcome {
    let mut is_first = true;
    loop {
        let mut stream = match client.message_stream(topic, &from).await {
            Ok(stream) => stream,
            Err(Error::NotRunning { .. }) => break,
            // A node that has just taken over may not have its broker yet.
            Err(Error::Api { status: 503, .. }) if !is_first => {
                tokio::time::sleep(AWAY_PAUSE).await;
                continue;
            }
            Err(e) => return Err(locate::unanswered(&e)),
        };
        is_first = false;
        loop {
            match stream.next().await {
                Ok(Some(item)) => {
                    print(context, &item.data)?;
                    from = item.id.saturating_add(1).to_string();
                }
                Ok(None) | Err(Error::Broken(_)) => break,
                Err(e) => return Err(locate::unanswered(&e)),
            }
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
    context.out.say("the system was stopped");
    Ok(Exit::Success)
}

/// The messages that are there.
pub(super) async fn replay(
    context: &Context,
    client: &Client,
    topic: &str,
    from: &str,
    limit: Option<u64>,
) -> Outcome {
    let mut left = limit.unwrap_or(u64::MAX);
    let mut from = from.to_owned();
    while left > 0 {
        let limit = u32::try_from(left).unwrap_or(PAGE).min(PAGE);
        let page = client.messages(topic, &from, Some(limit)).await;
        let page = page.map_err(|e| locate::unanswered(&e))?;
        for message in &page.messages {
            print(context, message)?;
        }
        left = left.saturating_sub(u64::try_from(page.messages.len()).unwrap_or(u64::MAX));
        match page.next {
            Some(next) if !page.messages.is_empty() => from = next.to_string(),
            _ => return Ok(Exit::Success),
        }
    }
    Ok(Exit::Success)
}

/// A line for each message, as JSON with all that is known of it.
fn print(context: &Context, message: &Message) -> Result<(), Failure> {
    if context.out.is_json() {
        return context.out.line(&value::json_line(message)?);
    }
    let paint = context.out.paint;
    let mut line = format!(
        "{}  {}  {}",
        message.offset,
        paint.tint(Tint::Dim, &message.at.to_string()),
        said(&message.event)?
    );
    if let Some(group) = &message.only_group {
        line.push_str(&format!("  only for {}", visible(group)));
    }
    if let Some(dead) = &message.dead {
        line.push_str(&paint.tint(Tint::Red, &format!("  {}", visible(&dead.reason))));
    }
    if context.out.format == Format::Wide {
        line.push_str(&paint.tint(Tint::Dim, &wide(message)));
    }
    context.out.line(&line)
}

/// Type, key and data of an event in a line.
pub(super) fn said(event: &Event) -> Result<String, Failure> {
    let data = data::line(event.data.as_deref(), event.text.as_deref(), event.base64.as_deref())?;
    let kind = event.kind.as_deref().map(visible);
    let key = event.key.as_deref().or(event.key_base64.as_deref());
    let key = key.map(|key| format!("key={}", visible(key)));
    let parts = [kind, key, Some(data)];
    Ok(parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  "))
}

/// What else there is, for wide screens.
fn wide(message: &Message) -> String {
    let event = &message.event;
    let known = [
        ("id", event.id.as_deref()),
        ("source", event.source.as_deref()),
        ("subject", event.subject.as_deref()),
        ("content", event.content_type.as_deref()),
        ("message", Some(message.message_id.as_str())),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let more = event.extensions.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    known.chain(more).map(|(name, value)| format!("  {name}={}", visible(value))).collect()
}

/// Messages that wait for their time.
pub(super) async fn later(context: &Context, client: &Client, topic: &str) -> Outcome {
    let found = client.later(topic).await.map_err(|e| locate::unanswered(&e))?.messages;
    if context.out.is_json() {
        for message in &found {
            context.out.line(&value::json_line(message)?)?;
        }
        return Ok(Exit::Success);
    }
    let head = [("AT", Align::Left), ("ID", Align::Left), ("MESSAGE", Align::Left)];
    let row = |later: &Later| -> Result<Vec<Cell>, Failure> {
        Ok(vec![later.at.to_string().into(), visible(&later.id).into(), said(&later.event)?.into()])
    };
    let rows: Vec<Vec<Cell>> = found.iter().map(row).collect::<Result<_, _>>()?;
    context.out.raw(&table(context.out.paint, &head, &rows))?;
    if rows.is_empty() {
        context.out.say("no message waits for its time");
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    #[test]
    fn a_message_is_one_line_that_no_terminal_acts_on() {
        let event = Event {
            id: Some("7".to_owned()),
            kind: Some("order\u{1b}created".to_owned()),
            key: Some("k".to_owned()),
            data: Some(RawValue::from_string("{\n\"a\": 1 }".to_owned()).unwrap()),
            ..Event::default()
        };
        assert_eq!(said(&event).unwrap(), "order\\u{1b}created  key=k  {\"a\":1}");
        assert_eq!(said(&Event::default()).unwrap(), "");
        let message = Message { message_id: "m".to_owned(), event, ..Message::default() };
        assert_eq!(wide(&message), "  id=7  message=m");
        assert_eq!((count(1), count(0)), ("1 message".to_owned(), "0 messages".to_owned()));
    }
}
