//! Conditions on a query.

use logic::route::query::has;

use crate::three;

/// Says the same as a reading that decodes everything into a list of pairs first.
pub(crate) fn check(data: &[u8]) {
    let Some((name, value, query)) = three(data) else { return };
    let texts = (str::from_utf8(name), str::from_utf8(value), str::from_utf8(query));
    let (Ok(name), Ok(value), Ok(query)) = texts else { return };
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let pairs = pairs.map(|(name, value)| (decode(name), decode(value)));
    let first = pairs.filter(|pair| !pair.0.is_empty()).find(|pair| pair.0 == name.as_bytes());
    assert_eq!(has(query, name, None), first.is_some());
    assert_eq!(has(query, name, Some(value)), first.is_some_and(|pair| pair.1 == value.as_bytes()));
}

fn decode(text: &str) -> Vec<u8> {
    let mut pieces = text.split('%');
    let plain = |piece: &str| piece.replace('+', " ").into_bytes();
    let mut decoded = plain(pieces.next().unwrap_or_default());
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|d| d.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                decoded.extend(plain(piece.get(2..).unwrap_or_default()));
            }
            None => {
                decoded.push(b'%');
                decoded.extend(plain(piece));
            }
        }
    }
    decoded
}
