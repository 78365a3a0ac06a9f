//! Does what one part of the table asks for: one task for thousands of calls and writes.

use crate::{
    Joined, Participants,
    engine::Engine,
    table::{Call, Called, Done, Job, Table, Tools, commit},
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use logic::tx::Answer;
use runtime::Stop;
use serde_json::Value;
use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};
use tokio::sync::Notify;

/// How much longer than its timeout a call may take until it is taken for hung.
const GUARD: Duration = Duration::from_secs(5);

/// How much is taken in before the table's own work is done: enough to write and call in one go, little enough for nobody to wait.
const BATCH: usize = 256;

/// A part of the table and the bell of the task that works for it.
#[derive(Debug)]
pub(crate) struct Shard {
    table: Mutex<Table>,
    bell: Notify,
}

/// What the work is done with.
#[derive(Clone, Debug)]
pub(crate) struct Means {
    pub(crate) engine: Engine,
    pub(crate) participants: Arc<dyn Participants>,
    pub(crate) joined: Arc<dyn Joined>,
    pub(crate) tools: Arc<Tools>,
}

impl Shard {
    pub(crate) fn new(table: Table) -> Self {
        Self { table: Mutex::new(table), bell: Notify::new() }
    }

    /// The table. What is asked of it is begun when [`Self::ring`] is called.
    pub(crate) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is something to do.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Does something with the table, and rings.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        let done = act(&mut self.table());
        self.ring();
        done
    }
}

/// Whoever waits must not wait for a task that has ended.
struct Abandons<'a>(&'a Shard);

impl Drop for Abandons<'_> {
    fn drop(&mut self) {
        self.0.table().abandon();
    }
}

type Work = FuturesUnordered<BoxFuture<'static, Done>>;

/// Works for a part of the table until it shall end; then until nothing is under way and all is kept.
pub(crate) async fn drive(shard: Arc<Shard>, means: Means, mut stop: Stop) {
    let abandons = Abandons(&shard);
    let mut work = Work::new();
    let mut jobs = Vec::new();
    let mut is_stopping = false;
    loop {
        let next = {
            let mut table = shard.table();
            table.take_jobs(&mut jobs);
            if is_stopping && jobs.is_empty() && table.is_parked() {
                break;
            }
            table.next_tick()
        };
        for job in jobs.drain(..) {
            work.push(begin(&means, job));
        }
        let late = async {
            match next {
                Some(at) => tokio::time::sleep_until(means.tools.now.instant(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.wait(), if !is_stopping => {
                is_stopping = true;
                shard.table().close();
            }
            ends = ends(&mut work) => shard.table().take_in(ends),
            () = shard.bell.notified() => {}
            () = late => shard.table().tick(),
        }
    }
    drop(abandons);
}

/// What has ended, some at a time. Cancel safe.
async fn ends(work: &mut Work) -> Vec<Done> {
    poll_fn(|context| {
        let mut ends = Vec::new();
        while ends.len() < BATCH {
            match work.poll_next_unpin(context) {
                Poll::Ready(Some(end)) => ends.push(end),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        if ends.is_empty() { Poll::Pending } else { Poll::Ready(ends) }
    })
    .await
}

impl Table {
    fn take_in(&mut self, ends: Vec<Done>) {
        for end in ends {
            match end {
                Done::Written { id, result } => self.written(id, result),
                Done::Called(called) => self.called(called),
                Done::Decided { id, end } => self.decided(id, end),
                Done::Ready { service, was_away: true } => self.ready(&service),
                Done::Ready { service, was_away: false } => self.not_told(&service),
            }
        }
        self.settle();
    }
}

fn begin(means: &Means, job: Job) -> BoxFuture<'static, Done> {
    match job {
        Job::Write { id, transaction } => {
            let engine = means.engine.clone();
            async move { Done::Written { id, result: engine.commit(transaction).await } }.boxed()
        }
        Job::Call { call, request } => {
            let participants = Arc::clone(&means.participants);
            async move { call_one(&*participants, call, *request).await }.boxed()
        }
        Job::Decide { id, own, asks } => {
            let (engine, joined) = (means.engine.clone(), Arc::clone(&means.joined));
            async move { Done::Decided { id, end: commit(&engine, &*joined, own, asks).await } }
                .boxed()
        }
        Job::Ready { service } => {
            let participants = Arc::clone(&means.participants);
            async move {
                let was_away = participants.ready(&service).now_or_never().is_none();
                if was_away {
                    participants.ready(&service).await;
                }
                Done::Ready { service, was_away }
            }
            .boxed()
        }
    }
}

async fn call_one(
    participants: &dyn Participants,
    call: Call,
    request: crate::CallRequest,
) -> Done {
    let patience = request.timeout.saturating_add(GUARD);
    let called = tokio::time::timeout(patience, participants.call(request)).await;
    let called = called.unwrap_or_else(|_| crate::Called {
        answer: Answer::Failed(format!("no answer within {patience:?}")),
        status: None,
        body: Value::Null,
    });
    Done::Called(Called { call, called })
}
