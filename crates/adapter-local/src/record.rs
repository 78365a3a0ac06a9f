//! What is written down about a run so that the next node finds it: `run/<service>.<number>.<run>.json`.
//!
//! The record is there before the process is, first without a process id. A node that dies between the two
//! leaves an intent, and the process is found by the marker in its environment; so there is no moment in
//! which a process runs that no later node knows of. It is removed last, after everything else of the run.

use crate::{launch, proc::Process};
use base::{InstanceId, ServiceName, Timestamp};
use ports::host::{Run, RunId};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use tracing::warn;

/// The layout of a record. A record of another layout is set aside, never guessed at.
pub(crate) const VERSION: u32 = 1;

/// Largest record read, in bytes; ours have a few hundred and labels.
const RECORD_LEN_MAX: u64 = 1024 * 1024;

/// Where things of the host are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Records and read positions.
    pub(crate) run: PathBuf,
    /// Raw output.
    pub(crate) out: PathBuf,
}

impl Places {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self { run: state_dir.join("run"), out: state_dir.join("out") }
    }

    /// Makes the folders, for the owner only: output may hold secrets.
    pub(crate) fn create(&self) -> Result<(), crate::Error> {
        for path in [&self.run, &self.out] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|cause| crate::Error::StateDir { path: path.clone(), cause })?;
        }
        Ok(())
    }

    pub(crate) fn record(&self, run: &str) -> PathBuf {
        self.run.join(format!("{run}.json"))
    }

    /// The file that takes one stream, `out` or `err`.
    pub(crate) fn output(&self, run: &str, stream: &str) -> PathBuf {
        self.out.join(format!("{run}.{stream}"))
    }

    /// How far that file was read.
    pub(crate) fn position(&self, run: &str, stream: &str) -> PathBuf {
        self.run.join(format!("{run}.{stream}.pos"))
    }

    /// Held by a guard while it lives.
    pub(crate) fn guard_lock(&self) -> PathBuf {
        self.run.join("guard.lock")
    }

    /// Removes everything of a run, the record last.
    pub(crate) fn remove(&self, run: &str) -> io::Result<()> {
        for stream in STREAMS {
            remove(&self.output(run, stream))?;
            remove(&self.position(run, stream))?;
        }
        remove(&self.record(run))
    }
}

/// The two streams as file names have them.
pub(crate) const STREAMS: [&str; 2] = ["out", "err"];

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// What is known of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) version: u32,
    /// `<service>.<number>.<random>`.
    pub(crate) run: String,
    /// `<service>/<number>`.
    pub(crate) instance: String,
    /// The node that owns the run; a guard touches only what its own node owns.
    pub(crate) node: String,
    /// The boot in which `main` means something.
    pub(crate) boot: String,
    /// The main process; `None` while it is being started.
    pub(crate) main: Option<Process>,
    pub(crate) port: Option<u16>,
    pub(crate) started_at_us: u64,
    pub(crate) dir: PathBuf,
    pub(crate) cgroup: Option<PathBuf>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Record {
    /// Writes the record in one step: a reader sees the old one or the new one.
    pub(crate) fn write(&self, places: &Places) -> io::Result<()> {
        use io::Write as _;
        let path = places.record(&self.run);
        let temporary = places.run.join(format!(".{}.tmp", self.run));
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&text)?;
        fs::rename(&temporary, &path)
    }

    /// The run as the port shows it; `None` when the record names no instance.
    pub(crate) fn run(&self) -> Option<Run> {
        Some(Run {
            id: RunId(self.run.as_str().into()),
            instance: InstanceId::parse(&self.instance).ok()?,
            pid: self.main.map(|main| main.pid),
            port: self.port,
            address: self.port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            started_at: Timestamp(self.started_at_us),
            labels: self.labels.clone(),
        })
    }
}

/// Something in `run/` that should be a record.
#[derive(Debug)]
pub(crate) enum Found {
    Record(Box<Record>),
    /// Cannot be read; the name still tells which run it was.
    Broken {
        run: String,
        why: String,
    },
}

/// All records, in no order. Other files of the folder are left alone.
pub(crate) fn read_all(places: &Places) -> io::Result<Vec<Found>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(&places.run)? {
        let name = entry?.file_name();
        let Some(run) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
        if !is_run(run) {
            continue;
        }
        all.push(match read(&places.record(run), run) {
            Ok(record) => Found::Record(Box::new(record)),
            Err(why) => Found::Broken { run: run.to_owned(), why },
        });
    }
    Ok(all)
}

/// Moves a record nobody can read out of the way, and keeps it for people to look at.
pub(crate) fn set_aside(places: &Places, run: &str) {
    let from = places.record(run);
    let to = places.run.join(format!("{run}.broken"));
    if let Err(e) = fs::rename(&from, &to) {
        warn!(run, error = %e, "a broken run record cannot be set aside");
    }
}

fn read(path: &Path, run: &str) -> Result<Record, String> {
    let length = fs::metadata(path).map_err(|e| e.to_string())?.len();
    if length > RECORD_LEN_MAX {
        return Err(format!("it has {length} bytes"));
    }
    let text = fs::read(path).map_err(|e| e.to_string())?;
    let record: Record = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    if record.version != VERSION {
        return Err(format!("it has version {}, this node reads {VERSION}", record.version));
    }
    if record.run != run || record.run().is_none() {
        return Err("it does not fit its name".to_owned());
    }
    Ok(record)
}

/// Makes a run's name: unique on this machine, also among other systems and after clock jumps, because
/// processes are found by it.
pub(crate) fn new_run(instance: &InstanceId) -> String {
    format!("{}.{}.{}", instance.service, instance.number, random())
}

/// Sixteen random hexadecimal digits.
pub(crate) fn random() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    // The standard library seeds this from the system's random numbers.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    format!("{:016x}", hasher.finish())
}

/// Whether a text is a name that [`new_run`] makes.
fn is_run(text: &str) -> bool {
    let mut parts = text.splitn(3, '.');
    let (Some(service), Some(number), Some(random)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    ServiceName::new(service).is_ok()
        && number.parse::<u32>().is_ok()
        && random.len() == 16
        && random.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The instance in a run's name.
pub(crate) fn instance_of(run: &str) -> Option<InstanceId> {
    let mut parts = run.splitn(3, '.');
    let service = ServiceName::new(parts.next()?).ok()?;
    Some(InstanceId { service, number: parts.next()?.parse().ok()? })
}

/// The environment an adopted process was started with, without our own marks.
pub(crate) fn environment_of(pid: u32) -> Option<HashMap<std::ffi::OsString, std::ffi::OsString>> {
    let mut all: HashMap<_, _> = crate::proc::environ(pid)?.into_iter().collect();
    all.remove(std::ffi::OsStr::new(launch::RUN_VARIABLE));
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_we_make_are_taken_for_records() {
        let instance = InstanceId::parse("users-next/12").unwrap();
        let run = new_run(&instance);
        assert!(is_run(&run), "{run}");
        assert_eq!(instance_of(&run), Some(instance));
        for other in [
            "needs",
            "users.1",
            "users.x.0123456789abcdef",
            "users.1.xyz",
            "a.1.0123456789abcdef.2",
        ] {
            assert!(!is_run(other), "{other}");
        }
        assert_ne!(random(), random());
    }
}
