//! What processes use, as Linux accounts for it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

/// Clock ticks per second in `/proc`: part of Linux' interface, the same on all machines we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Cpu {
    pub(crate) fn total(self) -> f64 {
        self.user + self.system
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }
}

struct Stat {
    is_alive: bool,
    parent: u32,
    own: Cpu,
    /// Of the children that ended and were waited for.
    children: Cpu,
}

fn stat(pid: &str) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse(&text)
}

fn parse(text: &str) -> Option<Stat> {
    // The name, in brackets, may contain anything.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let seconds = |at: usize| Some(fields.get(at)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    Some(Stat {
        is_alive: !matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        own: Cpu { user: seconds(11)?, system: seconds(12)? },
        children: Cpu { user: seconds(13)?, system: seconds(14)? },
    })
}

pub(crate) fn is_alive(pid: u32) -> bool {
    stat(&pid.to_string()).is_some_and(|stat| stat.is_alive)
}

/// A process and all that descend from it.
pub(crate) fn family(root: u32) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").context("there is no /proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        all.extend(stat(&pid.to_string()).map(|stat| (pid, stat.parent)));
    }
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&parent) = family.get(at) {
        family.extend(all.iter().filter(|(_, it)| *it == parent).map(|(pid, _)| *pid));
        at += 1;
    }
    Ok(family)
}

/// CPU time of a process with all its threads, and of all that descend from it.
pub(crate) fn cpu(root: u32) -> Result<Cpu> {
    let mut sum = Cpu::default();
    for pid in family(root)? {
        let Some(stat) = stat(&pid.to_string()) else { continue };
        sum.user += stat.own.user;
        sum.system += stat.own.system;
    }
    Ok(sum)
}

/// CPU time of one process with all its threads, in seconds.
pub(crate) fn cpu_of_one(pid: u32) -> Result<f64> {
    Ok(stat(&pid.to_string()).with_context(|| format!("process {pid} is gone"))?.own.total())
}

/// CPU time of this program and of the children it has waited for.
pub(crate) fn own_cpu() -> Result<f64> {
    let stat = stat("self").context("cannot read /proc/self/stat")?;
    Ok(stat.own.total() + stat.children.total())
}

/// Resident memory in bytes of a process and all that descend from it, pages that several share counted
/// once.
pub(crate) fn memory(root: u32) -> Result<f64> {
    let mut sum = 0.0;
    for pid in family(root)? {
        let folder = Path::new("/proc").join(pid.to_string());
        let kilobytes = field(&folder.join("smaps_rollup"), "Pss:")
            .or_else(|| field(&folder.join("status"), "VmRSS:"));
        sum += kilobytes.unwrap_or(0.0) * 1024.0;
    }
    Ok(sum)
}

/// Resident memory of one process in bytes.
pub(crate) fn memory_of_one(pid: u32) -> Result<f64> {
    let status = Path::new("/proc").join(pid.to_string()).join("status");
    Ok(field(&status, "VmRSS:").with_context(|| format!("process {pid} is gone"))? * 1024.0)
}

/// Open file descriptors of one process.
pub(crate) fn descriptors(pid: u32) -> Result<usize> {
    let folder = format!("/proc/{pid}/fd");
    Ok(fs::read_dir(&folder).with_context(|| format!("cannot read `{folder}`"))?.count())
}

fn field(file: &Path, name: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Time that all cores together have worked, and have had, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub(crate) busy: f64,
    pub(crate) all: f64,
}

impl Machine {
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
        let line = text.lines().next().context("/proc/stat is empty")?;
        let fields: Vec<f64> =
            line.split_whitespace().skip(1).take(8).filter_map(|it| it.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal
        let all: f64 = fields.iter().sum();
        let idle: f64 = fields.iter().skip(3).take(2).sum();
        Ok(Self { busy: (all - idle) / TICKS_PER_SECOND, all: all / TICKS_PER_SECOND })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accounting_is_read_past_any_name() {
        let line = "7 (a) b (c)) S 3 7 7 0 -1 4194560 1 2 3 4 150 50 20 10 20 0 9 0 1 2 3";
        let stat = parse(line).unwrap();
        assert!(stat.is_alive);
        assert_eq!(stat.parent, 3);
        assert_eq!(stat.own, Cpu { user: 1.5, system: 0.5 });
        assert_eq!(stat.children, Cpu { user: 0.2, system: 0.1 });
        assert!(!parse(&line.replace(" S ", " Z ")).unwrap().is_alive);
        assert!(parse("7 (a").is_none());
    }

    #[test]
    fn a_family_has_its_root_and_the_children() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let family = family(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&std::process::id()) && family.contains(&child.id()));
    }
}
