//! The engine's life.

use std::{
    fs::{self, TryLockError},
    path::PathBuf,
    sync::Arc,
    thread::JoinHandle,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    Error, Handle, checkpoint,
    handle::{QUEUE_MAX, ROOM},
    recovery::{self, Limits},
    writer::{Tools, Writer},
};
use crate::disk::{Disk, Folder};

/// The file that is locked while the store is open.
const LOCK: &str = "lock";

/// Where the events are.
#[derive(Clone, Debug)]
pub struct Config {
    /// A folder for the events alone. It is created if it is not there.
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
    /// Opens the store, or makes an empty one. Blocks: mostly well below a second, but longer where the index is missing
    /// and has to be built from all events.
    ///
    /// # Errors
    /// [`Error`] says what can be done.
    pub fn open(config: &Config) -> Result<(Self, Handle), Error> {
        let folder = &config.folder;
        let failed = |cause| Error::Io { file: folder.clone(), cause };
        let disk: Arc<dyn Disk> = Arc::new(Folder::open(folder).map_err(failed)?);
        let lock = lock(config)?;
        Self::open_on(&disk, folder.display().to_string(), Limits::default(), Some(lock))
    }

    /// Opens the store of a folder that nobody else uses.
    pub(super) fn open_on(
        disk: &Arc<dyn Disk>,
        place: String,
        limits: Limits,
        lock: Option<fs::File>,
    ) -> Result<(Self, Handle), Error> {
        let recovery::Opened { shared, log, store } = recovery::open(disk, place.clone(), &limits)?;
        let failed = |cause| Error::Io { file: place.clone().into(), cause };
        let of_checkpoints = Arc::clone(&shared);
        let checkpoints =
            runtime::thread("streams-index", move || checkpoint::run(&of_checkpoints, store))
                .map_err(failed)?;
        let (sender, queue) = mpsc::channel(QUEUE_MAX);
        let (stop, stopped) = oneshot::channel();
        let disk = Arc::clone(disk);
        let tools = Tools {
            shared: Arc::clone(&shared),
            disk,
            limits,
            log,
            queue,
            stop: stopped,
            checkpoints,
            lock,
        };
        let writer =
            runtime::worker("streams-writer", move |_| Writer::new(tools).run()).map_err(failed)?;
        let handle = Handle::new(shared, sender, Arc::new(Semaphore::new(ROOM)));
        Ok((Self { stop, writer }, handle))
    }

    /// Ends the engine: what is queued is done, the index is brought up to date, and the folder may be opened again.
    /// Handles get [`ports::streams::Error::Unavailable`] from then on.
    ///
    /// # Cancel safety
    /// The engine ends even if the call is dropped.
    pub async fn shutdown(self) {
        drop(self.stop);
        let writer = self.writer;
        if runtime::blocking(move || writer.join()).await.is_err() {
            tracing::error!("the writer of the engine of events panicked");
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
