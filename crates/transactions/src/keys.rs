//! Where things stand in the kv engine.
//!
//! ```text
//!  flotilla/<system>/tx/live/<gid>              the record of a transaction that is unfinished
//!  flotilla/<system>/tx/done/<gid>              where its record went when it ended, and how it was decided
//!  flotilla/<system>/tx/ended/<time>-<gid>      the record of a transaction that has ended; the latest one first
//!  flotilla/<system>/tx/nodes/<node>            as long as the node lives, where nodes share an engine
//! ```

use crate::Gid;
use bytes::Bytes;
use ports::kv::Range;

/// Times are written as what is left to it, so that the engine's order has the latest first. Reached in the year 2286.
const LAST_MS: u64 = 9_999_999_999_999;

/// Digits of a time.
const DIGITS: usize = 13;

/// The keys of one system.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    root: String,
}

impl Keys {
    pub(crate) fn new(system: &str) -> Self {
        Self { root: format!("flotilla/{system}/tx/") }
    }

    fn key(&self, name: &str, rest: &str) -> Bytes {
        let mut key = String::with_capacity(self.root.len() + name.len() + rest.len());
        key.push_str(&self.root);
        key.push_str(name);
        key.push_str(rest);
        key.into()
    }

    fn rest<'k>(&self, key: &'k [u8], name: &str) -> Option<&'k str> {
        std::str::from_utf8(key).ok()?.strip_prefix(&self.root)?.strip_prefix(name)
    }

    pub(crate) fn live(&self, gid: &Gid) -> Bytes {
        self.key("live/", gid.as_str())
    }

    pub(crate) fn all_live(&self) -> Range {
        Range::prefix(self.key("live/", ""))
    }

    /// The transaction whose record is under this key.
    pub(crate) fn of_live(&self, key: &[u8]) -> Option<Gid> {
        Gid::new(self.rest(key, "live/")?).ok()
    }

    pub(crate) fn done(&self, gid: &Gid) -> Bytes {
        self.key("done/", gid.as_str())
    }

    pub(crate) fn ended(&self, ms: u64, gid: &Gid) -> Bytes {
        let left = LAST_MS.saturating_sub(ms);
        self.key("ended/", &format!("{left:0DIGITS$}-{gid}"))
    }

    /// Those that have ended, the latest first; from behind `after` on, which is a name of [`Self::of_ended`].
    pub(crate) fn all_ended(&self, after: Option<&str>) -> Range {
        let mut range = Range::prefix(self.key("ended/", ""));
        if let Some(after) = after {
            // No name of a transaction has this letter, and it sorts before all of theirs: the key right behind.
            range.from = self.key("ended/", &format!("{after}\0"));
        }
        range
    }

    /// Those that have ended before this moment.
    pub(crate) fn ended_before(&self, ms: u64) -> Range {
        let mut range = Range::prefix(self.key("ended/", ""));
        let left = LAST_MS.saturating_sub(ms).saturating_add(1);
        range.from = self.key("ended/", &format!("{left:0DIGITS$}"));
        range
    }

    /// When the transaction under this key has ended, and which it is.
    pub(crate) fn of_ended<'k>(&self, key: &'k [u8]) -> Option<Ended<'k>> {
        let name = self.rest(key, "ended/")?;
        let (left, gid) = name.split_at_checked(DIGITS)?;
        let gid = Gid::new(gid.strip_prefix('-')?).ok()?;
        Some(Ended { name, ms: LAST_MS.checked_sub(left.parse().ok()?)?, gid })
    }

    pub(crate) fn node(&self, node: &str) -> Bytes {
        self.key("nodes/", node)
    }

    pub(crate) fn nodes(&self) -> Range {
        Range::prefix(self.key("nodes/", ""))
    }

    /// The node whose key this is.
    pub(crate) fn of_node<'k>(&self, key: &'k [u8]) -> Option<&'k str> {
        self.rest(key, "nodes/")
    }
}

/// What a key under `ended/` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended<'k> {
    /// What stands behind `ended/`.
    pub(crate) name: &'k str,
    pub(crate) ms: u64,
    pub(crate) gid: Gid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_what_has_ended_sort_the_latest_first() {
        let (keys, gid) = (Keys::new("shop"), Gid::new("a").unwrap());
        let (early, late) =
            (keys.ended(1_700_000_000_000, &gid), keys.ended(1_700_000_000_001, &gid));
        assert!(late < early);
        let name = keys.of_ended(&late).unwrap();
        assert_eq!((name.ms, &name.gid), (1_700_000_000_001, &gid));
        assert!(!keys.all_ended(Some(name.name)).contains(&late));
        assert!(keys.all_ended(Some(name.name)).contains(&early));
        let before = keys.ended_before(1_700_000_000_001);
        assert!(before.contains(&early) && !before.contains(&late));
        assert_eq!(keys.of_live(&keys.live(&gid)), Some(gid));
    }
}
