//! Events go into machines, effects come out.

use super::{
    Body, Event, Live, NEVER, Ordering, Outcome, Slot, Step, Table, Told, Until, Waiting,
    decide::Deciding,
};
use crate::lines::destination;
use logic::tx::{Answer, Effect, Journal, Op, Refused};
use tracing::{debug, info};

/// How many late transactions are looked at before others are let in.
const TICKS_MAX: usize = 1_000;

/// How soon a transaction is looked at again whose time has come while the engine was away or a decision was under way.
const LOOK_AGAIN_MS: u64 = 500;

impl Table {
    /// Steps a machine. What comes of it is begun by [`Self::settle`].
    pub(super) fn step(&mut self, id: u64, event: Event) -> Result<(), Refused> {
        let (now, random) = (self.tools.now.ms(), self.dice.roll());
        let Some(live) = self.live(id) else { return Ok(()) };
        let before = live.machine.state().phase;
        let step = live.machine.step(event, now, random)?;
        live.note_phase(before, now);
        self.absorb(id, step, false);
        Ok(())
    }

    /// Takes in what comes of a step: the state is kept as it says, effects are carried out as soon as they may be.
    pub(super) fn absorb(&mut self, id: u64, step: Step, is_forced: bool) {
        let Step { journal, mut effects } = step;
        let Some(Slot { body: Body::Warm(live), timers, has_attention, changes, .. }) =
            self.slots.get_mut(&id)
        else {
            return;
        };
        let state = live.machine.state();
        let needs_attention = state.attention.is_some();
        // The end is told, so it is kept before; no protocol that could do without ends more often than once.
        let has_ended = state.phase.outcome().is_some() && journal != Journal::Nothing;
        if is_forced || has_ended || journal == Journal::Forced {
            live.seq += 1;
            live.forced = live.seq;
        } else if journal == Journal::Lazy {
            live.seq += 1;
        }
        effects.retain(|effect| {
            if let Effect::Wake(at) = effect {
                timers.machine = *at;
            }
            !matches!(effect, Effect::Wake(_))
        });
        if needs_attention != *has_attention {
            *has_attention = needs_attention;
            if needs_attention {
                self.tools.attention.fetch_add(1, Ordering::Relaxed);
            } else {
                self.tools.attention.fetch_sub(1, Ordering::Relaxed);
            }
        }
        if let Some(changes) = changes {
            changes.count += 1;
            changes.sender.send_replace(changes.count);
        }
        if live.forced > live.durable {
            if !effects.is_empty() {
                live.held.push_back((live.forced, effects));
            }
        } else {
            self.run(id, effects);
        }
        self.keep(id, false);
    }

    /// Carries out effects.
    pub(super) fn run(&mut self, id: u64, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Call { branch, op, attempt, until_ms } => {
                    self.line_up(Waiting { id, branch, op, attempt, until_ms });
                }
                Effect::Decide { branches } => {
                    if let Some(live) = self.live(id) {
                        live.deciding = Some(Deciding::new(branches));
                    }
                }
                Effect::Wake(_) => {}
                Effect::Ended(outcome) => self.end(id, outcome),
            }
        }
    }

    /// Puts a call in line.
    fn line_up(&mut self, waiting: Waiting) {
        let Waiting { id, branch, op, attempt, .. } = waiting;
        let Some(Slot { body: Body::Warm(live), .. }) = self.slots.get_mut(&id) else { return };
        live.calls += 1;
        let is_crowded = self.lines.waiting() > super::CALLS_MAX;
        match call_of(live, branch, op) {
            Some(call) => self.lines.push(destination(&call.target), waiting),
            None => {
                let answer = Answer::Failed(format!("no call for `{op}` is known"));
                self.inbox.push_back((id, Event::Answer { branch, op, attempt, answer }));
            }
        }
        if is_crowded {
            // It is read again when its turn comes: who waits needs no room meanwhile.
            live.spec = None;
        }
    }

    /// Does all that can be done without waiting.
    pub(crate) fn settle(&mut self) {
        loop {
            while let Some((id, event)) = self.inbox.pop_front() {
                if let Some(live) = self.live(id) {
                    live.calls = live.calls.saturating_sub(1);
                }
                self.answer(id, event);
            }
            self.take_up();
            self.pump();
            if self.inbox.is_empty() {
                return;
            }
        }
    }

    /// Tells a machine what was answered.
    pub(super) fn answer(&mut self, id: u64, event: Event) {
        let now = self.tools.now.ms();
        if let (Some(live), Event::Answer { branch, op, answer, .. }) = (self.live(id), &event) {
            live.note(now, (*branch, Some(*op)), super::live::words(answer));
        }
        if let Err(error) = self.step(id, event) {
            debug!(%error, "an answer was not accepted");
        }
        // What was answered may have been the last thing that it waited for.
        self.keep(id, false);
    }

    /// Does what is late.
    pub(crate) fn tick(&mut self) {
        let now = self.tools.now.ms();
        for _ in 0..TICKS_MAX {
            let Some((at, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) else {
                break;
            };
            self.timers.remove(&(at, id));
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            slot.timers.entry = NEVER;
            let timers = slot.timers;
            if timers.cool <= now {
                slot.timers.cool = NEVER;
                self.cool(id);
            }
            if timers.write <= now {
                self.late_write(id);
            }
            if timers.machine <= now {
                self.late(id, now);
            }
            self.arm(id);
        }
        self.settle();
    }

    fn late_write(&mut self, id: u64) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.timers.write = NEVER;
        }
        self.keep(id, true);
    }

    fn late(&mut self, id: u64, now: u64) {
        let must_wait = self.is_engine_away
            || self.live(id).is_some_and(|live| {
                live.deciding.as_ref().is_some_and(|deciding| deciding.is_under_way)
            });
        let Some(slot) = self.slots.get_mut(&id) else { return };
        slot.timers.machine = if must_wait { now + LOOK_AGAIN_MS } else { NEVER };
        if !must_wait
            && self.warm(id)
            && let Err(error) = self.step(id, Event::Tick)
        {
            debug!(%error, "a moment was not accepted");
        }
    }

    /// It has ended, and that is kept.
    fn end(&mut self, id: u64, outcome: Outcome) {
        let Some(slot) = self.remove(id) else { return };
        let Slot { gid, phase, body: Body::Warm(mut live), .. } = slot else { return };
        let count = match outcome {
            Outcome::Committed => &self.tools.committed,
            Outcome::Aborted => &self.tools.aborted,
            Outcome::Mixed => &self.tools.mixed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        if let Some(ended) = &mut self.ended_lately {
            ended.insert(gid.clone());
        }
        if outcome == Outcome::Mixed {
            info!(%gid, "a transaction has ended mixed");
        }
        let mut waiters = std::mem::take(&mut live.waiters);
        if waiters.is_empty() {
            return;
        }
        live.spec();
        let last = waiters.pop();
        for waiter in waiters {
            let view = Slot::view(&gid, phase, &mut live);
            // Who went away meanwhile needs no answer; so below.
            drop(waiter.sender.send(Told::Stands(Box::new(view))));
        }
        if let (Some(waiter), Some(spec)) = (last, live.spec.take()) {
            let view = Slot::view_of(gid, *spec, phase, &live);
            drop(waiter.sender.send(Told::Stands(Box::new(view))));
        }
    }

    /// Looks what is to be kept of a transaction, and when. `is_due`: its time for that has come.
    pub(super) fn keep(&mut self, id: u64, is_due: bool) {
        let now = self.tools.now.ms();
        let is_closing = self.is_closing;
        let Some(Slot { body: Body::Warm(live), timers, in_window, .. }) = self.slots.get_mut(&id)
        else {
            return;
        };
        if *in_window && live.calls == 0 && live.held.is_empty() {
            *in_window = false;
            self.in_window -= 1;
        }
        timers.cool = NEVER;
        let may = is_due || live.failures == 0;
        let is_forced = live.forced > live.durable;
        if let Some(writing) = &live.writing {
            if !writing.is_under_way && may {
                self.send(id);
            }
        } else if live.deciding.is_some() && !is_forced {
            self.decide(id, is_due);
        } else if live.seq > live.durable {
            if may && (is_forced || is_due || is_closing) {
                self.write(id);
            } else if timers.write == NEVER {
                timers.write = now + super::writing::LAZY_MS;
            }
        } else if live.is_idle() {
            let is_crowded = self.warm > super::waking::WARM_MAX;
            timers.cool = if is_crowded { now } else { now + super::waking::COOL_AFTER_MS };
        }
        self.arm(id);
    }

    /// Tells those who wait for a state that is durable now, or all of whom `told` is for.
    pub(super) fn tell(
        &mut self,
        id: u64,
        who: impl Fn(Until) -> bool,
        told: impl Fn() -> Option<Told>,
    ) {
        let Some(Slot { gid, phase, body: Body::Warm(live), .. }) = self.slots.get_mut(&id) else {
            return;
        };
        let (tell, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut live.waiters).into_iter().partition(|waiter| who(waiter.until));
        live.waiters = stay;
        for waiter in tell {
            let told =
                told().unwrap_or_else(|| Told::Stands(Box::new(Slot::view(gid, *phase, live))));
            drop(waiter.sender.send(told));
        }
    }
}

/// The call of a branch for an operation; of no branch: the query of a message.
pub(super) fn call_of(live: &mut Live, branch: Option<u16>, op: Op) -> Option<&crate::Call> {
    let spec = live.spec();
    match branch {
        Some(branch) => spec.steps.get(usize::from(branch))?.calls.get(&op),
        None => spec.query.as_ref(),
    }
}
