//! Names and passwords (RFC 7617), the passwords hashed by bcrypt as `htpasswd -B` and others write them.
//!
//! A password is guessable, so its check must be slow: tens of milliseconds, a thousand times what the rest of a
//! request costs. Three things keep that off the request path:
//!
//! - what passed is remembered under a keyed hash (the key is this process's own, so a memory dump of the table
//!   is no list of fast hashes of passwords), and the next request with it costs a microsecond;
//! - the check itself is handed out as [`Work`], to be run where blocking is allowed;
//! - only [`CHECKING_MAX`] run at a time; what comes beyond is told to come back.
//!
//! Unknown names cost as much as known ones: they are checked against a hash that nothing matches, and hashes
//! of lower cost than the highest are made up for.

use super::{
    Credentials, Identity, Outcome, Refusal,
    cache::{Cache, Digest},
};
use bcrypt::HashParts;
use ring::hmac;
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

/// Below, a leaked file is guessed too fast: 2¹⁰ rounds, some 50 ms, is what OWASP asks for.
pub const COST_MIN: u32 = 10;
/// Above, one login costs a core longer than a second.
pub const COST_MAX: u32 = 14;
/// bcrypt looks at 72 bytes, one of which is its own; longer passwords are refused rather than cut.
pub const PASSWORD_SIZE_MAX: usize = 71;
/// Longer names are nobody's.
pub const NAME_SIZE_MAX: usize = 256;
/// Checks at a time per route: enough for people who log in at the same moment, and a bound for how many
/// blocking threads a guesser can hold.
pub const CHECKING_MAX: u32 = 4;
/// Names with passwords that are remembered per route.
const REMEMBERED_MAX: usize = 256;

/// Who may come in.
#[derive(Clone, Default)]
pub struct Config {
    /// Names, and bcrypt hashes (`$2b$12$…`; also `$2y$` and `$2a$`).
    pub users: Vec<(String, String)>,
    /// Whether the service gets name and password too. Default false.
    pub forward: bool,
    /// 256 random bits of this process.
    pub secret: [u8; 32],
}

/// Why users cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Empty, too long, with a colon or a control character.
    #[error("`{0}` cannot be a user's name")]
    Name(String),
    /// Twice the same name.
    #[error("user `{0}` stands there twice")]
    Twice(String),
    /// Not bcrypt.
    #[error("the password of user `{0}` is no bcrypt hash (as `htpasswd -nB -C 12` makes)")]
    Hash(String),
    /// Cost outside [`COST_MIN`] to [`COST_MAX`].
    #[error(
        "the bcrypt hash of user `{name}` has cost {cost}, and 10 to 14 are allowed (as `htpasswd -nB -C 12` makes)"
    )]
    Cost {
        /// Whose.
        name: String,
        /// Which.
        cost: u32,
    },
}

/// Checks names and passwords.
#[derive(Clone)]
pub struct Basic {
    shared: Arc<Shared>,
    pub(super) forward: bool,
}

struct Shared {
    users: HashMap<String, User>,
    /// The highest of all.
    cost: u32,
    key: hmac::Key,
    passed: Cache<()>,
    checking: AtomicU32,
}

struct User {
    hash: String,
    cost: u32,
}

impl Basic {
    /// Checks by `config`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(config: Config) -> Result<Self, Error> {
        let mut users = HashMap::with_capacity(config.users.len());
        for (name, hash) in config.users {
            let is_bad = |c: char| c == ':' || c.is_control();
            if name.is_empty() || name.len() > NAME_SIZE_MAX || name.contains(is_bad) {
                return Err(Error::Name(name));
            }
            let Some(cost) = parse_hash(&hash) else { return Err(Error::Hash(name)) };
            if !(COST_MIN..=COST_MAX).contains(&cost) {
                return Err(Error::Cost { name, cost });
            }
            if users.contains_key(&name) {
                return Err(Error::Twice(name));
            }
            users.insert(name, User { hash, cost });
        }
        let cost = users.values().map(|user| user.cost).max().unwrap_or(COST_MIN);
        let key = hmac::Key::new(hmac::HMAC_SHA256, &config.secret);
        let (passed, checking) = (Cache::new(REMEMBERED_MAX), AtomicU32::new(0));
        let shared = Shared { users, cost, key, passed, checking };
        Ok(Self { shared: Arc::new(shared), forward: config.forward })
    }

    /// Looks for name and password in `credentials`. `checked`: what the work of the call before came to.
    pub(super) fn check(&self, credentials: &Credentials<'_>, checked: Option<bool>) -> Outcome {
        let packed = match credentials.scheme("basic") {
            Err(refusal) => return Outcome::Refused(refusal),
            Ok(None) => return Outcome::Absent,
            Ok(Some(packed)) => packed,
        };
        let refused =
            || Outcome::Refused(Refusal::credentials("the name or the password is wrong"));
        let Some((name, password)) = parse(&packed) else { return refused() };
        let passed = || Outcome::Passed(Identity { subject: Some(name.clone()), claims: None });
        let digest = self.shared.digest(&name, &password);
        if self.shared.passed.get(&digest, |()| Some(())).is_some() || checked == Some(true) {
            return passed();
        }
        if checked == Some(false) {
            return refused();
        }
        match Work::start(Arc::clone(&self.shared), name.clone(), password, digest) {
            Some(work) => Outcome::Slow(work),
            None => Outcome::Refused(Refusal::busy()),
        }
    }
}

impl Shared {
    fn digest(&self, name: &str, password: &str) -> Digest {
        let mut digest = Digest::default();
        // The colon ends the name, which has none.
        let tag = hmac::sign(&self.key, format!("{name}:{password}").as_bytes());
        digest.copy_from_slice(tag.as_ref());
        digest
    }
}

/// A password to be checked, which takes tens of milliseconds of a core.
pub struct Work {
    shared: Arc<Shared>,
    name: String,
    password: String,
    digest: Digest,
}

impl Work {
    fn start(shared: Arc<Shared>, name: String, password: String, digest: Digest) -> Option<Self> {
        let more = |count: u32| (count < CHECKING_MAX).then_some(count + 1);
        shared.checking.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Self { shared, name, password, digest })
    }

    /// Whether it is right.
    #[must_use]
    pub fn run(&self) -> bool {
        let shared = &self.shared;
        let Some(user) = shared.users.get(&self.name) else {
            waste(shared.cost);
            return false;
        };
        let is_right = bcrypt::non_truncating_verify(&self.password, &user.hash).unwrap_or(false);
        // 2^cost rounds each: together with the check above as many as for the costliest hash.
        (user.cost..shared.cost).for_each(waste);
        if is_right {
            shared.passed.put(self.digest, ());
        }
        is_right
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.shared.checking.fetch_sub(1, Ordering::Relaxed);
    }
}

fn waste(cost: u32) {
    std::hint::black_box(bcrypt::bcrypt(cost, std::hint::black_box([0; 16]), b"nobody\0"));
}

/// Makes a bcrypt hash of `password` that goes into the file.
///
/// # Errors
/// When the password is longer than [`PASSWORD_SIZE_MAX`], empty, or has control characters.
pub fn hash(password: &str, cost: u32, random: [u8; 16]) -> Result<String, &'static str> {
    if password.is_empty() || password.contains(char::is_control) {
        return Err("a password is not empty and has no control characters");
    }
    if !(COST_MIN..=COST_MAX).contains(&cost) {
        return Err("the cost is 10 to 14");
    }
    let parts = bcrypt::non_truncating_hash_with_salt(password, cost, random);
    parts.map(|parts| parts.to_string()).map_err(|_length| "a password has at most 71 bytes")
}

/// The cost of a bcrypt hash; `None` when it is none. The algorithm knows costs of 4 to 31.
#[must_use]
pub fn parse_hash(text: &str) -> Option<u32> {
    let known = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
    if !known || text.len() != 60 || !text.is_ascii() {
        return None;
    }
    let cost = text.parse::<HashParts>().ok()?.get_cost();
    (4..=31).contains(&cost).then_some(cost)
}

/// Takes what follows `Basic` apart: base64 of `name:password` in UTF-8.
#[must_use]
pub fn parse(packed: &str) -> Option<(String, String)> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    if packed.len() > 4 * (NAME_SIZE_MAX + PASSWORD_SIZE_MAX + 3) / 3 + 4 {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(packed).ok()?).ok()?;
    if text.contains(char::is_control) {
        return None;
    }
    let (name, password) = text.split_once(':')?;
    let fits = name.len() <= NAME_SIZE_MAX && password.len() <= PASSWORD_SIZE_MAX;
    fits.then(|| (name.to_owned(), password.to_owned()))
}

impl fmt::Debug for Config {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Config").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Basic").field("users", &self.shared.users.len()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Work").field("name", &self.name).finish_non_exhaustive()
    }
}
