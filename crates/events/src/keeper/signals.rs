//! Who is to be asked what it wants.

use base::ServiceName;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// What wakes the keeper.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    ask: Mutex<BTreeSet<ServiceName>>,
    wake: Notify,
}

impl Signals {
    /// A service is to be asked what it wants.
    pub(crate) fn ask(&self, service: &ServiceName) {
        self.lock().insert(service.clone());
        self.wake.notify_one();
    }

    /// Takes those who are to be asked; `are_busy` stay.
    pub(super) fn taken(&self, are_busy: &BTreeSet<ServiceName>) -> BTreeSet<ServiceName> {
        let mut ask = self.lock();
        let stay = are_busy.intersection(&ask).cloned().collect();
        std::mem::replace(&mut *ask, stay)
    }

    /// A question is on its way, and answers all who wanted it asked until now.
    pub(super) fn is_asked(&self, service: &ServiceName) {
        self.lock().remove(service);
    }

    /// Waits until there is something to look at. Cancel safe.
    pub(super) async fn raised(&self) {
        self.wake.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<ServiceName>> {
        self.ask.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
