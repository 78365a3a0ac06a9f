//! Who may ask: the rules of the TCP listener. The Unix socket needs none, its file permissions are the rule.
//!
//! 1. *Host.* A page on the web can make its own name resolve to 127.0.0.1 (DNS rebinding) and would then be of the
//!    same origin as this API. It cannot make the browser send another `Host`, so names we do not know are refused.
//! 2. *Token.* As `Authorization: Bearer`, or as a cookie that `?t=TOKEN` sets once. Compared in constant time.
//! 3. *Origin.* A cookie goes along with requests that another page makes (ports do not make another site), so what
//!    changes something by cookie needs our own origin or a header that a foreign page cannot send without asking.

use crate::{answer::Problem, query};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use std::net::{IpAddr, SocketAddr};

/// The header that says that a request was made by a script of ours.
pub(crate) const OWN_HEADER: &str = "x-flotilla";

/// Rules of one listener.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    token: String,
    cookie: String,
    listen: IpAddr,
    hosts: Vec<String>,
}

/// What is to be done with a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Answer it.
    Pass,
    /// The token was in the address: set this cookie and go to the address without it.
    LogIn { cookie: String, location: String },
}

impl Guard {
    pub(crate) fn new(token: &str, listen: SocketAddr, hosts: &[String]) -> Self {
        Self {
            token: token.to_owned(),
            // Cookies do not tell ports apart: two systems on one machine must not share a name.
            cookie: format!("flotilla_{}", listen.port()),
            listen: listen.ip(),
            hosts: hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        }
    }

    pub(crate) fn check(&self, request: &Parts) -> Result<Verdict, Problem> {
        let host = self.host(request)?;
        if let Some((given, location)) = token_in_address(request) {
            if !is_same(&given, &self.token) {
                return Err(unauthorized("the token in the address is not the one of this system"));
            }
            if request.method == Method::GET {
                let cookie = format!(
                    "{}={}; Path=/; HttpOnly; SameSite=Strict",
                    self.cookie,
                    query::escape(&self.token)
                );
                return Ok(Verdict::LogIn { cookie, location });
            }
        }
        if let Some(given) = request.headers.get(header::AUTHORIZATION) {
            let bearer = given.to_str().ok().and_then(|value| {
                let (scheme, token) = value.split_once(' ')?;
                scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
            });
            return match bearer {
                Some(token) if is_same(token, &self.token) => Ok(Verdict::Pass),
                _ => Err(unauthorized("the token is not the one of this system")),
            };
        }
        if !self.has_cookie(&request.headers) {
            return Err(unauthorized("a token is needed"));
        }
        if request.method != Method::GET {
            check_origin(&request.headers, host)?;
        }
        Ok(Verdict::Pass)
    }

    /// The `Host` header, when it is one of ours.
    fn host<'a>(&self, request: &'a Parts) -> Result<&'a str, Problem> {
        let mut hosts = request.headers.get_all(header::HOST).iter();
        let host = match (hosts.next().map(|host| host.to_str()), hosts.next()) {
            (Some(Ok(host)), None) => host,
            _ => return Err(Problem::bad_request("exactly one Host header is needed")),
        };
        let name = without_port(host).to_ascii_lowercase();
        let is_ours = match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            // Rebinding needs a name: where all addresses are listened on, any of them will do.
            Ok(ip) => ip.is_loopback() || ip == self.listen || self.listen.is_unspecified(),
            Err(_) => name == "localhost" || self.hosts.contains(&name),
        };
        if is_ours {
            return Ok(host);
        }
        let message = format!("`{name}` is not a name of this node");
        Err(Problem::new(StatusCode::FORBIDDEN, "forbidden_host", message)
            .help("use http://127.0.0.1 with the admin port"))
    }

    fn has_cookie(&self, headers: &HeaderMap) -> bool {
        let cookies =
            headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        cookies.flat_map(|value| value.split(';')).any(|pair| {
            pair.trim().split_once('=').is_some_and(|(name, value)| {
                name == self.cookie
                    && query::unescape(value, false)
                        .is_some_and(|value| is_same(&value, &self.token))
            })
        })
    }
}

/// The token of `?t=`, and the address without it.
fn token_in_address(request: &Parts) -> Option<(String, String)> {
    let mut given = None;
    let rest: Vec<&str> = request
        .uri
        .query()?
        .split('&')
        .filter(|pair| match pair.split_once('=') {
            Some(("t", value)) => {
                given = query::unescape(value, true);
                false
            }
            _ => true,
        })
        .collect();
    let path = request.uri.path();
    // `//host` would lead elsewhere.
    let path = format!("/{}", path.trim_start_matches('/'));
    let location = if rest.is_empty() { path } else { format!("{path}?{}", rest.join("&")) };
    Some((given?, location))
}

fn check_origin(headers: &HeaderMap, host: &str) -> Result<(), Problem> {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("null"));
    let is_ours = match origin {
        Some(origin) => origin
            .split_once("://")
            .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host)),
        None => headers.get(OWN_HEADER).is_some_and(|value| value == "1"),
    };
    if is_ours {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        "forbidden_origin",
        "this request comes from another page",
    )
    .help("send the header `x-flotilla: 1`, or use `Authorization: Bearer`"))
}

fn unauthorized(message: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", message).help(
        "open the address that `flotilla open` prints, or send `Authorization: Bearer` with the \
         token in `.flotilla/token`",
    )
}

fn without_port(host: &str) -> &str {
    if host.starts_with('[') {
        return host.split_inclusive(']').next().unwrap_or(host);
    }
    host.split(':').next().unwrap_or(host)
}

/// Compares in a time that does not depend on where the texts differ.
pub(crate) fn is_same(given: &str, token: &str) -> bool {
    if given.len() != token.len() || token.is_empty() {
        return false;
    }
    let pairs = given.bytes().zip(token.bytes());
    let difference = pairs.fold(0, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    difference == 0
}
