//! The gateway's certificates: from files that may change at any time, or made for development.
//!
//! ```text
//!  Settings ── load ──► Certificates ── tls() ──► the listener's first proxy::Tls
//!                            │ watch(publish)
//!                            └─ every 2 s: files changed, or a made certificate grows old
//!                                 ├ good ──► publish(new proxy::Tls)
//!                                 └ bad ───► what is in use stays; said once, with file, cause and remedy
//! ```
//!
//! What must hold:
//! - *A bad file never takes a good certificate away.* All pairs are read anew together or not at all.
//! - *A certificate and a key that are written one after the other are never mixed*: a pair that does not
//!   match is not used, and read again until it does.
//! - *What a machine is asked to trust can do it no harm*, see `dev.rs`.

mod dev;
mod error;
mod files;
#[cfg(test)]
mod tests;
mod trust;
mod watch;

pub use error::CertificatesError;
pub use trust::Trust;
pub use watch::Watch;

use base::Timestamp;
use dev::Issued;
use files::Stamp;
use proxy::Tls;
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// Where certificates come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// From files; clients get the pair that names their host, else the first.
    Files(Vec<Files>),
    /// Made here, by an authority of this user's own.
    Dev(Dev),
}

/// A certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key of that certificate; it may be the same file.
    pub key: PathBuf,
}

/// How certificates for development are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dev {
    /// Where the authority is kept; one per user and machine, see [`ca_folder`].
    pub folder: PathBuf,
    /// Hosts of the routes, for which certificates shall be good beside `localhost` and its addresses.
    pub hosts: Vec<String>,
}

/// Where the authority for development is kept, from the environment's `XDG_DATA_HOME` and `HOME`.
/// `None` without both.
#[must_use]
pub fn ca_folder(xdg_data_home: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    // A relative one is to be ignored (XDG Base Directory Specification).
    let absolute = |path: &&Path| path.is_absolute();
    let data = xdg_data_home.map(Path::new).filter(absolute).map(Path::to_owned);
    let share = |home: &Path| home.join(".local").join("share");
    let data = data.or_else(|| home.map(Path::new).filter(absolute).map(share))?;
    Some(data.join("flotilla").join("ca"))
}

/// Certificates that are in use, and what is needed to keep them fresh.
#[derive(Debug)]
pub struct Certificates {
    settings: Settings,
    tls: Tls,
    /// Of the files in use as they were just before they were read.
    stamps: Vec<Stamp>,
    /// What was made, unless they come from files.
    issued: Option<Issued>,
    is_world_readable: Vec<PathBuf>,
}

impl Certificates {
    /// Reads or makes certificates. Blocks on files.
    ///
    /// # Errors
    /// When one cannot be used; [`CertificatesError::fix`] says what to do.
    pub fn load(settings: Settings) -> Result<Self, CertificatesError> {
        let now = runtime::Clock::wall();
        match &settings {
            Settings::Files(pairs) => {
                let stamps = files::stamps(files::paths(pairs));
                let tls = files::read(pairs)?;
                let keys = pairs.iter().map(|pair| pair.key.as_path());
                let is_world_readable = files::world_readable(keys);
                Ok(Self { settings, tls, stamps, issued: None, is_world_readable })
            }
            Settings::Dev(dev) => {
                let (ca, is_new) = dev::Ca::open_or_make(&dev.folder, now)?;
                let stamps = files::stamps(dev::paths(&dev.folder));
                let (tls, mut issued) = ca.issue(dev, now)?;
                issued.trust.is_new = is_new;
                let issued = Some(issued);
                let [_, key] = dev::paths(&dev.folder);
                let is_world_readable = files::world_readable([key.as_path()].into_iter());
                Ok(Self { settings, tls, stamps, issued, is_world_readable })
            }
        }
    }

    /// Where they came from.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The certificates for a listener.
    #[must_use]
    pub fn tls(&self) -> &Tls {
        &self.tls
    }

    /// How people let their machine trust what was made; `None` for certificates from files.
    #[must_use]
    pub fn trust(&self) -> Option<&Trust> {
        self.issued.as_ref().map(|issued| &issued.trust)
    }

    /// What somebody should look at, although it works, when it is `now`.
    #[must_use]
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let mut warnings: Vec<_> = self.tls.warnings(now).iter().map(ToString::to_string).collect();
        warnings.extend(self.lasting());
        warnings
    }

    /// The part of it that no time changes.
    pub(crate) fn lasting(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for path in &self.is_world_readable {
            let path = path.display();
            warnings.push(format!(
                "every user of this machine can read the private key in `{path}`: `chmod 600 {path}`"
            ));
        }
        for host in self.issued.iter().flat_map(|issued| &issued.refused) {
            warnings.push(format!(
                "`tls: dev` has no certificate for `{host}`: it is made only for {}; name the route's \
                 host so, or use `tls: {{ cert, key }}`",
                dev::scope()
            ));
        }
        warnings
    }
}
