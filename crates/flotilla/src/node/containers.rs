//! Containers of a node that ends with its terminal: noted down, so that whoever survives it can end them.

use adapter_docker::Config;
use base::ErrorChain;
use manifest::{Program, System};
use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};
use tracing::warn;

/// Whether a system runs any container.
pub(super) fn used(system: &System) -> bool {
    system.services.iter().any(|service| matches!(service.program, Program::Container(_)))
}

/// How the engine is reached for the system with this name and state folder.
pub(super) fn config(system: &str, state_dir: &Path, survive: bool) -> Config {
    Config {
        docker_host: std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()),
        system: system.to_owned(),
        state_dir: state_dir.to_owned(),
        lifetime: if survive {
            adapter_docker::Lifetime::Survives
        } else {
            adapter_docker::Lifetime::EndsWithNode
        },
    }
}

/// Holds the system's name while its containers must not outlive the node.
fn note(state_dir: &Path) -> PathBuf {
    state_dir.join("run").join("containers")
}

/// Notes that containers of `system` must not outlive this node, or that there are none such any more.
pub(super) fn remember(state_dir: &Path, system: Option<&str>) {
    let path = note(state_dir);
    let done = match system {
        Some(name) => fs::write(&path, name),
        None => fs::remove_file(&path),
    };
    match done {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            warn!(path = %path.display(), error = %e, "cannot note the containers");
        }
        _ => {}
    }
}

/// The guard process: ends the processes of a dead node, then its containers.
pub(crate) fn guard(arguments: Vec<OsString>) -> ExitCode {
    let state_dir = arguments.first().map(PathBuf::from);
    let ended = adapter_local::guard_main(arguments);
    let Some(state_dir) = state_dir else { return ended };
    let Ok(system) = fs::read_to_string(note(&state_dir)) else { return ended };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(adapter_docker::sweep(&config(&system, &state_dir, false))) {
        Ok(_) => {
            remember(&state_dir, None);
            ended
        }
        // Nobody is there to be told; the next `up` finds and ends them.
        Err(e) => {
            warn!(error = %ErrorChain(&e), "containers may be left");
            ExitCode::FAILURE
        }
    }
}
