//! A disk in memory that fails as it is told, and of which a power cut leaves what was synced.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use super::{Disk, File};

mod dice;
mod opened;

pub(crate) use dice::Dice;
use opened::Opened;

/// Bytes that a disk writes as a whole.
const SECTOR: usize = 512;

/// What a power cut leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// What was synced, names too, and nothing else.
    Strict,
    /// That, and any part of the rest, by this seed: some sectors of some writes, the first of the changes of names.
    Lenient(u64),
}

/// The disk. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: Names,
    durable_names: Names,
    /// Names as they were after each change since they were synced.
    name_changes: Vec<Names>,
    /// Calls that change something.
    steps: u64,
    last_inode: u64,
    faults: Faults,
}

type Names = BTreeMap<String, u64>;

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The step before which the power goes.
    pub(crate) cut_at: Option<u64>,
    /// No power: everything fails.
    pub(crate) is_dead: bool,
    /// This many syncs of files whose name ends so fail. What they were to write is forgotten, though reading shows it.
    pub(crate) failing_syncs: Option<(&'static str, u32)>,
    /// Most bytes of all files.
    pub(crate) capacity: Option<u64>,
    /// Opening files fails.
    pub(crate) is_unreadable: bool,
}

#[derive(Clone, Debug, Default)]
struct Inode {
    name: String,
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

fn write(to: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if to.len() < offset + bytes.len() {
        to.resize(offset + bytes.len(), 0);
    }
    to[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => write(to, *offset, bytes),
            Self::Len(len) => to.resize(*len, 0),
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("the power is gone")
}

impl State {
    /// Whether a call that changes something may go on.
    fn step(&mut self) -> io::Result<()> {
        if self.faults.cut_at == Some(self.steps) {
            self.faults.is_dead = true;
        }
        self.steps += 1;
        if self.faults.is_dead { Err(dead()) } else { Ok(()) }
    }

    fn check(&self) -> io::Result<()> {
        if self.faults.is_dead { Err(dead()) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].now.len() as u64).sum()
    }

    fn named(&mut self, change: impl FnOnce(&mut Names)) {
        change(&mut self.names);
        self.name_changes.push(self.names.clone());
    }
}

impl Simulated {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Changes what goes wrong.
    pub(crate) fn fail(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state().faults);
    }

    pub(crate) fn used(&self) -> u64 {
        self.state().used()
    }

    /// The disk after the power was cut. This one is dead then.
    pub(crate) fn cut(&self, cut: Cut) -> Self {
        let mut state = self.state();
        state.faults.is_dead = true;
        let mut dice = Dice::new(match cut {
            Cut::Strict => 0,
            Cut::Lenient(seed) => seed,
        });
        let mut names = state.durable_names.clone();
        if let Cut::Lenient(_) = cut {
            let kept = dice.roll(state.name_changes.len() as u64 + 1);
            if let Some(last) = kept.checked_sub(1) {
                names = state.name_changes[usize::try_from(last).unwrap()].clone();
            }
        }
        let mut inodes = BTreeMap::new();
        for (name, inode) in &names {
            let before = &state.inodes[inode];
            let mut bytes = before.durable.clone();
            if let Cut::Lenient(_) = cut {
                for change in &before.unsynced {
                    keep_some(change, &mut bytes, &mut dice);
                }
            }
            let after = Inode {
                name: name.clone(),
                now: bytes.clone(),
                durable: bytes,
                unsynced: Vec::new(),
            };
            inodes.insert(*inode, after);
        }
        let after = State {
            inodes,
            durable_names: names.clone(),
            names,
            last_inode: state.last_inode,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(after)))
    }

    /// The disk as another process finds it after this one was killed: what was not synced is still on its way. This one
    /// is dead then.
    pub(crate) fn kill(&self) -> Self {
        let mut state = self.state();
        let faults = std::mem::take(&mut state.faults);
        let left = std::mem::take(&mut *state);
        state.faults.is_dead = true;
        Self(Arc::new(Mutex::new(State {
            faults: Faults { is_dead: false, cut_at: None, ..faults },
            ..left
        })))
    }

    /// The bytes of a file.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.inodes[&state.names[name]].now.clone()
    }

    /// Puts a file there, as if it had always been so.
    pub(crate) fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        state.last_inode += 1;
        let inode = state.last_inode;
        let file = Inode {
            name: name.to_owned(),
            now: bytes.clone(),
            durable: bytes,
            unsynced: Vec::new(),
        };
        state.inodes.insert(inode, file);
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// A copy that shares nothing.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        Self(Arc::new(Mutex::new(State {
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            last_inode: state.last_inode,
            ..State::default()
        })))
    }
}

fn keep_some(change: &Change, bytes: &mut Vec<u8>, dice: &mut Dice) {
    match change {
        Change::Write(offset, written) => {
            // Mostly all or nothing of a write, and sometimes a patchwork.
            let mood = dice.roll(3);
            let mut done = 0;
            while done < written.len() {
                let at = offset + done;
                let len = (SECTOR - at % SECTOR).min(written.len() - done);
                if mood == 0 || (mood == 1 && dice.roll(2) == 0) {
                    write(bytes, at, &written[done..done + len]);
                }
                done += len;
            }
        }
        Change::Len(len) => {
            if dice.roll(2) == 0 {
                bytes.resize(*len, 0);
            }
        }
    }
}

impl Disk for Simulated {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        state.check()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.step()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.last_inode += 1;
        let inode = state.last_inode;
        let file = Inode { name: name.to_owned(), ..Inode::default() };
        state.inodes.insert(inode, file);
        state.named(|names| {
            names.insert(name.to_owned(), inode);
        });
        Ok(Arc::new(Opened { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let state = self.state();
        state.check()?;
        if state.faults.is_unreadable {
            return Err(io::Error::other("it was told to be unreadable"));
        }
        let inode = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(Opened { disk: self.clone(), inode }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let inode = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.named(|names| {
            names.remove(from);
            names.insert(to.to_owned(), inode);
        });
        if let Some(file) = state.inodes.get_mut(&inode) {
            file.name = to.to_owned();
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.named(|names| {
            names.remove(name);
        });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        state.durable_names = state.names.clone();
        state.name_changes.clear();
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("simulated").join(name)
    }
}
