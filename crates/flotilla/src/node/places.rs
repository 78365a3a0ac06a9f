//! `.flotilla/`: where a node keeps its things, and the lock that makes it the only one there.

use base::{Code, Diagnostic};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The node's own log starts anew when it is longer than this at a start.
const NODE_LOG_LEN_MAX: u64 = 4 << 20;

/// The state folder, locked for this process as long as this lives.
pub(crate) struct Places {
    root: PathBuf,
    /// Held with `flock`: the kernel lets go of it when the last process that has it ends, however it ends.
    lock: File,
}

/// How long the lock of a node that was killed may still be held while the kernel takes the process apart.
const DYING_MAX: Duration = Duration::from_secs(2);

/// How often a lock that is about to be let go is tried.
const DYING_LOOK: Duration = Duration::from_millis(10);

/// Takes the lock; `Err` names the process that has it.
fn take(lock: &mut File) -> Result<(), String> {
    let deadline = Instant::now() + DYING_MAX;
    while flock(&*lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        let mut pid = String::new();
        let read = lock.rewind().and_then(|()| lock.read_to_string(&mut pid));
        let pid = pid.trim().to_owned();
        if read.is_err() || is_alive(&pid) || Instant::now() >= deadline {
            return Err(pid);
        }
        // The caller's thread has nothing else to do: no node runs yet.
        std::thread::park_timeout(DYING_LOOK);
    }
    Ok(())
}

/// Whether a process is there and not just ending.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// Where the state of the system in folder `root` is.
pub(crate) fn state_dir(root: &Path) -> PathBuf {
    root.join(".flotilla")
}

/// Keeps the state (a token, sockets, databases) out of the user's commits. A folder without the file only shows up
/// as untracked, so a failure is none.
pub(crate) fn hide_from_git(state: &Path) {
    let file = OpenOptions::new().write(true).create_new(true).open(state.join(".gitignore"));
    if let Ok(mut file) = file {
        let _only_untracked = file.write_all(b"*\n");
    }
}

fn unusable(root: &Path, error: &io::Error) -> Box<Diagnostic> {
    let message = format!("the state folder {} cannot be used: {error}", root.display());
    let help = "make the folder of the system writable, or run as the user who owns it";
    Box::new(Diagnostic::error(Code::STATE_DIR, message).help(help))
}

impl Places {
    /// Makes the folder and takes the lock.
    ///
    /// # Errors
    /// F024 when another node has the lock, F027 when the folder cannot be used.
    pub(crate) fn prepare(system_root: &Path) -> Result<Self, Box<Diagnostic>> {
        let root = state_dir(system_root);
        let fail = |e: &io::Error| unusable(&root, e);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&root).map_err(|e| fail(&e))?;
        hide_from_git(&root);
        let lock_path = root.join("node.lock");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| fail(&e))?;
        if let Err(pid) = take(&mut lock) {
            let folder = system_root.display();
            let message = format!("another node (process {pid}) runs the system in {folder}");
            let help = "use it (`flotilla ps`), or stop it with `flotilla down`";
            return Err(Box::new(Diagnostic::error(Code::ALREADY_RUNNING, message).help(help)));
        }
        let mut places = Self { root, lock };
        places.sign().map_err(|e| unusable(&places.root, &e))?;
        // A socket that is still there is of a node that was killed: the lock proves it.
        drop(fs::remove_file(places.socket()));
        Ok(places)
    }

    /// The folder with the lock of the node that is being replaced, for which nobody else can come between.
    ///
    /// # Errors
    /// F027 when the lock cannot be written.
    pub(crate) fn inherit(system_root: &Path, lock: OwnedFd) -> Result<Self, Box<Diagnostic>> {
        let mut places = Self { root: state_dir(system_root), lock: File::from(lock) };
        places.sign().map_err(|e| unusable(&places.root, &e))?;
        Ok(places)
    }

    /// The lock again, for a successor.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub(crate) fn share_lock(&self) -> io::Result<OwnedFd> {
        Ok(self.lock.try_clone()?.into())
    }

    /// Writes this process into the lock, for people and for `flotilla doctor`.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn sign(&mut self) -> io::Result<()> {
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        writeln!(self.lock, "{}", std::process::id())
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.root.join("flotilla.sock")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The admin token: made once, kept over restarts, readable for the owner only.
    ///
    /// # Errors
    /// F027 when it cannot be read or written.
    pub(crate) fn token(&self) -> Result<String, Box<Diagnostic>> {
        let path = self.root.join("token");
        let fail = |e: &dyn std::fmt::Display| {
            let message = format!("the admin token {} cannot be used: {e}", path.display());
            Box::new(Diagnostic::error(Code::STATE_DIR, message))
        };
        match fs::read_to_string(&path) {
            Ok(token) if token.trim().len() >= 32 => return Ok(token.trim().to_owned()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(fail(&e)),
        }
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|e| fail(&e))?;
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path)
            .map_err(|e| fail(&e))?;
        file.write_all(token.as_bytes()).map_err(|e| fail(&e))?;
        Ok(token)
    }

    /// Sends the node's own log to `node.log`. What cannot be opened is not logged; the terminal belongs to
    /// the services' output.
    pub(crate) fn log_to_file(&self) {
        let path = self.root.join("node.log");
        let long = fs::metadata(&path).is_ok_and(|m| m.len() > NODE_LOG_LEN_MAX);
        let mut how = OpenOptions::new();
        how.create(true).mode(0o600);
        let opened = if long {
            how.write(true).truncate(true).open(&path)
        } else {
            how.append(true).open(&path)
        };
        let Ok(file) = opened else { return };
        let level = std::env::var("FLOTILLA_LOG").ok().and_then(|l| l.parse().ok());
        let subscriber = tracing_subscriber::fmt()
            .with_writer(std::sync::Mutex::new(file))
            .with_ansi(false)
            .with_max_level(level.unwrap_or(tracing::Level::INFO))
            .finish();
        // Set before when a test or an embedding program logs by itself.
        drop(tracing::subscriber::set_global_default(subscriber));
    }
}
