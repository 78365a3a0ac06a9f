//! HTTPS: certificates that are made here, and files that change.

use super::{at_home, certificate, curl, has};
use crate::kit::{System, http, wait::eventually};
use std::fs;

const NEEDED: &[&str] = &["curl --version", "openssl version"];

#[test]
fn certificates_for_development_are_made_and_said_how_to_trust_once() {
    if !has("tls: dev", NEEDED) {
        return;
    }
    let system = System::new(
        "
services: { web: { run: FIXTURE serve } }
gateway:
  listen: GATEWAY
  tls: dev
  routes: { /: web }
",
    );
    let ca = system.dir().join("home/flotilla/ca/root.crt");
    let url = format!("https://localhost:{}", system.gateway.port());
    let up = at_home(&system, "up -d").expect(0);
    assert!(up.out.contains(&format!("https://{}", system.gateway)), "{up:?}");
    assert!(up.out.contains(&format!("curl --cacert {}", ca.display())), "{up:?}");
    let up = up.says("To let this machine trust");
    assert_eq!(up.err.matches("update-ca-certificates").count(), 1);
    at_home(&system, "up -d").expect(0).says("nothing to change");

    let ca = ca.display().to_string();
    for version in ["--http1.1", "--http2"] {
        let answer = curl(&system, &["--cacert", &ca, version, &url]);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["headers"]["x-forwarded-proto"], "https");
        let via = answer.json()["headers"]["via"].as_str().unwrap().to_owned();
        assert!(via.starts_with(if version == "--http2" { "2" } else { "1.1" }), "{via}");
    }
    // Without trust there is no answer, and without TLS neither.
    let mut distrustful = system.command("curl");
    distrustful.args(["--silent", "--max-time", "30", &url]);
    assert_eq!(system.finish(&mut distrustful).code, 60);
    let plain = http::get(system.gateway, "/");
    assert!(plain.map_or(true, |answer| answer.status == 400));
    system.down();

    // The next start finds the authority and has nothing to say.
    let again = at_home(&system, "up -d").expect(0);
    assert!(!again.err.contains("trust"), "{again:?}");
    assert_eq!(curl(&system, &["--cacert", &ca, &url]).status, 200);
    system.down();
}

#[test]
fn certificate_files_that_change_are_used_without_a_restart() {
    if !has("certificate files", NEEDED) {
        return;
    }
    let system = System::empty();
    let redirect = crate::kit::free_port();
    system.write(&format!(
        "
services: {{ web: {{ run: FIXTURE serve }} }}
gateway:
  listen: GATEWAY
  http_redirect: 127.0.0.1:{redirect}
  tls: {{ cert: site.pem, key: site.key }}
  routes: {{ /: web }}
"
    ));
    let url = format!("https://localhost:{}/a?b=c", system.gateway.port());
    system.flotilla("up -d").expect(3).says("`site.pem` does not exist");
    certificate(&system, "site");
    fs::copy(system.dir().join("site.pem"), system.dir().join("first.pem")).unwrap();
    system.up();
    let node = system.node();
    assert_eq!(curl(&system, &["--cacert", "first.pem", &url]).status, 200);

    let moved = http::get(([127, 0, 0, 1], redirect).into(), "/a?b=c").unwrap();
    assert_eq!(moved.status, 308);
    let location = moved.header("location").unwrap();
    assert_eq!(location, format!("https://127.0.0.1:{}/a?b=c", system.gateway.port()));

    // A file that is none changes nothing.
    let log = || fs::read_to_string(system.dir().join(".flotilla/node.log")).unwrap();
    fs::write(system.dir().join("site.pem"), "not a certificate").unwrap();
    eventually("the word about it", || log().contains("bad certificates").then_some(()));
    assert_eq!(curl(&system, &["--cacert", "first.pem", &url]).status, 200);

    let (cert, key) = certificate(&system, "second");
    fs::copy(key, system.dir().join("site.key")).unwrap();
    fs::copy(cert, system.dir().join("site.pem")).unwrap();
    eventually("the new certificate", || {
        let mut command = system.command("curl");
        command.args(["--silent", "--max-time", "30", "--cacert", "second.pem", &url]);
        (system.finish(&mut command).code == 0).then_some(())
    });
    assert_eq!(system.node(), node);
    system.down();
}

#[test]
fn a_certificate_that_expires_soon_is_told_and_a_broken_one_leaves_all_as_it_was() {
    if !has("expiring certificates", NEEDED) {
        return;
    }
    let system = System::empty();
    let file = |name: &str| {
        system.write(&format!(
            "
services: {{ web: {{ run: FIXTURE serve }} }}
gateway:
  listen: GATEWAY
  tls: {{ cert: {name}.pem, key: {name}.key }}
  routes: {{ /: web }}
"
        ));
    };
    certificate(&system, "site");
    let mut command = system.command("openssl");
    let line = "req -x509 -newkey rsa:2048 -nodes -days 2 -addext subjectAltName=DNS:localhost \
                -subj /CN=short -out short.pem -keyout short.key";
    system.finish(command.args(line.split_whitespace())).expect(0);
    file("site");
    let up = system.up();
    assert!(!up.err.contains("warning"), "{up:?}");
    let url = format!("https://localhost:{}/", system.gateway.port());

    fs::copy(system.dir().join("site.pem"), system.dir().join("mixed.pem")).unwrap();
    fs::copy(system.dir().join("short.key"), system.dir().join("mixed.key")).unwrap();
    file("mixed");
    system.flotilla("up -d").expect(3).says("F031");
    assert_eq!(curl(&system, &["--cacert", "site.pem", &url]).status, 200);

    file("short");
    system.flotilla("up -d").expect(0).says("warning[F031]").says("expires");
    assert_eq!(curl(&system, &["--cacert", "short.pem", &url]).status, 200);
    let again = system.flotilla("up -d").expect(0);
    assert!(!again.err.contains("expires"), "what was told is not told again: {again:?}");
    system.down();
}
