//! One transaction in the table: whole while something happens to it, as bytes while it only waits.

use super::decide::Deciding;
use crate::{Gid, Spec, View, notes::Notes};
use bytes::Bytes;
use logic::tx::{Effect, Machine, Mode, Phase};
use ports::kv::{self, Revision};
use serde_json::Value;
use std::collections::VecDeque;
use tokio::sync::{oneshot, watch};

/// No moment.
pub(super) const NEVER: u64 = u64::MAX;

/// A transaction.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) gid: Gid,
    pub(super) mode: Mode,
    /// As it is kept.
    pub(super) phase: Phase,
    pub(super) begun_ms: u64,
    pub(super) has_attention: bool,
    /// When its record was written last; `None`: it has not been kept yet.
    pub(super) revision: Option<Revision>,
    /// It was read from the engine, and its machine has not been told so.
    pub(super) is_asleep: bool,
    /// It counts among those that are being taken up.
    pub(super) in_window: bool,
    pub(super) timers: Timers,
    pub(super) changes: Option<Box<Changes>>,
    pub(super) body: Body,
}

/// Tells those who look that something has changed.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) count: u64,
    pub(super) sender: watch::Sender<u64>,
}

/// When something is to be done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timers {
    /// The machine has asked for it.
    pub(super) machine: u64,
    /// A record is written, or a decision is tried again.
    pub(super) write: u64,
    /// Nothing has happened for a while.
    pub(super) cool: u64,
    /// The first of them, as the table's clock has it.
    pub(super) entry: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self { machine: NEVER, write: NEVER, cool: NEVER, entry: NEVER }
    }
}

impl Timers {
    pub(super) fn first(&self) -> u64 {
        self.machine.min(self.write).min(self.cool)
    }
}

#[derive(Debug)]
pub(super) enum Body {
    /// Its record.
    Cold(Bytes),
    Warm(Box<Live>),
}

/// All of a transaction.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) machine: Machine,
    /// What was asked for, as it stands in the record.
    pub(super) spec_bytes: Bytes,
    /// The record as it was read or written last.
    pub(super) record: Bytes,
    /// What was asked for, to work with; not there while nobody needs it.
    pub(super) spec: Option<Box<Spec>>,
    pub(super) submitted: Option<u16>,
    /// The node that wrote the record last.
    pub(super) node: String,
    pub(super) results: Vec<(u16, Value)>,
    pub(super) notes: Notes,
    /// Grows with each state that has to be kept.
    pub(super) seq: u64,
    /// The last one that must be durable before effects.
    pub(super) forced: u64,
    /// Up to here they are durable.
    pub(super) durable: u64,
    pub(super) writing: Option<Writing>,
    /// Writes that failed in a row.
    pub(super) failures: u32,
    /// Effects that wait until a state is durable.
    pub(super) held: VecDeque<(u64, Vec<Effect>)>,
    pub(super) waiters: Vec<Waiter>,
    /// Calls in line and under way.
    pub(super) calls: u32,
    pub(super) deciding: Option<Deciding>,
    /// What the decision that is under way keeps.
    pub(super) decided: Option<Box<Writing>>,
}

/// A write of a record.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) seq: u64,
    pub(super) kind: Kind,
    pub(super) value: Bytes,
    pub(super) phase: Phase,
    /// What is kept under `done/` when it ends.
    pub(super) done: Bytes,
    /// It was sent and its outcome is not known.
    pub(super) is_doubtful: bool,
    /// It is with the engine now.
    pub(super) is_under_way: bool,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keeps it for the first time.
    Begin,
    /// Keeps another state.
    Update,
    /// Moves it to those that have ended at this moment.
    End(u64),
    /// It has ended before it was kept.
    BeginAndEnd(u64),
}

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) until: Until,
    pub(super) sender: oneshot::Sender<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// This state is durable.
    Durable(u64),
    /// It has ended.
    Ended,
    /// No decision is under way.
    Free,
}

/// What who waits is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// It came so far.
    Stands(Box<View>),
    /// There is one of that name in the engine.
    Exists,
    /// Another node drives it.
    Moved,
    /// The engine did not keep it, at least not yet.
    Failed(kv::Error),
    /// A decision was under way; it is not any more.
    Free,
}
