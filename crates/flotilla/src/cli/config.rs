//! `flotilla config`: values with their history.

use super::{
    Context,
    args::ConfigCommand,
    exit::{Exit, Failure, Outcome},
    locate,
    logs::RECONNECT_PAUSE,
    output::{Align, Cell, Tint, table},
    ps::to_json,
    store::{self, Place, short, visible},
};
use api::{
    Client,
    client::Error,
    wire::{
        config::{Changed, Item, Set, Version},
        stores::StoreKind,
    },
};
use serde_json::Value;
use std::collections::BTreeMap;

pub(crate) async fn run(context: &Context, command: &ConfigCommand) -> Outcome {
    let client = context.place()?.client();
    match command {
        ConfigCommand::Ls { keys, store } => {
            list(context, &choose(client, store).await?, keys).await
        }
        ConfigCommand::Get { key, store } => get(context, &choose(client, store).await?, key).await,
        ConfigCommand::Set { key, value, expect, store } => {
            let value = store::text(value)?;
            let set = Set { value, metadata: BTreeMap::new(), expected: *expect };
            let place = choose(client, store).await?;
            let changed = place.client.set_config(&place.store, key, &set).await;
            say(context, key, changed)
        }
        ConfigCommand::Rm { key, store } => {
            let place = choose(client, store).await?;
            let changed = place.client.delete_config(&place.store, key).await;
            say(context, key, changed)
        }
        ConfigCommand::History { key, store } => {
            history(context, &choose(client, store).await?, key).await
        }
        ConfigCommand::Diff { key, from, to, store } => {
            let place = choose(client, store).await?;
            let found = place.client.config_diff(&place.store, key, *from, *to).await;
            let found = found.map_err(|e| locate::unanswered(&e))?;
            if context.out.is_json() {
                context.out.json(&to_json(&found)?)?;
            } else {
                context.out.raw(&diff(context, &found.diff))?;
            }
            Ok(Exit::Success)
        }
        ConfigCommand::Rollback { key, to, store } => {
            let place = choose(client, store).await?;
            let to = match to {
                Some(to) => *to,
                None => before(&place, key).await?,
            };
            let changed = place.client.rollback_config(&place.store, key, to).await;
            say(context, key, changed)
        }
        ConfigCommand::Watch { keys, store } => {
            watch(context, &choose(client, store).await?, keys).await
        }
    }
}

async fn choose(client: Client, store: &super::args::Store) -> Result<Place, Failure> {
    store::choose(client, store, &[StoreKind::Config], "configstore").await
}

async fn list(context: &Context, place: &Place, keys: &[String]) -> Outcome {
    let found = place.client.config(&place.store, keys).await;
    let found = found.map_err(|e| locate::unanswered(&e))?;
    if found.stale {
        context.out.say("the kv engine does not answer: there may be newer values");
    }
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    let head = [
        ("KEY", Align::Left),
        ("VERSION", Align::Right),
        ("CHANGED", Align::Left),
        ("VALUE", Align::Left),
    ];
    let row = |(key, item): (&String, &Item)| -> Vec<Cell> {
        let changed = item.changed_at.to_string();
        vec![
            visible(key).into(),
            item.version.to_string().into(),
            Cell::tinted(changed, Tint::Dim),
            short(&item.value).into(),
        ]
    };
    let rows: Vec<Vec<Cell>> = found.items.iter().map(row).collect();
    context.out.raw(&table(context.out.paint, &head, &rows))?;
    let missing: Vec<&String> = keys.iter().filter(|key| !found.items.contains_key(*key)).collect();
    match missing.first() {
        Some(key) => Err(not_set(key)),
        None => Ok(Exit::Success),
    }
}

fn not_set(key: &str) -> Failure {
    Failure::new(Exit::Usage, format!("`{}` is not set", visible(key)))
}

async fn get(context: &Context, place: &Place, key: &str) -> Outcome {
    let found = place.client.config(&place.store, &[key.to_owned()]).await;
    let found = found.map_err(|e| locate::unanswered(&e))?;
    if found.stale {
        context.out.say("the kv engine does not answer: there may be a newer value");
    }
    let item = found.items.get(key).ok_or_else(|| not_set(key))?;
    if context.out.is_json() {
        context.out.json(&to_json(item)?)?;
    } else {
        context.out.line(&item.value)?;
    }
    Ok(Exit::Success)
}

/// Says what a change did.
fn say(context: &Context, key: &str, changed: Result<Changed, Error>) -> Outcome {
    let changed = changed.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&changed)?)?;
        return Ok(Exit::Success);
    }
    let key = visible(key);
    match changed.version {
        Some(version) => context.out.say(&format!("{key} has version {version}")),
        None => context.out.say(&format!("{key} was not set")),
    }
    Ok(Exit::Success)
}

async fn history(context: &Context, place: &Place, key: &str) -> Outcome {
    let found = place.client.config_history(&place.store, key).await;
    let found = found.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&found)?)?;
        return Ok(Exit::Success);
    }
    let head = [
        ("VERSION", Align::Right),
        ("CHANGED", Align::Left),
        ("BY", Align::Left),
        ("VALUE", Align::Left),
    ];
    let rows: Vec<Vec<Cell>> = found.versions.iter().map(row).collect();
    context.out.raw(&table(context.out.paint, &head, &rows))?;
    Ok(Exit::Success)
}

fn row(version: &Version) -> Vec<Cell> {
    let value = match (&version.value, version.restores) {
        (None, _) => Cell::tinted("deleted", Tint::Dim),
        (Some(value), Some(restores)) => format!("{}  (as {restores})", short(value)).into(),
        (Some(value), None) => short(value).into(),
    };
    vec![
        version.version.to_string().into(),
        Cell::tinted(version.changed_at.to_string(), Tint::Dim),
        visible(&version.by).into(),
        value,
    ]
}

/// The version before the one in force.
async fn before(place: &Place, key: &str) -> Result<u64, Failure> {
    let found = place.client.config_history(&place.store, key).await;
    let found = found.map_err(|e| locate::unanswered(&e))?;
    let earlier = found.versions.iter().skip(1).find(|version| version.value.is_some());
    earlier.map(|version| version.version).ok_or_else(|| {
        let text = format!("`{}` has no earlier value", visible(key));
        Failure::new(Exit::Conflict, text)
    })
}

/// A unified diff in the usual colours.
fn diff(context: &Context, text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let tint = match line.as_bytes().first() {
            Some(b'+') => Some(Tint::Green),
            Some(b'-') => Some(Tint::Red),
            Some(b'@') => Some(Tint::Dim),
            _ => None,
        };
        let line = visible(line);
        out.push_str(&tint.map_or_else(|| line.clone(), |t| context.out.paint.tint(t, &line)));
        out.push('\n');
    }
    out
}

async fn watch(context: &Context, place: &Place, patterns: &[String]) -> Outcome {
    loop {
        let mut stream = match place.client.config_stream(&place.store, patterns).await {
            Ok(stream) => stream,
            Err(Error::NotRunning { .. }) => break,
            Err(e) => return Err(locate::unanswered(&e)),
        };
        loop {
            match stream.next().await {
                Ok(Some(event)) => print(context, &event.data)?,
                Ok(None) | Err(Error::Broken(_)) => break,
                Err(e) => return Err(locate::unanswered(&e)),
            }
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
    context.out.say("the system was stopped");
    Ok(Exit::Success)
}

/// Prints what is in force, or has changed: a line a key.
fn print(context: &Context, event: &Value) -> Result<(), Failure> {
    if context.out.is_json() {
        return context.out.line(&event.to_string());
    }
    for (key, item) in event["items"].as_object().into_iter().flatten() {
        let line = match item["value"].as_str() {
            Some(value) => format!("{}  {}  {}", item["version"], visible(key), short(value)),
            None => format!("{}  deleted", visible(key)),
        };
        context.out.line(&line)?;
    }
    Ok(())
}
