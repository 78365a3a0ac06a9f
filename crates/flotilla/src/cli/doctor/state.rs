//! The folder `.flotilla/`: whether it can be written, and what an earlier node left there.

use super::Finding;
use crate::cli::exit::Exit;
use crate::cli::{
    down::survivors,
    locate::{Place, SOCKET},
    wait_for, words,
};
use api::client;
use rustix::fs::{Access, FlockOperation, access, flock};
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::Path,
};

const GROUP: &str = "state";

/// Looks at the folder; returns the process id of the node that runs, when one does.
pub(super) fn look(place: &Place, findings: &mut Vec<Finding>) -> Option<u32> {
    let state = place.state();
    findings.push(writable(&place.root, &state));
    if let Some(finding) = token(&state) {
        findings.push(finding);
    }
    let node = running(place);
    if let Some(pid) = node {
        findings.push(Finding::good(GROUP, "node", format!("runs (pid {pid})")));
        return node;
    }
    match lock_holder(&state.join("node.lock")) {
        Lock::Held(pid) => findings.push(Finding::fail(
            GROUP,
            "node",
            format!("process {pid} holds node.lock, but its API does not answer"),
            format!("wait until it has started or ended; `kill {pid}` ends it"),
        )),
        Lock::Stale => {
            findings.push(Finding::good(GROUP, "node", "none runs; an earlier one ended"));
        }
        Lock::None => findings.push(Finding::good(GROUP, "node", "none runs")),
    }
    let left = survivors(place);
    if left > 0 {
        findings.push(Finding::warn(
            GROUP,
            "instances",
            format!("{} of a node that was killed may still run", words::count(left, "instance")),
            "`flotilla up` adopts them, `flotilla down` stops them",
        ));
    } else if state.join(SOCKET).exists() {
        findings.push(Finding::good(
            GROUP,
            "socket",
            "left by an earlier node; the next one replaces it",
        ));
    }
    None
}

fn writable(root: &Path, state: &Path) -> Finding {
    let folder = if state.exists() { state } else { root };
    match access(folder, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::good(GROUP, "folder", format!("{} can be written", folder.display())),
        Err(e) => Finding::fail(
            GROUP,
            "folder",
            format!("{}: {e}", folder.display()),
            format!("make it writable for you: sudo chown -R $USER {}", folder.display()),
        ),
    }
}

/// The token opens everything: nobody else may read it.
fn token(state: &Path) -> Option<Finding> {
    let path = state.join("token");
    let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        Finding::warn(
            GROUP,
            "token",
            format!("others may read it (mode {mode:o})"),
            format!("chmod 600 {}", path.display()),
        )
    })
}

/// The process id of the node that answers.
fn running(place: &Place) -> Option<u32> {
    let mut pid = None;
    let asked = wait_for(async {
        match place.client().system().await {
            Ok(system) => pid = Some(system.pid),
            Err(client::Error::NotRunning { .. }) => {}
            // Something answers: its age and its ports are none of our business here.
            Err(error) => tracing::debug!(%error, "the node does not answer"),
        }
        Ok(Exit::Success)
    });
    asked.ok().and(pid)
}

/// Who holds the lock.
#[derive(Debug, PartialEq, Eq)]
enum Lock {
    /// There is no file.
    None,
    /// Nobody, though the file is there.
    Stale,
    /// This process, as the file says.
    Held(String),
}

fn lock_holder(path: &Path) -> Lock {
    let Ok(file) = File::open(path) else { return Lock::None };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        // Closing the file gives the lock back at once.
        return Lock::Stale;
    }
    Lock::Held(fs::read_to_string(path).unwrap_or_default().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Level;

    #[test]
    fn a_lock_that_is_held_is_told_from_one_that_was_left() {
        let path = std::env::temp_dir().join(format!("flotilla-lock-{}", std::process::id()));
        assert_eq!(lock_holder(&path), Lock::None);
        fs::write(&path, "77\n").unwrap();
        assert_eq!(lock_holder(&path), Lock::Stale);
        let held = File::open(&path).unwrap();
        flock(&held, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert_eq!(lock_holder(&path), Lock::Held("77".to_owned()));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_token_that_others_may_read_is_a_warning() {
        let state = std::env::temp_dir().join(format!("flotilla-token-{}", std::process::id()));
        fs::create_dir_all(&state).unwrap();
        assert_eq!(token(&state), None);
        fs::write(state.join("token"), "x").unwrap();
        fs::set_permissions(state.join("token"), fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(token(&state).unwrap().level, Level::Warn);
        fs::set_permissions(state.join("token"), fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(token(&state), None);
        fs::remove_dir_all(state).unwrap();
    }
}
