//! Names that nobody else gives, and numbers that nobody expects.

/// 128 random bits in hexadecimal digits.
pub(crate) fn id() -> String {
    let mut bytes = [0; 16];
    // Without randomness from the system nothing secure runs at all; the clock then still tells two apart.
    if getrandom::fill(&mut bytes).is_err() {
        bytes[..8].copy_from_slice(&runtime::Clock::wall().0.to_le_bytes());
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Spreads those who would come back at the same moment; without randomness they only are less evenly spread.
pub(crate) fn number() -> u64 {
    getrandom::u64().unwrap_or_default()
}
