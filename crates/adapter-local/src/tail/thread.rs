//! The thread that reads all output files.

use super::{Options, Order, source::CHUNK_LEN, source::Source};
use crate::members::timespec;
use ports::logs::Sink;
use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::inotify,
    io::Errno,
};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    mem::MaybeUninit,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

/// After a round of reading, the thread waits this long for more to gather: a program that prints line by
/// line would otherwise wake it for each. An order ends the wait.
const GATHER: Duration = Duration::from_millis(10);

/// How often files are looked at when the kernel has no watch left to give (`fs.inotify.max_user_instances`).
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How many notices are taken between two rounds.
const NOTICES_MAX: usize = 4096;

/// Somebody waits until some files were read so far.
struct Waiting {
    targets: Vec<(OsString, u64)>,
    then: Then,
}

enum Then {
    Answer(oneshot::Sender<()>),
    Close(Vec<PathBuf>, oneshot::Sender<()>),
    End,
}

pub(super) struct Reader {
    notices: Option<OwnedFd>,
    wake: Arc<OwnedFd>,
    inbox: mpsc::Receiver<Order>,
    sink: Arc<dyn Sink>,
    options: Options,
    /// By file name.
    sources: BTreeMap<OsString, Source>,
    waiting: Vec<Waiting>,
    buffer: Vec<u8>,
}

impl Reader {
    pub(super) fn new(
        folder: &Path,
        sink: Arc<dyn Sink>,
        options: Options,
        inbox: mpsc::Receiver<Order>,
        wake: Arc<OwnedFd>,
    ) -> Self {
        let notices = watch(folder)
            .inspect_err(
                |e| warn!(error = %e, "no notices about new output, looking for it regularly"),
            )
            .ok();
        let buffer = vec![0; CHUNK_LEN];
        Self {
            notices,
            wake,
            inbox,
            sink,
            options,
            sources: BTreeMap::new(),
            waiting: Vec::new(),
            buffer,
        }
    }

    /// Reads until told to end, or until nobody is left who could tell.
    pub(super) fn run(&mut self) {
        loop {
            self.wait();
            if !self.take_orders() {
                return;
            }
            self.take_notices();
            let has_read = self.round();
            if self.answer() {
                return;
            }
            let is_behind = self.sources.values().any(|source| source.is_hungry);
            if has_read && !is_behind && self.waiting.is_empty() {
                let mut fds = [PollFd::new(&*self.wake, PollFlags::IN)];
                ready(poll(&mut fds, Some(&timespec(GATHER))));
            }
        }
    }

    fn wait(&self) {
        let is_busy =
            !self.waiting.is_empty() || self.sources.values().any(|source| source.is_hungry);
        let due = self.sources.values().filter_map(Source::due).min();
        let mut limit = due.map(|due| due.saturating_duration_since(Instant::now()));
        if is_busy {
            limit = Some(Duration::ZERO);
        } else if self.notices.is_none() && !self.sources.is_empty() {
            limit = Some(limit.unwrap_or(LOOK_INTERVAL).min(LOOK_INTERVAL));
        }
        let mut fds = vec![PollFd::new(&*self.wake, PollFlags::IN)];
        fds.extend(self.notices.as_ref().map(|fd| PollFd::new(fd, PollFlags::IN)));
        ready(poll(&mut fds, limit.map(timespec).as_ref()));
    }

    /// `false` when nobody is left to give orders.
    fn take_orders(&mut self) -> bool {
        let mut count = [0; 8];
        match rustix::io::read(&*self.wake, &mut count) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {}
            Err(e) => warn!(error = %e, "the output reader cannot be woken"),
        }
        loop {
            match self.inbox.try_recv() {
                Ok(Order::Follow(opened)) => {
                    for one in opened {
                        self.sources.entry(one.name.clone()).or_insert_with(|| Source::new(one));
                    }
                }
                Ok(Order::Drain { run, done }) => self.promise(Some(&*run), Then::Answer(done)),
                Ok(Order::Close { run, files, done }) => {
                    self.promise(Some(&*run), Then::Close(files, done));
                }
                Ok(Order::End) => self.promise(None, Then::End),
                Err(mpsc::error::TryRecvError::Empty) => return true,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
    }

    /// Notes what must be read before `then` may happen: all that is there now, of one run or of all.
    fn promise(&mut self, run: Option<&str>, then: Then) {
        let concerned = self
            .sources
            .iter_mut()
            .filter(|(_, source)| run.is_none_or(|run| *source.opened.run == *run));
        let targets = concerned
            .map(|(name, source)| {
                source.is_hungry = true;
                (name.clone(), source.target())
            })
            .collect();
        self.waiting.push(Waiting { targets, then });
    }

    fn take_notices(&mut self) {
        let Some(notices) = &self.notices else {
            self.sources.values_mut().for_each(|source| source.is_hungry = true);
            return;
        };
        let mut space = [const { MaybeUninit::uninit() }; 16 * 1024];
        let mut reader = inotify::Reader::new(notices, &mut space);
        for _ in 0..NOTICES_MAX {
            match reader.next() {
                Ok(event) if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) => {
                    self.sources.values_mut().for_each(|source| source.is_hungry = true);
                }
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    if let Some(source) = name.and_then(|name| self.sources.get_mut(name)) {
                        source.is_hungry = true;
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// One turn for every file that may have something. Returns whether anything was read.
    fn round(&mut self) -> bool {
        let mut has_read = false;
        let now = Instant::now();
        for source in self.sources.values_mut() {
            if source.is_hungry {
                has_read |= source.turn(&mut self.buffer, &*self.sink, self.options);
            }
            if source.due().is_some_and(|due| due <= now) {
                source.flush(true, &*self.sink);
            }
        }
        has_read
    }

    /// Answers those whose files were read far enough. Returns whether to end.
    fn answer(&mut self) -> bool {
        let mut is_end = false;
        let (met, open) =
            std::mem::take(&mut self.waiting).into_iter().partition(|waiting: &Waiting| {
                waiting.targets.iter().all(|(name, target)| {
                    self.sources
                        .get(name)
                        .is_none_or(|source| !source.is_hungry || source.read_total >= *target)
                })
            });
        self.waiting = open;
        for Waiting { targets, then } in met {
            // At the end of the node the unfinished lines stay for the next one.
            if !matches!(then, Then::End) {
                for (name, _) in &targets {
                    if let Some(source) = self.sources.get_mut(name) {
                        source.flush(false, &*self.sink);
                    }
                }
            }
            match then {
                Then::Answer(done) => answered(done),
                Then::Close(files, done) => {
                    for (name, _) in &targets {
                        self.sources.remove(name);
                    }
                    files.iter().for_each(|file| remove(file));
                    answered(done);
                }
                Then::End => is_end = true,
            }
        }
        is_end
    }
}

fn watch(folder: &Path) -> io::Result<OwnedFd> {
    let notices = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&notices, folder, inotify::WatchFlags::MODIFY)?;
    Ok(notices)
}

/// Being interrupted or late is as good as being woken: everything is looked at again anyway.
fn ready(result: rustix::io::Result<usize>) {
    match result {
        Ok(_) | Err(Errno::INTR) => {}
        Err(e) => warn!(error = %e, "waiting for output failed"),
    }
}

/// Who asked may have stopped waiting.
fn answered(done: oneshot::Sender<()>) {
    if done.send(()).is_err() {
        tracing::debug!("nobody waits for this output any more");
    }
}

fn remove(file: &Path) {
    match fs::remove_file(file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            warn!(file = %file.display(), error = %e, "an output file cannot be removed");
        }
        _ => {}
    }
}
