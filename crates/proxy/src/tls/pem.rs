//! From files' contents to a certificate with its key.

use super::{
    CHAIN_MAX,
    certificate::{self, Facts},
    error::TlsError,
};
use rustls::{
    CertificateError, Error, InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::sync::Arc;

/// The content of a PEM file.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    /// How errors call it: its path.
    pub name: &'a str,
    /// What is in it.
    pub bytes: &'a [u8],
}

impl std::fmt::Debug for Pem<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The content may be a private key.
        f.debug_tuple("Pem").field(&self.name).finish()
    }
}

/// A certificate chain and the private key of its first certificate. Both may be in one file.
#[derive(Clone, Copy, Debug)]
pub struct PemPair<'a> {
    /// The chain, the server's own certificate first, the root left out.
    pub certificate: Pem<'a>,
    /// The key: PKCS#8, SEC 1 or PKCS#1, not encrypted.
    pub key: Pem<'a>,
}

/// Reads and checks a pair.
pub(super) fn load(
    pair: &PemPair<'_>,
    provider: &CryptoProvider,
) -> Result<(CertifiedKey, Facts), TlsError> {
    let chain = chain(pair.certificate)?;
    let key = key(pair.key)?;
    let file = || pair.key.name.to_owned();
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|cause| TlsError::Key { file: file(), cause })?;
    let pair_of = |at: usize| CertifiedKey::new(chain[at..].to_vec(), Arc::clone(&key));
    let bad = |cause| TlsError::Certificate { file: pair.certificate.name.to_owned(), cause };
    match pair_of(0).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            return Err(TlsError::Mismatch {
                certificate: pair.certificate.name.to_owned(),
                key: file(),
                is_order: (1..chain.len()).any(|at| pair_of(at).keys_match().is_ok()),
            });
        }
        Err(cause) => return Err(bad(cause)),
    }
    let facts = certificate::read(&chain[0])
        .ok_or_else(|| bad(Error::InvalidCertificate(CertificateError::BadEncoding)))?;
    Ok((CertifiedKey::new(chain, key), facts))
}

/// Never empty.
fn chain(pem: Pem<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = || pem.name.to_owned();
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.bytes).collect();
    let chain = read.map_err(|cause| TlsError::Pem { file: file(), cause })?;
    match chain.len() {
        0 if is_der(pem.bytes) => Err(TlsError::Der { file: file() }),
        0 => Err(TlsError::NoCertificate { file: file(), has_key: contains(pem, "PRIVATE KEY") }),
        1..=CHAIN_MAX => Ok(chain),
        count => Err(TlsError::LongChain { file: file(), count }),
    }
}

fn key(pem: Pem<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    let file = || pem.name.to_owned();
    if contains(pem, "BEGIN ENCRYPTED PRIVATE KEY") || contains(pem, "Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::Encrypted { file: file() });
    }
    match PrivateKeyDer::pem_slice_iter(pem.bytes).next() {
        Some(key) => key.map_err(|cause| TlsError::Pem { file: file(), cause }),
        None if is_der(pem.bytes) => Err(TlsError::Der { file: file() }),
        None => Err(TlsError::NoKey {
            file: file(),
            has_certificate: contains(pem, "BEGIN CERTIFICATE"),
        }),
    }
}

/// DER of a certificate or key is one sequence of more than 127 bytes; text does not begin so.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81..=0x84, ..])
}

fn contains(pem: Pem<'_>, text: &str) -> bool {
    pem.bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
