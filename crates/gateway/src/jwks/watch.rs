//! Keeps keys fresh.

use super::{Status, fetch::Client, name, note};
use base::ErrorChain;
use logic::backoff::Backoff;
use manifest::KeySource;
use policy::auth::jwks::{KeySet, Keys};
use runtime::Stop;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

/// How often things are done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// How often a file is looked at.
    pub(super) look: Duration,
    /// How often keys are fetched while all is well.
    pub(super) refresh: Duration,
    /// Tokens with an unknown key make us fetch at most this often.
    pub(super) asked: Duration,
    /// How often we look whether such a token came.
    pub(super) ask_look: Duration,
    /// How long to wait after a failure.
    pub(super) retry: Backoff,
}

impl Pace {
    /// A file is looked at as certificates are. Providers put a new key up hours before they sign with it, and a key
    /// that was taken away should not be good for long: ten minutes. Without any keys every request with a token
    /// is refused, so the first wait after a failure is short; five minutes at most keep an issuer's
    /// recovery from going unseen.
    pub(super) const USUAL: Self = Self {
        look: Duration::from_secs(2),
        refresh: Duration::from_secs(600),
        asked: Duration::from_secs(30),
        ask_look: Duration::from_secs(1),
        retry: Backoff { first: Duration::from_secs(1), max: Duration::from_secs(300) },
    };
}

/// Says what goes wrong when that begins, and when it ends.
struct Trouble {
    source: String,
    status: Status,
    failures: u32,
}

impl Trouble {
    fn new(source: &KeySource, status: Status) -> Self {
        Self { source: name(source), status, failures: 0 }
    }

    fn failed(&mut self, why: String, keys: &Keys) {
        self.failures = self.failures.saturating_add(1);
        let is_new = self.status.get().trouble.as_ref() != Some(&why);
        if is_new && keys.is_loaded() {
            warn!(source = %self.source, error = %why, "keys for tokens cannot be read, those in use stay");
        } else if is_new {
            warn!(source = %self.source, error = %why, "keys for tokens cannot be read, tokens are refused");
        }
        self.status.set(|state| state.trouble = Some(why));
    }

    fn read(&mut self, set: KeySet, keys: &Keys) {
        let was_failing = std::mem::take(&mut self.failures) > 0;
        let (count, left_out) = (set.keys().len(), set.notes().join("; "));
        note(&self.status, &set);
        if keys.replace(set) {
            info!(source = %self.source, count, %left_out, "new keys for tokens in use");
        } else if was_failing {
            info!(source = %self.source, count, "keys for tokens can be read again");
        }
    }
}

/// What of a file shows that it changed.
type Stamp = Result<(SystemTime, u64), io::ErrorKind>;

fn stamp(path: &Path) -> Stamp {
    let data = fs::metadata(path).map_err(|error| error.kind())?;
    Ok((data.modified().map_err(|error| error.kind())?, data.len()))
}

/// Reads a file anew when it changes, until it shall stop.
pub(super) async fn file(
    path: PathBuf,
    pace: Pace,
    (keys, status): (Keys, Status),
    mut stop: Stop,
) {
    let mut trouble = Trouble::new(&KeySource::File(path.clone()), status);
    // It was read before this began, so it is read once more: it may have changed in between.
    let mut seen: Option<Stamp> = None;
    loop {
        let (place, before) = (path.clone(), seen.take());
        let (now, read) = runtime::blocking(move || {
            let now = stamp(&place);
            // Again after a failure too: the same bytes may have been half of the file.
            let read = (before.as_ref() != Some(&now)).then(|| manifest::keys_of(&place));
            (now, read)
        })
        .await;
        seen = Some(now);
        match read {
            None => {}
            Some(Ok(set)) => trouble.read(set, &keys),
            Some(Err(why)) => {
                trouble.failed(why, &keys);
                seen = None;
            }
        }
        if tokio::time::timeout(pace.look, stop.wait()).await.is_ok() {
            return;
        }
    }
}

/// Fetches keys at once, from time to time, and when they are asked for, until it shall stop.
pub(super) async fn url(
    url: String,
    client: Client,
    pace: Pace,
    (keys, status): (Keys, Status),
    mut stop: Stop,
) {
    let mut trouble = Trouble::new(&KeySource::Url(url.clone()), status);
    loop {
        let fetched = tokio::select! {
            fetched = client.keys(&url) => fetched,
            () = stop.wait() => return,
        };
        let began = Instant::now();
        let random = getrandom::u64().unwrap_or(0);
        let wait = match fetched {
            Ok(set) => {
                trouble.read(set, &keys);
                // By up to a fifth either way, so that nodes do not come together.
                Backoff { first: pace.refresh, max: pace.refresh * 2 }.wait(1, random)
            }
            Err(error) => {
                trouble.failed(ErrorChain(&error).to_string(), &keys);
                pace.retry.wait(trouble.failures, random)
            }
        };
        // Failures wait for their time even when tokens ask.
        let may_ask = if trouble.failures == 0 { pace.asked } else { wait };
        loop {
            if timeout_at(Instant::now() + pace.ask_look, stop.wait()).await.is_ok() {
                return;
            }
            let since = began.elapsed();
            // Asked only when it would be heeded: the question stays for later otherwise.
            if since >= wait || (since >= may_ask && keys.take_refresh()) {
                break;
            }
        }
    }
}
