use super::{Client, State, Status, fetch::FetchError, watch, watch::Pace};
use base::{ErrorChain, Moment, Timestamp};
use logic::backoff::Backoff;
use policy::{
    Now,
    auth::{jwks::Keys, jwt},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use runtime::TaskSet;
use rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(20);

const QUICK: Pace = Pace {
    look: Duration::from_millis(5),
    refresh: Duration::from_secs(3_600),
    asked: Duration::from_millis(20),
    ask_look: Duration::from_millis(5),
    retry: Backoff { first: Duration::from_millis(5), max: Duration::from_millis(20) },
};

/// A set with these keys; what they are does not matter here.
fn set(ids: &[&str]) -> String {
    let point = "A".repeat(43);
    let key = |id: &&str| {
        format!(r#"{{"kty":"EC","crv":"P-256","kid":"{id}","x":"{point}","y":"{point}"}}"#)
    };
    format!(r#"{{"keys":[{}]}}"#, ids.iter().map(key).collect::<Vec<_>>().join(","))
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}").into_bytes()
}

fn good(ids: &[&str]) -> Vec<u8> {
    answer("200 OK", "content-type: application/json\r\n", &set(ids))
}

/// A server that gives one answer to every request until it is given another.
struct Provider {
    address: SocketAddr,
    answer: Arc<Mutex<Vec<u8>>>,
    heads: Arc<Mutex<Vec<String>>>,
    asked: Arc<AtomicUsize>,
    _tasks: TaskSet,
}

impl Provider {
    async fn start(answer: Vec<u8>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, heads) = (Arc::new(Mutex::new(answer)), Arc::<Mutex<Vec<String>>>::default());
        let asked = Arc::<AtomicUsize>::default();
        let mut tasks = TaskSet::new("issuer");
        let (said, seen, count) = (Arc::clone(&answer), Arc::clone(&heads), Arc::clone(&asked));
        tasks.spawn("issuer", |_stop| async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = said.lock().unwrap().clone();
                count.fetch_add(1, SeqCst);
                let head = match &tls {
                    None => serve(stream, &answer).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => serve(stream, &answer).await,
                        Err(_) => continue,
                    },
                };
                seen.lock().unwrap().push(head);
            }
        });
        Self { address, answer, heads, asked, _tasks: tasks }
    }

    fn says(&self, answer: Vec<u8>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn url(&self, scheme: &str, path: &str) -> String {
        format!("{scheme}://{}{path}", self.address)
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    drop(stream.write_all(answer).await);
    drop(stream.shutdown().await);
    String::from_utf8(head).unwrap()
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "not in time: {what}");
}

async fn fetched(answer: Vec<u8>) -> Result<usize, String> {
    let issuer = Provider::start(answer, None).await;
    let set = Client::default().keys(&issuer.url("http", "/jwks.json")).await;
    set.map(|set| set.keys().len()).map_err(|error| {
        ErrorChain(&error).to_string().replace(&issuer.address.to_string(), "ISSUER")
    })
}

#[tokio::test]
async fn a_key_set_is_asked_for_with_one_plain_request() {
    let issuer = Provider::start(good(&["a", "b"]), None).await;
    let set = Client::default().keys(&issuer.url("http", "/keys?of=shop")).await.unwrap();
    assert_eq!(set.keys().len(), 2);
    until("the request was seen", || !issuer.heads.lock().unwrap().is_empty()).await;
    let head = issuer.heads.lock().unwrap()[0].clone();
    let host = issuer.address;
    assert!(head.starts_with("GET /keys?of=shop HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
    assert!(!head.to_lowercase().contains("authorization"), "{head}");
}

#[tokio::test]
async fn a_set_may_come_in_chunks() {
    let body = set(&["a"]);
    let (first, second) = body.split_at(10);
    let mut chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned();
    for part in [first, second, ""] {
        chunked.push_str(&format!("{:x}\r\n{part}\r\n", part.len()));
    }
    assert_eq!(fetched(chunked.into_bytes()).await, Ok(1));
}

#[tokio::test]
async fn what_is_no_key_set_is_refused_with_the_reason() {
    let redirect = answer("302 Found", "location: https://other.example/\r\n", "");
    for (answer, expected) in [
        (redirect, "answered 302 Found, and redirects are not followed"),
        (answer("500 Internal Server Error", "", &set(&["a"])), "answered 500"),
        (answer("200 OK", "", "<html>"), "the answer is no key set"),
        (answer("200 OK", "", r#"{"keys":[]}"#), "no usable key in the set"),
        (answer("200 OK", "", &"x".repeat(300_000)), "larger than 256 KiB"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n{".to_vec(), "broke off"),
        (b"SSH-2.0-OpenSSH\r\n".to_vec(), "no answer from"),
        (Vec::new(), "no answer from"),
    ] {
        let told = fetched(answer).await.unwrap_err();
        assert!(told.contains(expected), "{told} lacks {expected}");
    }
    let secret = r#"{"keys":[{"kty":"oct","k":"c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}]}"#;
    let told = fetched(answer("200 OK", "", secret)).await.unwrap_err();
    assert!(told.contains("a secret among public keys"), "{told}");
}

#[tokio::test]
async fn an_issuer_that_is_not_there_is_told_by_what_is_missing() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let client = Client::default();
    let refused = client.keys(&format!("http://{closed}/")).await.unwrap_err();
    assert!(matches!(refused, FetchError::Connect(..)), "{refused:?}");
    let nobody = client.keys("http://nobody.invalid/").await.unwrap_err();
    assert!(matches!(nobody, FetchError::Resolve(..)), "{nobody:?}");
    for bad in ["ftp://a/", "/jwks.json", "http:///x", "", "http://[::1/"] {
        let told = client.keys(bad).await.unwrap_err();
        assert!(matches!(told, FetchError::Url), "{bad}: {told:?}");
    }
}

/// An authority, and an acceptor for `name` with a certificate of it.
fn authority(name: &str) -> (RootCertStore, TlsAcceptor) {
    let (ca_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = ca.self_signed(&ca_key).unwrap();
    let issuer = Issuer::new(ca, ca_key);
    let leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &issuer).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (roots, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn over_tls_only_the_host_of_the_url_is_believed() {
    let (roots, acceptor) = authority("localhost");
    let issuer = Provider::start(good(&["a"]), Some(acceptor)).await;
    let port = issuer.address.port();
    let client = Client::trusting(roots);
    let set = client.keys(&format!("https://localhost:{port}/")).await.unwrap();
    assert_eq!(set.keys().len(), 1);
    let other = client.keys(&format!("https://127.0.0.1:{port}/")).await.unwrap_err();
    assert!(matches!(other, FetchError::Tls(..)), "{other:?}");
    let stranger = Client::trusting(authority("localhost").0);
    let told = stranger.keys(&format!("https://localhost:{port}/")).await.unwrap_err();
    assert!(matches!(told, FetchError::Tls(..)), "{told:?}");
}

struct Watched {
    keys: Keys,
    status: Status,
    _tasks: TaskSet,
}

impl Watched {
    fn url(url: String) -> Self {
        let (keys, status) = (Keys::new(), Status::default());
        let mut tasks = TaskSet::new("keys");
        let held = (keys.clone(), status.clone());
        let client = Client::default();
        tasks.spawn("url", |stop| watch::url(url, client, QUICK, held, stop));
        Self { keys, status, _tasks: tasks }
    }

    fn state(&self) -> State {
        self.status.get()
    }

    async fn until_trouble(&self, part: &str) {
        until(part, || self.state().trouble.is_some_and(|trouble| trouble.contains(part))).await;
    }

    async fn until_count(&self, count: usize) {
        let is_so = || self.state().count == count && self.state().trouble.is_none();
        until(&format!("{count} keys"), is_so).await;
    }

    /// Shows a token with an unknown key.
    fn shows_unknown_key(&self) {
        let jwt = jwt::Jwt::new(jwt::Config { keys: self.keys.clone(), ..jwt::Config::default() });
        // {"alg":"ES256","kid":"new"} . {"exp":9999999999} . 64 bytes
        let token = format!(
            "eyJhbGciOiJFUzI1NiIsImtpZCI6Im5ldyJ9.eyJleHAiOjk5OTk5OTk5OTl9.{}",
            "A".repeat(86)
        );
        let now = Now { moment: Moment::START, timestamp: Timestamp(0), random: 0 };
        assert!(jwt.verify(&token, now).is_err());
    }
}

#[tokio::test]
async fn an_issuer_that_comes_late_is_waited_for_and_one_that_breaks_takes_no_keys_away() {
    let issuer = Provider::start(answer("503 Service Unavailable", "", ""), None).await;
    let watched = Watched::url(issuer.url("http", "/"));
    watched.until_trouble("answered 503").await;
    assert!(!watched.keys.is_loaded());

    issuer.says(good(&["a", "b"]));
    watched.until_count(2).await;
    assert!(watched.keys.is_loaded());

    issuer.says(answer("200 OK", "", "no JSON"));
    until("a token asks", || {
        watched.shows_unknown_key();
        watched.state().trouble.is_some()
    })
    .await;
    watched.until_trouble("no key set").await;
    assert_eq!((watched.keys.is_loaded(), watched.state().count), (true, 2));

    issuer.says(good(&["c"]));
    watched.until_count(1).await;
}

#[tokio::test]
async fn keys_are_fetched_for_a_token_with_an_unknown_key_and_not_without_one() {
    let issuer = Provider::start(good(&["old"]), None).await;
    let watched = Watched::url(issuer.url("http", "/"));
    watched.until_count(1).await;
    issuer.says(good(&["old", "new"]));
    watched.shows_unknown_key();
    watched.until_count(2).await;
    assert_eq!(issuer.asked.load(SeqCst), 2);
}

#[tokio::test]
async fn a_file_is_read_anew_when_it_changes_and_half_of_it_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, set(&["a"])).unwrap();
    let (keys, status) = (Keys::new(), Status::default());
    let mut tasks = TaskSet::new("keys");
    let held = (keys.clone(), status.clone());
    let path = file.clone();
    tasks.spawn("file", |stop| watch::file(path, QUICK, held, stop));
    let watched = Watched { keys, status, _tasks: tasks };
    watched.until_count(1).await;
    std::fs::write(&file, set(&["a", "b", "c"]).split_at(20).0).unwrap();
    watched.until_trouble("").await;
    assert_eq!(watched.state().count, 1);
    std::fs::write(&file, set(&["a", "b", "c"])).unwrap();
    watched.until_count(3).await;
    std::fs::remove_file(&file).unwrap();
    watched.until_trouble("No such file").await;
    assert!(watched.keys.is_loaded());
}
