//! The unfinished transactions of one node, or a part of them. Nothing waits in here: what takes time is a [`Job`] for the driver, which
//! comes back with what became of it.
//!
//! ```text
//!  asked, answered, written, late ──► Machine::step ──► effects ──► calls in line ──► Job::Call
//!                                          │                └── held until the state they need is durable
//!                                          └─────► a write, at most one of each transaction under way ──► Job::Write
//! ```

use crate::{
    Gid, Spec, View,
    keys::Keys,
    lines::{Lines, Waiting},
    now::Now,
    random::Dice,
    record::Record,
};
use bytes::Bytes;
use logic::tx::{Event, Machine, Outcome, Step};
use ports::kv::Revision;
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};
use tokio::sync::{oneshot, watch};

mod calling;
mod decide;
mod jobs;
mod live;
mod looking;
mod slot;
mod steering;
mod stepping;
mod waking;
mod writing;

pub(crate) use decide::{DecideEnd, JoinAsk, commit};
pub(crate) use jobs::{Call, Called, Done, Job};
pub use live::RESULTS_LEN_MAX;
pub(crate) use slot::Told;
pub(crate) use steering::{Steer, Steered};

pub use calling::CALL_TIMEOUT;
pub(crate) use looking::{Place, decision, suits};
use slot::{Body, Changes, Live, NEVER, Slot, Timers, Until};
pub(crate) use writing::read_done;

/// Most unfinished transactions of a node: a few gigabytes.
pub const UNFINISHED_MAX: usize = 1_000_000;

/// Most calls under way at the same time, of a node: what two cores keep busy with, and well below what a process may have open.
pub const CALLS_MAX: usize = 1_024;

/// Most calls under way to one destination, so that a slow one does not take the room of all.
pub const CALLS_EACH_MAX: usize = 128;

/// What all parts of the table have in common.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) now: Now,
    pub(crate) keys: Keys,
    pub(crate) node: String,
    pub(crate) unfinished: AtomicUsize,
    pub(crate) attention: AtomicUsize,
    pub(crate) committed: AtomicU64,
    pub(crate) aborted: AtomicU64,
    pub(crate) mixed: AtomicU64,
}

impl Tools {
    pub(crate) fn new(now: Now, keys: Keys, node: String) -> Self {
        let (unfinished, attention) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (committed, aborted, mixed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Self { now, keys, node, unfinished, attention, committed, aborted, mixed }
    }
}

/// Where a transaction is.
#[derive(Debug)]
pub(crate) enum Where {
    /// In this node's table.
    Here,
    /// In the engine, unfinished.
    Elsewhere(Box<Record>),
    /// In the engine; it has ended.
    Ended(Box<Record>),
    /// Nobody knows it.
    Nowhere,
}

/// Transactions.
#[derive(Debug)]
pub(crate) struct Table {
    tools: Arc<Tools>,
    slots: HashMap<u64, Slot>,
    names: HashMap<Gid, u64>,
    /// By when they began.
    order: BTreeSet<(u64, u64)>,
    /// What is to be done when, one for each transaction.
    timers: BTreeSet<(u64, u64)>,
    lines: Lines,
    /// Answers that came without a call.
    inbox: VecDeque<(u64, Event)>,
    /// How many are whole.
    warm: usize,
    /// Read from the engine and not taken up yet.
    asleep: VecDeque<u64>,
    /// Those that are being taken up.
    in_window: usize,
    /// Who waits for a service.
    away: HashMap<String, HashSet<u64>>,
    /// Those that ended while the engine's records are being read, which may still have them.
    ended_lately: Option<HashSet<Gid>>,
    jobs: Vec<Job>,
    dice: Dice,
    last_id: u64,
    /// The engine does not answer: nothing is called.
    is_engine_away: bool,
    is_closing: bool,
    is_closed: bool,
}

/// A transaction that was begun and is not kept yet.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) gid: Gid,
    pub(crate) machine: Machine,
    pub(crate) step: Step,
    pub(crate) spec: Box<Spec>,
    pub(crate) spec_bytes: Bytes,
}

impl Table {
    /// One of `parts` parts.
    pub(crate) fn new(tools: Arc<Tools>, parts: usize) -> Self {
        let share = |most: usize| most.div_ceil(parts.max(1));
        Self {
            tools,
            slots: HashMap::new(),
            names: HashMap::new(),
            order: BTreeSet::new(),
            timers: BTreeSet::new(),
            lines: Lines::new(share(CALLS_MAX), share(CALLS_EACH_MAX)),
            inbox: VecDeque::new(),
            warm: 0,
            asleep: VecDeque::new(),
            in_window: 0,
            away: HashMap::new(),
            ended_lately: Some(HashSet::new()),
            jobs: Vec::new(),
            dice: Dice::new(),
            last_id: 0,
            is_engine_away: false,
            is_closing: false,
            is_closed: false,
        }
    }

    /// What is to be done by now.
    pub(crate) fn take_jobs(&mut self, into: &mut Vec<Job>) {
        into.append(&mut self.jobs);
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn next_tick(&self) -> Option<u64> {
        if self.may_take_up() {
            return Some(0);
        }
        self.timers.first().map(|(at, _)| *at)
    }

    /// Nothing more is called.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
        let dirty: Vec<u64> = self.slots.keys().copied().collect();
        for id in dirty {
            self.keep(id, true);
        }
    }

    /// Nothing more is done at all: whoever waits is told so.
    pub(crate) fn abandon(&mut self) {
        self.is_closed = true;
        self.slots.clear();
        self.names.clear();
        self.order.clear();
        self.timers.clear();
        self.jobs.clear();
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing || self.is_closed
    }

    /// Whether everything is kept and no call is under way.
    pub(crate) fn is_parked(&self) -> bool {
        self.lines.under_way() == 0
            && self.slots.values().all(|slot| match &slot.body {
                Body::Cold(_) => true,
                Body::Warm(live) => live.writing.is_none() && live.seq == live.durable,
            })
    }

    pub(crate) fn has(&self, gid: &Gid) -> bool {
        self.names.contains_key(gid)
    }

    fn find(&self, gid: &Gid) -> Option<u64> {
        self.names.get(gid).copied()
    }

    /// Puts a transaction in.
    fn insert(&mut self, slot: Slot) -> u64 {
        self.last_id += 1;
        let id = self.last_id;
        self.names.insert(slot.gid.clone(), id);
        self.order.insert((slot.begun_ms, id));
        self.tools.unfinished.fetch_add(1, Ordering::Relaxed);
        if slot.has_attention {
            self.tools.attention.fetch_add(1, Ordering::Relaxed);
        }
        self.slots.insert(id, slot);
        id
    }

    /// Takes a transaction out.
    fn remove(&mut self, id: u64) -> Option<Slot> {
        let slot = self.slots.remove(&id)?;
        self.names.remove(&slot.gid);
        self.order.remove(&(slot.begun_ms, id));
        if slot.timers.entry != NEVER {
            self.timers.remove(&(slot.timers.entry, id));
        }
        self.tools.unfinished.fetch_sub(1, Ordering::Relaxed);
        if slot.has_attention {
            self.tools.attention.fetch_sub(1, Ordering::Relaxed);
        }
        if slot.in_window {
            self.in_window -= 1;
        }
        if matches!(slot.body, Body::Warm(_)) {
            self.warm -= 1;
        }
        Some(slot)
    }

    /// A transaction that is begun here; tells when it is kept, or when it has ended.
    pub(crate) fn begin(&mut self, begun: Begun, waits: bool) -> oneshot::Receiver<Told> {
        let Begun { gid, machine, step, spec, spec_bytes } = begun;
        let (mode, state) = (spec.mode, machine.state());
        let slot = Slot {
            gid,
            mode,
            phase: state.phase,
            begun_ms: state.begun_ms,
            has_attention: false,
            revision: None,
            is_asleep: false,
            in_window: false,
            timers: Timers::default(),
            changes: None,
            body: Body::Warm(Box::new(Live::new(
                machine,
                spec,
                spec_bytes,
                self.tools.node.clone(),
            ))),
        };
        let id = self.insert(slot);
        self.warm += 1;
        let now = self.tools.now.ms();
        let receiver = self.live(id).map(|live| {
            live.note(now, (None, None), "begun");
            let until = if waits { Until::Ended } else { Until::Durable(1) };
            live.waiter(until)
        });
        self.absorb(id, step, true);
        self.settle();
        receiver.unwrap_or_else(|| oneshot::channel().1)
    }

    /// All of a transaction that is awake.
    fn live(&mut self, id: u64) -> Option<&mut Live> {
        match &mut self.slots.get_mut(&id)?.body {
            Body::Warm(live) => Some(live),
            Body::Cold(_) => None,
        }
    }

    /// Sets the table's clock for a transaction.
    fn arm(&mut self, id: u64) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let first = slot.timers.first();
        if first == slot.timers.entry {
            return;
        }
        if slot.timers.entry != NEVER {
            self.timers.remove(&(slot.timers.entry, id));
        }
        if first != NEVER {
            self.timers.insert((first, id));
        }
        slot.timers.entry = first;
    }

    /// A number that grows whenever this transaction changes.
    pub(crate) fn changes(&mut self, gid: &Gid) -> Option<watch::Receiver<u64>> {
        let slot = self.slots.get_mut(self.names.get(gid)?)?;
        let changes = slot
            .changes
            .get_or_insert_with(|| Box::new(Changes { count: 0, sender: watch::Sender::new(0) }));
        Some(changes.sender.subscribe())
    }
}
