//! Addresses of engines: `etcd://user:password@host:2379,host2:2379`.

mod broker;

pub(crate) use broker::broker;

use crate::{Etcd, KvEngine, Secret, secret};

/// Where etcd listens for clients when the address does not say.
const ETCD_PORT: u16 = 2379;

/// Most members of a cluster that are named. Clusters have three, five or seven.
const ENDPOINTS_MAX: usize = 16;

/// What may be written, for messages.
const SCHEMES: &str = "the engines are embedded, etcd://host:port and etcds://host:port (with TLS)";

/// Reads an engine for keys and values. The text may hold a password: it is in no message.
pub(crate) fn kv(text: &str) -> Result<KvEngine, String> {
    if text == "embedded" {
        return Ok(KvEngine::Embedded);
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(SCHEMES.to_owned());
    };
    let tls = match scheme {
        "etcd" => false,
        "etcds" => true,
        other => return Err(format!("{}{SCHEMES}", none_such(other))),
    };
    // The last one: a password may have an `@`.
    let (user, hosts) = match rest.rsplit_once('@') {
        Some((user, hosts)) => (Some(credentials(user)?), hosts),
        None => (None, rest),
    };
    let endpoints = endpoints(hosts, ETCD_PORT)?;
    let (ca, certificate) = (None, None);
    Ok(KvEngine::Etcd(Etcd { endpoints, tls, user, ca, certificate, prefix: String::new() }))
}

/// Says that there is no such scheme, where it cannot be a part of a password.
fn none_such(scheme: &str) -> String {
    let known = scheme.len() <= 20 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if known { format!("`{scheme}` is none; ") } else { String::new() }
}

/// Reads `host:port,host2`, perhaps with a slash behind.
fn endpoints(hosts: &str, port: u16) -> Result<Vec<String>, String> {
    if hosts.contains(secret::START) {
        return Err("a secret may be the user or the password here, not the host".to_owned());
    }
    let (hosts, rest) = hosts.split_once('/').unwrap_or((hosts, ""));
    if !rest.is_empty() {
        return Err(
            "nothing may follow the hosts; `prefix:` stands beside `url:` in the long form"
                .to_owned(),
        );
    }
    // What is no host may be a password without its `@`: the message counts instead of showing it.
    let endpoints = hosts.split(',').enumerate().map(|(at, text)| {
        endpoint(text, port).ok_or_else(|| format!("member {} is not host:port", at + 1))
    });
    let endpoints: Vec<String> = endpoints.collect::<Result<_, _>>()?;
    if endpoints.len() > ENDPOINTS_MAX {
        return Err(format!("at most {ENDPOINTS_MAX} members are named"));
    }
    Ok(endpoints)
}

/// Where user and password are told apart: a colon inside of `${secret:…}` does not separate.
fn colon(text: &str) -> Option<usize> {
    let inside = secret::references(text);
    let is_separator = |at: &usize| !inside.iter().any(|(_, range)| range.contains(at));
    text.match_indices(':').map(|(at, _)| at).find(is_separator)
}

fn has_colon(text: &str) -> bool {
    colon(text).is_some()
}

fn credentials(text: &str) -> Result<(String, Secret), String> {
    let colon = colon(text);
    let (Some(user), Some(password)) =
        (colon.and_then(|at| text.get(..at)), colon.and_then(|at| text.get(at + 1..)))
    else {
        return Err("before `@` stands user:password".to_owned());
    };
    if user.is_empty() || password.is_empty() {
        return Err("before `@` stands user:password, neither empty".to_owned());
    }
    Ok((decoded(user)?, Secret::new(decoded(password)?)))
}

/// Resolves `%40` and the like.
fn decoded(text: &str) -> Result<String, String> {
    let bad = || "a `%` in user or password is written `%25`".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(bad()) };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_too_large| bad())?);
    }
    String::from_utf8(bytes).map_err(|_not_text| bad())
}

fn endpoint(text: &str, port: u16) -> Option<String> {
    let (host, port) = match text.rsplit_once(':') {
        // An IPv6 address without a port ends with its bracket.
        Some((host, port)) if !text.ends_with(']') => {
            (host, port.parse::<u16>().ok().filter(|port| *port > 0)?)
        }
        _ => (text, port),
    };
    let is_address = host.starts_with('[') && host.ends_with(']');
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    let good = if is_address {
        inner.parse::<std::net::Ipv6Addr>().is_ok()
    } else {
        !host.is_empty() && host.chars().all(fits)
    };
    good.then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match kv(text) {
            Ok(KvEngine::Embedded) => "embedded".to_owned(),
            Ok(KvEngine::Etcd(etcd)) => {
                let user = etcd.user.map(|(user, word)| format!(" {user}|{}", word.reveal()));
                let tls = if etcd.tls { " tls" } else { "" };
                format!("{}{tls}{}", etcd.endpoints.join(" "), user.unwrap_or_default())
            }
            Err(why) => format!("no: {why}"),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn addresses_of_clusters_are_read() {
        check("embedded", "embedded");
        check("etcd://a", "a:2379");
        check("etcds://a:1,b.c-d:2/", "a:1 b.c-d:2 tls");
        check("etcd://[::1],[fe80::1]:9", "[::1]:2379 [fe80::1]:9");
        check("etcd://u:p%40%25@a", "a:2379 u|p@%");
        check("etcd://${secret:U}:${secret:P:x}@a", "a:2379 ${secret:U}|${secret:P:x}");
        check("etcd://u:p@ss@a", "a:2379 u|p@ss");
    }

    #[test]
    fn what_cannot_be_read_is_told_without_the_password() {
        let engines = "the engines are embedded, etcd://host:port and etcds://host:port (with TLS)";
        check("redis://:hunter2@a", &format!("no: `redis` is none; {engines}"));
        check("hunter2", &format!("no: {engines}"));
        check("etcd://", "no: member 1 is not host:port");
        check("etcd://a,,b", "no: member 2 is not host:port");
        check("etcd://a:0", "no: member 1 is not host:port");
        check("etcd://a:99999", "no: member 1 is not host:port");
        check("etcd://[x]", "no: member 1 is not host:port");
        check("etcd://user:hunter2", "no: member 1 is not host:port");
        check("etcd://user@a", "no: before `@` stands user:password");
        check("etcd://user:@a", "no: before `@` stands user:password, neither empty");
        check("etcd://u:%zz@a", "no: a `%` in user or password is written `%25`");
        check(
            "etcd://${secret:HOST}",
            "no: a secret may be the user or the password here, not the host",
        );
        check(
            "etcd://a/b",
            "no: nothing may follow the hosts; `prefix:` stands beside `url:` in the long form",
        );
        let many = vec!["a"; 17].join(",");
        check(&format!("etcd://{many}"), "no: at most 16 members are named");
    }
}
