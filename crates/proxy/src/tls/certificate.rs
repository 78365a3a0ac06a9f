//! What we must know of a certificate and rustls does not tell: its hosts and its times.
//!
//! Reads the needed parts of X.509 (RFC 5280 section 4.1) out of DER. That the rest is well formed is
//! checked by webpki; here what does not fit gives `None`, whatever the bytes are.

use base::Timestamp;
use std::net::IpAddr;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) starts: Timestamp,
    pub(super) ends: Timestamp,
    /// Hosts in lower case.
    pub(super) names: Vec<String>,
    pub(super) addresses: Vec<IpAddr>,
}

const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]`: the version of a certificate.
const VERSION: u8 = 0xa0;
/// `[3]`: the extensions of a certificate.
const EXTENSIONS: u8 = 0xa3;
/// `[2]`, `[7]`: kinds of names.
const DNS_NAME: u8 = 0x82;
const ADDRESS: u8 = 0x87;
/// 2.5.29.17.
const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// Reads a certificate.
pub(super) fn read(der: &[u8]) -> Option<Facts> {
    let mut fields = Der(Der(Der(der).expect(SEQUENCE)?).expect(SEQUENCE)?);
    let (first, _) = fields.next()?;
    if first == VERSION {
        fields.expect(INTEGER)?;
    }
    fields.expect(SEQUENCE)?; // how it is signed
    fields.expect(SEQUENCE)?; // by whom
    let mut validity = Der(fields.expect(SEQUENCE)?);
    let starts = time(validity.next()?)?;
    let ends = time(validity.next()?)?;
    let mut facts = Facts { starts, ends, names: Vec::new(), addresses: Vec::new() };
    while let Some((tag, content)) = fields.next() {
        if tag == EXTENSIONS {
            let mut extensions = Der(Der(content).expect(SEQUENCE)?);
            while let Some((SEQUENCE, extension)) = extensions.next() {
                extend(&mut facts, extension)?;
            }
        }
    }
    Some(facts)
}

/// Adds what one extension says.
fn extend(facts: &mut Facts, extension: &[u8]) -> Option<()> {
    let mut fields = Der(extension);
    if fields.expect(OBJECT)? != SUBJECT_ALT_NAME {
        return Some(());
    }
    // Whether it is critical may stand between.
    let value = loop {
        if let (OCTETS, value) = fields.next()? {
            break value;
        }
    };
    let mut names = Der(Der(value).expect(SEQUENCE)?);
    while let Some((tag, name)) = names.next() {
        match tag {
            DNS_NAME => facts.names.extend(host(name)),
            ADDRESS => facts.addresses.extend(address(name)),
            _ => {}
        }
    }
    Some(())
}

/// A host or wildcard that can be looked up; others can never match and are passed over.
fn host(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let plain = name.strip_prefix("*.").unwrap_or(name);
    (!plain.is_empty() && !plain.contains('*')).then(|| name.to_owned())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ` (RFC 5280 section 4.1.2.5).
fn time((tag, text): (u8, &[u8])) -> Option<Timestamp> {
    let mut numbers = text.strip_suffix(b"Z")?.chunks_exact(2).map(two_digits);
    let mut next = || numbers.next().flatten();
    let year = match tag {
        // Two digits mean 1950 to 2049.
        UTC_TIME if text.len() == 13 => match next()? {
            year @ 0..50 => 2000 + year,
            year => 1900 + year,
        },
        GENERALIZED_TIME if text.len() == 15 => next()? * 100 + next()?,
        _ => return None,
    };
    let (month, day) = (next()?, next()?);
    let (hour, minute, second) = (next()?, next()?, next()?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    let seconds = days * 86_400 + hour * 3_600 + minute * 60 + second;
    // What was before 1970 was long ago all the same.
    let seconds = u64::try_from(seconds).unwrap_or(0);
    Some(Timestamp(seconds.saturating_mul(1_000_000)))
}

fn two_digits(pair: &[u8]) -> Option<i64> {
    match pair {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            Some(i64::from(tens - b'0') * 10 + i64::from(ones - b'0'))
        }
        _ => None,
    }
}

/// Days of the Gregorian calendar; years are counted from March, so that a leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days_before_month = (153 * month + 2) / 5;
    year * 365 + leap_days + days_before_month + day - 1 - 719_468
}

/// What is left of a sequence of values, each with a tag and a length.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Takes the next value.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, short], rest) = self.0.split_first_chunk()?;
        // The long form says how many bytes of length follow; four are more than any file has.
        let (length, rest) = match short {
            0..=0x7f => (usize::from(short), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(short - 0x80))?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// Takes the next value, which has the tag `wanted`.
    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, content)| content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_forms_are_read() {
        let check = |tag, text: &str, seconds: Option<u64>| {
            let expected = seconds.map(|seconds| Timestamp(seconds * 1_000_000));
            assert_eq!(time((tag, text.as_bytes())), expected, "{text}");
        };
        check(UTC_TIME, "700101000000Z", Some(0));
        check(UTC_TIME, "491231235959Z", Some(2_524_607_999));
        check(UTC_TIME, "500101000000Z", Some(0));
        check(GENERALIZED_TIME, "20240229123456Z", Some(1_709_210_096));
        check(GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799));
        check(UTC_TIME, "7001010000Z", None);
        check(UTC_TIME, "701301000000Z", None);
        check(UTC_TIME, "70010100000xZ", None);
        check(GENERALIZED_TIME, "700101000000Z", None);
    }

    #[test]
    fn no_damage_to_a_certificate_makes_the_reader_fail_badly() {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned(), "::1".to_owned()]);
        let der = made.unwrap().cert.der().to_vec();
        let whole = read(&der).unwrap();
        assert_eq!(whole.names, ["a.test"]);
        assert_eq!(whole.addresses, [IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16])]);
        for length in 0..der.len() {
            assert_eq!(read(&der[..length]), None, "cut at {length}");
        }
        for at in 0..der.len() {
            for value in [0, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut damaged = der.clone();
                damaged[at] = value;
                // Whatever it reads: it comes back.
                drop(read(&damaged));
            }
        }
    }
}
