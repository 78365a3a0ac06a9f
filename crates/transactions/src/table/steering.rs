//! What clients and operators ask of transactions that are there.

use super::{Body, Event, Gid, Slot, Table, Told, Until};
use crate::{
    Error, RECORD_LEN_MAX, Spec, StepSpec,
    plan::{branch, check},
    record::encode_spec,
};
use logic::tx::{Journal, Outcome, Refused, Resolution, Step};
use tokio::sync::oneshot;

/// Most who wait for one transaction.
const WAITERS_MAX: usize = 1_024;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Steer {
    Submit,
    Abort(String),
    Retry,
    /// And who says so.
    Resolve(Resolution, String),
    Enlist(Vec<StepSpec>),
    /// Deliveries begin so many milliseconds from now.
    PutOff(u64),
    /// Opened or submitted again; as what it was asked for, and whether it must be open.
    Known(Box<Spec>, bool),
    /// Nothing, but that it is kept and how it stands.
    Look,
}

/// What comes of it.
#[derive(Debug)]
pub(crate) enum Steered {
    /// It is not here.
    Gone,
    /// It is told.
    Waits(oneshot::Receiver<Told>),
    /// A decision is under way; when it is not any more, it is asked again.
    Busy(oneshot::Receiver<Told>),
    /// It cannot be.
    Refused(Error),
}

impl Table {
    /// Does what is asked; tells when it is kept, or when the transaction has ended.
    pub(crate) fn steer(&mut self, gid: &Gid, steer: &Steer, waits: bool) -> Steered {
        let Some(id) = self.find(gid) else { return Steered::Gone };
        if !self.warm(id) {
            let why = "its record cannot be read".to_owned();
            return Steered::Refused(Error::Invalid(format!("transaction `{gid}`: {why}")));
        }
        let Some(live) = self.live(id) else { return Steered::Gone };
        if live.waiters.len() >= WAITERS_MAX {
            let text = format!("{WAITERS_MAX} wait for transaction `{gid}` already");
            return Steered::Refused(Error::Invalid(text));
        }
        let is_change = !matches!(steer, Steer::Known(..) | Steer::Look);
        if is_change && live.deciding.as_ref().is_some_and(|deciding| deciding.is_under_way) {
            return Steered::Busy(live.waiter(Until::Free));
        }
        let before = live.seq;
        if let Err(error) = self.act(id, gid, steer) {
            self.settle();
            return Steered::Refused(error);
        }
        let Some(live) = self.live(id) else { return Steered::Gone };
        if is_change && live.seq > before {
            // Who asked for it is told that it is so, so it stays so.
            live.forced = live.seq;
        }
        let until = if waits { Until::Ended } else { Until::Durable(live.forced) };
        let receiver = live.waiter(until);
        if live.forced <= live.durable {
            let durable = live.durable;
            self.tell(id, |until| matches!(until, Until::Durable(seq) if seq <= durable), || None);
        }
        self.keep(id, false);
        self.settle();
        Steered::Waits(receiver)
    }

    fn act(&mut self, id: u64, gid: &Gid, steer: &Steer) -> Result<(), Error> {
        let now = self.tools.now.ms();
        let Some(Slot { body: Body::Warm(live), .. }) = self.slots.get_mut(&id) else {
            return Ok(());
        };
        let event = match steer {
            Steer::Look => return Ok(()),
            Steer::Known(spec, must_be_open) => {
                if !live.is_same(spec) {
                    return Err(Error::Conflict(gid.clone()));
                }
                let phase = live.machine.state().phase;
                if *must_be_open && phase != logic::tx::Phase::Open {
                    let why = Refused::NotOpen(phase);
                    return Err(Error::Refused { gid: gid.clone(), why });
                }
                return Ok(());
            }
            Steer::Enlist(steps) => return self.enlist(id, gid, steps),
            Steer::PutOff(delay_ms) => return self.put_off(id, gid, *delay_ms),
            Steer::Submit => Event::Submit,
            Steer::Abort(reason) => Event::Abort(reason.clone()),
            Steer::Retry => Event::Retry,
            Steer::Resolve(resolution, _) => Event::Resolve(resolution.clone()),
        };
        let refused = |why| Error::Refused { gid: gid.clone(), why };
        let Steer::Resolve(resolution, by) = steer else {
            return self.step(id, event).map_err(refused);
        };
        // Before the step, which may keep it for the last time.
        let notes = live.notes.clone();
        let (of, what) = resolved(resolution);
        live.note(now, (of, None), format!("resolved by {by}{what}"));
        let result = self.step(id, event).map_err(refused);
        if let (Err(_), Some(live)) = (&result, self.live(id)) {
            live.notes = notes;
        }
        result
    }

    /// Adds branches, all or none.
    fn enlist(&mut self, id: u64, gid: &Gid, steps: &[StepSpec]) -> Result<(), Error> {
        let (now, random) = (self.tools.now.ms(), self.dice.roll());
        let Some(live) = self.live(id) else { return Ok(()) };
        let mut spec = live.spec().clone();
        let submitted =
            live.submitted.unwrap_or_else(|| u16::try_from(spec.steps.len()).unwrap_or(u16::MAX));
        let refused = |why| Error::Refused { gid: gid.clone(), why };
        // What is refused midway must not have begun: it is tried on a copy.
        let mut machine = live.machine.clone();
        let mut taken = Vec::new();
        for step in steps {
            match spec.steps.iter().find(|known| known.id == step.id) {
                Some(known) if known == step => continue,
                Some(_) => {
                    let why = Refused::Branch("it has one of that name with other calls");
                    return Err(refused(why));
                }
                None => {}
            }
            if !step.after.is_empty() || step.join.is_some() {
                return Err(refused(Refused::Branch(
                    "only steps of a saga come after others or join the decision",
                )));
            }
            spec.steps.push(step.clone());
            taken.push(machine.step(Event::Enlist(branch(step)), now, random).map_err(refused)?);
        }
        if taken.is_empty() {
            return Ok(());
        }
        check(&spec)?;
        let spec_bytes = encode_spec(&spec);
        if spec_bytes.len() > RECORD_LEN_MAX {
            return Err(Error::TooLarge { size: spec_bytes.len(), limit: RECORD_LEN_MAX });
        }
        live.machine = machine;
        live.submitted = Some(submitted);
        live.spec = Some(Box::new(spec));
        live.spec_bytes = spec_bytes;
        let count = taken.len();
        live.note(now, (None, None), format!("branches added: {count}"));
        let effects = taken.into_iter().flat_map(|step| step.effects).collect();
        self.absorb(id, Step { journal: Journal::Forced, effects }, false);
        Ok(())
    }

    /// Lets the deliveries of an open message begin later.
    fn put_off(&mut self, id: u64, gid: &Gid, delay_ms: u64) -> Result<(), Error> {
        let now = self.tools.now.ms();
        let Some(live) = self.live(id) else { return Ok(()) };
        let at = now.saturating_add(delay_ms);
        let refused = |why| Error::Refused { gid: gid.clone(), why };
        let step = live.machine.put_off(at).map_err(refused)?;
        let mut spec = live.spec().clone();
        // It is counted from the beginning of the transaction.
        spec.delay_ms = Some(at.saturating_sub(live.machine.state().begun_ms));
        live.spec_bytes = encode_spec(&spec);
        live.spec = Some(Box::new(spec));
        live.note(now, (None, None), format!("put off by {delay_ms} ms"));
        self.absorb(id, step, false);
        Ok(())
    }
}

/// What an operator said, in words; and of which branch.
fn resolved(resolution: &Resolution) -> (Option<u16>, &'static str) {
    match resolution {
        Resolution::Branch(branch) => (Some(*branch), ""),
        Resolution::All(Outcome::Committed) => (None, ": committed"),
        Resolution::All(Outcome::Aborted) => (None, ": aborted"),
        Resolution::All(Outcome::Mixed) => (None, ": mixed"),
    }
}
