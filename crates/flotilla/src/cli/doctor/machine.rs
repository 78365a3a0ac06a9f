//! Whether the machine gives what a node needs: file descriptors, watches, room on the disk, a clock that is
//! right, and control groups when the file has limits.

use super::Finding;
use base::ByteSize;
use manifest::System;
use rustix::{
    fs::{Access, access, statvfs},
    process::{Resource, getrlimit},
};
use std::{env, fs, path::Path, time::SystemTime};

const GROUP: &str = "machine";

/// Open files that a node should be allowed: each proxied connection takes two, and 1024 (the usual soft limit)
/// is reached by 500 clients.
const FILES_WANTED: u64 = 4096;
/// Watches that an editor and a few services leave room for.
const WATCHES_WANTED: u64 = 8192;
/// Free bytes below which logs and databases will soon fail.
const DISK_WANTED: u64 = 1 << 30;
/// Free bytes below which nothing can be expected to work.
const DISK_NEEDED: u64 = 64 << 20;

pub(super) fn look(root: &Path, system: Option<&System>) -> Vec<Finding> {
    let limit = getrlimit(Resource::Nofile);
    let mut findings = vec![
        files(limit.current, limit.maximum),
        watches(read_number("/proc/sys/fs/inotify/max_user_watches")),
    ];
    match statvfs(root) {
        Ok(about) => findings.push(disk(about.f_bavail.saturating_mul(about.f_frsize))),
        Err(e) => findings.push(Finding::warn(
            GROUP,
            "disk",
            format!("cannot be asked: {e}"),
            "look with df",
        )),
    }
    findings.push(clock(SystemTime::now(), built_at()));
    let limited: Vec<&str> = system
        .map(|system| {
            let has_limit = |s: &&manifest::Service| {
                s.limits.cpu.is_some() || s.limits.memory.is_some() || s.limits.pids.is_some()
            };
            system.services.iter().filter(has_limit).map(|s| s.name.as_str()).collect()
        })
        .unwrap_or_default();
    if !limited.is_empty() {
        findings.push(limits(&limited));
    }
    findings
}

/// Open files; `None` is no limit.
fn files(soft: Option<u64>, hard: Option<u64>) -> Finding {
    let text = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), |n| n.to_string());
    let found = format!("{} (at most {})", text(soft), text(hard));
    if soft.is_none_or(|soft| soft >= FILES_WANTED) {
        return Finding::good(GROUP, "open files", found);
    }
    Finding::warn(
        GROUP,
        "open files",
        found,
        format!("`ulimit -n {FILES_WANTED}` before `flotilla up`: each open request takes two"),
    )
}

fn watches(watches: Option<u64>) -> Finding {
    match watches {
        Some(number) if number < WATCHES_WANTED => Finding::warn(
            GROUP,
            "file watches",
            format!("{number} at most"),
            "sudo sysctl fs.inotify.max_user_watches=524288",
        ),
        Some(number) => Finding::good(GROUP, "file watches", format!("{number} at most")),
        None => Finding::good(GROUP, "file watches", "not limited here"),
    }
}

fn disk(free: u64) -> Finding {
    let found = format!("{} free", ByteSize(free));
    if free < DISK_NEEDED {
        Finding::fail(GROUP, "disk", found, "make room: logs and databases cannot be written")
    } else if free < DISK_WANTED {
        Finding::warn(GROUP, "disk", found, "make room before logs and databases fill it")
    } else {
        Finding::good(GROUP, "disk", found)
    }
}

/// When this program was made, which cannot be later than now.
fn built_at() -> Option<SystemTime> {
    fs::metadata(env::current_exe().ok()?).ok()?.modified().ok()
}

fn clock(now: SystemTime, built: Option<SystemTime>) -> Finding {
    match built {
        Some(built) if built > now => Finding::warn(
            GROUP,
            "clock",
            "is before this program was made",
            "set it (timedatectl set-ntp true): certificates, tokens and logs depend on it",
        ),
        _ => Finding::good(GROUP, "clock", "plausible"),
    }
}

/// Control groups, version 2, given to this user.
fn limits(services: &[&str]) -> Finding {
    let what = format!("limits (for {})", services.join(", "));
    let help = "run under systemd with delegation (systemd-run --user --scope -p Delegate=yes flotilla up); \
                without it the services run unlimited";
    let Ok(own) = fs::read_to_string("/proc/self/cgroup") else {
        return Finding::warn(GROUP, what, "this system has no control groups", help);
    };
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::")) else {
        return Finding::warn(GROUP, what, "only version 1 of control groups is there", help);
    };
    let folder = Path::new("/sys/fs/cgroup").join(path.trim_start_matches('/'));
    let controllers = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    let missing: Vec<&str> = ["cpu", "memory", "pids"]
        .into_iter()
        .filter(|name| !controllers.split_whitespace().any(|c| c == *name))
        .collect();
    if !missing.is_empty() {
        return Finding::warn(
            GROUP,
            what,
            format!("no controller for {}", missing.join(", ")),
            help,
        );
    }
    if access(&folder, Access::WRITE_OK).is_err()
        || access(folder.join("cgroup.procs"), Access::WRITE_OK).is_err()
    {
        return Finding::warn(GROUP, what, "the control group is not delegated to this user", help);
    }
    Finding::good(GROUP, what, "control groups are delegated")
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;
    use std::time::Duration;

    #[test]
    fn thresholds_tell_good_from_tight_from_hopeless() {
        assert_eq!(files(Some(1024), Some(524_288)).level, Level::Warn);
        assert_eq!(files(Some(4096), Some(4096)).level, Level::Good);
        assert_eq!(files(None, None).level, Level::Good);
        assert_eq!(watches(Some(100)).level, Level::Warn);
        assert_eq!(watches(None).level, Level::Good);
        assert_eq!(disk(10 << 20).level, Level::Fail);
        assert_eq!(disk(500 << 20).level, Level::Warn);
        assert_eq!(disk(5 << 30).level, Level::Good);
        let now = SystemTime::now();
        assert_eq!(clock(now, Some(now + Duration::from_secs(3_600))).level, Level::Warn);
        assert_eq!(clock(now, Some(now)).level, Level::Good);
    }
}
