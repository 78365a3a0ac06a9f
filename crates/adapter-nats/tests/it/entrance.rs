//! Users, tokens, permissions and encryption.

use crate::cluster::{self, Cluster};
use adapter_nats::{Config, Credentials, Nats, Tls};
use ports::broker::{Broker, Error, NewMessage, TopicConfig, TopicName};
use std::{fs, path::PathBuf};

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn user(user: &str, password: &str) -> Option<Credentials> {
    Some(Credentials::User { user: user.to_owned(), password: password.to_owned() })
}

fn with(cluster: &Cluster, credentials: Option<Credentials>) -> Nats {
    Nats::connect(&Config { credentials, ..cluster.config() }).unwrap()
}

async fn gets_in(cluster: &Cluster, nats: &Nats) {
    cluster.ready(nats).await;
    nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap();
    nats.publish(&topic(), vec![NewMessage::new("m")]).await.unwrap();
}

async fn is_refused(what: &str, nats: &Nats) {
    let error = nats.ensure_topic(&topic(), TopicConfig::default()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{what}: {error:?}");
    let said = format!("{error:?} {error} {nats:?} {}", nats.place());
    assert!(said.to_lowercase().contains("authorization"), "{said}");
    assert!(!said.contains("s:e@c"), "{said}");
}

#[test]
fn a_user_gets_in_and_others_do_not() {
    let options = "authorization { user: shop, password: \"s:e@c/r%t\" }\n";
    cluster::with_options(1, options, |cluster| async move {
        gets_in(&cluster, &with(&cluster, user("shop", "s:e@c/r%t"))).await;
        is_refused("nobody", &with(&cluster, None)).await;
        is_refused("a wrong password", &with(&cluster, user("shop", "s:e@c"))).await;
        is_refused("a token", &with(&cluster, Some(Credentials::Token("s:e@c".to_owned())))).await;
    });
}

#[test]
fn a_token_is_enough() {
    cluster::with_options(1, "authorization { token: \"s:e@c/r%t\" }\n", |cluster| async move {
        let token = |text: &str| Some(Credentials::Token(text.to_owned()));
        gets_in(&cluster, &with(&cluster, token("s:e@c/r%t"))).await;
        is_refused("nobody", &with(&cluster, None)).await;
        is_refused("a wrong token", &with(&cluster, token("s:e@c"))).await;
    });
}

#[test]
fn what_a_user_may_not_do_is_refused() {
    let options = "authorization { users: [ { user: shop, password: word, permissions: { publish: { \
                   deny: [\"$JS.API.STREAM.DELETE.>\", \"suite.*.forbidden\"] } } } ] }\n";
    cluster::with_options(1, options, |cluster| async move {
        let nats = with(&cluster, user("shop", "word"));
        gets_in(&cluster, &nats).await;
        let error = nats.remove_topic(&topic()).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        let forbidden = TopicName::new("forbidden").unwrap();
        nats.ensure_topic(&forbidden, TopicConfig::default()).await.unwrap();
        let error = nats.publish(&forbidden, vec![NewMessage::new("m")]).await.unwrap_err();
        assert!(matches!(error, Error::Refused { .. }), "{error:?}");
        assert_eq!(nats.topic(&topic()).await.unwrap().messages, 1);
    });
}

/// A certificate and its key, vouching for itself.
fn identity(files: &std::path::Path, name: &str) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let file = |end: &str| files.join(format!("{name}.{end}"));
    fs::write(file("pem"), made.cert.pem()).unwrap();
    fs::write(file("key"), made.signing_key.serialize_pem()).unwrap();
    (file("pem"), file("key"))
}

#[test]
fn connections_are_encrypted_and_strangers_are_not_trusted() {
    let files = tempfile::tempdir().unwrap();
    let (cert, key) = identity(files.path(), "server");
    let (ours, our_key) = identity(files.path(), "ours");
    let (theirs, their_key) = identity(files.path(), "theirs");
    let options = format!(
        "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: true }}\n",
        cert.display(),
        key.display(),
        ours.display()
    );
    cluster::with_options(1, &options, |cluster| async move {
        let with = |ca: Option<&PathBuf>, identity: Option<(&PathBuf, &PathBuf)>| {
            let identity = identity.map(|(cert, key)| (cert.clone(), key.clone()));
            let tls = Some(Tls { ca: ca.cloned(), identity });
            Nats::connect(&Config { tls, ..cluster.config() }).unwrap()
        };
        let nats = with(Some(&cert), Some((&ours, &our_key)));
        gets_in(&cluster, &nats).await;
        assert!(nats.place().starts_with("natss://"));
        for (what, nats) in [
            ("nobody vouches for the server", with(None, Some((&ours, &our_key)))),
            ("another one vouches for it", with(Some(&theirs), Some((&ours, &our_key)))),
            ("the server does not know us", with(Some(&cert), Some((&theirs, &their_key)))),
            ("the server wants to know us", with(Some(&cert), None)),
        ] {
            let error = nats.publish(&topic(), vec![NewMessage::new("m")]).await.unwrap_err();
            assert!(matches!(error, Error::Unavailable { .. }), "{what}: {error:?}");
        }
        let error = with(Some(&theirs), None).topics().await.unwrap_err();
        assert!(format!("{error:?}").contains("ertificate"), "{error:?}");
        assert_eq!(nats.topic(&topic()).await.unwrap().messages, 1);
    });
}
