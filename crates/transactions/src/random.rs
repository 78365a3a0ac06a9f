//! Names that nobody else gives, and numbers that nobody expects.

use runtime::Clock;

/// Crockford's base 32: sorts as the numbers do.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Letters of a name: 48 bits of time and 80 random ones, five to a letter.
const NAME_LEN: u32 = 26;

/// A name that sorts by the time it was made.
pub(crate) fn name() -> String {
    let mut bytes = [0; 16];
    // Without randomness from the system nothing secure runs at all; the clock then still tells two apart.
    if getrandom::fill(&mut bytes[6..]).is_err() {
        bytes[6..14].copy_from_slice(&Clock::wall().0.to_le_bytes());
    }
    bytes[..6].copy_from_slice(&Clock::wall().millis().to_be_bytes()[2..]);
    let number = u128::from_be_bytes(bytes);
    let digit = |place: u32| {
        let index = usize::try_from((number >> (5 * place)) & 31).unwrap_or_default();
        char::from(DIGITS[index])
    };
    (0..NAME_LEN).rev().map(digit).collect()
}

/// Numbers that spread those who would come back at the same moment, and that tell spans apart. Nothing secret (splitmix64, Steele and
/// others, 2014).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new() -> Self {
        Self(getrandom::u64().unwrap_or_else(|_| Clock::wall().0))
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A trace of its own, as W3C Trace Context writes it; sampled.
    pub(crate) fn trace(&mut self) -> String {
        let (high, low, span) = (self.roll(), self.roll(), self.roll() | 1);
        format!("00-{high:016x}{low:016x}-{span:016x}-01")
    }

    /// A child of a trace. What is no trace stays as it is: whoever gets it starts anew.
    pub(crate) fn child(&mut self, parent: &str) -> String {
        let span = self.roll() | 1;
        let mut parts = parent.splitn(4, '-');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(version), Some(trace), Some(_), Some(flags)) => {
                format!("{version}-{trace}-{span:016x}-{flags}")
            }
            _ => parent.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_sort_by_their_time_and_are_told_apart() {
        let first = name();
        assert_eq!(first.len(), 26);
        let start = Clock::wall().millis();
        while Clock::wall().millis() <= start + 1 {
            std::hint::spin_loop();
        }
        let later: BTreeSet<String> = (0..1_000).map(|_| name()).collect();
        assert_eq!(later.len(), 1_000);
        assert!(later.iter().all(|name| *name > first));
    }

    #[test]
    fn a_child_belongs_to_the_trace_of_its_parent() {
        let mut dice = Dice::new();
        let parent = dice.trace();
        let child = dice.child(&parent);
        assert_eq!(parent.len(), 55);
        assert!(child.ends_with("-01") && child.as_bytes()[..36] == parent.as_bytes()[..36]);
        assert_ne!(child, parent);
        assert_eq!(dice.child("none"), "none");
    }
}
