//! What is said of configuration.

use base::Timestamp;
use ports::kv;
use std::collections::BTreeMap;

/// Longest key in bytes.
pub const CONFIG_KEY_LEN_MAX: usize = kv::KEY_MAX - 256;

/// Longest value in bytes: a value and the one it replaces fit into one transaction of the engine.
pub const CONFIG_VALUE_LEN_MAX: usize = 256 << 10;

/// Most bytes of the names and values of an item's metadata together.
pub const CONFIG_METADATA_LEN_MAX: usize = 4 << 10;

/// Versions that are kept of each key, the present one included.
pub const HISTORY_MAX: u64 = 100;

/// Most keys of all stores of a system together, deleted ones included: all are in every node's memory.
pub const CONFIG_KEYS_MAX: usize = 10_000;

/// Most bytes of keys and values of all stores of a system together, past versions not counted.
pub const CONFIG_SIZE_MAX: usize = 64 << 20;

/// A value as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigItem {
    /// The value.
    pub value: String,
    /// Counts the changes of the key, deletions included, from 1.
    pub version: u64,
    /// What was noted with it.
    pub metadata: BTreeMap<String, String>,
    /// When it was set.
    pub changed: Timestamp,
    /// By whom.
    pub by: String,
    /// The revision of the engine at which it was set: a watch after it tells only later changes.
    pub revision: u64,
}

/// Values that were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigAnswer {
    /// Those that are set.
    pub items: BTreeMap<String, ConfigItem>,
    /// The engine is away: there may be newer values.
    pub stale: bool,
    /// The revision up to which changes are in it: a watch after it misses nothing.
    pub revision: u64,
}

/// One of the values a key has had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Which.
    pub version: u64,
    /// The value; `None`: the key was deleted.
    pub value: Option<String>,
    /// What was noted with it.
    pub metadata: BTreeMap<String, String>,
    /// When it was set.
    pub changed: Timestamp,
    /// By whom.
    pub by: String,
    /// The version whose value this is again.
    pub restores: Option<u64>,
}

/// Which keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// All.
    All,
    /// These.
    Keys(Vec<String>),
    /// Those that match one of these: a `*` stands for any text, all else for itself.
    Patterns(Vec<String>),
}

impl Select {
    /// As Dapr means it: no key means all.
    #[must_use]
    pub fn keys(keys: &[String]) -> Self {
        if keys.is_empty() { Self::All } else { Self::Keys(keys.to_vec()) }
    }

    /// Whether it selects `key`.
    #[must_use]
    pub fn selects(&self, key: &str) -> bool {
        match self {
            Self::All => true,
            Self::Keys(keys) => keys.iter().any(|name| name == key),
            Self::Patterns(patterns) => patterns.iter().any(|pattern| matches(pattern, key)),
        }
    }
}

/// Whether `key` matches `pattern`, in which `*` stands for any text.
fn matches(pattern: &str, key: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| key.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

/// What changed at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigChange {
    /// The revision: what to give as `after` to go on behind it.
    pub revision: u64,
    /// The keys and what they are; `None`: deleted.
    pub items: BTreeMap<String, Option<ConfigItem>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, matching, other) in [
            ("checkout.*", "checkout.limit", "checkout"),
            ("*", "", "\0"),
            ("*.limit", "a.b.limit", "limits"),
            ("a*b*c", "aXbYc", "acb"),
            ("a*a", "aa", "a"),
            ("plain", "plain", "plainer"),
            ("a**b", "ab", "a"),
        ] {
            assert!(matches(pattern, matching), "{pattern} {matching}");
            assert!(pattern == "*" || !matches(pattern, other), "{pattern} {other}");
        }
    }
}
