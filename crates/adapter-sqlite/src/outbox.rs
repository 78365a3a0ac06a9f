//! The port, over a file that one call at a time works on.

use crate::{Config, file::File};
use async_trait::async_trait;
use ports::outbox::{Error, FETCH_MAX, Outbox, Row};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How often a waiting relay looks whether somebody has committed: a look takes some ten microseconds, so this is well below
/// a thousandth of a core, and the delay is not felt.
const LOOK_PERIOD: Duration = Duration::from_millis(50);

/// An outbox table in a SQLite file.
pub struct SqliteOutbox {
    place: String,
    file: Arc<Mutex<File>>,
}

impl SqliteOutbox {
    /// Opens nothing yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { place: config.place(), file: Arc::new(Mutex::new(File::new(config))) }
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut File) -> T + Send + 'static,
    ) -> T {
        let file = Arc::clone(&self.file);
        runtime::blocking(move || work(&mut lock(&file))).await
    }
}

impl fmt::Debug for SqliteOutbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOutbox").field("place", &self.place).finish_non_exhaustive()
    }
}

/// A file in whose use somebody panicked is as good as any: SQLite rolls back what was not committed.
fn lock(file: &Mutex<File>) -> MutexGuard<'_, File> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Outbox for SqliteOutbox {
    async fn fetch(&self, limit: usize) -> Result<Vec<Row>, Error> {
        let limit = limit.clamp(1, FETCH_MAX);
        self.with(move |file| file.fetch(limit)).await
    }

    async fn delete(&self, ids: &[String]) -> Result<(), Error> {
        let ids = ids.to_vec();
        self.with(move |file| file.delete(&ids)).await
    }

    async fn wait(&self, patience: Duration) {
        let look = async {
            while !self.with(File::has_changed).await {
                tokio::time::sleep(LOOK_PERIOD).await;
            }
        };
        // Out of patience is as good as a change: the caller looks.
        tokio::time::timeout(patience, look).await.unwrap_or_default();
    }
}
