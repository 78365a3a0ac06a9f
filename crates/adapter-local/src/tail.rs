//! Reads what runs print.
//!
//! ```text
//!   program ──append──► out/<run>.out ──read──► lines ──► sink
//!                          ▲    │ how far: run/<run>.out.pos, written after the sink took the lines
//!                          └────┘ read blocks are given back to the disk
//! ```
//!
//! Programs write to files and not to pipes: a pipe whose reader is slow stalls the program, and one whose
//! reader died kills it. One thread reads all files in turn, a bounded piece of each, so a program that
//! floods its output delays the others by one turn and grows nothing but its own file. Idle, the thread
//! waits for the kernel's word (inotify) and costs nothing.
//!
//! A program that prints faster than lines can be stored builds up a file. Nothing of it is dropped while the
//! disk has room; when it runs short, the oldest unread output goes, and that is said.
//!
//! What must hold: a line is written down as read only after the sink has it, so a killed node repeats at most
//! one turn and loses nothing.

mod lines;
mod source;
mod thread;

use ports::logs::Sink;
use rustix::event::{EventfdFlags, eventfd};
use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

pub(crate) use source::Opened;

/// How many orders may wait for the thread. Each run gives three in its life, so this is far from reached
/// unless the sink stalls; then callers wait here.
const ORDERS_MAX: usize = 1024;

/// What can be changed about reading; other than the defaults only in tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Read bytes after which blocks are given back.
    pub(crate) give_back_len: u64,
    /// Given-back bytes at the head of a file after which they are cut off, so that a file never nears the
    /// file system's largest size (16 TiB on ext4).
    pub(crate) collapse_len: u64,
    /// Unread bytes of a file that are kept in any case.
    pub(crate) backlog_len: u64,
    /// Whether the disk of this file is nearly full, so that unread output must go.
    pub(crate) is_disk_short: fn(&File) -> bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { give_back_len: 1 << 20, collapse_len: 1 << 30, backlog_len: 64 << 20, is_disk_short }
    }
}

/// What is left free on a disk is a twentieth, but no more than this many bytes.
const DISK_RESERVE_MAX: u64 = 1 << 30;

fn is_disk_short(file: &File) -> bool {
    rustix::fs::fstatvfs(file).is_ok_and(|disk| {
        let reserve = (disk.f_blocks.saturating_mul(disk.f_frsize) / 20).min(DISK_RESERVE_MAX);
        disk.f_bavail.saturating_mul(disk.f_frsize) < reserve
    })
}

#[derive(Debug)]
enum Order {
    /// Read these from now on.
    Follow(Vec<Opened>),
    /// Read what the run printed so far, then answer.
    Drain { run: Arc<str>, done: oneshot::Sender<()> },
    /// The same, then stop reading and remove these files.
    Close { run: Arc<str>, files: Vec<PathBuf>, done: oneshot::Sender<()> },
    /// Read what all runs printed so far, then end.
    End,
}

/// The reader's handle. The thread ends when it is dropped, without reading more.
#[derive(Debug)]
pub(crate) struct Tail {
    /// `None` once it was abandoned.
    orders: Mutex<Option<mpsc::Sender<Order>>>,
    wake: Arc<OwnedFd>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.abandon();
    }
}

impl Tail {
    /// Starts the thread that reads files in `folder`.
    pub(crate) fn start(
        folder: PathBuf,
        sink: Arc<dyn Sink>,
        options: Options,
    ) -> io::Result<Self> {
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let (orders, inbox) = mpsc::channel(ORDERS_MAX);
        let mut reader = thread::Reader::new(&folder, sink, options, inbox, Arc::clone(&wake));
        let thread = runtime::thread("flotilla-tail", move || reader.run())?;
        Ok(Self { orders: Mutex::new(Some(orders)), wake, thread: Mutex::new(Some(thread)) })
    }

    /// Reads these files from now on. For threads that may block.
    pub(crate) fn follow(&self, opened: Vec<Opened>) {
        let taken = self.orders().map(|orders| orders.blocking_send(Order::Follow(opened)));
        self.sent(matches!(taken, Some(Ok(()))));
    }

    /// Reads these files from now on.
    pub(crate) async fn follow_async(&self, opened: Vec<Opened>) {
        self.order(Order::Follow(opened)).await;
    }

    /// Waits until all that `run` has printed by now is in the sink, at most `within`.
    pub(crate) async fn drain(&self, run: &Arc<str>, within: Duration) -> bool {
        self.ask(within, |done| Order::Drain { run: Arc::clone(run), done }).await
    }

    /// Waits until all that `run` has printed is in the sink and `files` are gone, at most `within`.
    pub(crate) async fn close(
        &self,
        run: &Arc<str>,
        files: Vec<PathBuf>,
        within: Duration,
    ) -> bool {
        self.ask(within, |done| Order::Close { run: Arc::clone(run), files, done }).await
    }

    /// Takes all output printed by now into the sink and ends the thread, waiting at most `within`.
    pub(crate) async fn end(&self, within: Duration) -> bool {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return true };
        let ended = tokio::time::timeout(within, async {
            self.order(Order::End).await;
            runtime::blocking(move || thread.join().is_ok()).await
        });
        ended.await.unwrap_or(false)
    }

    async fn ask(
        &self,
        within: Duration,
        order: impl FnOnce(oneshot::Sender<()>) -> Order,
    ) -> bool {
        let (done, answer) = oneshot::channel();
        let asked = tokio::time::timeout(within, async {
            self.order(order(done)).await;
            answer.await.is_ok()
        });
        asked.await.unwrap_or(false)
    }

    /// Ends the thread without reading more, as the end of the process would.
    pub(crate) fn abandon(&self) {
        // First close the inbox, then wake: the other way round the thread could miss it and sleep on.
        drop(self.orders.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.sent(true);
    }

    fn orders(&self) -> Option<mpsc::Sender<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn order(&self, order: Order) {
        if let Some(orders) = self.orders() {
            self.sent(orders.send(order).await.is_ok());
        }
    }

    /// Wakes the thread after an order. An order it did not take is one to a thread that has ended.
    fn sent(&self, taken: bool) {
        if !taken {
            tracing::debug!("the output reader has ended");
        }
        if let Err(e) = rustix::io::write(&*self.wake, &1_u64.to_ne_bytes()) {
            // Only a counter at its limit refuses, and that wakes the thread as well.
            tracing::debug!(error = %e, "the output reader was woken already");
        }
    }
}

/// Opens an output file for reading and giving back, not for writing into it. One that somebody removed is
/// made again: its program's output is lost, but the run can be managed.
pub(crate) fn open_output(path: &std::path::Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests;
