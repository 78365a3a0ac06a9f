//! Which port a caller reaches a need or its app API at, remembered over restarts of the node.
//!
//! Instances that outlive the node have the address in their environment, so the next node must listen
//! there again. A file is written whole beside the old one and renamed over it; one that cannot be
//! read is set aside and said, never a reason not to start. It is not synced to the disk: no instance outlives the
//! machine.

use base::{InstanceId, ServiceName};
use logic::balance::hash;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    net::IpAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};
use tracing::warn;

/// Version of both files.
const VERSION: u64 = 1;

/// Where ports are taken from: below Linux' default range for outgoing connections (32768 and up), so
/// that no connection of another program happens to have one when the node comes back.
pub(crate) const PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// What listens at a port, and at which address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) what: What,
    pub(crate) on: IpAddr,
}

/// What a listener is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// Who calls whom.
    Need { caller: ServiceName, need: ServiceName },
    /// Whose app API.
    App { caller: InstanceId, speech: Speech },
}

/// What an app API's port is named after. Both speak both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Speech {
    Http,
    Grpc,
}

impl Speech {
    fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Need { caller, need } => write!(f, "{caller} -> {need} on {}", self.on),
            What::App { caller, speech } => {
                write!(f, "{caller} {} on {}", speech.as_str(), self.on)
            }
        }
    }
}

/// The remembered ports.
#[derive(Debug)]
pub(crate) struct PortBook {
    /// `run/`; also what makes the first choice another one in another system.
    folder: PathBuf,
    ports: BTreeMap<Key, u16>,
}

impl PortBook {
    /// Reads the files in `folder`; without them there is nothing to remember.
    ///
    /// # Errors
    /// The file that is there and cannot be read at all.
    pub(crate) fn load(folder: PathBuf) -> Result<Self, (PathBuf, io::Error)> {
        let mut ports = BTreeMap::new();
        for kind in [Kind::Needs, Kind::Apps] {
            let file = folder.join(kind.file());
            match fs::read(&file) {
                Ok(bytes) => match parse(kind, &bytes) {
                    Some(found) => ports.extend(found),
                    None => {
                        let kept = fs::rename(&file, file.with_extension("json.bad")).is_ok();
                        let file = file.display();
                        warn!(%file, kept, "remembered ports cannot be read, set aside");
                    }
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err((file, e)),
            }
        }
        Ok(Self { folder, ports })
    }

    /// All that is remembered.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.ports.keys().cloned().collect()
    }

    /// The ports to try for `key`, best first: the remembered one, then free ones from a place that follows
    /// from who asks, so that two systems hardly ever meet, and in the end those of others that may be gone.
    pub(crate) fn candidates(&self, key: &Key) -> impl Iterator<Item = u16> + use<> {
        let remembered = self.ports.get(key).copied();
        let name = format!("{} {key}", self.folder.display());
        let count = PORTS.len();
        let start = usize::try_from(hash(name.as_bytes()) % 65_536).unwrap_or(0) % count;
        let others: BTreeSet<u16> = self.ports.values().copied().collect();
        let probed = {
            let others = others.clone();
            PORTS.cycle_from(start).filter(move |port| !others.contains(port))
        };
        remembered.into_iter().chain(probed).chain(others)
    }

    /// Remembers the ports of keys of one kind.
    ///
    /// # Errors
    /// When the file cannot be written; the ports are remembered until the node ends all the same.
    pub(crate) fn remember(&mut self, new: &[(Key, u16)]) -> io::Result<()> {
        let mut changed: BTreeSet<Kind> = BTreeSet::new();
        for (key, port) in new {
            if self.ports.insert(key.clone(), *port) != Some(*port) {
                changed.insert(key.kind());
            }
        }
        changed.into_iter().try_for_each(|kind| self.write(kind))
    }

    /// Forgets the app API of `caller`. The file follows with its next change: what it has too much does no harm.
    pub(crate) fn forget_app(&mut self, caller: &InstanceId) {
        self.ports.retain(
            |key, _| !matches!(&key.what, What::App { caller: other, .. } if other == caller),
        );
    }

    /// Forgets app APIs whose service is not in `services`.
    pub(crate) fn keep_apps_of(&mut self, services: &BTreeSet<&ServiceName>) {
        self.ports.retain(|key, _| match &key.what {
            What::App { caller, .. } => services.contains(&caller.service),
            What::Need { .. } => true,
        });
    }

    fn write(&self, kind: Kind) -> io::Result<()> {
        let of_kind = self.ports.iter().filter(|(key, _)| key.kind() == kind);
        let entries: Vec<Value> = of_kind.map(|(key, port)| entry(key, *port)).collect();
        let text = json!({ "version": VERSION, (kind.list()): entries }).to_string();
        write_whole(&self.folder.join(kind.file()), text.as_bytes())
    }
}

/// What a file is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Needs,
    Apps,
}

impl Kind {
    fn file(self) -> &'static str {
        match self {
            Self::Needs => "needs.json",
            Self::Apps => "apps.json",
        }
    }

    fn list(self) -> &'static str {
        match self {
            Self::Needs => "needs",
            Self::Apps => "apps",
        }
    }
}

impl Key {
    fn kind(&self) -> Kind {
        match self.what {
            What::Need { .. } => Kind::Needs,
            What::App { .. } => Kind::Apps,
        }
    }
}

/// A range that starts in its middle.
trait CycleFrom {
    fn cycle_from(self, start: usize) -> impl Iterator<Item = u16>;
}

impl CycleFrom for RangeInclusive<u16> {
    fn cycle_from(self, start: usize) -> impl Iterator<Item = u16> {
        self.clone().skip(start).chain(self.take(start))
    }
}

fn entry(key: &Key, port: u16) -> Value {
    let on = key.on.to_string();
    match &key.what {
        What::Need { caller, need } => {
            json!({ "caller": caller.as_str(), "need": need.as_str(), "on": on, "port": port })
        }
        What::App { caller, speech } => json!({
            "caller": caller.to_string(),
            "speech": speech.as_str(),
            "on": on,
            "port": port,
        }),
    }
}

fn parse(kind: Kind, bytes: &[u8]) -> Option<BTreeMap<Key, u16>> {
    let file: Value = serde_json::from_slice(bytes).ok()?;
    if file.get("version")?.as_u64()? != VERSION {
        return None;
    }
    let read = |entry: &Value| {
        let text = |name| entry.get(name).and_then(Value::as_str);
        let what = match kind {
            Kind::Needs => What::Need {
                caller: ServiceName::new(text("caller")?).ok()?,
                need: ServiceName::new(text("need")?).ok()?,
            },
            Kind::Apps => What::App {
                caller: InstanceId::parse(text("caller")?).ok()?,
                speech: match text("speech")? {
                    "http" => Speech::Http,
                    "grpc" => Speech::Grpc,
                    _ => return None,
                },
            },
        };
        let key = Key { what, on: text("on")?.parse().ok()? };
        Some((key, u16::try_from(entry.get("port")?.as_u64()?).ok()?))
    };
    file.get(kind.list())?.as_array()?.iter().map(read).collect()
}

/// Replaces `file` in one step.
fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("json.new");
    fs::write(&beside, bytes)?;
    fs::rename(&beside, file)
}
