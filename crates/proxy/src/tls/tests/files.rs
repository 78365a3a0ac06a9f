//! What is said of pairs that cannot be used, or need a look.

use super::*;
use base::ErrorChain;

const SECOND: u64 = 1_000_000;
const DAY: u64 = 24 * 3_600 * SECOND;

/// What is said of a pair that cannot be used.
fn check_bad(certificate: &str, key: &str, message: &str, fix: &str) {
    let error = Tls::from_pem(&[pair(certificate, key)]).unwrap_err();
    assert_eq!(ErrorChain(&error).to_string(), message);
    assert!(error.fix().contains(fix), "{}", error.fix());
}

#[test]
fn a_pair_that_cannot_be_used_is_refused_with_file_cause_and_remedy() {
    let (made, other) = (Made::new(&["a.test"]), Made::new(&["b.test"]));
    let mismatch = "the private key in `site.key` does not belong to the certificate in `site.crt`";
    check_bad(&made.certificate, &other.key, mismatch, "made together");
    let reversed = format!("{}{}", other.certificate, made.certificate);
    check_bad(&reversed, &made.key, mismatch, "certificate first");
    let none = "there is no certificate in `site.crt`";
    check_bad("", &made.key, none, "BEGIN CERTIFICATE");
    check_bad(&made.key, &made.certificate, none, "mixed up");
    let no_key = "there is no private key in `site.key`";
    check_bad(&made.certificate, "", no_key, "BEGIN PRIVATE KEY");
    check_bad(&made.certificate, &other.certificate, no_key, "mixed up");
    let encrypted = "the private key in `site.key` is encrypted";
    let pkcs8 =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    check_bad(&made.certificate, pkcs8, encrypted, "openssl pkey");
    let pkcs1 = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: A,B\n\nAAAA\n\
                 -----END RSA PRIVATE KEY-----\n";
    check_bad(&made.certificate, pkcs1, encrypted, "openssl pkey");
    let long = made.certificate.repeat(11);
    let count = "there are 11 certificates in `site.crt`, and a chain has at most 10";
    check_bad(&long, &made.key, count, "bundle");
    assert!(matches!(Tls::from_pem(&[]), Err(TlsError::Empty)));
}

#[test]
fn a_damaged_file_is_refused_and_says_so() {
    let made = Made::new(&["a.test"]);
    let text = |certificate: &str, key: &str| {
        let error = Tls::from_pem(&[pair(certificate, key)]).unwrap_err();
        ErrorChain(&error).to_string()
    };
    let (cut, _) = made.certificate.split_at(made.certificate.len() / 2);
    assert!(text(cut, &made.key).starts_with("`site.crt` is no valid PEM: "), "{cut}");
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let said = text(junk, &made.key);
    assert!(said.starts_with("the certificate in `site.crt` cannot be used: "), "{said}");
    let junk = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let said = text(&made.certificate, junk);
    assert!(said.starts_with("the private key in `site.key` cannot be used: "), "{said}");
    let der = Pem { name: "site.der", bytes: &made.der() };
    let error = Tls::from_pem(&[PemPair { certificate: der, ..made.pair() }]).unwrap_err();
    assert_eq!(error.to_string(), "`site.der` is in DER, not in PEM");
}

#[test]
fn what_works_and_needs_a_look_is_a_warning() {
    let at = |timestamp: u64| {
        let seconds = i64::try_from(timestamp / SECOND).unwrap();
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(seconds).unwrap())
    };
    let check = |starts: u64, ends: u64, expected: &[&str]| {
        let made = Made::with(&["a.test"], |params| {
            params.not_before = at(starts);
            params.not_after = at(ends);
        });
        let tls = tls(&[&made]);
        let said: Vec<_> = tls.warnings(NOW).iter().map(ToString::to_string).collect();
        assert_eq!(said, expected);
        let certificate = &tls.certificates()[0];
        assert_eq!((certificate.starts.0, certificate.ends.0), (starts, ends));
        assert_eq!(certificate.names, ["a.test"]);
    };
    let now = NOW.0;
    check(now - DAY, now + 8 * DAY, &[]);
    check(now - DAY, now + 3 * DAY, &["the certificate in `site.crt` expires in 3 days"]);
    check(now - DAY, now + SECOND, &["the certificate in `site.crt` expires within a day"]);
    check(now - DAY, now, &["the certificate in `site.crt` has expired today"]);
    check(now - 9 * DAY, now - 2 * DAY, &["the certificate in `site.crt` has expired 2 days ago"]);
    let clock = "the certificate in `site.crt` is not valid yet, or this clock is wrong";
    check(now + SECOND, now + 90 * DAY, &[clock]);
    let nameless = tls(&[&Made::new(&[])]);
    let long_valid = "the certificate in `site.crt` names no host (subject alternative name)";
    assert_eq!(nameless.warnings(NOW)[0].to_string(), long_valid);
}
