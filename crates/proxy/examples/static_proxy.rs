//! A proxy with fixed upstreams, for measuring: `static_proxy LISTEN UPSTREAM...`, or, to have something to
//! measure against, `static_proxy --upstream LISTEN BYTES` (answers every request with that many bytes).

use base::{InstanceId, ServiceName};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use logic::route::{Path, Rule};
use proxy::{
    Algorithm, Cluster, Config, Endpoint, HashOn, ListenerId, ListenerKind, Route, Service,
    Snapshot, Target,
};
use std::{convert::Infallible, error::Error, sync::Arc};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--upstream", listen, bytes] => upstream(listen, bytes.parse()?),
        [listen, upstreams @ ..] if !upstreams.is_empty() => proxy(listen, upstreams),
        _ => Err("usage: static_proxy LISTEN UPSTREAM... | --upstream LISTEN BYTES".into()),
    }
}

fn proxy(listen: &str, upstreams: &[&str]) -> Result<(), Box<dyn Error>> {
    let (_service, handle) = Service::start(Config::default())?;
    let users = ServiceName::new("users")?;
    let mut members = Vec::new();
    for (number, address) in (1..).zip(upstreams) {
        let instance = InstanceId { service: users.clone(), number };
        members.push(Endpoint::new(instance, address.parse()?, 1));
    }
    let cluster = Cluster::new(users.clone(), Algorithm::P2c, HashOn::Client);
    let path = Path::Prefix("/".to_owned());
    let route = Route {
        rule: Rule { host: None, path, methods: vec![], headers: vec![] },
        targets: vec![Target { service: users, weight: 1 }],
        strip: false,
        timeout: None,
        retries: None,
        counters: Arc::default(),
    };
    handle.publish(Snapshot::new(vec![route], [Arc::new(cluster.with_members(members))]));
    handle.listen(ListenerId::new("gateway"), listen.parse()?, ListenerKind::Gateway)?;
    loop {
        std::thread::park();
    }
}

fn upstream(listen: &str, bytes: usize) -> Result<(), Box<dyn Error>> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let body = Bytes::from(vec![b'x'; bytes]);
    let worker = runtime::worker("upstream", move |local| async move {
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream.set_nodelay(true));
            let body = body.clone();
            local.spawn(async move {
                let service = service_fn(move |_: Request<Incoming>| {
                    std::future::ready(Ok::<_, Infallible>(Response::new(Full::new(body.clone()))))
                });
                let server = hyper::server::conn::http1::Builder::new();
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    })?;
    worker.join().map_err(|_panic| "the upstream panicked".into())
}
