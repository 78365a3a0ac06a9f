//! State: values under keys, with etags.

use super::{any_store, outbox, words};
use crate::{
    app::{Caller, Shared, fault::Fault},
    wire::Time,
};
use base::Timestamp;
use bytes::Bytes;
use coordination::{
    Error, Etag, Item, KeyPrefix, Match, OPERATIONS_MAX, State, StateOp, StoreKind, Ttl, Write,
};
use std::collections::BTreeMap;

/// Metadata of a write: seconds until the value ends.
const TTL: &str = "ttlInSeconds";
/// Metadata of a value: when it ends.
const TTL_EXPIRES: &str = "ttlExpireTime";

/// A value that shall be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Save {
    pub(crate) key: String,
    pub(crate) value: Bytes,
    /// An empty one is none.
    pub(crate) etag: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    /// Without an etag: only if the key is missing.
    pub(crate) first_write: bool,
    pub(crate) content_type: Option<String>,
}

/// A key that shall be deleted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remove {
    pub(crate) key: String,
    /// An empty one is none. Without one it is deleted whatever it is: a deletion is no first write of anything.
    pub(crate) etag: Option<String>,
}

/// A step of a transaction.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Upsert(Save),
    Delete(Remove),
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) data: Bytes,
    pub(crate) etag: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) content_type: Option<String>,
}

/// What became of one of several keys.
#[derive(Clone, Debug)]
pub(crate) struct GotMany {
    pub(crate) key: String,
    pub(crate) outcome: Result<Option<Got>, String>,
}

impl From<Item> for Got {
    fn from(item: Item) -> Self {
        let mut metadata = BTreeMap::new();
        if let Some(expires) = item.expires {
            metadata.insert(TTL_EXPIRES.to_owned(), seconds(expires));
        }
        let etag = item.etag.to_string();
        Self { data: item.value, etag, metadata, content_type: item.content_type }
    }
}

/// RFC 3339 without parts of seconds, as Dapr has it.
fn seconds(at: Timestamp) -> String {
    let text = Time(at).to_string();
    match text.split_once('.') {
        Some((whole, _)) => format!("{whole}Z"),
        None => text,
    }
}

/// Whether the store is there for the caller.
pub(crate) fn check(shared: &Shared, caller: &Caller, store: &str) -> Result<(), Fault> {
    find(shared, caller, store).map(drop)
}

fn find(shared: &Shared, caller: &Caller, store: &str) -> Result<State, Fault> {
    let seen = |state: &State| shared.backend.may_use(&caller.id.service, state.kind(), store);
    match shared.coordination.state(store) {
        Ok(state) if seen(&state) => Ok(state),
        _ if any_store(shared, caller, &[StoreKind::State, StoreKind::Cache]) => {
            Err(Fault::no_state_store(store, caller.app_id()))
        }
        _ => Err(Fault::no_state_stores(store, caller.app_id())),
    }
}

/// The key as it is stored.
fn full(state: &State, caller: &Caller, store: &str, key: &str) -> Result<String, Fault> {
    if key.contains(KeyPrefix::SEPARATOR) {
        return Err(Fault::illegal_key(store, key));
    }
    if key.is_empty() {
        return Err(Fault::bad_request("\"key\" is a required field"));
    }
    Ok(state.key(&caller.id.service, key))
}

/// An etag counts whatever the concurrency is.
fn condition(etag: Option<&str>, first_write: bool) -> Result<Match, Error> {
    match etag.filter(|etag| !etag.is_empty()) {
        Some(etag) => Ok(Match::Etag(etag.parse::<Etag>()?)),
        None if first_write => Ok(Match::Missing),
        None => Ok(Match::Any),
    }
}

fn ttl(metadata: &BTreeMap<String, String>) -> Result<Ttl, Fault> {
    let Some(text) = metadata.get(TTL).filter(|text| !text.is_empty()) else {
        return Ok(Ttl::Store);
    };
    match text.trim().parse() {
        Ok(seconds) => Ok(Ttl::from_seconds(Some(seconds))),
        Err(_) => {
            let text = text.escape_debug();
            Err(Fault::bad_request(format!("{TTL} is `{text}`: a whole number is expected")))
        }
    }
}

/// A write for the store, or what is wrong with it: `refuse` has the words of the operation.
fn write(
    state: &State,
    caller: &Caller,
    store: &str,
    save: Save,
    refuse: impl Fn(&Error) -> Fault,
) -> Result<Write, Fault> {
    Ok(Write {
        key: full(state, caller, store, &save.key)?,
        value: save.value,
        etag: condition(save.etag.as_deref(), save.first_write).map_err(|e| refuse(&e))?,
        ttl: ttl(&save.metadata)?,
        content_type: save.content_type,
        fence: None,
    })
}

pub(crate) async fn get(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    key: &str,
) -> Result<Option<Got>, Fault> {
    let state = find(shared, caller, store)?;
    let full = full(&state, caller, store, key)?;
    let item = state.get(&full).await;
    let item = item.map_err(|e| Fault::state_get(store, key, words(&e)).of(&e))?;
    Ok(item.map(Got::from))
}

/// Each for itself, in the order of `keys`.
pub(crate) async fn get_bulk(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    keys: &[String],
) -> Result<Vec<GotMany>, Fault> {
    let state = find(shared, caller, store)?;
    let full: Vec<String> =
        keys.iter().map(|key| full(&state, caller, store, key)).collect::<Result<_, _>>()?;
    if full.is_empty() {
        return Ok(Vec::new());
    }
    let found = state.get_many(&full).await;
    // A store that is away is no trouble of single keys.
    let outage = found.iter().find_map(|one| one.as_ref().err().filter(|e| e.is_outage()));
    if let Some(error) = outage {
        return Err(Fault::state_bulk_get(words(error)).of(error));
    }
    let item = |(key, found): (&String, Result<Option<Item>, Error>)| GotMany {
        key: key.clone(),
        outcome: found.map(|item| item.map(Got::from)).map_err(|e| words(&e)),
    };
    Ok(keys.iter().zip(found).map(item).collect())
}

/// Each for itself: when one fails, others may be written all the same.
pub(crate) async fn save(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    saves: Vec<Save>,
) -> Result<(), Fault> {
    let state = find(shared, caller, store)?;
    let refuse = |e: &Error| Fault::state_save(store, words(e)).of(e);
    let mut writes = Vec::with_capacity(saves.len());
    for save in saves {
        writes.push(write(&state, caller, store, save, refuse)?);
    }
    if writes.len() == 1
        && let Some(single) = writes.pop()
    {
        return state.put(single).await.map(drop).map_err(|e| refuse(&e));
    }
    if writes.is_empty() {
        return Ok(());
    }
    let outcomes = state.put_many(writes).await;
    // What is gravest for the caller: an outage before a conflict, a conflict before what is malformed.
    let failed: Vec<&Error> = outcomes.iter().filter_map(|one| one.as_ref().err()).collect();
    let outage = failed.iter().find(|e| e.is_outage());
    let conflict = failed.iter().find(|e| matches!(e, Error::Conflict { .. }));
    match outage.or(conflict).or(failed.first()) {
        Some(error) => Err(refuse(error)),
        None => Ok(()),
    }
}

pub(crate) async fn delete(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    remove: Remove,
) -> Result<(), Fault> {
    let state = find(shared, caller, store)?;
    delete_one(&state, caller, store, &remove).await
}

async fn delete_one(
    state: &State,
    caller: &Caller,
    store: &str,
    remove: &Remove,
) -> Result<(), Fault> {
    let full = full(state, caller, store, &remove.key)?;
    let refuse = |e: &Error| Fault::state_delete(&remove.key, words(e)).of(e);
    let etag = condition(remove.etag.as_deref(), false).map_err(|e| refuse(&e))?;
    state.delete(&full, etag, None).await.map(drop).map_err(|e| refuse(&e))
}

/// One after the other, to the first that fails.
pub(crate) async fn delete_bulk(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    removes: Vec<Remove>,
) -> Result<(), Fault> {
    let state = find(shared, caller, store)?;
    for remove in &removes {
        delete_one(&state, caller, store, remove).await?;
    }
    Ok(())
}

/// All or nothing. Whatever goes wrong in it, a conflict too, has one and the same status; the native API says
/// which key it was.
pub(crate) async fn transact(
    shared: &Shared,
    caller: &Caller,
    store: &str,
    operations: Vec<Op>,
) -> Result<(), Fault> {
    let state = find(shared, caller, store)?;
    if operations.is_empty() {
        return Ok(());
    }
    if operations.len() > OPERATIONS_MAX {
        return Err(Fault::state_too_many(store, operations.len(), OPERATIONS_MAX));
    }
    let refuse = |e: &Error| Fault::state_transaction(words(e));
    let (operations, beside) = outbox::beside(shared, caller, store, operations).await?;
    let mut steps = Vec::with_capacity(operations.len());
    for operation in operations {
        steps.push(match operation {
            Op::Upsert(save) => StateOp::Put(write(&state, caller, store, save, refuse)?),
            Op::Delete(remove) => StateOp::Delete {
                key: full(&state, caller, store, &remove.key)?,
                etag: condition(remove.etag.as_deref(), false).map_err(|e| refuse(&e))?,
                fence: None,
            },
        });
    }
    match state.transact_beside(steps, beside).await {
        Ok(_) => Ok(()),
        // An outage is told apart all the same: who waits a moment can try again.
        Err(e) if e.is_outage() => Err(refuse(&e).of(&e)),
        Err(e) => Err(refuse(&e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etag_counts_and_an_empty_one_does_not() {
        let read = |etag, first| condition(etag, first).unwrap();
        assert_eq!(read(None, false), Match::Any);
        assert_eq!(read(None, true), Match::Missing);
        assert_eq!(read(Some(""), true), Match::Missing);
        assert_eq!(read(Some("7"), true), Match::Etag(Etag(7)));
        assert_eq!(read(Some("7"), false), Match::Etag(Etag(7)));
        for bad in ["x", "-1", "07", " 7", "99999999999999999999999"] {
            assert!(matches!(condition(Some(bad), false), Err(Error::BadEtag(_))), "{bad}");
        }
    }

    #[test]
    fn seconds_until_the_end_are_a_whole_number() {
        let read = |text: &str| ttl(&[(TTL.to_owned(), text.to_owned())].into());
        assert_eq!(ttl(&BTreeMap::new()).unwrap(), Ttl::Store);
        assert_eq!(read("").unwrap(), Ttl::Store);
        assert_eq!(read("-1").unwrap(), Ttl::Endless);
        assert_eq!(read("0").unwrap(), Ttl::Endless);
        assert_eq!(read("3").unwrap(), Ttl::from_seconds(Some(3)));
        for bad in ["x", "1.5", "1s", "99999999999999999999"] {
            assert_eq!(read(bad).unwrap_err().code, "ERR_MALFORMED_REQUEST", "{bad}");
        }
    }
}
