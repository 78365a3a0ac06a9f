//! TLS for client connections: which certificate answers, how a handshake goes, what is known of it.
//!
//! ```text
//!  PEM files ──► Tls::from_pem ──► Tls (immutable, cheap to clone) ── published ──► workers
//!                                   │ accept(stream): peek ─► handshake ─► (TlsStream, Session)
//!                                   └ names: exact host, then wildcard, then the first pair
//! ```
//!
//! What must hold:
//! - *A reload disturbs nobody.* A [`Tls`] never changes. Workers take the newest one for the next
//!   handshake; connections keep what they began with. A new [`Tls`] has new ticket keys, so a session of
//!   a certificate that was taken away is not resumed: its client makes one full handshake.
//! - *No input panics or holds memory for long*: a handshake message is at most 64 KiB (rustls), a
//!   handshake at most [`HANDSHAKE_TIMEOUT`].
//! - *A connection speaks only for hosts of its own certificate*, see [`Session::serves`].
//!
//! TLS 1.2 and 1.3 with rustls and ring; older versions, renegotiation, compression, 0-RTT (whose requests
//! can be replayed) and client certificates are not offered. Handshakes are not bounded in number apart
//! from the connections of a worker: a smaller bound would let a few silent clients keep all others out.

mod accept;
mod certificate;
mod error;
mod names;
mod pem;
#[cfg(test)]
mod tests;

pub use accept::{Alpn, Session, TlsStream, TlsVersion};
pub use error::{TlsError, TlsWarning};
pub use pem::{Pem, PemPair};

use base::Timestamp;
use names::Names;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{fmt, sync::Arc, time::Duration};

/// How long a client may take from the opened connection to the end of the handshake: as long as for
/// a first head, for the same reason.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// TLS 1.2 sessions that are kept for clients without tickets (few are left); all others keep their
/// session themselves. About 200 bytes each.
const SESSIONS_MAX: usize = 1_024;

/// Most bytes of a response that wait encrypted or to be encrypted on one connection while its client
/// does not read; writing waits beyond it. Two full records, so that one is encrypted while one is sent.
const WRITE_BUFFER_MAX: usize = 32 * 1024;

/// Most certificates in one chain. Each handshake carries the chain, real ones have 2 to 4, and a file with
/// more is most likely a bundle of authorities.
const CHAIN_MAX: usize = 10;

/// From so long before its end on there is a warning about a certificate: a week is enough for a person to
/// act, and less than what renewing programs leave (a third of 90 days).
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 3_600);

/// Certificates and everything else a listener needs to speak TLS. Immutable; clones share it.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    config: Arc<ServerConfig>,
    names: Arc<Names>,
    certificates: Vec<Certificate>,
}

/// A certificate that is in use, as people want to see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The file it came from.
    pub file: String,
    /// Hosts and addresses it is for, in lower case; wildcards as `*.example.com`.
    pub names: Vec<String>,
    /// Not valid before.
    pub starts: Timestamp,
    /// Not valid after.
    pub ends: Timestamp,
}

impl Tls {
    /// Takes pairs of a certificate chain (the server's own certificate first) and its private key. Clients
    /// get the pair whose certificate names the host they ask for exactly, else by wildcard, else
    /// the first pair. Of several pairs for one host (ECDSA and RSA) each client gets the first
    /// that it can verify.
    ///
    /// A certificate that has expired is used all the same, with a warning: clients that do not mind reach the
    /// service, and its people can mend it.
    ///
    /// # Errors
    /// [`TlsError`] for the first pair that cannot be used; it names the file, and
    /// [`TlsError::fix`] says what to do.
    pub fn from_pem(pairs: &[PemPair<'_>]) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let mut names = Names::default();
        let mut certificates = Vec::new();
        for pair in pairs {
            let (key, facts) = pem::load(pair, &provider)?;
            let file = pair.certificate.name.to_owned();
            names.add(Arc::new(key), &facts);
            let addresses = facts.addresses.iter().map(ToString::to_string);
            let (starts, ends) = (facts.starts, facts.ends);
            let names = facts.names.into_iter().chain(addresses).collect();
            certificates.push(Certificate { file, names, starts, ends });
        }
        if names.is_empty() {
            return Err(TlsError::Empty);
        }
        let names = Arc::new(names);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(TlsError::System)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Resolver(Arc::clone(&names))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = ring::Ticketer::new().map_err(TlsError::System)?;
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        let config = Arc::new(config);
        Ok(Self(Arc::new(Inner { config, names, certificates })))
    }

    /// The certificates in the order of their pairs.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.0.certificates
    }

    /// What somebody should look at, although it works, when it is `now`.
    #[must_use]
    pub fn warnings(&self, now: Timestamp) -> Vec<TlsWarning> {
        self.0.certificates.iter().flat_map(|certificate| error::warn(certificate, now)).collect()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificates", &self.0.certificates).finish_non_exhaustive()
    }
}

/// Answers rustls' question for a certificate.
#[derive(Debug)]
struct Resolver(Arc<Names>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.choose(hello.server_name(), hello.signature_schemes()))
    }
}
