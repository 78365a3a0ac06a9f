//! Keeps certificates fresh while the gateway runs.

use super::{Certificates, CertificatesError, Settings, dev, files, files::Stamp};
use base::{ErrorChain, Timestamp};
use proxy::Tls;
use runtime::{Clock, TaskSet};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tracing::{info, warn};

/// How often files are looked at. A person who has just replaced one does not wait longer than it takes
/// to try it; a look costs a few microseconds.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often what is still to be looked at is said again, so that it stands in a day's log.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 3_600);

/// Watches certificates until it is dropped. Once dropped it publishes nothing more; so it must not be
/// dropped while a lock is held that its `publish` takes.
#[derive(Debug)]
pub struct Watch {
    is_live: Arc<Mutex<bool>>,
    /// Ends with this.
    _tasks: TaskSet,
}

impl Drop for Watch {
    fn drop(&mut self) {
        *self.is_live.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }
}

impl Certificates {
    /// Reads files anew when they change, makes new certificates before old ones end, and calls `publish`
    /// with the outcome. What cannot be used is said in the log once, and what is in use stays.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use = "the watch ends when it is dropped"]
    pub fn watch(self, publish: impl Fn(Tls) + Send + 'static) -> Watch {
        let is_live = Arc::new(Mutex::new(true));
        let live = Arc::clone(&is_live);
        let mut tasks = TaskSet::new("certificates");
        let mut watcher = Watcher::new(self, Clock::wall());
        tasks.spawn("certificates", |mut stop| async move {
            while tokio::time::timeout(LOOK_EVERY, stop.wait()).await.is_err() {
                let (back, news) = runtime::blocking(move || {
                    let news = watcher.look(Clock::wall());
                    (watcher, news)
                })
                .await;
                watcher = back;
                let live = live.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(tls) = news.filter(|_| *live) {
                    publish(tls);
                }
            }
        });
        Watch { is_live, _tasks: tasks }
    }
}

/// Certificates over time.
#[derive(Debug)]
pub(super) struct Watcher {
    in_use: Certificates,
    /// The files at the last look.
    seen: Vec<Stamp>,
    /// What could not be used then, if it was said.
    said: Option<String>,
    /// The last look found something that could not be used.
    is_failing: bool,
    reminded: Timestamp,
}

impl Watcher {
    pub(super) fn new(in_use: Certificates, now: Timestamp) -> Self {
        let seen = in_use.stamps.clone();
        Self { in_use, seen, said: None, is_failing: false, reminded: now }
    }

    /// Looks at files and times. Returns what shall be used from now on, if that is new.
    pub(super) fn look(&mut self, now: Timestamp) -> Option<Tls> {
        self.remind(now);
        let stamps = self.stamps();
        let is_due = self.in_use.issued.as_ref().is_some_and(|issued| issued.is_due(now));
        if stamps == self.in_use.stamps && !is_due && !self.is_failing {
            return None;
        }
        let has_settled = stamps == self.seen;
        self.seen.clone_from(&stamps);
        match self.read(now) {
            Ok(()) => {
                self.in_use.stamps = stamps;
                (self.is_failing, self.said) = (false, None);
                info!(certificates = ?self.in_use.tls.certificates(), "new certificates in use");
                for warning in self.in_use.warnings(now) {
                    warn!("{warning}");
                }
                self.reminded = now;
                Some(self.in_use.tls.clone())
            }
            Err(error) => {
                self.is_failing = true;
                let text = ErrorChain(&error).to_string();
                // Files may be in the middle of being written; what is wrong now is right in a moment.
                if has_settled && self.said.as_ref() != Some(&text) {
                    let fix = error.fix();
                    warn!(error = %text, %fix, "bad certificates, those in use stay");
                    self.said = Some(text);
                }
                None
            }
        }
    }

    /// What was said last of files that cannot be used.
    #[cfg(test)]
    pub(super) fn said(&self) -> Option<&str> {
        self.said.as_deref()
    }

    fn stamps(&self) -> Vec<Stamp> {
        match &self.in_use.settings {
            Settings::Files(pairs) => files::stamps(files::paths(pairs)),
            Settings::Dev(dev) => files::stamps(dev::paths(&dev.folder)),
        }
    }

    fn read(&mut self, now: Timestamp) -> Result<(), CertificatesError> {
        match &self.in_use.settings {
            Settings::Files(pairs) => self.in_use.tls = files::read(pairs)?,
            Settings::Dev(dev) => {
                // A CA is made only at a start, when somebody is there to be told to trust it.
                let (tls, issued) = dev::Ca::open(&dev.folder)?.issue(dev, now)?;
                (self.in_use.tls, self.in_use.issued) = (tls, Some(issued));
            }
        }
        Ok(())
    }

    fn remind(&mut self, now: Timestamp) {
        let since = u128::from(now.0.abs_diff(self.reminded.0));
        if since >= REMIND_EVERY.as_micros() {
            self.reminded = now;
            for warning in self.in_use.tls.warnings(now) {
                warn!("{warning}");
            }
        }
    }
}
