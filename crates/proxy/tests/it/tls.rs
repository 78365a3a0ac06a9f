//! TLS from real clients to real instances: what is spoken, how connections begin and end, what they hold.

mod ends;
mod http2;
mod load;

use crate::support::*;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proxy::{ListenerId, Pem, PemPair, Tls};
use rcgen::{CertificateParams, KeyPair};
use runtime::TaskSet;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A certificate that signs itself, and its key.
struct Made {
    certificate: String,
    key: String,
}

impl Made {
    fn new(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem();
        Self { certificate, key: key.serialize_pem() }
    }
}

/// What a listener needs to answer with `made`.
fn tls(made: &[&Made]) -> Tls {
    let pairs: Vec<_> = made
        .iter()
        .map(|made| PemPair {
            certificate: Pem { name: "site.crt", bytes: made.certificate.as_bytes() },
            key: Pem { name: "site.key", bytes: made.key.as_bytes() },
        })
        .collect();
    Tls::from_pem(&pairs).unwrap()
}

/// A client that trusts `made` and offers `alpn`.
fn trusting(made: &[&Made], alpn: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for made in made {
        roots.add(CertificateDer::from_pem_slice(made.certificate.as_bytes()).unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

fn gateway() -> ListenerId {
    ListenerId::new("gateway")
}

/// A data plane that speaks TLS, with one certificate for `shop.test`.
fn secure(plane: &Plane) -> Made {
    let made = Made::new(&["shop.test"]);
    plane.handle.secure(&gateway(), tls(&[&made]));
    made
}

type Secure = TlsStream<TcpStream>;

/// Connects and asks for `host`.
async fn connect(address: SocketAddr, client: &Arc<ClientConfig>, host: &str) -> Secure {
    try_connect(address, client, host).await.unwrap()
}

async fn try_connect(
    address: SocketAddr,
    client: &Arc<ClientConfig>,
    host: &str,
) -> io::Result<Secure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    soon(TlsConnector::from(Arc::clone(client)).connect(name, stream)).await
}

/// A connection of HTTP/1.1 over TLS.
async fn http1(stream: Secure) -> (http1::SendRequest<Body>, TaskSet) {
    let (sender, connection) = soon(http1::handshake(TokioIo::new(stream))).await.unwrap();
    let mut task = TaskSet::new("client");
    task.spawn("connection", move |_| async move { drop(connection.with_upgrades().await) });
    (sender, task)
}

/// Sends `bytes` and reads until `enough` came.
async fn talk(stream: &mut Secure, bytes: &str, enough: &str) -> String {
    soon(stream.write_all(bytes.as_bytes())).await.unwrap();
    soon(stream.flush()).await.unwrap();
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains(enough) {
        let count = soon(stream.read_buf(&mut read)).await.unwrap();
        assert!(count > 0, "it ended after {}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).unwrap()
}

/// Reads to the end, which must have been said.
async fn rest(stream: &mut Secure) -> String {
    let mut read = Vec::new();
    soon(stream.read_to_end(&mut read)).await.unwrap();
    String::from_utf8(read).unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n")
}

#[tokio::test]
async fn an_instance_learns_that_the_client_speaks_tls() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    for alpn in [&["http/1.1"][..], &[]] {
        let mut client = connect(plane.gateway, &trusting(&[&made], alpn), "shop.test").await;
        let reply = talk(&mut client, &get("/head"), "x-forwarded-proto: https\n").await;
        assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
        assert!(reply.contains("host: shop.test\n"), "{reply}");
        // The connection is kept.
        talk(&mut client, &get("/x"), "users/1").await;
    }
}

#[tokio::test]
async fn a_client_that_speaks_plain_http_is_told_and_hurts_nobody() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let reply = raw(plane.gateway, get("/").as_bytes(), "never").await;
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    assert!(reply.ends_with("This port speaks TLS: use https:// instead of http://.\n"), "{reply}");
    let nonsense = raw(plane.gateway, &[0x16, 3, 1, 0, 5, 1, 2, 3, 4, 5], "never").await;
    assert!(!nonsense.contains("HTTP"), "{nonsense}");
    let mut client = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
    talk(&mut client, &get("/"), "users/1").await;
    assert_eq!(users.requests(), 1);
}

#[tokio::test]
async fn a_host_of_another_certificate_is_misdirected() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let (shop, bank) = (Made::new(&["shop.test"]), Made::new(&["bank.test"]));
    plane.handle.secure(&gateway(), tls(&[&shop, &bank]));
    let client = trusting(&[&shop, &bank], &["http/1.1"]);
    for host in ["bank.test", "BANK.test:443", "bank.test."] {
        let mut connection = connect(plane.gateway, &client, "shop.test").await;
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        soon(connection.write_all(request.as_bytes())).await.unwrap();
        let reply = rest(&mut connection).await;
        assert!(reply.starts_with("HTTP/1.1 421 "), "{host}: {reply}");
        assert!(reply.contains("\"code\":\"misdirected\""), "{host}: {reply}");
    }
    assert_eq!(users.requests(), 0);
    let mut connection = connect(plane.gateway, &client, "bank.test").await;
    let request = "GET / HTTP/1.1\r\nHost: bank.test:8443\r\n\r\n";
    talk(&mut connection, request, "users/1").await;
}

#[tokio::test]
async fn requests_that_were_decrypted_together_are_all_answered() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let mut client = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
    // Together more than one record, and more than a buffer of the data plane.
    let padding = "x".repeat(1_000);
    let one = format!("GET / HTTP/1.1\r\nHost: shop.test\r\nX-Padding: {padding}\r\n\r\n");
    soon(client.write_all(one.repeat(40).as_bytes())).await.unwrap();
    let mut read = String::new();
    while read.matches("users/1").count() < 40 {
        let mut more = vec![0; 1 << 14];
        let count = soon(client.read(&mut more)).await.unwrap();
        assert!(count > 0, "it ended after {read}");
        read.push_str(std::str::from_utf8(&more[..count]).unwrap());
    }
    // Nothing waits behind them: the connection is as good as new.
    talk(&mut client, &get("/"), "users/1").await;
    assert_eq!(users.requests(), 41);
}

#[tokio::test]
async fn http2_must_be_agreed_on_in_the_handshake() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let mut client = connect(plane.gateway, &trusting(&[&made], &["http/1.1"]), "shop.test").await;
    soon(client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).await.unwrap();
    let reply = rest(&mut client).await;
    assert!(reply.starts_with("HTTP/1.1 505 "), "{reply}");
}

#[tokio::test]
async fn large_bodies_arrive_unchanged_both_ways() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let stream = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
    let (mut sender, _task) = http1(stream).await;
    let sent: Vec<u8> = (0..8 << 20).map(|at: usize| u8::try_from(at * 7 % 251).unwrap()).collect();
    let request = Request::builder().method(Method::POST).uri("/echo").header("host", "shop.test");
    let response = sender.send_request(request.body(full(sent.clone())).unwrap());
    let response = soon(response).await.unwrap();
    let back: Bytes = soon(response.into_body().collect()).await.unwrap().to_bytes();
    assert!(back == sent, "{} bytes came back", back.len());
}

#[tokio::test]
async fn a_websocket_works_over_tls() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    let mut client = connect(plane.gateway, &trusting(&[&made], &[]), "shop.test").await;
    let request = "GET /upgrade HTTP/1.1\r\nHost: shop.test\r\nConnection: upgrade\r\n\
                   Upgrade: websocket\r\n\r\n";
    let head = talk(&mut client, request, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for message in ["first", "second"] {
        assert_eq!(talk(&mut client, message, message).await, message);
    }
    // Its end goes through, and comes back as one.
    soon(client.shutdown()).await.unwrap();
    assert_eq!(rest(&mut client).await, "");
}

/// Asks with curl; `None` when there is none that can.
async fn curl(plane: &Plane, made: &Made, options: &'static [&'static str]) -> Option<String> {
    let version = std::process::Command::new("curl").arg("--version").output().ok()?;
    if !String::from_utf8_lossy(&version.stdout).contains("HTTP2") {
        return None;
    }
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/curl-trusts.pem");
    std::fs::write(file, &made.certificate).unwrap();
    let port = plane.gateway.port();
    let run = move || {
        std::process::Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "20", "--cacert", file])
            .args(["--resolve", &format!("shop.test:{port}:127.0.0.1")])
            .args(["--write-out", "%{http_version} %{http_code}"])
            .args(options)
            .arg(format!("https://shop.test:{port}/head"))
            .output()
            .unwrap()
    };
    let output = soon(runtime::blocking(run)).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn curl_trusts_the_certificate_and_speaks_either_protocol() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let made = secure(&plane);
    for (options, expected) in [
        (&["--http1.1"][..], "1.1 200"),
        (&["--http2"], "2 200"),
        (&["--http2", "--tls-max", "1.2"], "2 200"),
        (&["--http2", "--data", "a=b", "--header", "expect: 100-continue"], "2 200"),
    ] {
        let Some(said) = curl(&plane, &made, options).await else {
            println!("there is no curl that speaks HTTP/2 here");
            return;
        };
        assert!(said.ends_with(expected), "{options:?}: {said}");
        assert!(said.contains("x-forwarded-proto: https\n"), "{options:?}: {said}");
    }
}
