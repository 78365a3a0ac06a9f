//! From one configuration to the next: first everything that can be wrong is made, then addresses are opened,
//! and only then does anything change that requests see.

use crate::{
    certificates::{self, Certificates, Dev, Files, Trust, Watch},
    error::Error,
    jwks::Keyring,
    registry::Plan,
    service::{Inner, gateway_id, locked, redirect_id},
    settings,
};
use base::ErrorChain;
use manifest::{Gateway, System, Tls as Asked};
use proxy::{ListenerKind, Tls};
use std::sync::Arc;
use tracing::warn;

/// What belongs to the configuration in force and has tasks.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) keyring: Keyring,
    certificates: Option<Held>,
}

/// Certificates in use.
#[derive(Debug)]
struct Held {
    settings: certificates::Settings,
    trust: Option<Trust>,
    warnings: Vec<String>,
    /// Keeps them fresh.
    _watch: Watch,
}

/// A configuration of which nothing is in force yet, and of which nothing can fail but listening.
pub(crate) struct Prepared {
    pub(crate) plan: Plan,
    pub(crate) keyring: Keyring,
    pub(crate) certificates: Wanted,
}

pub(crate) enum Wanted {
    /// The ones in use, or none as before.
    Same,
    None,
    New(Box<Certificates>),
}

impl Applied {
    /// How a machine comes to trust what was made for it.
    pub(crate) fn trust(&self) -> Option<Trust> {
        self.certificates.as_ref()?.trust.clone()
    }

    /// What somebody should look at besides the dates of certificates.
    pub(crate) fn warnings(&self) -> &[String] {
        self.certificates.as_ref().map(|held| held.warnings.as_slice()).unwrap_or_default()
    }
}

impl Wanted {
    /// The certificates to open a listener with, of which `in_use` are those of now.
    pub(crate) fn tls(&self, in_use: Option<Tls>) -> Option<Tls> {
        match self {
            Self::Same => in_use,
            Self::None => None,
            Self::New(new) => Some(new.tls().clone()),
        }
    }
}

impl Inner {
    /// Reads and makes everything that can be wrong.
    pub(crate) fn prepare(&self, system: &System, applied: &Applied) -> Result<Prepared, Error> {
        let certificates = self.certificates(system, applied)?;
        let keyring = applied.keyring.prepare(system)?;
        let clients = settings::clients(&system.gateway, self.sticky_key.clone());
        let plan = self.registry().plan(system, &keyring, self.secrets, clients)?;
        Ok(Prepared { plan, keyring, certificates })
    }

    fn certificates(&self, system: &System, applied: &Applied) -> Result<Wanted, Error> {
        let gateway = &system.gateway;
        let Some(asked) = gateway.tls.as_ref().filter(|_| gateway.listen.is_some()) else {
            return Ok(Wanted::None);
        };
        let settings = match asked {
            Asked::Files(pairs) => {
                let files = |pair: &manifest::CertificateFiles| Files {
                    certificate: pair.cert.clone(),
                    key: pair.key.clone(),
                };
                certificates::Settings::Files(pairs.iter().map(files).collect())
            }
            Asked::Dev => {
                let mut hosts: Vec<String> =
                    gateway.routes.iter().filter_map(|route| route.host.clone()).collect();
                hosts.sort();
                hosts.dedup();
                let folder = self.ca_folder.clone().ok_or(Error::NoHome)?;
                certificates::Settings::Dev(Dev { folder, hosts })
            }
        };
        if applied.certificates.as_ref().is_some_and(|held| held.settings == settings) {
            return Ok(Wanted::Same);
        }
        let new = Certificates::load(settings).map_err(Error::Certificates)?;
        for warning in new.warnings(runtime::Clock::wall()) {
            warn!("{warning}");
        }
        Ok(Wanted::New(Box::new(new)))
    }

    /// Puts `plan` in force; gives back what was before.
    pub(crate) fn commit(&self, plan: Plan) -> Plan {
        // Published under the lock, so that snapshots come in the order of their changes.
        let mut registry = self.registry();
        let (snapshot, before) = registry.commit(plan);
        self.data_plane.publish(snapshot);
        before
    }

    /// Opens what `gateway` asks for and closes the rest; on failure all is as it was.
    pub(crate) fn listen(&self, gateway: &Gateway, tls: Option<Tls>) -> Result<(), Error> {
        let (data_plane, kind) = (&self.data_plane, ListenerKind::Gateway);
        let Some(address) = gateway.listen else {
            data_plane.close(&redirect_id());
            data_plane.close(&gateway_id());
            return Ok(());
        };
        let before = data_plane.address(&redirect_id());
        if let Some(plain) = gateway.http_redirect {
            data_plane.listen(redirect_id(), plain, kind.clone()).map_err(Error::Listen)?;
        }
        if let Err(error) = data_plane.listen_tls(gateway_id(), address, kind.clone(), tls) {
            match before {
                // It was ours a moment ago.
                Some(old) => {
                    if let Err(error) = data_plane.listen(redirect_id(), old, kind) {
                        let error = ErrorChain(&error);
                        warn!(%old, %error, "the address of `http_redirect` is not back");
                    }
                }
                None => data_plane.close(&redirect_id()),
            }
            return Err(Error::Listen(error));
        }
        if gateway.http_redirect.is_none() {
            data_plane.close(&redirect_id());
        }
        Ok(())
    }

    /// Takes over what has tasks, and ends the tasks that are not needed any more.
    pub(crate) fn take_over(
        &self,
        applied: &mut Applied,
        mut keyring: Keyring,
        certificates: Wanted,
    ) {
        keyring.start(&self.client);
        applied.keyring = keyring;
        match certificates {
            Wanted::Same => {
                // New certificates may have come while an address was opened with the old ones.
                if let Some(tls) = locked(&self.tls).clone() {
                    self.data_plane.secure(&gateway_id(), tls);
                }
            }
            Wanted::None => {
                applied.certificates = None;
                *locked(&self.tls) = None;
            }
            Wanted::New(new) => {
                // The old watch ends first: it must not bring back what it watches.
                applied.certificates = None;
                *locked(&self.tls) = Some(new.tls().clone());
                self.data_plane.secure(&gateway_id(), new.tls().clone());
                let (settings, trust) = (new.settings().clone(), new.trust().cloned());
                let warnings = new.lasting();
                let (tls, data_plane) = (Arc::clone(&self.tls), self.data_plane.clone());
                let watch = new.watch(move |fresh| {
                    *locked(&tls) = Some(fresh.clone());
                    data_plane.secure(&gateway_id(), fresh);
                });
                applied.certificates = Some(Held { settings, trust, warnings, _watch: watch });
            }
        }
    }
}
