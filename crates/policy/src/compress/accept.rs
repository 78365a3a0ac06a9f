//! What packing a client understands (RFC 9110 §12.5.3).

use super::Coding;

/// A weight in thousandths.
type Weight = u16;

const FULL: Weight = 1_000;

/// The members of `Accept-Encoding` that are looked at. Browsers send four or five.
pub const MEMBERS_MAX: usize = 32;

/// What a client accepts. Remembered from the request until its response comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    gzip: Option<Weight>,
    br: Option<Weight>,
    zstd: Option<Weight>,
    identity: Option<Weight>,
    others: Option<Weight>,
    members: usize,
}

impl Accepted {
    /// Reads one value of `Accept-Encoding`.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let mut accepted = Self::default();
        accepted.add(value);
        accepted
    }

    /// Reads one more value. Members that are not well-formed are passed over; of a coding that is named twice the
    /// lower weight counts, because one of the two says that it is not wanted.
    pub fn add(&mut self, value: &[u8]) {
        for member in value.split(|byte| *byte == b',') {
            if self.members == MEMBERS_MAX {
                return;
            }
            self.members += 1;
            let Some((coding, weight)) = parse_member(member.trim_ascii()) else { continue };
            let known = match coding.to_ascii_lowercase().as_slice() {
                // The second name is an old one for the same (RFC 9110 §8.4.1.3).
                b"gzip" | b"x-gzip" => &mut self.gzip,
                b"br" => &mut self.br,
                b"zstd" => &mut self.zstd,
                b"identity" => &mut self.identity,
                b"*" => &mut self.others,
                _ => continue,
            };
            *known = Some(known.map_or(weight, |known| known.min(weight)));
        }
    }

    /// The coding of `offered` that the client likes best; of those that it likes the same, the first. `None`: the
    /// response goes as it is, because none is wanted or the client would rather have it so.
    ///
    /// A client that refuses everything, `identity` too, gets the response as it is: it is there already,
    /// and RFC 9110 leaves the choice.
    #[must_use]
    pub fn choose(&self, offered: &[Coding]) -> Option<Coding> {
        let mut best: Option<(Weight, Coding)> = None;
        for coding in offered {
            let weight = self.weight(*coding);
            if weight > best.map_or(0, |(weight, _)| weight) {
                best = Some((weight, *coding));
            }
        }
        let (weight, coding) = best?;
        (weight >= self.identity.unwrap_or(0)).then_some(coding)
    }

    fn weight(&self, coding: Coding) -> Weight {
        let named = match coding {
            Coding::Gzip => self.gzip,
            Coding::Br => self.br,
            Coding::Zstd => self.zstd,
        };
        named.or(self.others).unwrap_or(0)
    }
}

/// `coding [ OWS ";" OWS "q=" weight ]`.
fn parse_member(member: &[u8]) -> Option<(&[u8], Weight)> {
    let mut parts = member.split(|byte| *byte == b';');
    let coding = parts.next()?.trim_ascii_end();
    let weight = match parts.next() {
        None => FULL,
        Some(parameter) => {
            let [b'q' | b'Q', b'=', weight @ ..] = parameter.trim_ascii() else { return None };
            parse_weight(weight)?
        }
    };
    (parts.next().is_none() && crate::edits::is_token(coding)).then_some((coding, weight))
}

/// `0`, `1`, or one of them with up to three decimals, and never above one (RFC 9110 §12.4.2).
fn parse_weight(text: &[u8]) -> Option<Weight> {
    let (whole, decimals) = match text {
        [whole @ (b'0' | b'1')] => (whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut weight = if *whole == b'1' { FULL } else { 0 };
    let mut unit = FULL;
    for digit in decimals {
        unit /= 10;
        weight += unit * Weight::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    (weight <= FULL).then_some(weight)
}
