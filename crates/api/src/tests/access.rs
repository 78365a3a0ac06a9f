//! Who gets in: token, cookie, host, origin, and the socket's file permissions.

use super::*;
use crate::client;
use std::os::unix::fs::PermissionsExt;

#[tokio::test]
async fn the_port_answers_only_with_the_token() {
    let setup = setup().await;
    let get = |headers: Vec<String>| {
        let address = setup.address;
        async move {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            raw(address, "GET /v1/health", &headers, "").await
        }
    };
    let none = get(vec![HOST.into()]).await;
    assert_eq!((none.status, none.code().as_str()), (401, "unauthorized"));
    assert!(none.header("www-authenticate").unwrap().starts_with("Bearer"));
    assert!(none.body.contains("flotilla open"));
    for wrong in ["Bearer x", "Bearer ", "Basic abc", "Bearer 0123456789abcdef0123456789abcdeF"] {
        let refused = get(vec![HOST.into(), format!("Authorization: {wrong}")]).await;
        assert_eq!(refused.status, 401, "{wrong}");
    }
    assert_eq!(get(vec![HOST.into(), bearer()]).await.status, 200);
    assert_eq!(get(vec![HOST.into(), format!("authorization: bearer {TOKEN}")]).await.status, 200);
    let client = Client::tcp(setup.address, TOKEN);
    assert_eq!(client.health().await.unwrap().status, "ok");
    let refused = Client::tcp(setup.address, "wrong").health().await.unwrap_err();
    assert!(matches!(refused, client::Error::Api { status: 401, .. }), "{refused:?}");
    // Nothing is said to those outside, not even what exists.
    assert_eq!(raw(setup.address, "GET /nothing", &[HOST], "").await.status, 401);
    assert_eq!(raw(setup.address, "GET /", &[HOST], "").await.status, 401);
}

#[tokio::test]
async fn the_address_with_the_token_sets_a_cookie_once() {
    let setup = setup().await;
    let login = setup.service.handle().login_url().unwrap();
    assert_eq!(login, format!("http://{}/?t={TOKEN}", setup.address));
    let answer = raw(setup.address, &format!("GET /?t={TOKEN}&x=1"), &[HOST], "").await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("location"), Some("/?x=1"));
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    assert!(pair.starts_with(&format!("flotilla_{}=", setup.address.port())));
    let cookie = format!("Cookie: other=1; {pair}");
    let page = raw(setup.address, "GET /", &[HOST, &cookie], "").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    assert!(page.body.contains("<title>Flotilla</title>"));
    let status = raw(setup.address, "GET /v1/status", &[HOST, &cookie], "").await;
    assert_eq!(status.status, 200);

    let wrong = raw(setup.address, "GET /?t=wrong", &[HOST, &cookie], "").await;
    assert_eq!(wrong.status, 401);
    // It cannot be used to send a browser elsewhere.
    let away = raw(setup.address, &format!("GET //evil.example/?t={TOKEN}"), &[HOST], "").await;
    assert_eq!(away.header("location"), Some("/evil.example/"));
}

#[tokio::test]
async fn another_page_cannot_act_with_the_cookie() {
    let setup = setup().await;
    let host = format!("Host: localhost:{}", setup.address.port());
    let cookie = format!("Cookie: flotilla_{}={TOKEN}", setup.address.port());
    let own = format!("Origin: http://localhost:{}", setup.address.port());
    let post = async |more: &[&str]| {
        let mut headers = vec![host.as_str(), cookie.as_str()];
        headers.extend(more);
        raw(setup.address, "POST /v1/restart", &headers, "").await.status
    };
    assert_eq!(post(&[]).await, 403);
    assert_eq!(post(&["Origin: http://localhost:3000"]).await, 403);
    assert_eq!(post(&["Origin: null"]).await, 403);
    assert_eq!(post(&["Origin: http://localhost:3000", "x-flotilla: 1"]).await, 403);
    assert!(setup.fake.calls().is_empty());
    assert_eq!(post(&["x-flotilla: 1"]).await, 202);
    assert_eq!(post(&[&own]).await, 202);
    // A bearer token is not sent by a browser on its own.
    let bearer = bearer();
    let foreign = ["Origin: http://localhost:3000", HOST, &bearer];
    assert_eq!(raw(setup.address, "POST /v1/restart", &foreign, "").await.status, 202);
    assert_eq!(setup.fake.calls().len(), 3);
}

#[tokio::test]
async fn a_foreign_name_in_host_is_refused() {
    let setup = setup_with(Config { hosts: vec!["Dev.Example".into()], ..Config::default() }).await;
    let bearer = bearer();
    for (host, status) in [
        ("Host: localhost:8081", 200),
        ("Host: LOCALHOST", 200),
        ("Host: 127.0.0.1:1", 200),
        ("Host: [::1]:8081", 200),
        ("Host: dev.example:8081", 200),
        ("Host: evil.example", 403),
        ("Host: localhost.evil.example", 403),
        ("Host: 192.0.2.7", 403),
        ("Host: ", 403),
        ("X-None: 1", 400),
    ] {
        let answer = raw(setup.address, "GET /v1/health", &[host, &bearer], "").await;
        assert_eq!(answer.status, status, "{host}");
    }
    let two = raw(setup.address, "GET /v1/health", &[HOST, "Host: x", &bearer], "").await;
    assert_eq!(two.status, 400);
}

#[tokio::test]
async fn a_port_without_a_good_token_is_not_opened() {
    let folder = Folder::new();
    for token in ["", "short", "with space 0123456789abcdef", "0123456789abcdeü0123"] {
        let config = Config {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            token: token.into(),
            ..Config::default()
        };
        let result = Service::start(config, Fake::new(&folder)).await;
        assert!(matches!(result, Err(crate::Error::Token)), "{token}");
    }
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_goes_away_with_the_node() {
    let setup = setup().await;
    let socket = setup.client.path().unwrap().to_owned();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // A second node does not take it.
    let config = Config { socket: Some(socket.clone()), ..Config::default() };
    let second = Service::start(config.clone(), setup.fake.clone()).await;
    assert!(matches!(second, Err(crate::Error::InUse(_))));
    assert!(setup.client.health().await.is_ok());
    within(setup.service.shutdown()).await;
    assert!(!socket.exists());
    let gone = setup.client.health().await.unwrap_err();
    assert!(matches!(gone, client::Error::NotRunning { .. }), "{gone:?}");

    // A socket that a killed node left is taken over.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let dead = setup.client.health().await.unwrap_err();
    assert!(matches!(dead, client::Error::NotRunning { .. }), "{dead:?}");
    let service = Service::start(config, setup.fake.clone()).await.unwrap();
    assert!(setup.client.health().await.is_ok());
    within(service.shutdown()).await;
}

#[tokio::test]
async fn a_socket_works_in_a_folder_deeper_than_a_socket_address_is_long() {
    let folder = Folder::new();
    let deep = folder.0.join("d".repeat(100)).join("e".repeat(100));
    std::fs::create_dir_all(&deep).unwrap();
    let socket = deep.join("flotilla.sock");
    let config = Config { socket: Some(socket.clone()), ..Config::default() };
    let service = Service::start(config, Fake::new(&folder)).await.unwrap();
    assert_eq!(Client::unix(&socket).health().await.unwrap().status, "ok");
    within(service.shutdown()).await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let setup = setup().await;
    let config = Config { listen: Some(setup.address), token: TOKEN.into(), ..Config::default() };
    let taken = Service::start(config, setup.fake.clone()).await.unwrap_err();
    let crate::Error::Listen { address, cause } = taken else { panic!("{taken:?}") };
    assert_eq!((address, cause.kind()), (setup.address, std::io::ErrorKind::AddrInUse));
}
