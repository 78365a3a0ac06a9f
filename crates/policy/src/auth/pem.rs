//! Public keys in PEM form (RFC 7468): `PUBLIC KEY` (RFC 5280 §4.1.2.7, RFC 8410) and `RSA PUBLIC KEY` (RFC 8017).
//!
//! Only as much DER as these need, and only in its one canonical form of lengths.

use super::key::Key;
use base64::Engine;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;

/// All public keys of a PEM file, in their order.
///
/// # Errors
/// What is wrong with the first that cannot be used, or that there is none.
pub(super) fn keys(text: &str) -> Result<Vec<Key>, &'static str> {
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some((_, from)) = rest.split_once("-----BEGIN ") {
        let (label, from) = from.split_once("-----").ok_or("an unfinished PEM header")?;
        let (body, after) = from.split_once("-----END ").ok_or("a PEM block without its end")?;
        rest = after.strip_prefix(label).ok_or("a PEM block that ends as another")?;
        if label.contains("PRIVATE") {
            return Err("a private key, which does not belong here: give the public one");
        }
        let packed: String = body.split_ascii_whitespace().collect();
        let der = base64::engine::general_purpose::STANDARD
            .decode(packed)
            .map_err(|_where| "a PEM block that is no base64")?;
        keys.push(match label {
            "PUBLIC KEY" => public_key(&der)?,
            "RSA PUBLIC KEY" => rsa_key(&der)?,
            _ => return Err("a PEM block that is no public key"),
        });
    }
    if keys.is_empty() { Err("no public key in PEM form") } else { Ok(keys) }
}

/// `SubjectPublicKeyInfo`.
fn public_key(der: &[u8]) -> Result<Key, &'static str> {
    const BROKEN: &str = "a public key that is broken";
    let read = || {
        let (info, after) = element(der, SEQUENCE)?;
        let (algorithm, rest) = element(info, SEQUENCE)?;
        let (bits, end) = element(rest, BIT_STRING)?;
        let (kind, parameters) = element(algorithm, OBJECT)?;
        // Whole bytes: no unused bits.
        let key = bits.strip_prefix(&[0])?;
        (after.is_empty() && end.is_empty()).then_some((kind, parameters, key))
    };
    let (kind, parameters, key) = read().ok_or(BROKEN)?;
    match kind {
        RSA => rsa_key(key),
        ED25519 => Key::ed25519(key),
        EC => {
            let (curve, _) = element(parameters, OBJECT).ok_or(BROKEN)?;
            let size = match curve {
                P256 => 32,
                P384 => 48,
                _ => return Err("an elliptic curve other than P-256 and P-384"),
            };
            let point = key.strip_prefix(&[4]).filter(|point| point.len() == 2 * size);
            let (x, y) = point.ok_or(BROKEN)?.split_at(size);
            Key::elliptic(x, y)
        }
        _ => Err("a kind of key other than RSA, EC and Ed25519"),
    }
}

/// `RSAPublicKey`.
fn rsa_key(der: &[u8]) -> Result<Key, &'static str> {
    let read = || {
        let (pair, after) = element(der, SEQUENCE)?;
        let (modulus, rest) = element(pair, INTEGER)?;
        let (exponent, end) = element(rest, INTEGER)?;
        let are_positive = [modulus, exponent]
            .iter()
            .all(|number| number.first().is_some_and(|first| *first < 0x80));
        (after.is_empty() && end.is_empty() && are_positive).then_some((modulus, exponent))
    };
    let (modulus, exponent) = read().ok_or("an RSA key that is broken")?;
    Key::rsa(modulus, exponent)
}

/// The content of the element that `der` starts with, if it is a `tag`, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = der.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ ..=0x7f => (usize::from(short), rest),
        0x81 => {
            let (long, rest) = rest.split_first()?;
            (usize::from(*long), rest)
        }
        0x82 => {
            let ([high, low], rest) = rest.split_first_chunk()?;
            (usize::from(u16::from_be_bytes([*high, *low])), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}
