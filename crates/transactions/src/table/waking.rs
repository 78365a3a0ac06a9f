//! Transactions that only wait are kept as bytes, and those of an earlier life are taken up, some at a time.

use super::{Body, Event, Gid, Live, NEVER, Revision, Slot, Table, Timers};
use crate::record;
use bytes::Bytes;
use tracing::{debug, error};

/// How long nothing happens to a transaction until it is kept as bytes only, in milliseconds.
pub(super) const COOL_AFTER_MS: u64 = 1_000;

/// How many transactions of an earlier life are being taken up at the same time: enough to keep all calls busy, few enough for those that
/// are submitted meanwhile.
const WINDOW: usize = 512;

/// How many are taken up before others are let in.
const BATCH: usize = 64;

/// How many transactions are whole although nothing happens to them.
pub(super) const WARM_MAX: usize = 2_048;

impl Table {
    /// Puts in what was read from the engine, to be taken up. Answers whether it can be read.
    pub(crate) fn load(&mut self, gid: Gid, value: &Bytes, revision: Revision) -> bool {
        if self.names.contains_key(&gid)
            || self.ended_lately.as_ref().is_some_and(|ended| ended.contains(&gid))
        {
            return true;
        }
        let Some(record) = record::decode(value) else { return false };
        let state = &record.head.state;
        let slot = Slot {
            gid,
            mode: record.spec.mode,
            phase: state.phase,
            begun_ms: state.begun_ms,
            has_attention: state.attention.is_some(),
            revision: Some(revision),
            is_asleep: true,
            in_window: false,
            timers: Timers::default(),
            changes: None,
            body: Body::Cold(value.clone()),
        };
        let id = self.insert(slot);
        self.asleep.push_back(id);
        true
    }

    /// Everything has been read.
    pub(crate) fn loaded(&mut self) {
        self.ended_lately = None;
    }

    /// Takes up some of what was read.
    pub(super) fn take_up(&mut self) {
        for _ in 0..BATCH {
            if !self.may_take_up() {
                return;
            }
            let Some(id) = self.asleep.pop_front() else { return };
            self.rouse(id);
            // Most of a crowd only waits: that needs no room.
            self.cool(id);
        }
    }

    /// Whether there is something to be taken up now.
    pub(super) fn may_take_up(&self) -> bool {
        let may = !self.is_engine_away && !self.is_closing;
        may && self.in_window < WINDOW && !self.asleep.is_empty()
    }

    /// Tells a machine that it was in another life before.
    pub(super) fn rouse(&mut self, id: u64) {
        let is_asleep = self.slots.get(&id).is_some_and(|slot| slot.is_asleep);
        if !is_asleep || !self.warm_as_it_is(id) {
            return;
        }
        let (now, random) = (self.tools.now.ms(), self.dice.roll());
        let node = self.tools.node.clone();
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.is_asleep = false;
        slot.in_window = true;
        self.in_window += 1;
        let Body::Warm(live) = &mut slot.body else { return };
        // Another node's becomes ours before anything is done with it.
        let is_foreign = live.node != node;
        let before = live.machine.state().phase;
        match live.machine.step(Event::Recovered, now, random) {
            Ok(step) => {
                live.note(now, (None, None), "recovered");
                live.note_phase(before, now);
                self.absorb(id, step, is_foreign);
                // Whoever was away or failed may be back since, and nobody would tell.
                if let Err(error) = self.step(id, Event::Retry) {
                    debug!(%error, "nothing is to be tried");
                }
            }
            Err(error) => {
                error!(gid = %slot.gid, %error, "a transaction cannot be taken up");
                self.keep(id, false);
            }
        }
    }

    /// Makes all of a transaction there; it has been taken up then. Answers whether it is there.
    pub(super) fn warm(&mut self, id: u64) -> bool {
        self.rouse(id);
        self.warm_as_it_is(id)
    }

    fn warm_as_it_is(&mut self, id: u64) -> bool {
        let Some(slot) = self.slots.get_mut(&id) else { return false };
        if let Body::Cold(bytes) = &slot.body {
            let Some(live) = Live::wake(bytes) else {
                error!(gid = %slot.gid, "the record of a transaction cannot be read");
                return false;
            };
            slot.body = Body::Warm(Box::new(live));
            self.warm += 1;
        }
        true
    }

    /// Keeps a transaction as bytes only, if nothing happens to it.
    pub(super) fn cool(&mut self, id: u64) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        let Body::Warm(live) = &mut slot.body else { return };
        // What is about to be late would be there again at once.
        let is_soon = slot.timers.machine != NEVER
            && slot.timers.machine <= self.tools.now.ms().saturating_add(COOL_AFTER_MS);
        if live.is_idle() && !is_soon {
            let node = live.node.clone();
            slot.body = Body::Cold(live.encode(&node));
            self.warm -= 1;
        }
    }
}
