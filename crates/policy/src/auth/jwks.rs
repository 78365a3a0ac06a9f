//! Sets of keys (RFC 7517), and a place from which requests read them while they are replaced.
//!
//! ```text
//!  gateway: fetches, watches the file ──► KeySet ──► Keys::replace
//!                     ▲ Keys::take_refresh                │
//!                     └──── a token with an unknown `kid` ◄── requests: Keys::current
//! ```
//!
//! [`Keys`] is a handle that policies share, so new keys need no new policy and lose nobody's rate limits.

#[cfg(test)]
pub(super) mod tests;

use super::{
    json,
    key::{Algorithm, Key},
    pem,
};
use arc_swap::ArcSwapOption;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

/// The largest sets of public providers have a dozen keys with certificates, below 32 KiB.
pub const JWKS_SIZE_MAX: usize = 256 * 1024;
/// Keys of a set beyond these are left out; providers hold two to ten.
pub const KEYS_MAX: usize = 64;
/// A longer `kid` is nobody's.
pub const KEY_ID_SIZE_MAX: usize = 512;

/// Why bytes are no usable set of keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Above [`JWKS_SIZE_MAX`].
    #[error("a key set larger than 256 KiB")]
    TooLarge,
    /// Not what it should be.
    #[error("{0}")]
    Malformed(&'static str),
    /// Nothing that could check a token; the notes say why, key by key.
    #[error("no usable key in the set{}", because(.0))]
    Empty(Vec<String>),
}

fn because(notes: &[String]) -> String {
    if notes.is_empty() { String::new() } else { format!(": {}", notes.join("; ")) }
}

/// Whether a set may hold HMAC secrets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// No: it comes from where public keys are published, and who could read the secret could sign.
    Refused,
    /// Yes: it is a file of one's own.
    Allowed,
}

/// Keys, never changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
    notes: Vec<String>,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that cannot be used are left out with a note, as RFC 7517 §5 asks.
    ///
    /// # Errors
    /// When it is no set, or none of its keys can be used: what was there before should then be kept.
    pub fn from_jwks(bytes: &[u8], secrets: Secrets) -> Result<Self, Error> {
        if bytes.len() > JWKS_SIZE_MAX {
            return Err(Error::TooLarge);
        }
        let set = json::object(bytes).map_err(Error::Malformed)?;
        let Some(Value::Array(entries)) = set.get("keys") else {
            return Err(Error::Malformed("a key set without `keys`"));
        };
        let (mut keys, mut notes) = (Vec::new(), Vec::new());
        for (at, entry) in entries.iter().enumerate() {
            let read = match entry {
                _ if keys.len() == KEYS_MAX => Err("beyond the 64 keys that are kept"),
                Value::Object(members) => read_key(members, secrets),
                _ => Err("no object"),
            };
            match read {
                Ok(key) => keys.push(key),
                Err(why) if notes.len() < KEYS_MAX => notes.push(format!("key {}: {why}", at + 1)),
                Err(_) => break,
            }
        }
        if keys.is_empty() { Err(Error::Empty(notes)) } else { Ok(Self { keys, notes }) }
    }

    /// Reads public keys in PEM form. They have no identifier, so they check tokens of any `kid`.
    ///
    /// # Errors
    /// When there is none, one cannot be used, or there are too many.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        if text.len() > JWKS_SIZE_MAX {
            return Err(Error::TooLarge);
        }
        let keys = pem::keys(text).map_err(Error::Malformed)?;
        if keys.len() > KEYS_MAX {
            return Err(Error::Malformed("more than 64 keys"));
        }
        Ok(Self { keys, notes: Vec::new() })
    }

    /// A set of one HMAC secret.
    ///
    /// # Errors
    /// See [`Key::secret`].
    pub fn from_secret(secret: &[u8]) -> Result<Self, Error> {
        let key = Key::secret(secret).map_err(Error::Malformed)?;
        Ok(Self { keys: vec![key], notes: Vec::new() })
    }

    #[cfg(test)]
    pub(crate) fn of(keys: Vec<Key>) -> Self {
        Self { keys, notes: Vec::new() }
    }

    /// Its keys.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Which keys were left out and why, for the operator.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The keys that may check a token of `algorithm` and `kid`.
    pub fn find<'a>(
        &'a self,
        algorithm: Algorithm,
        id: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Key> {
        let fits = move |key: &&Key| match (key.id(), id) {
            (Some(own), Some(wanted)) => own == wanted,
            _ => true,
        };
        self.keys.iter().filter(fits).filter(move |key| key.allows(algorithm))
    }
}

fn read_key(members: &Map<String, Value>, secrets: Secrets) -> Result<Key, &'static str> {
    let text = |name: &str| match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err("a member that should be text and is not"),
    };
    let bytes = |name: &str| {
        let packed = text(name)?.ok_or("a member is missing")?;
        URL_SAFE_NO_PAD.decode(packed).map_err(|_where| "a member that is no base64url")
    };
    if text("use")?.is_some_and(|purpose| purpose != "sig") {
        return Err("not for signatures");
    }
    if let Some(operations) = members.get("key_ops") {
        let can_verify =
            operations.as_array().is_some_and(|list| list.iter().any(|one| one == "verify"));
        if !can_verify {
            return Err("not for checking signatures");
        }
    }
    let id = text("kid")?;
    if id.is_some_and(|id| id.len() > KEY_ID_SIZE_MAX) {
        return Err("an identifier longer than 512 bytes");
    }
    let key = match (text("kty")?.ok_or("no `kty`")?, text("crv")?) {
        ("RSA", _) => Key::rsa(&bytes("n")?, &bytes("e")?)?,
        ("EC", Some(curve @ ("P-256" | "P-384"))) => {
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() != if curve == "P-256" { 32 } else { 48 } {
                return Err("coordinates of the wrong size");
            }
            Key::elliptic(&x, &y)?
        }
        ("EC", _) => return Err("an elliptic curve other than P-256 and P-384"),
        ("OKP", Some("Ed25519")) => Key::ed25519(&bytes("x")?)?,
        ("OKP", _) => return Err("a curve other than Ed25519"),
        ("oct", _) if secrets == Secrets::Refused => return Err("a secret among public keys"),
        ("oct", _) => Key::secret(&bytes("k")?)?,
        _ => return Err("an unknown kind of key"),
    };
    let key = key.with_id(id.map(str::to_owned));
    match text("alg")? {
        None => Ok(key),
        Some(name) => {
            key.with_only(Algorithm::from_name(name).ok_or("an algorithm that is not supported")?)
        }
    }
}

/// The keys in force, shared by all policies that use them.
#[derive(Clone, Default)]
pub struct Keys(Arc<Shared>);

#[derive(Default)]
struct Shared {
    set: ArcSwapOption<KeySet>,
    /// Counts replacements, so that what was verified with old keys is known to be old.
    generation: AtomicU64,
    wants_refresh: AtomicBool,
}

impl Keys {
    /// A handle without keys: requests get 503 until [`Keys::replace`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle that has keys at once.
    #[must_use]
    pub fn with(set: KeySet) -> Self {
        let keys = Self::new();
        keys.replace(set);
        keys
    }

    /// Puts `set` in force. Tokens of keys that are gone are refused from the next request on. Call it from
    /// one place at a time.
    ///
    /// Says whether anything changed.
    pub fn replace(&self, set: KeySet) -> bool {
        if self.0.set.load().as_deref().is_some_and(|old| old.keys == set.keys) {
            return false;
        }
        self.0.set.store(Some(Arc::new(set)));
        // After the store: who still verifies with the old keys notes the old generation, or the new keys
        // under the old one, and both are checked anew.
        self.0.generation.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Whether a token asked for a key that is not here, since the last call. The caller limits how often it
    /// fetches: strangers can set this at will.
    #[must_use]
    pub fn take_refresh(&self) -> bool {
        self.0.wants_refresh.swap(false, Ordering::Relaxed)
    }

    /// Whether there are keys.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.0.set.load().is_some()
    }

    /// The keys in force and their generation.
    pub(super) fn current(&self) -> Option<(Arc<KeySet>, u64)> {
        let generation = self.generation();
        Some((self.0.set.load_full()?, generation))
    }

    pub(super) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::SeqCst)
    }

    pub(super) fn ask_for_refresh(&self) {
        self.0.wants_refresh.store(true, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Keys").field("generation", &self.generation()).finish_non_exhaustive()
    }
}
