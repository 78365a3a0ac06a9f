//! One SQLite file, shared by all instances of a service.
//!
//! Every write is a `BEGIN IMMEDIATE` transaction: it takes the write lock before it reads, so
//! what it decides on is still true when it commits, whichever process asks at the same time. A
//! deferred transaction would read first and then fail when it wants to write.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::Semaphore;

use crate::{
    error::{Error, Result},
    step,
};

/// How many connections an instance opens. SQLite has one writer anyway; the others read.
const CONNECTIONS_MAX: usize = 4;

/// How long a write waits for another one before the caller gets 503.
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// How long a starting instance waits for others that start on the same new file.
const OPEN_WAIT: Duration = Duration::from_secs(10);

/// The pause between two attempts to open.
const OPEN_PAUSE: Duration = Duration::from_millis(20);

/// A cheap handle; clones share the connections.
#[derive(Clone, Debug)]
pub struct Db {
    path: Arc<Path>,
    idle: Arc<Mutex<Vec<Connection>>>,
    slots: Arc<Semaphore>,
}

impl Db {
    /// Opens the file that `url` names (`sqlite:///absolute/path` or `sqlite://relative/path`),
    /// creating it, its folder, `schema` and the barrier's table as needed.
    ///
    /// # Errors
    /// When the URL is no SQLite URL, or the file cannot be opened.
    pub async fn open(url: &str, schema: &'static str) -> Result<Self> {
        let path = path_of(url)
            .ok_or_else(|| Error::invalid(format!("`{url}` is not of the form sqlite://path")))?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|cause| {
                Error::internal(&format_args!("cannot create `{}`: {cause}", folder.display()))
            })?;
        }
        let db = Self {
            path: path.into(),
            idle: Arc::default(),
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        };
        // Turning on WAL can fail with "busy" at once, without the busy timeout, when another
        // instance does it at the same moment.
        let give_up = Instant::now() + OPEN_WAIT;
        loop {
            match db.write(move |db| prepare(db, schema)).await {
                Err(error) if error.code == "busy" && Instant::now() < give_up => {
                    tokio::time::sleep(OPEN_PAUSE).await;
                }
                opened => return opened.map(|()| db),
            }
        }
    }

    /// Runs `work` on a connection. It must only read.
    ///
    /// # Errors
    /// Those of `work`, and 500 or 503 when the database fails or stays busy.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |connection| work(connection)).await
    }

    /// Runs `work` in a transaction of its own, committed when it returns `Ok`.
    ///
    /// # Errors
    /// As for [`Db::read`]; nothing was written then.
    /// # Cancel safety
    /// Not cancel safe: the work of a dropped call may still be committed.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let db = self.clone();
        let slot =
            self.slots.clone().acquire_owned().await.map_err(|cause| Error::internal(&cause))?;
        tokio::task::spawn_blocking(move || {
            let _slot = slot;
            let idle = db.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => connect(&db.path)?,
            };
            let result = work(&mut connection);
            db.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        })
        .await
        .map_err(|cause| Error::internal(&cause))?
    }
}

fn prepare(db: &Connection, schema: &str) -> Result<()> {
    db.execute_batch(schema)?;
    step::prepare(db)
}

/// `synchronous` stays at SQLite's default, FULL: what was answered survives a power cut.
fn connect(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// `sqlite:///a/b` is `/a/b`; `sqlite://a/b` and `sqlite:a/b` are relative to the working folder.
fn path_of(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("sqlite:")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let path = rest.split_once('?').map_or(rest, |(path, _options)| path);
    (!path.is_empty()).then(|| path.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_file() {
        let check = |url, path: Option<&str>| assert_eq!(path_of(url), path.map(PathBuf::from));
        check("sqlite:///var/lib/users.db", Some("/var/lib/users.db"));
        check("sqlite://data/users.db", Some("data/users.db"));
        check("sqlite:users.db", Some("users.db"));
        check("sqlite:///a.db?mode=rwc", Some("/a.db"));
        check("sqlite://", None);
        check("postgres://localhost/users", None);
    }

    #[test]
    fn many_instances_may_start_on_one_new_file_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/new/shared.db", folder.path().display());
        let schema = "CREATE TABLE IF NOT EXISTS started (id INTEGER PRIMARY KEY) STRICT";
        std::thread::scope(|threads| {
            for _instance in 0..8 {
                threads.spawn(|| {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(async {
                        let db = Db::open(&url, schema).await.unwrap();
                        let insert = "INSERT INTO started DEFAULT VALUES";
                        db.write(move |db| Ok(db.execute(insert, [])?)).await.unwrap();
                    });
                });
            }
        });
        let db = connect(&path_of(&url).unwrap()).unwrap();
        let count = "SELECT count(*) FROM started";
        assert_eq!(db.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap(), 8);
    }
}
