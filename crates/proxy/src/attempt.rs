//! Getting one request answered: pick an instance, send, and try again where that is safe.

use crate::{
    body::{Open, Sent, Upload},
    cluster::{Cluster, InLine},
    config::{REPLAY_SIZE_MAX, UPSTREAM_FRESH, WAITING_LOOK, WAITING_MAX},
    endpoint::{Endpoint, InFlight},
    exchange::read,
    reply::Refusal,
    upstream::{self, Http1, Http2},
    worker::Worker,
};
use base::ServiceName;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header::HOST,
};
use http_body::Body as _;
use hyper::{body::Incoming, client::conn::TrySendError, upgrade::OnUpgrade};
use logic::retry::{self, Failure, Used};
use std::{cell::Cell, rc::Rc, sync::Arc};
use tokio::time::Instant;

/// A request as instances get it.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// Origin form: path and query.
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Upload,
}

impl Outgoing {
    /// The same request again, when all of it is here.
    fn again(&self) -> Option<Self> {
        Some(Self {
            body: self.body.again()?,
            method: self.method.clone(),
            uri: self.uri.clone(),
            headers: self.headers.clone(),
        })
    }

    fn request(self, endpoint: &Endpoint, is_grpc: bool) -> Request<Upload> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        if is_grpc {
            *request.version_mut() = Version::HTTP_2;
            let host = request.headers_mut().remove(HOST);
            *request.uri_mut() = absolute(self.uri, host.as_ref(), endpoint);
        } else {
            *request.uri_mut() = self.uri;
            if !request.headers().contains_key(HOST)
                && let Ok(host) = HeaderValue::try_from(endpoint.address().to_string())
            {
                request.headers_mut().insert(HOST, host);
            }
        }
        request
    }

    /// The request back from a connection that did not send it.
    fn back(request: Request<Upload>) -> Self {
        let (mut head, body) = request.into_parts();
        if let Some(authority) = head.uri.authority()
            && let Ok(host) = HeaderValue::from_str(authority.as_str())
        {
            head.headers.insert(HOST, host);
        }
        let path = head.uri.path_and_query().cloned();
        let uri = path.map_or_else(Uri::default, Uri::from);
        Self { method: head.method, uri, headers: head.headers, body }
    }
}

/// HTTP/2 names scheme and authority with the path.
fn absolute(uri: Uri, host: Option<&HeaderValue>, endpoint: &Endpoint) -> Uri {
    let authority = match host.and_then(|host| host.to_str().ok()) {
        Some(host) => host.to_owned(),
        None => endpoint.address().to_string(),
    };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let built = Uri::builder().scheme("http").authority(authority).path_and_query(path).build();
    built.unwrap_or(uri)
}

/// An instance's response.
pub(crate) struct Answer {
    pub(crate) head: http::response::Parts,
    /// Its body, when it was read completely.
    pub(crate) whole: Option<Bytes>,
    /// Its body, when it still comes.
    pub(crate) incoming: Option<Incoming>,
    /// What is held until it has come; `None` when the instance is done.
    pub(crate) open: Option<Open>,
    /// The instance's side of an upgrade.
    pub(crate) upgraded: Option<OnUpgrade>,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum Failed {
    /// No instance could be reached; nothing was processed.
    NoInstance(String),
    /// An instance may have processed it and did not answer.
    Upstream(String),
    /// The client broke its request off.
    Client,
}

impl Failed {
    pub(crate) fn refusal(&self, service: &ServiceName) -> Refusal {
        match self {
            Self::NoInstance(detail) => Refusal::no_instance(service, detail),
            Self::Upstream(detail) => Refusal::upstream(service, detail),
            Self::Client => Refusal::client_gone(),
        }
    }
}

/// An attempt that failed.
struct Trouble {
    failure: Failure,
    /// The endpoint is to blame, not a kept connection's age.
    is_endpoints: bool,
    detail: String,
    /// The request, when it can be sent again as far as its body goes.
    outgoing: Option<Outgoing>,
}

/// One request's way to an answer.
pub(crate) struct Call<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) service: &'a ServiceName,
    pub(crate) key: Option<u64>,
    pub(crate) is_grpc: bool,
    pub(crate) is_idempotent: bool,
    pub(crate) retries_max: u32,
    /// Endpoints that failed this request.
    pub(crate) tried: Vec<u64>,
    pub(crate) used: Used,
    /// Who has it now.
    pub(crate) working: Option<Arc<Endpoint>>,
    /// What went wrong last.
    pub(crate) trouble: Option<String>,
}

/// A connection, kept, shared or new.
enum Connection {
    Own(Http1),
    Shared(Http2),
}

/// A request that waits for an instance.
struct Wait {
    until: Instant,
    _line: InLine,
}

impl Call<'_> {
    /// Sends `outgoing` until it is answered or may not be sent again.
    pub(crate) async fn run(&mut self, mut outgoing: Outgoing) -> Result<Answer, Failed> {
        let mut wait = None;
        loop {
            // Every round looks at the newest instances.
            let snapshot = self.worker.snapshot();
            let Some(cluster) = snapshot.clusters.get(self.service) else {
                return Err(Failed::NoInstance(": it is not known any more".to_owned()));
            };
            let changes = self.worker.changes();
            // Who has waited does not knock at a door that was just found shut.
            let spare = wait.is_some();
            let Some(in_flight) = self.worker.begin(cluster, self.key, &self.tried, spare) else {
                self.wait(cluster, &mut wait, changes).await?;
                self.tried.clear();
                continue;
            };
            let endpoint = Arc::clone(in_flight.endpoint());
            self.working = Some(Arc::clone(&endpoint));
            let trouble = match self.send(in_flight, outgoing).await? {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            if trouble.is_endpoints {
                endpoint.failed(self.worker.now_ms());
                self.tried.push(endpoint.id());
            }
            cluster.counters.failed();
            outgoing = self.again(cluster, trouble, &endpoint)?;
        }
    }

    /// Decides whether the request goes out again after `trouble`, and gives it back if so.
    fn again(
        &mut self,
        cluster: &Cluster,
        trouble: Trouble,
        endpoint: &Endpoint,
    ) -> Result<Outgoing, Failed> {
        let detail = format!("{}: {}", endpoint.instance(), trouble.detail);
        let request = retry::Request {
            is_idempotent: self.is_idempotent,
            is_replayable: trouble.outgoing.is_some(),
            retries_max: self.retries_max,
        };
        let now = self.worker.now();
        let used = &mut self.used;
        let may = self
            .worker
            .budget(cluster, |budget| retry::again(trouble.failure, request, used, budget, now));
        match (trouble.outgoing, trouble.failure) {
            (Some(outgoing), _) if may => {
                self.trouble = Some(detail);
                Ok(outgoing)
            }
            (_, Failure::ConnectFailed | Failure::NotSent) => {
                Err(Failed::NoInstance(format!(" ({detail})")))
            }
            (_, Failure::Broken | Failure::TimedOut) => Err(Failed::Upstream(detail)),
        }
    }

    /// Waits for other instances, or for one that failed to be worth another look.
    async fn wait(
        &self,
        cluster: &Cluster,
        wait: &mut Option<Wait>,
        mut changes: tokio::sync::watch::Receiver<()>,
    ) -> Result<(), Failed> {
        let detail = || self.trouble.as_ref().map_or_else(String::new, |last| format!(" ({last})"));
        let until = match wait {
            Some(wait) => wait.until,
            None => {
                let line = cluster.wait_in_line(WAITING_MAX);
                let _line = line.ok_or_else(|| Failed::NoInstance(detail()))?;
                let until = Instant::now() + self.worker.config().no_instance_wait;
                wait.insert(Wait { until, _line }).until
            }
        };
        if Instant::now() >= until {
            return Err(Failed::NoInstance(detail()));
        }
        let look = until.min(Instant::now() + WAITING_LOOK);
        // Either way the next round looks again.
        drop(tokio::time::timeout_at(look, changes.changed()).await);
        Ok(())
    }

    /// Sends the request to one endpoint. The outer error is final.
    async fn send(
        &self,
        in_flight: InFlight,
        outgoing: Outgoing,
    ) -> Result<Result<Answer, Trouble>, Failed> {
        let endpoint = Arc::clone(in_flight.endpoint());
        let (connection, is_kept) = match self.connection(&endpoint).await {
            Ok(connection) => connection,
            Err(cause) => {
                return Ok(Err(Trouble {
                    failure: Failure::ConnectFailed,
                    is_endpoints: true,
                    detail: cause.to_string(),
                    outgoing: Some(outgoing),
                }));
            }
        };
        let may_repeat = self.is_idempotent && self.used.retries < self.retries_max;
        let spare = if may_repeat { outgoing.again() } else { None };
        let upload = outgoing.body.progress();
        let request = outgoing.request(&endpoint, self.is_grpc);
        let started = self.worker.now();
        let (sent, own) = match connection {
            Connection::Own(mut own) => (own.try_send_request(request).await, Some(own)),
            Connection::Shared(mut shared) => (shared.try_send_request(request).await, None),
        };
        let response = match sent {
            Ok(response) => response,
            Err(error) => return unsent(error, is_kept, spare, upload.as_ref()),
        };
        let latency = self.worker.now().since(started);
        let latency_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        endpoint.succeeded(self.worker.now_ms(), latency_us);
        let worker = Rc::clone(self.worker);
        let open = Open { worker, in_flight, connection: own, upload };
        Ok(self.receive(response, open, spare).await)
    }

    /// A kept connection, or else a new one; says whether it was kept.
    async fn connection(&self, endpoint: &Arc<Endpoint>) -> std::io::Result<(Connection, bool)> {
        if self.is_grpc {
            if let Some(shared) = self.worker.shared_connection(endpoint) {
                return Ok((Connection::Shared(shared), true));
            }
            let shared = upstream::connect_shared(self.worker, endpoint).await?;
            self.worker.share(endpoint, &shared);
            return Ok((Connection::Shared(shared), false));
        }
        let idle = self.worker.config().upstream_idle;
        let age_max = if self.is_idempotent { idle } else { idle.min(UPSTREAM_FRESH) };
        // One that broke under this request once is enough: the others may be as old.
        let age_max =
            if self.used.stale + self.used.retries > 0 { UPSTREAM_FRESH } else { age_max };
        while let Some(mut kept) = self.worker.kept(endpoint, age_max) {
            // Its task may still be putting the last response away.
            if kept.is_ready() || kept.ready().await.is_ok() {
                return Ok((Connection::Own(kept), true));
            }
        }
        let new = upstream::connect(self.worker, endpoint).await?;
        Ok((Connection::Own(new), false))
    }

    /// Takes the response in: completely if it is small and the request may be sent again, so that
    /// an instance that dies in the middle of it can still be replaced.
    async fn receive(
        &self,
        mut response: Response<Incoming>,
        open: Open,
        spare: Option<Outgoing>,
    ) -> Result<Answer, Trouble> {
        let endpoint = Arc::clone(open.in_flight.endpoint());
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = Some(hyper::upgrade::on(&mut response));
            let (head, _) = response.into_parts();
            let (whole, incoming, open) = (None, None, Some(open));
            return Ok(Answer { head, whole, incoming, open, upgraded, endpoint });
        }
        let (head, mut body) = response.into_parts();
        let most = u64::try_from(REPLAY_SIZE_MAX).unwrap_or(u64::MAX);
        if body.is_end_stream() {
            open.complete();
            let (whole, incoming, open, upgraded) = (None, None, None, None);
            return Ok(Answer { head, whole, incoming, open, upgraded, endpoint });
        }
        let is_small = body.size_hint().exact().is_some_and(|length| length <= most);
        if spare.is_some() && is_small {
            return match read(&mut body, REPLAY_SIZE_MAX).await {
                Ok((bytes, _)) => {
                    open.complete();
                    let (incoming, open, upgraded) = (None, None, None);
                    Ok(Answer { head, whole: Some(bytes), incoming, open, upgraded, endpoint })
                }
                Err(error) => Err(Trouble {
                    failure: Failure::Broken,
                    is_endpoints: true,
                    detail: error.to_string(),
                    outgoing: spare,
                }),
            };
        }
        let (whole, incoming, open, upgraded) = (None, Some(body), Some(open), None);
        Ok(Answer { head, whole, incoming, open, upgraded, endpoint })
    }
}

/// What an error of sending means.
fn unsent(
    mut error: TrySendError<Request<Upload>>,
    is_kept: bool,
    spare: Option<Outgoing>,
    upload: Option<&Rc<Cell<Sent>>>,
) -> Result<Result<Answer, Trouble>, Failed> {
    if upload.is_some_and(|sent| sent.get() == Sent::Aborted) {
        return Err(Failed::Client);
    }
    let (failure, outgoing) = match error.take_message() {
        Some(request) => (Failure::NotSent, Some(Outgoing::back(request))),
        None => (Failure::Broken, spare),
    };
    let detail = words(error.error());
    // A kept connection that breaks is most often one that was closed while nobody used it.
    Ok(Err(Trouble { failure, is_endpoints: !is_kept, detail, outgoing }))
}

/// An error with its causes.
fn words(error: &hyper::Error) -> String {
    base::ErrorChain(error).to_string()
}
