//! Which pages of other origins may read a route's answers (Fetch standard, §3.3 "CORS protocol").
//!
//! Preflights are answered here and never reach the service; what the service says about CORS itself is
//! replaced, so that there is one place that decides. Preflights are told apart as the standard does: `OPTIONS`
//! with `Origin` and `Access-Control-Request-Method`.
//!
//! A page that is not allowed: its simple request passes without `Access-Control-*` fields and the browser keeps
//! the answer from the page; the protocol protects readers, not servers. Its preflight is answered 204 without
//! allow fields, as ASP.NET Core, Express and rs/cors do: a status would tell the page nothing, and the
//! browser's console names the missing field. When only a header is not allowed, the others are named
//! and the console names the one that is missing.
//!
//! `Vary: Origin` stands on every response whose fields would differ for another origin, also when there was no
//! `Origin`: otherwise a cache gives a page the answer that was made for nobody.

mod origin;

pub use origin::{InvalidOrigin, ORIGIN_LEN_MAX, Pattern, Port, parse_pattern};

use crate::{
    Edit, Effects, Reply, Request,
    edits::{InvalidName, NAME_LEN_MAX, field_name, is_token},
};
use std::{borrow::Cow, time::Duration};

/// The most origins, methods or headers of one list. Origins are compared one after the other.
pub const ENTRIES_MAX: usize = 256;

/// The most headers that a preflight may ask for; real ones ask for a handful.
pub const ASKED_MAX: usize = 64;

/// How long browsers may remember a preflight unless said otherwise. Without a value they take 5 s, and
/// every call then makes two round trips; a mistake in the file should not outlive a coffee either.
pub const MAX_AGE_DEFAULT: Duration = Duration::from_secs(600);

/// The longest that a browser honours (Firefox; Chromium stops at two hours).
pub const MAX_AGE_MAX: Duration = Duration::from_secs(86_400);

/// Methods that are allowed unless said otherwise: all that services commonly have. Which pages may use them is
/// what `origins` says.
pub const METHODS_DEFAULT: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];

/// What `cors:` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Patterns of [`parse_pattern`].
    pub origins: Vec<String>,
    /// Methods, or `*`; empty: [`METHODS_DEFAULT`].
    pub methods: Vec<String>,
    /// Headers that pages may send, or `*`; empty: `*`, which means whatever a preflight asks for.
    pub headers: Vec<String>,
    /// Headers of answers that pages may read beside the few that they always may, or `*`.
    pub expose: Vec<String>,
    /// Whether pages may send cookies and credentials, and read the answers to that.
    pub credentials: bool,
    /// How long browsers may remember a preflight: whole seconds up to [`MAX_AGE_MAX`]; zero: not at all.
    pub max_age: Duration,
    /// Whether public pages may reach this address in a private network (WICG Private Network Access).
    pub private_network: bool,
}

impl Default for Config {
    /// No origin, and the defaults of all else.
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            methods: Vec::new(),
            headers: Vec::new(),
            expose: Vec::new(),
            credentials: false,
            max_age: MAX_AGE_DEFAULT,
            private_network: false,
        }
    }
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no origin.
    #[error("`origins` is empty: no page could do anything")]
    NoOrigins,
    /// An origin is none.
    #[error("`{text}` is no origin")]
    Origin {
        /// What is written.
        text: String,
        /// What is wrong.
        #[source]
        cause: InvalidOrigin,
    },
    /// `*` or `null` with credentials.
    #[error(
        "origin `{0}` with `credentials: true` would let every page act as its visitor: list the origins"
    )]
    CredentialsForAll(&'static str),
    /// Not a method.
    #[error("`{0}` is no method")]
    Method(String),
    /// Not a field name.
    #[error("`{text}` is no field name")]
    Header {
        /// What is written.
        text: String,
        /// What is wrong.
        #[source]
        cause: InvalidName,
    },
    /// Browsers take `*` literally there.
    #[error("with credentials browsers take `expose: \"*\"` as a header of that name: list them")]
    ExposeAll,
    /// Too long.
    #[error("browsers remember a preflight for at most a day (86400 s)")]
    MaxAge,
    /// More than [`ENTRIES_MAX`].
    #[error("a list has at most 256 entries")]
    TooMany,
}

/// Compiled CORS rules of a route.
#[derive(Clone, Debug)]
pub struct Cors {
    origins: Vec<Pattern>,
    /// Every origin gets the same answer, `*`.
    is_open: bool,
    /// `None`: whatever is asked for.
    methods: Option<String>,
    /// In lowercase; `None`: whatever is asked for.
    headers: Option<Vec<String>>,
    expose: Option<String>,
    credentials: bool,
    max_age: String,
    private_network: bool,
}

type Field = (Cow<'static, str>, Cow<'static, str>);

const VARY_ORIGIN: &str = "Origin";
const VARY_PREFLIGHT: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
const VARY_PREFLIGHT_PRIVATE: &str = "Origin, Access-Control-Request-Method, \
     Access-Control-Request-Headers, Access-Control-Request-Private-Network";

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const EXPOSE: &str = "access-control-expose-headers";

/// What a service may say about CORS itself.
const FIELDS: [&str; 7] = [
    ALLOW_ORIGIN,
    ALLOW_CREDENTIALS,
    EXPOSE,
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-max-age",
    "access-control-allow-private-network",
];

impl Cors {
    /// Checks `config`.
    ///
    /// # Errors
    /// When an entry is none, or credentials would be given to every page; see [`Error`].
    pub fn new(config: Config) -> Result<Self, Error> {
        let lists = [&config.origins, &config.methods, &config.headers, &config.expose];
        if lists.iter().any(|list| list.len() > ENTRIES_MAX) {
            return Err(Error::TooMany);
        }
        if config.origins.is_empty() {
            return Err(Error::NoOrigins);
        }
        if config.max_age > MAX_AGE_MAX {
            return Err(Error::MaxAge);
        }
        let mut origins = Vec::new();
        for text in config.origins {
            match parse_pattern(&text) {
                Ok(Pattern::Any) if config.credentials => {
                    return Err(Error::CredentialsForAll("*"));
                }
                // Any page can put itself into a sandbox, where its origin is `null`.
                Ok(Pattern::Null) if config.credentials => {
                    return Err(Error::CredentialsForAll("null"));
                }
                Ok(pattern) => origins.push(pattern),
                Err(cause) => return Err(Error::Origin { text, cause }),
            }
        }
        let expose = names(config.expose)?.unwrap_or_else(|| vec!["*".to_owned()]);
        if config.credentials && expose.iter().any(|name| name == "*") {
            return Err(Error::ExposeAll);
        }
        let headers = if config.headers.is_empty() { None } else { names(config.headers)? };
        Ok(Self {
            is_open: origins.contains(&Pattern::Any),
            origins,
            methods: methods(config.methods)?,
            headers,
            expose: (!expose.is_empty()).then(|| expose.join(", ")),
            credentials: config.credentials,
            max_age: config.max_age.as_secs().to_string(),
            private_network: config.private_network,
        })
    }

    /// The answer to `request` if it is a preflight.
    #[must_use]
    pub fn preflight(&self, request: &dyn Request) -> Option<Reply> {
        let asks = "access-control-request-method";
        if request.method() != "OPTIONS" || !has(request, "origin") || !has(request, asks) {
            return None;
        }
        let private = "access-control-request-private-network";
        let vary = if self.private_network { VARY_PREFLIGHT_PRIVATE } else { VARY_PREFLIGHT };
        let mut headers: Vec<Field> = vec![("vary".into(), vary.into())];
        if let Some(origin) = self.allowed(request) {
            self.push_origin(origin, &mut headers);
            let method = request.only(asks).filter(|method| is_token(method));
            let methods = match (&self.methods, method) {
                (Some(methods), _) => Some(methods.clone()),
                (None, method) => method.and_then(|method| String::from_utf8(method).ok()),
            };
            if let Some(methods) = methods {
                headers.push(("access-control-allow-methods".into(), methods.into()));
            }
            let names = self.allowed_headers(request);
            if !names.is_empty() {
                headers.push(("access-control-allow-headers".into(), names.into()));
            }
            headers.push(("access-control-max-age".into(), self.max_age.clone().into()));
            if self.private_network && request.only(private).is_some_and(|value| value == b"true") {
                headers.push(("access-control-allow-private-network".into(), "true".into()));
            }
        }
        Some(Reply { status: 204, code: "", message: String::new(), headers, delay: None })
    }

    /// Adds to `effects` what the response to `request`, which is no preflight, says about CORS.
    pub fn apply(&self, request: &dyn Request, effects: &mut Effects) {
        effects.response.extend(FIELDS.map(|name| Edit::Remove(name.into())));
        let set = |(name, value)| Edit::Set(name, value);
        effects.response.extend(self.fields(request).into_iter().map(set));
        if !self.is_open {
            effects.response.push(Edit::Vary(VARY_ORIGIN));
        }
    }

    /// Adds the same to an answer that is made here, so that the page can read why it was refused.
    pub fn dress(&self, request: &dyn Request, reply: &mut Reply) {
        reply.headers.extend(self.fields(request));
        if !self.is_open {
            reply.headers.push(("vary".into(), VARY_ORIGIN.into()));
        }
    }

    /// What a response says beside `Vary`.
    fn fields(&self, request: &dyn Request) -> Vec<Field> {
        let mut fields = Vec::new();
        if let Some(origin) = self.allowed(request) {
            self.push_origin(origin, &mut fields);
            if let Some(expose) = &self.expose {
                fields.push((EXPOSE.into(), expose.clone().into()));
            }
        }
        fields
    }

    /// What `Access-Control-Allow-Origin` says; `None`: it is missing.
    fn allowed(&self, request: &dyn Request) -> Option<Cow<'static, str>> {
        if self.is_open {
            return Some("*".into());
        }
        // Two origins are no origin.
        let origin = request.only("origin")?;
        let is_allowed = self.origins.iter().any(|pattern| pattern.allows(&origin));
        // Every pattern but `*` looks at every byte, so this is a browser's spelling of an origin.
        is_allowed.then(|| String::from_utf8(origin).ok().map(Cow::Owned)).flatten()
    }

    fn push_origin(&self, origin: Cow<'static, str>, fields: &mut Vec<Field>) {
        fields.push((ALLOW_ORIGIN.into(), origin));
        if self.credentials {
            fields.push((ALLOW_CREDENTIALS.into(), "true".into()));
        }
    }

    /// Those of the headers that a preflight asks for that are allowed. They are named one by one also where all
    /// are: browsers do not take `*` for `Authorization`, nor with credentials.
    fn allowed_headers(&self, request: &dyn Request) -> String {
        let (mut allowed, mut asked) = (String::new(), 0);
        request.each("access-control-request-headers", &mut |value| {
            for name in value.split(|byte| *byte == b',') {
                asked += 1;
                if asked > ASKED_MAX {
                    return false;
                }
                let name = name.trim_ascii();
                if name.len() > NAME_LEN_MAX {
                    continue;
                }
                let is_listed = match &self.headers {
                    None => true,
                    Some(list) => list.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(name)),
                };
                if let (true, true, Ok(name)) =
                    (is_listed, is_token(name), std::str::from_utf8(name))
                {
                    let separator = if allowed.is_empty() { "" } else { ", " };
                    allowed.push_str(separator);
                    allowed.push_str(name);
                }
            }
            true
        });
        allowed
    }
}

fn has(request: &dyn Request, name: &str) -> bool {
    let mut is_there = false;
    request.each(name, &mut |_| {
        is_there = true;
        false
    });
    is_there
}

/// The value of `Access-Control-Allow-Methods`; `None`: whatever is asked for. Methods are case-sensitive.
fn methods(list: Vec<String>) -> Result<Option<String>, Error> {
    if list.iter().any(|method| method == "*") {
        return Ok(None);
    }
    if let Some(wrong) = list.iter().find(|method| !is_token(method.as_bytes())) {
        return Err(Error::Method(wrong.clone()));
    }
    Ok(Some(if list.is_empty() { METHODS_DEFAULT.join(", ") } else { list.join(", ") }))
}

/// Field names in lowercase; `None`: all.
fn names(list: Vec<String>) -> Result<Option<Vec<String>>, Error> {
    if list.iter().any(|name| name == "*") {
        return Ok(None);
    }
    let names = list.into_iter().map(|text| match field_name(&text) {
        Ok(name) => Ok(name),
        Err(cause) => Err(Error::Header { text, cause }),
    });
    names.collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests;
