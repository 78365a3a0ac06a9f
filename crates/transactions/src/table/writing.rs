//! Records on their way into the engine.
//!
//! A record is only ever written over the one that this node wrote or read last. A write whose outcome is unknown is repeated as it was, until
//! the engine says either that it is done or what stands in its place.

use super::{
    Body, Slot, Table, Told, Until,
    jobs::Job,
    slot::{Kind, NEVER, Writing},
};
use crate::{Gid, keys::Keys};
use base::ErrorChain;
use bytes::Bytes;
use logic::{backoff::Backoff, tx::Decision};
use ports::kv::{self, Entry, Is, Life, Outcome, Retry, Revision, Transaction};
use std::time::Duration;
use tracing::{error, info, warn};

/// How long a state that may be lost is kept in memory alone, in milliseconds: as long as most transactions take, so that most are written
/// twice only.
pub(super) const LAZY_MS: u64 = 50;

/// Between tries to write: soon enough for nobody to notice, seldom enough for an engine that comes back under load.
const RETRY: Backoff = Backoff { first: Duration::from_millis(50), max: Duration::from_secs(5) };

/// Tries after which who begins a transaction is told that nobody knows whether it is kept.
const BEGIN_TRIES: u32 = 2;

/// What stands where a record was to be written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// This write, done by an earlier try.
    Ours(Option<Revision>),
    /// Another's.
    Other,
}

impl Table {
    /// Writes a record as it stands.
    pub(super) fn write(&mut self, id: u64) {
        let node = &self.tools.node;
        let Some(Slot { revision, body: Body::Warm(live), .. }) = self.slots.get_mut(&id) else {
            return;
        };
        let value = live.encode(node);
        live.node.clone_from(node);
        let state = live.machine.state();
        let kind = match (state.phase.outcome().is_some(), &revision) {
            (false, None) => Kind::Begin,
            (false, Some(_)) => Kind::Update,
            (true, known) => {
                let ended = state.ended_ms.unwrap_or(state.begun_ms);
                if known.is_some() { Kind::End(ended) } else { Kind::BeginAndEnd(ended) }
            }
        };
        live.writing = Some(Writing {
            seq: live.seq,
            kind,
            value,
            phase: state.phase,
            done: done(state.decision(live.machine.plan().mode), kind),
            is_doubtful: false,
            is_under_way: false,
        });
        self.send(id);
    }

    /// Hands a write to the engine.
    pub(super) fn send(&mut self, id: u64) {
        let keys = &self.tools.keys;
        let Some(Slot { gid, revision, timers, body: Body::Warm(live), .. }) =
            self.slots.get_mut(&id)
        else {
            return;
        };
        let Some(writing) = &mut live.writing else { return };
        writing.is_under_way = true;
        timers.write = NEVER;
        let transaction = transaction(keys, gid, *revision, writing);
        self.jobs.push(Job::Write { id, transaction });
    }

    /// A write has come to an end.
    pub(crate) fn written(&mut self, id: u64, result: Result<Outcome, kv::Error>) {
        let Some(Slot { gid, body: Body::Warm(live), .. }) = self.slots.get_mut(&id) else {
            return;
        };
        let Some(writing) = &mut live.writing else { return };
        writing.is_under_way = false;
        let is_begin = writing.is_begin();
        match result {
            Ok(Outcome::Committed { revision }) => self.kept(id, Some(revision)),
            Ok(Outcome::Refused { found, .. }) => match writing.judge(&found) {
                Found::Ours(revision) => self.kept(id, revision),
                Found::Other => {
                    if !is_begin {
                        info!(%gid, "another node has taken the transaction over");
                    }
                    self.lose(id, is_begin);
                }
            },
            Err(error) => self.not_written(id, error),
        }
        self.settle();
    }

    /// A state is durable.
    pub(super) fn kept(&mut self, id: u64, now_at: Option<Revision>) {
        self.engine_is(true);
        let Some(Slot { revision, phase, body: Body::Warm(live), .. }) = self.slots.get_mut(&id)
        else {
            return;
        };
        let Some(writing) = live.writing.take() else { return };
        *revision = now_at;
        *phase = writing.phase;
        live.durable = writing.seq;
        live.failures = 0;
        self.let_go(id);
    }

    /// What waited for a state that is durable now.
    pub(super) fn let_go(&mut self, id: u64) {
        let Some(live) = self.live(id) else { return };
        let durable = live.durable;
        let mut free = Vec::new();
        while live.held.front().is_some_and(|(seq, _)| *seq <= durable) {
            free.extend(live.held.pop_front().into_iter().flat_map(|(_, effects)| effects));
        }
        self.tell(id, |until| matches!(until, Until::Durable(seq) if seq <= durable), || None);
        self.run(id, free);
        self.keep(id, false);
    }

    /// Another drives it, or had its name before.
    pub(super) fn lose(&mut self, id: u64, is_begin: bool) {
        self.engine_is(true);
        self.tell(id, |_| true, || Some(if is_begin { Told::Exists } else { Told::Moved }));
        drop(self.remove(id));
    }

    /// The engine did not do it, or nobody knows.
    fn not_written(&mut self, id: u64, error: kv::Error) {
        let random = self.dice.roll();
        let now = self.tools.now.ms();
        let Some(Slot { gid, timers, body: Body::Warm(live), .. }) = self.slots.get_mut(&id) else {
            return;
        };
        let Some(writing) = &mut live.writing else { return };
        writing.is_doubtful |= matches!(error, kv::Error::Unknown { .. });
        let (is_begin, is_doubtful) = (writing.is_begin(), writing.is_doubtful);
        if is_begin && !is_doubtful {
            self.tell(id, |_| true, || Some(Told::Failed(error.clone())));
            drop(self.remove(id));
            return;
        }
        if !is_doubtful {
            // Nothing was done, so the next try may write what is the case then.
            live.writing = None;
        }
        live.failures = live.failures.saturating_add(1);
        let pause = RETRY.wait(live.failures, random).as_millis();
        timers.write = now.saturating_add(u64::try_from(pause).unwrap_or(u64::MAX));
        let failures = live.failures;
        if error.retry() == Retry::Never && failures == 1 {
            error!(%gid, error = %ErrorChain(&error), "a transaction cannot be kept; it is tried again");
        }
        if !is_begin {
            let is_durable = |until| matches!(until, Until::Durable(_));
            self.tell(id, is_durable, || Some(Told::Failed(error.clone())));
            self.engine_is(false);
        } else if failures >= BEGIN_TRIES {
            self.tell(id, |_| true, || Some(Told::Failed(error.clone())));
        }
        self.arm(id);
    }

    /// Whether the engine answers.
    pub(super) fn engine_is(&mut self, is_there: bool) {
        if self.is_engine_away != is_there {
            return;
        }
        self.is_engine_away = !is_there;
        if is_there {
            info!("the kv engine keeps transactions again");
        } else {
            warn!("the kv engine does not keep transactions: nothing is called until it does");
        }
    }
}

impl Writing {
    fn is_begin(&self) -> bool {
        matches!(self.kind, Kind::Begin | Kind::BeginAndEnd(_))
    }

    /// What it means that its conditions did not hold.
    pub(super) fn judge(&self, found: &[Option<Entry>]) -> Found {
        if !self.is_doubtful {
            return Found::Other;
        }
        let at = |place: usize| found.get(place).and_then(Option::as_ref);
        match self.kind {
            Kind::Begin | Kind::Update => match at(0) {
                Some(entry) if entry.value == self.value => Found::Ours(Some(entry.modified)),
                _ => Found::Other,
            },
            Kind::End(_) | Kind::BeginAndEnd(_) => match at(1) {
                Some(entry) if entry.value == self.done => Found::Ours(None),
                _ => Found::Other,
            },
        }
    }
}

/// What is kept of how a transaction has ended: when, which says where its record is, and the decision.
pub(super) fn done(decision: Option<Decision>, kind: Kind) -> Bytes {
    let (Kind::End(ms) | Kind::BeginAndEnd(ms)) = kind else { return Bytes::new() };
    let letter = if decision == Some(Decision::Commit) { 'c' } else { 'a' };
    format!("1:{ms}:{letter}").into()
}

/// What [`done`] wrote: when it ended, and whether it was to be committed.
pub(crate) fn read_done(value: &[u8]) -> Option<(u64, bool)> {
    let rest = std::str::from_utf8(value).ok()?.strip_prefix("1:")?;
    let (ms, letter) = rest.split_once(':')?;
    Some((ms.parse().ok()?, letter == "c"))
}

/// What the engine is asked to do.
pub(super) fn transaction(
    keys: &Keys,
    gid: &Gid,
    revision: Option<Revision>,
    writing: &Writing,
) -> Transaction {
    let live = keys.live(gid);
    let transaction = match revision {
        None => Transaction::default().when(live.clone(), Is::Missing),
        Some(revision) => Transaction::default().when(live.clone(), Is::ModifiedAt(revision)),
    };
    let value = writing.value.clone();
    match writing.kind {
        Kind::Begin => {
            transaction.when(keys.done(gid), Is::Missing).and_put(live, value, Life::Endless)
        }
        Kind::Update => transaction.and_put(live, value, Life::Endless),
        Kind::End(ms) => transaction
            .when(keys.done(gid), Is::Missing)
            .and_delete(live)
            .and_put(keys.ended(ms, gid), value, Life::Endless)
            .and_put(keys.done(gid), writing.done.clone(), Life::Endless),
        Kind::BeginAndEnd(ms) => transaction
            .when(keys.done(gid), Is::Missing)
            .and_put(keys.ended(ms, gid), value, Life::Endless)
            .and_put(keys.done(gid), writing.done.clone(), Life::Endless),
    }
}
