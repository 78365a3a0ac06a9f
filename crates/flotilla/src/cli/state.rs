//! `flotilla state`: what services keep, for people.

mod repair;
pub(super) mod value;

use super::{
    Context,
    args::{Keys, StateCommand},
    exit::{Exit, Failure, Outcome},
    locate,
    logs::RECONNECT_PAUSE,
    output::{Align, Cell, table},
    ps::to_json,
    store::{self, Place, short, visible},
};
use api::{
    Client, StateQuestion,
    client::Error,
    wire::{
        state::{Change, Expect, Item, Put},
        stores::{Kv, Store, StoreKind},
    },
};
use base::ByteSize;
use serde_json::value::RawValue;
use std::time::Duration;

pub(crate) async fn run(context: &Context, command: &StateCommand) -> Outcome {
    let system = context.place()?;
    let client = system.client();
    match command {
        StateCommand::Stores => stores(context, &client).await,
        StateCommand::Ls { prefix, limit, keys } => {
            let place = choose(client, keys).await?;
            list(context, &place, keys, prefix.as_deref(), *limit).await
        }
        StateCommand::Get { key, keys } => {
            get(context, &choose(client, keys).await?, keys, key).await
        }
        StateCommand::Set { key, value, etag, new, ttl, text, keys } => {
            let put = put(value, *text, etag.as_deref(), *new, *ttl)?;
            let place = choose(client, keys).await?;
            set(context, &place, keys, key, &put).await
        }
        StateCommand::Rm { key, etag, keys } => {
            remove(context, &choose(client, keys).await?, keys, key, etag.as_deref()).await
        }
        StateCommand::Watch { prefix, keys } => {
            watch(context, &choose(client, keys).await?, keys, prefix.as_deref()).await
        }
        StateCommand::Repair => repair::run(context, &system).await,
    }
}

async fn choose(client: Client, keys: &Keys) -> Result<Place, Failure> {
    let kinds = [StoreKind::State, StoreKind::Cache];
    store::choose(client, &keys.store, &kinds, "statestore").await
}

async fn stores(context: &Context, client: &Client) -> Outcome {
    let stores = client.stores().await.map_err(|e| locate::unanswered(&e))?.stores;
    let kv = client.kv().await.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        let both = serde_json::json!({ "stores": to_json(&stores)?, "engine": to_json(&kv)? });
        context.out.json(&both)?;
        return Ok(Exit::Success);
    }
    let head = [("STORE", Align::Left), ("KIND", Align::Left), ("USE", Align::Left)];
    let rows: Vec<Vec<Cell>> = stores.iter().map(row).collect();
    context.out.raw(&table(context.out.paint, &head, &rows))?;
    context.out.say(&engine(&kv));
    Ok(Exit::Success)
}

fn row(store: &Store) -> Vec<Cell> {
    let kind = match store.kind {
        StoreKind::State => "state",
        StoreKind::Cache => "cache",
        StoreKind::Lock => "lock",
        StoreKind::Config => "config",
        StoreKind::Secret => "secret",
    };
    let used = store.cache.as_ref().map_or_else(String::new, |cache| {
        let (size, max) = (ByteSize(cache.size_bytes), ByteSize(cache.size_max_bytes));
        let asked = cache.hits.saturating_add(cache.misses);
        let hits = (cache.hits * 100).checked_div(asked);
        let hits = hits.map_or_else(String::new, |percent| format!(", {percent} % found"));
        format!("{} values, {size} of {max}{hits}, {} evicted", cache.items, cache.evictions)
    });
    vec![visible(&store.name).into(), kind.into(), used.into()]
}

/// The engine in a line.
fn engine(kv: &Kv) -> String {
    let state = match &kv.trouble {
        // It names the engine itself.
        Some(trouble) if !kv.up => return trouble.clone(),
        _ if !kv.up => "does not answer".to_owned(),
        _ => {
            let revision = kv.revision.map_or_else(String::new, |r| format!(", revision {r}"));
            let size = kv.size_bytes.map_or_else(String::new, |s| format!(", {}", ByteSize(s)));
            format!("answers{revision}{size}")
        }
    };
    format!("the engine at {} {state}", kv.place)
}

async fn list(
    context: &Context,
    place: &Place,
    keys: &Keys,
    prefix: Option<&str>,
    limit: u32,
) -> Outcome {
    let mut left = limit;
    let mut after: Option<String> = None;
    let mut rows = Vec::new();
    loop {
        let question = StateQuestion {
            service: keys.service.as_deref(),
            prefix,
            after: after.as_deref(),
            limit: Some(left.min(1_000)),
        };
        let page = place.client.state_items(&place.store, &question).await;
        let page = page.map_err(|e| locate::unanswered(&e))?;
        left = left.saturating_sub(u32::try_from(page.items.len()).unwrap_or(u32::MAX));
        if context.out.is_json() {
            for item in &page.items {
                context.out.line(&value::json_line(item)?)?;
            }
        } else {
            rows.extend(page.items.iter().map(item_row));
        }
        after = page.next;
        if after.is_none() || left == 0 {
            break;
        }
    }
    if !context.out.is_json() {
        let head = [("KEY", Align::Left), ("ETAG", Align::Right), ("VALUE", Align::Left)];
        context.out.raw(&table(context.out.paint, &head, &rows))?;
    }
    if after.is_some() {
        context.out.say("there are more; `-n` shows them");
    }
    Ok(Exit::Success)
}

fn item_row(item: &Item) -> Vec<Cell> {
    vec![visible(&item.key).into(), item.etag.clone().into(), short(value::shown(item)).into()]
}

async fn get(context: &Context, place: &Place, keys: &Keys, key: &str) -> Outcome {
    let item = place.client.state_item(&place.store, key, keys.service.as_deref()).await;
    let item = item.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.line(&value::json_line(&item)?)?;
    } else {
        context.out.bytes(&value::printed(&item, context.out.is_terminal)?)?;
    }
    Ok(Exit::Success)
}

/// What shall be written.
fn put(
    value: &str,
    is_text: bool,
    etag: Option<&str>,
    is_new: bool,
    ttl: Option<Duration>,
) -> Result<Put, Failure> {
    let text = store::text(value)?;
    let json = if is_text { None } else { RawValue::from_string(text.clone()).ok() };
    let expect = (etag.is_some() || is_new)
        .then(|| Expect { etag: etag.map(str::to_owned), missing: is_new });
    Ok(Put {
        text: json.is_none().then_some(text),
        value: json,
        expect,
        ttl_ms: ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        ..Put::default()
    })
}

async fn set(context: &Context, place: &Place, keys: &Keys, key: &str, put: &Put) -> Outcome {
    let written = place.client.put_state(&place.store, key, keys.service.as_deref(), put).await;
    let written = written.map_err(|e| locate::unanswered(&e))?;
    if context.out.is_json() {
        context.out.json(&to_json(&written)?)?;
    } else {
        context.out.say(&format!("written, etag {}", written.etag));
    }
    Ok(Exit::Success)
}

async fn remove(
    context: &Context,
    place: &Place,
    keys: &Keys,
    key: &str,
    etag: Option<&str>,
) -> Outcome {
    use api::wire::state::{Delete, Operation, Transaction};
    let service = keys.service.as_deref();
    let is_deleted = match etag {
        None => {
            let deleted = place.client.delete_state(&place.store, key, service).await;
            deleted.map_err(|e| locate::unanswered(&e))?.deleted
        }
        Some(etag) => {
            let expect = Some(Expect { etag: Some(etag.to_owned()), missing: false });
            let delete = Delete { key: key.to_owned(), expect, fence: None };
            let operations = vec![Operation::Delete(delete)];
            let transaction = Transaction { operations, ..Transaction::default() };
            let done = place.client.transact_state(&place.store, service, &transaction).await;
            done.map_err(|e| locate::unanswered(&e))?;
            true
        }
    };
    if context.out.is_json() {
        context.out.json(&serde_json::json!({ "deleted": is_deleted }))?;
    } else {
        context.out.say(if is_deleted { "deleted" } else { "it was not there" });
    }
    Ok(Exit::Success)
}

async fn watch(context: &Context, place: &Place, keys: &Keys, prefix: Option<&str>) -> Outcome {
    loop {
        let service = keys.service.as_deref();
        let mut stream = match place.client.state_stream(&place.store, service, prefix).await {
            Ok(stream) => stream,
            Err(Error::NotRunning { .. }) => break,
            Err(e) => return Err(locate::unanswered(&e)),
        };
        loop {
            match stream.next().await {
                Ok(Some(change)) => print(context, &change.data)?,
                Ok(None) | Err(Error::Broken(_)) => break,
                Err(e) => return Err(locate::unanswered(&e)),
            }
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
    context.out.say("the system was stopped");
    Ok(Exit::Success)
}

fn print(context: &Context, change: &Change) -> Result<(), Failure> {
    if context.out.is_json() {
        return context.out.line(&value::json_line(change)?);
    }
    for item in &change.put {
        let line =
            format!("{}  put  {}  {}", item.etag, visible(&item.key), short(value::shown(item)));
        context.out.line(&line)?;
    }
    for key in &change.deleted {
        context.out.line(&format!("{}  deleted  {}", change.revision, visible(key)))?;
    }
    Ok(())
}
