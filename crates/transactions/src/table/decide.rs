//! A decision that is committed together with what joins it.

use super::{
    Body, Event, Slot, Table, Told, Until,
    jobs::Job,
    slot::{Kind, Writing},
    writing::{Found, transaction},
};
use crate::{Gid, Join, JoinOf, JoinRefused, Joined, engine::Engine, record, render::Values};
use base::ErrorChain;
use logic::{
    backoff::Backoff,
    tx::{Journal, Step},
};
use ports::kv::{self, Condition, Entry, Is, OPERATIONS_MAX, Outcome, Revision, Transaction};
use serde_json::Value;
use std::time::Duration;
use tracing::{debug, error};

/// Between tries of a decision that cannot be committed now.
const RETRY: Backoff = Backoff { first: Duration::from_millis(200), max: Duration::from_secs(10) };

/// How often a decision is tried whose conditions did not hold: what somebody changed in between may suit the next try, and what does not is
/// told by whoever knows what it is.
const TRIES: u32 = 3;

/// How often a branch may say that it cannot join now, which is for a few minutes.
const LATER_MAX: u32 = 30;

/// A decision on its way.
#[derive(Debug)]
pub(super) struct Deciding {
    branches: Vec<u16>,
    tries: u32,
    failures: u32,
    /// What was sent and may have been done.
    doubtful: Option<Transaction>,
    pub(super) is_under_way: bool,
}

/// What one branch asks for.
#[derive(Clone, Debug)]
pub(crate) struct JoinAsk {
    branch: u16,
    gid: Gid,
    step: String,
    caller: Option<String>,
    traceparent: Option<String>,
    join: Join,
    value: Value,
}

/// What became of a decision.
#[derive(Debug)]
pub(crate) enum DecideEnd {
    /// It is durable.
    Committed(Revision),
    /// Conditions did not hold: what stands where the record was to be written, and which branch's it was, if it was a branch's.
    Refused { found: Vec<Option<Entry>>, branch: Option<u16>, reason: String },
    /// A branch can never join.
    Never { branch: u16, reason: String },
    /// A branch cannot join now.
    Later { branch: u16, reason: String },
    /// The engine did not do it, or nobody knows; what was sent.
    Failed { error: kv::Error, sent: Transaction },
}

impl Deciding {
    pub(super) fn new(branches: Vec<u16>) -> Self {
        Self { branches, tries: 0, failures: 0, doubtful: None, is_under_way: false }
    }
}

impl Table {
    /// Hands a decision to the engine, if its time has come.
    pub(super) fn decide(&mut self, id: u64, is_due: bool) {
        let now = self.tools.now.ms();
        let Some(Slot { gid, revision, timers, body: Body::Warm(live), .. }) =
            self.slots.get_mut(&id)
        else {
            return;
        };
        let phase = live.machine.state().phase;
        let Some(deciding) = &mut live.deciding else { return };
        if deciding.is_under_way || (deciding.failures > 0 && !is_due) {
            return;
        }
        deciding.is_under_way = true;
        timers.write = super::NEVER;
        if let Some(own) = deciding.doubtful.clone() {
            self.jobs.push(Job::Decide { id, own, asks: Vec::new() });
            return;
        }
        let branches = deciding.branches.clone();
        let asks =
            branches.iter().map(|branch| live.ask(gid, *branch)).collect::<Result<Vec<_>, _>>();
        let asks = match asks {
            Ok(asks) => asks,
            Err((branch, reason)) => {
                live.deciding = None;
                live.calls += 1;
                self.inbox.push_back((id, Event::Decided(Err((branch, reason)))));
                return;
            }
        };
        let decided = live.machine.decided(now);
        let mut after = live.notes.clone();
        after.add(
            now.saturating_sub(decided.begun_ms),
            decided.phase,
            (None, None),
            decided.phase.as_str(),
        );
        let head = record::Head {
            node: self.tools.node.as_str().into(),
            state: std::borrow::Cow::Borrowed(&decided),
            results: live.results.as_slice().into(),
            notes: std::borrow::Cow::Owned(after),
            submitted: live.submitted,
        };
        let (value, _) = record::encode(&head, &live.spec_bytes);
        debug!(%gid, %phase, "a decision is taken");
        let kind = match decided.ended_ms {
            Some(ended) if decided.phase.outcome().is_some() => Kind::End(ended),
            _ => Kind::Update,
        };
        let done = super::writing::done(decided.decision(live.machine.plan().mode), kind);
        let writing = Writing {
            seq: live.seq,
            kind,
            value,
            phase: decided.phase,
            done,
            is_doubtful: false,
            is_under_way: true,
        };
        let own = transaction(&self.tools.keys, gid, *revision, &writing);
        live.decided = Some(Box::new(writing));
        self.jobs.push(Job::Decide { id, own, asks });
    }

    /// A decision has come to an end.
    pub(crate) fn decided(&mut self, id: u64, end: DecideEnd) {
        let Some(live) = self.live(id) else { return };
        let Some(deciding) = &mut live.deciding else { return };
        deciding.is_under_way = false;
        match end {
            DecideEnd::Committed(revision) => self.is_decided(id, Some(revision)),
            DecideEnd::Refused { found, branch, reason } => {
                let is_ours = live.decided.as_ref().map(|writing| writing.judge(&found));
                match (is_ours, branch) {
                    (Some(Found::Ours(revision)), _) => self.is_decided(id, revision),
                    (_, Some(branch)) if deciding.tries + 1 < TRIES => {
                        deciding.tries += 1;
                        deciding.doubtful = None;
                        debug!(branch, reason, "a decision is tried again");
                        self.keep(id, true);
                    }
                    (_, Some(branch)) => self.cannot(id, branch, reason),
                    (_, None) => self.lose(id, false),
                }
            }
            DecideEnd::Never { branch, reason } => self.cannot(id, branch, reason),
            DecideEnd::Later { branch, reason } => self.later(id, Some(branch), &reason),
            DecideEnd::Failed { error, sent } => {
                if error.retry() == kv::Retry::Never && deciding.doubtful.is_none() {
                    let branch = deciding.branches.first().copied().unwrap_or_default();
                    self.cannot(id, branch, ErrorChain(&error).to_string());
                } else {
                    if matches!(error, kv::Error::Unknown { .. }) {
                        deciding.doubtful = Some(sent);
                        if let Some(writing) = &mut live.decided {
                            writing.is_doubtful = true;
                        }
                    }
                    self.engine_is(false);
                    self.later(id, None, &ErrorChain(&error).to_string());
                }
            }
        }
        self.tell(id, |until| until == Until::Free, || Some(Told::Free));
        self.settle();
    }

    /// The decision is durable.
    fn is_decided(&mut self, id: u64, now_at: Option<Revision>) {
        self.engine_is(true);
        let (now, random) = (self.tools.now.ms(), self.dice.roll());
        let Some(Slot { revision, phase, body: Body::Warm(live), .. }) = self.slots.get_mut(&id)
        else {
            return;
        };
        let Some(writing) = live.decided.take() else { return };
        live.deciding = None;
        *revision = now_at;
        *phase = writing.phase;
        // All that was to be kept is in the record that was just written.
        live.durable = live.seq;
        let before = live.machine.state().phase;
        match live.machine.step(Event::Decided(Ok(())), now, random) {
            Ok(step) => {
                live.note_phase(before, now);
                self.absorb(id, Step { journal: Journal::Nothing, ..step }, false);
            }
            Err(error) => error!(%error, "a decision that is durable was not accepted"),
        }
        self.let_go(id);
    }

    /// A branch can never join.
    fn cannot(&mut self, id: u64, branch: u16, reason: String) {
        let now = self.tools.now.ms();
        let Some(live) = self.live(id) else { return };
        live.deciding = None;
        live.decided = None;
        live.note(now, (Some(branch), None), format!("refused: {reason}"));
        if let Err(error) = self.step(id, Event::Decided(Err((branch, reason)))) {
            error!(%error, "the refusal of a decision was not accepted");
        }
        self.keep(id, false);
    }

    /// It is tried again after a pause.
    fn later(&mut self, id: u64, branch: Option<u16>, reason: &str) {
        let (now, random) = (self.tools.now.ms(), self.dice.roll());
        let Some(Slot { timers, body: Body::Warm(live), .. }) = self.slots.get_mut(&id) else {
            return;
        };
        live.note(now, (branch, None), format!("failed: {reason}"));
        let is_late = live.machine.state().deadline_ms.is_some_and(|deadline| deadline <= now);
        let Some(deciding) = &mut live.deciding else { return };
        deciding.failures = deciding.failures.saturating_add(1);
        if let (Some(branch), None) = (branch, &deciding.doubtful)
            && (is_late || deciding.failures >= LATER_MAX)
        {
            self.cannot(id, branch, reason.to_owned());
            return;
        }
        let pause = RETRY.wait(deciding.failures, random).as_millis();
        timers.write = now.saturating_add(u64::try_from(pause).unwrap_or(u64::MAX));
        self.arm(id);
    }
}

impl super::Live {
    /// What a branch asks for, with its place holders filled in.
    fn ask(&mut self, gid: &Gid, branch: u16) -> Result<JoinAsk, (u16, String)> {
        self.spec();
        let wrong = |reason: String| (branch, reason);
        let spec = self.spec.as_deref().ok_or_else(|| wrong("it is not known".to_owned()))?;
        let step = spec.steps.get(usize::from(branch));
        let (step, join) = step
            .and_then(|step| Some((step, step.join.as_ref()?)))
            .ok_or_else(|| wrong("it joins nothing".to_owned()))?;
        let values = Values { spec, results: &self.results };
        let (join, value) = values.join(step, join).map_err(|error| wrong(error.to_string()))?;
        Ok(JoinAsk {
            branch,
            gid: gid.clone(),
            step: step.id.clone(),
            caller: spec.caller.clone(),
            traceparent: spec.traceparent.clone(),
            join,
            value,
        })
    }
}

/// Asks those who know what joins, and commits all of it.
pub(crate) async fn commit(
    engine: &Engine,
    joined: &dyn Joined,
    own: Transaction,
    asks: Vec<JoinAsk>,
) -> DecideEnd {
    let ours = own.conditions.len();
    let mut transaction = own;
    let mut of = Vec::new();
    for ask in &asks {
        let branch = ask.branch;
        let whose = JoinOf {
            gid: &ask.gid,
            step: &ask.step,
            caller: ask.caller.as_deref(),
            traceparent: ask.traceparent.as_deref(),
        };
        match joined.prepare(whose, &ask.join, &ask.value).await {
            Ok(prepared) => {
                of.extend(prepared.conditions.iter().map(|_| branch));
                transaction.conditions.extend(prepared.conditions);
                transaction.operations.extend(prepared.operations);
            }
            Err(JoinRefused::Never(reason)) => return DecideEnd::Never { branch, reason },
            Err(JoinRefused::Later(reason)) => return DecideEnd::Later { branch, reason },
        }
        let count = transaction.operations.len().max(transaction.conditions.len());
        if count > OPERATIONS_MAX {
            let reason =
                format!("more joins the decision than {OPERATIONS_MAX} operations of the engine");
            return DecideEnd::Never { branch, reason };
        }
    }
    match engine.commit(transaction.clone()).await {
        Ok(Outcome::Committed { revision }) => DecideEnd::Committed(revision),
        Ok(Outcome::Refused { found, .. }) => {
            let own_holds = transaction.conditions.iter().zip(&found).take(ours).all(holds);
            let mut theirs = transaction.conditions.iter().zip(&found).skip(ours).zip(&of);
            let first = theirs.find(|(pair, _)| !holds(*pair)).filter(|_| own_holds);
            let (branch, reason) = match first {
                Some(((condition, entry), branch)) => {
                    (Some(*branch), why(condition, entry.as_ref()))
                }
                None => (None, String::new()),
            };
            DecideEnd::Refused { found, branch, reason }
        }
        Err(error) => DecideEnd::Failed { error, sent: transaction },
    }
}

/// Whether what was found is what was asked for.
fn holds((condition, found): (&Condition, &Option<Entry>)) -> bool {
    match (&condition.is, found) {
        (Is::Missing, found) => found.is_none(),
        (_, None) => false,
        (Is::Present, Some(_)) => true,
        (Is::CreatedAt(revision), Some(entry)) => entry.created == *revision,
        (Is::ModifiedAt(revision), Some(entry)) => entry.modified == *revision,
        (Is::Value(value), Some(entry)) => entry.value == *value,
    }
}

fn why(condition: &Condition, found: Option<&Entry>) -> String {
    let key = String::from_utf8_lossy(&condition.key);
    match found {
        None => format!("`{key}` is not there any more"),
        Some(_) if condition.is == Is::Missing => format!("`{key}` is there already"),
        Some(_) => format!("`{key}` was changed by somebody else"),
    }
}
