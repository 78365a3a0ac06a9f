use super::{Config, Credentials, Error, Tls};
use std::path::PathBuf;

fn config() -> Config {
    Config {
        servers: vec!["a:4222".to_owned(), "b:1".to_owned()],
        tls: None,
        credentials: None,
        prefix: "shop".to_owned(),
        replicas: 1,
    }
}

#[track_caller]
fn refused(config: &Config, expected: &str) {
    let error = config.check().expect_err("it is refused").to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn what_cannot_be_done_is_refused() {
    config().check().expect("it is right");
    refused(&Config { servers: Vec::new(), ..config() }, "names 0 servers");
    refused(&Config { prefix: String::new(), ..config() }, "1 to 54 letters");
    refused(&Config { prefix: "a.b".to_owned(), ..config() }, "`a.b`");
    refused(&Config { prefix: "x".repeat(55), ..config() }, "1 to 54 letters");
    refused(&Config { replicas: 0, ..config() }, "0 replicas");
    refused(&Config { replicas: 6, ..config() }, "6 replicas");
}

#[test]
fn a_missing_file_is_named() {
    let missing = PathBuf::from("/nowhere/ca.pem");
    let tls = Some(Tls { ca: Some(missing.clone()), identity: None });
    let error = Config { tls, ..config() }.check().expect_err("there is no such file");
    assert!(matches!(&error, Error::File { path, .. } if *path == missing), "{error}");
}

#[test]
fn a_file_without_a_certificate_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("there is room");
    let tls = Some(Tls { ca: Some(file.path().to_owned()), identity: None });
    let error = Config { tls, ..config() }.check().expect_err("it is empty");
    assert!(matches!(&error, Error::File { .. }), "{error}");
}

#[test]
fn credentials_are_not_shown() {
    let user = Credentials::User { user: "shop".to_owned(), password: "hidden".to_owned() };
    for credentials in [user, Credentials::Token("hidden".to_owned())] {
        let config =
            Config { credentials: Some(credentials), tls: Some(Tls::default()), ..config() };
        assert_eq!(config.place(), "natss://a:4222,b:1");
        assert!(!format!("{config:?}").contains("hidden"));
    }
}
