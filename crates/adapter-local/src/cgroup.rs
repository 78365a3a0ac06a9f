//! Limits and bookkeeping by control groups (cgroup v2), where this node was given some.
//!
//! ```text
//!   <own>                      the group this node was started in
//!   ├── node                   this node, when `<own>` must be empty to pass controllers on
//!   └── flotilla-<system>
//!       ├── users.1.<run>      one per run: cpu.max, memory.high, memory.max, pids.max
//!       └── …
//! ```
//!
//! Two things are asked for apart. *Tracking* needs only the right to make folders: then no process can leave
//! its run. *Limits* need controllers handed down to us (systemd calls it delegation). What is missing is
//! said with the line that mends it; it never stops a start.
//! Source: the kernel's `Documentation/admin-guide/cgroup-v2.rst`.

use ports::host::{Capabilities, Enforcement, Limits};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tracing::debug;

const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// Period of `cpu.max` in microseconds: the kernel's default.
const CPU_PERIOD_US: u32 = 100_000;

/// Smallest quota the kernel accepts, in microseconds.
const CPU_QUOTA_US_MIN: f64 = 1_000.0;

/// Where to look; other than the real places only in tests.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// `/proc/self/cgroup`.
    pub(crate) own: PathBuf,
    /// `/proc/self/mountinfo`.
    pub(crate) mounts: PathBuf,
    /// There when systemd manages the machine, and then only groups it delegated may be changed.
    pub(crate) systemd: PathBuf,
}

impl Default for Sources {
    fn default() -> Self {
        Self {
            own: PathBuf::from("/proc/self/cgroup"),
            mounts: PathBuf::from("/proc/self/mountinfo"),
            systemd: PathBuf::from("/run/systemd/system"),
        }
    }
}

/// What control groups this node may use.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    /// The folder that gets one folder per run; `None`: not even that.
    home: Option<PathBuf>,
    enabled: BTreeSet<&'static str>,
    /// Why controllers are missing and what to do.
    missing: String,
}

impl Cgroups {
    /// None at all.
    pub(crate) fn off(why: impl Into<String>) -> Self {
        Self { home: None, enabled: BTreeSet::new(), missing: why.into() }
    }

    /// Finds out what this node was given and prepares it. May move this process into a sub-group.
    pub(crate) fn prepare(sources: &Sources, system: &str) -> Self {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        let name = format!("flotilla-{}", system.chars().map(plain).collect::<String>());
        let Some(own) = own_group(sources).map(|own| beside(own, &name)) else {
            return Self::off(
                "this machine has no unified control groups (cgroup v2): boot it with them, or run in a container with a memory limit",
            );
        };
        let home = own.join(&name);
        if let Err(e) = make(&home) {
            debug!(path = %home.display(), error = %e, "no control group of our own");
            return Self::off(advice("this node was given no control group"));
        }
        let mut enabled = BTreeSet::new();
        let may = !sources.systemd.exists() || is_delegated(&own);
        if may {
            let at_hand = words(&own.join("cgroup.controllers"));
            for controller in CONTROLLERS.iter().filter(|c| at_hand.contains(**c)) {
                match hand_down(&own, &home, controller) {
                    Ok(()) => _ = enabled.insert(*controller),
                    Err(e) => debug!(controller, error = %e, "a controller cannot be handed down"),
                }
            }
        }
        let missing = if may && enabled.is_empty() && own_controllers_v1(sources) {
            "the controllers are bound to control groups of version 1: boot with `systemd.unified_cgroup_hierarchy=1`"
                .to_owned()
        } else {
            advice("this node's control group was not delegated")
        };
        Self { home: Some(home), enabled, missing }
    }

    pub(crate) fn describe(&self, capabilities: &mut Capabilities) {
        let state = |controller: &str| {
            if self.enabled.contains(controller) {
                Enforcement::Enforced
            } else {
                Enforcement::Missing(self.missing.clone())
            }
        };
        capabilities.limit_cpu = state("cpu");
        capabilities.limit_memory = state("memory");
        capabilities.limit_pids = state("pids");
    }

    /// Removes the folder of the system once no run is in it any more.
    pub(crate) fn close(&self) {
        if let Some(home) = &self.home
            && let Err(e) = fs::remove_dir(home)
        {
            debug!(path = %home.display(), error = %e, "the control group of the system stays");
        }
    }

    /// Makes the group of one run with its limits; `None` where there are no groups.
    pub(crate) fn create(&self, run: &str, limits: &Limits) -> Option<PathBuf> {
        let path = self.home.as_ref()?.join(run);
        if let Err(e) = make(&path) {
            debug!(path = %path.display(), error = %e, "no control group for the run");
            return None;
        }
        for (file, controller, value) in settings(limits) {
            if self.enabled.contains(controller)
                && let Err(e) = put(&path.join(file), &value)
            {
                tracing::warn!(run, file, value, error = %e, "a limit could not be set");
            }
        }
        Some(path)
    }
}

/// What limits look like to the kernel: file, controller, value.
fn settings(limits: &Limits) -> Vec<(&'static str, &'static str, String)> {
    let mut all = Vec::new();
    if let Some(cores) = limits.cpu {
        let quota_us = (cores * f64::from(CPU_PERIOD_US)).max(CPU_QUOTA_US_MIN);
        all.push(("cpu.max", "cpu", format!("{quota_us:.0} {CPU_PERIOD_US}")));
    }
    if let Some(memory) = limits.memory {
        // Above nine tenths the kernel reclaims and slows down before it kills at the limit.
        all.push(("memory.high", "memory", (memory.0 / 10 * 9).to_string()));
        all.push(("memory.max", "memory", memory.0.to_string()));
        // Half a service is worse than none: all of it ends and is started again.
        all.push(("memory.oom.group", "memory", "1".to_owned()));
    }
    if let Some(pids) = limits.pids {
        all.push(("pids.max", "pids", pids.to_string()));
    }
    all
}

/// The processes in the group and below it.
pub(crate) fn processes(group: &Path) -> Vec<u32> {
    let mut all: Vec<u32> =
        words(&group.join("cgroup.procs")).iter().filter_map(|pid| pid.parse().ok()).collect();
    for inner in inner_groups(group) {
        all.extend(processes(&inner));
    }
    all
}

/// Kills all in the group at once, where the kernel can (Linux 5.14).
pub(crate) fn kill(group: &Path) {
    let file = group.join("cgroup.kill");
    if file.exists()
        && let Err(e) = put(&file, "1")
    {
        debug!(path = %file.display(), error = %e, "a control group cannot be killed");
    }
}

/// Removes the group, which must have no process any more, and those its processes made in it.
pub(crate) fn remove(group: &Path) {
    for inner in inner_groups(group) {
        remove(&inner);
    }
    if let Err(e) = fs::remove_dir(group)
        && e.kind() != io::ErrorKind::NotFound
    {
        debug!(path = %group.display(), error = %e, "a control group cannot be removed");
    }
}

/// How often the kernel killed in the group because its memory limit was reached.
pub(crate) fn memory_kills(group: &Path) -> u64 {
    key(&group.join("memory.events"), "oom_kill").unwrap_or(0)
}

/// Processor time used in the group.
pub(crate) fn cpu(group: &Path) -> Option<Duration> {
    key(&group.join("cpu.stat"), "usage_usec").map(Duration::from_micros)
}

/// Memory used in the group, in bytes.
pub(crate) fn memory(group: &Path) -> Option<u64> {
    fs::read_to_string(group.join("memory.current")).ok()?.trim().parse().ok()
}

fn inner_groups(group: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(group).into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        entry.file_type().ok()?.is_dir().then(|| entry.path())
    })
}

/// The value after `name` in a file of `name value` lines.
fn key(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

fn words(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Files of control groups exist already; one that does not must not be made.
fn put(file: &Path, text: &str) -> io::Result<()> {
    use io::Write as _;
    fs::OpenOptions::new().write(true).open(file)?.write_all(text.as_bytes())
}

fn make(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Lets groups below `own` and below `home` use `controller`. A group that has processes cannot hand anything
/// down (except the topmost one), so this process steps aside when it is the one in the way.
fn hand_down(own: &Path, home: &Path, controller: &str) -> io::Result<()> {
    let enable =
        |group: &Path| put(&group.join("cgroup.subtree_control"), &format!("+{controller}"));
    match enable(own) {
        Err(e) if e.kind() == io::ErrorKind::ResourceBusy => {
            let aside = own.join("node");
            make(&aside)?;
            put(&aside.join("cgroup.procs"), "0")?;
            if let Err(e) = enable(own) {
                // Others are there too: it is not ours to move them.
                put(&own.join("cgroup.procs"), "0")?;
                fs::remove_dir(&aside)?;
                return Err(e);
            }
        }
        other => other?,
    }
    enable(home)
}

fn advice(what: &str) -> String {
    format!(
        "{what}: start it with `systemd-run --user --scope -p Delegate=yes flotilla up`, or set \
         `Delegate=yes` in its systemd unit"
    )
}

/// The folder of the group this process is in.
fn own_group(sources: &Sources) -> Option<PathBuf> {
    let text = fs::read_to_string(&sources.own).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let (root, mount) = mount(&fs::read_to_string(&sources.mounts).ok()?)?;
    // `/..` means: outside of what this container sees.
    let inside = Path::new(path).strip_prefix(&root).ok()?;
    let climbs = inside.components().any(|part| part == std::path::Component::ParentDir);
    (!climbs).then(|| mount.join(inside))
}

/// The group that is used: `own`, or the one above it when an earlier node of this system stepped aside into `own`
/// and started this process from there.
fn beside(own: PathBuf, home: &str) -> PathBuf {
    match own.parent() {
        Some(above) if own.ends_with("node") && above.join(home).is_dir() => above.to_owned(),
        _ => own,
    }
}

/// Root and mount point of the unified hierarchy in a mountinfo text (proc(5)).
fn mount(text: &str) -> Option<(PathBuf, PathBuf)> {
    text.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (kind.split(' ').next()? == "cgroup2")
            .then(|| (unescape(root).into(), unescape(point).into()))
    })
}

/// Blanks and the like stand as `\040` there.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn own_controllers_v1(sources: &Sources) -> bool {
    let text = fs::read_to_string(&sources.own).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split(':').nth(1))
        .any(|names| names.split(',').any(|n| CONTROLLERS.contains(&n)))
}

/// Whether systemd marked the group as handed over.
fn is_delegated(group: &Path) -> bool {
    ["user.delegate", "trusted.delegate"].iter().any(|name| {
        let mut value = [0_u8; 8];
        rustix::fs::getxattr(group, *name, &mut value).is_ok_and(|_| value[0] == b'1')
    })
}

#[cfg(test)]
mod tests;
