//! Steps of transactions on Flotilla's own state, topics and locks: what they ask of the kv engine, so that they are done exactly
//! when the transaction is decided.

use async_trait::async_trait;
use base::{ErrorChain, ServiceName};
use bytes::Bytes;
use coordination::{Error, Etag, Fence, Match, StateOp, Write};
use events::Event;
use ports::{
    broker::TopicName,
    kv::{Condition, Operation, Transaction},
};
use serde_json::Value;
use std::collections::BTreeMap;
use transactions::{Join, JoinOf, JoinRefused, Joined, Prepared};

/// The type of events that a decision publishes.
const KIND: &str = "flotilla.transaction.committed";

/// Who speaks where no service has asked for the transaction.
const SOURCE: &str = "flotilla";

const JSON: &str = "application/json";

/// Knows the node's stores and topics.
#[derive(Debug)]
pub(super) struct Joins {
    pub(super) coordination: coordination::Handle,
    pub(super) events: events::Handle,
}

#[async_trait]
impl Joined for Joins {
    async fn prepare(
        &self,
        of: JoinOf<'_>,
        join: &Join,
        value: &Value,
    ) -> Result<Prepared, JoinRefused> {
        match join {
            Join::Put { store, key, etag } => self.state(of, store, |key_of| {
                let etag = expected(etag.as_deref())?;
                let content_type = Some(JSON.to_owned());
                let write = Write { etag, content_type, ..Write::new(key_of(key), bytes(value)) };
                Ok(StateOp::Put(write))
            }),
            Join::Delete { store, key, etag } => self.state(of, store, |key_of| {
                let etag = expected(etag.as_deref())?;
                Ok(StateOp::Delete { key: key_of(key), etag, fence: None })
            }),
            Join::Holds { store, resource, token } => {
                let token = token.parse().map_err(|_not_a_number| {
                    JoinRefused::Never(format!("`{token}` is no fencing token: it is a number"))
                })?;
                let fence = Fence { store: store.clone(), resource: resource.clone(), token };
                let condition = self.coordination.locks().condition(&fence).map_err(refused)?;
                Ok(Prepared { conditions: vec![condition], operations: Vec::new() })
            }
            Join::Publish { topic, key } => {
                let topic = TopicName::new(topic)
                    .map_err(|e| JoinRefused::Never(format!("topic `{topic}`: {e}")))?;
                let event = event(of, key.as_deref(), value);
                let operations = self.events.outbox(vec![(topic, event)]).await;
                let operations = operations.map_err(|e| match e {
                    events::Error::Broker(_) | events::Error::Kv { .. } => {
                        JoinRefused::Later(ErrorChain(&e).to_string())
                    }
                    _ => JoinRefused::Never(ErrorChain(&e).to_string()),
                })?;
                Ok(Prepared { conditions: Vec::new(), operations })
            }
        }
    }
}

impl Joins {
    fn state(
        &self,
        of: JoinOf<'_>,
        store: &str,
        make: impl FnOnce(&dyn Fn(&str) -> String) -> Result<StateOp, JoinRefused>,
    ) -> Result<Prepared, JoinRefused> {
        let state = self.coordination.state(store).map_err(refused)?;
        let caller = of.caller.and_then(|name| ServiceName::new(name).ok());
        // Nobody's transaction has whole keys, as an operator names them.
        let key_of = |key: &str| match &caller {
            Some(caller) => state.key(caller, key),
            None => key.to_owned(),
        };
        let operation = make(&key_of)?;
        let Transaction { conditions, operations } =
            state.transaction(vec![operation]).map_err(refused)?;
        Ok(prepared(conditions, operations))
    }
}

fn prepared(conditions: Vec<Condition>, operations: Vec<Operation>) -> Prepared {
    Prepared { conditions, operations }
}

/// An etag in words of the file: nothing asks for nothing, an empty one that the key is not there.
fn expected(etag: Option<&str>) -> Result<Match, JoinRefused> {
    match etag {
        None => Ok(Match::Any),
        Some("") => Ok(Match::Missing),
        Some(text) => {
            let etag: Result<Etag, Error> = text.parse();
            etag.map(Match::Etag).map_err(refused)
        }
    }
}

fn refused(error: Error) -> JoinRefused {
    let text = ErrorChain(&error).to_string();
    if error.is_outage() { JoinRefused::Later(text) } else { JoinRefused::Never(text) }
}

fn event(of: JoinOf<'_>, key: Option<&str>, value: &Value) -> Event {
    let mut extensions = BTreeMap::new();
    if let Some(trace) = of.traceparent {
        extensions.insert("traceparent".to_owned(), trace.to_owned());
    }
    Event {
        id: format!("{}/{}", of.gid, of.step),
        source: of.caller.unwrap_or(SOURCE).to_owned(),
        kind: KIND.to_owned(),
        subject: Some(of.gid.to_string()),
        time: Some(api::wire::Time(runtime::Clock::wall()).to_string()),
        content_type: Some(JSON.to_owned()),
        extensions,
        data: bytes(value),
        key: key.map(|key| Bytes::copy_from_slice(key.as_bytes())),
        ..Event::default()
    }
}

/// A value as JSON.
fn bytes(value: &Value) -> Bytes {
    // A value always can be written.
    serde_json::to_vec(value).unwrap_or_default().into()
}
