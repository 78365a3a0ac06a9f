//! A transaction as it is kept: what changes as JSON, behind it what was asked for, which never has to be written anew.

use crate::{Gid, Spec, View, notes::Notes};
use bytes::Bytes;
use logic::tx::State;
use ports::kv::Entry;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;

/// The format that this release writes.
const VERSION: u8 = 1;

/// Version, length of what comes first.
const HEAD: usize = 5;

/// What is kept besides what was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head<'a> {
    /// The node that drives it.
    #[serde(borrow)]
    pub(crate) node: Cow<'a, str>,
    pub(crate) state: Cow<'a, State>,
    /// Answers that others use, by the position of the step.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(crate) results: Cow<'a, [(u16, Value)]>,
    pub(crate) notes: Cow<'a, Notes>,
    /// How many steps it had when it was submitted, if others were added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) submitted: Option<u16>,
}

fn is_empty(results: &[(u16, Value)]) -> bool {
    results.is_empty()
}

/// A record as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) head: Head<'static>,
    pub(crate) spec: Spec,
    /// The part of the record that has `spec`.
    pub(crate) spec_bytes: Bytes,
    /// Where it was read, if that matters.
    pub(crate) at: Option<Entry>,
}

/// What was asked for, as bytes.
pub(crate) fn encode_spec(spec: &Spec) -> Bytes {
    // Texts, numbers and JSON always can be written.
    serde_json::to_vec(spec).unwrap_or_default().into()
}

/// What [`encode_spec`] wrote.
pub(crate) fn decode_spec(bytes: &[u8]) -> Option<Spec> {
    serde_json::from_slice(bytes).ok()
}

/// A record as bytes, and the part of it that is `spec`.
pub(crate) fn encode(head: &Head<'_>, spec: &[u8]) -> (Bytes, Bytes) {
    let mut bytes = Vec::with_capacity(512 + spec.len());
    bytes.extend_from_slice(&[VERSION, 0, 0, 0, 0]);
    // As above; a vector takes everything.
    drop(serde_json::to_writer(&mut bytes, head));
    let length = u32::try_from(bytes.len() - HEAD).unwrap_or(u32::MAX);
    bytes[1..HEAD].copy_from_slice(&length.to_le_bytes());
    let begin = bytes.len();
    bytes.extend_from_slice(spec);
    let bytes = Bytes::from(bytes);
    let spec = bytes.slice(begin..);
    (bytes, spec)
}

/// What [`encode`] wrote. `None`: another release wrote it, or nobody did.
pub(crate) fn decode(bytes: &Bytes) -> Option<Record> {
    let (&version, rest) = bytes.split_first()?;
    let length = usize::try_from(u32::from_le_bytes(*rest.first_chunk::<4>()?)).ok()?;
    let end = HEAD.checked_add(length).filter(|end| *end <= bytes.len())?;
    if version != VERSION {
        return None;
    }
    let head: Head<'_> = serde_json::from_slice(bytes.get(HEAD..end)?).ok()?;
    let spec_bytes = bytes.slice(end..);
    let spec = decode_spec(&spec_bytes)?;
    // A record with another number of branches than steps is none that was written here.
    (head.state.branches.len() == spec.steps.len()).then(|| Record {
        head: head.into_owned(),
        spec,
        spec_bytes,
        at: None,
    })
}

/// Only the node that drives what is kept here.
pub(crate) fn node(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Node {
        node: String,
    }
    let (&version, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let head: Node = serde_json::from_slice(rest.get(..length)?).ok()?;
    (version == VERSION).then_some(head.node)
}

impl Head<'_> {
    fn into_owned(self) -> Head<'static> {
        use Cow::Owned;
        Head {
            node: Owned(self.node.into_owned()),
            state: Owned(self.state.into_owned()),
            results: Owned(self.results.into_owned()),
            notes: Owned(self.notes.into_owned()),
            submitted: self.submitted,
        }
    }
}

impl Record {
    pub(crate) fn view(self, gid: Gid) -> View {
        let Head { node, state, results, notes, .. } = self.head;
        view(gid, self.spec, state.into_owned(), &results, &notes, node.into_owned())
    }
}

/// A transaction as others see it.
pub(crate) fn view(
    gid: Gid,
    spec: Spec,
    state: State,
    results: &[(u16, Value)],
    notes: &Notes,
    node: String,
) -> View {
    let mut all = vec![Value::Null; spec.steps.len()];
    for (at, result) in results {
        if let Some(place) = all.get_mut(usize::from(*at)) {
            place.clone_from(result);
        }
    }
    let notes = notes.view(state.begun_ms, &spec.steps);
    View { gid, spec, state, results: all, notes, node }
}

/// Whether somebody who submits `asked` means the transaction that was submitted as `known`, which had `submitted` steps then.
pub(crate) fn is_same(known: &Spec, submitted: Option<u16>, asked: &Spec) -> bool {
    let steps = submitted.map_or(known.steps.len(), usize::from).min(known.steps.len());
    // A definition may have been changed between two tries of a client, and each try has a trace of its own.
    let is_use = known.name.is_some() && known.name == asked.name;
    let is_like = known.mode == asked.mode
        && known.input == asked.input
        && known.labels == asked.labels
        && known.caller == asked.caller;
    is_like
        && (is_use
            || (known.steps[..steps] == asked.steps[..]
                && known.headers == asked.headers
                && known.timeout_ms == asked.timeout_ms
                && known.retry == asked.retry
                && known.durable_steps == asked.durable_steps
                && known.concurrent == asked.concurrent
                && known.query == asked.query
                && known.delay_ms == asked.delay_ms
                && known.dialect == asked.dialect
                && known.extra == asked.extra
                && known.name == asked.name))
}
