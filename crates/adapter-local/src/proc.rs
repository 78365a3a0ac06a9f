//! What `/proc` says about processes.
//!
//! A process id alone names nobody: numbers are used again. [`Process`] adds the start time, which the kernel
//! never repeats for a number within one boot, and [`Process::open`] turns both into a descriptor that
//! cannot come to mean another process. Everything that signals a process goes through it, or through the
//! process group of a leader that is known to exist still.

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use std::{
    ffi::{OsStr, OsString},
    fs,
    io::{self, Read},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
};
use tokio::net::unix::pipe;

/// How much of a process's environment is read at most, in bytes: the kernel's own default limit for
/// arguments and environment together is a quarter of an 8 MiB stack.
const ENVIRON_LEN_MAX: u64 = 2 * 1024 * 1024;

/// One process of this boot of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start_ticks: u64,
}

impl Process {
    /// The process that has number `pid` now.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        Stat::read(pid).map(|stat| stat.process)
    }

    /// Whether it runs; one that ended but was not yet collected by its parent does not.
    pub(crate) fn is_alive(self) -> bool {
        self.stat().is_some_and(|stat| !stat.is_dead())
    }

    /// What the kernel says about it; `None` when it is gone or the number belongs to another one now.
    pub(crate) fn stat(self) -> Option<Stat> {
        Stat::read(self.pid).filter(|stat| stat.process == self)
    }

    /// A descriptor of it that becomes readable when it ends; `None` when it is gone.
    pub(crate) fn open(self) -> Option<OwnedFd> {
        let fd = pidfd_open(raw(self.pid)?, PidfdFlags::NONBLOCK).ok()?;
        // Only now: the descriptor is of whoever has the number, and that may be a successor.
        self.stat().map(|_| fd)
    }

    /// Sends it a signal. That it is gone is no error.
    pub(crate) fn signal(self, signal: Signal) -> io::Result<()> {
        let Some(fd) = self.open() else { return Ok(()) };
        match pidfd_send_signal(&fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

/// Waits until the process behind a descriptor has ended. Needs a tokio runtime.
///
/// The type is tokio's for pipes because only waiting for readiness is used, and its general one is out of
/// reach without `unsafe`.
///
/// # Cancel safety
/// Cancel safe.
pub(crate) async fn ended(process: &OwnedFd) -> io::Result<()> {
    pipe::Receiver::from_owned_fd_unchecked(process.try_clone()?)?.readable().await
}

/// `pid` as the system calls want it.
pub(crate) fn raw(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// One line of `/proc/<pid>/stat` (proc(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) process: Process,
    /// The program's short name, at most 15 bytes.
    pub(crate) name: String,
    state: u8,
    pub(crate) parent: u32,
    pub(crate) group: u32,
    /// Processor time of it and of its children that ended and were waited for, in clock ticks.
    pub(crate) cpu_ticks: u64,
    /// Resident memory in pages.
    pub(crate) resident_pages: u64,
    /// As wait(2) would say it; 0 for a process that runs or that we may not ask about.
    pub(crate) wait_status: i32,
}

impl Stat {
    pub(crate) fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// The name stands in brackets and may itself hold brackets, blanks and line ends: what follows the
    /// last bracket counts.
    fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|b| *b == b'(')?;
        let close = text.iter().rposition(|b| *b == b')')?;
        let pid = std::str::from_utf8(text.get(..open)?).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The manual counts from 1 and the state is field 3.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |at: usize| field(at).and_then(|text| text.parse::<u64>().ok());
        Some(Self {
            process: Process { pid, start_ticks: number(22)? },
            name: String::from_utf8_lossy(text.get(open + 1..close)?).into_owned(),
            state: *field(3)?.as_bytes().first()?,
            parent: u32::try_from(number(4)?).ok()?,
            group: field(5)?.parse().ok()?,
            cpu_ticks: number(14)? + number(15)? + number(16)? + number(17)?,
            resident_pages: number(24)?,
            wait_status: field(52).and_then(|text| text.parse().ok()).unwrap_or(0),
        })
    }

    /// Ended; perhaps not yet collected by its parent.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x')
    }

    /// A thread of the kernel: it belongs to nobody.
    pub(crate) fn is_kernel(&self) -> bool {
        self.process.pid == 2 || self.parent == 2
    }
}

/// Every process this node can see, in no order.
pub(crate) fn all() -> Vec<Stat> {
    pids().filter_map(Stat::read).collect()
}

/// The number of every process this node can see.
pub(crate) fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse().ok()
    })
}

/// The environment a process was started with; `None` when it is gone or belongs to another user.
pub(crate) fn environ(pid: u32) -> Option<Vec<(OsString, OsString)>> {
    let mut bytes = Vec::new();
    let file = fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRON_LEN_MAX).read_to_end(&mut bytes).ok()?;
    let pairs = bytes.split(|b| *b == 0).filter_map(|pair| {
        let at = pair.iter().position(|b| *b == b'=')?;
        let (name, value) = pair.split_at(at);
        Some((OsStr::from_bytes(name).to_owned(), OsStr::from_bytes(value.get(1..)?).to_owned()))
    });
    Some(pairs.collect())
}

/// The command line of a process with blanks between the words; empty when it has none.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = bytes.split(|b| *b == 0).filter(|word| !word.is_empty()).collect();
    words.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
}

/// Names this boot of this machine: process numbers and start times mean nothing in another.
///
/// # Errors
/// When `/proc` is not there.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let text =
            b"42 (a) b (c)) S 7 42 42 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 999 1000 55 0";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(stat.name, "a) b (c)");
        assert_eq!(stat.process, Process { pid: 42, start_ticks: 999 });
        assert_eq!(
            (stat.parent, stat.group, stat.cpu_ticks, stat.resident_pages),
            (7, 42, 100, 55)
        );
        assert!(!stat.is_dead());
        assert_eq!(Stat::parse(b""), None);
        assert_eq!(Stat::parse(b"1 (x"), None);
        assert_eq!(Stat::parse(b"1 (x) R"), None);
    }

    #[test]
    fn a_number_with_another_start_time_is_another_process() {
        let me = Process::find(std::process::id()).unwrap();
        assert!(me.is_alive());
        assert!(me.open().is_some());
        let predecessor = Process { start_ticks: me.start_ticks - 1, ..me };
        assert!(!predecessor.is_alive());
        assert!(predecessor.open().is_none());
        // Were it not for the check, this would end the test.
        predecessor.signal(Signal::KILL).unwrap();
    }
}
