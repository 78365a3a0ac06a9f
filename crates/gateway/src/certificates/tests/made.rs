//! Certificates that `tls: dev` makes, as clients check them.

use super::*;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    version::TLS13,
};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Barrier, mpsc},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

const DAY: u64 = 24 * 3_600 * 1_000_000;

/// `tls: dev` in a folder of its own.
struct Local {
    home: TempDir,
}

impl Local {
    fn new() -> Self {
        Self { home: TempDir::new().unwrap() }
    }

    fn folder(&self) -> PathBuf {
        self.home.path().join("data/flotilla/ca")
    }

    fn dev(&self, hosts: &[&str]) -> Dev {
        Dev { folder: self.folder(), hosts: hosts.iter().map(ToString::to_string).collect() }
    }

    fn load(&self, hosts: &[&str]) -> Certificates {
        Certificates::load(Settings::Dev(self.dev(hosts))).unwrap()
    }

    fn root(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.folder().join("root.crt")).unwrap()
    }

    /// Whether a client that trusts the CA accepts `tls` as `host`.
    async fn ask(&self, tls: &Tls, host: &str) -> io::Result<()> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let there = TcpStream::connect(listener.local_addr()?).await?;
        let (here, _) = listener.accept().await?;
        let connector = TlsConnector::from(Arc::new(client));
        let name = ServerName::try_from(host.to_owned()).unwrap();
        let (client, _) = tokio::join!(connector.connect(name, there), tls.accept(here));
        client.map(drop)
    }
}

#[tokio::test]
async fn clients_that_trust_the_ca_accept_what_it_made() {
    let local = Local::new();
    let certificates = local.load(&["shop.test", "*.shop.internal", "API.localhost"]);
    for host in ["localhost", "api.localhost", "127.0.0.1", "::1", "shop.test", "web.shop.internal"]
    {
        let outcome = local.ask(certificates.tls(), host).await;
        assert!(outcome.is_ok(), "{host}: {outcome:?}");
    }
    for host in ["web.localhost", "other.test", "example.com", "127.0.0.2"] {
        assert!(local.ask(certificates.tls(), host).await.is_err(), "{host}");
    }
    assert_eq!(certificates.warnings(now()), Vec::<String>::new());
}

#[tokio::test]
async fn the_ca_cannot_vouch_for_real_sites_even_by_who_has_its_key() {
    let local = Local::new();
    drop(local.load(&[]));
    let key = fs::read_to_string(local.folder().join("root.key")).unwrap();
    let key = KeyPair::from_pem(&key).unwrap();
    // The true name of the CA, so that the signature is right.
    let params = dev::ca_params(&key, now()).unwrap();
    let issuer = Issuer::new(params, key);
    for host in ["bank.com", "localhost.com", "example.com", "10.0.0.1", "8.8.8.8"] {
        let leaf_key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let leaf = params.signed_by(&leaf_key, &issuer).unwrap();
        let site = Site::new("x");
        site.put("site.crt", &leaf.pem());
        site.put("site.key", &leaf_key.serialize_pem());
        let error = local.ask(site.load().tls(), host).await.unwrap_err();
        let said = format!("{error:?}");
        assert!(said.contains("NameConstraintViolation"), "{host}: {said}");
    }
}

#[test]
fn hosts_that_exist_in_public_are_refused_and_said() {
    let local = Local::new();
    let certificates =
        local.load(&["shop.example.com", "shop.test", "*.test", "127.0.0.1", "a b.test"]);
    assert!(hosts(certificates.tls()).contains(&"shop.test".to_owned()));
    let warnings = certificates.warnings(now());
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings[0].starts_with("`tls: dev` has no certificate for `*.test`"), "{warnings:?}");
    assert!(warnings[1].contains("`a b.test`"), "{warnings:?}");
    assert!(warnings[2].contains("`shop.example.com`"), "{warnings:?}");
}

#[test]
fn a_certificate_carries_a_bounded_number_of_hosts() {
    let local = Local::new();
    let many: Vec<String> = (0..300).map(|number| format!("h{number}.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let certificates = local.load(&many);
    // And the two addresses of this machine.
    assert_eq!(hosts(certificates.tls()).len(), 100 + 2);
    assert_eq!(certificates.warnings(now()).len(), 300 + 1 - 100);
}

#[test]
fn the_ca_is_made_once_and_kept_from_others() {
    let local = Local::new();
    let first = local.load(&[]);
    let root = local.root();
    assert!(first.trust().unwrap().is_new);
    assert_eq!(first.trust().unwrap().ca, local.folder().join("root.crt"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&local.folder()), 0o700);
    assert_eq!(mode(&local.folder().join("root.key")), 0o600);
    let second = local.load(&[]);
    assert!(!second.trust().unwrap().is_new);
    assert_eq!(local.root(), root);
    // Even where nothing can be written.
    fs::remove_file(local.folder().join("lock")).unwrap();
    fs::create_dir(local.folder().join("lock")).unwrap();
    assert!(!local.load(&[]).trust().unwrap().is_new);
}

#[test]
fn nodes_that_start_at_once_make_one_ca() {
    let local = Local::new();
    let (sender, receiver) = mpsc::channel();
    let start = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|number| {
            let (dev, sender) = (local.dev(&[]), sender.clone());
            let start = Arc::clone(&start);
            runtime::thread(format!("node-{number}"), move || {
                start.wait();
                let certificates = Certificates::load(Settings::Dev(dev)).unwrap();
                sender.send(certificates.trust().unwrap().is_new).unwrap();
            })
            .unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    drop(sender);
    assert_eq!(receiver.iter().filter(|is_new| *is_new).count(), 1);
}

#[tokio::test]
async fn a_certificate_is_renewed_long_before_its_end_from_the_same_ca() {
    let local = Local::new();
    let mut watcher = Watcher::new(local.load(&["shop.test"]), now());
    let later = |days: u64| Timestamp(now().0 + days * DAY);
    assert!(watcher.look(later(19)).is_none());
    let renewed = watcher.look(later(21)).unwrap();
    assert!(renewed.certificates()[0].ends >= later(50));
    assert!(hosts(&renewed).contains(&"shop.test".to_owned()));
    assert!(watcher.look(later(22)).is_none());
    // The clock is set right again: its certificate would begin in the future.
    let renewed = watcher.look(now()).unwrap();
    local.ask(&renewed, "shop.test").await.unwrap();
}

#[test]
fn a_ca_that_is_gone_or_damaged_while_running_changes_nothing() {
    let local = Local::new();
    let mut watcher = Watcher::new(local.load(&[]), now());
    let key = local.folder().join("root.key");
    let kept = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    for _ in 0..3 {
        assert!(watcher.look(now()).is_none());
    }
    assert!(watcher.said().unwrap().starts_with("cannot read"));
    assert!(!key.exists(), "a new one is made only at a start");
    fs::write(&key, kept).unwrap();
    assert!(watcher.look(now()).is_some());
}

#[test]
fn a_ca_that_was_damaged_is_an_error_and_one_near_its_end_is_replaced() {
    let local = Local::new();
    drop(local.load(&[]));
    let (folder, root) = (local.folder(), local.root());
    let later = |years: u64| Timestamp(now().0 + years * 365 * DAY);
    assert!(!dev::Ca::open_or_make(&folder, later(4)).unwrap().1);
    assert!(dev::Ca::open_or_make(&folder, later(5)).unwrap().1);
    assert_ne!(local.root(), root);
    fs::write(folder.join("root.key"), made("x").1).unwrap();
    let error = Certificates::load(Settings::Dev(local.dev(&[]))).unwrap_err();
    let said = ErrorChain(&error).to_string();
    assert!(said.contains("the development CA in"), "{said}");
    assert!(said.contains("does not belong"), "{said}");
    assert!(error.fix().contains("remove the folder"), "{}", error.fix());
}

#[test]
fn where_no_ca_can_be_kept_the_error_says_what_to_set() {
    let site = Site::new("x");
    let folder = site.path("site.crt").join("ca");
    let error = Certificates::load(Settings::Dev(Dev { folder, hosts: Vec::new() })).unwrap_err();
    assert!(error.to_string().starts_with("cannot keep the development CA in"), "{error}");
    assert!(error.fix().contains("XDG_DATA_HOME"), "{}", error.fix());
}
