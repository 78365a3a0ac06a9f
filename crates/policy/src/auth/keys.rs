//! API keys: long random texts that a program shows with each request.
//!
//! The file holds their SHA-256 only. A fast hash is right here and wrong for passwords: a key of 128 random
//! bits or more cannot be guessed from its hash at any speed, so slowness would cost every request and protect
//! nothing. That is why keys are made by [`generate`] and not chosen by people.

use super::{Credentials, Identity, Outcome, Refusal};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use std::{collections::HashMap, fmt};

/// The field that holds the key unless another is named.
pub const HEADER: &str = "x-api-key";
/// Makes a key that got into a log or a repository recognisable to scanners.
pub const PREFIX: &str = "flk_";
/// No key is longer; what is, is not hashed.
pub const KEY_SIZE_MAX: usize = 512;

type Hash = [u8; 32];

/// Where keys are, and whose.
#[derive(Clone, Debug)]
pub struct Config {
    /// The field's name in lowercase. Default [`HEADER`].
    pub header: String,
    /// A query parameter that may hold it too. Default none: addresses end up in logs, histories and
    /// `Referer`.
    pub query: Option<String>,
    /// The name of each key's owner, and `sha256:` with 64 hex digits.
    pub keys: Vec<(String, String)>,
    /// Whether the service gets the key too. Default false.
    pub forward: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { header: HEADER.to_owned(), query: None, keys: Vec::new(), forward: false }
    }
}

/// Why keys cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not `sha256:` and 64 hex digits.
    #[error("the hash of key `{name}` is not `sha256:` with 64 hex digits")]
    Hash {
        /// Whose.
        name: String,
    },
    /// The same key for two names, so that nobody knows who it was.
    #[error("`{name}` and `{other}` have the same key")]
    Same {
        /// One of them.
        name: String,
        /// The other.
        other: String,
    },
}

/// Checks keys.
#[derive(Clone)]
pub struct ApiKeys {
    pub(super) header: String,
    pub(super) query: Option<String>,
    pub(super) forward: bool,
    names: HashMap<Hash, String>,
}

impl ApiKeys {
    /// Checks keys by `config`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(config: Config) -> Result<Self, Error> {
        let mut names = HashMap::with_capacity(config.keys.len());
        for (name, hash) in config.keys {
            let Some(hash) = parse_hash(&hash) else { return Err(Error::Hash { name }) };
            if let Some(other) = names.insert(hash, name.clone()) {
                return Err(Error::Same { name, other });
            }
        }
        Ok(Self { header: config.header, query: config.query, forward: config.forward, names })
    }

    /// Whose `key` is.
    #[must_use]
    pub fn name(&self, key: &str) -> Option<&str> {
        if key.len() > KEY_SIZE_MAX {
            return None;
        }
        let hash = sha256(key);
        // What a table's timing could tell is the hash of what the client sent, which it knows, and how it
        // compares with hashes of keys, which lead back to no key. The last step takes the same time always.
        let (known, name) = self.names.get_key_value(&hash)?;
        is_equal(known, &hash).then_some(name.as_str())
    }

    /// Looks for a key in `credentials` and checks it.
    pub(super) fn check(&self, credentials: &Credentials<'_>) -> Outcome {
        let key = match credentials.field(&self.header) {
            Ok(None) => self.query.as_ref().map_or(Ok(None), |name| credentials.parameter(name)),
            found => found,
        };
        match key {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(None) => Outcome::Absent,
            Ok(Some(key)) => match self.name(&key) {
                Some(name) => {
                    Outcome::Passed(Identity { subject: Some(name.to_owned()), claims: None })
                }
                None => Outcome::Refused(Refusal::credentials("the API key is not known")),
            },
        }
    }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("ApiKeys")
            .field("header", &self.header)
            .field("count", &self.names.len())
            .finish_non_exhaustive()
    }
}

/// Makes a key of 256 bits, which its owner gets, and the hash of it, which goes into the file.
#[must_use]
pub fn generate(random: [u8; 32]) -> (String, String) {
    let key = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
    let hash = hash(&key);
    (key, hash)
}

/// The form of a key that goes into the file.
#[must_use]
pub fn hash(key: &str) -> String {
    use std::fmt::Write;
    let mut text = String::from("sha256:");
    for byte in sha256(key) {
        write!(text, "{byte:02x}").expect("text grows");
    }
    text
}

/// Reads `sha256:` with 64 hex digits.
#[must_use]
pub fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let digits = text.strip_prefix("sha256:")?.as_bytes();
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut hash = Hash::default();
    if pairs.len() != hash.len() || !rest.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    for (place, [high, low]) in hash.iter_mut().zip(pairs) {
        *place = digit(*high)? << 4 | digit(*low)?;
    }
    Some(hash)
}

fn sha256(key: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    hash
}

/// Compares in the same time whatever is in them.
fn is_equal(one: &Hash, other: &Hash) -> bool {
    let differing =
        one.iter().zip(other).fold(0, |bits, (a, b)| std::hint::black_box(bits | (a ^ b)));
    differing == 0
}
