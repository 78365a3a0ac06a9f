//! `tls: dev`: an authority (CA) of the user's own, and certificates from it.
//!
//! A CA that a machine trusts is dangerous: who has its key can pretend to be any site. So this one is made
//! such that it cannot: name constraints (RFC 5280 section 4.2.1.10, critical, so a client that does not
//! know them refuses all) let it vouch only for names that exist nowhere in public and for this machine's
//! own addresses, its extended key usage only for servers (not mail, not programs), its path length only
//! for certificates that are no CAs. Its key has mode 0600 in a folder with 0700 and never leaves it. Then a
//! long life does no harm, and it is trusted once per machine.
//!
//! Certificates from it live for 30 days, are renewed after 20, and are never written down.

use super::{Dev, error::CertificatesError, files::content, trust::Trust};
use base::Timestamp;
use proxy::{Pem, PemPair, Tls};
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType,
};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};
use time::OffsetDateTime;

/// Top-level names that exist only in private: RFC 6761 (localhost, test, example), RFC 6762 (local),
/// RFC 8375 (home.arpa), and internal, which ICANN set aside in 2024. They stand in every CA that was made:
/// if they change, the CA's files must be named differently, so that a new one is made.
const SUFFIXES: &[&str] = &["localhost", "test", "example", "internal", "local", "home.arpa"];

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long a CA lives: about as long as a machine.
const CA_LIFE: Duration = DAY.saturating_mul(5 * 365);

/// A CA with less than this left is replaced at the next start, while nothing fails yet.
const CA_LEFT_MIN: Duration = DAY.saturating_mul(60);

/// How long a certificate lives. Clients accept at most 825 days of a CA that was added by hand.
const LIFE: Duration = DAY.saturating_mul(30);

/// When a certificate is renewed.
const RENEW_AFTER: Duration = DAY.saturating_mul(20);

/// Certificates are valid from a while ago on, for clients (containers, phones) whose clock is behind.
const CLOCK_SKEW: Duration = DAY;

/// Most hosts in a certificate: each handshake carries them all.
const HOSTS_MAX: usize = 100;

/// A certificate was made.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) trust: Trust,
    /// Hosts that it could not be made for.
    pub(super) refused: Vec<String>,
    made: Timestamp,
}

impl Issued {
    /// Whether it should be made anew: it grows old, or the clock was set to before it.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        now.0.abs_diff(self.made.0) >= micros(RENEW_AFTER)
    }
}

/// An authority.
pub(super) struct Ca {
    certificate: PathBuf,
    key: KeyPair,
    ends: Timestamp,
}

/// The files of an authority in `folder`: its certificate and its key.
pub(super) fn paths(folder: &Path) -> [PathBuf; 2] {
    [folder.join("root.crt"), folder.join("root.key")]
}

/// What certificates are made for, for people.
pub(super) fn scope() -> String {
    let suffixes: Vec<_> = SUFFIXES.iter().map(|suffix| format!(".{suffix}")).collect();
    format!("localhost, names that end in {}, and 127.0.0.0/8 and ::1", suffixes.join(", "))
}

impl Ca {
    /// Opens the CA in `folder`, or makes one if there is none or its end is near; then the second is true.
    pub(super) fn open_or_make(
        folder: &Path,
        now: Timestamp,
    ) -> Result<(Self, bool), CertificatesError> {
        // A folder that is only lent for reading is good enough for a CA that is there.
        if let Some(ca) = Self::lasting(folder, now)? {
            return Ok((ca, false));
        }
        let keep = |path: &Path| {
            let path = path.to_owned();
            move |cause| CertificatesError::Keep { path, cause }
        };
        let private = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        private.map_err(keep(folder))?;
        // Two nodes that start at once make one CA, not two.
        let lock_path = folder.join("lock");
        let lock = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(keep(&lock_path))?;
        lock.lock().map_err(keep(&lock_path))?;
        if let Some(ca) = Self::lasting(folder, now)? {
            return Ok((ca, false));
        }
        let [certificate, key] = paths(folder);
        let pair = KeyPair::generate()?;
        let made = ca_params(&pair, now)?.self_signed(&pair)?;
        // The key first: without its certificate it is nothing, and both are made anew.
        write(&key, 0o600, &pair.serialize_pem()).map_err(keep(&key))?;
        write(&certificate, 0o644, &made.pem()).map_err(keep(&certificate))?;
        Ok((Self::open(folder)?, true))
    }

    /// Opens the CA in `folder` if there is one with some time left.
    fn lasting(folder: &Path, now: Timestamp) -> Result<Option<Self>, CertificatesError> {
        if !paths(folder).iter().all(|path| path.exists()) {
            return Ok(None);
        }
        let ca = Self::open(folder)?;
        let has_time = ca.ends.0.saturating_sub(now.0) >= micros(CA_LEFT_MIN);
        Ok(has_time.then_some(ca))
    }

    /// Opens the CA in `folder`.
    pub(super) fn open(folder: &Path) -> Result<Self, CertificatesError> {
        let [certificate, key_path] = paths(folder);
        let foreign = |cause: Box<dyn std::error::Error + Send + Sync>| {
            CertificatesError::Foreign { folder: folder.to_owned(), cause }
        };
        let (certificate_pem, key_pem) = (content(&certificate)?, content(&key_path)?);
        // Checks that they are what they should be, and belong together.
        let pair = PemPair { certificate: certificate_pem.pem(), key: key_pem.pem() };
        let tls = Tls::from_pem(&[pair]).map_err(|error| foreign(error.into()))?;
        let key = String::from_utf8(key_pem.bytes).map_err(|error| foreign(error.into()))?;
        let key = KeyPair::from_pem(&key).map_err(|error| foreign(error.into()))?;
        let ends = tls.certificates().first().map_or(Timestamp(0), |made| made.ends);
        Ok(Self { certificate, key, ends })
    }

    /// Makes a certificate for `localhost`, its addresses and the hosts that may have one.
    pub(super) fn issue(
        &self,
        dev: &Dev,
        now: Timestamp,
    ) -> Result<(Tls, Issued), CertificatesError> {
        let (hosts, refused) = sort(&dev.hosts);
        let mut params = CertificateParams::new(hosts)?;
        let own = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
        params.subject_alt_names.extend(own.map(SanType::IpAddress));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Flotilla development certificate");
        params.not_before = date(Timestamp(now.0.saturating_sub(micros(CLOCK_SKEW))));
        params.not_after = date(Timestamp((now.0 + micros(LIFE)).min(self.ends.0)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::new(ca_params(&self.key, now)?, &self.key);
        let key = KeyPair::generate()?;
        let made = params.signed_by(&key, &issuer)?;
        let name = "tls: dev";
        let tls = Tls::from_pem(&[PemPair {
            certificate: Pem { name, bytes: made.pem().as_bytes() },
            key: Pem { name, bytes: key.serialize_pem().as_bytes() },
        }])?;
        let trust = Trust { ca: self.certificate.clone(), is_new: false };
        Ok((tls, Issued { trust, refused, made: now }))
    }
}

/// Names and powers of a CA with `key`. Its name follows from the key, so that the issuer of later
/// certificates is called the same, and CAs of two machines are called differently.
pub(super) fn ca_params(
    key: &KeyPair,
    now: Timestamp,
) -> Result<CertificateParams, CertificatesError> {
    let mut params = CertificateParams::new(Vec::new())?;
    let id = params.key_identifier(&key);
    let id: String = id.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Flotilla");
    params.distinguished_name.push(DnType::CommonName, format!("Flotilla development CA {id}"));
    params.not_before = date(Timestamp(now.0.saturating_sub(micros(CLOCK_SKEW))));
    params.not_after = date(Timestamp(now.0 + micros(CA_LIFE)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let loopback = [
        CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8),
        CidrSubnet::from_v6_prefix(Ipv6Addr::LOCALHOST.octets(), 128),
    ];
    let names = SUFFIXES.iter().map(|suffix| GeneralSubtree::DnsName((*suffix).to_owned()));
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: names.chain(loopback.map(GeneralSubtree::IpAddress)).collect(),
        excluded_subtrees: Vec::new(),
    });
    Ok(params)
}

/// Hosts a certificate is made for, and those it cannot be.
fn sort(hosts: &[String]) -> (Vec<String>, Vec<String>) {
    let mut good = vec!["localhost".to_owned()];
    let mut refused = Vec::new();
    let asked: BTreeSet<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
    for host in asked {
        // Addresses of this machine are in it anyway.
        if good.contains(&host) || host.parse().is_ok_and(|address: IpAddr| address.is_loopback()) {
            continue;
        }
        let list = if is_ours(&host) && good.len() < HOSTS_MAX { &mut good } else { &mut refused };
        list.push(host);
    }
    (good, refused)
}

/// Whether the CA may vouch for `host`, a name or a wildcard. Not for a wildcard right below a suffix
/// (`*.localhost`): browsers do not honour it, and some clients (webpki) refuse all of a certificate with one.
fn is_ours(host: &str) -> bool {
    let plain = host.strip_prefix("*.").unwrap_or(host);
    if plain != host && SUFFIXES.contains(&plain) {
        return false;
    }
    let is_label = |label: &str| {
        let ends = label.starts_with('-') || label.ends_with('-');
        let letters =
            label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        (1..=63).contains(&label.len()) && letters && !ends
    };
    let is_below = |suffix: &&str| {
        plain.strip_suffix(*suffix).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    plain.len() <= 253 && plain.split('.').all(is_label) && SUFFIXES.iter().any(is_below)
}

/// Puts `text` into `path` whole or not at all; from the first byte on nobody else may read what `mode`
/// does not say.
fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Certificates count in seconds, and only to the year 9999.
fn date(timestamp: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(timestamp.0 / 1_000_000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .unwrap_or_else(|_| rcgen::date_time_ymd(9999, 1, 1))
}
