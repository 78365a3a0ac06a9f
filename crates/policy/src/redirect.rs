//! Requests that are sent elsewhere: `redirect: https`, a URL with variables, or single parts replaced.
//!
//! Where the answer points is decided by the configuration. A request only fills in what stands in braces,
//! and cannot make it lead to another host: no `//evil.example` as a path, no line ends, no user in the
//! host. The query is kept unless the new URL has one of its own.
//!
//! A request that is already where it would be sent is not redirected: `redirect: https` on a route of both
//! listeners leaves requests over TLS alone.

mod template;
pub(crate) mod uri;

pub use template::{InvalidTemplate, TEMPLATE_LEN_MAX};
pub(crate) use template::{PathTemplate, Source};

use crate::{Reply, Request};
use template::UrlTemplate;

/// What `redirect:` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to.
    pub to: To,
    /// 301, 302, 303, 307 or 308. With 307 and 308 clients repeat the method and the body; with the others
    /// many turn POST into GET (RFC 9110 §15.4).
    pub status: u16,
    /// The path prefix that the route matched; `/` for all, the path itself for an exact match.
    pub prefix: String,
}

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// A URL or path with the variables `{host}` (without port), `{path}`, `{rest}` (what follows the
    /// prefix) and, after `?`, `{query}`.
    Template(String),
    /// The same URL with parts replaced, as in the Gateway API's `HTTPRequestRedirectFilter`.
    Parts(Parts),
}

/// Parts of a URL to replace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// A host without port.
    pub host: Option<String>,
    /// A port. Without it: the usual one when the scheme is replaced, else the request's.
    pub port: Option<u16>,
    /// The path.
    pub path: Option<PathChange>,
}

/// A change of the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathChange {
    /// Another path; may have the variables of [`To::Template`].
    Full(String),
    /// In place of the prefix that the route matched.
    Prefix(String),
}

/// Why a redirect cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The status is none of the five.
    #[error("`{0}` is no redirect: 301, 302, 303, 307 or 308")]
    Status(u16),
    /// The template is none.
    #[error("`{text}` is no target")]
    Template {
        /// What is written.
        text: String,
        /// What is wrong.
        #[source]
        cause: InvalidTemplate,
    },
    /// The scheme is none of the two.
    #[error("`{0}` is no scheme: http or https")]
    Scheme(String),
    /// The host is none.
    #[error("`{0}` is no host name")]
    Host(String),
    /// Port 0.
    #[error("0 is no port")]
    Port,
    /// Nothing would be replaced.
    #[error("a redirect needs a scheme, host, port or path")]
    Nothing,
}

/// A redirect, ready to answer.
#[derive(Clone, Debug)]
pub struct Redirect {
    to: Target,
    status: u16,
    prefix: String,
}

#[derive(Clone, Debug)]
enum Target {
    Template(UrlTemplate),
    Parts {
        scheme: Option<&'static str>,
        host: Option<String>,
        port: Option<u16>,
        path: Option<NewPath>,
    },
}

/// A checked [`PathChange`].
#[derive(Clone, Debug)]
pub(crate) enum NewPath {
    Full(PathTemplate),
    Prefix(String),
}

impl Config {
    /// `redirect: https`: the same URL over TLS, with 308, so that a POST stays one. `port`: where TLS is
    /// listened for, when that is not 443.
    #[must_use]
    pub fn https(port: Option<u16>) -> Self {
        let scheme = Some("https".to_owned());
        let to = To::Parts(Parts { scheme, port, ..Parts::default() });
        Self { to, status: 308, prefix: "/".to_owned() }
    }
}

impl Redirect {
    /// Checks `config`.
    ///
    /// # Errors
    /// When the status or a part of the target is wrong; see [`Error`].
    pub fn new(config: Config) -> Result<Self, Error> {
        if !matches!(config.status, 301 | 302 | 303 | 307 | 308) {
            return Err(Error::Status(config.status));
        }
        let to = match config.to {
            To::Template(text) => match UrlTemplate::parse(&text) {
                Ok(template) => Target::Template(template),
                Err(cause) => return Err(Error::Template { text, cause }),
            },
            To::Parts(parts) => check(parts)?,
        };
        Ok(Self { to, status: config.status, prefix: config.prefix })
    }

    /// The answer that sends `request` elsewhere; `None` when it is already there.
    ///
    /// A request whose host is none, where that matters, is answered with 400.
    #[must_use]
    pub fn apply(&self, request: &dyn Request) -> Option<Reply> {
        let source = Source { request, prefix: &self.prefix };
        let location = match &self.to {
            Target::Template(template) => template.fill(source),
            Target::Parts { scheme, host, port, path } => {
                replace(source, *scheme, host.as_deref(), *port, path.as_ref())
            }
        };
        let Some(location) = location else {
            return Some(Reply {
                status: 400,
                code: "bad_request",
                message: "the host or path of the request cannot stand in a redirect".to_owned(),
                headers: Vec::new(),
                delay: None,
            });
        };
        if is_here(&location, request) {
            return None;
        }
        Some(Reply {
            status: self.status,
            code: "",
            message: String::new(),
            headers: vec![("location".into(), location.into())],
            delay: None,
        })
    }
}

impl NewPath {
    /// Checks a change.
    pub(crate) fn new(change: PathChange) -> Result<Self, (String, InvalidTemplate)> {
        match change {
            PathChange::Full(text) => match PathTemplate::parse(&text) {
                Ok(template) => Ok(Self::Full(template)),
                Err(cause) => Err((text, cause)),
            },
            // A prefix is a path without variables and query.
            PathChange::Prefix(text) if text.contains(['{', '}', '?']) => {
                Err((text, InvalidTemplate::NoPath))
            }
            PathChange::Prefix(text) => match PathTemplate::parse(&text) {
                Ok(_) => Ok(Self::Prefix(text)),
                Err(cause) => Err((text, cause)),
            },
        }
    }

    /// The path for `source`, with its query when the change makes one; `None` when it would be ambiguous.
    pub(crate) fn fill(&self, source: Source<'_>) -> Option<(String, bool)> {
        match self {
            Self::Full(template) => template.fill(source),
            Self::Prefix(prefix) => {
                let rest = uri::rest(source.request.raw_path(), source.prefix);
                let path = uri::replace_prefix(prefix, rest);
                logic::route::path::clean(&path).ok()?;
                Some((path, false))
            }
        }
    }
}

fn check(parts: Parts) -> Result<Target, Error> {
    if parts == Parts::default() {
        return Err(Error::Nothing);
    }
    let scheme = match parts.scheme.as_deref() {
        None => None,
        Some("http") => Some("http"),
        Some("https") => Some("https"),
        Some(other) => return Err(Error::Scheme(other.to_owned())),
    };
    if let Some(host) = parts.host.as_ref().filter(|host| !uri::is_host(host)) {
        return Err(Error::Host(host.clone()));
    }
    if parts.port == Some(0) {
        return Err(Error::Port);
    }
    let path = parts.path.map(NewPath::new).transpose();
    let path = path.map_err(|(text, cause)| Error::Template { text, cause })?;
    Ok(Target::Parts { scheme, host: parts.host, port: parts.port, path })
}

fn replace(
    source: Source<'_>,
    scheme: Option<&'static str>,
    host: Option<&str>,
    port: Option<u16>,
    path: Option<&NewPath>,
) -> Option<String> {
    let request = source.request;
    let kept_host = uri::host_of(request.host());
    let mut url = scheme.unwrap_or(request.scheme()).to_owned();
    url.push_str("://");
    url.push_str(match host {
        Some(host) => host,
        None => kept_host.as_deref()?,
    });
    let (_, sent_port) = uri::split_port(request.host());
    let sent_port = sent_port.and_then(|port| port.parse().ok());
    let new_port = port.or(if scheme.is_none() { sent_port } else { None });
    let usual = if url.starts_with("https:") { 443 } else { 80 };
    if let Some(port) = new_port.filter(|port| *port != usual) {
        url.push(':');
        url.push_str(&port.to_string());
    }
    let has_query = match path {
        None => {
            // `OPTIONS *` has no path: behind the host it would become a part of it.
            logic::route::path::clean(request.raw_path()).ok()?;
            uri::push_path(request.raw_path(), &mut url);
            false
        }
        Some(change) => {
            let (path, has_query) = change.fill(source)?;
            url.push_str(&path);
            has_query
        }
    };
    if !has_query && let Some(query) = request.query() {
        url.push('?');
        uri::push_query(query, &mut url);
    }
    Some(url)
}

/// Whether `location` is the URL of `request`: to send it there again would never end.
fn is_here(location: &str, request: &dyn Request) -> bool {
    let location = location.split_once('#').map_or(location, |(before, _)| before);
    let mut here = String::new();
    if !location.starts_with('/') {
        let (host, port) = uri::split_port(request.host());
        let usual = if request.scheme() == "https" { "443" } else { "80" };
        here = format!("{}://{}", request.scheme(), host.to_ascii_lowercase());
        if let Some(port) = port.filter(|port| *port != usual) {
            here.push(':');
            here.push_str(port);
        }
    }
    uri::push_path(request.raw_path(), &mut here);
    if let Some(query) = request.query() {
        here.push('?');
        uri::push_query(query, &mut here);
    }
    here == location
}

#[cfg(test)]
mod tests;
