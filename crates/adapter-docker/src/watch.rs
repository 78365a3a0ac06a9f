//! One run's life in this node: its output and its end.

use crate::{
    engine::is_missing,
    tail::{Pause, Tail},
};
use base::ErrorChain;
use bollard::{Docker, models::ContainerState, query_parameters::WaitContainerOptions};
use futures_util::StreamExt;
use ports::host::{Exit, Run};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use tracing::debug;

/// How long the end may wait for the last lines. The port promises 2 s.
const LAST_LINES_MAX: Duration = Duration::from_millis(1_800);

/// Highest signal number of Linux (SIGRTMAX); a higher exit code is a program's own.
const SIGNAL_MAX: i64 = 64;

/// A run this node knows.
#[derive(Debug)]
pub(crate) struct Known {
    pub run: Run,
    /// The port inside.
    pub inner_port: Option<u16>,
    /// The engine's name for the container, which its control groups bear.
    pub container_id: String,
    pub exit: watch::Sender<Option<Exit>>,
    /// Nobody else writes the run's place file any more.
    pub is_read: watch::Sender<bool>,
}

impl Known {
    /// Waits for the end.
    pub(crate) async fn ended(&self) -> Exit {
        let mut exit = self.exit.subscribe();
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or(Exit::Unknown),
            // The sender lives in `self`.
            Err(_) => Exit::Unknown,
        }
    }
}

/// Watches a run until it has ended and all its output is handed on.
pub(crate) async fn watch(docker: Docker, known: Arc<Known>, mut tail: Tail) {
    let (ended, is_ended) = watch::channel(false);
    let read = async {
        tail.follow(is_ended).await;
        known.is_read.send_replace(true);
    };
    let wait = async {
        let exit = exit(&docker, &known.run.id.0).await;
        ended.send_replace(true);
        let mut is_read = known.is_read.subscribe();
        let _ = tokio::time::timeout(LAST_LINES_MAX, is_read.wait_for(|is_read| *is_read)).await;
        known.exit.send_replace(Some(exit));
    };
    tokio::join!(read, wait);
}

/// Asks the engine until it says how the container ended.
async fn exit(docker: &Docker, name: &str) -> Exit {
    let mut pause = Pause::new();
    loop {
        let options = WaitContainerOptions { condition: "not-running".to_owned() };
        let answer = Box::pin(docker.wait_container(name, Some(options))).next().await;
        if let Some(Err(e)) = &answer {
            debug!(container = name, error = %ErrorChain(e), "wait ended");
        }
        // The answer has the code only; the state also says whether memory was the reason.
        match docker.inspect_container(name, None).await {
            Ok(found) => match found.state {
                Some(state) if state.running != Some(true) => return exit_of(&state),
                _ => {}
            },
            Err(e) if is_missing(&e) => return Exit::Unknown,
            Err(e) => {
                debug!(container = name, error = %ErrorChain(&e), "cannot look at a container");
            }
        }
        pause.wait().await;
    }
}

/// What a state says about the end.
fn exit_of(state: &ContainerState) -> Exit {
    let code = state.exit_code.unwrap_or_default();
    match code {
        137 if state.oom_killed == Some(true) => Exit::OutOfMemory,
        code if (129..=128 + SIGNAL_MAX).contains(&code) => {
            Exit::Signal(i32::try_from(code - 128).unwrap_or_default())
        }
        code => i32::try_from(code).map_or(Exit::Unknown, Exit::Code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_mean_what_they_mean_to_a_shell() {
        for (code, oom, exit) in [
            (0, false, Exit::Code(0)),
            (3, false, Exit::Code(3)),
            (137, true, Exit::OutOfMemory),
            (137, false, Exit::Signal(9)),
            (143, false, Exit::Signal(15)),
            (1, true, Exit::Code(1)),
            (128, false, Exit::Code(128)),
            (255, false, Exit::Code(255)),
        ] {
            let state = ContainerState {
                exit_code: Some(code),
                oom_killed: Some(oom),
                ..ContainerState::default()
            };
            assert_eq!(exit_of(&state), exit, "{code} {oom}");
        }
    }
}
