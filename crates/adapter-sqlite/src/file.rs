//! The open file, and what is asked of it.

use crate::{
    Config,
    row::{self, COLUMNS},
    verdict,
};
use ports::outbox::{Error, Row};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::{fs, io, os::unix::fs::MetadataExt, time::Duration};

/// How long a deletion waits for the service's own transaction. Longer ones are an outage of the relay, which tries again.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// When payloads of one fetch have so many bytes, no more rows are read: what a publish to a broker may have.
const FETCH_SIZE_MAX: usize = 8 << 20;

/// A file, by device and inode.
type Identity = (u64, u64);

pub(crate) struct File {
    config: Config,
    open: Option<Open>,
    /// The file that was there at the last try.
    tried: Option<Identity>,
}

struct Open {
    connection: Connection,
    identity: Identity,
    /// SQLite's count of others' commits when rows were last read.
    seen: Option<i64>,
}

impl File {
    pub(crate) fn new(config: Config) -> Self {
        Self { config, open: None, tried: None }
    }

    pub(crate) fn fetch(&mut self, limit: usize) -> Result<Vec<Row>, Error> {
        let config = self.config.clone();
        let open = self.open()?;
        // Before the rows: what is committed in between is then seen as a change.
        open.seen = open.version().ok();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let table = config.quoted_table();
        // Not quoted: SQLite may take a quoted name that is no column for a text.
        let columns = COLUMNS.join(", ");
        let sql = format!("SELECT {columns} FROM {table} ORDER BY rowid LIMIT ?1");
        let rows = open.connection.prepare(&sql).and_then(|mut statement| {
            let found = statement.query_map([limit], row::read)?;
            let (mut rows, mut size) = (Vec::new(), 0);
            for row in found {
                let Some(row) = row? else { return Ok(None) };
                size += row.payload.as_ref().map_or(0, Vec::len);
                rows.push(row);
                if size >= FETCH_SIZE_MAX {
                    break;
                }
            }
            Ok(Some(rows))
        });
        match rows {
            Ok(Some(rows)) => Ok(rows),
            Ok(None) => Err(verdict::missing(&config, "a row has no `id`")),
            Err(cause) => Err(self.fail(cause)),
        }
    }

    pub(crate) fn delete(&mut self, ids: &[String]) -> Result<(), Error> {
        let config = self.config.clone();
        self.open()?.delete(&config, ids).map_err(|cause| self.fail(cause))
    }

    /// What a failure means, as far as a look at the table tells. If that tells nothing, the file is opened anew next time.
    fn fail(&mut self, cause: rusqlite::Error) -> Error {
        match self.open.as_ref().and_then(|open| open.problem(&self.config)) {
            Some(problem) => verdict::missing(&self.config, problem),
            None => {
                self.open = None;
                verdict::error(&self.config, cause)
            }
        }
    }

    /// Whether somebody has committed something since rows were last read, or another file is there than at the last try.
    pub(crate) fn has_changed(&mut self) -> bool {
        if identity(&self.config).ok() != self.tried {
            return true;
        }
        self.open.as_ref().is_some_and(|open| open.version().ok() != open.seen)
    }

    /// The open file; the one that is there, if it was replaced.
    fn open(&mut self) -> Result<&mut Open, Error> {
        let config = &self.config;
        let identity = identity(config);
        self.tried = identity.as_ref().ok().copied();
        let identity = identity.map_err(|cause| match cause.kind() {
            io::ErrorKind::NotFound => verdict::missing(config, "the file is not there yet"),
            _ => Error::Unavailable { place: config.place(), cause: std::sync::Arc::new(cause) },
        })?;
        let kept = self.open.take().filter(|open| open.identity == identity);
        let open = match kept {
            Some(open) => open,
            None => {
                let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
                let connection = Connection::open_with_flags(&config.path, flags)
                    .and_then(|connection| connection.busy_timeout(BUSY_MAX).map(|()| connection))
                    .map_err(|cause| verdict::error(config, cause))?;
                Open { connection, identity, seen: None }
            }
        };
        Ok(self.open.insert(open))
    }
}

fn identity(config: &Config) -> io::Result<Identity> {
    fs::metadata(&config.path).map(|file| (file.dev(), file.ino()))
}

impl Open {
    fn version(&self) -> rusqlite::Result<i64> {
        self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))
    }

    fn delete(&mut self, config: &Config, ids: &[String]) -> rusqlite::Result<()> {
        let sql = format!("DELETE FROM {} WHERE id = ?1", config.quoted_table());
        // A transaction that begins by reading could not wait for a writer.
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut statement = transaction.prepare(&sql)?;
        for id in ids {
            for value in row::candidates(id) {
                if statement.execute([value])? > 0 {
                    break;
                }
            }
        }
        drop(statement);
        transaction.commit()
    }

    /// What the table lacks; `None`: nothing, or it cannot be told.
    fn problem(&self, config: &Config) -> Option<String> {
        let names = |sql: &str| {
            let mut statement = self.connection.prepare(sql)?;
            let names = statement.query_map([&config.table], |row| row.get::<_, String>(0))?;
            names.collect::<rusqlite::Result<Vec<_>>>()
        };
        let found = names("SELECT lower(name) FROM pragma_table_xinfo(?1)").ok()?;
        if found.is_empty() {
            return Some("there is no such table".to_owned());
        }
        let missing: Vec<_> =
            COLUMNS.iter().filter(|column| !found.iter().any(|name| name == *column)).collect();
        if !missing.is_empty() {
            let missing: Vec<_> = missing.iter().map(|column| format!("`{column}`")).collect();
            return Some(format!("it has no column {}", missing.join(", ")));
        }
        let sql = "SELECT type FROM pragma_table_list(?1) WHERE type <> 'table' OR wr = 1";
        let odd = names(sql).ok()?;
        (!odd.is_empty())
            .then(|| "it is a view or WITHOUT ROWID: such rows have no order".to_owned())
    }
}
