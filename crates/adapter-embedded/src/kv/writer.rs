//! The one who changes things.
//!
//! Takes whatever is queued, decides it, gives it to the log at once, and only then makes it visible and answers. While it
//! waits for the disk the next group gathers by itself.
//!
//! When the log fails it is *down*: nothing is acknowledged any more, reads go on, and it opens the log anew, with
//! pauses, as a start would.

mod upkeep;

use base::{ErrorChain, Moment};
use ports::kv::Error;
use std::{
    collections::VecDeque,
    fs, io,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::{
    command::{Answer, Command},
    group::Group,
    recovery::{Limits, reopen_log},
    shared::Shared,
};
use crate::{
    disk::Disk,
    gather::Gather,
    log::{Batch, Failed, Log},
};

/// Most commands of a group, and most bytes before no more are added: enough for one sync to serve everybody, and little
/// enough that nobody waits long for the writing.
const GROUP_COMMANDS: usize = 1_024;
const GROUP_BYTES: u64 = 1 << 20;

/// Most leases that are ended in one group, so that many ending at once do not hold up writers.
const EXPIRY_MAX: usize = 256;

/// Between attempts to open the log anew.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// After an attempt to end leases failed.
const EXPIRY_PAUSE: Duration = Duration::from_secs(1);

/// An overlay with something in it is written to the tree after this time, so that an engine that got quiet starts
/// quickly and gives its memory back.
pub(super) const CHECKPOINT_AGE: Duration = Duration::from_secs(60);

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
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) queue: mpsc::Receiver<Command>,
    pub(super) stop: Option<oneshot::Receiver<()>>,
    pub(super) checkpoints: Option<JoinHandle<()>>,
    /// Held until everything is written.
    pub(super) lock: Option<fs::File>,
    state: State,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Command>,
    batch: Batch,
    gather: Gather,
    down: Option<Down>,
    /// No lease is ended before this moment.
    expiry_at: u64,
    /// Since when the overlay has something in it.
    dirty_since: Option<u64>,
    /// Bytes of the log that the tree has not, and no checkpoint is about to bring there.
    log_bytes: u64,
}

impl Writer {
    #[expect(clippy::too_many_arguments, reason = "it is put together in one place")]
    pub(super) fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        limits: Limits,
        log: Log,
        queue: mpsc::Receiver<Command>,
        stop: oneshot::Receiver<()>,
        checkpoints: JoinHandle<()>,
        lock: Option<fs::File>,
    ) -> Self {
        let is_dirty = !shared.view().layers.active.read().is_empty();
        let state = State {
            waiting: VecDeque::new(),
            batch: Batch::new(),
            gather: Gather::default(),
            down: None,
            expiry_at: 0,
            dirty_since: is_dirty.then(|| shared.now()),
            log_bytes: 0,
        };
        let (stop, checkpoints) = (Some(stop), Some(checkpoints));
        Self { shared, disk, limits, log, queue, stop, checkpoints, lock, state }
    }

    /// Works until it is told to stop, or until nobody can ask for anything any more.
    pub(super) async fn run(mut self) {
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
        let sleep = async {
            match wake_at {
                Some(at) => {
                    let at = shared.clock.instant(Moment::from_start(Duration::from_millis(at)));
                    tokio::time::sleep_until(at).await;
                }
                None => std::future::pending().await,
            }
        };
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
            () = sleep => false,
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

    /// When there is something to do though nobody asks.
    fn wake_at(&self) -> Option<u64> {
        if let Some(down) = &self.state.down {
            return Some(down.retry_at);
        }
        let expiry = self.shared.leases().next_end().map(|end| end.max(self.state.expiry_at));
        let age = millis(self.limits.checkpoint_age);
        let is_free = self.shared.view().layers.frozen.is_none();
        let checkpoint = self.state.dirty_since.filter(|_| is_free).map(|since| since + age);
        [expiry, checkpoint].into_iter().flatten().min()
    }

    /// Opens the log anew if it failed and it is time. While it is down everything is refused.
    fn is_down(&mut self) -> bool {
        let now = self.shared.now();
        let Some(down) = &mut self.state.down else { return false };
        if now >= down.retry_at {
            match reopen_log(&self.shared, &self.disk, &self.limits, self.log.next()) {
                Ok(log) => {
                    info!(store = self.shared.place, "the log is open again");
                    self.log = log;
                    self.state.down = None;
                    self.state.dirty_since.get_or_insert(now);
                    return false;
                }
                Err(e) => {
                    warn!(store = self.shared.place, error = %ErrorChain(&e), "the log cannot be opened");
                    down.cause = Arc::new(io::Error::other(e));
                    down.pause = (down.pause * 2).min(PAUSE_MAX);
                    down.retry_at = now + millis(down.pause);
                }
            }
        }
        let cause = Arc::clone(&down.cause);
        for command in self.state.waiting.drain(..) {
            command.refuse(self.shared.unavailable(Arc::clone(&cause) as _));
        }
        true
    }

    /// Decides what waits, writes it, makes it visible, answers.
    fn write_group(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mark = shared.view().revision;
        let mut batch = std::mem::replace(&mut self.state.batch, Batch::new());
        let mut group = Group::new(&shared, &mut batch);
        let mut answers = Vec::new();
        self.end_leases(&mut group);
        self.compact(&mut group);
        let waiting = self.state.waiting.len() + self.queue.len();
        let open = self.state.gather.open(waiting);
        while answers.len() < GROUP_COMMANDS && group.bytes() < GROUP_BYTES {
            let next = self.state.waiting.pop_front().or_else(|| self.queue.try_recv().ok());
            let Some(command) = next else {
                if open.waits(answers.len()) {
                    continue;
                }
                break;
            };
            let before = group.records.len();
            let answer = command.decide(&mut group);
            answers.push((answer, group.records.len() > before));
        }
        let (records, ended) = (group.records, group.ended);
        let start = Instant::now();
        let written = if batch.is_empty() { Ok(()) } else { self.log.append(&mut batch, mark) };
        self.state.gather.close(&open, answers.len(), start.elapsed());
        let len = batch.len();
        self.state.batch = batch;
        match written {
            Ok(()) => {
                if !records.is_empty() {
                    self.state.log_bytes += len;
                    self.state.dirty_since.get_or_insert_with(|| shared.now());
                    shared.apply(records);
                }
                answers.into_iter().for_each(|(answer, _)| answer.send());
            }
            Err(failed) => {
                let mut leases = shared.leases();
                ended.into_iter().for_each(|lease| leases.set_ending(lease, false));
                drop(leases);
                self.fail(failed, answers);
            }
        }
    }

    fn fail(&mut self, failed: Failed, answers: Vec<(Answer, bool)>) {
        let now = self.shared.now();
        let (cause, is_known, is_down) = match failed {
            Failed::Full(cause) => (cause, true, false),
            Failed::Broken(cause) => (cause, true, true),
            Failed::Unknown(cause) => (cause, false, true),
        };
        error!(store = self.shared.place, error = %cause, "the log cannot be written");
        let cause = Arc::new(cause);
        for (answer, has_changed) in answers {
            let (place, cause) = (self.shared.place.clone(), Arc::clone(&cause) as _);
            answer.fail(if has_changed && !is_known {
                Error::Unknown { place, cause }
            } else {
                Error::Unavailable { place, cause }
            });
        }
        self.state.expiry_at = now + millis(EXPIRY_PAUSE);
        if is_down {
            let retry_at = now + millis(PAUSE_MIN);
            self.state.down = Some(Down { cause, retry_at, pause: PAUSE_MIN });
        }
    }

    /// Brings the tree up to date, so that the next start has nothing to do, and lets go of the folder.
    async fn end(mut self) {
        self.shared.is_closed.store(true, std::sync::atomic::Ordering::Release);
        self.shared.watchers.wake();
        loop {
            let is_free = self.shared.view().layers.frozen.is_none();
            if is_free {
                if self.state.dirty_since.is_some() && self.state.down.is_none() {
                    self.freeze();
                }
                break;
            }
            if self.shared.desk.progress().failed.is_some() {
                break;
            }
            self.shared.desk.done.notified().await;
        }
        self.shared.desk.stop();
        if let Some(thread) = self.checkpoints.take()
            && thread.join().is_err()
        {
            error!(store = self.shared.place, "the thread of checkpoints panicked");
        }
        drop(self.lock.take());
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
