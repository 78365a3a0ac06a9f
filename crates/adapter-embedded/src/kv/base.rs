//! The tree: all keys up to some entry of the log, in one file of redb.
//!
//! It is written by checkpoints only, each of them one durable transaction. When redb meets an error of the disk it
//! refuses everything until it is opened anew, reads too; [`Store::reopen`] does that.

use bytes::Bytes;
use ports::kv::Range;
use redb::{
    AccessGuard, Builder, Database, DatabaseError, ReadOnlyTable, ReadableDatabase, ReadableTable,
    StorageBackend, TableDefinition,
};
use std::{fmt, io, sync::Arc};

use super::{
    Error,
    overlay::{Rows, bounds},
    row::{Version, decode, encode},
    trouble::{Trouble, guarded},
};
use crate::{
    disk::{Disk, File},
    log::UNFINISHED,
};

/// The file.
pub(super) const NAME: &str = "tree.redb";

/// What redb may hold of its file in memory: the upper levels of a tree of millions of keys, and what is hot. The system
/// holds the rest in its own cache, and an idle node has 60 MB for everything.
const CACHE_BYTES: usize = 16 << 20;

/// The format of what is in the tables.
const FORMAT: u64 = 1;

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");
/// Seconds of each lease that was granted.
const LEASES: TableDefinition<'_, u64, u32> = TableDefinition::new("leases");
/// Which key ends with which lease; the value is the lease's seconds if it was granted with an entry, else 0.
const LEASED: TableDefinition<'_, (u64, &[u8]), u32> = TableDefinition::new("leased");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// Up to where the log is in the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The number of the first entry that is not in it.
    pub(super) position: u64,
    pub(super) revision: u64,
    pub(super) compacted: u64,
    /// The newest lease; none is ever named like an earlier one.
    pub(super) last_lease: u64,
}

impl Numbers {
    fn named(&self) -> [(&'static str, u64); 4] {
        let Self { position, revision, compacted, last_lease } = *self;
        [
            ("position", position),
            ("revision", revision),
            ("compacted", compacted),
            ("last_lease", last_lease),
        ]
    }
}

/// The tree, for who writes it.
#[derive(Debug)]
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    file: Arc<dyn File>,
    /// Taken while it is opened anew.
    database: Option<Database>,
}

impl Store {
    /// Whether a folder has one.
    pub(super) fn exists(disk: &dyn Disk) -> io::Result<bool> {
        Ok(disk.list()?.iter().any(|name| name == NAME))
    }

    /// Opens it and reads all of it.
    pub(super) fn check(disk: &Arc<dyn Disk>) -> Result<Self, Error> {
        let store = Self::open(disk, u64::MAX)?;
        let base = store.base().map_err(|trouble| trouble.of(&**disk))?;
        let mut range = Some(Range::all());
        while let Some(mut rest) = range.take() {
            let page = base.page(&rest, 1_000, CACHE_BYTES, false);
            let (rows, is_all) = page.map_err(|trouble| trouble.of(&**disk))?;
            if let Some((key, _)) = rows.last()
                && !is_all
            {
                rest.from = Range::key(key.clone()).to.unwrap_or_default();
                range = Some(rest);
            }
        }
        Ok(store)
    }

    /// Opens the tree of a folder, or makes an empty one. One of at most `checked_bytes` is read as a whole first, so
    /// that damage is found before anything is answered from it.
    pub(super) fn open(disk: &Arc<dyn Disk>, checked_bytes: u64) -> Result<Self, Error> {
        let failed = |cause| Error::Io { file: disk.path(NAME), cause };
        if !Self::exists(&**disk).map_err(failed)? {
            create(disk)?;
        }
        let file = disk.open(NAME).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        if len == 0 {
            // It got its name when it was whole. And redb would make a tree without our tables of it.
            let what = "it is empty".to_owned();
            return Err(Error::Damaged { file: disk.path(NAME), offset: None, what });
        }
        let is_checked = len <= checked_bytes;
        let database =
            open(Arc::clone(&file), is_checked).map_err(|trouble| trouble.of(&**disk))?;
        let store = Self { disk: Arc::clone(disk), file, database: Some(database) };
        let format = guarded(|| store.number("format")).map_err(|trouble| trouble.of(&**disk))?;
        if format > FORMAT {
            let file = disk.path(NAME);
            return Err(Error::Newer { file, version: format, known: FORMAT });
        }
        Ok(store)
    }

    /// Opens it anew after an error.
    pub(super) fn reopen(&mut self) -> Result<(), Trouble> {
        drop(self.database.take());
        let failed = |cause: io::Error| Trouble::Failed(Arc::new(cause));
        self.file = self.disk.open(NAME).map_err(failed)?;
        self.database = Some(open(Arc::clone(&self.file), false)?);
        Ok(())
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        self.file.len().unwrap_or(0)
    }

    fn database(&self) -> Result<&Database, Trouble> {
        let closed = || Trouble::Failed(Arc::new(redb::StorageError::DatabaseClosed));
        self.database.as_ref().ok_or_else(closed)
    }

    /// What it holds at this moment.
    pub(super) fn base(&self) -> Result<Base, Trouble> {
        guarded(|| {
            let rows = self.database()?.begin_read()?.open_table(ROWS)?;
            Ok(Base(rows))
        })
    }

    fn number(&self, name: &str) -> Result<u64, Trouble> {
        let numbers = self.database()?.begin_read()?.open_table(NUMBERS)?;
        let number = numbers.get(name)?;
        number
            .map(|number| number.value())
            .ok_or_else(|| Trouble::Damaged(format!("the number `{name}` is missing")))
    }

    pub(super) fn numbers(&self) -> Result<Numbers, Trouble> {
        guarded(|| {
            Ok(Numbers {
                position: self.number("position")?,
                revision: self.number("revision")?,
                compacted: self.number("compacted")?,
                last_lease: self.number("last_lease")?,
            })
        })
    }

    /// Tells all leases with their seconds, then all keys that end with one, with the lease's seconds if it is theirs.
    pub(super) fn leases(
        &self,
        mut lease: impl FnMut(u64, u32),
        mut key: impl FnMut(u64, &[u8], u32),
    ) -> Result<(), Trouble> {
        guarded(|| {
            let read = self.database()?.begin_read()?;
            for row in read.open_table(LEASES)?.iter()? {
                let (id, ttl) = row?;
                lease(id.value(), ttl.value());
            }
            for row in read.open_table(LEASED)?.iter()? {
                let (place, ttl) = row?;
                let (id, name) = place.value();
                key(id, name, ttl.value());
            }
            Ok(())
        })
    }

    /// Writes what changed, durably.
    pub(super) fn write(&self, rows: &Rows, numbers: &Numbers) -> Result<(), Trouble> {
        guarded(|| {
            let mut transaction = self.database()?.begin_write()?;
            // Costs a little now, and spares a start the reading of the whole file.
            transaction.set_quick_repair(true);
            {
                let mut table = transaction.open_table(ROWS)?;
                let mut leased = transaction.open_table(LEASED)?;
                let mut bytes = Vec::new();
                for (key, version) in rows.iter() {
                    let left = match &version.row {
                        Some(row) => {
                            encode(key, version.revision, row, &mut bytes);
                            lease_of(key, table.insert(&**key, &*bytes)?.as_ref())?
                        }
                        None => lease_of(key, table.remove(&**key)?.as_ref())?,
                    };
                    if left != 0 {
                        leased.remove((left, &**key))?;
                    }
                    if let Some(row) = version.row.as_ref().filter(|row| row.lease != 0) {
                        leased.insert((row.lease, &**key), row.own_ttl)?;
                    }
                }
                let mut leases = transaction.open_table(LEASES)?;
                for (id, ttl) in &rows.leases {
                    match ttl {
                        Some(ttl) => drop(leases.insert(id, ttl)?),
                        None => drop(leases.remove(id)?),
                    }
                }
                let mut table = transaction.open_table(NUMBERS)?;
                for (name, number) in numbers.named() {
                    table.insert(name, number)?;
                }
            }
            transaction.commit()?;
            Ok(())
        })
    }
}

/// The lease in a row of the tree; 0: none, or no row.
fn lease_of(key: &[u8], row: Option<&AccessGuard<'_, &[u8]>>) -> Result<u64, Trouble> {
    let Some(row) = row else { return Ok(0) };
    Ok(read(key, row.value(), false)?.row.map_or(0, |row| row.lease))
}

fn read(key: &[u8], bytes: &[u8], with_value: bool) -> Result<Version, Trouble> {
    decode(key, bytes, with_value).ok_or_else(|| {
        let key = String::from_utf8_lossy(key);
        Trouble::Damaged(format!("the checksum of key {key:?} does not fit"))
    })
}

/// Makes an empty tree. It has its name when it is whole.
fn create(disk: &Arc<dyn Disk>) -> Result<(), Error> {
    let unfinished = format!("{NAME}{UNFINISHED}");
    let failed = |cause| Error::Io { file: disk.path(&unfinished), cause };
    if let Err(e) = disk.remove(&unfinished)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(failed(e));
    }
    let file = disk.create(&unfinished).map_err(failed)?;
    let made = open(Arc::clone(&file), false).and_then(|database| {
        let transaction = database.begin_write()?;
        {
            transaction.open_table(ROWS)?;
            transaction.open_table(LEASES)?;
            transaction.open_table(LEASED)?;
            let mut numbers = transaction.open_table(NUMBERS)?;
            numbers.insert("format", FORMAT)?;
            for (name, number) in Numbers::default().named() {
                numbers.insert(name, number)?;
            }
        }
        transaction.commit()?;
        database.close()?;
        Ok(())
    });
    made.map_err(|trouble| trouble.of(&**disk))?;
    file.sync()
        .and_then(|()| disk.rename(&unfinished, NAME))
        .and_then(|()| disk.sync())
        .map_err(failed)
}

fn open(file: Arc<dyn File>, is_checked: bool) -> Result<Database, Trouble> {
    guarded(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(is_checked);
        let opened = builder.create_with_backend(Backend(file));
        opened.map_err(|error| match error {
            DatabaseError::Storage(redb::StorageError::Io(e))
                if matches!(
                    e.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                Trouble::Damaged(e.to_string())
            }
            DatabaseError::RepairAborted | DatabaseError::UpgradeRequired(_) => {
                Trouble::Damaged(error.to_string())
            }
            other => other.into(),
        })
    })
}

/// All keys as a checkpoint left them. It keeps the pages that it sees from being used again.
pub(super) struct Base(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").finish_non_exhaustive()
    }
}

impl Base {
    /// One key; its value is read only `with_value`.
    pub(super) fn get(&self, key: &[u8], with_value: bool) -> Result<Option<Version>, Trouble> {
        guarded(|| match self.0.get(key)? {
            Some(row) => read(key, row.value(), with_value).map(Some),
            None => Ok(None),
        })
    }

    /// The first rows of a range, about `bytes` of values and `limit` rows at most; and whether these are all.
    pub(super) fn page(
        &self,
        range: &Range,
        limit: usize,
        bytes: usize,
        with_value: bool,
    ) -> Result<(Vec<(Bytes, Version)>, bool), Trouble> {
        guarded(|| {
            let (mut rows, mut size) = (Vec::new(), 0);
            for row in self.0.range::<&[u8]>(bounds(range))? {
                if rows.len() == limit || size > bytes {
                    return Ok((rows, false));
                }
                let (key, row) = row?;
                let (key, row) = (key.value(), row.value());
                size += if with_value { row.len() } else { 0 };
                rows.push((Bytes::copy_from_slice(key), read(key, row, with_value)?));
            }
            Ok((rows, true))
        })
    }
}

/// A file as redb takes it.
#[derive(Debug)]
struct Backend(Arc<dyn File>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.0.read_at(offset, out)? == out.len() {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it should be"))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}
