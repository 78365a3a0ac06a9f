//! Which groups have subscriptions here.

use ports::broker::{GroupName, TopicName};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

type Counts = Mutex<HashMap<(TopicName, GroupName), usize>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct Uses(Arc<Counts>);

/// One subscription, until it is dropped.
#[derive(Debug)]
pub(crate) struct Used {
    counts: Arc<Counts>,
    of: (TopicName, GroupName),
}

impl Uses {
    pub(crate) fn join(&self, topic: &TopicName, group: &GroupName) -> Used {
        let of = (topic.clone(), group.clone());
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(of.clone()).or_default() += 1;
        Used { counts: Arc::clone(&self.0), of }
    }

    pub(crate) fn count(&self, topic: &TopicName, group: &GroupName) -> usize {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(&(topic.clone(), group.clone())).copied().unwrap_or_default()
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.of);
            }
        }
    }
}
