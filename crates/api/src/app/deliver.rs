//! Carries events to apps: requests and gRPC calls to the services that are subscribed.
//!
//! ```text
//!  events ──► deliver ──┬─ http      a path of a service: a CloudEvent in one piece or in fields, or the data alone
//!                       ├─ dapr      as Dapr does it over HTTP: envelopes, statuses in answers, jobs, bulk
//!                       └─ callback  the same over gRPC
//!                             └──► pool ──► a listener of the data plane ──► a ready instance
//! ```
//! Every delivery goes through the data plane, so that it is balanced, watched and traced as any other request. What the data
//! plane answers in an instance's place is told apart from what an app answers: that nobody was there costs no attempt.

pub(crate) mod callback;
mod dapr;
mod declared;
pub(crate) mod envelope;
mod http;

pub(crate) use declared::DEAD_LETTER_RETRY;

use super::{AppBackend, Protocol};
use crate::{
    pool::{self, Answered, Place, Pool, Version},
    trace::{self, TRACEPARENT, TRACESTATE},
};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use async_trait::async_trait;
use base::ServiceName;
use bytes::Bytes;
use events::{Deliver, Event, Incoming, Subscription, Target, Verdict};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// Largest answer that is read: verdicts on a bulk of a thousand events have room in it.
const ANSWER_LEN_MAX: usize = 1 << 20;

/// Connections to one listener that are kept without work: those of a usual subscription.
const IDLE_MAX: usize = 16;

/// Most characters of an answer that stand in a reason for people.
pub(crate) const REASON_LEN_MAX: usize = 300;

/// Longest pause that an app can ask for; what asks for more means that it does not want it at all.
const AFTER_MAX: Duration = Duration::from_secs(3_600);

pub(crate) const API_TOKEN: HeaderName = HeaderName::from_static("dapr-api-token");

/// What the data plane says when no instance got the request.
pub(crate) const NOBODY: [&str; 4] = ["no_instance", "breaker_open", "overloaded", "not_ready"];

/// Where services can be reached, as the node knows it.
#[async_trait]
pub trait Reachable: Send + Sync {
    /// The address of a listener of the data plane that leads to the ready instances of `service`; `None` when there is none.
    /// It takes HTTP/1.1, and HTTP/2 without TLS for services that speak gRPC. Answers from memory.
    fn address(&self, service: &ServiceName) -> Option<SocketAddr>;

    /// Waits until an instance of `service` is ready. Returns at once when there is no telling.
    ///
    /// # Cancel safety
    /// Cancel safe.
    async fn ready(&self, service: &ServiceName);
}

/// Carries events to apps.
pub struct Deliverer {
    backend: Arc<dyn AppBackend>,
    reachable: Arc<dyn Reachable>,
    pool: Pool,
}

impl std::fmt::Debug for Deliverer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Deliverer")
    }
}

/// Why an app did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Unanswered {
    /// Nobody got it.
    Away(String),
    /// Somebody may have got it.
    Failed(String),
}

impl From<Unanswered> for Verdict {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Away(reason) => Self::Away { reason },
            Unanswered::Failed(reason) => retry(reason),
        }
    }
}

fn retry(reason: impl Into<String>) -> Verdict {
    Verdict::Retry { after: None, reason: reason.into() }
}

impl Deliverer {
    /// One that asks the node about services.
    #[must_use]
    pub fn new(backend: Arc<dyn AppBackend>, reachable: Arc<dyn Reachable>) -> Self {
        Self { backend, reachable, pool: Pool::new(IDLE_MAX) }
    }

    /// How a service speaks.
    fn protocol(&self, service: &ServiceName) -> Protocol {
        let known = self.backend.service(service.as_str());
        known.map(|callee| callee.protocol).unwrap_or_default()
    }

    /// The fields that a delivery has besides its own: what the app is called by, and its step of the event's trace.
    fn fields(&self, service: &ServiceName, event: Option<&Event>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: Option<&str>| {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        };
        let callee = self.backend.service(service.as_str());
        put(API_TOKEN, callee.as_ref().and_then(|callee| callee.app_token.as_deref()));
        if let Some(event) = event {
            // Without one the data plane begins a trace, which a state would not be of.
            if let Some(step) = event.extensions.get(TRACEPARENT).and_then(|it| trace::step(it)) {
                put(HeaderName::from_static(TRACEPARENT), Some(&step));
                let state = event.extensions.get(TRACESTATE).filter(|state| !state.is_empty());
                put(HeaderName::from_static(TRACESTATE), state.map(String::as_str));
            }
        }
        headers
    }

    /// Sends a request to a service and waits for the answer of one of its instances.
    async fn ask(
        &self,
        service: &ServiceName,
        version: Version,
        request: Ask,
        timeout: Duration,
    ) -> Result<Answered, Unanswered> {
        let Some(address) = self.reachable.address(service) else {
            return Err(Unanswered::Away(format!("no instance of {service} is known")));
        };
        let room = self.pool.room(Place::Listener(address), version);
        let permit = tokio::time::timeout(timeout, room).await;
        let Ok(permit) = permit else {
            let reason = format!("{service} has as many deliveries as it gets at a time");
            return Err(Unanswered::Away(reason));
        };
        let request = request.on(address, version).map_err(Unanswered::Failed)?;
        let exchange = self.pool.exchange(&permit, request, ANSWER_LEN_MAX);
        let answered = match tokio::time::timeout(timeout, exchange).await {
            Ok(Ok(answered)) => answered,
            Ok(Err(pool::Error::Connect(cause))) => {
                return Err(Unanswered::Away(format!("{service} cannot be connected to: {cause}")));
            }
            Ok(Err(e @ pool::Error::Broken(_))) => {
                return Err(Unanswered::Failed(format!("{service}: {e}")));
            }
            Err(_elapsed) => {
                let seconds = timeout.as_secs_f64();
                let reason = format!("{service} did not answer within {seconds} s");
                return Err(Unanswered::Failed(reason));
            }
        };
        let refused = answered.0.headers().get(proxy::REFUSAL_FIELD);
        match refused.and_then(|code| code.to_str().ok()) {
            None => Ok(answered),
            Some(code) if NOBODY.contains(&code) => Err(Unanswered::Away(refusal(&answered.0))),
            Some(_) => Err(Unanswered::Failed(refusal(&answered.0))),
        }
    }
}

/// A request on its way to a service.
struct Ask {
    method: Method,
    /// With its query.
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Ask {
    /// For the listener at `address`; otherwise what is wrong with it.
    fn on(self, address: SocketAddr, version: Version) -> Result<Request<Bytes>, String> {
        let path = path(&self.path);
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        let authority = address.to_string();
        let uri = match version {
            Version::Http1 => {
                if let Ok(host) = HeaderValue::from_str(&authority) {
                    request.headers_mut().insert(header::HOST, host);
                }
                path.parse()
            }
            Version::Http2 => {
                *request.version_mut() = ::http::Version::HTTP_2;
                format!("http://{authority}{path}").parse()
            }
        };
        let uri = uri.map_err(|e: ::http::uri::InvalidUri| format!("`{path}` is no path: {e}"))?;
        *request.uri_mut() = uri;
        Ok(request)
    }
}

/// A path as it can be asked for: with its slash, and what cannot stand in a path escaped.
pub(crate) fn path(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1);
    if !text.starts_with('/') {
        out.push('/');
    }
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !br##""#<>\^`{|}"##.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What the data plane said in an instance's place.
pub(crate) fn refusal(response: &Response<Bytes>) -> String {
    let body: Option<serde_json::Value> = serde_json::from_slice(response.body()).ok();
    let told = body.as_ref().and_then(|body| body.pointer("/error/message")?.as_str());
    let status = response.headers().get("grpc-message").and_then(|it| it.to_str().ok());
    told.or(status).unwrap_or("no instance answered").to_owned()
}

/// A status and the beginning of what was said with it, for people.
pub(crate) fn said(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text: String = text.trim().chars().take(REASON_LEN_MAX).collect();
    if text.is_empty() {
        format!("it answered {status}")
    } else {
        format!("it answered {status}: {text}")
    }
}

#[async_trait]
impl Deliver for Deliverer {
    async fn deliver(
        &self,
        target: &Target,
        events: &[Incoming],
        timeout: Duration,
    ) -> Vec<Verdict> {
        match target {
            Target::Http { service, method, path, shape } => {
                let mut verdicts = Vec::with_capacity(events.len());
                for incoming in events {
                    let to = http::To { service, method, path, shape: *shape };
                    verdicts.push(self.by_http(to, incoming, timeout).await);
                }
                verdicts
            }
            Target::Dapr { service, pubsub, path, raw, bulk } => {
                let to = dapr::To { service, pubsub, path, raw: *raw };
                let is_grpc = self.protocol(service).is_grpc();
                match (*bulk, is_grpc) {
                    (true, true) => self.bulk_by_call(to, events, timeout).await,
                    (true, false) => self.bulk_by_post(to, events, timeout).await,
                    (false, _) => {
                        let mut verdicts = Vec::with_capacity(events.len());
                        for incoming in events {
                            verdicts.push(if is_grpc {
                                self.by_call(to, incoming, timeout).await
                            } else {
                                self.by_post(to, incoming, timeout).await
                            });
                        }
                        verdicts
                    }
                }
            }
            Target::DaprJob { service, name } => {
                let mut verdicts = Vec::with_capacity(events.len());
                for incoming in events {
                    verdicts.push(if self.protocol(service).is_grpc() {
                        self.job_by_call(service, name, &incoming.event, timeout).await
                    } else {
                        self.job_by_post(service, name, &incoming.event, timeout).await
                    });
                }
                verdicts
            }
            // Whoever holds the connection takes its events from there.
            Target::Open(number) => {
                let reason = format!("the connection {number} has ended");
                events.iter().map(|_| Verdict::Away { reason: reason.clone() }).collect()
            }
        }
    }

    async fn ready(&self, target: &Target) {
        if let Some(service) = target.service() {
            self.reachable.ready(service).await;
        }
    }

    async fn declared(&self, service: &ServiceName) -> Vec<Subscription> {
        self.ask_what_it_wants(service).await
    }
}

#[cfg(test)]
pub(crate) mod tests;
