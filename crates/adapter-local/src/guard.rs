//! Ends the runs of a node that died without saying goodbye.
//!
//! A process killed with SIGKILL cannot clean up, so a second, tiny one does: it waits on a pipe whose other end
//! only the node holds. The kernel closes that end however the node dies. `q` on the pipe means goodbye.
//!
//! It ignores the signals that a terminal or a service manager sends to everybody at once; the shell it is
//! started through sets that, as it is inherited. It ends only runs its own node owns, so a node that adopted
//! them meanwhile keeps them. Records and output stay for the next node, which stores the last words.

use crate::{
    Error,
    members::{Target, wait_ended},
    proc,
    record::{Found, Places, Record, read_all},
    shared::KILL_MAX,
};
use rustix::{
    fs::{FlockOperation, flock},
    process::Signal,
};
use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

/// How long the runs may take to end by themselves after SIGTERM.
const GRACE: Duration = Duration::from_secs(2);

/// How long a new node waits for the guard of a dead one; a guard needs less than this.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(8);

/// What is said on the pipe when the node ends in order.
const GOODBYE: u8 = b'q';

/// The node's side: dropping it without [`Guard::release`] makes the guard act.
#[derive(Debug)]
pub(crate) struct Guard {
    child: Child,
}

impl Guard {
    /// Starts the guard: `program`, then the state directory and the node's name as arguments.
    pub(crate) fn start(program: &[OsString], state_dir: &Path, node: &str) -> Result<Self, Error> {
        let system = |cause| Error::System { what: "start the guard process", cause };
        let state_dir = std::path::absolute(state_dir).map_err(system)?;
        let child = Command::new("/bin/sh")
            .args(["-c", r#"trap "" HUP INT QUIT TERM; exec "$@""#, "sh"])
            .args(program)
            .arg(state_dir)
            .arg(node)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(system)?;
        Ok(Self { child })
    }

    /// Says goodbye and waits for the guard's end. Blocks shortly.
    pub(crate) fn release(mut self) {
        let said = self.child.stdin.take().map(|mut pipe| pipe.write_all(&[GOODBYE]));
        if let Some(Err(e)) = said {
            tracing::debug!(error = %e, "the guard is gone already");
        }
        if let Err(e) = self.child.wait() {
            tracing::debug!(error = %e, "the guard cannot be waited for");
        }
    }
}

/// Whether a guard of an earlier node is at work.
pub(crate) fn is_at_work(places: &Places) -> bool {
    let Ok(lock) = fs::File::open(places.guard_lock()) else { return false };
    flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err()
}

/// The guard process: the hidden subcommand of the binary calls it with the arguments that follow the
/// subcommand, the state directory and the node's name. Returns when the node said goodbye, or died and
/// everything of it was ended.
pub fn guard_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let (Some(state_dir), Some(node)) = (args.next(), args.next()) else {
        return ExitCode::from(2);
    };
    let places = Places::new(Path::new(&state_dir));
    // Held until this process ends. Without it the next node only looks a little too early.
    let lock = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(places.guard_lock());
    let held = lock
        .is_ok_and(|lock| flock(&lock, FlockOperation::LockExclusive).is_ok_and(|()| keep(lock)));
    if said_goodbye() {
        return ExitCode::SUCCESS;
    }
    let ended = end_all(&places, &node.to_string_lossy());
    if held && ended { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Keeps a file open until the process ends.
fn keep(file: fs::File) -> bool {
    use std::os::fd::IntoRawFd;
    file.into_raw_fd() >= 0
}

/// Waits for the node's end; tells whether it was in order.
fn said_goodbye() -> bool {
    let mut byte = [0];
    loop {
        match io::stdin().lock().read(&mut byte) {
            Ok(0) => return false,
            Ok(_) => return byte == [GOODBYE],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
    }
}

/// Ends all runs of a node, first asking, then killing. Returns whether all are gone.
fn end_all(places: &Places, node: &str) -> bool {
    let (Ok(found), Ok(boot)) = (read_all(places), proc::boot_id()) else { return false };
    let targets: Vec<Target> = found
        .into_iter()
        .filter_map(|one| match one {
            Found::Record(record) if record.node == node && record.boot == boot => {
                Some(target(*record))
            }
            Found::Record(_) | Found::Broken { .. } => None,
        })
        .collect();
    let mut mains = Vec::new();
    for target in &targets {
        mains.extend(target.main.and_then(proc::Process::open));
        // Who cannot be asked is killed below.
        let _asked = target.signal_group(Signal::TERM);
    }
    wait_ended(&mains, Instant::now() + GRACE);
    let mut is_clean = true;
    for target in &targets {
        is_clean &= target.kill(KILL_MAX).is_ok();
    }
    is_clean
}

fn target(record: Record) -> Target {
    Target { run: record.run, main: record.main, cgroup: record.cgroup }
}

#[cfg(test)]
mod tests;
