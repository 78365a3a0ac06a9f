//! The processes of a system, found by the mark that all of them inherit.

use super::wait::within;
use rustix::process::{Pid, Signal, kill_process};
use std::{fs, os::unix::ffi::OsStrExt, time::Duration};

/// The variable that carries a system's mark.
pub(crate) const MARK: &str = "FLOTILLA_TEST_SYSTEM";

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub pid: u32,
    pub command: String,
}

/// All living processes that were started with `mark` in their environment.
pub(crate) fn marked(mark: &str) -> Vec<Process> {
    let wanted = format!("{MARK}={mark}");
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            // What ended but was not yet waited for has an empty environment.
            let environment = fs::read(entry.path().join("environ")).ok()?;
            environment.split(|byte| *byte == 0).find(|pair| *pair == wanted.as_bytes())?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            let command =
                std::ffi::OsStr::from_bytes(&command).to_string_lossy().replace('\0', " ");
            Some(Process { pid, command })
        })
        .collect()
}

/// Ends whatever is left of a system.
pub(crate) fn end_all(mark: &str) -> bool {
    let gone = within(Duration::from_secs(10), &mut || {
        let left = marked(mark);
        for process in &left {
            kill(process.pid, Signal::KILL);
        }
        left.is_empty().then_some(())
    });
    gone.is_some()
}

/// Sends a signal; a process that is gone is fine.
pub(crate) fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(pid, signal);
    }
}

/// Whether a process lives. One that only waits to be reaped does not, but its threads may still be ending and hold
/// its locks and ports.
pub(crate) fn lives(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    let is_ended = |stat: &str| {
        stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with(['Z', 'X'])
    };
    threads.flatten().any(|thread| {
        fs::read_to_string(thread.path().join("stat")).is_ok_and(|stat| !is_ended(&stat))
    })
}

/// Resident memory in bytes.
pub(crate) fn memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
