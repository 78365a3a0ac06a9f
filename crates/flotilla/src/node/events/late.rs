//! A part that may not be there at the start, and is tried again until it is.

use super::Failed;
use base::Diagnostic;
use logic::backoff::Backoff;
use runtime::Stop;
use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};
use tracing::{error, info};

/// Between tries: soon at first, because what is most often in the way is a process that is ending; then seldom.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), max: Duration::from_secs(60) };

/// What opening gave: what others use, and what must be shut down.
pub(super) struct Opened<P: ?Sized, S> {
    pub(super) port: Arc<P>,
    pub(super) service: Option<S>,
}

/// An engine behind a port, open or not.
pub(super) struct Late<P: ?Sized, S> {
    pub(super) place: String,
    stage: Mutex<Stage<S>>,
    /// Apart from the stage, because every call asks for it.
    port: OnceLock<Arc<P>>,
}

enum Stage<S> {
    Waiting(Failed),
    Open(Option<S>),
    Closed,
}

impl<P: ?Sized, S> fmt::Debug for Late<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = self.port.get().is_some();
        f.debug_struct("Late").field("place", &self.place).field("is_open", &is_open).finish()
    }
}

impl<P: ?Sized + Send + Sync + 'static, S: Send + 'static> Late<P, S> {
    /// What came of the first try.
    pub(super) fn new(place: String, first: Result<Opened<P, S>, Failed>) -> Self {
        let port = OnceLock::new();
        let stage = match first {
            Ok(opened) => {
                let _is_first = port.set(opened.port);
                Stage::Open(opened.service)
            }
            Err(failed) => {
                say(&failed);
                Stage::Waiting(failed)
            }
        };
        Self { place, stage: Mutex::new(stage), port }
    }

    /// Whether there is nothing left to try.
    pub(super) fn is_open(&self) -> bool {
        self.port.get().is_some()
    }

    /// Why it is not open, as long as it is not.
    pub(super) fn problem(&self) -> Option<Diagnostic> {
        match &*self.stage() {
            Stage::Waiting(failed) => Some(Diagnostic::clone(&failed.problem)),
            Stage::Open(_) | Stage::Closed => None,
        }
    }

    /// The engine, or why there is none.
    pub(super) fn port(&self) -> Result<&P, ports::broker::Cause> {
        if let Some(port) = self.port.get() {
            return Ok(port);
        }
        match &*self.stage() {
            Stage::Waiting(failed) => Err(Arc::clone(&failed.cause)),
            Stage::Open(_) | Stage::Closed => Err(Arc::new(Closed)),
        }
    }

    /// Ends it. Returns what must be shut down.
    pub(super) fn close(&self) -> Option<S> {
        match mem::replace(&mut *self.stage(), Stage::Closed) {
            Stage::Open(service) => service,
            Stage::Waiting(_) | Stage::Closed => None,
        }
    }

    /// Tries until it is open.
    pub(super) async fn try_on(
        self: Arc<Self>,
        open: impl Fn() -> Result<Opened<P, S>, Failed> + Clone + Send + 'static,
        mut stop: Stop,
    ) {
        for failures in 1.. {
            // Without a random number many nodes only try at the same moments.
            let pause = RETRY.wait(failures, getrandom::u64().unwrap_or_default());
            let (trying, open) = (Arc::clone(&self), open.clone());
            tokio::select! {
                () = stop.wait() => return,
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                // What is under way goes on, and closes what it opens when nobody wants it any more.
                () = stop.wait() => return,
                is_over = runtime::blocking(move || trying.try_once(open())) => if is_over {
                    return;
                },
            }
        }
    }

    fn try_once(&self, tried: Result<Opened<P, S>, Failed>) -> bool {
        let mut stage = self.stage();
        match (tried, &mut *stage) {
            (Ok(Opened { port, service }), Stage::Waiting(_)) => {
                info!(place = self.place, "the engine is open");
                *stage = Stage::Open(service);
                // The only place that sets it, and only once: the stage is never waiting again.
                let _is_first = self.port.set(port);
                true
            }
            (Err(failed), Stage::Waiting(before)) => {
                if failed.problem.message != before.problem.message {
                    say(&failed);
                }
                *before = failed;
                false
            }
            // Dropping what was opened closes it.
            (_, Stage::Open(_) | Stage::Closed) => true,
        }
    }

    fn stage(&self) -> MutexGuard<'_, Stage<S>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The node ends.
#[derive(Debug, thiserror::Error)]
#[error("it was closed")]
struct Closed;

fn say(failed: &Failed) {
    error!(code = %failed.problem.code, "{}", failed.problem.message);
}
