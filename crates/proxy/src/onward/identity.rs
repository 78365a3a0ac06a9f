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
        hex(&mut id[..16], random.draw());
        hex(&mut id[16..], random.draw());
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
            hex(&mut trace[3..19], random.draw());
            hex(&mut trace[19..35], random.draw() | 1);
            hex(&mut trace[36..52], random.draw() | 1);
            identity.trace.copy_from_slice(&trace[3..35]);
            put(b"traceparent", &trace);
        }
    }
    identity
}

/// Writes 16 hexadecimal digits.
fn hex(to: &mut [u8], mut number: u64) {
    for digit in to.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(number & 15).unwrap_or(0)];
        number >>= 4;
    }
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
