//! How a secret is sealed: ChaCha20-Poly1305 (RFC 8439), with a random nonce, bound to its place.
//!
//! ```text
//!  1 │ time (8 bytes) │ key's name (8) │ nonce (12) │ ciphertext │ tag (16)
//! ```
//!
//! All that stands before the nonce is authenticated, and so is the key under which the engine has it: what is sealed
//! cannot be given another name or time. Its length can be seen. A random nonce of 96 bits may repeat after some 2³²
//! secrets sealed with one key, which nobody sets by hand.

use super::{KeyError, Secret};
use crate::error::Error;
use base::Timestamp;
use bytes::{BufMut as _, Bytes, BytesMut};
use ring::{
    aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest,
};
use std::{fmt, fmt::Write as _, sync::Arc};

const FORMAT: u8 = 1;

/// Bytes of a key.
pub(super) const KEY_SIZE: usize = 32;

/// Bytes of a key's name.
const ID_SIZE: usize = 8;

const HEAD_SIZE: usize = 1 + 8 + ID_SIZE;

/// The name of a key: it tells keys apart and betrays nothing about them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId([u8; ID_SIZE]);

impl KeyId {
    fn of(bytes: &[u8; KEY_SIZE]) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"flotilla secrets key\n");
        context.update(bytes);
        let digest = context.finish();
        let mut id = [0; ID_SIZE];
        id.copy_from_slice(&digest.as_ref()[..ID_SIZE]);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: KeyId,
    cipher: Arc<LessSafeKey>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    pub(super) fn new(bytes: &[u8; KEY_SIZE]) -> Self {
        let cipher = UnboundKey::new(&CHACHA20_POLY1305, bytes).expect("a key has 32 bytes");
        Self { id: KeyId::of(bytes), cipher: Arc::new(LessSafeKey::new(cipher)) }
    }

    /// Seals a secret for the engine's key `place`.
    pub(super) fn seal(
        &self,
        place: &str,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<Bytes, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| KeyError::Random(error.to_string()))?;
        let mut record = BytesMut::with_capacity(128 + secret.expose().len());
        record.put_u8(FORMAT);
        record.put_u64(now.0);
        record.put_slice(&self.id.0);
        let aad = aad(&record, place);
        record.put_slice(&nonce);
        // What is encrypted in place leaves no plain text behind.
        let mut sealed = secret.expose().as_bytes().to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.cipher.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut sealed);
        let tag = tag.expect("a secret is far shorter than the cipher allows");
        record.put_slice(&sealed);
        record.put_slice(tag.as_ref());
        Ok(record.freeze())
    }

    /// Opens what was sealed with it; `None`: it was changed, or belongs elsewhere.
    pub(super) fn open(&self, place: &str, sealed: &Sealed<'_>) -> Option<Secret> {
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let mut text = sealed.text.to_vec();
        let aad = Aad::from(aad(sealed.head, place));
        let plain = self.cipher.open_in_place(nonce, aad, &mut text).ok()?;
        let length = plain.len();
        text.truncate(length);
        String::from_utf8(text).ok().map(Secret::new)
    }
}

/// A record, taken apart.
pub(super) struct Sealed<'r> {
    pub(super) id: KeyId,
    pub(super) changed: Timestamp,
    head: &'r [u8],
    nonce: [u8; NONCE_LEN],
    text: &'r [u8],
}

impl<'r> Sealed<'r> {
    pub(super) fn read(name: &str, record: &'r [u8]) -> Result<Self, Error> {
        let damaged =
            |reason: String| Error::Damaged { what: format!("the secret `{name}`"), reason };
        let cut_off = || damaged("it is cut off".to_owned());
        match record.first() {
            None => return Err(cut_off()),
            Some(&FORMAT) => {}
            Some(other) => {
                return Err(damaged(format!("its format {other} is of a newer version")));
            }
        }
        let (head, rest) = record.split_at_checked(HEAD_SIZE).ok_or_else(cut_off)?;
        let (nonce, text) = rest.split_first_chunk::<NONCE_LEN>().ok_or_else(cut_off)?;
        let (time, id) = head[1..].split_first_chunk::<8>().ok_or_else(cut_off)?;
        Ok(Self {
            id: KeyId(*id.first_chunk().ok_or_else(cut_off)?),
            changed: Timestamp(u64::from_be_bytes(*time)),
            head,
            nonce: *nonce,
            text,
        })
    }
}

fn aad(head: &[u8], place: &str) -> Vec<u8> {
    [head, place.as_bytes()].concat()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_secret_opens_only_with_its_key_at_its_place_and_unchanged() {
        let (key, other) = (Key::new(&[1; KEY_SIZE]), Key::new(&[2; KEY_SIZE]));
        let record = key.seal("a/b", &Secret::new("hunter2"), Timestamp(7)).unwrap();
        let sealed = Sealed::read("b", &record).unwrap();
        assert_eq!((sealed.id, sealed.changed), (key.id, Timestamp(7)));
        assert_eq!(key.open("a/b", &sealed).unwrap().expose(), "hunter2");
        assert!(key.open("a/c", &sealed).is_none());
        assert!(other.open("a/b", &sealed).is_none());
        for at in 1..record.len() {
            let mut changed = record.to_vec();
            changed[at] ^= 1;
            assert!(key.open("a/b", &Sealed::read("b", &changed).unwrap()).is_none(), "{at}");
        }
        for length in 0..record.len() {
            let cut = Sealed::read("b", &record[..length]).ok();
            assert!(cut.and_then(|sealed| key.open("a/b", &sealed)).is_none(), "{length}");
        }
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time_and_never_contains_itself() {
        let key = Key::new(&[1; KEY_SIZE]);
        let secret = Secret::new("hunter2".repeat(9));
        let seal = || key.seal("p", &secret, Timestamp(7)).unwrap();
        assert_ne!(seal(), seal());
        assert!(!seal().windows(7).any(|window| window == b"hunter2"));
    }
}
