//! Two commands at once: another `up` starts the node, or a `down` ends it, while this `up` looks.
//!
//! Neither is a reason to fail: what is asked for is a system that runs as the file says. So the other is waited
//! for, and then this one applies the file to the node that won, or starts one where the last has gone.

use crate::cli::exit::Failure;
use api::{Client, wire};
use base::{Code, Diagnostic};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How often another command may be in the way before this one gives up.
pub(super) const RACES_MAX: usize = 5;
/// How long a node that has the lock may take until its API answers: it opens its listeners before, nothing slow.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// How long a node may take to end: a drain (10 s) and a grace (30 s), and more where the file gives more. Who
/// waits longer is told.
const END_MAX: Duration = Duration::from_secs(60);
/// How often the other is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Between the end of the API and the end of the node's process.
const LAST_STEPS: Duration = Duration::from_millis(200);

/// The answer of a node that is being stopped.
pub(super) fn stopping() -> Failure {
    Diagnostic::error(Code::ALREADY_RUNNING, "the system is being stopped")
        .help("run `flotilla up` again when it has ended")
        .into()
}

/// Whether it failed because of another command, so that trying again makes sense.
pub(super) fn is_lost(failure: &Failure) -> bool {
    match failure {
        Failure::Problems(problems) => problems.iter().any(|p| p.code == Code::ALREADY_RUNNING),
        Failure::Message { .. } | Failure::Closed => false,
    }
}

/// Waits until the other command has come to something. `false`: it does not.
pub(super) async fn settle(client: &Client, say: impl Fn(&str)) -> bool {
    let begun = Instant::now();
    let mut is_ending = false;
    loop {
        match client.status().await {
            Ok(status) if matches!(status.phase, wire::Phase::Stopping | wire::Phase::Stopped) => {
                if !is_ending {
                    say("waits until the system that is being stopped has ended");
                }
                is_ending = true;
            }
            Ok(_) => return true,
            Err(_) if is_ending => {
                sleep(LAST_STEPS).await;
                return true;
            }
            Err(_) => {}
        }
        if begun.elapsed() >= if is_ending { END_MAX } else { ANSWER_MAX } {
            return false;
        }
        sleep(LOOK).await;
    }
}
