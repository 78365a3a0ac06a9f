//! Sets of keys, as JSON and as PEM.

use policy::auth::{
    jwks::{KEYS_MAX, KeySet, Secrets},
    key::Algorithm,
};

/// What is read is bounded and can be used for something; published sets hold no secrets; no key is for both
/// kinds of algorithms.
pub(crate) fn check(data: &[u8]) {
    let published = KeySet::from_jwks(data, Secrets::Refused);
    if let Ok(set) = &published {
        usable(set);
        assert!(set.keys().iter().all(|key| !key.is_secret()));
        // Who may have secrets has the others too.
        assert!(KeySet::from_jwks(data, Secrets::Allowed).is_ok());
    }
    if let Ok(set) = KeySet::from_jwks(data, Secrets::Allowed) {
        usable(&set);
    }
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(set) = KeySet::from_pem(text) {
        usable(&set);
        assert!(set.keys().iter().all(|key| !key.is_secret() && key.id().is_none()));
    }
}

fn usable(set: &KeySet) {
    assert!((1..=KEYS_MAX).contains(&set.keys().len()) && set.notes().len() <= KEYS_MAX);
    for key in set.keys() {
        let allowed: Vec<_> = Algorithm::ALL.iter().filter(|one| key.allows(**one)).collect();
        assert!(!allowed.is_empty(), "a key for nothing");
        let is_hmac =
            |one: &Algorithm| matches!(one, Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512);
        assert!(allowed.iter().all(|one| is_hmac(one) == key.is_secret()), "a key for two kinds");
        for algorithm in allowed {
            assert!(set.find(*algorithm, key.id()).any(|found| found == key));
            assert!(!key.verify(*algorithm, b"message", b"no signature"));
        }
    }
}
