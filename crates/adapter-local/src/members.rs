//! Which processes belong to a run, and how all of them are ended.
//!
//! Everything here blocks and needs no runtime: the guard uses it too.
//!
//! A process belongs to a run when it is in the run's process group, in its control group, has the run's
//! marker in its environment, or descends from one that does. The group alone is not enough, because a
//! program may leave it (`setsid`); the marker alone is not, because a program may clear its environment.

use crate::{
    cgroup, launch,
    proc::{self, Process, Stat},
    running::collect,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Signal, kill_process_group},
};
use std::{
    collections::{HashMap, HashSet},
    io,
    os::fd::OwnedFd,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often the processes of a run are looked for again, because a program may start new ones while it is
/// being killed. Each round kills all it sees, so only a fork bomb needs more.
const ROUNDS_MAX: usize = 50;

/// Whose processes are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    pub(crate) run: String,
    /// The main process, alive or not.
    pub(crate) main: Option<Process>,
    pub(crate) cgroup: Option<PathBuf>,
}

/// How a process belongs to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// In its process group.
    Group,
    /// Left the group.
    Away,
    /// Of a probe command.
    Probe,
}

/// A living process of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) process: Process,
    pub(crate) name: String,
    pub(crate) role: Role,
}

impl Target {
    /// Whether the group's number still means this run's group: the main process exists, if only as an entry
    /// that was not collected, and while a number has an owner or a group it is not given out again.
    fn owns_group(&self) -> bool {
        self.main.is_some_and(|main| main.stat().is_some())
    }

    /// Signals the process group. That it is empty is no error.
    pub(crate) fn signal_group(&self, signal: Signal) -> io::Result<()> {
        let Some(main) = self.main else { return Ok(()) };
        if !self.owns_group() {
            // The number may be someone else's by now: only members that prove to be ours are signalled.
            for member in self.members().iter().filter(|member| member.role == Role::Group) {
                member.process.signal(signal)?;
            }
            return Ok(());
        }
        let Some(group) = proc::raw(main.pid) else { return Ok(()) };
        match kill_process_group(group, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// The living processes of the run, as one look at `/proc` shows them.
    pub(crate) fn members(&self) -> Vec<Member> {
        let all = proc::all();
        let mut known = self.known(&all, true);
        let own = std::process::id();
        known.remove(&own);
        all.into_iter()
            .filter(|stat| !stat.is_dead())
            .filter_map(|stat| {
                let role = *known.get(&stat.process.pid)?;
                Some(Member { process: stat.process, name: stat.name, role })
            })
            .collect()
    }

    /// Finds the run's processes among `all`. Without `marked`, no environment is read: cheap, but blind for
    /// those that left the group and lost their parent.
    pub(crate) fn known(&self, all: &[Stat], marked: bool) -> HashMap<u32, Role> {
        let owns_group = self.owns_group();
        let in_cgroup: HashSet<u32> =
            self.cgroup.as_deref().map(cgroup::processes).unwrap_or_default().into_iter().collect();
        let mut known = HashMap::new();
        for stat in all {
            let pid = stat.process.pid;
            // Nothing of a run is older than its main process.
            if stat.is_kernel()
                || self.main.is_some_and(|main| stat.process.start_ticks < main.start_ticks)
            {
                continue;
            }
            let in_group = self.main.is_some_and(|main| main.pid == stat.group);
            if in_group && owns_group {
                known.insert(pid, Role::Group);
            } else if in_cgroup.contains(&pid) {
                known.insert(pid, Role::Away);
            } else if marked && let Some(probe) = self.marked(pid) {
                let role = match (probe, in_group) {
                    (true, _) => Role::Probe,
                    (false, true) => Role::Group,
                    (false, false) => Role::Away,
                };
                known.insert(pid, role);
            }
        }
        self.add_descendants(all, &mut known);
        known
    }

    /// Whether the process has the run's marker, and if so whether it is of a probe.
    fn marked(&self, pid: u32) -> Option<bool> {
        let env = proc::environ(pid)?;
        let is_ours = env
            .iter()
            .any(|(name, value)| name == launch::RUN_VARIABLE && value == self.run.as_str());
        is_ours.then(|| env.iter().any(|(name, _)| name == launch::PROBE_VARIABLE))
    }

    fn add_descendants(&self, all: &[Stat], known: &mut HashMap<u32, Role>) {
        let own = std::process::id();
        loop {
            let before = known.len();
            for stat in all {
                let pid = stat.process.pid;
                if pid != own
                    && !known.contains_key(&pid)
                    && let Some(role) = known.get(&stat.parent)
                {
                    let role = if *role == Role::Probe { Role::Probe } else { Role::Away };
                    known.insert(pid, role);
                }
            }
            if known.len() == before {
                return;
            }
        }
    }

    /// Kills every process of the run and waits until all have ended. Returns those that had left the group.
    ///
    /// # Errors
    /// Names those that did not end within `within`: they hang in the kernel or belong to another user.
    pub(crate) fn kill(&self, within: Duration) -> Result<Vec<Member>, String> {
        let deadline = Instant::now() + within;
        let mut away: Vec<Member> = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let members = self.members();
            if members.is_empty() {
                return Ok(away);
            }
            for member in members.iter().filter(|member| member.role == Role::Away) {
                if !away.contains(member) {
                    away.push(member.clone());
                }
            }
            let open: Vec<(Member, OwnedFd)> = members
                .iter()
                .filter_map(|member| Some((member.clone(), member.process.open()?)))
                .collect();
            self.kill_once(&members);
            let is_over = !wait_ended(open.iter().map(|(_, fd)| fd), deadline);
            self.collect_orphans(&open);
            if is_over {
                break;
            }
        }
        let left = self.members();
        if left.is_empty() {
            return Ok(away);
        }
        let names: Vec<String> =
            left.iter().map(|m| format!("{} {}", m.process.pid, m.name)).collect();
        Err(names.join(", "))
    }

    /// Where this node is the first process of a container, orphans become its children. The main process
    /// stays uncollected for as long as its number must mean it.
    fn collect_orphans(&self, open: &[(Member, OwnedFd)]) {
        for (member, fd) in open {
            if Some(member.process) != self.main && member.role != Role::Probe {
                collect(fd);
            }
        }
    }

    /// Errors are not looked at one by one: who is still there afterwards tells.
    fn kill_once(&self, members: &[Member]) {
        if let Some(cgroup) = &self.cgroup {
            cgroup::kill(cgroup);
        }
        if let Err(e) = self.signal_group(Signal::KILL) {
            tracing::debug!(run = self.run, error = %e, "the process group cannot be killed");
        }
        for member in members.iter().filter(|member| member.role != Role::Group) {
            if let Err(e) = member.process.signal(Signal::KILL) {
                tracing::debug!(run = self.run, pid = member.process.pid, error = %e, "a process cannot be killed");
            }
        }
    }
}

/// Waits until all of the processes have ended; `false` when the deadline came first.
pub(crate) fn wait_ended<'a>(
    open: impl IntoIterator<Item = &'a OwnedFd>,
    deadline: Instant,
) -> bool {
    let mut left: Vec<&OwnedFd> = open.into_iter().collect();
    while !left.is_empty() {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return false;
        }
        let mut fds: Vec<PollFd<'_>> =
            left.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
        match poll(&mut fds, Some(&timespec(remaining))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
        let ended: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ended = ended.into_iter();
        left.retain(|_| !ended.next().unwrap_or(false));
    }
    true
}

/// `duration` as the system calls want it.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
