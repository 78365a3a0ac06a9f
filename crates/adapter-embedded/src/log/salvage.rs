//! Making a log of what is left of a damaged one.

use std::{io, path::PathBuf, sync::Arc};

use super::{
    Batch, Error, HEADER_BYTES,
    frame::HEAD_BYTES,
    reader::{Place, Window},
    segment::{self, Head, Header, VERSION, parse_name},
};
use crate::disk::Disk;

/// What stands behind the name of a segment that is to replace the whole log.
pub(super) const SALVAGED: &str = ".salvaged";

/// What a salvage found.
#[derive(Debug)]
pub(crate) struct Salvaged {
    /// Where the old segments are kept.
    pub(crate) aside: Vec<PathBuf>,
    /// The number of the first entry that is not there any more, if later ones were.
    pub(crate) lost_from: Option<u64>,
}

/// The number of the oldest entry, and the mark there, as far as heads of segments can be read.
pub(crate) fn oldest(disk: &dyn Disk) -> Result<Option<(u64, u64)>, Error> {
    for first in firsts(disk)? {
        let name = segment::name(first);
        let failed = |cause| Error::Io { path: disk.path(&name), cause };
        let file = disk.open(&name).map_err(failed)?;
        if let Head::Sound(header) = Header::read(&*file).map_err(failed)? {
            return Ok(Some((header.first, header.mark)));
        }
    }
    Ok(None)
}

/// Whether a salvage was begun and not finished.
pub(crate) fn is_unfinished(disk: &dyn Disk) -> Result<bool, Error> {
    let names = disk.list().map_err(|cause| Error::Io { path: disk.path(""), cause })?;
    Ok(names.iter().any(|name| name.ends_with(SALVAGED)))
}

/// Replaces the log by one that begins with entry `from`, whose mark is `mark`, and has all sound entries that follow
/// each other from there.
pub(crate) fn salvage(
    disk: &Arc<dyn Disk>,
    from: u64,
    mark: u64,
    aside: impl FnMut(&str) -> io::Result<PathBuf>,
) -> Result<Salvaged, Error> {
    let header = Header { first: from, mark, before: (0, 0), salt: segment::salt() };
    let name = segment::name(from);
    let failed = |cause| Error::Io { path: disk.path(&name), cause };
    // All heads first: what a later release wrote is no damage, and nothing is done then.
    let segments = firsts(&**disk)?.into_iter().map(|first| Walk::open(&**disk, first));
    let mut segments = segments.collect::<Result<Vec<_>, _>>()?.into_iter().peekable();
    let unfinished = format!("{name}{}", segment::UNFINISHED);
    if let Err(e) = disk.remove(&unfinished)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(failed(e));
    }
    let file = disk.create(&unfinished).map_err(failed)?;
    file.write_at(0, &header.encode()).map_err(failed)?;
    let (mut end, mut next, mut lost_from) = (HEADER_BYTES, from, None);
    'segments: while let Some(mut segment) = segments.next() {
        let is_needed = segments.peek().is_none_or(|following| following.segment > next);
        if segment.is_lost() && is_needed {
            lost_from = Some(next);
            break 'segments;
        }
        while let Some((first, count, payload)) = segment.next()? {
            if first < next {
                continue;
            }
            if first > next {
                lost_from = Some(next);
                break 'segments;
            }
            let mut batch = Batch::of(&payload, count);
            file.write_at(end, batch.seal(next, header.salt, end)).map_err(failed)?;
            end += batch.len();
            next += u64::from(count);
        }
    }
    file.sync().map_err(failed)?;
    // From here on a start refuses until the rest is done, so nothing is ever built on half of it.
    disk.rename(&unfinished, &format!("{name}{SALVAGED}"))
        .and_then(|()| disk.sync())
        .map_err(failed)?;
    Ok(Salvaged { aside: finish(&**disk, aside)?, lost_from })
}

/// Sets the old segments aside and puts the new one in their place.
pub(crate) fn finish(
    disk: &dyn Disk,
    mut aside: impl FnMut(&str) -> io::Result<PathBuf>,
) -> Result<Vec<PathBuf>, Error> {
    let mut kept = Vec::new();
    for first in firsts(disk)? {
        let name = segment::name(first);
        kept.push(aside(&name).map_err(|cause| Error::Io { path: disk.path(&name), cause })?);
    }
    let failed = |cause| Error::Io { path: disk.path(""), cause };
    for name in disk.list().map_err(failed)? {
        if let Some(final_name) = name.strip_suffix(SALVAGED) {
            disk.rename(&name, final_name).and_then(|()| disk.sync()).map_err(failed)?;
        }
    }
    Ok(kept)
}

fn firsts(disk: &dyn Disk) -> Result<Vec<u64>, Error> {
    let names = disk.list().map_err(|cause| Error::Io { path: disk.path(""), cause })?;
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| parse_name(name)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

/// Goes through all sound frames of a segment, whatever lies between them.
struct Walk {
    path: PathBuf,
    window: Window,
    segment: u64,
    offset: u64,
    len: u64,
    /// Without the head nothing can be told from anything.
    salt: Option<u64>,
}

impl Walk {
    fn open(disk: &dyn Disk, first: u64) -> Result<Self, Error> {
        let name = segment::name(first);
        let failed = |cause| Error::Io { path: disk.path(&name), cause };
        let file = disk.open(&name).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        let salt = match Header::read(&*file).map_err(failed)? {
            Head::Sound(header) => Some(header.salt),
            Head::Damaged => None,
            Head::Newer(version) => {
                return Err(Error::Newer { path: disk.path(&name), version, known: VERSION });
            }
        };
        let (path, window) = (disk.path(&name), Window::new(file));
        Ok(Self { path, window, segment: first, offset: HEADER_BYTES, len, salt })
    }

    /// Whether there may be entries in it that nobody can find.
    fn is_lost(&self) -> bool {
        self.salt.is_none() && self.len > HEADER_BYTES
    }

    /// The first entry of the next frame, how many, and their bytes.
    fn next(&mut self) -> Result<Option<(u64, u32, bytes::Bytes)>, Error> {
        let failed = |cause| Error::Io { path: self.path.clone(), cause };
        let Some(salt) = self.salt else { return Ok(None) };
        while self.offset < self.len {
            let (segment, offset, limit) = (self.segment, self.offset, self.len);
            let place = Place { segment, offset, limit, salt };
            match self.window.any_frame(place).map_err(failed)? {
                Ok(frame) => {
                    let len = u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
                    self.offset += HEAD_BYTES + len;
                    return Ok(Some((frame.first, frame.count, frame.payload)));
                }
                Err(_) => match self.window.frame_behind(place).map_err(failed)? {
                    Some(at) => self.offset = at,
                    None => self.offset = self.len,
                },
            }
        }
        Ok(None)
    }
}
