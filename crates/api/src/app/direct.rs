//! Where a request on an app listener leads. Pure.
//!
//! A request invokes a service in one of three ways: by its path (`/v1.0/invoke/orders/method/items`), by the header
//! `dapr-app-id` on any path, or by the user `dapr-app-id` of Basic authentication, whose password is the app.
//! The latter two leave the paths of the runtime API alone, and win over those of the native API, because an
//! app may well have paths under `/v1/` too.

mod path;

use super::{
    AppBackend, Callee, Caller, dapr,
    fault::{Code, Fault},
    grpc, native,
};
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use path::clean;
pub(crate) use path::tidy;
use proxy::local::{Direction, Look, Refused, To, Upstream};
use std::borrow::Cow;

const APP_ID_NAME: &str = "dapr-app-id";
const APP_ID: HeaderName = HeaderName::from_static(APP_ID_NAME);
const TOKEN_NAME: &str = "dapr-api-token";
const TOKEN: HeaderName = HeaderName::from_static(TOKEN_NAME);
const CALLER_APP_ID: HeaderName = HeaderName::from_static("dapr-caller-app-id");
const CALLER_NAMESPACE: HeaderName = HeaderName::from_static("dapr-caller-namespace");
const CALLEE_APP_ID: HeaderName = HeaderName::from_static("dapr-callee-app-id");

/// What a caller may always ask: whether there is somebody to give a token to.
const WITHOUT_TOKEN: [&str; 2] = ["/v1.0/healthz", "/v1.0/healthz/outbound"];

/// The namespace that callers name when they know of none.
const NAMESPACE_DEFAULT: &str = "default";

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked<'a> {
    /// The runtime API of Dapr.
    Dapr,
    /// The native API.
    Native,
    /// Another app.
    Invoke(Invocation<'a>),
    /// Another app, by a path that cannot be meant.
    Unreadable,
    /// Nothing that is known.
    Nothing,
}

/// A call of another app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invocation<'a> {
    /// As the caller names it.
    pub(crate) app: Cow<'a, str>,
    /// Path and query as the app gets them.
    pub(crate) path: String,
    /// It is named in `Authorization`, which then is not meant for the app.
    pub(crate) is_authorization: bool,
}

impl Invocation<'_> {
    pub(crate) fn into_owned(self) -> Invocation<'static> {
        let app = Cow::Owned(self.app.into_owned());
        Invocation { app, path: self.path, is_authorization: self.is_authorization }
    }
}

/// Where a call leads.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Service(Callee),
    /// The address of something outside the system.
    Outside(String),
}

/// What `look` is for, whoever asks.
pub(crate) fn asked<'a>(look: &Look<'a>) -> Asked<'a> {
    let sent = look.path();
    let routed = tidy(sent);
    let is_dapr = dapr::is_below(&routed);
    let is_invocation =
        routed.strip_prefix("/v1.0/invoke").is_some_and(|rest| rest.starts_with('/'));
    if let Some((app, is_authorization)) = named(look)
        && (!is_dapr || is_invocation || !dapr::is_known(&routed))
    {
        return invoke(app, sent, look.query(), is_authorization);
    }
    if is_invocation {
        return match by_path(sent) {
            Some((app, method)) => invoke(app, method, look.query(), false),
            None => Asked::Nothing,
        };
    }
    if is_dapr {
        return if dapr::is_known(&routed) { Asked::Dapr } else { Asked::Nothing };
    }
    if is_native(&routed) { Asked::Native } else { Asked::Nothing }
}

/// Whether a tidy path is below the native API.
fn is_native(path: &str) -> bool {
    path.starts_with("/v1/")
}

fn invoke<'a>(
    app: Cow<'a, str>,
    method: &str,
    query: Option<&str>,
    is_authorization: bool,
) -> Asked<'a> {
    let Some(mut path) = clean(method) else { return Asked::Unreadable };
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    Asked::Invoke(Invocation { app, path, is_authorization })
}

/// The app that a header names, and whether it is `Authorization`.
fn named<'a>(look: &Look<'a>) -> Option<(Cow<'a, str>, bool)> {
    if let Some(app) = text(look, APP_ID_NAME).filter(|app| !app.is_empty()) {
        return Some((Cow::Borrowed(app), false));
    }
    let given = text(look, "authorization")?;
    let (scheme, coded) = given.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(coded.trim()).ok()?;
    let pair = String::from_utf8(bytes).ok()?;
    let (user, app) = pair.split_once(':')?;
    let is_meant = user.eq_ignore_ascii_case(APP_ID_NAME) && !app.is_empty();
    is_meant.then(|| (Cow::Owned(app.to_owned()), true))
}

/// App and method of `/v1.0/invoke/{app}/method/{method}`. From the path as it was sent, because an app may be an
/// address, and `//` of it must stay.
fn by_path(sent: &str) -> Option<(Cow<'_, str>, &str)> {
    let rest = path::after(sent, &["v1.0", "invoke"])?;
    let (app, method) = match rest.split_once("/method/") {
        Some(both) => both,
        None => (rest.strip_suffix("/method")?, ""),
    };
    let app = if app.contains('%') {
        Cow::Owned(crate::query::unescape(app, false)?)
    } else {
        Cow::Borrowed(app)
    };
    let is_named = !app.trim_matches('/').is_empty();
    is_named.then_some((app, method))
}

fn text<'a>(look: &Look<'a>, name: &'static str) -> Option<&'a str> {
    std::str::from_utf8(look.header(name)?).ok().map(str::trim)
}

/// Where a request of `caller` leads.
pub(crate) fn direct(
    backend: &dyn AppBackend,
    caller: &Caller,
    look: &Look<'_>,
    body_len_max: usize,
) -> Direction {
    if let Some(token) = &caller.instance.token {
        let given = text(look, TOKEN_NAME).unwrap_or_default();
        let is_free = !look.is_grpc() && WITHOUT_TOKEN.contains(&&*tidy(look.path()));
        if !crate::guard::is_same(given, token) && !is_free {
            return refuse(&Fault::token(), look.is_grpc());
        }
    }
    let here = Direction::Here { body_size_max: u64::try_from(body_len_max).unwrap_or(u64::MAX) };
    if look.is_grpc() {
        return match called(look) {
            None => here,
            Some(app) => match resolve(backend, caller, app) {
                Ok(Target::Service(callee)) => {
                    let mut to = to(backend, caller, &callee);
                    to.protocol = Upstream::Http2;
                    Direction::Service(to)
                }
                Ok(Target::Outside(_)) => {
                    let why = "gRPC calls of addresses outside the system are not forwarded";
                    refuse(&Fault::invoke(app, why), true)
                }
                Err(fault) => refuse(&fault, true),
            },
        };
    }
    match asked(look) {
        Asked::Dapr | Asked::Native if is_foreign(look) => {
            refuse_in_words(&Fault::foreign(), "forbidden", look)
        }
        Asked::Dapr | Asked::Native => here,
        Asked::Invoke(invocation) => match resolve(backend, caller, &invocation.app) {
            // An app that speaks gRPC is called by the message that stands for HTTP there.
            Ok(Target::Service(callee)) if callee.protocol.is_grpc() => here,
            Ok(Target::Service(callee)) => {
                let mut to = to(backend, caller, &callee);
                if callee.protocol == super::Protocol::H2c {
                    to.protocol = Upstream::Http2;
                }
                if invocation.is_authorization {
                    to.remove.push(header::AUTHORIZATION);
                }
                to.path = Some(invocation.path);
                Direction::Service(to)
            }
            Ok(Target::Outside(_)) => here,
            Err(fault) => refuse(&fault, false),
        },
        Asked::Unreadable => refuse(&Fault::method_name(), false),
        Asked::Nothing => refuse(&Fault::no_app_id(), false),
    }
}

/// Whether a request comes from a page in a browser: such a page may have any author, and the browser runs on the
/// machine whose port this is. No service sends `Origin` to its own API, and it names the machine, not a domain whose
/// owner can let it mean this machine (DNS rebinding).
fn is_foreign(look: &Look<'_>) -> bool {
    if look.header("origin").is_some() || look.header("sec-fetch-site").is_some() {
        return true;
    }
    let host = look.host();
    let bare = match host.rsplit_once(':') {
        Some((bare, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => bare,
        _ => host,
    };
    let is_address = bare.starts_with('[') || bare.parse::<std::net::IpAddr>().is_ok();
    let is_here = !bare.contains('.')
        || ["localhost", "internal", "local"]
            .iter()
            .any(|last| bare.rsplit('.').next().is_some_and(|end| end.eq_ignore_ascii_case(last)));
    !is_address && !is_here
}

/// The app that a gRPC call is for; `None`: the node.
fn called<'a>(look: &Look<'a>) -> Option<&'a str> {
    if grpc::is_own(look.path()) {
        return None;
    }
    let given = |name| text(look, name).filter(|app| !app.is_empty());
    given(APP_ID_NAME).or_else(|| given("dapr-callee-app-id"))
}

/// What `app` means to `caller`: `app`, `app.namespace`, an address, or the name of one.
pub(crate) fn resolve(
    backend: &dyn AppBackend,
    caller: &Caller,
    app: &str,
) -> Result<Target, Fault> {
    if let Some(address) = address(app) {
        return Ok(Target::Outside(address));
    }
    if let Some(address) = backend.external(app) {
        return Ok(Target::Outside(address.to_string()));
    }
    let mut parts = app.split('.');
    let (name, namespace) = (parts.next().unwrap_or_default(), parts.next());
    if parts.next().is_some() {
        return Err(Fault::invoke(app, "invalid app id: write `app` or `app.namespace`"));
    }
    if let Some(namespace) = namespace
        && namespace != NAMESPACE_DEFAULT
        && namespace != &*backend.namespace()
    {
        let ours = backend.namespace();
        let why = format!("couldn't find service: {app}: the namespace of this system is {ours}");
        return Err(Fault::invoke(app, why));
    }
    let Some(callee) = backend.service(name) else {
        return Err(Fault::invoke(app, format!("couldn't find service: {name}")));
    };
    if !backend.may_call(&caller.id.service, &callee.name) {
        let service = &caller.id.service;
        let why = format!("{service} may not call {name}: add it to `needs` of {service}");
        let fault = Fault::invoke(app, why);
        return Err(fault.with(StatusCode::FORBIDDEN, Code::PermissionDenied));
    }
    Ok(Target::Service(callee))
}

/// An address, when `app` is one. Its `//` may have been collapsed on the way.
fn address(app: &str) -> Option<String> {
    let (scheme, rest) = app.split_once(":/")?;
    let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let rest = rest.trim_matches('/');
    (is_web && !rest.is_empty()).then(|| format!("{}://{rest}", scheme.to_ascii_lowercase()))
}

/// To `callee`, with the headers that say who calls whom, and without those only the node needs. `X-Forwarded-For` and
/// `Forwarded` stay as they came: they are about clients from elsewhere, and every caller here has the same address.
fn to(backend: &dyn AppBackend, caller: &Caller, callee: &Callee) -> To {
    let mut to = To::new(callee.name.clone());
    to.remove = vec![APP_ID, TOKEN];
    let values = [
        (CALLER_APP_ID, caller.app_id()),
        (CALLER_NAMESPACE, &*backend.namespace()),
        (CALLEE_APP_ID, callee.app_id()),
    ];
    for (name, value) in values {
        match HeaderValue::from_str(value) {
            Ok(value) => to.set.push((name, value)),
            // What the caller says of itself does not get through in any case.
            Err(_) => to.remove.push(name),
        }
    }
    if let Some(token) = callee.app_token.as_deref().and_then(|it| HeaderValue::from_str(it).ok()) {
        to.remove.retain(|name| *name != TOKEN);
        to.set.push((TOKEN, token));
    }
    to
}

/// The answer for a request that leads nowhere.
pub(crate) fn refuse(fault: &Fault, is_grpc: bool) -> Direction {
    Direction::Refuse(if is_grpc { grpc::refusal(fault) } else { worded(fault) })
}

/// As [`refuse`], in the words of the API that is asked; `code` is what the native one calls it.
pub(crate) fn refuse_in_words(fault: &Fault, code: &str, look: &Look<'_>) -> Direction {
    if look.is_grpc() || !is_native(&tidy(look.path())) {
        return refuse(fault, look.is_grpc());
    }
    Direction::Refuse(native::says(fault.status, code, &fault.message))
}

fn worded(fault: &Fault) -> Response<Bytes> {
    if fault.status != StatusCode::UNAUTHORIZED {
        return fault.answer();
    }
    // A wrong token is answered in plain text.
    let mut answer = Response::new(Bytes::from(fault.message.clone()));
    *answer.status_mut() = fault.status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// What the data plane says in place of an instance or of us, in the words of the API that was asked.
pub(crate) fn refusal(refused: &Refused<'_>) -> Response<Bytes> {
    let status = StatusCode::from_u16(refused.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if refused.service.is_none() && !refused.is_grpc && is_native(&tidy(refused.path)) {
        return native::refusal(status, refused);
    }
    let fault = match refused.service {
        Some(service) => {
            let fault = Fault::invoke(service.as_str(), refused.message);
            // The runtime answers 500 for whatever is wrong with the other side.
            let status =
                if status.is_client_error() { status } else { StatusCode::INTERNAL_SERVER_ERROR };
            fault.with(status, grpc_code(refused.status))
        }
        None => {
            let code = match refused.status {
                408 | 413 => "ERR_BODY_READ",
                400..=499 => "ERR_BAD_REQUEST",
                _ => "ERR_INTERNAL",
            };
            Fault::new(status, grpc_code(refused.status), code, refused.message)
        }
    };
    let mut answer = if refused.is_grpc { grpc::refusal(&fault) } else { worded(&fault) };
    if let Some(seconds) = refused.retry_after_s {
        answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// The gRPC status for an HTTP status that the data plane gives.
fn grpc_code(status: u16) -> Code {
    match status {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        408 | 504 => Code::DeadlineExceeded,
        413 | 429 | 431 => Code::ResourceExhausted,
        501 => Code::Unimplemented,
        502 | 503 => Code::Unavailable,
        _ => Code::Unknown,
    }
}

#[cfg(test)]
mod tests;
