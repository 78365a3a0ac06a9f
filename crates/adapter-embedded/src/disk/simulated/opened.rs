//! An open file of the simulated disk.

use super::{Change, Inode, Simulated, write};
use crate::disk::File;
use std::io;

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) disk: Simulated,
    pub(super) inode: u64,
}

impl Opened {
    fn with<T>(&self, work: impl FnOnce(&mut Inode) -> T) -> T {
        let mut state = self.disk.state();
        work(state.inodes.entry(self.inode).or_default())
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

impl File for Opened {
    fn len(&self) -> io::Result<u64> {
        self.disk.state().check()?;
        Ok(self.with(|file| file.now.len() as u64))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.disk.state().check()?;
        Ok(self.with(|file| {
            let from = place(offset).min(file.now.len());
            let len = out.len().min(file.now.len() - from);
            out[..len].copy_from_slice(&file.now[from..from + len]);
            len
        }))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = place(offset);
        let fits = {
            let mut state = self.disk.state();
            state.step()?;
            let used = state.used();
            let len = state.inodes[&self.inode].now.len();
            let free = state.faults.capacity.map_or(u64::MAX, |bytes| bytes.saturating_sub(used));
            let inside = len.saturating_sub(offset).min(bytes.len());
            bytes.len().min(inside.saturating_add(usize::try_from(free).unwrap()))
        };
        self.with(|file| {
            let bytes = &bytes[..fits];
            write(&mut file.now, offset, bytes);
            file.unsynced.push(Change::Write(offset, bytes.to_vec()));
        });
        if fits == bytes.len() { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        {
            let mut state = self.disk.state();
            state.step()?;
            let before = state.inodes[&self.inode].now.len() as u64;
            let grows = len.saturating_sub(before);
            if state.faults.capacity.is_some_and(|bytes| state.used() + grows > bytes) {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        self.with(|file| {
            let change = Change::Len(place(len));
            change.apply(&mut file.now);
            file.unsynced.push(change);
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        let mut failing = state.faults.failing_syncs.take();
        let file = state.inodes.entry(self.inode).or_default();
        let changes = std::mem::take(&mut file.unsynced);
        if let Some((ending, left)) = &mut failing
            && file.name.ends_with(*ending)
            && *left > 0
        {
            *left -= 1;
            file.unsynced = changes.into_iter().filter(|it| matches!(it, Change::Len(_))).collect();
            state.faults.failing_syncs = failing;
            return Err(io::Error::other("it was told to fail"));
        }
        for change in changes {
            change.apply(&mut file.durable);
        }
        state.faults.failing_syncs = failing;
        Ok(())
    }
}
