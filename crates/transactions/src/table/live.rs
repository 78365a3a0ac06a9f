//! What is known of a transaction while something happens to it.

use super::slot::{Live, Slot, Until, Waiter};
use crate::{
    Gid, RECORD_LEN_MAX, Spec, View,
    notes::{Notes, cut},
    plan,
    record::{self, Head, Record},
};
use bytes::Bytes;
use logic::tx::{Answer, Machine, Op, Phase};
use serde_json::Value;
use std::{borrow::Cow, collections::VecDeque};
use tokio::sync::oneshot;

/// Most bytes of answers that are kept for later steps: with the longest spec they fit into what an engine takes.
pub const RESULTS_LEN_MAX: usize = RECORD_LEN_MAX / 2;

/// Longest text of a participant that is kept in a state, in bytes.
const ERROR_LEN_MAX: usize = 1_000;

impl Live {
    pub(super) fn new(machine: Machine, spec: Box<Spec>, spec_bytes: Bytes, node: String) -> Self {
        Self {
            machine,
            spec_bytes,
            record: Bytes::new(),
            spec: Some(spec),
            submitted: None,
            node,
            results: Vec::new(),
            notes: Notes::default(),
            seq: 0,
            forced: 0,
            durable: 0,
            writing: None,
            failures: 0,
            held: VecDeque::new(),
            waiters: Vec::new(),
            calls: 0,
            deciding: None,
            decided: None,
        }
    }

    /// What was read. `None`: it cannot be read.
    pub(super) fn wake(bytes: &Bytes) -> Option<Self> {
        let Record { head, spec, spec_bytes, .. } = record::decode(bytes)?;
        let state = head.state.into_owned();
        let plan = plan::plan(&spec, state.begun_ms).ok()?;
        let mut live = Self::new(
            Machine::resume(plan, state),
            Box::new(spec),
            spec_bytes,
            head.node.into_owned(),
        );
        // What was read is durable.
        (live.seq, live.forced, live.durable) = (1, 1, 1);
        live.submitted = head.submitted;
        live.record = bytes.clone();
        live.results = head.results.into_owned();
        live.notes = head.notes.into_owned();
        Some(live)
    }

    /// What was asked for.
    pub(super) fn spec(&mut self) -> &Spec {
        let bytes = &self.spec_bytes;
        self.spec.get_or_insert_with(|| {
            Box::new(record::decode_spec(bytes).expect("what was read or written here can be read"))
        })
    }

    /// Its record as it stands, written by `node`.
    pub(super) fn encode(&mut self, node: &str) -> Bytes {
        let head = Head {
            node: Cow::Borrowed(node),
            state: Cow::Borrowed(self.machine.state()),
            results: Cow::Borrowed(&self.results),
            notes: Cow::Borrowed(&self.notes),
            submitted: self.submitted,
        };
        let (bytes, spec_bytes) = record::encode(&head, &self.spec_bytes);
        // From here on all of it shares the memory of one record, and that with the engine.
        if bytes != self.record {
            self.spec_bytes = spec_bytes;
            self.record = bytes;
        }
        self.record.clone()
    }

    /// Whether nothing happens to it.
    pub(super) fn is_idle(&self) -> bool {
        self.calls == 0
            && self.writing.is_none()
            && self.seq == self.durable
            && self.deciding.is_none()
            && self.held.is_empty()
            && self.waiters.is_empty()
    }

    pub(super) fn note(
        &mut self,
        now_ms: u64,
        of: (Option<u16>, Option<Op>),
        text: impl Into<Cow<'static, str>>,
    ) {
        let state = self.machine.state();
        self.notes.add(now_ms.saturating_sub(state.begun_ms), state.phase, of, text);
    }

    /// Notes where it stands now, if that is somewhere else than before.
    pub(super) fn note_phase(&mut self, before: Phase, now_ms: u64) {
        let state = self.machine.state();
        let phase = state.phase;
        if phase == before {
            return;
        }
        let text: Cow<'static, str> = match phase {
            Phase::Open | Phase::Trying => return,
            Phase::Precommitting => "all could".into(),
            Phase::Committing => "decided: commit".into(),
            Phase::Aborting => {
                format!("decided: abort: {}", state.reason.as_deref().unwrap_or_default()).into()
            }
            Phase::Committed | Phase::Aborted | Phase::Mixed => phase.as_str().into(),
        };
        self.note(now_ms, (None, None), text);
    }

    /// Keeps an answer that later steps use. `Err`: there is no room for it.
    pub(super) fn keep_result(&mut self, branch: u16, body: Value) -> Result<(), String> {
        let feeds =
            self.machine.plan().branches.get(usize::from(branch)).is_some_and(|it| it.feeds);
        if !feeds || body.is_null() {
            return Ok(());
        }
        let length =
            |value: &Value| serde_json::to_vec(value).map_or(usize::MAX, |bytes| bytes.len());
        let all: usize = self.results.iter().map(|(_, value)| length(value)).sum();
        if all.saturating_add(length(&body)) > RESULTS_LEN_MAX {
            return Err(format!(
                "its answer is too long: {RESULTS_LEN_MAX} bytes of answers are kept for later steps"
            ));
        }
        self.results.retain(|(of, _)| *of != branch);
        self.results.push((branch, body));
        Ok(())
    }

    /// Somebody waits.
    pub(super) fn waiter(&mut self, until: Until) -> oneshot::Receiver<super::Told> {
        let (sender, receiver) = oneshot::channel();
        self.waiters.push(Waiter { until, sender });
        receiver
    }
}

impl Slot {
    /// As others see it. What is decided and not kept yet is not told.
    pub(super) fn view(gid: &Gid, kept: Phase, live: &mut Live) -> View {
        live.spec();
        let spec =
            live.spec.as_deref().cloned().unwrap_or_else(|| unreachable!("it was read above"));
        Self::view_of(gid.clone(), spec, kept, live)
    }

    /// The same, with a spec that nobody else needs.
    pub(super) fn view_of(gid: Gid, spec: Spec, kept: Phase, live: &Live) -> View {
        let mut state = live.machine.state().clone();
        if live.forced > live.durable && live.durable > 0 {
            state.phase = kept;
            (state.decided_ms, state.ended_ms) = (None, None);
        }
        record::view(gid, spec, state, &live.results, &live.notes, live.node.clone())
    }
}

/// An answer with texts that can be kept.
pub(super) fn bounded(answer: Answer) -> Answer {
    let bound = |text: String| {
        if text.len() <= ERROR_LEN_MAX { text } else { cut(&text, ERROR_LEN_MAX).to_owned() }
    };
    match answer {
        Answer::Refused(text) => Answer::Refused(bound(text)),
        Answer::Failed(text) => Answer::Failed(bound(text)),
        Answer::Away(text) => Answer::Away(bound(text)),
        other => other,
    }
}

/// An answer in words.
pub(super) fn words(answer: &Answer) -> Cow<'static, str> {
    match answer {
        Answer::Done => "done".into(),
        Answer::ReadOnly => "done: read only".into(),
        Answer::Refused(reason) => format!("refused: {reason}").into(),
        Answer::Working => "working".into(),
        Answer::Failed(reason) => format!("failed: {reason}").into(),
        Answer::Away(reason) => format!("away: {reason}").into(),
        Answer::Heuristic(it) => format!("decided alone: {it:?}").to_lowercase().into(),
    }
}
