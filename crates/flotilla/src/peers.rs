//! Apps of other processes of the same user: who they are and where.
//!
//! Each process that stands in for a sidecar writes one file for each of its apps into a folder of the user's, and holds
//! it with `flock` while it lives. So a file that nobody holds is of a process that is gone, however it went. The folder
//! is the user's alone: what stands in it is believed.

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    env,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The present form of the files.
const VERSION: u32 = 1;

/// Most files that are looked at. Nobody runs so many apps by hand; what is more was put there by mistake.
const FILES_MAX: usize = 4_096;

/// Longest file that is read, in bytes.
const FILE_LEN_MAX: u64 = 64 * 1024;

/// An app that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    version: u32,
    /// What callers call it.
    pub(crate) app_id: String,
    /// Where the app itself takes requests, if it does.
    pub(crate) address: Option<SocketAddr>,
    /// What it speaks there: `http`, `https`, `grpc`, `grpcs`, `h2c`.
    pub(crate) protocol: String,
    /// The HTTP port of its app API.
    pub(crate) http_port: u16,
    /// The gRPC port of its app API.
    pub(crate) grpc_port: u16,
    /// The process that answers its app API.
    pub(crate) pid: u32,
    /// What was started, for people.
    pub(crate) command: String,
    /// When, in milliseconds since 1970.
    pub(crate) started_ms: u64,
    /// The template that it is a part of, absolute.
    pub(crate) run_file: Option<PathBuf>,
}

/// What is said of an app besides its process.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) app_id: String,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) protocol: &'static str,
    pub(crate) http_port: u16,
    pub(crate) grpc_port: u16,
    pub(crate) command: String,
    pub(crate) run_file: Option<PathBuf>,
}

impl Entry {
    /// The app of this process.
    pub(crate) fn new(about: About) -> Self {
        Self {
            version: VERSION,
            app_id: about.app_id,
            address: about.address,
            protocol: about.protocol.to_owned(),
            http_port: about.http_port,
            grpc_port: about.grpc_port,
            pid: std::process::id(),
            command: about.command,
            started_ms: runtime::Clock::wall().0 / 1_000,
            run_file: about.run_file,
        }
    }
}

/// The folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Folder(PathBuf);

/// Entries of this process. They are gone when it is dropped, or when the process ends.
#[derive(Debug, Default)]
pub(crate) struct Published(Vec<(PathBuf, File)>);

impl Folder {
    /// The user's folder; makes it.
    ///
    /// # Errors
    /// When it cannot be made, or somebody else made it or can write to it.
    pub(crate) fn open() -> io::Result<Self> {
        let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        let base = runtime.map_or_else(env::temp_dir, PathBuf::from);
        let user = rustix::process::getuid().as_raw();
        Self::make(&base.join(format!("flotilla-dapr-{user}")), user)
    }

    fn make(path: &Path, user: u32) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let about = fs::symlink_metadata(path)?;
        if !about.is_dir() || about.uid() != user || about.mode() & 0o077 != 0 {
            let message = format!("{} is not a folder of yours alone", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        Ok(Self(path.to_owned()))
    }

    /// Tells others of `entries`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn publish(&self, entries: &[Entry]) -> io::Result<Published> {
        let mut published = Published::default();
        for (at, entry) in entries.iter().enumerate() {
            let name = format!("{}-{at}", entry.pid);
            // Held before anybody can see it: what is seen and not held counts as left over.
            let hidden = self.0.join(format!(".{name}"));
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&hidden)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            file.write_all(serde_json::to_string(entry)?.as_bytes())?;
            let path = self.0.join(format!("{name}.json"));
            fs::rename(&hidden, &path)?;
            published.0.push((path, file));
        }
        Ok(published)
    }

    /// The apps that run now, with the names of their files, in their order. Removes what was left over.
    pub(crate) fn list(&self) -> Vec<(OsString, Entry)> {
        let Ok(files) = fs::read_dir(&self.0) else { return Vec::new() };
        let mut all: Vec<(OsString, Entry)> = files
            .flatten()
            .take(FILES_MAX)
            .filter(|file| file.path().extension().is_some_and(|end| end == "json"))
            .filter_map(|file| Some((file.file_name(), living(&file.path())?)))
            .collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }
}

/// The entry of a process that lives.
fn living(path: &Path) -> Option<Entry> {
    let file = File::open(path).ok()?;
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        let _kept = fs::remove_file(path);
        return None;
    }
    if file.metadata().ok()?.len() > FILE_LEN_MAX {
        return None;
    }
    let entry: Entry = serde_json::from_reader(&file).ok()?;
    (entry.version == VERSION).then_some(entry)
}

impl Drop for Published {
    fn drop(&mut self) {
        for (path, _) in &self.0 {
            let _left_over = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let user = rustix::process::getuid().as_raw();
        let folder = Folder::make(&dir.path().join("peers"), user).unwrap();
        (dir, folder)
    }

    fn entry(app_id: &str) -> Entry {
        Entry::new(About {
            app_id: app_id.to_owned(),
            address: Some(([127, 0, 0, 1], 3000).into()),
            protocol: "http",
            http_port: 3500,
            grpc_port: 50001,
            command: "node app.js".to_owned(),
            run_file: None,
        })
    }

    #[test]
    fn what_is_published_is_listed_until_its_process_lets_go() {
        let (_dir, folder) = folder();
        assert!(folder.list().is_empty());
        let published = folder.publish(&[entry("a"), entry("b")]).unwrap();
        let ids: Vec<String> = folder.list().into_iter().map(|(_, entry)| entry.app_id).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(folder.list()[0].1, entry("a").started_as(&folder.list()[0].1));
        drop(published);
        assert!(folder.list().is_empty());
    }

    impl Entry {
        fn started_as(mut self, other: &Self) -> Self {
            self.started_ms = other.started_ms;
            self
        }
    }

    #[test]
    fn what_a_dead_process_left_is_removed_and_nonsense_is_passed_over() {
        let (_dir, folder) = folder();
        let left = folder.0.join("1-0.json");
        fs::write(&left, serde_json::to_string(&entry("gone")).unwrap()).unwrap();
        assert!(folder.list().is_empty());
        assert!(!left.exists());
        let mut held = Vec::new();
        for (name, text) in
            [("2-0.json", "nonsense"), ("3-0.json", "{\"version\":9}"), ("x.txt", "")]
        {
            let path = folder.0.join(name);
            fs::write(&path, text).unwrap();
            let file = File::open(&path).unwrap();
            flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
            held.push(file);
        }
        let long = folder.0.join("4-0.json");
        fs::write(&long, " ".repeat(70_000)).unwrap();
        let file = File::open(&long).unwrap();
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(folder.list().is_empty());
        drop(held);
    }

    #[test]
    fn a_folder_that_others_can_use_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("peers");
        let user = rustix::process::getuid().as_raw();
        Folder::make(&path, user).unwrap();
        assert!(Folder::make(&path, user + 1).is_err());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Folder::make(&path, user).is_err());
        let link = dir.path().join("link");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(Folder::make(&link, user).is_err());
    }
}
