//! What can be wrong with a certificate or key, and what to do about it.

use super::{CHAIN_MAX, Certificate, EXPIRES_SOON};
use base::Timestamp;
use rustls::pki_types::pem;
use std::fmt;

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No pair was given.
    #[error("there is no certificate")]
    Empty,
    /// The file is in DER.
    #[error("`{file}` is in DER, not in PEM")]
    Der {
        /// The file.
        file: String,
    },
    /// PEM that breaks off or is no base64.
    #[error("`{file}` is no valid PEM")]
    Pem {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        cause: pem::Error,
    },
    /// A file that should have a certificate has none.
    #[error("there is no certificate in `{file}`")]
    NoCertificate {
        /// The file.
        file: String,
        /// It has a private key.
        has_key: bool,
    },
    /// More certificates than a chain can have.
    #[error("there are {count} certificates in `{file}`, and a chain has at most {CHAIN_MAX}")]
    LongChain {
        /// The file.
        file: String,
        /// How many it has.
        count: usize,
    },
    /// A certificate that is damaged or of an old version.
    #[error("the certificate in `{file}` cannot be used")]
    Certificate {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        cause: rustls::Error,
    },
    /// A file that should have a private key has none.
    #[error("there is no private key in `{file}`")]
    NoKey {
        /// The file.
        file: String,
        /// It has a certificate.
        has_certificate: bool,
    },
    /// A key behind a passphrase, which nobody could type in at a restart.
    #[error("the private key in `{file}` is encrypted")]
    Encrypted {
        /// The file.
        file: String,
    },
    /// A key that is damaged or of a kind that is not supported.
    #[error("the private key in `{file}` cannot be used")]
    Key {
        /// The file.
        file: String,
        /// What is wrong.
        #[source]
        cause: rustls::Error,
    },
    /// The key is another certificate's.
    #[error("the private key in `{key}` does not belong to the certificate in `{certificate}`")]
    Mismatch {
        /// The file of the certificate.
        certificate: String,
        /// The file of the key.
        key: String,
        /// It does belong to a later certificate of the file.
        is_order: bool,
    },
    /// The system gave no random numbers, or cryptography is missing.
    #[error("TLS cannot be set up")]
    System(#[source] rustls::Error),
}

impl TlsError {
    /// What to do about it, as a sentence without its full stop.
    #[must_use]
    pub fn fix(&self) -> String {
        match self {
            Self::Empty => "name a certificate and its key".to_owned(),
            Self::Der { file } => format!(
                "convert it: `openssl x509 -inform der -in {file} -out {file}.pem` for a \
                 certificate, `openssl pkey -inform der -in {file} -out {file}.pem` for a key"
            ),
            Self::Pem { file, .. } => format!("write `{file}` anew: it was damaged or cut off"),
            Self::NoCertificate { has_key: true, .. } => {
                "it has a private key: were `cert` and `key` mixed up?".to_owned()
            }
            Self::NoCertificate { .. } => {
                "it must have a part `-----BEGIN CERTIFICATE-----`".to_owned()
            }
            Self::LongChain { .. } => "name the file with the server's own certificate and the \
                                       ones between it and the root, not a bundle of authorities"
                .to_owned(),
            Self::Certificate { .. } => {
                "get a certificate of version 3 (X.509v3), as every authority makes it".to_owned()
            }
            Self::NoKey { has_certificate: true, .. } => {
                "it has a certificate: were `cert` and `key` mixed up?".to_owned()
            }
            Self::NoKey { .. } => "it must have a part `-----BEGIN PRIVATE KEY-----`".to_owned(),
            Self::Encrypted { file } => {
                format!("take the passphrase off: `openssl pkey -in {file} -out {file}.plain`")
            }
            Self::Key { .. } => {
                "use an ECDSA P-256 or P-384, Ed25519 or RSA key of 2048 to 4096 bits".to_owned()
            }
            Self::Mismatch { certificate, is_order: true, .. } => {
                format!("put the server's own certificate first in `{certificate}`")
            }
            Self::Mismatch { .. } => {
                "name the two files that were made together; `openssl x509 -pubkey -noout -in \
                 CERT` and `openssl pkey -pubout -in KEY` print the same for such"
                    .to_owned()
            }
            Self::System(_) => "look whether the system has a source of random numbers".to_owned(),
        }
    }

    /// Whether it may be a moment between the writing of two files that belong together.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        matches!(self, Self::Mismatch { .. })
    }
}

/// Something about a certificate that works and yet needs a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsWarning {
    /// Clients refuse it.
    Expired {
        /// The file.
        file: String,
        /// Whole days since.
        days: u64,
    },
    /// Clients will refuse it soon.
    ExpiresSoon {
        /// The file.
        file: String,
        /// Whole days until then.
        days: u64,
    },
    /// Clients refuse it yet; or this machine's clock is wrong.
    NotYetValid {
        /// The file.
        file: String,
    },
    /// It names no host in its subject alternative names, where clients look, so none accepts it.
    NoNames {
        /// The file.
        file: String,
    },
}

impl fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { file, days: 0 } => {
                write!(f, "the certificate in `{file}` has expired today")
            }
            Self::Expired { file, days } => {
                write!(f, "the certificate in `{file}` has expired {days} days ago")
            }
            Self::ExpiresSoon { file, days: 0 } => {
                write!(f, "the certificate in `{file}` expires within a day")
            }
            Self::ExpiresSoon { file, days } => {
                write!(f, "the certificate in `{file}` expires in {days} days")
            }
            Self::NotYetValid { file } => {
                write!(f, "the certificate in `{file}` is not valid yet, or this clock is wrong")
            }
            Self::NoNames { file } => {
                write!(f, "the certificate in `{file}` names no host (subject alternative name)")
            }
        }
    }
}

/// What to say of a certificate at `now`.
pub(super) fn warn(certificate: &Certificate, now: Timestamp) -> Vec<TlsWarning> {
    const DAY: u64 = 24 * 3_600 * 1_000_000;
    let file = || certificate.file.clone();
    let soon = u64::try_from(EXPIRES_SOON.as_micros()).unwrap_or(u64::MAX);
    let left = certificate.ends.0.saturating_sub(now.0);
    let mut warnings = Vec::new();
    if now >= certificate.ends {
        warnings
            .push(TlsWarning::Expired { file: file(), days: (now.0 - certificate.ends.0) / DAY });
    } else if left < soon {
        warnings.push(TlsWarning::ExpiresSoon { file: file(), days: left / DAY });
    }
    if now < certificate.starts {
        warnings.push(TlsWarning::NotYetValid { file: file() });
    }
    if certificate.names.is_empty() {
        warnings.push(TlsWarning::NoNames { file: file() });
    }
    warnings
}
