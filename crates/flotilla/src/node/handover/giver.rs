//! The present node's side: starts the successor, gives it everything, or takes it back.

use super::{
    FromNew, FromOld, Listener, PREPARE_MAX, READY_MAX, Told, VERSION,
    link::{self, DESCRIPTORS_MAX, Link},
};
use crate::node::transactions::addresses;
use api::backend::Error;
use base::{Diagnostic, ErrorChain};
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{fs::OpenOptionsExt as _, net::UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// How much of what a failed successor said is shown: what fits on a screen.
const LAST_LINES: usize = 20;

/// How much of it is read, in bytes.
const LAST_LEN_MAX: u64 = 64 << 10;

/// How long a successor that has said goodbye may take to end by itself before it is killed.
const END_MAX: Duration = Duration::from_secs(2);

/// Between two looks whether it has ended.
const END_LOOK: Duration = Duration::from_millis(10);

/// Somebody wants the node replaced.
#[derive(Debug)]
pub(in crate::node) struct Asked {
    /// The new node's program; `None`: this one's.
    pub(in crate::node) program: Option<PathBuf>,
    /// How long open connections may go on.
    pub(in crate::node) grace: Duration,
    /// Takes the new node's process, or why there is none.
    pub(in crate::node) reply: oneshot::Sender<Result<u32, Error>>,
}

/// What listens, and the lock.
#[derive(Debug)]
pub(in crate::node) struct Outgoing {
    pub(in crate::node) lock: OwnedFd,
    pub(in crate::node) api: api::Sockets,
    pub(in crate::node) dtm: api::dtm::Sockets,
    pub(in crate::node) listeners: Vec<proxy::Sockets>,
}

/// A successor that has not taken over yet. Dropping it ends it.
#[derive(Debug)]
pub(in crate::node) struct Successor {
    child: Option<Child>,
    link: Link,
    log: PathBuf,
    /// Where its own words begin in the log.
    log_start: u64,
}

impl Successor {
    /// Starts `program` with `arguments` and brings it as far as that its data plane stands. Blocks for
    /// [`PREPARE_MAX`] at most.
    ///
    /// # Errors
    /// `Invalid` with what is wrong with the file, `Failed` with everything else. The successor has ended then.
    pub(in crate::node) fn prepare(
        program: &Path,
        arguments: &[OsString],
        state_dir: &Path,
        outgoing: &Outgoing,
    ) -> Result<Self, Error> {
        let until = Instant::now() + PREPARE_MAX;
        let mut successor = Self::start(program, arguments, state_dir)
            .map_err(|e| Error::Failed(format!("{} cannot be started: {e}", program.display())))?;
        match successor.introduce(outgoing, until) {
            Ok(()) => Ok(successor),
            Err(error) => Err(successor.refusal(error)),
        }
    }

    fn start(program: &Path, arguments: &[OsString], state_dir: &Path) -> io::Result<Self> {
        let (own, other) = UnixStream::pair()?;
        let log = state_dir.join("node.log");
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&log)?;
        let log_start = file.metadata()?.len();
        let mut command = Command::new(program);
        command.args(arguments);
        command.stdin(Stdio::from(OwnedFd::from(other))).stdout(Stdio::null()).stderr(file);
        // The command goes with this function, and with it our copy of the other end: or its end would go unseen.
        let child = Some(command.spawn()?);
        Ok(Self { child, link: Link::new(own)?, log, log_start })
    }

    fn introduce(&mut self, outgoing: &Outgoing, until: Instant) -> Result<(), Trouble> {
        match self.hear(until)? {
            FromNew::Hello { version: VERSION } => {}
            FromNew::Hello { version } => {
                return Err(Trouble::Said(format!(
                    "it hands over in version {version}, this node in version {VERSION}: use \
                     `flotilla down` and `flotilla up -d`"
                )));
            }
            other => return Err(Trouble::unexpected(&other)),
        }
        let mut descriptors: Vec<BorrowedFd<'_>> = vec![outgoing.lock.as_fd()];
        descriptors.extend(outgoing.api.unix.as_ref().map(OwnedFd::as_fd));
        descriptors.extend(outgoing.api.tcp.as_ref().map(|(_, socket)| socket.as_fd()));
        let dtm = addresses(&outgoing.dtm);
        if dtm.is_some() {
            let pair = [&outgoing.dtm.http, &outgoing.dtm.grpc];
            descriptors.extend(pair.into_iter().flatten().map(|(_, socket)| socket.as_fd()));
        }
        let listeners = outgoing.listeners.iter().map(|listener| Listener {
            id: listener.id.0.to_string(),
            address: listener.address,
            sockets: listener.sockets.len(),
        });
        let listeners = listeners.collect();
        descriptors.extend(outgoing.listeners.iter().flat_map(|l| &l.sockets).map(OwnedFd::as_fd));
        if descriptors.len() > DESCRIPTORS_MAX {
            return Err(Trouble::Said(format!("there are {} sockets", descriptors.len())));
        }
        let unix = outgoing.api.unix.is_some();
        let admin = outgoing.api.tcp.as_ref().map(|(address, _)| *address);
        self.link.send(&FromOld::Welcome { unix, admin, dtm, listeners })?;
        self.link.send_descriptors(&descriptors)?;
        match self.hear(until)? {
            FromNew::Prepared => Ok(()),
            other => Err(Trouble::unexpected(&other)),
        }
    }

    /// Lets it take over and waits until it serves; at most for [`READY_MAX`]. Blocks. Afterwards it is nobody's
    /// child to end.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub(in crate::node) fn go(mut self, told: Told) -> Result<Replaced, Error> {
        let until = Instant::now() + READY_MAX;
        let outcome = self.link.send(&FromOld::Go(Box::new(told))).map_err(Trouble::from);
        match outcome.and_then(|()| self.hear(until)) {
            Ok(FromNew::Ready) => {}
            Ok(other) => return Err(self.refusal(Trouble::unexpected(&other))),
            Err(error) => return Err(self.refusal(error)),
        }
        let pid = self.child.take().map_or(0, |child| child.id());
        Ok(Replaced { pid, successor: self })
    }

    fn hear(&mut self, until: Instant) -> Result<FromNew, Trouble> {
        match self.link.receive(until)? {
            FromNew::Failed { problems } => {
                Err(Trouble::Problems(problems.iter().map(Diagnostic::from).collect()))
            }
            message => Ok(message),
        }
    }

    /// Ends it and says why it did not take over.
    fn refusal(mut self, trouble: Trouble) -> Error {
        let said_why = matches!(trouble, Trouble::Problems(_));
        let status = self.end(if said_why || trouble.is_gone() { END_MAX } else { Duration::ZERO });
        match trouble {
            Trouble::Problems(problems) if !problems.is_empty() => Error::Invalid(problems),
            Trouble::Problems(_) => Error::Failed("the new node gave up".to_owned()),
            Trouble::Said(why) => Error::Failed(format!("the new node cannot be used: {why}")),
            Trouble::Link(link::Error::Gone) => {
                let end = status.map_or_else(|| "and left no word".to_owned(), |s| s.to_string());
                Error::Failed(format!("the new node ended ({end}){}", self.last_words()))
            }
            Trouble::Link(error) => {
                let error = ErrorChain(&error);
                Error::Failed(format!("the new node was ended: {error}{}", self.last_words()))
            }
        }
    }

    /// Ends the process: waits for `patience`, then kills.
    fn end(&mut self, patience: Duration) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if let Ok(Some(status)) = child.try_wait() {
                return Some(status);
            }
            std::thread::park_timeout(END_LOOK);
        }
        // One that has ended meanwhile cannot be killed and is waited for just the same.
        let _ended = child.kill();
        child.wait().ok()
    }

    /// What it wrote into the log.
    fn last_words(&self) -> String {
        let mut text = String::new();
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(io::SeekFrom::Start(self.log_start))?;
            log.take(LAST_LEN_MAX).read_to_string(&mut text)
        });
        let lines: Vec<&str> = text.lines().collect();
        if read.is_err() || lines.is_empty() {
            return String::new();
        }
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
        format!(":\n{}", last.join("\n"))
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

/// A successor that has taken over.
#[derive(Debug)]
pub(in crate::node) struct Replaced {
    pub(in crate::node) pid: u32,
    successor: Successor,
}

impl Replaced {
    /// Waits until it has ended too; for ever when that cannot be seen.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(in crate::node) async fn gone(&self) {
        if let Err(error) = self.successor.link.gone().await {
            tracing::warn!(%error, "the end of the new node will not be noticed");
            std::future::pending::<()>().await;
        }
    }
}

/// Why the successor is no successor.
#[derive(Debug)]
enum Trouble {
    Link(link::Error),
    Problems(Vec<Diagnostic>),
    Said(String),
}

impl Trouble {
    fn unexpected(message: &FromNew) -> Self {
        Self::Said(format!("it said {message:?} out of turn"))
    }

    fn is_gone(&self) -> bool {
        matches!(self, Self::Link(link::Error::Gone))
    }
}

impl From<link::Error> for Trouble {
    fn from(error: link::Error) -> Self {
        Self::Link(error)
    }
}

/// The program of this process as it is on the disk; it may have been replaced there since this process started.
///
/// # Errors
/// When the system does not say.
pub(in crate::node) fn own_program() -> io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    // Linux marks a program that was replaced on the disk; the new one has the name without the mark.
    let plain = path.to_str().and_then(|text| text.strip_suffix(" (deleted)")).map(PathBuf::from);
    let plain = plain.filter(|plain| fs::metadata(plain).is_ok());
    Ok(plain.unwrap_or(path))
}
