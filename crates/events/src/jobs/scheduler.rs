//! Finds what is due and lets it run.

use super::{DUE, Jobs, Name, SCHEDULES, TRIES_MAX, WHAT, row::Row, times};
use crate::{Error, Missed, pause::Pause};
use base::Timestamp;
use logic::missed::Due;
use ports::kv::{Entry, Is, Transaction};
use runtime::Stop;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tracing::warn;

/// How often it is looked for what other nodes have written.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Most runs of one transaction, which has 128 operations.
const RUNS_AT_ONCE: usize = 64;

/// Most bytes of them; what is more waits for the next transaction.
const RUNS_SIZE: usize = 512 << 10;

impl Jobs {
    /// Lets run what is due, until `stop`.
    pub(crate) async fn keep(self, mut stop: Stop) {
        let mut pause = Pause::default();
        loop {
            let looking = async {
                match self.run_due().await {
                    Ok(wait) => {
                        pause.reset();
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = self.earlier.notified() => {}
                        }
                    }
                    Err(error) => {
                        warn!(error = %base::ErrorChain(&error), "what is due could not be run");
                        pause.wait().await;
                    }
                }
            };
            tokio::select! {
                () = looking => {}
                () = stop.wait() => return,
            }
        }
    }

    /// Lets run what is due. Answers how long there is nothing more to do.
    async fn run_due(&self) -> Result<Duration, Error> {
        let (mut range, mut has_run) = (self.rows.prefix(DUE), false);
        loop {
            let page = self.rows.first(WHAT, &range).await?;
            for entry in &page.entries {
                let Some((at, name)) = self.parse(entry) else { continue };
                let now = self.clock.date();
                if at > now {
                    // What has just run may be due again before.
                    let wait = Duration::from_micros(at.0 - now.0).min(LOOK_EVERY);
                    return Ok(if has_run { Duration::ZERO } else { wait });
                }
                has_run |= self.claim(entry, &name, at).await?;
            }
            match page.next {
                Some(next) => range.from = next,
                None if has_run => return Ok(Duration::ZERO),
                None => return Ok(LOOK_EVERY),
            }
        }
    }

    fn parse(&self, entry: &Entry) -> Option<(Timestamp, Name)> {
        let (at, name) = self.rows.name(&entry.key)?.strip_prefix(DUE)?.split_once('/')?;
        Some((Timestamp(u64::from_str_radix(at, 16).ok()?), Name::parse(name)?))
    }

    /// Claims what is due of one job. Answers whether there was anything to do.
    async fn claim(&self, entry: &Entry, name: &Name, at: Timestamp) -> Result<bool, Error> {
        let found = self.entry(name).await?;
        let row = found.as_ref().and_then(|found| Row::decode(&found.value));
        let Some((found, mut row)) = found.zip(row).filter(|(_, row)| row.next() == Some(at))
        else {
            // Its row says something else by now.
            let key = entry.key.clone();
            let delete = Transaction::delete(key.clone()).when(key, Is::ModifiedAt(entry.modified));
            return self.rows.commit(WHAT, delete).await;
        };
        let Some(due) = self.due(name, &row, at) else { return Ok(false) };
        if due.dropped {
            warn!(job = name.key(), "runs were left out that nobody was there for");
        }
        let (mut messages, mut size) = (Vec::new(), 0);
        let mut next = due.next;
        for run in due.runs {
            let Some(kept) = self.run(name, &row, run) else { return Ok(false) };
            size += kept.message.1.size();
            if !messages.is_empty() && (messages.len() == RUNS_AT_ONCE || size > RUNS_SIZE) {
                next = Some(run);
                break;
            }
            if kept.is_delivered {
                self.need();
            }
            row.ran(run, &kept);
            messages.push(kept.message);
        }
        row.set_next(next);
        let operations = self.outbox.rows(messages)?;
        let with = Transaction { operations, ..Transaction::default() };
        if self.put(name, Some(&found), &row, with).await? {
            self.outbox.wake();
        }
        Ok(true)
    }

    /// What is due of a job; `None`: the file does not have the schedule, or another release wrote the row.
    fn due(&self, name: &Name, row: &Row, at: Timestamp) -> Option<Due> {
        let now = self.clock.date();
        let (plan, policy) = match name {
            Name::Job { owner, name } => (row.plan(owner, name)?, Missed::Once),
            Name::Schedule(schedule) => {
                let wanted = Arc::clone(&self.wanted.borrow());
                let schedule = wanted.schedules.iter().find(|known| known.name == *schedule)?;
                (times::of_schedule(schedule, row.start()), schedule.missed)
            }
        };
        Some(times::due(&plan, policy, row.runs(), at, now))
    }

    /// Makes the rows of schedules what the file says.
    pub(crate) async fn keep_schedules(&self) -> Result<(), Error> {
        let wanted = Arc::clone(&self.wanted.borrow());
        for schedule in &wanted.schedules {
            let name = Name::Schedule(schedule.name.clone());
            for _ in 0..TRIES_MAX {
                let found = self.entry(&name).await?;
                let before = found.as_ref().and_then(|found| Row::decode(&found.value));
                let now = self.clock.date();
                let Some(row) = Row::of_schedule(schedule, before.as_ref(), now) else { break };
                if self.put(&name, found.as_ref(), &row, Transaction::default()).await? {
                    break;
                }
            }
        }
        let known: BTreeSet<&str> = wanted.schedules.iter().map(|it| it.name.as_str()).collect();
        let mut range = self.rows.prefix(SCHEDULES);
        loop {
            let page = self.rows.first(WHAT, &range).await?;
            for entry in &page.entries {
                match self.rows.name(&entry.key).and_then(Name::parse) {
                    Some(Name::Schedule(name)) if !known.contains(name.as_str()) => {
                        self.remove(&Name::Schedule(name)).await?;
                    }
                    _ => {}
                }
            }
            let Some(next) = page.next else { break };
            range.from = next;
        }
        self.earlier.notify_one();
        Ok(())
    }
}
