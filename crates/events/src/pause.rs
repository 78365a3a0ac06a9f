//! Pauses between tries.

use logic::backoff::Backoff;
use std::time::Duration;

/// Between tries to reach an engine or a database that is away: soon enough for nobody to notice that it was, seldom enough for
/// one that comes back under load.
const RETRY: Backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_secs(5) };

/// Waits longer each time.
#[derive(Debug, Default)]
pub(crate) struct Pause {
    failures: u32,
}

impl Pause {
    /// Waits; longer than the last time. Cancel safe.
    pub(crate) async fn wait(&mut self) {
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(RETRY.wait(self.failures, crate::random::number())).await;
    }

    /// It went well.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }
}
