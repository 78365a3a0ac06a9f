//! What was verified before, so that the next request with the same credentials costs one hash.
//!
//! A fixed table in which a digest has one place: no list to walk, no lock, no eviction to run; two that share
//! a place replace each other, which costs time and nothing else. Only what passed is kept, so a stranger
//! cannot push anything out.

use arc_swap::ArcSwapOption;
use std::sync::Arc;

/// SHA-256 of the credentials, or a keyed hash of them.
pub(super) type Digest = [u8; 32];

struct Entry<T> {
    digest: Digest,
    value: T,
}

/// A table of `T` by digest.
pub(super) struct Cache<T> {
    /// A power of two of them.
    places: Box<[ArcSwapOption<Entry<T>>]>,
}

impl<T> Cache<T> {
    /// Room for at most `size` entries, rounded up to a power of two.
    pub(super) fn new(size: usize) -> Self {
        let places = size.max(1).next_power_of_two();
        Self { places: (0..places).map(|_| ArcSwapOption::empty()).collect() }
    }

    fn place(&self, digest: &Digest) -> &ArcSwapOption<Entry<T>> {
        let [a, b, c, d, ..] = *digest;
        let start = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(0);
        &self.places[start & (self.places.len() - 1)]
    }

    /// What was kept for `digest`, as `read` wants it.
    pub(super) fn get<R>(&self, digest: &Digest, read: impl FnOnce(&T) -> Option<R>) -> Option<R> {
        let entry = self.place(digest).load();
        let entry = entry.as_ref().filter(|entry| entry.digest == *digest)?;
        read(&entry.value)
    }

    /// Keeps `value` for `digest`, in place of what was there.
    pub(super) fn put(&self, digest: Digest, value: T) {
        self.place(&digest).store(Some(Arc::new(Entry { digest, value })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_whole_digest_only() {
        let cache = Cache::new(3);
        assert_eq!(cache.places.len(), 4);
        let mut near = [1; 32];
        near[31] = 2;
        cache.put([1; 32], "one");
        assert_eq!(cache.get(&[1; 32], |value| Some(*value)), Some("one"));
        assert_eq!(cache.get(&near, |value| Some(*value)), None);
        cache.put(near, "near");
        assert_eq!(cache.get(&[1; 32], |value| Some(*value)), None);
        assert_eq!(cache.get(&near, |value| Some(*value)), Some("near"));
        assert_eq!(cache.get(&near, |_| None::<()>), None);
    }
}
