use super::Config;
use std::path::PathBuf;

/// What is read from an address, or what is said against it.
fn check(address: &str, expected: &str) {
    let told = match Config::parse(address) {
        Ok(config) => {
            let mut told = vec![config.endpoints.join(" ")];
            if let Some(tls) = &config.tls {
                let path = |path: &PathBuf| path.display().to_string();
                let identity = tls.identity.as_ref().map(|(cert, key)| [path(cert), path(key)]);
                told.push(format!("tls {:?} {identity:?}", tls.ca.as_ref().map(path)));
            }
            if let Some(credentials) = &config.credentials {
                told.push(format!("as {} {}", credentials.user, credentials.password));
            }
            if !config.prefix.is_empty() {
                told.push(format!("below {}", config.prefix));
            }
            told.join(", ")
        }
        Err(error) => error.to_string(),
    };
    assert_eq!(told, expected, "{address}");
}

#[test]
fn addresses_are_read() {
    check("etcd://a", "a:2379");
    check("etcd://a:1,b,10.0.0.1:3", "a:1 b:2379 10.0.0.1:3");
    check("etcd://[::1],[::1]:4", "[::1]:2379 [::1]:4");
    check("etcd://a/", "a:2379");
    check("etcd://a/shop", "a:2379, below shop/");
    check("etcd://a/shop/eu/", "a:2379, below shop/eu/");
    check("etcd://u:p@a/x", "a:2379, as u p, below x/");
    check("etcd://u%40x:p%3a%2f%25@a", "a:2379, as u@x p:/%");
    check("etcd://u:p@q:w@a", "a:2379, as u p@q:w");
    check("etcd://u:@a", "a:2379, as u ");
    check("etcds://a", "a:2379, tls None None");
    check("etcds://a/x?ca=/ca.pem", "a:2379, tls Some(\"/ca.pem\") None, below x/");
    check(
        "etcds://a?ca=ca%20x.pem&cert=c.pem&key=k.pem",
        "a:2379, tls Some(\"ca x.pem\") Some([\"c.pem\", \"k.pem\"])",
    );
}

#[test]
fn what_is_wrong_with_an_address_is_said_without_its_password() {
    let said = |address: &str, place: &str, problem: &str| {
        check(address, &format!("cannot use the etcd address `{place}`: {problem}"));
    };
    said("localhost:2379", "localhost:2379", "it begins with `etcd://` or `etcds://`");
    said("http://a", "http://a", "`http` is neither `etcd` nor `etcds`");
    let missing = "a host is missing: `etcd://host:2379,host2:2379`";
    said("etcd://", "etcd://", missing);
    said("etcd://a,,b", "etcd://a,,b", missing);
    said("etcd://u:secret@", "etcd://***@", missing);
    let no_port = "is no port: a number from 1 to 65535";
    said("etcd://a:0", "etcd://a:0", &format!("`0` {no_port}"));
    said("etcd://a:http", "etcd://a:http", &format!("`http` {no_port}"));
    said("etcd://a:70000", "etcd://a:70000", &format!("`70000` {no_port}"));
    said("etcd://[::1", "etcd://[::1", "`[::1` lacks a `]`");
    said("etcd://[x]", "etcd://[x]", "`x` is no IPv6 address");
    said("etcd://[::1]1", "etcd://[::1]1", "`1` is no port");
    let no_host = "`a b` is no host: a name or an address, then `:` and a port";
    said("etcd://a b", "etcd://a b", no_host);
    said(
        "etcd://secret@a",
        "etcd://***@a",
        "before `@` stand the user and the password, as `user:password@`",
    );
    said("etcd://:secret@a", "etcd://***@a", "the user before `:` is empty");
    let digits = "after `%` come two hexadecimal digits; `%` itself is `%25`";
    said("etcd://u:secret%@a", "etcd://***@a", digits);
    said("etcd://u:secret%+1@a", "etcd://***@a", digits);
    said("etcd://a/%é", "etcd://a/%é", digits);
    said("etcd://a/%ff", "etcd://a/%ff", "what the `%` digits spell is not UTF-8");
    said("etcd://a?ca=x", "etcd://a?ca=x", "`ca` needs an encrypted connection: write `etcds://`");
    let option = "the option `cacert` is none of `ca`, `cert` and `key`";
    said("etcds://a?cacert=x", "etcds://a?cacert=x", option);
    said("etcds://a?ca", "etcds://a?ca", "`ca` lacks its file: `ca=/path/to/file.pem`");
    said("etcds://a?ca=x&ca=y", "etcds://a?ca=x&ca=y", "`ca` is given twice");
    said(
        "etcds://a?cert=x",
        "etcds://a?cert=x",
        "`cert` and `key` belong together: one of them is missing",
    );
    let long = format!("etcd://a/{}", "x".repeat(128));
    said(&long, &long, "the prefix has 129 bytes, 128 are allowed");
    let many = format!("etcd://{}", ["a"; 17].join(","));
    said(&many, &many, "it has 17 endpoints, 16 are allowed");
}

#[test]
fn a_password_is_shown_nowhere() {
    let config = Config::parse("etcd://user:secret@a:1,b/shop").unwrap();
    assert_eq!(config.place(), "etcd://a:1,b:2379/shop/");
    assert!(!format!("{config:?}").contains("secret"));
    for address in [
        "u:secret@a",
        "etcd:/u:secret@a",
        "etcd//u:se@cret@a",
        "x://u:secret@a",
        "etcd://u:cret/se@a",
        "etcd://u:1/secret@a",
        "etcd://u:cret?se@a",
    ] {
        let said = format!("{:?}", Config::parse(address).unwrap_err());
        assert!(!said.contains("cret"), "{said}");
    }
}
