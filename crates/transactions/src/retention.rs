//! Finished transactions are forgotten when their time is over.

use crate::{RETENTION, service::Inner};
use base::ErrorChain;
use ports::kv::{self, OPERATIONS_MAX, Transaction};
use runtime::Stop;
use std::{sync::Arc, time::Duration};
use tracing::debug;

/// How often it is looked for what is over: nobody misses a minute of a week.
const EVERY: Duration = Duration::from_secs(60);

/// Transactions that are forgotten at once, two keys each.
const BATCH: usize = OPERATIONS_MAX / 2;

/// Forgets what is over, again and again.
pub(crate) async fn run(inner: Arc<Inner>, mut stop: Stop) {
    loop {
        let forgetting = inner.forget();
        let result = tokio::select! {
            result = forgetting => result,
            () = stop.wait() => return,
        };
        if let Err(error) = result {
            debug!(error = %ErrorChain(&error), "finished transactions could not be forgotten yet");
        }
        if tokio::time::timeout(EVERY, stop.wait()).await.is_ok() {
            return;
        }
    }
}

impl Inner {
    /// Forgets what has ended too long ago.
    pub(crate) async fn forget(&self) -> Result<(), kv::Error> {
        let retention = self.wanted().retention.unwrap_or(RETENTION).as_millis();
        let retention = u64::try_from(retention).unwrap_or(u64::MAX);
        let range = self.tools.keys.ended_before(self.tools.now.ms().saturating_sub(retention));
        loop {
            let page = self.engine.range(&range, BATCH).await?;
            if page.entries.is_empty() {
                return Ok(());
            }
            let mut transaction = Transaction::default();
            for entry in page.entries {
                if let Some(ended) = self.tools.keys.of_ended(&entry.key) {
                    transaction = transaction.and_delete(self.tools.keys.done(&ended.gid));
                }
                transaction = transaction.and_delete(entry.key);
            }
            // Another node may do the same at the same time: what is gone already is no error.
            self.engine.commit(transaction).await?;
        }
    }
}
