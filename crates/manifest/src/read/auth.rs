//! Who may use a route.

use super::{
    Reader,
    values::{duration, flag, text, texts},
};
use crate::{
    ApiKeys, Auth, Basic, Jwt, KeySource, Secret,
    source::Mark,
    suggest,
    tree::{Entry, Node, Value},
};
use base::{Code, Diagnostic, ErrorChain};
use policy::auth::{
    basic,
    jwks::{JWKS_SIZE_MAX, KeySet, Secrets},
    jwt::{self, Source},
    key::Algorithm,
    keys,
};
use std::{fs::File, io::Read as _, path::Path};

/// The ways that the gateway has, and those that routes take that say nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Ways {
    all: Auth,
    default: Auth,
}

impl Ways {
    /// What a route takes that says nothing.
    pub(super) fn of_routes(&self) -> Auth {
        self.default.clone()
    }
}

impl Reader<'_> {
    /// `auth` of the gateway.
    pub(super) fn ways(&mut self, gateway: Option<&Node>) -> Ways {
        let Some(node) = gateway.and_then(|gateway| gateway.get("auth")) else {
            return Ways::default();
        };
        if let Some(word) = node.texts().iter().find(|word| word.text() != Some("none")) {
            let name = word.text().unwrap_or_default();
            let message = format!("`{name}` is not described");
            let help = format!("write `auth: {{ {name}: … }}`");
            self.problems.error(Code::BAD_VALUE, &word.mark, message, "", &help);
            return Ways::default();
        }
        let all = self.auth_map(node);
        let default = match node.get("default") {
            None => all.clone(),
            Some(default) => self.chosen(default, &all),
        };
        Ways { all, default }
    }

    /// `auth` of a route.
    pub(super) fn auth(&mut self, node: &Node, ways: &Ways) -> Auth {
        match node.value {
            Value::Map(_) | Value::Null => self.auth_map(node),
            Value::Scalar(_) | Value::List(_) => self.chosen(node, &ways.all),
            Value::Unknown => Auth::default(),
        }
    }

    /// Of `all` those that `node` names.
    fn chosen(&mut self, node: &Node, all: &Auth) -> Auth {
        let mut chosen = Auth::default();
        for word in node.texts() {
            let name = word.text().unwrap_or_default();
            let is_there = match name {
                "jwt" => {
                    chosen.jwt.clone_from(&all.jwt);
                    chosen.jwt.is_some()
                }
                "api_keys" => {
                    chosen.api_keys.clone_from(&all.api_keys);
                    chosen.api_keys.is_some()
                }
                "basic" => {
                    chosen.basic.clone_from(&all.basic);
                    chosen.basic.is_some()
                }
                // Others were refused by the check.
                _ => true,
            };
            if !is_there {
                let message = format!("the gateway has no `{name}`");
                let help = format!("write `auth: {{ {name}: … }}` under `gateway:`, or here");
                self.problems.error(Code::BAD_VALUE, &word.mark, message, "", &help);
            }
        }
        if !chosen.is_open() {
            chosen.subject_header.clone_from(&all.subject_header);
        }
        chosen
    }

    fn auth_map(&mut self, node: &Node) -> Auth {
        let entry = |name| node.entry(name);
        let auth = Auth {
            jwt: entry("jwt").and_then(|entry| self.jwt(entry)),
            api_keys: entry("api_keys").and_then(|entry| self.api_keys(entry)),
            basic: entry("basic").and_then(|entry| self.basic(entry)),
            subject_header: header(node.get("subject_header")),
        };
        if !["jwt", "api_keys", "basic"].iter().any(|name| entry(name).is_some()) {
            let message = "`auth` names no way to prove who one is";
            let help = "write `jwt:`, `api_keys:` or `basic:` below, or `auth: none`";
            self.problems.error(Code::BAD_VALUE, &node.mark, message, "", help);
        }
        auth
    }

    fn jwt(&mut self, entry: &Entry) -> Option<Jwt> {
        let node = &entry.value;
        let algorithms: Vec<Algorithm> = texts(node.get("algorithms"))
            .iter()
            .filter_map(|name| Algorithm::from_name(name))
            .collect();
        let keys = self.key_source(entry, &algorithms);
        let (cookie, header_node) = (node.get("cookie"), node.get("header"));
        if let (Some(_), Some(at)) = (cookie, header_node) {
            let message = "a token stands either in a cookie or in a header";
            self.problems.error(Code::BAD_VALUE, &at.mark, message, "", "remove one of them");
        }
        let source = match (text(cookie), header(header_node)) {
            (Some(cookie), _) => Source::Cookie(cookie),
            (None, Some(header)) => Source::Header(header),
            (None, None) => Source::Bearer,
        };
        let mut headers = Vec::new();
        for entry in node.get("claim_headers").map(Node::entries).unwrap_or_default() {
            match policy::edits::field_name(&entry.key) {
                Ok(name) => headers.extend(text(Some(&entry.value)).map(|claim| (name, claim))),
                Err(why) => {
                    let message = format!("`{}` is not the name of a header", entry.key);
                    let why = why.to_string();
                    self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, why, "");
                }
            }
        }
        Some(Jwt {
            keys: keys?,
            algorithms,
            issuers: texts(node.get("issuer")),
            audiences: texts(node.get("audience")),
            scopes: texts(node.get("scopes")),
            leeway: duration(node.get("leeway")).unwrap_or(jwt::LEEWAY),
            needs_expiry: flag(node.get("require_expiry")).unwrap_or(true),
            source,
            forward: flag(node.get("forward")).unwrap_or(true),
            headers,
        })
    }

    fn key_source(&mut self, entry: &Entry, algorithms: &[Algorithm]) -> Option<KeySource> {
        use Algorithm::{Hs256, Hs384, Hs512};
        let (jwks, secret) = (entry.value.get("jwks"), entry.value.get("secret"));
        let is_shared = |one: &&Algorithm| matches!(one, Hs256 | Hs384 | Hs512);
        match (jwks, secret) {
            (None, None) => {
                let help = "write `jwks:` with a URL or a file, or `secret:`";
                self.bad(&entry.key_mark, "`jwt` has no keys to check signatures with", help);
                None
            }
            (Some(_), Some(at)) => {
                self.bad(&at.mark, "`jwt` has both `jwks` and `secret`", "remove one of them");
                None
            }
            (None, Some(node)) => {
                let secret = node.text()?;
                if let Err(why) = KeySet::from_secret(secret.as_bytes()) {
                    let help = "make one with `openssl rand -hex 32`";
                    self.problems.error(
                        Code::KEYS,
                        &node.mark,
                        "this is no secret for tokens",
                        why.to_string(),
                        help,
                    );
                } else if let Some(other) = algorithms.iter().find(|one| !is_shared(one)) {
                    let help = "write `jwks:` with public keys, or HS256, HS384 or HS512";
                    self.bad(
                        &node.mark,
                        &format!("{} has public keys and no secret", other.name()),
                        help,
                    );
                }
                Some(KeySource::Secret(Secret::new(secret)))
            }
            (Some(node), None) => {
                let source = self.jwks(node)?;
                if let (KeySource::Url(_), Some(shared)) =
                    (&source, algorithms.iter().find(is_shared))
                {
                    let message = format!("{} has a secret, which nobody publishes", shared.name());
                    self.bad(&node.mark, &message, "write `secret:` instead of `jwks:`");
                }
                Some(source)
            }
        }
    }

    fn bad(&mut self, mark: &Mark, message: &str, help: &str) {
        self.problems.error(Code::BAD_VALUE, mark, message, "", help);
    }

    /// A URL or a file of keys. A file is read now: who cannot be let in should be known before.
    fn jwks(&mut self, node: &Node) -> Option<KeySource> {
        let written = node.text()?;
        if let Some((scheme, rest)) = written.split_once("://") {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let wrong = match scheme {
                "http" | "https" if host.is_empty() => Some("it names no host"),
                "http" | "https" if host.contains('@') => {
                    Some("a user and password are not sent along")
                }
                "http" | "https"
                    if rest.contains(|c: char| c.is_whitespace() || c.is_control()) =>
                {
                    Some("a URL has no spaces")
                }
                "http" | "https" => None,
                _ => Some("keys come by http, https or from a file"),
            };
            if let Some(why) = wrong {
                let message = "keys cannot be had from there";
                self.problems.error(
                    Code::BAD_VALUE,
                    &node.mark,
                    message,
                    why,
                    "write `https://host/path`",
                );
                return None;
            }
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            if scheme == "http" && !is_here(name) {
                let message = "keys are fetched without TLS";
                let label = "who can change what is sent can make tokens";
                self.problems.warning(Code::KEYS, &node.mark, message, label, "write `https://`");
            }
            return Some(KeySource::Url(written.to_owned()));
        }
        let path = self.file(node)?;
        if let Err(why) = keys_of(&path) {
            let message = format!("`{written}` has no keys for tokens");
            let help = "name a JSON Web Key Set, or public keys in PEM form";
            self.problems.error(Code::KEYS, &node.mark, message, why, help);
        }
        Some(KeySource::File(path))
    }

    /// A file that must be there, relative to the file it is named in; its absolute path.
    pub(super) fn file(&mut self, node: &Node) -> Option<std::path::PathBuf> {
        let written = node.text()?;
        let path = node.mark.source.dir.join(written);
        if path.is_file() {
            return Some(path);
        }
        let word = if path.exists() { "is no file" } else { "does not exist" };
        let problem = Diagnostic::error(Code::MISSING_FILE, format!("`{written}` {word}"));
        self.problems.add(match suggest::near_path(&path, true) {
            Some(near) => problem.at(node.mark.place(), format!("did you mean `{near}`?")),
            None => problem.at(node.mark.place(), "relative to this file's folder"),
        });
        None
    }

    fn api_keys(&mut self, entry: &Entry) -> Option<ApiKeys> {
        let node = &entry.value;
        let keys = self.secrets(entry, "keys", "client", |name, secret| {
            let config = keys::Config { keys: vec![(name, secret)], ..keys::Config::default() };
            keys::ApiKeys::new(config).map(drop).map_err(|why| why.to_string())
        });
        let config = |keys: &[(String, Secret)]| keys::Config {
            keys: keys.iter().map(|(name, key)| (name.clone(), key.reveal().to_owned())).collect(),
            ..keys::Config::default()
        };
        if let Err(why @ keys::Error::Same { .. }) = keys::ApiKeys::new(config(&keys)) {
            let message = "two clients have the same key";
            self.problems.error(Code::DUPLICATE, &entry.key_mark, message, why.to_string(), "");
        }
        Some(ApiKeys {
            header: header(node.get("header")).unwrap_or_else(|| keys::HEADER.to_owned()),
            query: text(node.get("query")),
            keys,
            forward: flag(node.get("forward")).unwrap_or(false),
        })
    }

    fn basic(&mut self, entry: &Entry) -> Option<Basic> {
        let users = self.secrets(entry, "users", "user", |name, hash| {
            let config = basic::Config { users: vec![(name, hash)], ..basic::Config::default() };
            basic::Basic::new(config).map(drop).map_err(|why| why.to_string())
        });
        Some(Basic { users, forward: flag(entry.value.get("forward")).unwrap_or(false) })
    }

    /// Names with secrets, each checked by itself so that its line is shown.
    fn secrets(
        &mut self,
        owner: &Entry,
        key: &str,
        what: &str,
        check: impl Fn(String, String) -> Result<(), String>,
    ) -> Vec<(String, Secret)> {
        let entries = owner.value.get(key).map(Node::entries).unwrap_or_default();
        if entries.is_empty() {
            let message = format!("`{}` has no {what}, so nobody could pass", owner.key);
            let help = format!("write `{key}: {{ name: … }}`");
            self.problems.error(Code::BAD_VALUE, &owner.key_mark, message, "", &help);
        }
        let mut secrets = Vec::new();
        for entry in entries {
            let Some(secret) = entry.value.text() else { continue };
            match check(entry.key.clone(), secret.to_owned()) {
                Ok(()) => secrets.push((entry.key.clone(), Secret::new(secret))),
                Err(why) => {
                    let message = format!("{what} `{}` cannot be used", entry.key);
                    self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, why, "");
                }
            }
        }
        secrets
    }
}

/// The keys of a file: a JSON Web Key Set, or public keys in PEM form.
///
/// # Errors
/// What is wrong with it.
pub fn keys_of(path: &Path) -> Result<KeySet, String> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(JWKS_SIZE_MAX).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    let is_pem = bytes.windows(11).any(|part| part == b"-----BEGIN ");
    let keys = if is_pem {
        KeySet::from_pem(&String::from_utf8_lossy(&bytes))
    } else {
        KeySet::from_jwks(&bytes, Secrets::Allowed)
    };
    keys.map_err(|error| ErrorChain(&error).to_string())
}

/// A header's name in lowercase.
fn header(node: Option<&Node>) -> Option<String> {
    policy::edits::field_name(node?.text()?).ok()
}

/// Whether a host of a URL is this machine.
fn is_here(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}
