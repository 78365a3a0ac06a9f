//! Where etcd is and how it is entered.

use ports::kv::KEY_MAX;
use std::{fmt, io, path::PathBuf};

#[cfg(test)]
mod tests;

/// The port of an endpoint that names none.
const PORT: u16 = 2379;

/// Longest prefix. Keys appear twice in a transaction; with longer prefixes the largest would not fit into a request.
const PREFIX_MAX: usize = 128;

/// Most endpoints: etcd clusters have at most seven voting members.
const ENDPOINTS_MAX: usize = 16;

/// What the engine needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `host:port` of the members, at least one. The first one that answers is used until it fails.
    pub endpoints: Vec<String>,
    /// How connections are encrypted; `None`: they are not.
    pub tls: Option<Tls>,
    /// Who we are; `None`: etcd does not ask.
    pub credentials: Option<Credentials>,
    /// What all keys begin with, for nobody else to see; usually ends with `/`. Empty: the whole etcd is ours.
    pub prefix: String,
}

/// How connections are encrypted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities that may vouch for etcd; `None`: those of the machine.
    pub ca: Option<PathBuf>,
    /// PEM files of our certificate and its key, when etcd asks for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A user of etcd.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why the engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address says something that cannot be done.
    #[error("cannot use the etcd address `{address}`: {problem}")]
    Address {
        /// As it was given, without the password.
        address: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A file that the address names cannot be read.
    #[error("cannot read `{path}` for the connection to etcd", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What the files hold cannot be used.
    #[error("cannot set up the encrypted connection to etcd at `{place}`")]
    Encryption {
        /// Where.
        place: String,
        /// Why.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Config {
    /// Reads `etcd://[user:password@]host[:port][,host[:port]...][/prefix][?ca=file&cert=file&key=file]`.
    ///
    /// `etcds` instead of `etcd` encrypts. Characters that have a meaning here are written as `%` and two hexadecimal
    /// digits. A prefix is given an end of `/`, so that `shop` does not share keys with `shopping`.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn parse(address: &str) -> Result<Self, Error> {
        parse(address)
            .map_err(|problem| Error::Address { address: without_password(address), problem })
    }

    /// What every configuration must hold to, also one that was not read from an address.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let problem = match (self.endpoints.is_empty(), self.prefix.len()) {
            (true, _) => "it has no endpoint".to_owned(),
            (false, length) if length > PREFIX_MAX => too_long(length),
            (false, _) => return Ok(()),
        };
        Err(Error::Address { address: self.place(), problem })
    }

    /// Where etcd is, for people: without the password.
    #[must_use]
    pub fn place(&self) -> String {
        let scheme = if self.tls.is_some() { "etcds" } else { "etcd" };
        let prefix =
            if self.prefix.is_empty() { String::new() } else { format!("/{}", self.prefix) };
        format!("{scheme}://{}{prefix}", self.endpoints.join(","))
    }
}

fn parse(address: &str) -> Result<Config, String> {
    let (scheme, rest) =
        address.split_once("://").ok_or("it begins with `etcd://` or `etcds://`")?;
    let mut tls = match scheme {
        "etcd" => None,
        "etcds" => Some(Tls::default()),
        other => return Err(format!("`{other}` is neither `etcd` nor `etcds`")),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = match authority.rsplit_once('@') {
        Some((user, hosts)) => (Some(user), hosts),
        None => (None, authority),
    };
    if user.is_none() && [prefix, query].iter().any(|text| text.contains('@')) {
        // It may be that what stands before the `/` is the first half of a password, so nothing of it is shown.
        return Err(
            "behind the hosts `@` is written `%40`; `/` and `?` in a password are written \
                    `%2f` and `%3f`"
                .to_owned(),
        );
    }
    let credentials = user.map(parse_credentials).transpose()?;
    let endpoints = hosts.split(',').map(parse_endpoint).collect::<Result<Vec<_>, _>>()?;
    if endpoints.len() > ENDPOINTS_MAX {
        return Err(format!("it has {} endpoints, {ENDPOINTS_MAX} are allowed", endpoints.len()));
    }
    let prefix = parse_prefix(prefix)?;
    parse_options(query, &mut tls)?;
    Ok(Config { endpoints, tls, credentials, prefix })
}

fn parse_credentials(text: &str) -> Result<Credentials, String> {
    let Some((user, password)) = text.split_once(':') else {
        return Err("before `@` stand the user and the password, as `user:password@`".to_owned());
    };
    let (user, password) = (decode(user)?, decode(password)?);
    if user.is_empty() {
        return Err("the user before `:` is empty".to_owned());
    }
    Ok(Credentials { user, password })
}

/// A host with its port, as it stands in a URI.
fn parse_endpoint(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("a host is missing: `etcd://host:2379,host2:2379`".to_owned());
    }
    let (host, port) = if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or(format!("`{text}` lacks a `]`"))?;
        let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
        if !is_address {
            return Err(format!("`{host}` is no IPv6 address"));
        }
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':').ok_or(format!("`{rest}` is no port"))?),
        };
        (format!("[{host}]"), port)
    } else {
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err(format!("`{text}` is no host: a name or an address, then `:` and a port"));
        }
        (host.to_owned(), port)
    };
    let port = match port {
        None => PORT,
        Some(port) => match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err(format!("`{port}` is no port: a number from 1 to 65535")),
        },
    };
    Ok(format!("{host}:{port}"))
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let mut prefix = decode(text)?;
    if !prefix.is_empty() && !prefix.ends_with('/') {
        prefix.push('/');
    }
    if prefix.len() > PREFIX_MAX {
        return Err(too_long(prefix.len()));
    }
    const { assert!(PREFIX_MAX < KEY_MAX, "a prefix is a part of a key") };
    Ok(prefix)
}

fn too_long(length: usize) -> String {
    format!("the prefix has {length} bytes, {PREFIX_MAX} are allowed")
}

fn parse_options(query: &str, tls: &mut Option<Tls>) -> Result<(), String> {
    let (mut cert, mut key) = (None, None);
    for option in query.split('&').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = decode(value)?;
        if !["ca", "cert", "key"].contains(&name) {
            return Err(format!("the option `{name}` is none of `ca`, `cert` and `key`"));
        }
        let Some(tls) = tls else {
            return Err(format!("`{name}` needs an encrypted connection: write `etcds://`"));
        };
        if value.is_empty() {
            return Err(format!("`{name}` lacks its file: `{name}=/path/to/file.pem`"));
        }
        let place = match name {
            "ca" => &mut tls.ca,
            "cert" => &mut cert,
            _ => &mut key,
        };
        if place.replace(PathBuf::from(value)).is_some() {
            return Err(format!("`{name}` is given twice"));
        }
    }
    match (cert, key, tls) {
        (Some(cert), Some(key), Some(tls)) => tls.identity = Some((cert, key)),
        (None, None, _) => {}
        _ => return Err("`cert` and `key` belong together: one of them is missing".to_owned()),
    }
    Ok(())
}

/// Reads `%41` as `A`.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let digits = after.split_at_checked(2);
        let byte = digits.and_then(|(digits, _)| {
            let digits = std::str::from_utf8(digits).ok()?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
        });
        // The text is not repeated here: it may be a part of the password.
        bytes.push(byte.ok_or("after `%` come two hexadecimal digits; `%` itself is `%25`")?);
        rest = &after[2..];
    }
    String::from_utf8(bytes)
        .map_err(|_not_utf8| "what the `%` digits spell is not UTF-8".to_owned())
}

/// The address for people. What could be a password is left out even where the address cannot be read.
fn without_password(address: &str) -> String {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let scheme = if scheme.is_empty() { String::new() } else { format!("{scheme}://") };
    match rest.rsplit_once('@') {
        Some((_, rest)) => format!("{scheme}***@{rest}"),
        None => format!("{scheme}{rest}"),
    }
}
