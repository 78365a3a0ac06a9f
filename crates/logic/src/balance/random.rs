//! A small random source that is passed in, and the hash that keys and names go through.

/// `SplitMix64` (Steele, Lea, Flood 2014): fast and even, one word of state; not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A source whose numbers follow from `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number from 0 up to, not including, `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u128::try_from(end).unwrap_or(0);
        // The high half of the product is even to within 2^-64 · end (Lemire 2019).
        usize::try_from((u128::from(self.draw()) * end) >> 64).unwrap_or(0)
    }
}

/// Hashes bytes to a ring position: FNV-1a, then mixed, because FNV alone leaves similar names close
/// together. The same on every machine and version: instances of several nodes must agree.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(fnv)
}

pub(super) fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
