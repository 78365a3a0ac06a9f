//! The engine's life.

use runtime::Clock;
use std::{
    fs::{self, TryLockError},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    Error, Handle,
    handle::{QUEUE_MAX, ROOM},
    keeper::Keeper,
    limits::Limits,
    recovery,
    writer::{State, Writer},
};
use crate::disk::{Disk, Folder};

/// The file that is locked while the store is open.
const LOCK: &str = "lock";

/// Where the store is.
#[derive(Clone, Debug)]
pub struct Config {
    /// A folder for the store alone. It is created if it is not there.
    pub folder: PathBuf,
}

/// The engine. Dropping it ends it too, but does not wait for that.
#[derive(Debug)]
pub struct Service {
    /// Dropped or sent, it stops the writer.
    stop: oneshot::Sender<()>,
    writer: JoinHandle<()>,
}

impl Service {
    /// Opens the store, or makes an empty one. Blocks: below a second, however many messages there are.
    ///
    /// # Errors
    /// [`Error`] says what can be done.
    pub fn open(config: &Config) -> Result<(Self, Handle), Error> {
        let folder = &config.folder;
        let failed = |cause| Error::Io { file: folder.clone(), cause };
        let disk: Arc<dyn Disk> = Arc::new(Folder::open(folder).map_err(failed)?);
        let lock = lock(config)?;
        let (place, limits) = (folder.display().to_string(), Limits::default());
        Self::open_on(&disk, place, limits, Clock::start(), Some(lock))
    }

    /// Opens the store of a folder that nobody else uses.
    pub(super) fn open_on(
        disk: &Arc<dyn Disk>,
        place: String,
        limits: Limits,
        clock: Clock,
        lock: Option<fs::File>,
    ) -> Result<(Self, Handle), Error> {
        let opened = recovery::open(disk, place.clone(), limits, clock)?;
        let recovery::Opened { shared, journal, journal_bytes } = opened;
        let failed = |cause| Error::Io { file: place.clone().into(), cause };
        let keeper = Keeper::new(Arc::clone(&shared));
        let keeper = runtime::thread("broker-keeper", move || keeper.run()).map_err(failed)?;
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let (stop, stopped) = oneshot::channel();
        let (of_writer, disk) = (Arc::clone(&shared), Arc::clone(disk));
        let writer = runtime::worker("broker-writer", move |_| {
            let state = State::new(&of_writer, journal_bytes);
            let (stop, keeper) = (Some(stopped), Some(keeper));
            Writer { shared: of_writer, disk, journal, queue, stop, keeper, lock, state }.run()
        })
        .map_err(failed)?;
        let handle = Handle::new(shared, sender, Arc::new(Semaphore::new(ROOM)));
        Ok((Self { stop, writer }, handle))
    }

    /// Ends the engine: what is queued is done, a checkpoint is made, and the folder may be opened again. Handles,
    /// readers and subscriptions get [`ports::broker::Error::Unavailable`] from then on.
    ///
    /// # Cancel safety
    /// The engine ends even if the call is dropped.
    pub async fn shutdown(self) {
        drop(self.stop);
        let writer = self.writer;
        if runtime::blocking(move || writer.join()).await.is_err() {
            tracing::error!("the writer of the broker engine panicked");
        }
    }
}

pub(super) fn lock(config: &Config) -> Result<fs::File, Error> {
    let path = config.folder.join(LOCK);
    let failed = |cause| Error::Io { file: path.clone(), cause };
    let options = fs::OpenOptions::new().create(true).truncate(false).write(true).to_owned();
    let file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { folder: config.folder.clone() }),
        Err(TryLockError::Error(cause)) => Err(failed(cause)),
    }
}
