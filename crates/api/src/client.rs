//! The client of the admin API, which the command line uses.
//!
//! One connection a request: the socket is on this machine, a connection costs microseconds, and
//! none is left to go stale. Nothing is retried here; whether a request may be repeated is the
//! caller's knowledge.

mod blocks;
mod exchange;
mod messaging;
pub mod stream;
mod transactions;

pub use blocks::StateQuestion;
pub use messaging::{EventPage, EventQuestion};
pub use stream::{Item, Stream};
pub use transactions::TransactionQuestion;

use crate::{query, wire};
use base::InstanceId;
use http::{Method, Request, header};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long the head of an answer may take. Every request is answered when the work has begun, not when it
/// is done, so a node that takes longer hangs.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Largest answer that is read at once: 10,000 log lines of the longest kind do not fit and come
/// in pages, everything else is far smaller.
const ANSWER_LEN_MAX: usize = 256 << 20;

/// Speaks to one node. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    target: Target,
}

/// Where the node is.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Unix(PathBuf),
    Tcp(SocketAddr, String),
}

/// Why a request has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens: the socket is not there, or its node is gone.
    #[error("no node listens on {at}")]
    NotRunning {
        /// The socket's path or address.
        at: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The socket is there, but cannot be used (file permission, for example).
    #[error("cannot connect to {at}")]
    Connect {
        /// The socket's path or address.
        at: String,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The node refused, and says why.
    #[error("{}", .body.message)]
    Api {
        /// HTTP status, 400 or more.
        status: u16,
        /// What the node says.
        body: Box<wire::ErrorDetail>,
    },
    /// The connection broke before the answer was whole: the node may have ended.
    #[error("the connection to the node broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What came back is not this API.
    #[error("the node's answer cannot be read: {0}")]
    Unreadable(String),
    /// The node did not answer within 60 s.
    #[error("the node did not answer within {} s", ANSWER_TIMEOUT.as_secs())]
    TimedOut,
}

impl Error {
    /// The node's own words, when it refused.
    #[must_use]
    pub fn detail(&self) -> Option<&wire::ErrorDetail> {
        match self {
            Self::Api { body, .. } => Some(body),
            _ => None,
        }
    }
}

/// Each method asks the endpoint of its name.
///
/// # Errors
/// All: `NotRunning`, `Connect`, `Broken`, `TimedOut`, `Unreadable`; `Api` with 404 for a service or instance that
/// does not exist, 409 when the state does not allow it, 422 with diagnostics for a file or value that is
/// wrong, 503 when the node is stopping.
///
/// # Cancel safety
/// Reading is cancel safe; a dropped request that changes something may or may not have been done.
impl Client {
    /// A client for the node that listens on the Unix socket `path`. Does not connect yet.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self { target: Target::Unix(path.into()) }
    }

    /// A client for the node that listens on `address`, with its token. Does not connect yet.
    #[must_use]
    pub fn tcp(address: SocketAddr, token: impl Into<String>) -> Self {
        Self { target: Target::Tcp(address, token.into()) }
    }

    /// The socket's path, when this is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.target {
            Target::Unix(path) => Some(path),
            Target::Tcp(..) => None,
        }
    }

    /// The node lives and answers.
    pub async fn health(&self) -> Result<wire::Health, Error> {
        self.get("/v1/health").await
    }

    /// The node and its system.
    pub async fn system(&self) -> Result<wire::System, Error> {
        self.get("/v1/system").await
    }

    /// The whole picture.
    pub async fn status(&self) -> Result<wire::Status, Error> {
        self.get("/v1/status").await
    }

    /// The whole picture now, and again after each change, at most ten a second.
    pub async fn status_stream(&self) -> Result<Stream<wire::Status>, Error> {
        self.stream("/v1/status").await
    }

    /// All services.
    pub async fn services(&self) -> Result<wire::Services, Error> {
        self.get("/v1/services").await
    }

    /// One service.
    pub async fn service(&self, name: &str) -> Result<wire::Service, Error> {
        self.get(&format!("/v1/services/{}", query::escape(name))).await
    }

    /// The instances of one service.
    pub async fn instances(&self, name: &str) -> Result<wire::Instances, Error> {
        self.get(&format!("/v1/services/{}/instances", query::escape(name))).await
    }

    /// One instance.
    pub async fn instance(&self, id: &InstanceId) -> Result<wire::Instance, Error> {
        self.get(&format!("/v1/services/{}/instances/{}", id.service, id.number)).await
    }

    /// Replaces the instances of one service.
    pub async fn restart_service(&self, name: &str) -> Result<wire::Accepted, Error> {
        self.act(&format!("/v1/services/{}/restart", query::escape(name))).await
    }

    /// Replaces one instance.
    pub async fn restart_instance(&self, id: &InstanceId) -> Result<wire::Accepted, Error> {
        self.act(&format!("/v1/instances/{}/{}/restart", id.service, id.number)).await
    }

    /// Replaces all instances of all services.
    pub async fn restart_all(&self) -> Result<wire::Accepted, Error> {
        self.act("/v1/restart").await
    }

    /// Starts a service that was stopped.
    pub async fn start_service(&self, name: &str) -> Result<wire::Accepted, Error> {
        self.act(&format!("/v1/services/{}/start", query::escape(name))).await
    }

    /// Stops a service until it is started again.
    pub async fn stop_service(&self, name: &str) -> Result<wire::Accepted, Error> {
        self.act(&format!("/v1/services/{}/stop", query::escape(name))).await
    }

    /// Sets how many instances a service shall have.
    pub async fn scale(&self, name: &str, instances: u32) -> Result<wire::Accepted, Error> {
        let path = format!("/v1/services/{}/scale", query::escape(name));
        self.post(&path, &wire::Scale { instances }).await
    }

    /// Reads the file again and makes the system what it says, or says what would change.
    pub async fn apply(&self, request: &wire::Apply) -> Result<wire::Applied, Error> {
        self.post("/v1/apply", request).await
    }

    /// Starts a one-off run.
    pub async fn run(&self, request: &wire::Run) -> Result<wire::Started, Error> {
        self.post("/v1/run", request).await
    }

    /// Events after number `after` that the node still has; 0 for all.
    pub async fn events(&self, after: u64) -> Result<wire::Events, Error> {
        self.get(&format!("/v1/events?after={after}")).await
    }

    /// Events after number `after` as they happen.
    pub async fn event_stream(&self, after: u64) -> Result<Stream<wire::Event>, Error> {
        self.stream(&format!("/v1/events?after={after}")).await
    }

    /// Log lines. While `more` is set, ask again with `after` = `next`.
    pub async fn logs(&self, question: &wire::LogQuery) -> Result<wire::Logs, Error> {
        self.get(&format!("/v1/logs{}", query::of_logs(question, false))).await
    }

    /// Log lines that are there, then those that come, in batches without gap or duplicate. To read on after
    /// a broken connection set `after` to the last batch's `next`, and no `tail`.
    pub async fn log_stream(&self, question: &wire::LogQuery) -> Result<Stream<wire::Logs>, Error> {
        self.stream(&format!("/v1/logs{}", query::of_logs(question, true))).await
    }

    /// The traffic of all services.
    pub async fn traffic(&self) -> Result<wire::Traffic, Error> {
        self.get("/v1/traffic").await
    }

    /// Requests that failed or were slow.
    pub async fn requests(&self, question: &wire::RequestQuery) -> Result<wire::Requests, Error> {
        self.get(&format!("/v1/requests{}", query::of_requests(question))).await
    }

    /// Requests as they end, after the last `tail` ones that failed or were slow.
    pub async fn request_stream(
        &self,
        question: &wire::RequestQuery,
    ) -> Result<Stream<wire::Requests>, Error> {
        self.stream(&format!("/v1/requests{}", query::of_requests(question))).await
    }

    /// Who uses what.
    pub async fn top(&self) -> Result<wire::Top, Error> {
        self.get("/v1/top").await
    }

    /// Replaces the node and returns the new one's process; takes up to a minute.
    pub async fn restart_node(&self, request: &wire::ReplaceNode) -> Result<wire::Replaced, Error> {
        self.post("/v1/node/restart", request).await
    }

    /// Stops the system and the node. The answer comes when that has begun; `status_stream` shows how far it
    /// is and ends with the node.
    pub async fn shutdown(&self) -> Result<wire::Accepted, Error> {
        self.act("/v1/shutdown").await
    }

    /// The OpenAPI document.
    pub async fn openapi(&self) -> Result<serde_json::Value, Error> {
        self.get("/v1/openapi.json").await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    async fn act<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.ask(Method::POST, path, Vec::new()).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        self.with_body(Method::POST, path, body).await
    }

    async fn with_body<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(|e| Error::Unreadable(e.to_string()))?;
        self.ask(method, path, body).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, Error> {
        let request = self.request(method, path).header(header::ACCEPT, "application/json");
        self.read(request, body, ANSWER_TIMEOUT).await
    }

    /// The answer to a request, whose head may take `timeout`.
    async fn read<T: DeserializeOwned>(
        &self,
        request: http::request::Builder,
        body: Vec<u8>,
        timeout: Duration,
    ) -> Result<T, Error> {
        let mut exchange = exchange::begin(&self.target, request, body, timeout).await?;
        let read = tokio::time::timeout(ANSWER_TIMEOUT, exchange.whole(ANSWER_LEN_MAX));
        let bytes = read.await.map_err(|_elapsed| Error::TimedOut)??;
        exchange.check(&bytes)?;
        serde_json::from_slice(&bytes).map_err(|e| Error::Unreadable(e.to_string()))
    }

    async fn stream<T: DeserializeOwned>(&self, path: &str) -> Result<Stream<T>, Error> {
        let request = self.request(Method::GET, path).header(header::ACCEPT, "text/event-stream");
        let mut exchange =
            exchange::begin(&self.target, request, Vec::new(), ANSWER_TIMEOUT).await?;
        if !exchange.is_success() {
            let bytes = exchange.whole(ANSWER_LEN_MAX).await?;
            exchange.check(&bytes)?;
        }
        Ok(Stream::new(exchange))
    }

    fn request(&self, method: Method, path: &str) -> http::request::Builder {
        let builder = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json");
        match &self.target {
            Target::Unix(_) => builder.header(header::HOST, "localhost"),
            Target::Tcp(address, token) => builder
                .header(header::HOST, address.to_string())
                .header(header::AUTHORIZATION, format!("Bearer {token}")),
        }
    }
}
