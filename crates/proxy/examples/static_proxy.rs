//! The data plane with fixed upstreams, for measuring it: what `cargo xtask bench proxy` starts.
//!
//! ```text
//! static_proxy LISTEN [--also LISTEN] [--tls LISTEN CERT KEY] [--workers N] [--routes N] UPSTREAM...
//! ```
//!
//! Everything the product does per request is on: the route table, p2c, counters, trace context. HTTP/1.1
//! and HTTP/2 are served on all addresses. `--routes` adds that many routes which match nothing. It prints
//! `ready ADDRESS` for each address and serves until it is killed.

#![expect(clippy::print_stdout, reason = "says where it listens")]

use base::{InstanceId, ServiceName};
use logic::route::{Path, Rule};
use proxy::{
    Algorithm, Cluster, Config, Endpoint, HashOn, ListenerId, ListenerKind, Pem, PemPair, Route,
    Service, Snapshot, Target, Tls,
};
use std::{error::Error, net::SocketAddr, sync::Arc};

const USAGE: &str = "usage: static_proxy LISTEN [--also LISTEN] [--tls LISTEN CERT KEY] \
    [--workers N] [--routes N] UPSTREAM...";

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::read(std::env::args().skip(1))?;
    let (_service, handle) = Service::start(options.config)?;
    let users = ServiceName::new("users")?;
    let mut members = Vec::new();
    for (number, address) in (1..).zip(&options.upstreams) {
        let instance = InstanceId { service: users.clone(), number };
        members.push(Endpoint::new(instance, *address, 1));
    }
    let cluster = Cluster::new(users.clone(), Algorithm::P2c, HashOn::Client);
    let mut routes: Vec<Route> =
        (0..options.routes).map(|number| route(format!("/none/{number}"), &users)).collect();
    routes.push(route("/".to_owned(), &users));
    handle.publish(Snapshot::new(routes, [Arc::new(cluster.with_members(members))]));
    for (number, listen) in options.listen.into_iter().enumerate() {
        let id = ListenerId::new(&format!("gateway-{number}"));
        println!("ready {}", handle.listen(id, listen, ListenerKind::Gateway)?);
    }
    for (number, (listen, tls)) in options.tls.into_iter().enumerate() {
        let id = ListenerId::new(&format!("secure-{number}"));
        println!("ready {}", handle.listen_tls(id, listen, ListenerKind::Gateway, Some(tls))?);
    }
    loop {
        std::thread::park();
    }
}

struct Options {
    listen: Vec<SocketAddr>,
    tls: Vec<(SocketAddr, Tls)>,
    upstreams: Vec<SocketAddr>,
    routes: usize,
    config: Config,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let listen = vec![arguments.next().ok_or(USAGE)?.parse()?];
        let (tls, upstreams) = (Vec::new(), Vec::new());
        let mut options = Self { listen, tls, upstreams, routes: 0, config: Config::default() };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--also" => options.listen.push(arguments.next().ok_or(USAGE)?.parse()?),
                "--tls" => {
                    let mut next = || arguments.next().ok_or(USAGE);
                    let (listen, certificate, key) = (next()?.parse()?, next()?, next()?);
                    options.tls.push((listen, load(&certificate, &key)?));
                }
                "--workers" => options.config.workers = arguments.next().ok_or(USAGE)?.parse()?,
                "--routes" => options.routes = arguments.next().ok_or(USAGE)?.parse()?,
                upstream => options.upstreams.push(upstream.parse()?),
            }
        }
        if options.upstreams.is_empty() { Err(USAGE.into()) } else { Ok(options) }
    }
}

fn load(certificate: &str, key: &str) -> Result<Tls, Box<dyn Error>> {
    let (chain, secret) = (std::fs::read(certificate)?, std::fs::read(key)?);
    let pair = PemPair {
        certificate: Pem { name: certificate, bytes: &chain },
        key: Pem { name: key, bytes: &secret },
    };
    Ok(Tls::from_pem(&[pair])?)
}

fn route(prefix: String, service: &ServiceName) -> Route {
    Route {
        rule: Rule {
            host: None,
            path: Path::Prefix(prefix),
            methods: vec![],
            headers: vec![],
            query: vec![],
        },
        targets: vec![Target { service: service.clone(), weight: 1 }],
        strip: false,
        timeout: None,
        retries: None,
        settings: proxy::RouteSettings::default(),
        counters: Arc::default(),
    }
}
