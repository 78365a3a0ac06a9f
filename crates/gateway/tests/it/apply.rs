//! A configuration is taken over whole or not at all.

use super::traffic::{Folder, LOOPBACK, start};
use manifest::{Options, System};
use rcgen::{CertificateParams, KeyPair};
use std::{fs, net::TcpListener};

/// Reads a file with this gateway, in a folder of its own.
fn system(folder: &Folder, gateway: &str) -> System {
    let file = folder.path().join("flotilla.yaml");
    fs::write(&file, format!("services: {{ users: {{ dir: /, run: x }} }}\ngateway:\n{gateway}"))
        .unwrap();
    let loaded = manifest::load(&file, &Options::default());
    loaded.unwrap_or_else(|problems| panic!("{}", problems[0].render(false))).system
}

/// A certificate and its key in the folder.
fn certify(folder: &Folder, name: &str) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(folder.path().join("site.pem"), certificate.pem()).unwrap();
    fs::write(folder.path().join("site.key"), key.serialize_pem()).unwrap();
}

/// A port that is free now.
fn free() -> u16 {
    TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap().port()
}

fn routes(handle: &gateway::Handle) -> Vec<String> {
    handle.stats().routes.iter().map(|route| format!("{:?}", route.rule.path)).collect()
}

fn listeners(handle: &gateway::Handle) -> Vec<(String, u16)> {
    let stats = handle.stats().data_plane.listeners;
    let mut all: Vec<_> =
        stats.iter().map(|it| (format!("{:?}", it.id), it.address.port())).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_changes_nothing() {
    let folder = Folder::new("apply-certificate");
    let (_data_plane, handle) = start(folder.path());
    let port = free();
    handle
        .apply(&system(&folder, &format!("  listen: {port}\n  routes: {{ /a: users }}\n")))
        .unwrap();
    let before = (routes(&handle), listeners(&handle));

    certify(&folder, "shop.example");
    fs::write(folder.path().join("site.key"), KeyPair::generate().unwrap().serialize_pem())
        .unwrap();
    let other = free();
    let bad = format!(
        "  listen: {other}\n  tls: {{ cert: site.pem, key: site.key }}\n  routes: {{ /b: users }}\n"
    );
    let error = handle.apply(&system(&folder, &bad)).unwrap_err();
    assert_eq!(error.code(), base::Code::CERTIFICATE);
    assert!(error.help().is_some());
    assert_eq!((routes(&handle), listeners(&handle)), before);
    assert_eq!(handle.certificates(), []);

    certify(&folder, "shop.example");
    handle.apply(&system(&folder, &bad)).unwrap();
    assert_eq!(routes(&handle), ["Prefix(\"/b\")"]);
    assert_eq!(handle.certificates()[0].names, ["shop.example"]);
    assert_eq!(listeners(&handle), [("gateway".to_owned(), other)]);
}

#[tokio::test]
async fn an_address_that_is_taken_leaves_both_listeners_and_the_routes_as_they_were() {
    let folder = Folder::new("apply-address");
    certify(&folder, "shop.example");
    let (_data_plane, handle) = start(folder.path());
    let [https, http, next_http] = [free(), free(), free()];
    let file = |https: u16, http: u16, path: &str| {
        let tls = "tls: { cert: site.pem, key: site.key }";
        let text = format!(
            "  listen: {https}\n  http_redirect: {http}\n  {tls}\n  routes: {{ {path}: users }}\n"
        );
        system(&folder, &text)
    };
    handle.apply(&file(https, http, "/a")).unwrap();
    let both = [("gateway".to_owned(), https), ("gateway-http".to_owned(), http)];
    assert_eq!(listeners(&handle), both);

    let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = handle.apply(&file(port, next_http, "/b")).unwrap_err();
    assert_eq!(error.taken(), taken.local_addr().ok());
    assert_eq!(
        (listeners(&handle), routes(&handle)),
        (both.to_vec(), vec!["Prefix(\"/a\")".to_owned()])
    );
    let error = handle.apply(&file(https, port, "/b")).unwrap_err();
    assert_eq!(error.taken(), taken.local_addr().ok());
    assert_eq!(
        (listeners(&handle), routes(&handle)),
        (both.to_vec(), vec!["Prefix(\"/a\")".to_owned()])
    );

    let plain = format!("  listen: {https}\n  routes: {{ /c: users }}\n");
    handle.apply(&system(&folder, &plain)).unwrap();
    assert_eq!(listeners(&handle), [("gateway".to_owned(), https)]);
    assert_eq!(handle.certificates(), []);
}

#[tokio::test]
async fn a_first_configuration_that_fails_leaves_nothing_behind() {
    let folder = Folder::new("apply-first");
    let (_data_plane, handle) = start(folder.path());
    let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let text = format!("  listen: {port}\n  routes: {{ /a: users }}\n");
    assert!(handle.apply(&system(&folder, &text)).is_err());
    assert_eq!((routes(&handle), listeners(&handle)), (vec![], vec![]));
    assert!(handle.registry().is_empty());
    drop(taken);
    handle.apply(&system(&folder, &text)).unwrap();
    assert_eq!(routes(&handle), ["Prefix(\"/a\")"]);
}

#[tokio::test]
async fn a_file_of_keys_that_went_bad_is_refused_with_its_route() {
    let folder = Folder::new("apply-keys");
    let (_data_plane, handle) = start(folder.path());
    let jwks = folder.path().join("jwks.json");
    let point = "A".repeat(43);
    fs::write(
        &jwks,
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","x":"{point}","y":"{point}"}}]}}"#),
    )
    .unwrap();
    let text = format!(
        "  listen: {}\n  auth: {{ jwt: {{ jwks: jwks.json }} }}\n  routes: {{ /a: users }}\n",
        free()
    );
    let system = system(&folder, &text);
    fs::write(&jwks, "{}").unwrap();
    let error = handle.apply(&system).unwrap_err();
    assert_eq!((error.code(), error.place().unwrap().line), (base::Code::KEYS, 5));
    assert_eq!(handle.keys(), []);
    fs::write(&jwks, "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n-----END PUBLIC KEY-----\n").unwrap();
    handle.apply(&system).unwrap();
    assert_eq!((handle.keys().len(), handle.keys()[0].count), (1, 1));
}
