//! Secrets as services see them, and as whoever looks into the engine does.

use super::{Secret, Secrets, reveal_from};
use crate::{
    Error, Format, KeyError, SecretSource, SecretStore, Stores,
    testing::{Engine, Node, until},
};
use base::ErrorChain;
use ports::kv::{Kv as _, Range, Transaction};
use std::{fs, path::Path, sync::Arc};

const STORE: &str = "secretstore";

async fn get(secrets: &Secrets, name: &str) -> String {
    match secrets.get(STORE, name).await {
        Ok(answer) => {
            let values =
                answer.values.iter().map(|(key, value)| format!("{key}={}", value.expose()));
            values.collect::<Vec<_>>().join(" ")
        }
        Err(error) => ErrorChain(&error).to_string(),
    }
}

async fn set(secrets: &Secrets, name: &str, value: &str) {
    secrets.set(STORE, name, Secret::new(value)).await.unwrap();
}

/// Everything that the engine has.
async fn raw(engine: &Engine) -> Vec<Vec<u8>> {
    let page = engine.memory.range(&Range::all(), 1_000).await.unwrap();
    page.entries.iter().flat_map(|entry| [entry.key.to_vec(), entry.value.to_vec()]).collect()
}

fn values(label: &str, pairs: &[(&str, &str)]) -> SecretSource {
    let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value)));
    SecretSource::Values { label: label.to_owned(), values: pairs.collect() }
}

fn file(path: &Path) -> SecretSource {
    SecretSource::File { path: path.to_owned(), format: Format::of(path) }
}

fn stores(sources: Vec<SecretSource>) -> Stores {
    let store = SecretStore { name: STORE.to_owned(), sources };
    Stores { secrets: vec![store], ..Stores::usual() }
}

fn kv() -> SecretSource {
    SecretSource::Kv { namespace: STORE.to_owned() }
}

#[tokio::test]
async fn a_stored_secret_reads_back_and_is_nowhere_in_the_engine() {
    let node = Node::start();
    let secrets = node.handle.secrets();
    set(&secrets, "db", "hunter2-hunter2").await;
    set(&secrets, "db", "hunter3-hunter3").await;
    set(&secrets, "empty", "").await;
    assert_eq!(get(&secrets, "db").await, "db=hunter3-hunter3");
    assert_eq!(get(&secrets, "empty").await, "empty=");
    for bytes in raw(&node.engine).await {
        assert!(!bytes.windows(6).any(|window| window == b"hunter"));
    }
    let names = secrets.names(STORE).await.unwrap();
    let names: Vec<_> =
        names.iter().map(|info| (info.name.as_str(), info.source.as_str())).collect();
    assert_eq!(names, [("db", "kv"), ("empty", "kv")]);
    assert!(secrets.delete(STORE, "db").await.unwrap());
    assert!(!secrets.delete(STORE, "db").await.unwrap());
    let message = "there is no secret `db`: `secretstore` looks in kv";
    assert_eq!(get(&secrets, "db").await, message);
}

#[tokio::test]
async fn another_node_with_the_same_key_reads_it_and_one_without_is_told_why_not() {
    let node = Node::start();
    let same = node.beside("two");
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let other = Node::on(node.engine.clone(), folder, "three", Stores::usual());
    set(&node.handle.secrets(), "db", "hunter2").await;
    until("the other node has it", || async {
        get(&same.handle.secrets(), "db").await == "db=hunter2"
    })
    .await;
    let secrets = other.handle.secrets();
    until("it is known", || async { !get(&secrets, "db").await.contains("no secret") }).await;
    let message = get(&secrets, "db").await;
    assert!(
        message.contains("`db` is sealed with key ") && message.contains("copy the file"),
        "{message}"
    );
    // It does not begin to seal with a key that the others lack, either.
    let refused = secrets.set(STORE, "other", Secret::new("x")).await.unwrap_err();
    assert!(matches!(&refused, Error::Key(error) if matches!(**error, KeyError::Unknown { .. })));
    assert!(!other.folder.path().join("secrets.key").exists());
    // All else goes on: the bad one is left out of all of them.
    assert!(secrets.all(STORE).await.unwrap().is_empty());
    assert_eq!(secrets.names(STORE).await.unwrap().len(), 1);
    // With a copy of the file everything is well.
    let [from, to] = [&node, &other].map(|node| node.folder.path().join("secrets.key"));
    fs::copy(from, to).unwrap();
    until("the file is read", || async { get(&secrets, "db").await == "db=hunter2" }).await;
    set(&secrets, "other", "x").await;
}

#[tokio::test]
async fn what_was_moved_or_changed_in_the_engine_does_not_open() {
    let node = Node::start();
    let secrets = node.handle.secrets();
    set(&secrets, "admin", "hunter2").await;
    let [from, to] = ["admin", "guest"].map(|name| format!("flotilla/shop/secret/{STORE}/{name}"));
    let entry = node.engine.get(from.as_bytes()).await.unwrap().unwrap();
    node.engine.commit(Transaction::put(to, entry.value)).await.unwrap();
    until("it is seen", || async { !get(&secrets, "guest").await.contains("no secret") }).await;
    let message = get(&secrets, "guest").await;
    assert!(message.contains("what is stored was changed or moved"), "{message}");
    let bad = format!("flotilla/shop/secret/{STORE}/bad");
    node.engine.commit(Transaction::put(bad, "plain")).await.unwrap();
    until("it is seen", || async { !get(&secrets, "bad").await.contains("no secret") }).await;
    assert!(get(&secrets, "bad").await.contains("the secret `bad` cannot be read"));
    assert_eq!(get(&secrets, "admin").await, "admin=hunter2");
}

#[tokio::test]
async fn a_rotation_seals_everything_anew_and_forgets_the_old_key() {
    let node = Node::start();
    let secrets = node.handle.secrets();
    for n in 0..10 {
        set(&secrets, &format!("s{n}"), &format!("value-{n}")).await;
    }
    let path = node.folder.path().join("secrets.key");
    let (before, key_before) = (raw(&node.engine).await, fs::read_to_string(&path).unwrap());
    let changed = secrets.names(STORE).await.unwrap();
    let rotated = secrets.rotate().await.unwrap();
    assert_eq!(rotated.secrets, 10);
    let key = fs::read_to_string(&path).unwrap();
    assert!(key.contains(&rotated.key) && key.lines().count() == key_before.lines().count());
    assert_ne!(key, key_before);
    for value in raw(&node.engine).await.iter().skip(1).step_by(2) {
        assert!(!before.contains(value), "a record is the old one");
    }
    for n in 0..10 {
        assert_eq!(get(&secrets, &format!("s{n}")).await, format!("s{n}=value-{n}"));
    }
    assert_eq!(secrets.names(STORE).await.unwrap(), changed, "it is no change of the secrets");
    // A node that starts with the new file reads all; the old file opens nothing any more.
    let again = node.beside("two");
    assert_eq!(get(&again.handle.secrets(), "s3").await, "s3=value-3");
}

#[tokio::test]
async fn a_rotation_that_broke_off_is_completed_by_the_next() {
    let node = Node::start();
    let secrets = node.handle.secrets();
    for n in 0..5 {
        set(&secrets, &format!("s{n}"), &format!("value-{n}")).await;
    }
    // Two of five are sealed anew when the engine goes away.
    let engine = node.engine.clone();
    let writes = Arc::clone(&engine.writes);
    engine.calls();
    let outage = async {
        until("some are sealed anew", || async {
            writes.load(std::sync::atomic::Ordering::SeqCst) >= 2
        })
        .await;
    };
    let mut rotation = Box::pin(secrets.rotate());
    tokio::select! {
        biased;
        () = outage => {}
        _ = &mut rotation => {}
    }
    drop(rotation);
    for n in 0..5 {
        assert_eq!(get(&secrets, &format!("s{n}")).await, format!("s{n}=value-{n}"));
    }
    secrets.rotate().await.unwrap();
    let text = fs::read_to_string(node.folder.path().join("secrets.key")).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with('1')).count(), 1);
    let again = node.beside("two");
    for n in 0..5 {
        assert_eq!(get(&again.handle.secrets(), &format!("s{n}")).await, format!("s{n}=value-{n}"));
    }
}

#[tokio::test]
async fn the_first_source_that_has_a_name_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.json");
    fs::write(&path, r#"{"db": {"password": "from-file"}, "both": "from-file"}"#).unwrap();
    let environment = [("both", "from-env"), ("env", "from-env")];
    let sources = vec![kv(), file(&path), values("environment", &environment)];
    let node = Node::with(stores(sources));
    let secrets = node.handle.secrets();
    assert_eq!(get(&secrets, "both").await, "both=from-file");
    assert_eq!(get(&secrets, "env").await, "env=from-env");
    assert_eq!(get(&secrets, "db:password").await, "db:password=from-file");
    set(&secrets, "both", "from-kv").await;
    assert_eq!(get(&secrets, "both").await, "both=from-kv");
    secrets.delete(STORE, "both").await.unwrap();
    assert_eq!(get(&secrets, "both").await, "both=from-file");
    let message = get(&secrets, "none").await;
    assert!(
        message.contains("`secretstore` looks in kv, ")
            && message.ends_with("secrets.json, environment")
    );
    let sources: Vec<_> = secrets.names(STORE).await.unwrap();
    let sources: Vec<_> =
        sources.iter().map(|info| info.source.rsplit('/').next().unwrap()).collect();
    assert_eq!(sources, ["secrets.json", "secrets.json", "environment"]);
}

#[tokio::test]
async fn a_file_is_read_anew_when_it_changes_and_kept_when_it_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.env");
    fs::write(&path, "A=value-1").unwrap();
    let node = Node::with(stores(vec![file(&path)]));
    let (secrets, redactor) = (node.handle.secrets(), node.handle.secrets().redactor());
    assert_eq!(get(&secrets, "A").await, "A=value-1");
    assert_eq!(redactor.redact("a value-1"), "a ***");
    fs::write(&path, "A=value-22").unwrap();
    until("it is read", || async { get(&secrets, "A").await == "A=value-22" }).await;
    assert_eq!(redactor.redact("value-1 value-22"), "value-1 ***");
    fs::write(&path, "not a line").unwrap();
    let error = node.handle.apply(stores(vec![file(&folder.path().join("none"))])).unwrap_err();
    assert!(ErrorChain(&error).to_string().contains("cannot read `"), "{error}");
    assert_eq!(get(&secrets, "A").await, "A=value-22");
    let refused = secrets.set(STORE, "A", Secret::new("x")).await.unwrap_err();
    assert!(matches!(refused, Error::Unsupported(_)), "{refused}");
}

#[tokio::test]
async fn placeholders_are_revealed_from_the_first_store() {
    let mut all = stores(vec![kv(), values("environment", &[("HOST", "db.example")])]);
    all.secrets
        .push(SecretStore { name: "second".to_owned(), sources: vec![values("x", &[("X", "1")])] });
    let node = Node::with(all);
    let secrets = node.handle.secrets();
    set(&secrets, "team/password", "hunter2").await;
    let text = "postgres://u:${secret:team/password}@${secret:HOST}/db";
    assert_eq!(secrets.reveal(text).await.unwrap().expose(), "postgres://u:hunter2@db.example/db");
    assert_eq!(secrets.reveal("plain").await.unwrap().expose(), "plain");
    let error = secrets.reveal("${secret:X}").await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
}

#[test]
fn what_is_needed_before_the_engine_comes_from_files_and_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.json");
    fs::write(&path, r#"{"etcd": {"user": "root", "password": "hunter2"}}"#).unwrap();
    let format = Format::JsonNested { separator: ":".to_owned() };
    let sources = [kv(), SecretSource::File { path, format }, values("environment", &[("A", "1")])];
    let reveal = |text: &str| match reveal_from(&sources, text) {
        Ok(secret) => secret.expose().to_owned(),
        Err(error) => error.to_string(),
    };
    assert_eq!(reveal("${secret:etcd/user}:${secret:etcd/password}${secret:A}"), "root:hunter21");
    assert_eq!(
        reveal("${secret:etcd}"),
        "`etcd` has several values: write `etcd/KEY`, KEY of password, user"
    );
    assert!(reveal("${secret:none}").starts_with("there is no secret `none`"));
}

#[tokio::test]
async fn what_is_stored_is_redacted_as_soon_as_it_is_read_and_never_printed() {
    let node = Node::start();
    let secrets = node.handle.secrets();
    set(&secrets, "db", "hunter2-and-more").await;
    let answer = secrets.get(STORE, "db").await.unwrap();
    assert_eq!(secrets.redact("password=hunter2-and-more;"), "password=***;");
    for printed in [
        format!("{answer:?}"),
        format!("{secrets:?}"),
        format!("{:?}", node.handle),
        format!("{:?}", secrets.redactor()),
        format!("{:?}", secrets.all(STORE).await.unwrap()),
    ] {
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_go_on_when_the_engine_is_away_and_say_so() {
    let node = Node::with(stores(vec![kv(), values("environment", &[("HOST", "db")])]));
    let secrets = node.handle.secrets();
    set(&secrets, "db", "hunter2").await;
    assert!(!secrets.get(STORE, "db").await.unwrap().stale);
    node.engine.memory.set_down(true);
    until("it is known", || async { secrets.get(STORE, "db").await.unwrap().stale }).await;
    assert_eq!(get(&secrets, "db").await, "db=hunter2");
    assert!(secrets.set(STORE, "db", Secret::new("x")).await.unwrap_err().is_outage());
    // A node that starts meanwhile has what does not come from the engine.
    let folder = Arc::clone(&node.folder);
    let all = stores(vec![kv(), values("environment", &[("HOST", "db")])]);
    let late = Node::on(node.engine.clone(), folder, "two", all);
    let late_secrets = late.handle.secrets();
    let answer = late_secrets.get(STORE, "HOST").await.unwrap();
    assert!(answer.stale, "a stored one may be meant");
    let error = late_secrets.get(STORE, "db").await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error}");
    node.engine.memory.set_down(false);
    until("it is back", || async { get(&late_secrets, "db").await == "db=hunter2" }).await;
}

#[tokio::test(start_paused = true)]
async fn bad_names_and_values_are_refused() {
    let node = Node::start();
    let secrets = node.handle.secrets();
    let set = async |name: &str, length: usize| {
        let set = secrets.set(STORE, name, Secret::new("x".repeat(length))).await;
        set.map_or_else(|error| error.to_string(), |()| String::new())
    };
    assert!(set("", 1).await.starts_with("the name of a secret must not be empty"));
    assert!(set("a}b", 1).await.starts_with("the name of a secret must not be empty"));
    assert_eq!(set("a", 65_537).await, "65537 bytes in the secret, 65536 are allowed");
    assert_eq!(set("a", 65_536).await, "");
    assert!(set(&"n".repeat(1_025), 1).await.starts_with("1025 bytes in the name of a secret"));
    let error = secrets.get("vault", "a").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no secret store `vault`; there are: secretstore");
}

#[tokio::test]
async fn a_key_file_that_others_may_read_stops_only_what_needs_it() {
    use std::os::unix::fs::PermissionsExt as _;
    let node = Node::with(stores(vec![kv(), values("environment", &[("HOST", "db")])]));
    let secrets = node.handle.secrets();
    set(&secrets, "db", "hunter2").await;
    let path = node.folder.path().join("secrets.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap() + "# touched\n").unwrap();
    until("it is seen", || async { get(&secrets, "db").await.contains("chmod 600") }).await;
    assert_eq!(get(&secrets, "HOST").await, "HOST=db");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, fs::read_to_string(&path).unwrap() + "# again\n").unwrap();
    until("it is well", || async { get(&secrets, "db").await == "db=hunter2" }).await;
}

#[tokio::test]
async fn what_may_be_no_secret_is_redacted_from_when_it_is_asked_for() {
    let pairs = [("HOME", "/home/ann"), ("TOKEN", "token-1"), ("OTHER", "token-2")];
    let SecretSource::Values { label, values } = values("environment", &pairs) else { return };
    let node = Node::with(stores(vec![SecretSource::Ambient { label, values }]));
    let secrets = node.handle.secrets();
    let line = "/home/ann/x token-1 token-2";
    assert_eq!(secrets.all(STORE).await.unwrap().len(), 3);
    assert_eq!(secrets.redact(line), line);
    assert_eq!(get(&secrets, "TOKEN").await, "TOKEN=token-1");
    assert_eq!(secrets.redact(line), "/home/ann/x *** token-2");
    secrets.reveal("${secret:OTHER}").await.unwrap();
    assert_eq!(secrets.redact(line), "/home/ann/x *** ***");
}
