//! Which certificate is for which host.

use super::certificate::Facts;
use rustls::{SignatureScheme, sign::CertifiedKey};
use std::{borrow::Cow, collections::HashMap, net::IpAddr, sync::Arc};

/// Certificates by host. A host has a list, because it may have one certificate per kind of key.
#[derive(Debug, Default)]
pub(super) struct Names {
    keys: Vec<Arc<CertifiedKey>>,
    /// Positions in `keys` by host in lower case, or by address.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// Positions by what follows `*.`.
    wildcards: HashMap<Box<str>, Vec<usize>>,
}

/// What hosts get that no certificate names.
const DEFAULT: &[usize] = &[0];

impl Names {
    pub(super) fn add(&mut self, key: Arc<CertifiedKey>, facts: &Facts) {
        let at = self.keys.len();
        self.keys.push(key);
        let addresses = facts.addresses.iter().map(IpAddr::to_string);
        for name in facts.names.iter().cloned().chain(addresses) {
            let (table, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcards, parent.to_owned()),
                None => (&mut self.exact, name),
            };
            let list = table.entry(name.into()).or_default();
            // A certificate may name a host twice.
            if list.last() != Some(&at) {
                list.push(at);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The certificate for a client that asks for `host` and can verify `schemes`.
    pub(super) fn choose(
        &self,
        host: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Arc<CertifiedKey> {
        let list = host.map_or(DEFAULT, |host| self.find(host));
        let can_verify = |at: &&usize| self.keys[**at].key.choose_scheme(schemes).is_some();
        // Without one the first leads to the alert that tells the client so.
        let at = list.iter().find(can_verify).or(list.first()).copied().unwrap_or(0);
        Arc::clone(&self.keys[at])
    }

    /// Whether a certificate that is given to clients of `host` is also given to clients of `other`.
    pub(super) fn share(&self, host: &str, other: &str) -> bool {
        let others = self.find(other);
        self.find(host).iter().any(|at| others.contains(at))
    }

    fn find(&self, host: &str) -> &[usize] {
        let host = normalised(host);
        if let Some(list) = self.exact.get(&*host) {
            return list;
        }
        // A wildcard stands for exactly one label (RFC 6125 section 6.4.3).
        let parent = host.split_once('.').map(|(_, parent)| parent);
        parent.and_then(|parent| self.wildcards.get(parent)).map_or(DEFAULT, Vec::as_slice)
    }
}

/// Lower case, without the dot of the root and the brackets of an address.
fn normalised(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Option<IpAddr> = inner.parse().ok();
        return address.map_or(Cow::Borrowed(inner), |address| address.to_string().into());
    }
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return host.to_ascii_lowercase().into();
    }
    Cow::Borrowed(host)
}
