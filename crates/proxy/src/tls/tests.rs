//! Handshakes with a real client over real sockets.

mod files;

use super::{certificate::Facts, names::Names, *};
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, SignatureScheme,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client};

/// 2026-01-01.
const NOW: Timestamp = Timestamp(1_767_225_600_000_000);

const PATIENCE: Duration = Duration::from_secs(10);

/// A certificate that signs itself, and its key.
struct Made {
    certificate: String,
    key: String,
}

impl Made {
    fn new(names: &[&str]) -> Self {
        Self::with(names, |_| {})
    }

    fn with(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        Self::of(&KeyPair::generate().unwrap(), names, change)
    }

    fn of(key: &KeyPair, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let certificate = params.self_signed(key).unwrap().pem();
        Self { certificate, key: key.serialize_pem() }
    }

    fn pair(&self) -> PemPair<'_> {
        pair(&self.certificate, &self.key)
    }

    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()
    }
}

fn pair<'a>(certificate: &'a str, key: &'a str) -> PemPair<'a> {
    PemPair {
        certificate: Pem { name: "site.crt", bytes: certificate.as_bytes() },
        key: Pem { name: "site.key", bytes: key.as_bytes() },
    }
}

fn tls(made: &[&Made]) -> Tls {
    let pairs: Vec<_> = made.iter().map(|made| made.pair()).collect();
    Tls::from_pem(&pairs).unwrap()
}

/// A client that trusts `made` and offers `alpn`.
fn client_of(made: &[&Made], alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for made in made {
        roots.add(made.der()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

type Connected = (client::TlsStream<TcpStream>, TlsStream, Session);

/// Connects `client` to a server with `tls` and asks for `host`.
async fn connect(tls: &Tls, client: &Arc<ClientConfig>, host: &str) -> io::Result<Connected> {
    let (there, here) = socket().await;
    let connector = TlsConnector::from(Arc::clone(client));
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let both = async { tokio::join!(connector.connect(name, there), tls.accept(here)) };
    let (client, server) = timeout(PATIENCE, both).await.unwrap();
    let (server, session) = server?;
    Ok((client?, server, session))
}

/// Both ends of a connection.
async fn socket() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let there = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (there, listener.accept().await.unwrap().0)
}

fn shown(connected: &Connected) -> CertificateDer<'static> {
    connected.0.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn a_client_gets_the_certificate_of_its_host_then_of_a_wildcard_then_the_first() {
    let first = Made::new(&["first.test", "LOUD.test", "127.0.0.1"]);
    let wild = Made::new(&["*.shop.test"]);
    let exact = Made::new(&["api.shop.test"]);
    let all = [&first, &wild, &exact];
    let tls = tls(&all);
    let client = client_of(&all, &[]);
    for (host, expected) in [
        ("api.shop.test", &exact),
        ("web.shop.test", &wild),
        ("first.test", &first),
        ("loud.test", &first),
        ("127.0.0.1", &first),
    ] {
        let connected = connect(&tls, &client, host).await.unwrap();
        assert_eq!(shown(&connected), expected.der(), "{host}");
        let named = host.parse::<std::net::IpAddr>().is_err().then_some(host);
        assert_eq!(connected.2.server_name(), named, "{host}");
    }
    // The client refuses these, because it gets the first: a wildcard is one label long, no more, no less.
    for host in ["a.b.shop.test", "shop.test", "other.test"] {
        assert!(connect(&tls, &client, host).await.is_err(), "{host}");
    }
}

#[test]
fn of_several_certificates_for_a_host_the_client_gets_one_it_can_verify() {
    let provider = ring::default_provider();
    let facts = |names: &[&str]| Facts {
        starts: NOW,
        ends: NOW,
        names: names.iter().map(ToString::to_string).collect(),
        addresses: Vec::new(),
    };
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let made = [Made::new(&["a.test"]), Made::of(&ed25519, &["a.test"], |_| {})];
    let mut names = Names::default();
    for made in &made {
        let (key, _) = pem::load(&made.pair(), &provider).unwrap();
        names.add(Arc::new(key), &facts(&["a.test"]));
    }
    let choose =
        |schemes: &[SignatureScheme]| names.choose(Some("a.test"), schemes).cert[0].clone();
    assert_eq!(choose(&[SignatureScheme::ED25519]), made[1].der());
    assert_eq!(choose(&[SignatureScheme::ECDSA_NISTP256_SHA256]), made[0].der());
    let both = [SignatureScheme::ED25519, SignatureScheme::ECDSA_NISTP256_SHA256];
    assert_eq!(choose(&both), made[0].der());
    assert_eq!(choose(&[SignatureScheme::RSA_PKCS1_SHA256]), made[0].der());
}

#[tokio::test]
async fn h2_is_preferred_and_a_client_that_names_nothing_speaks_http1() {
    let made = Made::new(&["a.test"]);
    let tls = tls(&[&made]);
    for (offer, expected) in [
        (&["h2", "http/1.1"][..], Alpn::Http2),
        (&["http/1.1", "h2"], Alpn::Http2),
        (&["http/1.1"], Alpn::Http1),
        (&[], Alpn::Http1),
    ] {
        let connected = connect(&tls, &client_of(&[&made], offer), "a.test").await.unwrap();
        assert_eq!(connected.2.alpn, expected, "{offer:?}");
    }
    assert!(connect(&tls, &client_of(&[&made], &["h3"]), "a.test").await.is_err());
}

#[tokio::test]
async fn a_client_that_comes_back_resumes_its_session_but_not_with_new_certificates() {
    let made = Made::new(&["a.test"]);
    for version in [&TLS13, &TLS12] {
        let mut roots = RootCertStore::empty();
        roots.add(made.der()).unwrap();
        let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = Arc::new(client);
        let old = tls(&[&made]);
        let new = tls(&[&made]);
        for (at, (tls, expected)) in [(&old, false), (&old, true), (&new, false)].iter().enumerate()
        {
            let (mut there, mut here, session) = connect(tls, &client, "a.test").await.unwrap();
            assert_eq!(session.is_resumed, *expected, "{version:?}, connection {at}");
            let tls12 = session.version == TlsVersion::Tls12;
            assert_eq!(tls12, version.version == rustls::ProtocolVersion::TLSv1_2);
            // The tickets of TLS 1.3 come with the first bytes.
            here.write_all(b"x").await.unwrap();
            assert_eq!(there.read_u8().await.unwrap(), b'x');
        }
    }
}

#[tokio::test]
async fn new_certificates_leave_open_connections_alone() {
    let (old, new) = (Made::new(&["a.test"]), Made::new(&["a.test"]));
    let client = client_of(&[&old, &new], &[]);
    let live = arc_swap::ArcSwap::from_pointee(tls(&[&old]));
    let mut before = connect(&live.load(), &client, "a.test").await.unwrap();
    live.store(Arc::new(tls(&[&new])));
    let after = connect(&live.load(), &client, "a.test").await.unwrap();
    assert_eq!(shown(&before), old.der());
    assert_eq!(shown(&after), new.der());
    let (there, here) = (&mut before.0, &mut before.1);
    there.write_all(b"still").await.unwrap();
    let mut text = [0; 5];
    here.read_exact(&mut text).await.unwrap();
    here.write_all(b"there").await.unwrap();
    there.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"there");
}

#[tokio::test]
async fn a_connection_serves_the_hosts_that_share_its_certificate() {
    let first = Made::new(&["first.test", "shared.test", "127.0.0.1", "::1"]);
    let second = Made::new(&["*.second.test", "shared.test"]);
    let all = [&first, &second];
    let tls = tls(&all);
    let client = client_of(&all, &[]);
    let check = async |sni: &str, host: &str, expected: bool| {
        let session = connect(&tls, &client, sni).await.unwrap().2;
        assert_eq!(session.serves(host), expected, "{host} over a connection of {sni}");
    };
    check("first.test", "first.test", true).await;
    check("first.test", "FIRST.test.", true).await;
    check("first.test", "shared.test", true).await;
    check("first.test", "127.0.0.1", true).await;
    check("first.test", "[::1]", true).await;
    check("first.test", "[0:0::1]", true).await;
    check("first.test", "unknown.test", true).await;
    check("first.test", "a.second.test", false).await;
    check("a.second.test", "b.second.test", true).await;
    check("a.second.test", "shared.test", true).await;
    check("a.second.test", "first.test", false).await;
    check("a.second.test", "unknown.test", false).await;
    check("a.second.test", "", false).await;
    // Without SNI there is no claim to hold the client to.
    check("127.0.0.1", "a.second.test", true).await;
}

/// Sends `bytes` to a port for TLS; what comes back, and the server's error.
async fn send(tls: &Tls, bytes: &[u8]) -> (Vec<u8>, io::Error) {
    let (mut there, here) = socket().await;
    let client = async {
        there.write_all(bytes).await.unwrap();
        there.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is fine.
        drop(there.read_to_end(&mut answer).await);
        answer
    };
    let both = async { tokio::join!(client, tls.accept(here)) };
    let (answer, outcome) = timeout(PATIENCE, both).await.unwrap();
    (answer, outcome.unwrap_err())
}

#[tokio::test]
async fn plain_http_is_told_to_use_tls() {
    let made = Made::new(&["a.test"]);
    let tls = tls(&[&made]);
    let long = format!("POST / HTTP/1.1\r\nHost: a\r\n\r\n{}", "x".repeat(20_000));
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &long]
    {
        let (answer, error) = send(&tls, request.as_bytes()).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "This port speaks TLS: use https:// instead of http://.\n");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        assert!(head.contains("Connection: close"), "{head}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}

/// A record with a `ClientHello` that offers at most `version` (0x0302 is TLS 1.1).
fn hello(version: [u8; 2]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([7; 32]); // random
    body.push(0); // no session
    body.extend([0, 4, 0xc0, 0x13, 0xc0, 0x2f]); // one cipher suite of 1.0 and 1.1, one of 1.2
    body.extend([1, 0]); // no compression
    // Extensions: signatures with ECDSA on P-256, groups with P-256.
    body.extend([0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23]);
    let length = u8::try_from(body.len()).unwrap();
    let mut message = vec![1, 0, 0, length];
    message.extend(body);
    let length = u8::try_from(message.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length];
    record.extend(message);
    record
}

#[tokio::test]
async fn tls_older_than_1_2_is_refused_with_the_alert_for_it() {
    let made = Made::new(&["a.test"]);
    for version in [[3, 0], [3, 1], [3, 2]] {
        let (answer, _) = send(&tls(&[&made]), &hello(version)).await;
        // An alert (21) of two bytes: fatal (2), protocol_version (70).
        assert_eq!(answer[0], 21, "{version:?}");
        assert_eq!(answer[3..], [0, 2, 2, 70], "{version:?}");
    }
}

#[tokio::test]
async fn garbage_ends_the_connection_and_nothing_else() {
    let made = Made::new(&["a.test"]);
    let tls = tls(&[&made]);
    let whole = hello([3, 3]);
    let mut too_long = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    too_long.resize(16_389, 0);
    let mut shapes: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0],
        vec![0x80, 0x2e, 1, 0, 2],
        vec![0xff; 70_000],
        vec![22, 3, 1, 0, 0],
        vec![22, 3, 1, 0xff, 0xff, 1],
        too_long,
        [21, 3, 3, 0, 2, 2, 40].to_vec(),
        [23, 3, 3, 0, 1, 0].to_vec(),
    ];
    shapes.extend((1..whole.len()).map(|length| whole[..length].to_vec()));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0xff;
        shapes.push(damaged);
    }
    for shape in shapes {
        let (answer, error) = send(&tls, &shape).await;
        let start = &shape[..shape.len().min(16)];
        // Nothing that could be taken for an answer: an alert at most.
        assert!(answer.is_empty() || answer[0] == 21, "{start:x?}: {answer:x?}");
        assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{start:x?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_let_go() {
    let made = Made::new(&["a.test"]);
    let (there, here) = socket().await;
    let error = tls(&[&made]).accept(here).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(there);
}
