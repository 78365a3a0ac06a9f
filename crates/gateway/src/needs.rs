//! Which port a caller reaches a need at, remembered over restarts of the node.
//!
//! Instances that outlive the node have the address in their environment, so the next node must listen
//! there again. The file is written whole beside the old one and renamed over it; one that cannot be
//! read is set aside and said, never a reason not to start.

use base::ServiceName;
use logic::balance::hash;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};
use tracing::warn;

/// Version of the file.
const VERSION: u64 = 1;

/// Where ports are taken from: below Linux' default range for outgoing connections (32768 and up), so
/// that no connection of another program happens to have one when the node comes back.
pub(crate) const PORTS: RangeInclusive<u16> = 30_000..=32_767;

/// Who calls whom, from which address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) caller: ServiceName,
    pub(crate) need: ServiceName,
    pub(crate) on: IpAddr,
}

/// The remembered ports.
#[derive(Debug)]
pub(crate) struct Needs {
    file: PathBuf,
    ports: BTreeMap<Key, u16>,
}

impl Needs {
    /// Reads the file; without one there is nothing to remember.
    pub(crate) fn load(file: PathBuf) -> io::Result<Self> {
        let ports = match fs::read(&file) {
            Ok(bytes) => parse(&bytes).unwrap_or_else(|| {
                let aside = file.with_extension("json.bad");
                let kept = fs::rename(&file, &aside).is_ok();
                warn!(file = %file.display(), kept, "the ports of needs cannot be read, set aside");
                BTreeMap::new()
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(e),
        };
        Ok(Self { file, ports })
    }

    /// All that is remembered.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.ports.keys().cloned().collect()
    }

    /// The ports to try for `key`, best first: the remembered one, then free ones from a place that follows
    /// from who asks, so that two systems hardly ever meet.
    pub(crate) fn candidates(&self, key: &Key) -> impl Iterator<Item = u16> + use<> {
        let remembered = self.ports.get(key).copied();
        let name = format!("{} {} {} {}", self.file.display(), key.caller, key.need, key.on);
        let count = PORTS.len();
        let start = usize::try_from(hash(name.as_bytes()) % 65_536).unwrap_or(0) % count;
        let others: Vec<u16> = self.ports.values().copied().collect();
        let probed = PORTS.cycle_from(start).filter(move |port| !others.contains(port));
        remembered.into_iter().chain(probed)
    }

    /// Remembers `port` for `key`.
    ///
    /// # Errors
    /// When the file cannot be written; the port is remembered until the node ends all the same.
    pub(crate) fn remember(&mut self, key: &Key, port: u16) -> io::Result<()> {
        if self.ports.insert(key.clone(), port) == Some(port) {
            return Ok(());
        }
        let needs: Vec<Value> = self.ports.iter().map(|(key, port)| entry(key, *port)).collect();
        let text = json!({ "version": VERSION, "needs": needs }).to_string();
        write_whole(&self.file, text.as_bytes())
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
    json!({
        "caller": key.caller.as_str(),
        "need": key.need.as_str(),
        "on": key.on.to_string(),
        "port": port,
    })
}

fn parse(bytes: &[u8]) -> Option<BTreeMap<Key, u16>> {
    let file: Value = serde_json::from_slice(bytes).ok()?;
    if file.get("version")?.as_u64()? != VERSION {
        return None;
    }
    let read = |entry: &Value| {
        let text = |name| entry.get(name).and_then(Value::as_str);
        let key = Key {
            caller: ServiceName::new(text("caller")?).ok()?,
            need: ServiceName::new(text("need")?).ok()?,
            on: text("on")?.parse().ok()?,
        };
        Some((key, u16::try_from(entry.get("port")?.as_u64()?).ok()?))
    };
    file.get("needs")?.as_array()?.iter().map(read).collect()
}

/// Replaces `file` in one step that survives a power cut.
fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let beside = file.with_extension("json.new");
    {
        let mut new = fs::File::create(&beside)?;
        io::Write::write_all(&mut new, bytes)?;
        new.sync_all()?;
    }
    fs::rename(&beside, file)
}
