//! One request and its response: where it leads, what goes up, what comes down.

use crate::{
    attempt::{Answer, Call, Failed, Outgoing},
    body::{Download, DownloadStream, Sent, Upload, UploadStream},
    cluster::{Cluster, HashOn},
    config::REPLAY_SIZE_MAX,
    headers::{self, Origin},
    listener::{Listener, ListenerKind},
    reply::Refusal,
    snapshot::{Route, Snapshot},
    tunnel,
    worker::{Active, Worker},
};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRAILER, UPGRADE},
    uri::PathAndQuery,
};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use logic::{balance::hash, retry, route, route::path};
use std::{cell::Cell, convert::Infallible, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

/// Answers one request of `client`.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    client: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Download>, Infallible> {
    let is_grpc = headers::is_grpc(&request);
    let snapshot = worker.snapshot();
    let refusal = match target(&worker, &snapshot, &listener.kind, &request) {
        Ok(target) => {
            let exchange = Exchange { worker: &worker, listener: &listener, client, is_grpc };
            return Ok(exchange.run(target, request).await);
        }
        Err(refusal) => refusal,
    };
    Ok(refusal.response(is_grpc))
}

/// Where a request leads.
struct Target<'a> {
    cluster: &'a Arc<Cluster>,
    route: Option<&'a Route>,
    host: String,
    /// Path and query as the instance gets them.
    path: PathAndQuery,
}

/// A request as the route table looks at it.
struct Asked<'a>(&'a Request<Incoming>, &'a str);

impl route::Request for Asked<'_> {
    fn host(&self) -> &str {
        self.1
    }
    fn method(&self) -> &str {
        self.0.method().as_str()
    }
    fn has_header(&self, name: &str, value: Option<&str>) -> bool {
        let mut found = self.0.headers().get_all(name).iter();
        found.any(|found| value.is_none_or(|value| found.as_bytes() == value.as_bytes()))
    }
}

fn target<'a>(
    worker: &Worker,
    snapshot: &'a Snapshot,
    kind: &ListenerKind,
    request: &Request<Incoming>,
) -> Result<Target<'a>, Refusal> {
    if headers::is_for_proxies(request.method()) {
        let message = "CONNECT is not served here";
        let status = StatusCode::METHOD_NOT_ALLOWED;
        return Err(Refusal { status, ..Refusal::bad_request("method", message) });
    }
    let host = headers::host(request).map_err(|why| Refusal::bad_request("host", why))?;
    let root = PathAndQuery::from_static("/");
    let sent = request.uri().path_and_query().unwrap_or(&root);
    let (service, route, path) = match kind {
        // A service's own calls are not filtered: what it asks is between it and its need.
        ListenerKind::Need { service, .. } => (service, None, sent.clone()),
        ListenerKind::Gateway => {
            let clean = path::clean(sent.path())
                .map_err(|refused| Refusal::bad_request("path", refused.reason()))?;
            let found = snapshot.table.find(&clean, &Asked(request, host));
            let route = found.and_then(|at| snapshot.routes.get(at));
            let no_route = || Refusal::no_route(request.method().as_str(), host, sent.path());
            let route = route.ok_or_else(no_route)?;
            let weights = route.targets.iter().map(|target| target.weight);
            let random = worker.random(logic::balance::Random::draw);
            let target = route::weighted(weights, random).and_then(|at| route.targets.get(at));
            let target = target.ok_or_else(no_route)?;
            (&target.service, Some(route), strip(sent, route.stripped()))
        }
    };
    let cluster = snapshot.clusters.get(service);
    let cluster = cluster.ok_or_else(|| Refusal::no_instance(service, ": it is not known"))?;
    Ok(Target { cluster, route, host: host.to_owned(), path })
}

/// `sent` without `prefix`.
fn strip(sent: &PathAndQuery, prefix: Option<&str>) -> PathAndQuery {
    let Some(prefix) = prefix else { return sent.clone() };
    let left = path::strip(sent.path(), prefix);
    let text = match sent.query() {
        Some(query) => format!("{left}?{query}"),
        None => left.to_owned(),
    };
    // What is left of a path is a path.
    PathAndQuery::try_from(text).unwrap_or_else(|_| sent.clone())
}

/// What stays the same for the whole exchange.
struct Exchange<'a> {
    worker: &'a Rc<Worker>,
    listener: &'a Listener,
    client: SocketAddr,
    is_grpc: bool,
}

impl Exchange<'_> {
    async fn run(&self, target: Target<'_>, mut request: Request<Incoming>) -> Response<Download> {
        let started = self.worker.now();
        let cluster = Arc::clone(target.cluster);
        let route = target.route;
        self.worker.budget(&cluster, retry::Budget::deposit);
        let upgrade = headers::wants_upgrade(&request);
        let client_side = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
        let default = self.worker.config().response_timeout;
        let timeout = route.and_then(|route| route.timeout).unwrap_or(default);
        let mut call = Call {
            worker: self.worker,
            service: &cluster.service,
            key: self.key(&cluster, request.headers()),
            is_grpc: self.is_grpc,
            is_idempotent: retry::is_idempotent(request.method().as_str()) && upgrade.is_none(),
            retries_max: route.and_then(|r| r.retries).unwrap_or(retry::RETRIES_DEFAULT),
            tried: Vec::new(),
            used: retry::Used::default(),
            working: None,
            trouble: None,
        };
        let outcome = tokio::time::timeout(timeout, async {
            let outgoing = self.outgoing(&target, request, upgrade.as_ref(), call.is_idempotent);
            call.run(outgoing.await?).await
        })
        .await;
        let (response, endpoint) = match outcome {
            Ok(Ok(answer)) => {
                let endpoint = Arc::clone(&answer.endpoint);
                (self.answer(answer, &cluster, client_side), Some(endpoint))
            }
            Ok(Err(failed)) => {
                (failed.refusal(&cluster.service).response(self.is_grpc), call.working.take())
            }
            Err(_) => (self.timed_out(&mut call, &cluster, timeout), call.working.take()),
        };
        let latency = self.worker.now().since(started);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let status = response.status().as_u16();
        let counters = [Some(&*cluster.counters), route.map(|route| &*route.counters)];
        let own = endpoint.as_deref().map(crate::Endpoint::counters);
        for counters in counters.into_iter().chain([own]).flatten() {
            counters.answered(status, latency_us);
            if call.used.retries > 0 {
                counters.retried();
            }
        }
        response
    }

    fn timed_out(
        &self,
        call: &mut Call<'_>,
        cluster: &Cluster,
        timeout: Duration,
    ) -> Response<Download> {
        cluster.counters.timed_out();
        if let Some(endpoint) = &call.working {
            endpoint.counters().timed_out();
            let waited_us = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
            endpoint.observe(self.worker.now_ms(), waited_us);
        }
        Refusal::timed_out(&cluster.service, timeout.as_secs_f64()).response(self.is_grpc)
    }

    /// What `consistent_hash` goes by, when the service uses it.
    fn key(&self, cluster: &Cluster, headers: &HeaderMap) -> Option<u64> {
        if cluster.algorithm != crate::Algorithm::ConsistentHash {
            return None;
        }
        let text = |value: &HeaderValue| hash(value.as_bytes());
        let chosen = match &cluster.hash_on {
            HashOn::Client => None,
            HashOn::Header(name) => headers.get(name.as_str()).map(text),
            HashOn::Cookie(name) => cookie(headers, name).map(hash),
        };
        // On a need's listener every caller is this machine; who asked first is what counts there.
        let origin = || match self.listener.kind {
            ListenerKind::Need { .. } => headers.get("x-forwarded-for").map(text),
            ListenerKind::Gateway => None,
        };
        let client = || hash(self.client.ip().to_canonical().to_string().as_bytes());
        Some(chosen.or_else(origin).unwrap_or_else(client))
    }

    /// The request as instances get it.
    async fn outgoing(
        &self,
        target: &Target<'_>,
        request: Request<Incoming>,
        upgrade: Option<&HeaderValue>,
        is_idempotent: bool,
    ) -> Result<Outgoing, Failed> {
        let (mut head, body) = request.into_parts();
        let origin = Origin {
            kind: &self.listener.kind,
            client: self.client.ip(),
            host: &target.host,
            upgrade,
            is_grpc: self.is_grpc,
        };
        self.worker.random(|random| headers::prepare(&mut head.headers, &origin, random));
        if let Some(authority) = head.uri.authority() {
            // The target counts, not the field (RFC 9112 §3.2.2).
            if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
                head.headers.insert(HOST, host);
            }
        }
        // Trailers are lost by reading ahead, so what announces them is streamed.
        let may_hold = is_idempotent && !head.headers.contains_key(TRAILER);
        let body = self.upload(body, may_hold, target.cluster).await?;
        if let Upload::Whole(bytes) = &body {
            // Its length is known now, also when it came in chunks.
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
        }
        let uri = Uri::from(target.path.clone());
        Ok(Outgoing { method: head.method, uri, headers: head.headers, body })
    }

    /// The request's body, read completely when that lets it be sent again.
    async fn upload(
        &self,
        mut body: Incoming,
        may_hold: bool,
        cluster: &Cluster,
    ) -> Result<Upload, Failed> {
        if body.is_end_stream() {
            return Ok(Upload::Empty);
        }
        let mut first = None;
        let most = u64::try_from(REPLAY_SIZE_MAX).unwrap_or(u64::MAX);
        if may_hold && body.size_hint().lower() <= most {
            let Ok((read, ended)) = read(&mut body, REPLAY_SIZE_MAX).await else {
                return Err(Failed::Client);
            };
            if ended {
                cluster.counters.received(read.len());
                return Ok(Upload::Whole(read));
            }
            first = Some(read);
        }
        let sent = Rc::new(Cell::new(Sent::Partly));
        let counters = Arc::clone(&cluster.counters);
        Ok(Upload::Stream(Box::new(UploadStream { first, rest: body, sent, counters })))
    }

    /// The response as the client gets it.
    fn answer(
        &self,
        answer: Answer,
        cluster: &Cluster,
        client_side: Option<OnUpgrade>,
    ) -> Response<Download> {
        let Answer { mut head, whole, incoming, open, upgraded, endpoint: _ } = answer;
        let protocol = head.headers.get(UPGRADE).cloned();
        headers::remove_hop_by_hop(&mut head.headers);
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let (Some(client), Some(instance), Some(open)) = (client_side, upgraded, open) else {
                let detail = "it switched protocols unasked";
                return Refusal::upstream(&cluster.service, detail).response(self.is_grpc);
            };
            tunnel::join(self.worker, client, instance, open.in_flight);
            head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = protocol {
                head.headers.insert(UPGRADE, protocol);
            }
            return respond(head, Download::Empty);
        }
        let body = match (whole, incoming) {
            (Some(bytes), _) => {
                cluster.counters.sent(bytes.len());
                Download::Whole(bytes)
            }
            (None, Some(incoming)) => {
                let counters = Arc::clone(&cluster.counters);
                let _active = Active::new(self.worker);
                Download::Stream(Box::new(DownloadStream { incoming, open, counters, _active }))
            }
            (None, None) => Download::Empty,
        };
        respond(head, body)
    }
}

fn respond(head: http::response::Parts, body: Download) -> Response<Download> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// Reads `body` until its end or `most` bytes; also says whether it ended. Trailers of what is
/// read whole are dropped: it is only used where there are none worth keeping.
pub(crate) async fn read(body: &mut Incoming, most: usize) -> Result<(Bytes, bool), hyper::Error> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let Ok(data) = frame?.into_data() else { continue };
        if first.is_empty() && more.is_empty() {
            // The usual case: all of it in one piece, not copied.
            first = data;
        } else {
            more.extend_from_slice(&std::mem::take(&mut first));
            more.extend_from_slice(&data);
        }
        if first.len() + more.len() > most {
            break;
        }
    }
    let all = if more.is_empty() { first } else { more.freeze() };
    Ok((all, body.is_end_stream()))
}

/// The value of cookie `name`.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    fields.flat_map(|field| field.split(';')).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value.as_bytes())
    })
}
