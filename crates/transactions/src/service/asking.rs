//! What is submitted, and what is asked of what was.

use super::{Ask, Inner, Taken};
use crate::{
    Decision, Error, Gid, RECORD_LEN_MAX, Spec, View, Wanted,
    driver::Shard,
    plan,
    random::{self, Dice},
    record::{self, decode_spec, encode_spec},
    table::{self, Begun, Steer, Steered, Told, UNFINISHED_MAX, Where},
};
use bytes::Bytes;
use logic::tx::{Event, Machine, Refused};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::oneshot;

/// How often something is asked anew because a transaction went from here to there meanwhile.
const TRIES: usize = 8;

/// How long a transaction is open whose client does not say, in milliseconds; as DTM has it. A client that is gone must not leave
/// reservations behind for ever.
pub const OPEN_TIMEOUT_MS: u64 = 35_000;

/// How often it is looked whether a transaction of another node has ended; longer each time, up to this.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Inner {
    /// Submits or opens a transaction.
    pub(super) async fn take(
        &self,
        gid: Option<Gid>,
        ask: Ask,
        is_open: bool,
        wait: Option<Duration>,
    ) -> Result<Taken, Error> {
        let mut spec = Box::new(spec(&self.wanted(), ask)?);
        if is_open && spec.timeout_ms.is_none() {
            spec.timeout_ms = Some(OPEN_TIMEOUT_MS);
        }
        plan::check(&spec)?;
        let gid = match gid {
            Some(gid) => gid,
            None => Gid::new(random::name())?,
        };
        if spec.traceparent.is_none() {
            spec.traceparent = Some(Dice::new().trace());
        }
        let shard = self.shard(&gid);
        for _ in 0..TRIES {
            let steer = Steer::Known(spec, is_open);
            let steered = shard.with(|table| table.steer(&gid, &steer, wait.is_some()));
            let Steer::Known(again, _) = steer else { return Err(Error::Stopping) };
            spec = again;
            match steered {
                Steered::Waits(told) => {
                    let view = self.told(&gid, told, wait).await?;
                    if let Some(view) = view {
                        return Ok(Taken { view, is_known: true });
                    }
                    continue;
                }
                Steered::Busy(told) => {
                    drop(told.await);
                    continue;
                }
                Steered::Refused(error) => return Err(error),
                Steered::Gone => {}
            }
            let spec_bytes = encode_spec(&spec);
            let begins = self.begin(shard, &gid, (spec, spec_bytes.clone()), is_open, wait);
            match begins.await? {
                Begins::Taken(view) => return Ok(Taken { view: *view, is_known: false }),
                Begins::Exists => {
                    spec = decode_spec(&spec_bytes).map(Box::new).ok_or(Error::Stopping)?;
                }
            }
            // The engine has one of this name: it comes into the table, or has ended.
            match self.find(&gid).await? {
                Where::Here | Where::Nowhere => {}
                Where::Elsewhere(record) | Where::Ended(record) => {
                    return self.known(&gid, &spec, *record, is_open, wait).await;
                }
            }
        }
        Err(Error::Conflict(gid))
    }

    /// Begins a transaction here.
    async fn begin(
        &self,
        shard: &Arc<Shard>,
        gid: &Gid,
        (spec, spec_bytes): (Box<Spec>, Bytes),
        is_open: bool,
        wait: Option<Duration>,
    ) -> Result<Begins, Error> {
        let now = self.tools.now.ms();
        let (machine, step) = Machine::begin(plan::plan(&spec, now)?, is_open, now)?;
        if spec_bytes.len() > RECORD_LEN_MAX {
            return Err(Error::TooLarge { size: spec_bytes.len(), limit: RECORD_LEN_MAX });
        }
        if self.tools.unfinished.load(Ordering::Relaxed) >= UNFINISHED_MAX {
            return Err(Error::TooMany(UNFINISHED_MAX));
        }
        let told = shard.with(|table| {
            if table.is_closing() {
                return Err(Error::Stopping);
            }
            // Another may have come first since it was looked for.
            if table.has(gid) {
                return Ok(None);
            }
            let begun = Begun { gid: gid.clone(), machine, step, spec, spec_bytes };
            Ok(Some(table.begin(begun, wait.is_some())))
        })?;
        let Some(told) = told else { return Ok(Begins::Exists) };
        match self.stands(gid, told, wait).await? {
            Stands::As(view) => Ok(Begins::Taken(view)),
            Stands::Exists | Stands::Moved => Ok(Begins::Exists),
        }
    }

    /// One that is not here was asked for again.
    async fn known(
        &self,
        gid: &Gid,
        spec: &Spec,
        known: record::Record,
        must_be_open: bool,
        wait: Option<Duration>,
    ) -> Result<Taken, Error> {
        if !record::is_same(&known.spec, known.head.submitted, spec) {
            return Err(Error::Conflict(gid.clone()));
        }
        let phase = known.head.state.phase;
        if must_be_open && phase != logic::tx::Phase::Open {
            let why = Refused::NotOpen(phase);
            return Err(Error::Refused { gid: gid.clone(), why });
        }
        let view = match wait {
            Some(wait) if phase.outcome().is_none() => self.wait(gid, wait).await?,
            _ => known.view(gid.clone()),
        };
        Ok(Taken { view, is_known: true })
    }

    /// What who waits is told. Where it is waited for its end and that takes too long: how it stands, once that is kept.
    async fn stands(
        &self,
        gid: &Gid,
        mut told: oneshot::Receiver<Told>,
        wait: Option<Duration>,
    ) -> Result<Stands, Error> {
        let told = match wait {
            None => told.await,
            Some(wait) => match tokio::time::timeout(wait, &mut told).await {
                Ok(told) => told,
                Err(_) => match self.shard(gid).with(|table| table.steer(gid, &Steer::Look, false))
                {
                    Steered::Waits(told) => told.await,
                    _ => told.await,
                },
            },
        };
        match told {
            Ok(Told::Stands(view)) => Ok(Stands::As(view)),
            Ok(Told::Exists) => Ok(Stands::Exists),
            Ok(Told::Failed(error)) => Err(error.into()),
            Ok(Told::Moved | Told::Free) => Ok(Stands::Moved),
            // The table was abandoned.
            Err(_) => Err(Error::Stopping),
        }
    }

    /// As [`Self::stands`]; `None`: it is to be asked anew.
    async fn told(
        &self,
        gid: &Gid,
        told: oneshot::Receiver<Told>,
        wait: Option<Duration>,
    ) -> Result<Option<View>, Error> {
        match self.stands(gid, told, wait).await? {
            Stands::As(view) => Ok(Some(*view)),
            Stands::Exists | Stands::Moved => Ok(None),
        }
    }

    /// Does what is asked of a transaction, wherever it is.
    pub(super) async fn steer(
        &self,
        gid: &Gid,
        steer: &Steer,
        wait: Option<Duration>,
    ) -> Result<View, Error> {
        for _ in 0..TRIES {
            if self.shard(gid).table().is_closing() {
                return Err(Error::Stopping);
            }
            match self.find(gid).await? {
                Where::Here => {}
                Where::Nowhere => return Err(Error::Missing(gid.clone())),
                Where::Ended(record) => return ended(gid, steer, *record),
                Where::Elsewhere(record) => self.take_over(gid, &record),
            }
            match self.shard(gid).with(|table| table.steer(gid, steer, wait.is_some())) {
                Steered::Gone => {}
                Steered::Refused(error) => return Err(error),
                Steered::Busy(told) => drop(told.await),
                Steered::Waits(told) => {
                    if let Some(view) = self.told(gid, told, wait).await? {
                        return Ok(view);
                    }
                }
            }
        }
        Err(Error::Missing(gid.clone()))
    }

    /// Waits until a transaction has ended.
    pub(super) async fn wait(&self, gid: &Gid, wait: Duration) -> Result<View, Error> {
        let end = tokio::time::Instant::now() + wait;
        let mut pause = Duration::from_millis(50);
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            let steered = self.shard(gid).with(|table| table.steer(gid, &Steer::Look, true));
            if let Steered::Waits(told) = steered {
                match self.told(gid, told, Some(left)).await? {
                    Some(view) => return Ok(view),
                    None if left.is_zero() => return self.look(gid).await,
                    None => continue,
                }
            }
            let view = self.look(gid).await?;
            if view.state.phase.outcome().is_some() || left.is_zero() {
                return Ok(view);
            }
            tokio::time::sleep(pause.min(left)).await;
            pause = (pause * 2).min(LOOK_EVERY);
        }
    }

    /// How a transaction stands.
    pub(super) async fn look(&self, gid: &Gid) -> Result<View, Error> {
        for _ in 0..TRIES {
            if let Some(view) = self.shard(gid).table().look(gid) {
                return Ok(view);
            }
            match self.read(gid).await? {
                // It came here meanwhile.
                Where::Here => {}
                Where::Nowhere => return Err(Error::Missing(gid.clone())),
                Where::Ended(record) | Where::Elsewhere(record) => {
                    return Ok(record.view(gid.clone()));
                }
            }
        }
        Err(Error::Missing(gid.clone()))
    }

    pub(super) async fn decision(&self, gid: &Gid) -> Result<Decision, Error> {
        if let Some(decision) = self.shard(gid).table().decision(gid) {
            return Ok(decision);
        }
        if let Some(entry) = self.engine.get(&self.tools.keys.live(gid)).await? {
            // What cannot be read may have been decided either way.
            let known = record::decode(&entry.value);
            return Ok(known.map_or(Decision::Undecided, |record| {
                table::decision(&record.head.state, record.spec.mode)
            }));
        }
        let done = self.engine.get(&self.tools.keys.done(gid)).await?;
        match done.map(|entry| table::read_done(&entry.value)) {
            Some(Some((_, true))) => Ok(Decision::Commit),
            Some(None) => Ok(Decision::Undecided),
            // What nobody knows was never decided.
            Some(Some((_, false))) | None => Ok(Decision::Abort),
        }
    }
}

/// What came of beginning a transaction.
enum Begins {
    Taken(Box<View>),
    Exists,
}

/// How a transaction stands.
enum Stands {
    As(Box<View>),
    /// The engine had one of its name.
    Exists,
    /// It is not here any more.
    Moved,
}

/// What is asked for, whole.
fn spec(wanted: &Wanted, ask: Ask) -> Result<Spec, Error> {
    match ask {
        Ask::Spec(spec) => Ok(*spec),
        Ask::Use { name, input, labels, traceparent, caller } => {
            let Some(definition) = wanted.definitions.get(&name) else {
                return Err(Error::NoDefinition { hint: hint(wanted), name });
            };
            let mut all: BTreeMap<String, String> = definition.spec.labels.clone();
            all.extend(labels);
            Ok(Spec {
                name: Some(name),
                input,
                labels: all,
                traceparent,
                caller,
                ..definition.spec.clone()
            })
        }
    }
}

/// What may have been meant.
fn hint(wanted: &Wanted) -> String {
    /// More names than a line has room for help nobody.
    const NAMES: usize = 8;
    let names: Vec<String> =
        wanted.definitions.keys().take(NAMES).map(|name| format!("`{name}`")).collect();
    match (names.is_empty(), wanted.definitions.len() > NAMES) {
        (true, _) => "; the file defines none".to_owned(),
        (false, false) => format!("; there is {}", names.join(", ")),
        (false, true) => format!("; there is {} and others", names.join(", ")),
    }
}

/// What is asked of one that has ended: what changes nothing is no error.
fn ended(gid: &Gid, steer: &Steer, record: record::Record) -> Result<View, Error> {
    let event = match steer {
        Steer::Submit => Event::Submit,
        Steer::Abort(reason) => Event::Abort(reason.clone()),
        Steer::Retry => Event::Retry,
        Steer::Resolve(resolution, _) => Event::Resolve(resolution.clone()),
        Steer::Enlist(_) | Steer::PutOff(_) => {
            let why = Refused::NotOpen(record.head.state.phase);
            return Err(Error::Refused { gid: gid.clone(), why });
        }
        Steer::Known(..) | Steer::Look => return Ok(record.view(gid.clone())),
    };
    let state = record.head.state.clone().into_owned();
    let mut machine = Machine::resume(plan::plan(&record.spec, state.begun_ms)?, state);
    match machine.step(event, 0, 0) {
        Ok(_) => Ok(record.view(gid.clone())),
        Err(why) => Err(Error::Refused { gid: gid.clone(), why }),
    }
}
