//! Deliveries that were none, because nobody was there to take them, over the end of a runner.
//!
//! The broker counts every delivery of a message as an attempt, also one that was given back without anybody having seen it. How
//! many there were is kept for a while, and looked at before a message is given up.

use super::Runner;
use ports::{
    broker::Offset,
    kv::{Life, Transaction},
};
use std::time::Duration;
use tracing::debug;

/// How long it is kept; each time something is spared begins anew. Messages that are waited for longer than that are few, and then
/// an attempt more or less is nothing.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

const WHAT: &str = "that a delivery was no attempt";
const PREFIX: &str = "spared/";

impl Runner {
    fn spared_key(&self, offset: Offset) -> bytes::Bytes {
        let (topic, group) = (&self.spec.subscription.topic, &self.spec.subscription.group);
        self.tools.topics.rows.key(&format!("{PREFIX}{topic}|{group}|{offset}"))
    }

    /// How many deliveries of a message were no attempts.
    pub(super) async fn spared(&self, offset: Offset) -> u32 {
        let found = self.tools.topics.rows.get(WHAT, &self.spared_key(offset)).await;
        let count = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
        found.ok().flatten().and_then(|entry| count(&entry.value)).unwrap_or_default()
    }

    /// A delivery of a message was no attempt.
    pub(super) async fn spare(&self, offset: Offset) {
        let (rows, key) = (&self.tools.topics.rows, self.spared_key(offset));
        let count = self.spared(offset).await.saturating_add(1);
        let life = match rows.kv.capabilities().leases {
            true => Life::Ttl(KEPT),
            false => Life::Endless,
        };
        let put = Transaction::default().and_put(key, count.to_string(), life);
        if let Err(error) = rows.commit(WHAT, put).await {
            // The message then has an attempt less, and its dead letter can be brought back.
            debug!(%offset, error = %base::ErrorChain(&error), "an attempt was not spared");
        }
    }
}
