//! The one who changes things.
//!
//! Takes whatever is queued, decides it, gives it to the journal at once, and only then makes it visible and answers.
//! While it waits for the disk, more gathers by itself.
//!
//! When the journal fails it is *down*: nothing is acknowledged any more, reads go on, and it opens the journal anew,
//! with pauses, as a start would.

mod upkeep;

use base::{ErrorChain, Moment};
use bytes::Bytes;
use ports::broker::Error;
use std::{
    collections::VecDeque,
    fs, io,
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::{
    command::{Answer, Command},
    plan::{Plan, Planned},
    recovery::replay,
    shared::{Shared, millis},
    topic::{Chunk, Topic},
};
use crate::{
    disk::Disk,
    gather::Gather,
    log::{Batch, Failed, Log},
};

/// Most commands that are written at once, and most bytes before no more are added: enough for one sync to serve
/// everybody, and little enough that nobody waits long for the writing.
const GROUP_COMMANDS: usize = 4_096;
const GROUP_BYTES: u64 = 4 << 20;

/// Between attempts to open the journal anew.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why nothing can be written, and when that is looked at again.
#[derive(Debug)]
struct Down {
    cause: Arc<io::Error>,
    retry_at: u64,
    pause: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) journal: Log,
    pub(super) queue: mpsc::Receiver<Command>,
    pub(super) stop: Option<oneshot::Receiver<()>>,
    pub(super) keeper: Option<JoinHandle<()>>,
    /// Held until everything is written.
    pub(super) lock: Option<fs::File>,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) struct State {
    waiting: VecDeque<Command>,
    batch: Batch,
    gather: Gather,
    down: Option<Down>,
    /// Topics that keep more bytes than they have to.
    over: Vec<Arc<Topic>>,
    /// When it is looked at what may go.
    upkeep_at: u64,
    /// Since when the journal has something that no checkpoint has, nor is about to.
    dirty_since: Option<u64>,
    /// How many bytes that are.
    journal_bytes: u64,
}

impl State {
    pub(super) fn new(shared: &Shared, journal_bytes: u64) -> Self {
        let now = shared.now();
        Self {
            waiting: VecDeque::new(),
            batch: Batch::new(),
            gather: Gather::default(),
            down: None,
            over: Vec::new(),
            upkeep_at: now,
            dirty_since: (journal_bytes > 0).then_some(now),
            journal_bytes,
        }
    }
}

impl Writer {
    /// Works until it is told to stop, or until nobody can ask for anything any more.
    pub(super) async fn run(mut self) {
        self.flush_all();
        while self.wait().await {
            if self.is_down() {
                continue;
            }
            self.trim();
            if self.make_room().await {
                self.write_group();
            }
        }
        self.end().await;
    }

    /// Waits until there is something to do; `false`: nothing ever again.
    async fn wait(&mut self) -> bool {
        if !self.state.waiting.is_empty() {
            return true;
        }
        let wake_at = self.wake_at();
        let mut taken = Vec::with_capacity(GROUP_COMMANDS);
        let shared = Arc::clone(&self.shared);
        let at = shared.clock.instant(Moment::from_start(Duration::from_millis(wake_at)));
        let stop = async {
            match &mut self.stop {
                // An owner that is gone stops it too.
                Some(stop) => drop(stop.await),
                None => std::future::pending().await,
            }
        };
        let is_stop = tokio::select! {
            count = self.queue.recv_many(&mut taken, GROUP_COMMANDS) => {
                if count == 0 {
                    return false;
                }
                false
            }
            () = tokio::time::sleep_until(at) => false,
            () = self.shared.desk.done.notified() => false,
            () = stop => true,
        };
        if is_stop {
            // What is queued is still done.
            self.stop = None;
            self.queue.close();
        }
        self.state.waiting.extend(taken);
        true
    }

    /// Opens the journal anew if it failed and it is time. While it is down everything is refused.
    fn is_down(&mut self) -> bool {
        let now = self.shared.now();
        let Some(down) = &mut self.state.down else { return false };
        if now >= down.retry_at {
            match reopen(&self.shared, &self.disk, self.journal.next()) {
                Ok(journal) => {
                    info!(store = self.shared.place, "the journal is open again");
                    self.journal = journal;
                    self.state.down = None;
                    self.state.dirty_since.get_or_insert(now);
                    return false;
                }
                Err(e) => {
                    warn!(store = self.shared.place, error = %ErrorChain(&e), "the journal cannot be opened");
                    down.cause = Arc::new(io::Error::other(e));
                    down.pause = (down.pause * 2).min(PAUSE_MAX);
                    down.retry_at = now + millis(down.pause);
                }
            }
        }
        let cause = Arc::clone(&down.cause);
        self.refuse(cause);
        true
    }

    fn refuse(&mut self, cause: Arc<dyn std::error::Error + Send + Sync>) {
        for command in self.state.waiting.drain(..) {
            command.refuse(self.shared.unavailable(Arc::clone(&cause)));
        }
    }

    /// Decides what waits, writes it, makes it visible, answers.
    fn write_group(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut batch = std::mem::replace(&mut self.state.batch, Batch::new());
        let mut plan = Plan::new(&shared, &mut batch);
        let mut answers = Vec::new();
        self.keep_up(&mut plan);
        let open = self.state.gather.open(self.state.waiting.len() + self.queue.len());
        while answers.len() < GROUP_COMMANDS && plan.bytes() < GROUP_BYTES && !plan.is_closed() {
            let next = self.state.waiting.pop_front().or_else(|| self.queue.try_recv().ok());
            let Some(command) = next else {
                if open.waits(answers.len()) {
                    continue;
                }
                break;
            };
            let before = plan.entries();
            let answer = command.decide(&mut plan);
            answers.push((answer, plan.entries() > before));
        }
        let planned = plan.end();
        let start = Instant::now();
        let mark = self.journal.next();
        let written = if batch.is_empty() { Ok(()) } else { self.journal.append(&mut batch, mark) };
        self.state.gather.close(&open, answers.len(), start.elapsed());
        match written {
            Ok(()) => {
                if !batch.is_empty() {
                    self.state.journal_bytes += batch.len();
                    self.state.dirty_since.get_or_insert_with(|| shared.now());
                }
                self.apply(planned);
                answers.into_iter().for_each(|(answer, _)| answer.send());
            }
            Err(failed) => {
                planned.settling.iter().for_each(|group| group.state().is_behind = true);
                self.fail(failed, answers);
            }
        }
        self.state.batch = batch;
    }

    /// Makes visible what is durable.
    fn apply(&mut self, planned: Planned) {
        for (_, mut coming) in planned.coming {
            coming.remember();
            if let Some(chunk) = Chunk::new(Bytes::from(std::mem::take(&mut coming.bytes))) {
                self.shared.push(&coming.topic, chunk);
                self.look_after(&coming.topic);
            }
        }
        if self.shared.unwritten.load(Ordering::Relaxed) > self.shared.limits.unwritten_bytes {
            self.flush_all();
        }
        planned.settling.iter().for_each(|group| group.state().is_behind = false);
        planned.records.into_iter().for_each(|record| self.shared.apply(record));
    }

    fn fail(&mut self, failed: Failed, answers: Vec<(Answer, bool)>) {
        let now = self.shared.now();
        let (cause, is_known, is_down) = match failed {
            Failed::Full(cause) => (cause, true, false),
            Failed::Broken(cause) => (cause, true, true),
            Failed::Unknown(cause) => (cause, false, true),
        };
        error!(store = self.shared.place, error = %cause, "the journal cannot be written");
        let cause = Arc::new(cause);
        for (answer, has_changed) in answers {
            let (place, cause) = (self.shared.place.clone(), Arc::clone(&cause) as _);
            answer.fail(if has_changed && !is_known {
                Error::Unknown { place, cause }
            } else {
                Error::Unavailable { place, cause }
            });
        }
        if is_down {
            let retry_at = now + millis(PAUSE_MIN);
            self.state.down = Some(Down { cause, retry_at, pause: PAUSE_MIN });
        }
    }

    /// Makes a checkpoint, so that the next start has nothing to do, and lets go of the folder.
    async fn end(mut self) {
        self.shared.close();
        while self.shared.desk.is_busy() && self.shared.desk.progress().failed.is_none() {
            self.shared.desk.done.notified().await;
        }
        if self.state.dirty_since.is_some() && self.state.down.is_none() {
            self.checkpoint();
        }
        self.shared.desk.stop();
        if let Some(thread) = self.keeper.take()
            && thread.join().is_err()
        {
            error!(store = self.shared.place, "the thread that keeps files panicked");
        }
        self.trim();
        drop(self.lock.take());
    }
}

/// Opens the journal anew after an error, and makes visible what turns out to be in it. All before entry `next` was
/// acknowledged and must be there.
fn reopen(shared: &Shared, disk: &Arc<dyn Disk>, next: u64) -> Result<Log, super::Error> {
    let mut found = Vec::new();
    let bytes = shared.limits.journal_segment_bytes;
    let journal = Log::open(disk, bytes, next, |frame| -> Result<(), super::Error> {
        found.push(frame.clone());
        Ok(())
    })?;
    // Not before: until the journal is open it is not sure that they are durable.
    for frame in found {
        replay(shared, &**disk, &frame, next, false)?;
    }
    Ok(journal)
}
