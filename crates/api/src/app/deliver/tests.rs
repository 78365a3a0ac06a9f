//! Deliveries to apps that are real servers and answer as they are told.

mod called;
mod dapr;
mod declared;
mod http;
mod whole;

use super::Deliverer;
use crate::app::{
    Protocol,
    testing::{Node, pubsub},
};
use ::http::{HeaderMap, Request, Response, request::Parts};
use base::ServiceName;
use bytes::Bytes;
use events::{Deliver as _, Event, Incoming, Origin, Target, Verdict};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming as Body, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use ports::broker::{Offset, TopicName};
use runtime::TaskSet;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::net::TcpListener;

/// Far longer than a delivery takes, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an app answers.
type Answer = dyn Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync;

/// An app that speaks HTTP/1.1.
pub(crate) struct App {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<(Parts, Bytes)>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    _tasks: TaskSet,
}

impl App {
    pub(crate) async fn answering(
        answer: impl Fn(&Request<Bytes>) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let answer: Arc<Answer> = Arc::new(answer);
        let mut tasks = TaskSet::new("app");
        let (kept, count) = (got.clone(), connections.clone());
        tasks.spawn("app", |_| async move {
            let mut open = TaskSet::new("connections");
            while let Ok((io, _)) = socket.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (kept, answer) = (kept.clone(), answer.clone());
                open.spawn("connection", |_| serve(io, kept, answer));
            }
        });
        Self { address, got, connections, _tasks: tasks }
    }

    /// One that says this to everything.
    pub(crate) async fn saying(
        status: u16,
        headers: &[(&'static str, &'static str)],
        body: &'static str,
    ) -> Self {
        let headers = headers.to_vec();
        Self::answering(move |_| answer(status, &headers, body)).await
    }

    /// The bodies of all requests of `path`.
    fn bodies(&self, path: &str) -> Vec<Bytes> {
        let all = self.got.lock().unwrap();
        let fitting = all.iter().filter(|(parts, _)| parts.uri.path() == path);
        fitting.map(|(_, body)| body.clone()).collect()
    }

    pub(crate) fn got(&self) -> (Parts, Bytes) {
        self.got.lock().unwrap().pop().expect("a request")
    }
}

async fn serve(
    io: tokio::net::TcpStream,
    kept: Arc<Mutex<Vec<(Parts, Bytes)>>>,
    answer: Arc<Answer>,
) {
    let service = service_fn(move |request: Request<Body>| {
        let (kept, answer) = (kept.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let answer = answer(&Request::from_parts(parts.clone(), body.clone()));
            kept.lock().unwrap().push((parts, body));
            Ok::<_, Infallible>(answer.map(Full::new))
        }
    });
    // A client that goes away is part of the test.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
}

pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Bytes> {
    let mut answer = Response::builder().status(status);
    for (name, value) in headers {
        answer = answer.header(*name, *value);
    }
    answer.body(Bytes::copy_from_slice(body.as_bytes())).unwrap()
}

/// A node that knows the service `shop` at this address, and the component `pubsub`.
pub(crate) fn node(protocol: Protocol, address: SocketAddr) -> Arc<Node> {
    let node = Arc::new(Node::default());
    node.offer("shop", protocol);
    node.component(pubsub("pubsub"));
    node.at("shop", address);
    node
}

fn deliverer(node: &Arc<Node>) -> Deliverer {
    Deliverer::new(node.clone(), node.clone())
}

fn shop() -> ServiceName {
    ServiceName::new("shop").unwrap()
}

fn event() -> Event {
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned();
    Event {
        id: "7".to_owned(),
        source: "orders".to_owned(),
        kind: "order.created".to_owned(),
        content_type: Some("application/json".to_owned()),
        extensions: [("traceparent".to_owned(), trace)].into(),
        data: Bytes::from_static(br#"{"orderId":1}"#),
        ..Event::default()
    }
}

fn incoming(event: Event) -> Incoming {
    at(event, "orders", 3)
}

fn at(event: Event, topic: &str, offset: u64) -> Incoming {
    let topic = TopicName::new(topic).unwrap();
    Incoming { event, origin: Origin::Topic { topic, offset: Offset(offset) }, attempt: 2 }
}

pub(crate) fn field<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// The verdict in one word, and its reason.
fn told(verdict: &Verdict) -> (&'static str, &str) {
    match verdict {
        Verdict::Done => ("done", ""),
        Verdict::Retry { reason, .. } => ("retry", reason),
        Verdict::Drop { reason } => ("drop", reason),
        Verdict::Away { reason } => ("away", reason),
    }
}

async fn one(deliverer: &Deliverer, target: &Target, incoming: Incoming) -> Verdict {
    let mut verdicts = deliverer.deliver(target, &[incoming], PATIENCE).await;
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}
