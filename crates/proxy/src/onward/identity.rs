//! The id and the trace that a request goes on with (W3C Trace Context).

use super::Seen;
use logic::balance::Random;

/// Longest request id that is taken over from a client; longer ones are replaced.
const REQUEST_ID_LEN_MAX: usize = 128;

/// The identity a request goes on with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    /// 32 hexadecimal digits of the trace, when it was made here or could be read.
    pub(crate) trace: [u8; 32],
}

pub(super) fn is_good_id(id: &[u8]) -> bool {
    (1..=REQUEST_ID_LEN_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// Gives the request an id and a trace (W3C Trace Context) unless it has them.
pub(super) fn identify(
    seen: &Seen,
    random: &mut Random,
    put: &mut impl FnMut(&[u8], &[u8]),
) -> Identity {
    if !seen.id {
        let mut id = [0; 32];
        id[..16].copy_from_slice(&hex(random.draw()));
        id[16..].copy_from_slice(&hex(random.draw()));
        put(b"x-request-id", &id);
    }
    let mut identity = Identity::default();
    match seen.trace.as_deref().filter(|_| seen.traces == 1) {
        Some(trace) => {
            identity.trace.copy_from_slice(trace.get(3..35).unwrap_or(&[b'0'; 32]));
            put(b"traceparent", trace);
        }
        None => {
            // An id of zeros is invalid; the lowest bit makes that impossible.
            let mut trace = *b"00-00000000000000000000000000000000-0000000000000000-01";
            trace[3..19].copy_from_slice(&hex(random.draw()));
            trace[19..35].copy_from_slice(&hex(random.draw() | 1));
            trace[36..52].copy_from_slice(&hex(random.draw() | 1));
            identity.trace.copy_from_slice(&trace[3..35]);
            put(b"traceparent", &trace);
        }
    }
    identity
}

/// A number's 16 hexadecimal digits.
fn hex(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    digits[..8].copy_from_slice(&eight(number >> 32));
    digits[8..].copy_from_slice(&eight(number & 0xffff_ffff));
    digits
}

/// The eight digits of a number of 32 bits, all at once: each gets a byte of a word.
fn eight(number: u64) -> [u8; 8] {
    let pairs = (number << 16 | number) & 0x0000_ffff_0000_ffff;
    let bytes = (pairs << 8 | pairs) & 0x00ff_00ff_00ff_00ff;
    let nibbles = (bytes << 4 | bytes) & 0x0f0f_0f0f_0f0f_0f0f;
    // Six more carry a digit from ten on into the next bit.
    let is_letter = ((nibbles + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    let zeros = u64::from_ne_bytes([b'0'; 8]);
    (nibbles + zeros + is_letter * u64::from(b'a' - b'0' - 10)).to_be_bytes()
}

/// Whether `value` is a `traceparent` (version 00, or a later one that begins the same way).
pub(super) fn is_trace_parent(value: &[u8]) -> bool {
    let is_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_zero = |part: &[u8]| part.iter().all(|byte| *byte == b'0');
    let mut parts = value.split(|byte| *byte == b'-');
    let (Some(version), Some(trace), Some(parent), Some(flags)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let has_more = parts.next().is_some();
    [version, trace, parent, flags].into_iter().all(is_hex)
        && (version.len(), trace.len(), parent.len(), flags.len()) == (2, 32, 16, 2)
        && !is_zero(trace)
        && !is_zero(parent)
        && version != b"ff"
        && !(has_more && version == b"00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_that_formatting_gives() {
        for number in [0, 1, 9, 10, 0xffff, u64::MAX, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210]
        {
            assert_eq!(hex(number), *format!("{number:016x}").as_bytes());
        }
    }
}
