//! All keys at one revision.

use async_trait::async_trait;
use ports::kv::{Error, Page, Range, Revision, Snapshot};
use std::sync::Arc;

use super::{merge::Layers, shared::Shared};

/// Pages longer than this are read where blocking is allowed: they may take longer than half a millisecond.
const QUICK_ROWS: usize = 64;

/// While it lives, the versions that it sees are kept.
#[derive(Debug)]
pub(super) struct Look {
    shared: Arc<Shared>,
    layers: Layers,
}

impl Look {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let view = shared.view();
        // Noted before the view is let go: the writer looks at the notes when it changes the view.
        *shared.snapshots().entry(view.revision).or_default() += 1;
        Self { shared: Arc::clone(shared), layers: view.layers.clone() }
    }

    pub(super) async fn page(self: Arc<Self>, range: &Range, limit: usize) -> Result<Page, Error> {
        self.shared.check_open()?;
        if limit <= QUICK_ROWS {
            return self.shared.page(&self.layers, range, limit);
        }
        let range = range.clone();
        runtime::blocking(move || self.shared.page(&self.layers, &range, limit)).await
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        let mut snapshots = self.shared.snapshots();
        if let Some(count) = snapshots.get_mut(&self.layers.revision) {
            *count -= 1;
            if *count == 0 {
                snapshots.remove(&self.layers.revision);
            }
        }
    }
}

/// A [`Look`] that somebody keeps.
#[derive(Debug)]
pub(super) struct Held(pub(super) Arc<Look>);

#[async_trait]
impl Snapshot for Held {
    fn revision(&self) -> Revision {
        Revision(self.0.layers.revision)
    }

    async fn range(&mut self, range: &Range, limit: usize) -> Result<Page, Error> {
        Arc::clone(&self.0).page(range, limit).await
    }
}
