//! The index in one file of redb: where the events are, up to some position.
//!
//! It is written by checkpoints only, each of them one durable transaction. When redb meets an error of the disk it
//! refuses everything until it is opened anew, reads too; [`Store::reopen`] does that.

use redb::{Database, ReadableDatabase, TableDefinition};
use std::{collections::BTreeMap, io, sync::Arc};

mod base;
mod row;

pub(super) use base::Base;
use row::seal;

use super::{
    Error,
    list::{self, Place, ROW_PLACES},
    overlay::{Rows, Stream},
};
use crate::{
    bits::put_number,
    disk::{Disk, File},
    log::UNFINISHED,
    tree::{Trouble, guarded, open},
};

/// The file.
pub(super) const NAME: &str = "index.redb";

/// What redb may hold of its file in memory; the system holds the rest in its own cache, and an idle node has 60 MB for
/// everything.
const CACHE_BYTES: usize = 16 << 20;

/// The format of what is in the tables.
const FORMAT: u64 = 1;

type Table<K> = TableDefinition<'static, K, &'static [u8]>;

const STREAMS: Table<&str> = TableDefinition::new("streams");
const IDS: Table<&[u8]> = TableDefinition::new("ids");
const LISTS: Table<&[u8]> = TableDefinition::new("lists");
const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");

/// Up to where the log is in the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The last position that is in it.
    pub(super) position: u64,
    /// How many streams there are.
    pub(super) streams: u64,
}

/// The index, for who writes it.
#[derive(Debug)]
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    file: Arc<dyn File>,
    /// Taken while it is opened anew.
    database: Option<Database>,
}

/// Whether a folder has one.
pub(super) fn exists(disk: &dyn Disk) -> io::Result<bool> {
    Ok(disk.list()?.iter().any(|name| name == NAME))
}

/// Removes it, so that the next start builds it again.
pub(super) fn remove(disk: &dyn Disk) -> io::Result<()> {
    disk.remove(NAME)?;
    disk.sync()
}

impl Trouble {
    /// As an error of opening the index.
    fn of(self, disk: &dyn Disk) -> Error {
        let file = disk.path(NAME);
        match self {
            Self::Damaged(what) => Error::Damaged { file, offset: None, what },
            Self::Failed(cause) => Error::Io { file, cause: io::Error::other(cause) },
        }
    }
}

impl Store {
    /// Opens the index of a folder, or makes an empty one. One of at most `checked_bytes` is read as a whole first: what
    /// is damaged in its inner pages cannot be told from what is missing.
    pub(super) fn open(disk: &Arc<dyn Disk>, checked_bytes: u64) -> Result<Self, Error> {
        let failed = |cause| Error::Io { file: disk.path(NAME), cause };
        if !exists(&**disk).map_err(failed)? {
            create(disk)?;
        }
        let file = disk.open(NAME).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let damaged = |what: String| Error::Damaged { file: disk.path(NAME), offset: None, what };
        if len == 0 {
            // redb would make an index without our tables of it.
            return Err(damaged("it is empty".to_owned()));
        }
        let database = open(Arc::clone(&file), CACHE_BYTES, len <= checked_bytes)
            .map_err(|trouble| trouble.of(&**disk))?;
        let store = Self { disk: Arc::clone(disk), file, database: Some(database) };
        let format = guarded(|| store.number("format")).map_err(|trouble| trouble.of(&**disk))?;
        if format != FORMAT {
            // Whatever another release needs in it can be made of the log again, and so can what this one needs.
            return Err(damaged(format!("it has format {format}, this release has {FORMAT}")));
        }
        Ok(store)
    }

    /// Opens it anew after an error.
    pub(super) fn reopen(&mut self) -> Result<(), Trouble> {
        drop(self.database.take());
        let failed = |cause: io::Error| Trouble::Failed(Arc::new(cause));
        self.file = self.disk.open(NAME).map_err(failed)?;
        self.database = Some(open(Arc::clone(&self.file), CACHE_BYTES, false)?);
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

    fn number(&self, name: &str) -> Result<u64, Trouble> {
        let numbers = self.database()?.begin_read()?.open_table(NUMBERS)?;
        let number = numbers.get(name)?;
        number
            .map(|number| number.value())
            .ok_or_else(|| Trouble::Damaged(format!("the number `{name}` is missing")))
    }

    /// What it holds at this moment.
    pub(super) fn base(&self) -> Result<Base, Trouble> {
        guarded(|| {
            let read = self.database()?.begin_read()?;
            let numbers =
                Numbers { position: self.number("position")?, streams: self.number("streams")? };
            Ok(Base {
                numbers,
                streams: read.open_table(STREAMS)?,
                ids: read.open_table(IDS)?,
                lists: read.open_table(LISTS)?,
            })
        })
    }

    /// What it holds, as an error of opening says it.
    pub(super) fn first_base(&self) -> Result<Base, Error> {
        self.base().map_err(|trouble| trouble.of(&*self.disk))
    }

    /// Writes what an overlay has, durably, as an error of opening says it.
    pub(super) fn first_write(&self, rows: &Rows, numbers: Numbers) -> Result<(), Error> {
        self.write(rows, numbers).map_err(|trouble| trouble.of(&*self.disk))
    }

    /// Writes what an overlay has, durably. It must follow what is there.
    pub(super) fn write(&self, rows: &Rows, numbers: Numbers) -> Result<(), Trouble> {
        guarded(|| {
            let mut transaction = self.database()?.begin_write()?;
            // Costs a little now, and spares a start the reading of the whole file.
            transaction.set_quick_repair(true);
            {
                let mut bytes = Vec::new();
                let mut streams = transaction.open_table(STREAMS)?;
                for (name, stream) in &rows.streams {
                    let Stream { number, revision, position, time } = *stream;
                    seal(name.as_bytes(), &mut bytes, |out| {
                        for number in [number, revision, position, time.0] {
                            put_number(out, number);
                        }
                    });
                    streams.insert(&**name, &*bytes)?;
                }
                // In the order of the tree, each of its pages is come to once.
                let mut ids: Vec<_> = rows.ids.iter().collect();
                ids.sort_unstable();
                let mut table = transaction.open_table(IDS)?;
                for (id, revision) in ids {
                    seal(id, &mut bytes, |out| put_number(out, *revision));
                    table.insert(&**id, &*bytes)?;
                }
                let mut lists: Vec<_> = rows.lists.iter().collect();
                lists.sort_unstable_by_key(|(name, _)| *name);
                let ends: BTreeMap<u64, u64> =
                    rows.streams.values().map(|it| (it.number, it.revision)).collect();
                let mut table = transaction.open_table(LISTS)?;
                for (name, places) in lists {
                    for (ordinal, places) in list_rows(name, places, &ends) {
                        let key = list::key(name, ordinal);
                        seal(&key, &mut bytes, |out| list::put_places(out, places));
                        table.insert(&*key, &*bytes)?;
                    }
                }
                let mut table = transaction.open_table(NUMBERS)?;
                table.insert("position", numbers.position)?;
                table.insert("streams", numbers.streams)?;
            }
            transaction.commit()?;
            Ok(())
        })
    }
}

/// The rows of a list, with their ordinals. `ends` has the last revision of each stream by its number.
fn list_rows<'a>(
    name: &[u8],
    places: &'a [Place],
    ends: &BTreeMap<u64, u64>,
) -> impl Iterator<Item = (u64, &'a [Place])> {
    let end = list::is_of_stream(name)
        .then(|| name.last_chunk().map(|number| u64::from_be_bytes(*number)))
        .flatten()
        .and_then(|number| ends.get(&number).copied());
    let mut left = u64::try_from(places.len()).unwrap_or(u64::MAX);
    places.chunks(ROW_PLACES).map(move |row| {
        left -= u64::try_from(row.len()).unwrap_or(u64::MAX);
        let last = row.last().map_or(0, |place| place.position);
        (end.map_or(last, |end| end - left), row)
    })
}

/// Makes an empty index. It has its name when it is whole.
fn create(disk: &Arc<dyn Disk>) -> Result<(), Error> {
    let unfinished = format!("{NAME}{UNFINISHED}");
    let failed = |cause| Error::Io { file: disk.path(&unfinished), cause };
    if let Err(e) = disk.remove(&unfinished)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(failed(e));
    }
    let file = disk.create(&unfinished).map_err(failed)?;
    let made = open(Arc::clone(&file), CACHE_BYTES, false).and_then(|database| {
        let transaction = database.begin_write()?;
        {
            transaction.open_table(STREAMS)?;
            transaction.open_table(IDS)?;
            transaction.open_table(LISTS)?;
            let mut numbers = transaction.open_table(NUMBERS)?;
            for (name, number) in [("format", FORMAT), ("position", 0), ("streams", 0)] {
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
