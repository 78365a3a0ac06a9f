//! Tables by names that the configuration gives.
//!
//! The hash of std's tables withstands keys that an attacker has chosen. Here the keys are the configuration's: who sends
//! requests can look for what is there and can add nothing, so a quick hash will do, and a look-up costs less than half.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// A table by names. Never to be filled with what requests bring.
pub type ByName<K, V> = HashMap<K, V, BuildHasherDefault<NameHasher>>;

/// Multiplies and rotates eight bytes at a time, as the hash of Firefox and rustc does.
#[derive(Clone, Copy, Debug, Default)]
pub struct NameHasher(u64);

impl NameHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u64::from(*byte));
            self.add(last);
        }
    }

    fn write_u8(&mut self, byte: u8) {
        self.add(u64::from(byte));
    }

    fn finish(&self) -> u64 {
        // A product's high bits depend on all of the word, its low ones do not; tables use both.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, hash::Hash};

    #[test]
    fn similar_names_differ_in_the_bits_that_tables_use() {
        let hash = |name: &str| {
            let mut hasher = NameHasher::default();
            name.hash(&mut hasher);
            hasher.finish()
        };
        let names = || (0..1_000).map(|number| format!("/api/v1/service-{number}"));
        let low: HashSet<u64> = names().map(|name| hash(&name) & 0xffff).collect();
        let high: HashSet<u64> = names().map(|name| hash(&name) >> 48).collect();
        assert!(low.len() > 950 && high.len() > 950, "{} {}", low.len(), high.len());
        assert_ne!(hash("a"), hash("b"));
        assert_ne!(hash(""), hash("a"));
    }
}
