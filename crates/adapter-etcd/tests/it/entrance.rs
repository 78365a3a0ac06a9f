//! Users, permissions and encryption.

use crate::cluster::{self, Cluster};
use adapter_etcd::{Config, Error as ConfigError, Etcd};
use base64::{Engine, prelude::BASE64_STANDARD};
use ports::kv::{Error, Kv, Range, Transaction};
use serde_json::{Value, json};
use std::{fs, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// One call of etcd's own JSON interface, which serves administration.
async fn call(cluster: &Cluster, token: &str, path: &str, body: &Value) -> Value {
    let address = cluster.address(0);
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let body = body.to_string();
    let token = match token {
        "" => String::new(),
        token => format!("Authorization: {token}\r\n"),
    };
    let request = format!(
        "POST /v3/auth/{path} HTTP/1.1\r\nHost: {address}\r\n{token}\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    // It comes in chunks, of which there is one.
    let (begin, end) = (answer.find('{').unwrap(), answer.rfind('}').unwrap());
    serde_json::from_str(answer.get(begin..=end).unwrap())
        .unwrap_or_else(|error| panic!("{path}: {error}: {answer}"))
}

async fn administer(cluster: &Cluster) {
    let range = |text: &str| BASE64_STANDARD.encode(text);
    for (path, body) in [
        ("user/add", json!({ "name": "root", "password": "all" })),
        ("role/add", json!({ "name": "root" })),
        ("user/grant", json!({ "user": "root", "role": "root" })),
        ("user/add", json!({ "name": "shop", "password": "s:e@c/r%t" })),
        ("role/add", json!({ "name": "keeper" })),
        ("role/add", json!({ "name": "guest" })),
        (
            "role/grant",
            json!({ "name": "keeper", "perm": {
            "permType": "READWRITE", "key": range("shop/"), "range_end": range("shop0"),
        } }),
        ),
        ("user/grant", json!({ "user": "shop", "role": "keeper" })),
        ("enable", json!({})),
    ] {
        call(cluster, "", path, &body).await;
    }
}

fn engine(cluster: &Cluster, user: &str, path: &str) -> Etcd {
    Etcd::new(&Config::parse(&cluster.url(user, path)).unwrap()).unwrap()
}

#[test]
fn a_user_gets_in_and_no_further_than_allowed() {
    cluster::with(1, |mut cluster| async move {
        let early = engine(&cluster, "shop:s%3ae%40c%2fr%25t@", "/shop");
        // Nobody is asked for a password yet: one that is given does no harm.
        cluster.ready(&early).await;
        early.commit(Transaction::put("a", "0")).await.unwrap();
        administer(&cluster).await;

        let kv = engine(&cluster, "shop:s%3ae%40c%2fr%25t@", "/shop");
        kv.commit(Transaction::put("a", "1")).await.unwrap();
        assert_eq!(early.get(b"a").await.unwrap().unwrap().version, 2);
        assert_eq!(kv.range(&Range::all(), 10).await.unwrap().entries.len(), 1);
        kv.status().await.unwrap();
        let mut watch = kv.watch(Range::all(), None).await.unwrap();

        let refused = |what: &str, error: Option<Error>| {
            assert!(matches!(error, Some(Error::Refused { .. })), "{what}: {error:?}");
        };
        let nobody = engine(&cluster, "", "/shop");
        refused("no user", nobody.get(b"a").await.err());
        refused("no user", nobody.commit(Transaction::put("a", "x")).await.err());
        let wrong = engine(&cluster, "shop:wrong@", "/shop");
        refused("a wrong password", wrong.get(b"a").await.err());
        refused("a wrong password", wrong.commit(Transaction::put("a", "x")).await.err());
        let outside = engine(&cluster, "shop:s%3ae%40c%2fr%25t@", "/other");
        refused("another prefix", outside.get(b"a").await.err());
        refused("another prefix", outside.range(&Range::all(), 1).await.err());
        refused("another prefix", outside.commit(Transaction::put("a", "x")).await.err());
        let watching = match outside.watch(Range::all(), None).await {
            Ok(mut watch) => watch.next().await.err(),
            Err(error) => Some(error),
        };
        refused("another prefix", watching);

        // etcd forgets a user's tokens when something about it changes, and all tokens when it ends.
        let root = json!({ "name": "root", "password": "all" });
        let token = call(&cluster, "", "authenticate", &root).await;
        let token = token["token"].as_str().unwrap();
        let more = json!({ "user": "shop", "role": "guest" });
        call(&cluster, token, "user/grant", &more).await;
        kv.commit(Transaction::put("a", "2")).await.unwrap();
        cluster.kill(0);
        cluster.revive(0);
        cluster.ready(&kv).await;
        kv.commit(Transaction::put("a", "3")).await.unwrap();
        let values = [watch.next().await.unwrap(), watch.next().await.unwrap()].map(|change| {
            let ports::kv::Event::Put(entry) = &change.events[0] else { panic!("{change:?}") };
            entry.value.clone()
        });
        assert_eq!(values, ["2", "3"].map(bytes::Bytes::from));
    });
}

#[test]
fn connections_are_encrypted_and_strangers_are_not_trusted() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name).display().to_string();
    for name in ["ours", "theirs"] {
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        fs::write(file(&format!("{name}.pem")), made.cert.pem()).unwrap();
        fs::write(file(&format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    let (cert, key) = (file("ours.pem"), file("ours.key"));
    let (cert, key, file) = (&cert, &key, &file);
    let options = ["--cert-file", cert, "--key-file", key];
    cluster::with_options(1, &options, "https", |cluster| async move {
        let kv = engine(&cluster, "", &format!("/shop?ca={cert}"));
        cluster.ready(&kv).await;
        kv.commit(Transaction::put("a", "1")).await.unwrap();
        assert_eq!(kv.get(b"a").await.unwrap().unwrap().version, 1);

        for strange in [format!("?ca={}", file("theirs.pem")), String::new()] {
            let kv = engine(&cluster, "", &strange);
            let error = kv.commit(Transaction::put("a", "2")).await.unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            assert!(format!("{error:?}").contains("ertificate"), "{error:?}");
        }
        let plain = Config::parse(&format!("etcd://{}/shop", cluster.address(0))).unwrap();
        let error = Etcd::new(&plain).unwrap().get(b"a").await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        assert_eq!(kv.get(b"a").await.unwrap().unwrap().version, 1);

        let missing = cluster.dir().join("missing.pem");
        let config = Config::parse(&cluster.url("", &format!("?ca={}", missing.display())));
        let error = Etcd::new(&config.unwrap()).unwrap_err();
        assert!(matches!(&error, ConfigError::File { path, .. } if *path == missing), "{error:?}");
        let config = Config::parse(&cluster.url("", &format!("?ca={key}"))).unwrap();
        match Etcd::new(&config) {
            Err(error) => assert!(matches!(error, ConfigError::Encryption { .. }), "{error:?}"),
            // A file without certificates: nobody is trusted.
            Ok(kv) => {
                let error = kv.get(b"a").await.unwrap_err();
                assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
            }
        }
    });
}

/// Signed tokens outlive etcd, but carry the state of the permissions at which they were made.
#[test]
fn a_watch_whose_token_is_too_old_for_etcd_goes_on_with_another() {
    let key = tempfile::NamedTempFile::new().unwrap();
    fs::write(key.path(), "a key of thirty-two bytes, or so").unwrap();
    let tokens = format!("jwt,sign-method=HS256,priv-key={},ttl=10m", key.path().display());
    cluster::with_options(1, &["--auth-token", &tokens], "http", |mut cluster| async move {
        let user = "shop:s%3ae%40c%2fr%25t@";
        cluster.ready(&engine(&cluster, "", "/shop")).await;
        administer(&cluster).await;
        let kv = engine(&cluster, user, "/shop");
        let mut watch = kv.watch(Range::all(), None).await.unwrap();
        let root = json!({ "name": "root", "password": "all" });
        let token = call(&cluster, "", "authenticate", &root).await;
        let more = json!({ "user": "shop", "role": "guest" });
        call(&cluster, token["token"].as_str().unwrap(), "user/grant", &more).await;
        cluster.kill(0);
        cluster.revive(0);
        // Another engine, so that nothing but the watch finds out about the token.
        let other = engine(&cluster, user, "/shop");
        cluster.ready(&other).await;
        other.commit(Transaction::put("a", "1")).await.unwrap();
        let change = tokio::time::timeout(Duration::from_secs(60), watch.next()).await;
        assert_eq!(change.expect("it goes on").unwrap().events[0].key(), "a");
    });
}
