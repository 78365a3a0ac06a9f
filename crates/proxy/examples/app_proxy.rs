//! One upstream behind every kind of listener, to compare what they cost.
//!
//! ```text
//! app_proxy UPSTREAM
//! ```
//!
//! One worker. It prints `KIND ADDRESS` for the listener of a need and for an app listener, and serves until it is
//! killed. On the app listener `/v1.0/invoke/users/method/PATH` leads to the upstream's `/PATH` as an invocation does,
//! and every other path is answered by the node itself, with 100 bytes.

#![expect(clippy::print_stdout, reason = "says where it listens")]

use base::{InstanceId, ServiceName};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use proxy::{
    Algorithm, Cluster, Config, Endpoint, HashOn, ListenerId, ListenerKind, Service, Snapshot,
    local::{BoxBody, BoxFuture, Direction, Local, LocalBody, Look, Refused, To},
};
use std::{error::Error, net::SocketAddr, sync::Arc};

const INVOKE: &str = "/v1.0/invoke/users/method";

fn main() -> Result<(), Box<dyn Error>> {
    let upstream = std::env::args().nth(1).ok_or("usage: app_proxy UPSTREAM")?.parse()?;
    let (_service, handle) = Service::start(Config { workers: 1, ..Config::default() })?;
    let users = ServiceName::new("users")?;
    let instance = InstanceId { service: users.clone(), number: 1 };
    let cluster = Cluster::new(users.clone(), Algorithm::P2c, HashOn::Client);
    let members = vec![Endpoint::new(instance, upstream, 1)];
    handle.publish(Snapshot::new(vec![], [Arc::new(cluster.with_members(members))]));
    handle.set_local(Arc::new(Node(users.clone())));
    let caller = InstanceId { service: ServiceName::new("orders")?, number: 1 };
    let need = ListenerKind::Need { caller: caller.service.clone(), service: users };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    for (name, kind) in [("need", need), ("app", ListenerKind::App { caller })] {
        println!("{name} {}", handle.listen(ListenerId::new(name), any, kind)?);
    }
    loop {
        std::thread::park();
    }
}

struct Node(ServiceName);

impl Local for Node {
    fn direct(&self, _caller: &InstanceId, look: &Look<'_>) -> Direction {
        let Some(path) = look.path_and_query().strip_prefix(INVOKE) else {
            return Direction::here();
        };
        Direction::Service(To {
            path: Some(path.to_owned()),
            remove: vec![HeaderName::from_static("dapr-api-token")],
            set: vec![(
                HeaderName::from_static("dapr-caller-app-id"),
                HeaderValue::from_static("orders"),
            )],
            ..To::new(self.0.clone())
        })
    }

    fn answer(
        &self,
        _caller: &InstanceId,
        _request: Request<LocalBody>,
    ) -> BoxFuture<Response<BoxBody>> {
        Box::pin(async {
            let body = Full::new(Bytes::from_static(&[b'x'; 100]));
            Response::new(body.map_err(|never| match never {}).boxed_unsync())
        })
    }

    fn refusal(&self, _caller: &InstanceId, refused: &Refused<'_>) -> Response<Bytes> {
        let mut response = Response::new(refused.message.to_owned().into());
        *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        response
    }
}
