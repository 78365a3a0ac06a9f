//! The one who appends.
//!
//! Takes whatever is queued, decides it, gives it to the log at once, and only then makes it visible and answers. While it
//! waits for the disk the next group gathers by itself.
//!
//! When the log fails it is *down*: nothing is acknowledged any more, reads go on, and it opens the log anew, with
//! pauses, as a start would.

use base::{ErrorChain, Moment};
use ports::streams::Error;
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
    checkpoint::Job,
    command::Command,
    group::{Answer, Group},
    index,
    overlay::Overlay,
    recovery::{Limits, reopen_log},
    shared::Shared,
};
use crate::{
    disk::Disk,
    gather::Gather,
    log::{Batch, Failed, Log},
};

/// Most appends of a group, and most bytes before no more are added: enough for one sync to serve everybody, and little
/// enough that nobody waits long for the writing.
const GROUP_COMMANDS: usize = 1_024;
const GROUP_BYTES: u64 = 1 << 20;

/// Between attempts to open the log anew.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Why nothing can be written, and when that is looked at again.
#[derive(Debug)]
struct Down {
    cause: Arc<io::Error>,
    retry_at: u64,
    pause: Duration,
}

/// What the writer works with.
#[derive(Debug)]
pub(super) struct Tools {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) limits: Limits,
    pub(super) log: Log,
    pub(super) queue: mpsc::Receiver<Command>,
    pub(super) stop: oneshot::Receiver<()>,
    pub(super) checkpoints: JoinHandle<()>,
    /// Held until everything is written.
    pub(super) lock: Option<fs::File>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    limits: Limits,
    log: Log,
    queue: mpsc::Receiver<Command>,
    stop: Option<oneshot::Receiver<()>>,
    checkpoints: Option<JoinHandle<()>>,
    lock: Option<fs::File>,
    waiting: VecDeque<Command>,
    batch: Batch,
    gather: Gather,
    down: Option<Down>,
    /// Since when the active overlay has something.
    dirty_since: Option<u64>,
}

impl Writer {
    pub(super) fn new(tools: Tools) -> Self {
        let Tools { shared, disk, limits, log, queue, stop, checkpoints, lock } = tools;
        let is_dirty = shared.view().active.read().first != 0;
        let dirty_since = is_dirty.then(|| shared.now());
        Self {
            shared,
            disk,
            limits,
            log,
            queue,
            stop: Some(stop),
            checkpoints: Some(checkpoints),
            lock,
            waiting: VecDeque::new(),
            batch: Batch::new(),
            gather: Gather::default(),
            down: None,
            dirty_since,
        }
    }

    /// Works until it is told to stop, or until nobody can ask for anything any more.
    pub(super) async fn run(mut self) {
        while self.wait().await {
            if self.is_down() {
                continue;
            }
            if self.make_room().await {
                self.write_group();
            }
        }
        self.end().await;
    }

    /// Waits until there is something to do; `false`: nothing ever again.
    async fn wait(&mut self) -> bool {
        if !self.waiting.is_empty() {
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
        self.waiting.extend(taken);
        true
    }

    /// When there is something to do though nobody asks.
    fn wake_at(&self) -> Option<u64> {
        if let Some(down) = &self.down {
            return Some(down.retry_at);
        }
        let is_free = self.shared.view().frozen.is_none();
        let age = millis(self.limits.checkpoint_age);
        self.dirty_since.filter(|_| is_free).map(|since| since + age)
    }

    /// Opens the log anew if it failed and it is time. While it is down everything is refused.
    fn is_down(&mut self) -> bool {
        let now = self.shared.now();
        let Some(down) = &mut self.down else { return false };
        if now >= down.retry_at {
            match reopen_log(&self.shared, &self.disk, &self.limits, self.log.next()) {
                Ok(log) => {
                    info!(store = self.shared.place, "the log of events is open again");
                    self.log = log;
                    self.down = None;
                    self.dirty_since.get_or_insert(now);
                    return false;
                }
                Err(e) => {
                    let error = ErrorChain(&e);
                    warn!(store = self.shared.place, %error, "the log of events cannot be opened");
                    down.cause = Arc::new(io::Error::other(e));
                    down.pause = (down.pause * 2).min(PAUSE_MAX);
                    down.retry_at = now + millis(down.pause);
                }
            }
        }
        let cause = Arc::clone(&down.cause);
        self.refuse(&cause);
        true
    }

    fn refuse(&mut self, cause: &Arc<io::Error>) {
        for command in self.waiting.drain(..) {
            command.reply.send(Err(self.shared.unavailable(Arc::clone(cause) as _)));
        }
    }

    /// Has the overlay written to the index when it is large or old. `false`: it is too large, and the index does not
    /// follow, so what waits was refused.
    async fn make_room(&mut self) -> bool {
        loop {
            let (is_free, bytes) = {
                let view = self.shared.view();
                (view.frozen.is_none(), view.active.bytes())
            };
            if is_free {
                let now = self.shared.now();
                let age = self.dirty_since.map_or(0, |since| now.saturating_sub(since));
                let is_due =
                    bytes >= self.limits.overlay_bytes || age >= millis(self.limits.checkpoint_age);
                if is_due && self.dirty_since.is_some() {
                    self.freeze();
                }
                return true;
            }
            if bytes < self.limits.overlay_bytes_max {
                return true;
            }
            if let Some(trouble) = self.shared.desk.failed() {
                self.refuse(&Arc::new(io::Error::other(trouble)));
                return false;
            }
            self.shared.desk.done.notified().await;
        }
    }

    /// Leaves the overlay to the checkpoint and begins another one.
    fn freeze(&mut self) {
        let job = {
            let mut view = self.shared.view_mut();
            let rows = std::mem::replace(&mut view.active, Arc::new(Overlay::default()));
            view.frozen = Some(Arc::clone(&rows));
            Job { rows, numbers: view.numbers }
        };
        self.dirty_since = None;
        self.shared.desk.put(job);
    }

    /// Decides what waits, writes it, makes it visible, answers.
    fn write_group(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut batch = std::mem::replace(&mut self.batch, Batch::new());
        let mut group = Group::new(&shared, &mut batch);
        let mut answers = Vec::new();
        let open = self.gather.open(self.waiting.len() + self.queue.len());
        while answers.len() < GROUP_COMMANDS && group.bytes() < GROUP_BYTES {
            let next = self.waiting.pop_front().or_else(|| self.queue.try_recv().ok());
            let Some(command) = next else {
                if open.waits(answers.len()) {
                    continue;
                }
                break;
            };
            answers.push(group.decide(command));
        }
        let rows = group.rows();
        let first = self.log.next();
        let start = Instant::now();
        let written = if batch.is_empty() { Ok(()) } else { self.log.append(&mut batch, first) };
        self.gather.close(&open, answers.len(), start.elapsed());
        match written {
            Ok(()) => {
                if !batch.is_empty() {
                    let end = self.log.segments().of(first).map_or(0, |segment| segment.end);
                    let shift = u32::try_from(end - batch.len()).expect("a segment is bounded");
                    shared.apply(rows, batch.count().into(), shift);
                    self.dirty_since.get_or_insert_with(|| shared.now());
                }
                answers.into_iter().for_each(|answer| answer.reply.send(answer.result));
            }
            Err(failed) => self.fail(failed, answers),
        }
        batch.clear();
        self.batch = batch;
    }

    fn fail(&mut self, failed: Failed, answers: Vec<Answer>) {
        let (cause, is_known, is_down) = match failed {
            Failed::Full(cause) => (cause, true, false),
            Failed::Broken(cause) => (cause, true, true),
            Failed::Unknown(cause) => (cause, false, true),
        };
        error!(store = self.shared.place, error = %cause, "the log of events cannot be written");
        let cause = Arc::new(cause);
        for Answer { reply, result } in answers {
            let (place, cause) = (self.shared.place.clone(), Arc::clone(&cause) as _);
            // Those that were refused too: on account of events that may never have been, perhaps.
            reply.send(Err(if result.is_ok() && !is_known {
                Error::Unknown { place, cause }
            } else {
                Error::Unavailable { place, cause }
            }));
        }
        if is_down {
            let retry_at = self.shared.now() + millis(PAUSE_MIN);
            self.down = Some(Down { cause, retry_at, pause: PAUSE_MIN });
        }
    }

    /// Brings the index up to date, so that the next start has nothing to do, and lets go of the folder.
    async fn end(mut self) {
        self.shared.close();
        loop {
            let is_free = self.shared.view().frozen.is_none();
            if is_free {
                if self.dirty_since.is_some() && self.down.is_none() {
                    self.freeze();
                }
                break;
            }
            if self.shared.desk.failed().is_some() {
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
        if self.shared.is_index_damaged.load(Ordering::Acquire) {
            match index::remove(&*self.disk) {
                Ok(()) => info!(store = self.shared.place, "removed the damaged index of events"),
                Err(error) => {
                    let store = &self.shared.place;
                    warn!(store, %error, "the damaged index of events cannot be removed");
                }
            }
        }
        drop(self.lock.take());
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
