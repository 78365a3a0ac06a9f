//! State.

mod bytes;

pub(crate) use self::bytes::{get_bytes, put_bytes};

use super::{
    Reach, messaging,
    reach::{Keys, stripped, without},
    topics,
};
use crate::{
    answer::{Answer, Problem, json},
    context::Context,
    sse::{self, Format, Source},
    wire::state::{
        Change, Delete, Deleted, Expect, Fence, GetMany, Got, GotMany, Item, Items, Operation,
        PublishBeside, Put, PutKey, PutMany, Transacted, Transaction, Written, WrittenKey,
        WrittenMany,
    },
};
use ::bytes::Bytes;
use base64::Engine as _;
use coordination::{
    Error, Etag, Match, OPERATIONS_MAX, SCAN_MAX, State, StateEvent, StateOp, StateWatch,
    StoreKind, Ttl, Write,
};
use http::{HeaderMap, StatusCode, header};
use serde_json::value::RawValue;
use std::time::Duration;

/// Most keys of a request that are each for themselves: as many as a scan gives.
const MANY_MAX: usize = SCAN_MAX;

const FENCE: &str = "flotilla-fence";

/// The store that a path names.
pub(crate) struct Store {
    state: State,
    keys: Keys,
    /// What stands before the caller's keys.
    before: String,
    locks: coordination::Locks,
}

impl Store {
    fn of<B: Reach + ?Sized>(context: &Context<B>) -> Result<Self, Problem> {
        let coordination = context.backend.coordination();
        // The kind is known only by looking; a store that is not for the caller is as good as none.
        let kind = match coordination.state(context.value(0)) {
            Ok(state) => state.kind(),
            Err(_) => StoreKind::State,
        };
        let name = context.store(kind)?;
        let state = coordination.state(name)?;
        let keys = context.keys_of()?;
        let before = keys.before(&state.settings().prefix, name);
        Ok(Self { state, keys, before, locks: coordination.locks() })
    }

    /// The key as it is stored.
    fn key(&self, key: &str) -> Result<String, Problem> {
        self.keys.check(key)?;
        if key.is_empty() {
            return Err(Problem::bad_request("the key is empty"));
        }
        Ok(format!("{}{key}", self.before))
    }

    fn problem(&self, error: Error) -> Problem {
        without(error, &self.before).into()
    }

    fn item(&self, item: coordination::Item) -> Item {
        let mut out = Item {
            key: stripped(&item.key, &self.before),
            etag: item.etag.to_string(),
            content_type: item.content_type,
            expires_at: item.expires.map(Into::into),
            ..Item::default()
        };
        match std::str::from_utf8(&item.value) {
            Ok(text) => match serde_json::from_str::<Box<RawValue>>(text) {
                // A value with spaces around it would not come back as it was.
                Ok(raw) if raw.get().len() == text.len() => out.value = Some(raw),
                _ => out.text = Some(text.to_owned()),
            },
            Err(_) => {
                out.base64 = Some(base64::engine::general_purpose::STANDARD.encode(&item.value));
            }
        }
        out
    }

    fn fence(&self, fence: Option<Fence>) -> Result<Option<coordination::Fence>, Problem> {
        let Some(Fence { store, resource, token }) = fence else { return Ok(None) };
        self.keys.check(&resource)?;
        if resource.is_empty() {
            return Err(Problem::bad_request("the `resource` of a fence is empty"));
        }
        let prefix = self.locks.settings(&store)?.prefix;
        let resource = format!("{}{resource}", self.keys.before(&prefix, &store));
        Ok(Some(coordination::Fence { store, resource, token }))
    }

    fn write(&self, key: &str, put: Put) -> Result<Write, Problem> {
        Ok(Write {
            key: self.key(key)?,
            etag: condition(put.expect.as_ref())?,
            ttl: ttl(put.ttl_ms),
            value: value(put.value, put.text, put.base64)?,
            content_type: put.content_type,
            fence: self.fence(put.fence)?,
        })
    }
}

fn ttl(millis: Option<u64>) -> Ttl {
    match millis {
        None => Ttl::Store,
        Some(0) => Ttl::Endless,
        Some(millis) => Ttl::After(Duration::from_millis(millis)),
    }
}

fn condition(expect: Option<&Expect>) -> Result<Match, Problem> {
    match expect {
        None => Ok(Match::Any),
        Some(Expect { etag: Some(etag), missing: false }) => Ok(Match::Etag(etag.parse::<Etag>()?)),
        Some(Expect { etag: None, missing: true }) => Ok(Match::Missing),
        Some(_) => Err(Problem::bad_request("`expect` has either an `etag` or `missing: true`")),
    }
}

fn value(
    value: Option<Box<RawValue>>,
    text: Option<String>,
    base64: Option<String>,
) -> Result<Bytes, Problem> {
    match (value, text, base64) {
        (Some(value), None, None) => Ok(String::from(Box::<str>::from(value)).into()),
        (None, Some(text), None) => Ok(text.into()),
        (None, None, Some(coded)) => {
            let decoded = base64::engine::general_purpose::STANDARD.decode(coded);
            let decoded = decoded.map(Bytes::from);
            decoded.map_err(|e| Problem::bad_request(format!("`base64` cannot be read: {e}")))
        }
        _ => Err(Problem::bad_request("give exactly one of `value`, `text` and `base64`")),
    }
}

/// What the headers say must hold (RFC 9110 §13.1).
fn precondition(headers: &HeaderMap) -> Result<Match, Problem> {
    let text = |name: header::HeaderName| headers.get(name).map(|it| it.to_str().unwrap_or("\0"));
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(Match::Any),
        (Some(etag), None) => Ok(Match::Etag(unquoted(etag).parse::<Etag>()?)),
        (None, Some("*")) => Ok(Match::Missing),
        (None, Some(_)) => Err(Problem::bad_request("`If-None-Match` of a write can only be `*`")),
        (Some(_), Some(_)) => {
            let message = "`If-Match` and `If-None-Match` cannot be given together";
            Err(Problem::bad_request(message))
        }
    }
}

fn unquoted(etag: &str) -> &str {
    let etag = etag.trim();
    etag.strip_prefix('"').and_then(|etag| etag.strip_suffix('"')).unwrap_or(etag)
}

/// `STORE/RESOURCE/TOKEN`, with the resource escaped as in a path.
fn fence(headers: &HeaderMap) -> Result<Option<Fence>, Problem> {
    let Some(given) = headers.get(FENCE) else { return Ok(None) };
    let read = || {
        let (rest, token) = given.to_str().ok()?.rsplit_once('/')?;
        let (store, resource) = rest.split_once('/')?;
        let resource = crate::query::unescape(resource, false)?;
        Some(Fence { store: store.to_owned(), resource, token: token.trim().parse().ok()? })
    };
    let help = "`Flotilla-Fence` is written `STORE/RESOURCE/TOKEN`, such as `lockstore/nightly/42`";
    read().map(Some).ok_or_else(|| Problem::bad_request(help))
}

pub(crate) async fn scan<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let store = Store::of(&context)?;
    let most = u64::try_from(SCAN_MAX).unwrap_or(u64::MAX);
    let limit = context.params.number("limit").unwrap_or(most).clamp(1, most);
    let limit = usize::try_from(limit).unwrap_or(SCAN_MAX);
    let prefix = format!("{}{}", store.before, context.params.text("prefix").unwrap_or_default());
    let after = context.params.text("after").map(|after| format!("{}{after}", store.before));
    let found = store.state.scan(&prefix, after.as_deref(), limit).await;
    let found = found.map_err(|e| store.problem(e))?;
    let answer = Items {
        items: found.items.into_iter().map(|item| store.item(item)).collect(),
        next: found.next.map(|next| stripped(&next, &store.before)),
        revision: found.revision,
    };
    Ok(json(StatusCode::OK, &answer))
}

async fn read<B: Reach + ?Sized>(
    context: &Context<B>,
    store: &Store,
) -> Result<coordination::Item, Problem> {
    let key = context.value(1);
    let found = store.state.get(&store.key(key)?).await.map_err(|e| store.problem(e))?;
    found.ok_or_else(|| {
        Problem::not_found(format!("there is no key `{}`", key.escape_debug()), None)
    })
}

pub(crate) async fn get<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let store = Store::of(&context)?;
    let item = read(&context, &store).await?;
    Ok(json(StatusCode::OK, &store.item(item)))
}

pub(crate) async fn put<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let store = Store::of(&context)?;
    let write = store.write(context.value(1), context.read()?)?;
    let etag = store.state.put(write).await.map_err(|e| store.problem(e))?;
    Ok(json(StatusCode::OK, &Written { etag: etag.to_string() }))
}

pub(crate) async fn delete<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let store = Store::of(&context)?;
    let key = store.key(context.value(1))?;
    let etag = precondition(&context.headers)?;
    let fence = store.fence(fence(&context.headers)?)?;
    let deleted = store.state.delete(&key, etag, fence).await.map_err(|e| store.problem(e))?;
    Ok(json(StatusCode::OK, &Deleted { deleted }))
}

fn not_more(count: usize) -> Result<(), Problem> {
    if count <= MANY_MAX {
        return Ok(());
    }
    Err(Problem::bad_request(format!("{count} keys at once, {MANY_MAX} are allowed")))
}

pub(crate) async fn get_many<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let store = Store::of(&context)?;
    let GetMany { keys } = context.read()?;
    not_more(keys.len())?;
    let full: Vec<String> = keys.iter().map(|key| store.key(key)).collect::<Result<_, _>>()?;
    let found = if full.is_empty() { Vec::new() } else { store.state.get_many(&full).await };
    let mut results = Vec::with_capacity(keys.len());
    for (key, found) in keys.into_iter().zip(found) {
        results.push(match found {
            Ok(item) => Got { key, item: item.map(|item| store.item(item)), error: None },
            Err(e) if e.is_outage() => return Err(store.problem(e)),
            Err(e) => Got { key, item: None, error: Some(store.problem(e).detail.message) },
        });
    }
    Ok(json(StatusCode::OK, &GotMany { results }))
}

pub(crate) async fn put_many<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let store = Store::of(&context)?;
    let PutMany { items } = context.read()?;
    not_more(items.len())?;
    let mut keys = Vec::with_capacity(items.len());
    let mut writes = Vec::with_capacity(items.len());
    for PutKey { key, put } in items {
        writes.push(store.write(&key, put)?);
        keys.push(key);
    }
    let written = if writes.is_empty() { Vec::new() } else { store.state.put_many(writes).await };
    let result = |(key, written): (String, Result<Etag, Error>)| match written {
        Ok(etag) => WrittenKey { key, etag: Some(etag.to_string()), error: None },
        Err(e) => WrittenKey { key, etag: None, error: Some(*store.problem(e).detail) },
    };
    let results = keys.into_iter().zip(written).map(result).collect();
    Ok(json(StatusCode::OK, &WrittenMany { results }))
}

pub(crate) async fn transact<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let store = Store::of(&context)?;
    let Transaction { operations, publish } = context.read()?;
    if operations.len() > OPERATIONS_MAX {
        let count = operations.len();
        let message = format!("{count} operations in a transaction, {OPERATIONS_MAX} are allowed");
        return Err(Problem::bad_request(message));
    }
    let mut steps = Vec::with_capacity(operations.len());
    for operation in operations {
        steps.push(match operation {
            Operation::Put(PutKey { key, put }) => StateOp::Put(store.write(&key, put)?),
            Operation::Delete(Delete { key, expect, fence }) => StateOp::Delete {
                key: store.key(&key)?,
                etag: condition(expect.as_ref())?,
                fence: store.fence(fence)?,
            },
        });
    }
    let beside = beside(&context, publish).await?;
    let etags = if steps.is_empty() && beside.is_empty() {
        Vec::new()
    } else {
        store.state.transact_beside(steps, beside).await.map_err(|e| store.problem(e))?
    };
    let etags = etags.into_iter().map(|etag| etag.map(|etag| etag.to_string())).collect();
    Ok(json(StatusCode::OK, &Transacted { etags }))
}

/// What a transaction does besides, so that these messages are published.
async fn beside<B: Reach + ?Sized>(
    context: &Context<B>,
    publish: Vec<PublishBeside>,
) -> Result<Vec<ports::kv::Operation>, Problem> {
    if publish.is_empty() {
        return Ok(Vec::new());
    }
    let asker = context.backend.instance();
    let now = runtime::Clock::wall();
    let mut messages = Vec::with_capacity(publish.len());
    for PublishBeside { topic, mut message } in publish {
        let topic = messaging::topic(&topic)?;
        if let Some(asker) = &asker {
            crate::app::not_own(&topic)?;
            message.source = message.source.or_else(|| Some(asker.service.to_string()));
        }
        let outgoing = topics::outgoing(&topic, message, now)?;
        if outgoing.at.is_some() {
            let message = "a message of a transaction is published when it is done: leave out `at` and `after_ms`";
            return Err(Problem::bad_request(message));
        }
        messages.push((topic, outgoing.event));
    }
    Ok(context.events()?.outbox(messages).await?)
}

pub(crate) async fn watch<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    context.must_want_events()?;
    let store = Store::of(&context)?;
    let prefix = format!("{}{}", store.before, context.params.text("prefix").unwrap_or_default());
    let after = context.last_event_id()?.or(context.params.number("after"));
    let watch = store.state.watch(&prefix, after).await.map_err(|e| store.problem(e))?;
    context.stream(Watching { watch, store, is_ended: false }, Format::Sse)
}

struct Watching {
    watch: StateWatch,
    store: Store,
    is_ended: bool,
}

impl Source for Watching {
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_ended {
            return None;
        }
        match self.watch.next().await {
            Ok(change) => {
                let revision = change.revision;
                let mut out = Change { revision, ..Change::default() };
                for event in change.events {
                    match event {
                        StateEvent::Put(item) => out.put.push(self.store.item(item)),
                        StateEvent::Delete { key } => {
                            out.deleted.push(stripped(&key, &self.store.before));
                        }
                    }
                }
                Some(sse::message(revision, "change", &out))
            }
            Err(Error::Compacted { compacted }) => {
                self.is_ended = true;
                let last = Change { compacted: Some(compacted), ..Change::default() };
                Some(sse::plain_message("compacted", &last))
            }
            Err(_) => None,
        }
    }
}
