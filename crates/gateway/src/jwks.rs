//! The keys that tokens are checked with: from a file, a URL, or a secret of the file.
//!
//! ```text
//!  KeySource ── Keyring::prepare ──► Keys (a handle that policies share)
//!                   │                  ▲ replace
//!                   └─ a task each ────┘  file: looked at every 2 s
//!                                         URL: fetched at once, then every 10 min, and when a token
//!                                              names a key that is not there, at most every 30 s
//! ```
//!
//! What must hold:
//! - *A start waits for no other machine.* Until the first keys of a URL are there, requests with a token get
//!   503; everything else is served.
//! - *Bad news never takes good keys away.* An answer that is no key set, an issuer that is down, a file that
//!   was half written: the keys that are there stay, and it is said once when that begins and once when it ends.
//! - *Strangers cannot make us fetch*: a token with an unknown key asks for it, a bound says how often that is done.
//! - Nothing is followed or trusted beyond the URL: no redirects, no proxies, 256 KiB and ten seconds at most.

mod fetch;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use fetch::Client;

use crate::error::Error;
use base::Timestamp;
use manifest::{KeySource, System};
use policy::auth::jwks::{KeySet, Keys};
use runtime::TaskSet;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use watch::Pace;

/// Where keys come from and how they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysView {
    /// The URL or file.
    pub source: String,
    /// How many keys there are.
    pub count: usize,
    /// When they were read last.
    pub read: Option<Timestamp>,
    /// Why they could not be read since then.
    pub trouble: Option<String>,
}

/// What a task found out of its source.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status(Arc<Mutex<State>>);

#[derive(Clone, Debug, Default)]
struct State {
    count: usize,
    read: Option<Timestamp>,
    trouble: Option<String>,
}

impl Status {
    fn get(&self) -> State {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Keys by where they come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keyring(BTreeMap<KeySource, Held>);

#[derive(Clone, Debug)]
struct Held {
    keys: Keys,
    status: Status,
    /// Ends with the last keyring that has it. `None`: not started, or nothing to do.
    task: Option<Arc<TaskSet>>,
}

impl Keyring {
    /// The keys that `system` needs: those of `self` that it still needs, and new ones. Files are read now; nothing
    /// is fetched and no task runs before [`Keyring::start`]. Blocks on files.
    ///
    /// # Errors
    /// [`Error::Keys`] when a file or secret has no keys.
    pub(crate) fn prepare(&self, system: &System) -> Result<Self, Error> {
        let mut next = BTreeMap::new();
        for route in &system.gateway.routes {
            let Some(jwt) = &route.rules.auth.jwt else { continue };
            if next.contains_key(&jwt.keys) {
                continue;
            }
            let held = match self.0.get(&jwt.keys) {
                Some(held) => held.clone(),
                None => Held::new(&jwt.keys).map_err(|reason| {
                    let place = Box::new(route.place.clone());
                    Error::Keys { source_name: name(&jwt.keys), reason, place }
                })?,
            };
            next.insert(jwt.keys.clone(), held);
        }
        Ok(Self(next))
    }

    /// Starts what keeps new keys fresh.
    ///
    /// # Panics
    /// Outside a tokio runtime, when there are keys of a file or a URL.
    pub(crate) fn start(&mut self, client: &Client) {
        for (source, held) in &mut self.0 {
            if held.task.is_some() || matches!(source, KeySource::Secret(_)) {
                continue;
            }
            let held_keys = (held.keys.clone(), held.status.clone());
            let pace = Pace::USUAL;
            let mut tasks = TaskSet::new("keys");
            match source.clone() {
                KeySource::Secret(_) => {}
                KeySource::File(path) => {
                    tasks.spawn("keys-file", |stop| watch::file(path, pace, held_keys, stop));
                }
                KeySource::Url(url) => {
                    let client = client.clone();
                    tasks.spawn("keys-url", |stop| watch::url(url, client, pace, held_keys, stop));
                }
            }
            held.task = Some(Arc::new(tasks));
        }
    }

    /// The keys of `source`; without any, when it was not prepared.
    pub(crate) fn keys(&self, source: &KeySource) -> Keys {
        self.0.get(source).map(|held| held.keys.clone()).unwrap_or_default()
    }

    /// How keys of files and URLs are.
    pub(crate) fn view(&self) -> Vec<KeysView> {
        let is_shown = |(source, _): &(&KeySource, &Held)| !matches!(source, KeySource::Secret(_));
        self.0
            .iter()
            .filter(is_shown)
            .map(|(source, held)| {
                let State { count, read, trouble } = held.status.get();
                KeysView { source: name(source), count, read, trouble }
            })
            .collect()
    }
}

impl Held {
    fn new(source: &KeySource) -> Result<Self, String> {
        let status = Status::default();
        let keys = match source {
            KeySource::Url(_) => Keys::new(),
            KeySource::File(path) => {
                let set = manifest::keys_of(path)?;
                note(&status, &set);
                Keys::with(set)
            }
            KeySource::Secret(secret) => {
                let set = KeySet::from_secret(secret.reveal().as_bytes());
                Keys::with(set.map_err(|error| error.to_string())?)
            }
        };
        Ok(Self { keys, status, task: None })
    }
}

/// Remembers that `set` was read.
fn note(status: &Status, set: &KeySet) {
    let now = runtime::Clock::wall();
    status.set(|state| {
        *state = State { count: set.keys().len(), read: Some(now), trouble: None };
    });
}

/// What a source is called. Of a URL without what follows `?`, which may be a secret.
fn name(source: &KeySource) -> String {
    match source {
        KeySource::Url(url) => url.split(['?', '#']).next().unwrap_or_default().to_owned(),
        KeySource::File(path) => path.display().to_string(),
        KeySource::Secret(_) => "a secret".to_owned(),
    }
}
