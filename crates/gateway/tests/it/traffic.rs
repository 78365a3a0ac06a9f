use base::{InstanceId, ServiceName};
use gateway::{Config, Handle, Service};
use manifest::{Balance, Gateway, PathMatch, Route, System, Target};
use ports::traffic::Traffic;
use runtime::TaskSet;
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A folder that is removed with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gateway-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

pub(crate) fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

/// A data plane and a gateway on it; the first is kept alive by the caller.
pub(crate) fn start(state_dir: &Path) -> (proxy::Service, Handle) {
    let config = proxy::Config {
        workers: 2,
        no_instance_wait: Duration::from_millis(50),
        ..proxy::Config::default()
    };
    let (data_plane, handle) = proxy::Service::start(config).unwrap();
    let (_, handle) =
        Service::start(Config { state_dir: state_dir.to_owned(), ca_folder: None }, handle)
            .unwrap();
    (data_plane, handle)
}

/// A system whose gateway leads prefixes to services.
pub(crate) fn system(listen: Option<SocketAddr>, routes: &[(&str, &str)]) -> System {
    let place = base::Place {
        file: "flotilla.yaml".into(),
        line: 1,
        column: 1,
        length: 1,
        text: "".into(),
    };
    let route = |(prefix, service): &(&str, &str)| Route {
        to: vec![Target { service: name(service), weight: 1 }],
        ..Route::new(PathMatch::Prefix((*prefix).to_owned()), place.clone())
    };
    System {
        name: "shop".to_owned(),
        root: PathBuf::from("/"),
        files: vec![],
        services: vec![service("users", Balance::default()), service("items", Balance::default())],
        gateway: Gateway {
            listen,
            routes: routes.iter().map(route).collect(),
            ..Gateway::default()
        },
        admin: SocketAddr::from((LOOPBACK, 8081)),
        admin_place: None,
        coordination: manifest::Coordination::default(),
        events: manifest::Events::default(),
        transactions: manifest::Transactions::default(),
    }
}

fn service(text: &str, balance: Balance) -> manifest::Service {
    manifest::Service {
        name: name(text),
        kind: manifest::Kind::Service,
        dir: PathBuf::from("/"),
        program: manifest::Program::Shell("true".to_owned()),
        language: "shell".to_owned(),
        build: None,
        instances: 1,
        needs: vec![],
        balance,
        traffic: manifest::Traffic::default(),
        port: None,
        listens: true,
        probes: manifest::Probes::default(),
        restart: manifest::Restart {
            policy: manifest::RestartPolicy::Always,
            backoff: Duration::ZERO,
            backoff_max: Duration::ZERO,
            reset_after: Duration::ZERO,
        },
        stop: manifest::Stop {
            drain: Duration::ZERO,
            grace: Duration::ZERO,
            signal: manifest::StopSignal::Term,
        },
        limits: manifest::Limits::default(),
        env: Default::default(),
        db: None,
        api: manifest::AppApi::new(text),
        config: None,
        places: Default::default(),
    }
}

/// An instance that answers every request with its name and hangs up.
async fn instance(text: &'static str) -> (SocketAddr, TaskSet) {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = TaskSet::new("instance");
    tasks.spawn("accept", move |_| async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            if stream.read(&mut head).await.is_ok_and(|count| count > 0) {
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
                    text.len()
                );
                drop(stream.write_all(answer.as_bytes()).await);
            }
        }
    });
    (address, tasks)
}

/// Status and body of a GET.
pub(crate) async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    };
    let text = tokio::time::timeout(PATIENCE, ask).await.expect("no answer in time");
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn any() -> Option<SocketAddr> {
    Some(SocketAddr::from((LOOPBACK, 0)))
}

#[tokio::test]
async fn what_is_routed_gets_requests_and_what_is_unrouted_gets_none() {
    let folder = Folder::new("route");
    let (_data_plane, gateway) = start(&folder.0);
    gateway.apply(&system(any(), &[("/users", "users"), ("/items", "items")])).unwrap();
    let at = gateway.address().unwrap();
    assert_eq!(get(at, "/users").await.0, 503);
    assert_eq!(get(at, "/other").await.0, 404);

    let ((one, _a), (two, _b)) = (instance("one").await, instance("two").await);
    gateway.route(&id("users/1"), one, 1);
    gateway.route(&id("items/1"), two, 1);
    assert_eq!(get(at, "/users").await, (200, "one".to_owned()));
    assert_eq!(get(at, "/items/x").await, (200, "two".to_owned()));

    // Called again, it changes the address at once.
    gateway.route(&id("users/1"), two, 1);
    assert_eq!(get(at, "/users").await, (200, "two".to_owned()));
    gateway.unroute(&id("users/1"));
    gateway.unroute(&id("users/1"));
    gateway.unroute(&id("nobody/1"));
    assert_eq!(get(at, "/users").await.0, 503);
    tokio::time::timeout(PATIENCE, gateway.idle(&id("users/1"))).await.unwrap();
    assert_eq!(gateway.in_flight(&id("users/1")), 0);
    gateway.idle(&id("nobody/1")).await;

    gateway.route(&id("users/1"), two, 1);
    assert_eq!(get(at, "/users").await, (200, "two".to_owned()));
    let users = gateway.registry().into_iter().find(|view| view.service == name("users")).unwrap();
    assert_eq!(users.instances.len(), 1);
    assert!(users.instances[0].is_routed);
    assert_eq!(users.instances[0].totals.requests, 2);
}

#[tokio::test]
async fn a_changed_file_moves_routes_and_listener_and_keeps_instances_and_counters() {
    let folder = Folder::new("apply");
    let (_data_plane, gateway) = start(&folder.0);
    let (one, _tasks) = instance("one").await;
    gateway.route(&id("users/1"), one, 1);
    gateway.apply(&system(any(), &[("/users", "users"), ("/old", "users")])).unwrap();
    let first = gateway.address().unwrap();
    assert_eq!(get(first, "/users").await.0, 200);

    let free = StdListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap();
    gateway.apply(&system(Some(free), &[("/users", "users"), ("/new", "users")])).unwrap();
    assert_eq!(gateway.address(), Some(free));
    assert_eq!(get(free, "/new").await, (200, "one".to_owned()));
    assert_eq!(get(free, "/old").await.0, 404);
    let routes = gateway.stats().routes;
    assert_eq!(routes[0].totals.requests, 1);
    assert_eq!(routes[1].totals.requests, 1);

    // A taken port changes nothing and is named.
    let holder = StdListener::bind((LOOPBACK, 0)).unwrap();
    let taken = holder.local_addr().unwrap();
    let error = gateway.apply(&system(Some(taken), &[])).unwrap_err();
    assert_eq!(error.taken(), Some(taken));
    assert_eq!(get(free, "/users").await.0, 200);

    gateway.apply(&system(None, &[])).unwrap();
    assert_eq!(gateway.address(), None);
}

#[tokio::test]
async fn the_file_chooses_how_requests_are_spread() {
    let folder = Folder::new("balance");
    let (_data_plane, gateway) = start(&folder.0);
    let mut wanted = system(any(), &[("/", "users")]);
    for algorithm in logic::balance::Algorithm::ALL {
        wanted.services[0].balance.algorithm = algorithm;
        gateway.apply(&wanted).unwrap();
        let users = &gateway.registry()[1];
        assert_eq!((users.service.as_str(), users.algorithm), ("users", algorithm));
    }
}

#[tokio::test]
async fn a_caller_reaches_its_need_at_the_same_port_after_a_restart() {
    let folder = Folder::new("needs");
    let (one, _tasks) = instance("one").await;
    let (data_plane, gateway) = start(&folder.0);
    let (orders, users) = (name("orders"), name("users"));
    let first = gateway.need_address(&orders, &users, LOOPBACK).await.unwrap();
    assert!((30_000..=32_767).contains(&first.port()), "{first}");
    assert_eq!(gateway.need_address(&orders, &users, LOOPBACK).await.unwrap(), first);
    let other = gateway.need_address(&name("items"), &users, LOOPBACK).await.unwrap();
    assert_ne!(first, other);
    gateway.route(&id("users/1"), one, 1);
    assert_eq!(get(first, "/anything").await, (200, "one".to_owned()));
    data_plane.shutdown(Duration::ZERO).await;

    let (data_plane, gateway) = start(&folder.0);
    assert_eq!(gateway.need_address(&orders, &users, LOOPBACK).await.unwrap(), first);
    data_plane.shutdown(Duration::ZERO).await;

    // A caller that outlived the node asks nobody for its address: it has it.
    let (data_plane, gateway) = start(&folder.0);
    let mut wanted = system(any(), &[("/", "users")]);
    let need = manifest::Need { service: users.clone(), condition: manifest::Condition::Ready };
    wanted
        .services
        .push(manifest::Service { needs: vec![need], ..service("orders", Balance::default()) });
    gateway.apply(&wanted).unwrap();
    gateway.route(&id("users/1"), one, 1);
    assert_eq!(get(first, "/anything").await, (200, "one".to_owned()));
    assert!(TcpStream::connect(other).await.is_err(), "nobody needs it any more");
    data_plane.shutdown(Duration::ZERO).await;

    // Somebody took the port meanwhile: another one, remembered from now on.
    let holder = StdListener::bind(first).unwrap();
    let (data_plane, gateway) = start(&folder.0);
    let moved = gateway.need_address(&orders, &users, LOOPBACK).await.unwrap();
    assert_ne!(moved, first);
    data_plane.shutdown(Duration::ZERO).await;
    drop(holder);
    let (_data_plane, gateway) = start(&folder.0);
    assert_eq!(gateway.need_address(&orders, &users, LOOPBACK).await.unwrap(), moved);
}

#[tokio::test]
async fn a_file_of_ports_that_cannot_be_read_is_set_aside() {
    let folder = Folder::new("corrupt");
    let file = folder.0.join("run/needs.json");
    for bad in ["{", "[]", "{\"version\":9,\"needs\":[]}", "{\"version\":1,\"needs\":[{}]}"] {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bad).unwrap();
        let (_data_plane, gateway) = start(&folder.0);
        let address = gateway.need_address(&name("a"), &name("b"), LOOPBACK).await.unwrap();
        assert!(address.port() >= 30_000);
        assert_eq!(fs::read_to_string(folder.0.join("run/needs.json.bad")).unwrap(), bad);
        assert!(fs::read_to_string(&file).unwrap().contains("\"version\":1"));
    }
}
