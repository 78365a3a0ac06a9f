//! Conditions on the query of a request.
//!
//! Gateway API `HTTPRoute` query parameters: name and value are compared exactly, after decoding as
//! HTML forms encode them (`%41` is `A`, `+` is a space); of a name that comes more than once the
//! first counts. A `%` without two hexadecimal digits stands for itself. Nothing is allocated.

/// Whether `query` (without its `?`) has a parameter `name`, with `value` if one is given.
#[must_use]
pub fn has(query: &str, name: &str, value: Option<&str>) -> bool {
    let mut pairs = query.as_bytes().split(|byte| *byte == b'&').map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        (pair.get(..equals).unwrap_or_default(), pair.get(equals + 1..).unwrap_or_default())
    });
    let is_named = |pair: &(&[u8], &[u8])| !pair.0.is_empty() && is(pair.0, name);
    pairs.find(is_named).is_some_and(|(_, found)| value.is_none_or(|value| is(found, value)))
}

/// Whether `encoded` decodes to `plain`.
fn is(encoded: &[u8], plain: &str) -> bool {
    Decoded(encoded).eq(plain.bytes())
}

struct Decoded<'a>(&'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        match first {
            b'+' => Some(b' '),
            b'%' => match rest {
                [high, low, after @ ..] => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => {
                        self.0 = after;
                        Some(high * 16 + low)
                    }
                    _ => Some(b'%'),
                },
                _ => Some(b'%'),
            },
            plain => Some(*plain),
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
