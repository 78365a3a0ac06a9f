//! `flotilla topics`: messages, who takes them, and what becomes of them.

mod dead;
mod messages;
mod shown;

use super::{
    Context,
    args::{Subscriptions, TopicsCommand},
    data::sure,
    exit::{Exit, Outcome},
    locate,
    output::{Align, Cell, Tint, table},
    ps::to_json,
    store::{short, visible},
    words,
};
use api::{
    Client,
    wire::topics::{Group, Purge, Relay, Seek},
};

pub(crate) async fn run(context: &Context, command: &TopicsCommand) -> Outcome {
    let client = context.place()?.client();
    match command {
        TopicsCommand::Ls => list(context, &client).await,
        TopicsCommand::Show { topic } => shown::show(context, &client, topic).await,
        TopicsCommand::Publish(args) => messages::publish(context, &client, args).await,
        TopicsCommand::Tail { topic, tail } => messages::tail(context, &client, topic, *tail).await,
        TopicsCommand::Replay { topic, from, follow: true, .. } => {
            messages::follow(context, &client, topic, from.clone()).await
        }
        TopicsCommand::Replay { topic, from, limit, .. } => {
            messages::replay(context, &client, topic, from, *limit).await
        }
        TopicsCommand::Dlq(command) => dead::run(context, &client, command).await,
        TopicsCommand::Groups { topic } => groups(context, &client, topic).await,
        TopicsCommand::Seek { topic, group, to } => {
            seek(context, &client, topic, group, to.clone()).await
        }
        TopicsCommand::Purge { topic, before, sure: wish } => {
            let what = match before {
                Some(before) => format!("this removes all messages of `{topic}` before {before}"),
                None => format!("this removes all messages of `{topic}`"),
            };
            sure(context, wish, &what)?;
            purge(context, &client, topic, *before).await
        }
        TopicsCommand::Rm { topic, group: Some(group), sure: wish } => {
            sure(context, wish, &format!("this forgets how far the group `{group}` is"))?;
            let done = client.remove_group(topic, group).await;
            deleted(context, done.map_err(|e| locate::unanswered(&e))?.deleted)
        }
        TopicsCommand::Rm { topic, group: None, sure: wish } => {
            sure(context, wish, &format!("this removes `{topic}` with its messages and groups"))?;
            let done = client.remove_topic(topic).await;
            deleted(context, done.map_err(|e| locate::unanswered(&e))?.deleted)
        }
        TopicsCommand::Later { topic, cancel: None } => {
            messages::later(context, &client, topic).await
        }
        TopicsCommand::Later { topic, cancel: Some(id) } => {
            let done = client.cancel_later(topic, id).await;
            deleted(context, done.map_err(|e| locate::unanswered(&e))?.deleted)
        }
        TopicsCommand::Relays => relays(context, &client).await,
    }
}

/// Says whether something was there to be deleted.
pub(super) fn deleted(context: &Context, is_deleted: bool) -> Outcome {
    if context.out.is_json() {
        context.out.json(&serde_json::json!({ "deleted": is_deleted }))?;
    } else {
        context.out.say(if is_deleted { "deleted" } else { "it was not there" });
    }
    Ok(Exit::Success)
}

/// A number in a cell; red if there should be none.
pub(super) fn bad(number: u64) -> Cell {
    if number == 0 { "0".into() } else { Cell::tinted(number.to_string(), Tint::Red) }
}

async fn list(context: &Context, client: &Client) -> Outcome {
    let found = client.topics().await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    context.out.raw(&shown::topics(context, &found.topics))?;
    if found.topics.is_empty() {
        context.out.say("there is no topic; the file names some: `topics: { order.created: {} }`");
    }
    if let Some(trouble) = &found.broker.trouble {
        context.out.say(&format!("{}: {trouble}", found.broker.place));
    }
    Ok(Exit::Success)
}

async fn groups(context: &Context, client: &Client, topic: &str) -> Outcome {
    let found = client.topic_groups(topic).await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    context.out.raw(&shown::groups(context, &found.groups))?;
    if found.groups.is_empty() {
        context.out.say("nobody has subscribed to it yet");
    }
    Ok(Exit::Success)
}

async fn seek(context: &Context, client: &Client, topic: &str, group: &str, to: String) -> Outcome {
    let moved = client.seek_group(topic, group, &Seek { to }).await;
    let moved: Group = moved.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&moved)?)?;
    } else {
        let text = format!(
            "{} goes on after {}, {} messages before the end",
            visible(&moved.name),
            moved.settled,
            moved.lag
        );
        context.out.say(&text);
    }
    Ok(Exit::Success)
}

async fn purge(context: &Context, client: &Client, topic: &str, before: Option<u64>) -> Outcome {
    let purged = client.purge_topic(topic, &Purge { before }).await;
    let purged = purged.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&purged)?)?;
    } else {
        context.out.say(&format!("{} removed", messages::count(purged.removed)));
    }
    Ok(Exit::Success)
}

async fn relays(context: &Context, client: &Client) -> Outcome {
    let found = client.relays().await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    let head = [
        ("SERVICE", Align::Left),
        ("TABLE", Align::Left),
        ("TOPIC", Align::Left),
        ("RELAYED", Align::Right),
        ("LAST", Align::Left),
        ("TROUBLE", Align::Left),
    ];
    let now = super::ps::now();
    let row = |relay: &Relay| -> Vec<Cell> {
        let last = relay.last_at.map(|at| format!("{} ago", words::age(at, now)));
        vec![
            visible(&relay.service).into(),
            visible(&relay.table).into(),
            visible(&relay.topic).into(),
            relay.relayed.to_string().into(),
            Cell::tinted(last.unwrap_or_default(), Tint::Dim),
            Cell::tinted(short(relay.trouble.as_deref().unwrap_or_default()), Tint::Red),
        ]
    };
    let rows: Vec<Vec<Cell>> = found.relays.iter().map(row).collect();
    context.out.raw(&table(context.out.paint, &head, &rows))?;
    if rows.is_empty() {
        context.out.say("no service has an outbox");
    }
    Ok(Exit::Success)
}

/// `flotilla subscriptions`
pub(crate) async fn subscriptions(context: &Context, args: &Subscriptions) -> Outcome {
    let client = context.place()?.client();
    if let Some(service) = &args.service {
        let status = client.status().await.map_err(|e| locate::unanswered(&e))?;
        locate::known(std::slice::from_ref(service), &status)?;
    }
    let found = client.subscriptions(args.service.as_deref()).await;
    let found = found.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    context.out.raw(&shown::subscriptions(context, &found.subscriptions))?;
    if found.subscriptions.is_empty() {
        context.out.say("messages are pushed to nobody");
    }
    Ok(Exit::Success)
}
