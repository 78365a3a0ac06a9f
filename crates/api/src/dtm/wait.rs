//! Waiting for the outcome: clients of DTM wait for one round.

use super::{desk::Desk, fault::Fault, rows};
use logic::tx::{BranchState, Phase, Then};
use std::time::Duration;
use tokio::time::Instant;
use transactions::View;

/// How long a client is kept waiting for the outcome at most: as long as the native API lets it.
const WAIT_MAX: Duration = Duration::from_secs(60);

impl Desk {
    /// Waits until it has ended, or until something of it has failed and is tried again later: clients of DTM wait for one round.
    pub(super) async fn follow(&self, view: View) -> Result<(), Fault> {
        let gid = view.gid.clone();
        let deadline = Instant::now() + WAIT_MAX;
        let mut changes = self.transactions.changes(&gid).ok();
        loop {
            let view = self.transactions.get(&gid).await?;
            if let Some(outcome) = judged(&view, Instant::now() >= deadline) {
                return outcome;
            }
            let Some(changes) = &mut changes else {
                // Another node drives it: all that can be seen from here is its end.
                let view = self.transactions.wait(&gid, WAIT_MAX).await?;
                return judged(&view, true).unwrap_or_else(|| Err(goes_on()));
            };
            tokio::select! {
                changed = changes.changed() => {
                    if changed.is_err() {
                        // It has ended, so it is not driven any more.
                        let view = self.transactions.wait(&gid, WAIT_MAX).await?;
                        return judged(&view, true).unwrap_or_else(|| Err(goes_on()));
                    }
                }
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }
}

/// What a client that waits is told; `None`: not yet.
fn judged(view: &View, is_late: bool) -> Option<Result<(), Fault>> {
    let state = &view.state;
    let failed = || {
        let reason = rows::reason(view);
        Fault::Failure(if reason.is_empty() { "it was rolled back".to_owned() } else { reason })
    };
    match state.phase {
        Phase::Committed => return Some(Ok(())),
        Phase::Aborted | Phase::Mixed => return Some(Err(failed())),
        Phase::Open
        | Phase::Trying
        | Phase::Precommitting
        | Phase::Committing
        | Phase::Aborting => {}
    }
    // A client that limits the tries waits for all of them.
    let then = view.spec.retry.map(|retry| retry.then);
    let is_limited = state.phase == Phase::Trying && then == Some(Then::Abort);
    let waits = |it: &&BranchState| {
        let is_put_off = it.calling.is_none() && it.refused.is_none() && it.next_ms > 0;
        is_put_off && !(is_limited && it.pauses > 0)
    };
    let waiting = state.branches.iter().find(waits);
    if waiting.is_none() && !is_late && view.spec.delay_ms.is_none() {
        return None;
    }
    if state.phase == Phase::Aborting {
        return Some(Err(failed()));
    }
    let error = waiting.and_then(|branch| branch.error.clone());
    Some(Err(error.map_or_else(goes_on, Fault::Ongoing)))
}

fn goes_on() -> Fault {
    Fault::Ongoing("it goes on, and has no result yet".to_owned())
}
