//! Values of the index.

use crate::tree::Trouble;

/// Length of the checksum before the value of a row.
const CHECK: usize = 4;

/// Makes a value of what `put` appends, with a checksum over it and its key: redb reads its pages without looking whether
/// they are as they were written.
pub(super) fn seal(key: &[u8], out: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>)) {
    out.clear();
    out.extend_from_slice(&[0; CHECK]);
    put(out);
    let check = checksum(key, &out[CHECK..]);
    out[..CHECK].copy_from_slice(&check.to_le_bytes());
}

/// Reads a value.
pub(super) fn unseal<'a, T>(
    key: &[u8],
    value: &'a [u8],
    read: impl FnOnce(&'a [u8]) -> Option<T>,
) -> Result<T, Trouble> {
    let found = value.split_first_chunk::<CHECK>().and_then(|(check, rest)| {
        (u32::from_le_bytes(*check) == checksum(key, rest)).then(|| read(rest))?
    });
    found.ok_or_else(|| {
        let key = key.escape_ascii();
        Trouble::Damaged(format!("the checksum of row {key} does not fit"))
    })
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(key);
    check.update(rest);
    check.finalize()
}
