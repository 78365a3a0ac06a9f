//! Where a request leads.

use super::Context;
use crate::{
    cluster::{Cluster, HashOn},
    h1::{Known, RequestHead},
    listener::ListenerKind,
    refusal::Refusal,
    settings,
    snapshot::{Route, Snapshot},
};
use logic::{balance::hash, route, route::path};
use std::sync::Arc;

/// A request as the route table looks at it.
struct Asked<'a>(&'a RequestHead);

impl route::Request for Asked<'_> {
    fn host(&self) -> &str {
        self.0.host()
    }
    fn method(&self) -> &str {
        self.0.method()
    }
    fn query(&self) -> &str {
        self.0.path_and_query().split_once('?').map_or("", |(_, query)| query)
    }
    fn has_header(&self, name: &str, value: Option<&str>) -> bool {
        let mut found = self.0.fields.named(name);
        found.any(|found| value.is_none_or(|value| found == value.as_bytes()))
    }
}

/// The route for a request of the gateway, and the normal form of its path where it differs from what was
/// sent. On the listener of a need there is neither: what a service asks is between it and its need.
pub(crate) fn route<'a>(
    context: &Context<'_>,
    snapshot: &'a Snapshot,
    request: &RequestHead,
) -> Result<Option<(&'a Route, Option<String>)>, Refusal> {
    if matches!(context.listener.kind, ListenerKind::Need { .. }) {
        return Ok(None);
    }
    let sent = only_path(request);
    let clean =
        path::clean(sent).map_err(|refused| Refusal::bad_request("path", refused.reason()))?;
    let found = snapshot.table.find(&clean, &Asked(request));
    let route = found.and_then(|at| snapshot.routes.get(at));
    let route = route.ok_or_else(|| no_route(request))?;
    let respelt = (clean.as_str() != sent).then(|| clean.as_str().to_owned());
    Ok(Some((route, respelt)))
}

/// The path as sent, without the query.
pub(crate) fn only_path(request: &RequestHead) -> &str {
    let sent = request.path_and_query();
    match memchr::memchr(b'?', sent.as_bytes()) {
        Some(at) => sent.get(..at).unwrap_or(sent),
        None => sent,
    }
}

fn no_route(request: &RequestHead) -> Refusal {
    Refusal::no_route(request.method(), request.host(), only_path(request))
}

/// The service a request goes to, and which of the route's targets that is; `known`: the client was there before.
pub(crate) fn cluster<'a>(
    context: &Context<'_>,
    snapshot: &'a Snapshot,
    route: Option<&Route>,
    known: Option<usize>,
    request: &RequestHead,
) -> Result<(&'a Arc<Cluster>, usize), Refusal> {
    let (service, at) = match (route, &context.listener.kind) {
        (None, ListenerKind::Need { service, .. }) => (service, 0),
        (None, ListenerKind::Gateway | ListenerKind::App { .. }) => return Err(no_route(request)),
        (Some(route), _) => {
            let at = match (known, route.targets.len()) {
                (Some(known), _) => Some(known),
                (None, 1) => Some(0),
                (None, _) => {
                    let weights = route.targets.iter().map(|target| target.weight);
                    let random = context.worker.random(logic::balance::Random::draw);
                    route::weighted(weights, random)
                }
            };
            let target = at.and_then(|at| Some((&route.targets.get(at)?.service, at)));
            target.ok_or_else(|| no_route(request))?
        }
    };
    let cluster = snapshot.clusters.get(service);
    let cluster = cluster.ok_or_else(|| Refusal::no_instance(service, ": it is not known"))?;
    Ok((cluster, at))
}

/// Times and retries of a request to the target `at` of its route: those of the target, or else what the
/// route says and its service's.
pub(crate) fn settings(
    context: &Context<'_>,
    route: Option<&Route>,
    cluster: &Cluster,
    at: usize,
) -> settings::Exchange {
    if let Some(own) = route.and_then(|route| route.settings.exchanges.get(at)) {
        return *own;
    }
    let mut said = context.worker.traffic(cluster).exchange;
    if let Some(timeout) = route.and_then(|route| route.timeout) {
        said.timeouts.response = timeout;
    }
    if let Some(retries) = route.and_then(|route| route.retries) {
        said.retry.max = retries;
    }
    said
}

/// Path and query as the instance gets them; `None`: as they were sent.
pub(crate) fn path(
    route: Option<&Route>,
    effects: Option<&policy::Effects>,
    request: &RequestHead,
) -> Option<String> {
    let prefix = route.and_then(Route::stripped);
    let path = effects.and_then(|effects| effects.path.as_deref());
    let query = effects.and_then(|effects| effects.query.as_deref());
    if prefix.is_none() && path.is_none() && query.is_none() {
        return None;
    }
    let sent = request.path_and_query();
    let (sent, asked) = sent.split_once('?').map_or((sent, None), |(p, q)| (p, Some(q)));
    let path = match (path, prefix) {
        (Some(path), _) => path,
        (None, Some(prefix)) => path::strip(sent, prefix),
        (None, None) => sent,
    };
    if path.contains('?') {
        return Some(path.to_owned());
    }
    match query.or(asked).filter(|query| !query.is_empty() || asked == Some("")) {
        Some(query) => Some([path, "?", query].concat()),
        None => Some(path.to_owned()),
    }
}

/// What `consistent_hash` goes by, when the service uses it.
pub(crate) fn key(context: &Context<'_>, cluster: &Cluster, request: &RequestHead) -> Option<u64> {
    if cluster.algorithm != crate::Algorithm::ConsistentHash {
        return None;
    }
    let chosen = match &cluster.hash_on {
        HashOn::Client => None,
        HashOn::Header(name) => request.fields.named(name).next().map(hash),
        HashOn::Cookie(name) => cookie(request, name).map(hash),
    };
    // Between services every caller is this machine; who asked first is what counts there.
    let origin = || match context.listener.kind {
        ListenerKind::Need { .. } | ListenerKind::App { .. } => {
            request.fields.first(Known::ForwardedFor).map(hash)
        }
        ListenerKind::Gateway => None,
    };
    Some(chosen.or_else(origin).unwrap_or_else(|| hash(context.client_text.as_bytes())))
}

/// The value of cookie `name`.
pub(crate) fn cookie<'a>(request: &'a RequestHead, name: &str) -> Option<&'a [u8]> {
    let pairs = request.fields.all(Known::Cookie).flat_map(|field| field.split(|b| *b == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        (&pair[..at] == name.as_bytes()).then_some(&pair[at + 1..])
    })
}
