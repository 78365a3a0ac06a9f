//! What answers requests that lead to the node itself: the other side of the app listeners.
//!
//! Every instance has listeners of its own ([`crate::ListenerKind::App`]); which of them a request came on says who
//! asks. For each request the data plane asks [`Local::direct`] where it leads, and does the rest: it carries bodies
//! both ways, balances and retries what leads to a service, and hears when the caller is gone.
//!
//! Contract:
//! - `direct` and `refusal` are pure and quick, and `answer` does not block: they run on a worker's thread, which has
//!   other requests to carry meanwhile.
//! - The future of `answer` is polled where it was made, at once, and dropped when the caller is gone, when its
//!   request turns out to be malformed or too large, and when the data plane ends. What must happen all the same
//!   belongs to a task of its own.
//! - A response's body is polled only when the last piece was taken, and dropped when the caller is gone.

mod body;

pub use body::{BodyError, BoxBody, BoxError, LocalBody};
pub(crate) use body::{Feed, flowing};

use crate::h1::{Known, RequestHead};
use base::{InstanceId, ServiceName};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use std::{future::Future, pin::Pin};

/// The largest body that is answered here unless [`Direction::Here`] says otherwise: 4 MiB, Dapr's default.
pub const BODY_SIZE_DEFAULT: u64 = 4 * 1024 * 1024;

/// The largest that it can say: 16 MiB. What is answered here is held in memory by whoever answers.
pub const BODY_SIZE_MAX: u64 = 16 * 1024 * 1024;

/// A future that can go to another thread.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Says where requests on app listeners lead, and answers those that lead to the node.
pub trait Local: Send + Sync {
    /// Where a request on an app listener of `caller` leads.
    fn direct(&self, caller: &InstanceId, look: &Look<'_>) -> Direction;

    /// Answers a request that leads here.
    ///
    /// Its URI is the path with the query, as sent; its fields are as sent but for those of the connection
    /// (`Connection`, `Transfer-Encoding`, …), with `Host` among them. The response's fields that frame a message are
    /// ignored: framing follows from the body. A gRPC call gets its status as trailers, as usual.
    fn answer(
        &self,
        caller: &InstanceId,
        request: Request<LocalBody>,
    ) -> BoxFuture<Response<BoxBody>>;

    /// Words an answer that the data plane gives in place of an instance or of [`Self::answer`]. For a gRPC call it
    /// has no body and the status among its fields ("Trailers-Only").
    fn refusal(&self, caller: &InstanceId, refused: &Refused<'_>) -> Response<Bytes>;
}

/// Where a request leads.
#[derive(Debug)]
pub enum Direction {
    /// To the node: [`Local::answer`] gets it.
    Here {
        /// Bytes of its body, at most [`BODY_SIZE_MAX`]; one that is larger is refused with 413. It does not bind
        /// gRPC calls, which may be endless streams: there whoever decodes messages bounds each of them.
        body_size_max: u64,
    },
    /// To an instance of a service.
    Service(To),
    /// Nowhere: this is the answer.
    Refuse(Response<Bytes>),
}

impl Direction {
    /// To the node, with the usual largest body.
    #[must_use]
    pub fn here() -> Self {
        Self::Here { body_size_max: BODY_SIZE_DEFAULT }
    }
}

/// A service that a request leads to, and how it gets there. The body flows both ways, whatever its size; times,
/// retries and limits are those of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct To {
    /// The service. One that is not known is refused ([`Local::refusal`]) with the code `no_instance`.
    pub service: ServiceName,
    /// Path and query as the instance gets them, beginning with a slash; `None`: as they were sent. What cannot be
    /// sent as a path is refused as malformed.
    pub path: Option<String>,
    /// Fields that are taken away, also those that a server may take for them because `_` stands for `-`.
    pub remove: Vec<HeaderName>,
    /// Fields that are set, in place of those of the same name in either spelling. The instance gets them even when
    /// the request names them in `Connection`.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// How the instance is spoken to.
    pub protocol: Upstream,
}

impl To {
    /// To `service`, unchanged.
    #[must_use]
    pub fn new(service: ServiceName) -> Self {
        let protocol = Upstream::default();
        Self { service, path: None, remove: Vec::new(), set: Vec::new(), protocol }
    }
}

/// How an instance is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upstream {
    /// HTTP/1.1, and gRPC calls over HTTP/2.
    #[default]
    Usual,
    /// HTTP/2 without TLS, with prior knowledge.
    Http2,
}

/// Why the data plane answers itself.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The HTTP status that fits: 4xx for the caller's mistakes, 502 to 504 for those of the service.
    pub status: u16,
    /// `no_instance`, `upstream_failed`, `timeout`, `breaker_open`, `overloaded`, `body_too_large`, `slow_body`,
    /// `bad_request`, …
    pub code: &'static str,
    /// Words for people.
    pub message: &'a str,
    /// Path and query of the request, as sent.
    pub path: &'a str,
    /// Where the request led, when it led to a service.
    pub service: Option<&'a ServiceName>,
    /// When trying again is worth it, in seconds.
    pub retry_after_s: Option<u32>,
    /// The request is a gRPC call.
    pub is_grpc: bool,
}

/// A request as [`Local::direct`] looks at it.
#[derive(Clone, Copy)]
pub struct Look<'a>(Of<'a>);

#[derive(Clone, Copy)]
enum Of<'a> {
    Head(&'a RequestHead),
    Parts(&'a Parts),
}

impl std::fmt::Debug for Look<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method(), self.path_and_query())
    }
}

impl<'a> Look<'a> {
    /// A look at a request that came by no data plane, as checks of a [`Local`] have it.
    #[must_use]
    pub fn at(parts: &'a Parts) -> Self {
        Self(Of::Parts(parts))
    }

    pub(crate) fn head(head: &'a RequestHead) -> Self {
        Self(Of::Head(head))
    }

    /// The method, as sent.
    #[must_use]
    pub fn method(&self) -> &'a str {
        match self.0 {
            Of::Head(head) => head.method(),
            Of::Parts(parts) => parts.method.as_str(),
        }
    }

    /// Path and query, as sent; `*` for a request to the whole server.
    #[must_use]
    pub fn path_and_query(&self) -> &'a str {
        match self.0 {
            Of::Head(head) => head.path_and_query(),
            Of::Parts(parts) => parts.uri.path_and_query().map_or("/", |both| both.as_str()),
        }
    }

    /// The path, as sent.
    #[must_use]
    pub fn path(&self) -> &'a str {
        let sent = self.path_and_query();
        sent.split_once('?').map_or(sent, |(path, _)| path)
    }

    /// The query, as sent, without `?`.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.path_and_query().split_once('?').map(|(_, query)| query)
    }

    /// Host and port, as sent; empty when an HTTP/1.0 client named none.
    #[must_use]
    pub fn host(&self) -> &'a str {
        match self.0 {
            Of::Head(head) => head.host(),
            Of::Parts(parts) => {
                let field = || parts.headers.get(http::header::HOST)?.to_str().ok();
                parts.uri.authority().map(|it| it.as_str()).or_else(field).unwrap_or_default()
            }
        }
    }

    /// The first value of the field `name`, in any case.
    #[must_use]
    pub fn header(&self, name: &'a str) -> Option<&'a [u8]> {
        match self.0 {
            Of::Head(head) => head.fields.named(name).next(),
            Of::Parts(parts) => parts.headers.get(name).map(HeaderValue::as_bytes),
        }
    }

    /// Whether it came over HTTP/2.
    #[must_use]
    pub fn is_h2(&self) -> bool {
        match self.0 {
            Of::Head(head) => head.version == 2,
            Of::Parts(parts) => parts.version == http::Version::HTTP_2,
        }
    }

    /// Whether it is a gRPC call: HTTP/2 with gRPC's content type.
    #[must_use]
    pub fn is_grpc(&self) -> bool {
        match self.0 {
            Of::Head(head) => head.is_grpc(),
            Of::Parts(_) => {
                let kind = self.header(http::header::CONTENT_TYPE.as_str());
                self.is_h2() && kind.is_some_and(|kind| kind.starts_with(b"application/grpc"))
            }
        }
    }

    /// Whether it wants to switch to another protocol, as WebSocket does.
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        match self.0 {
            Of::Head(head) => head.upgrade().is_some(),
            Of::Parts(parts) => parts.headers.contains_key(http::header::UPGRADE),
        }
    }

    /// Whether it announces a body, as far as its head says.
    #[must_use]
    pub fn has_body(&self) -> bool {
        let is_chunked = match self.0 {
            Of::Head(head) => head.fields.has(Known::TransferEncoding),
            Of::Parts(parts) => parts.headers.contains_key(http::header::TRANSFER_ENCODING),
        };
        is_chunked || self.header("content-length").is_some_and(|length| length != b"0")
    }
}
