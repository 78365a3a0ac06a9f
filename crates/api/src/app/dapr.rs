//! Dapr's runtime API over HTTP: the table of its paths, and what all of them share.
//!
//! Paths, statuses and bodies are those of version 1.18. What it means stands in [`super::blocks`].

mod absent;
mod configuration;
mod jobs;
mod lock;
mod pubsub;
mod secrets;
mod state;
mod system;

use super::{Caller, Shared, body, fault::Fault};
use crate::{answer::JSON, query};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use proxy::local::{BoxBody, LocalBody};
use serde::{Serialize, de::DeserializeOwned};
use std::{collections::BTreeMap, pin::Pin, sync::Arc};

type Answer = Result<Response<Bytes>, Fault>;
type Handler = fn(Ask) -> Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What stands before the names of metadata, in queries and in headers.
const METADATA: &str = "metadata.";

/// The first segments of paths.
const V1: &str = "v1.0";
const ALPHA1: &str = "v1.0-alpha1";
const ALPHA2: &str = "v1.0-alpha2";
const BETA1: &str = "v1.0-beta1";

/// A path of the API.
struct Route {
    versions: &'static [&'static str],
    /// None: any.
    methods: &'static [Method],
    /// `{}` is one segment, `*` at the end is the rest, at least one segment.
    pattern: &'static str,
    handler: Handler,
}

const GET: &[Method] = &[Method::GET, Method::HEAD];
/// For what a GET changes: whoever only wants to look must not.
const CHANGING_GET: &[Method] = &[Method::GET];
const POST: &[Method] = &[Method::POST];
const PUT: &[Method] = &[Method::PUT];
const DELETE: &[Method] = &[Method::DELETE];
const SAVE: &[Method] = &[Method::POST, Method::PUT];
const ANY: &[Method] = &[];

macro_rules! routes {
    ($($versions:expr, $methods:expr, $pattern:literal => $handler:path;)*) => {
        /// Every path. The first that fits is taken, so fixed segments stand before free ones.
        static ROUTES: &[Route] = &[$(Route {
            versions: &$versions,
            methods: $methods,
            pattern: $pattern,
            handler: |ask| Box::pin($handler(ask)),
        }),*];
    };
}

routes! {
    [V1], SAVE, "state/{}/bulk" => state::bulk;
    [V1], SAVE, "state/{}/transaction" => state::transaction;
    [ALPHA1], SAVE, "state/{}/query" => state::query;
    [V1], SAVE, "state/{}" => state::save;
    [V1], GET, "state/{}/{}" => state::get;
    [V1], DELETE, "state/{}/{}" => state::delete;
    [V1, ALPHA1], CHANGING_GET, "configuration/{}/subscribe" => configuration::subscribe;
    [V1, ALPHA1], CHANGING_GET, "configuration/{}/{}/unsubscribe" => configuration::unsubscribe;
    [V1, ALPHA1], GET, "configuration/{}" => configuration::get;
    [ALPHA1, V1], POST, "lock/{}" => lock::lock;
    [ALPHA1, V1], POST, "unlock/{}" => lock::unlock;
    [V1], GET, "secrets/{}/bulk" => secrets::bulk;
    [V1], GET, "secrets/{}/{}" => secrets::get;
    [V1], GET, "healthz" => system::health;
    [V1], GET, "healthz/outbound" => system::outbound;
    [V1], GET, "metadata" => system::metadata;
    [V1], PUT, "metadata/{}" => system::set_metadata;
    [V1], POST, "shutdown" => system::shutdown;
    [V1, ALPHA1], SAVE, "publish/bulk/{}/*" => pubsub::bulk;
    [V1], SAVE, "publish/{}/*" => pubsub::publish;
    [V1], SAVE, "publish/{}" => pubsub::publish;
    [V1], SAVE, "bindings/{}" => absent::binding;
    [V1, ALPHA1], SAVE, "jobs/{}" => jobs::schedule;
    [V1, ALPHA1], GET, "jobs/{}" => jobs::get;
    [V1, ALPHA1], DELETE, "jobs/{}" => jobs::delete;
    [V1], ANY, "actors/*" => absent::actor;
    [V1, BETA1, ALPHA1], ANY, "workflows/{}/*" => absent::workflow;
    [ALPHA1], PUT, "crypto/{}/{}" => absent::crypto;
    [ALPHA1], POST, "subtlecrypto/{}/{}" => absent::crypto;
    [ALPHA1, ALPHA2], POST, "conversation/{}/converse" => absent::conversation;
}

impl Route {
    /// The values of the free segments, when the path is this one.
    fn matches<'p>(&self, version: &str, path: &'p str) -> Option<Vec<&'p str>> {
        if !self.versions.contains(&version) {
            return None;
        }
        let mut values = Vec::new();
        let mut rest = Some(path);
        for part in self.pattern.split('/') {
            let left = rest?;
            if part == "*" {
                values.push(left);
                return Some(values);
            }
            let (segment, next) = match left.split_once('/') {
                Some((segment, next)) => (segment, Some(next)),
                None => (left, None),
            };
            match part {
                "{}" => values.push(segment),
                fixed if fixed != segment => return None,
                _ => {}
            }
            rest = next;
        }
        rest.is_none().then_some(values)
    }

    fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// Version and rest of a tidy path below this API.
fn split(path: &str) -> Option<(&str, &str)> {
    let inner = path.strip_prefix('/')?;
    let (version, rest) = inner.split_once('/').unwrap_or((inner, ""));
    [V1, ALPHA1, ALPHA2, BETA1].contains(&version).then_some((version, rest))
}

/// Whether a tidy path belongs to this API, whether or not there is something at it.
pub(super) fn is_below(path: &str) -> bool {
    split(path).is_some()
}

/// Whether there is something at a tidy path, by any method.
pub(super) fn is_known(path: &str) -> bool {
    let Some((version, rest)) = split(path) else { return false };
    ROUTES.iter().any(|route| route.matches(version, rest).is_some())
}

/// What a handler gets to see of a request.
struct Ask {
    shared: Arc<Shared>,
    caller: Caller,
    /// Values of the free segments.
    values: Vec<String>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    fn value(&self, at: usize) -> &str {
        self.values.get(at).map_or("", String::as_str)
    }

    fn params(&self, name: &str) -> Vec<String> {
        let all = self.query.iter().filter(|(given, _)| given == name);
        all.map(|(_, value)| value.clone()).collect()
    }

    fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// What the query says as `metadata.NAME`; the first of several.
    fn metadata(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for (name, value) in &self.query {
            if let Some(name) = name.strip_prefix(METADATA) {
                all.entry(name.to_owned()).or_insert_with(|| value.clone());
            }
        }
        all
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(&self.body).map_err(Fault::malformed)
    }
}

/// Answers a request below this API.
pub(super) async fn answer(
    shared: Arc<Shared>,
    caller: Caller,
    parts: Parts,
    body: LocalBody,
) -> Response<BoxBody> {
    let outcome = match prepare(shared, caller, parts, body).await {
        Ok((handler, ask)) => handler(ask).await,
        Err(fault) => Err(fault),
    };
    body::whole(outcome.unwrap_or_else(|fault| fault.answer()))
}

async fn prepare(
    shared: Arc<Shared>,
    caller: Caller,
    parts: Parts,
    body: LocalBody,
) -> Result<(Handler, Ask), Fault> {
    let path = super::direct::tidy(parts.uri.path());
    let (version, rest) = split(&path).ok_or_else(Fault::no_app_id)?;
    let fitting: Vec<(&Route, Vec<&str>)> =
        ROUTES.iter().filter_map(|route| Some((route, route.matches(version, rest)?))).collect();
    let Some((route, values)) = fitting.iter().find(|(route, _)| route.takes(&parts.method)) else {
        if fitting.is_empty() {
            return Err(Fault::no_app_id());
        }
        let mut allow: Vec<&str> = fitting
            .iter()
            .flat_map(|(route, _)| route.methods.iter().map(Method::as_str))
            .collect();
        allow.sort_unstable();
        allow.dedup();
        return Err(Fault::method(&path, &parts.method, allow.join(", ")));
    };
    let broken = || Fault::bad_request("the address has a broken % escape, or is not UTF-8");
    let values = values.iter().map(|value| query::unescape(value, false));
    let values: Vec<String> = values.collect::<Option<_>>().ok_or_else(broken)?;
    let query = query::pairs(parts.uri.query().unwrap_or_default()).ok_or_else(broken)?;
    let handler = route.handler;
    let body = body::read(body, shared.body_len_max(&caller)).await?;
    Ok((handler, Ask { shared, caller, values, query, headers: parts.headers, body }))
}

/// Success with nothing to say.
fn empty() -> Response<Bytes> {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

fn data(kind: &str, bytes: Bytes) -> Response<Bytes> {
    let mut answer = Response::new(bytes);
    let kind = HeaderValue::from_str(kind).unwrap_or(HeaderValue::from_static(JSON));
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

fn json(value: &impl Serialize) -> Response<Bytes> {
    json_with(StatusCode::OK, value)
}

fn json_with(status: StatusCode, value: &impl Serialize) -> Response<Bytes> {
    // Only a map with keys that are no strings can fail, and the wire has none.
    let mut answer = data(JSON, serde_json::to_vec(value).unwrap_or_default().into());
    *answer.status_mut() = status;
    answer
}
