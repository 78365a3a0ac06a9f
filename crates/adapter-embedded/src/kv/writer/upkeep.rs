//! What the writer does unasked.

use base::ErrorChain;
use std::sync::Arc;
use tracing::{error, warn};

use super::{EXPIRY_MAX, EXPIRY_PAUSE, GROUP_BYTES, Writer, millis};
use crate::kv::{base::Numbers, checkpoint::Job, group::Group, overlay::Overlay};

impl Writer {
    /// Removes the segments of the log that nothing needs any more.
    pub(super) fn trim(&mut self) {
        let position = self.shared.desk.progress().position;
        let compacted = self.shared.view().compacted;
        if let Err(e) = self.log.trim(position, compacted) {
            // What is left over is removed next time.
            warn!(store = self.shared.place, error = %e, "an old segment of the log cannot be removed");
        }
    }

    /// Has the overlay written to the tree when it is large or old. `false`: it is too large, and the tree does not
    /// follow, so what waits was refused.
    pub(super) async fn make_room(&mut self) -> bool {
        loop {
            let (is_free, bytes) = {
                let view = self.shared.view();
                (view.layers.frozen.is_none(), view.layers.active.bytes())
            };
            if is_free {
                let now = self.shared.now();
                let since = self.state.dirty_since;
                let age = since.map_or(0, |since| now.saturating_sub(since));
                let is_due = bytes >= self.limits.overlay_bytes
                    || self.state.log_bytes >= self.limits.replay_bytes
                    || age >= millis(self.limits.checkpoint_age);
                if is_due && since.is_some() {
                    self.freeze();
                }
                return true;
            }
            if bytes < self.limits.overlay_bytes_max {
                return true;
            }
            if let Some(trouble) = self.shared.desk.progress().failed {
                for command in self.state.waiting.drain(..) {
                    command.refuse(self.shared.unavailable(Arc::new(trouble.clone())));
                }
                // Leases whose time is over would wake the writer again at once, and for nothing.
                self.state.expiry_at = self.shared.now() + millis(EXPIRY_PAUSE);
                return false;
            }
            self.shared.desk.done.notified().await;
        }
    }

    /// Leaves the overlay to the checkpoint and begins another one.
    pub(super) fn freeze(&mut self) {
        let job = {
            let mut view = self.shared.view_mut();
            let rows = std::mem::replace(&mut view.layers.active, Arc::new(Overlay::default()));
            view.layers.frozen = Some(Arc::clone(&rows));
            let numbers = Numbers {
                position: self.log.next(),
                revision: view.revision,
                compacted: view.compacted,
                last_lease: view.last_lease,
            };
            Job { rows, numbers }
        };
        self.state.dirty_since = None;
        self.state.log_bytes = 0;
        self.shared.desk.put(job);
    }

    /// Ends the leases whose time is over, each in a revision of its own.
    pub(super) fn end_leases(&mut self, group: &mut Group<'_>) {
        let now = self.shared.now();
        if now < self.state.expiry_at {
            return;
        }
        let over = self.shared.leases().over(now, EXPIRY_MAX);
        for lease in over {
            if group.bytes() > GROUP_BYTES {
                return;
            }
            if let Err(e) = group.end(lease) {
                warn!(store = self.shared.place, error = %ErrorChain(&e), "a lease cannot be ended");
                self.state.expiry_at = now + millis(EXPIRY_PAUSE);
                return;
            }
        }
    }

    /// Gives up the oldest history when there is more than is kept.
    pub(super) fn compact(&mut self, group: &mut Group<'_>) {
        let segments = self.log.segments().list();
        let mut bytes: u64 = segments.iter().map(|segment| segment.end).sum();
        let mut upto = 0;
        for pair in segments.windows(2) {
            if let [oldest, second] = pair
                && bytes > self.limits.history_bytes
            {
                bytes -= oldest.end;
                upto = second.mark;
            }
        }
        if upto > self.shared.view().compacted
            && let Err(e) = group.compact(upto)
        {
            error!(error = %ErrorChain(&e), "history cannot be compacted");
        }
    }
}
