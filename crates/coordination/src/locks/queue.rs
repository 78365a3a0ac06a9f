//! Whose turn it is. Pure.

use ports::kv::Entry;

/// Where a waiter stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is the first.
    Mine,
    /// Right behind this one.
    Behind(Vec<u8>),
    /// It is not in the queue any more: its lease has ended.
    Lost,
}

/// Where the waiter with the key `mine` stands among `waiters`. The first is who came first, whatever the order of
/// the keys.
pub(super) fn turn(waiters: &[Entry], mine: &[u8]) -> Turn {
    let Some(own) = waiters.iter().find(|waiter| *waiter.key == *mine) else { return Turn::Lost };
    let before = waiters.iter().filter(|waiter| waiter.created < own.created);
    before
        .max_by_key(|waiter| waiter.created)
        .map_or(Turn::Mine, |next| Turn::Behind(next.key.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use ports::kv::Revision;

    #[test]
    fn each_waiter_stands_right_behind_the_one_that_came_before_it() {
        let waiter = |(key, created): (&'static str, u64)| {
            let created = Revision(created);
            let (key, value) = (Bytes::from(key), Bytes::new());
            Entry { key, value, created, modified: Revision(99), version: 1, lease: None }
        };
        let waiters = [("a", 7), ("b", 3), ("c", 5)].map(waiter);
        assert_eq!(turn(&waiters, b"b"), Turn::Mine);
        assert_eq!(turn(&waiters, b"c"), Turn::Behind(b"b".to_vec()));
        assert_eq!(turn(&waiters, b"a"), Turn::Behind(b"c".to_vec()));
        assert_eq!(turn(&waiters, b"d"), Turn::Lost);
    }
}
