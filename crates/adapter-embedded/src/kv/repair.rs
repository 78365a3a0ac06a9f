//! Going on with what is left of a damaged store.

use std::{io, path::PathBuf, sync::Arc};

use super::{
    Config, Error,
    base::{self, Numbers, Store},
    overlay::Rows,
    service::lock,
    trouble::Trouble,
};
use crate::{
    disk::{Disk, Folder},
    log::{self, Log},
};

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Where the damaged files are kept.
    pub aside: Vec<PathBuf>,
    /// What is lost, in words. Empty: nothing but history, and if nothing was set aside either, nothing at all.
    pub lost: Vec<String>,
}

/// Sets damaged files of a store aside and makes of the rest a store that can be opened. Reads all of it.
///
/// # Errors
/// As [`super::Service::open`], but for damage.
pub fn repair(config: &Config) -> Result<Repaired, Error> {
    let folder = &config.folder;
    let failed = |cause| Error::Io { file: folder.clone(), cause };
    let disk: Arc<dyn Disk> = Arc::new(Folder::open(folder).map_err(failed)?);
    let _lock = lock(config)?;
    repair_on(&disk)
}

/// As [`repair`], in a folder that nobody else uses.
pub(super) fn repair_on(disk: &Arc<dyn Disk>) -> Result<Repaired, Error> {
    let mut repaired = Repaired::default();
    let keep = |name: &str| rename_aside(&**disk, name);
    if log::is_unfinished(&**disk)? {
        repaired.aside = log::finish(&**disk, keep)?;
    }
    let numbers = repair_tree(disk, &mut repaired)?;
    if let Err(error) = check_log(disk, numbers.position) {
        let Error::Damaged { file, offset, what } = error else { return Err(error) };
        let salvaged = log::salvage(disk, numbers.position, numbers.revision, keep)?;
        if let Some(from) = salvaged.lost_from {
            let (file, offset) = (file.display(), offset.unwrap_or(0));
            repaired.lost.push(format!(
                "what was written from entry {from} of the log on: `{file}` is damaged at byte {offset} ({what})"
            ));
        }
        repaired.aside.extend(salvaged.aside);
    }
    Ok(repaired)
}

/// Makes the tree one that can be opened. Returns up to where the log is in it.
fn repair_tree(disk: &Arc<dyn Disk>, repaired: &mut Repaired) -> Result<Numbers, Error> {
    let of = |trouble: Trouble| trouble.of(&**disk);
    let file = disk.path(base::NAME);
    let failed = |cause| Error::Io { file: file.clone(), cause };
    let is_there = Store::exists(&**disk).map_err(failed)?;
    let checked = Store::check(disk).and_then(|store| Ok((store.numbers().map_err(of)?, store)));
    let oldest = log::oldest(&**disk)?;
    let (position, revision) = oldest.unwrap_or_default();
    let (store, where_they_were) = match checked {
        // A tree without anything before a log that begins later is one that was made in place of a lost one.
        Ok((numbers, store)) if numbers == Numbers::default() && position > 0 => {
            let why = if is_there { "is empty" } else { "was missing" };
            (store, format!("`{}` {why}", file.display()))
        }
        Ok((numbers, _)) => return Ok(numbers),
        Err(Error::Damaged { .. }) => {
            let aside = set_aside(&**disk, base::NAME)?;
            let place = format!("they were in `{}`", aside.display());
            repaired.aside.push(aside);
            (Store::open(disk, 0)?, place)
        }
        Err(error) => return Err(error),
    };
    if position > 0 || oldest.is_none() {
        repaired.lost.push(format!(
            "keys that were not written after revision {revision}: {where_they_were}"
        ));
    }
    let last_lease = LEASES_SKIPPED;
    let numbers = Numbers { position, revision, compacted: revision, last_lease };
    store.write(&Rows::default(), &numbers).map_err(of)?;
    Ok(numbers)
}

/// Leases that a lost tree may have known: none that is granted later is named like one of them.
const LEASES_SKIPPED: u64 = 1 << 40;

/// Reads all of the log.
fn check_log(disk: &Arc<dyn Disk>, position: u64) -> Result<(), Error> {
    let oldest = log::oldest(&**disk)?.map_or(position, |(first, _)| first.min(position));
    let log = Log::open(disk, log::SEGMENT_BYTES, oldest, |_| Ok::<(), Error>(()))?;
    if log.next() < position {
        let what = format!("the log ends before entry {}, there were {position}", log.next());
        return Err(Error::Damaged { file: disk.path(""), offset: None, what });
    }
    Ok(())
}

/// Gives a file a name under which nobody looks for it.
pub(super) fn set_aside(disk: &dyn Disk, name: &str) -> Result<PathBuf, Error> {
    rename_aside(disk, name).map_err(|cause| Error::Io { file: disk.path(name), cause })
}

fn rename_aside(disk: &dyn Disk, name: &str) -> io::Result<PathBuf> {
    let names = disk.list()?;
    let mut candidates = (1_u32..).map(|number| format!("{name}.damaged-{number}"));
    let aside = candidates.find(|aside| !names.contains(aside)).unwrap_or_default();
    disk.rename(name, &aside)?;
    disk.sync()?;
    Ok(disk.path(&aside))
}
