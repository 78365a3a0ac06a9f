//! The API over real sockets, with a node in memory behind it.

mod access;
mod blocks;
mod endpoints;
mod engines;
mod limits;
mod messaging;
mod requests;
mod retirement;
mod samples;
pub(crate) mod schema;
mod streams;
mod transactions;

use crate::{
    Client, Config, Service,
    app::testing::Node,
    backend::{Applied, Apply, Backend, Error, Replace, Run, Target},
    wire::{self, Time},
};
use async_trait::async_trait;
use base::{ByteSize, Code, Diagnostic, InstanceId, Place, ServiceName, Timestamp};
use ports::logs::{Line, Sink, Stream};
use proxy::record::{Protocol, Record, Requests};
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use supervisor::status::{
    Action, Change, InstanceState, InstanceStatus, Phase, ServiceState, ServiceStatus, Status,
    Usage,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
};

use samples::{broken_file, picture};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("flotilla-api-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _result = std::fs::remove_dir_all(&self.0);
    }
}

/// A node in memory. It writes down what it was asked to do.
struct Fake {
    status: watch::Sender<Arc<Status>>,
    events: watch::Sender<Vec<wire::Event>>,
    calls: Mutex<Vec<String>>,
    logs: observe::Service,
    coordination: (coordination::Service, coordination::Handle),
    messaging: (::events::Service, ::events::Handle),
    transactions: (::transactions::Service, ::transactions::Handle),
    requests: Requests,
    /// Lets a slow replacement end.
    slow: tokio::sync::Notify,
}

impl Fake {
    fn new(folder: &Folder) -> Arc<Self> {
        let logs = observe::Service::open(observe::Config::new(folder.0.join("logs"))).unwrap();
        let kv = Arc::new(ports::kv::conformance::Memory::new());
        let config = coordination::Config {
            kv: kv.clone(),
            place: "memory".to_owned(),
            system: "shop".to_owned(),
            node: "node".to_owned(),
            key_file: folder.0.join("secrets.key"),
            clock: runtime::Clock::start(),
            stores: coordination::Stores::usual(),
        };
        let coordination = coordination::Service::start(config).unwrap();
        let node = Arc::new(Node::default());
        node.offer("users", crate::app::Protocol::Http);
        Arc::new(Self {
            coordination,
            messaging: engines::start(),
            transactions: crate::tx::testing::start(kv, &node),
            status: watch::Sender::new(Arc::new(picture(1))),
            events: watch::Sender::new(Vec::new()),
            calls: Mutex::default(),
            logs,
            requests: Requests::new(1),
            slow: tokio::sync::Notify::new(),
        })
    }

    fn call(&self, text: String) {
        self.calls.lock().unwrap().push(text);
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn happen(&self, kind: &str) {
        self.events.send_modify(|events| {
            let seq = u64::try_from(events.len()).unwrap() + 1;
            let at = Time(Timestamp(1_700_000_000_000_000 + seq));
            events.push(wire::Event {
                seq,
                at,
                service: Some("users".into()),
                instance: Some("users/1".into()),
                kind: kind.into(),
                message: format!("users/1 {kind}"),
            });
        });
    }

    fn print(&self, texts: impl IntoIterator<Item = String>) {
        let instance = InstanceId::parse("users/1").unwrap();
        let at = Timestamp(1_700_000_000_000_000);
        let line = |text| Line {
            at,
            instance: instance.clone(),
            stream: Stream::Out,
            text,
            is_cut: false,
        };
        let lines: Vec<Line> = texts.into_iter().map(line).collect();
        self.logs.handle().append(&lines);
    }

    fn known(&self, service: &ServiceName) -> Result<(), Error> {
        let status = self.status.borrow();
        if status.services.iter().any(|known| known.name == *service) {
            return Ok(());
        }
        let help = Some("did you mean `users`?".to_owned());
        Err(Error::Unknown { message: format!("there is no service `{service}`"), help })
    }
}

#[async_trait]
impl Backend for Fake {
    fn status(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    async fn changed(&self, revision: u64) -> Arc<Status> {
        let mut status = self.status.subscribe();
        let changed = status.wait_for(|status| status.revision != revision).await;
        changed.expect("the sender is in self").clone()
    }

    async fn apply(&self, request: Apply) -> Result<Applied, Error> {
        if request.file.as_ref().is_some_and(|file| file.ends_with("broken.yaml")) {
            return Err(Error::Invalid(broken_file()));
        }
        self.call(format!("{request:?}"));
        let service = ServiceName::new("users").unwrap();
        let reasons = vec!["run changed".to_owned()];
        Ok(Applied {
            changes: vec![Change { service, action: Action::Replace, reasons }],
            edges: Vec::new(),
            warnings: broken_file()[..1].to_vec(),
        })
    }

    async fn scale(&self, service: &ServiceName, instances: u32) -> Result<(), Error> {
        self.known(service)?;
        if instances > 100 {
            let what = Diagnostic::error(Code::BAD_VALUE, "at most 100 instances");
            return Err(Error::Invalid(vec![what]));
        }
        self.call(format!("scale {service} {instances}"));
        Ok(())
    }

    async fn restart(&self, target: Target) -> Result<(), Error> {
        if let Target::Service(service) = &target {
            self.known(service)?;
        }
        self.call(format!("restart {target:?}"));
        Ok(())
    }

    async fn start(&self, service: &ServiceName) -> Result<(), Error> {
        self.known(service)?;
        if service.as_str() == "cleanup" {
            return Err(Error::Conflict("cleanup is running".into()));
        }
        self.call(format!("start {service}"));
        Ok(())
    }

    async fn stop(&self, service: &ServiceName) -> Result<(), Error> {
        self.known(service)?;
        if service.as_str() == "cleanup" {
            return Err(Error::Stopping);
        }
        self.call(format!("stop {service}"));
        Ok(())
    }

    async fn run(&self, request: Run) -> Result<InstanceId, Error> {
        self.known(&request.service)?;
        self.call(format!("run {:?} {:?}", request.program, request.env));
        Ok(InstanceId { service: request.service, number: 7 })
    }

    fn events(&self, after: u64) -> Vec<wire::Event> {
        self.events.borrow().iter().filter(|event| event.seq > after).cloned().collect()
    }

    async fn events_after(&self, after: u64) -> Vec<wire::Event> {
        let mut events = self.events.subscribe();
        let some = events.wait_for(|events| events.iter().any(|event| event.seq > after)).await;
        drop(some.expect("the sender is in self"));
        self.events(after)
    }

    fn logs(&self) -> observe::Handle {
        self.logs.handle()
    }

    fn traffic(&self) -> wire::Traffic {
        let latency = Some(wire::Latency { p50_ms: 0.5, p95_ms: 2.0, p99_ms: 9.0 });
        let counts = wire::TrafficCounts { requests: 9, latency, ..wire::TrafficCounts::default() };
        let instance = wire::TrafficInstance { instance: "users/1".into(), counts };
        wire::Traffic {
            services: vec![wire::TrafficService {
                service: "users".into(),
                total: counts,
                instances: vec![instance],
            }],
            listeners: vec![wire::Listener {
                name: "gateway".into(),
                address: "127.0.0.1:8080".into(),
                connections: 3,
                requests: 9,
            }],
            ..wire::Traffic::default()
        }
    }

    fn requests(&self) -> Requests {
        self.requests.clone()
    }

    fn coordination(&self) -> coordination::Handle {
        self.coordination.1.clone()
    }

    fn messaging(&self) -> Result<::events::Handle, Error> {
        Ok(self.messaging.1.clone())
    }

    fn transactions(&self) -> Result<::transactions::Handle, Error> {
        Ok(self.transactions.1.clone())
    }

    fn system(&self) -> wire::System {
        wire::System {
            name: "shop".into(),
            phase: wire::Phase::Ready,
            version: "1".into(),
            pid: 42,
            started_at: Time::default(),
            uptime_ms: 1,
            root: "/shop".into(),
            files: vec!["flotilla.yaml".into()],
            environment: None,
            detached: false,
            gateway_url: Some("http://127.0.0.1:8080".into()),
            authority: None,
            admin_url: None,
            notes: vec![(&broken_file()[0]).into()],
            node: wire::NodeUsage { cpu_cores: 0.5, cpu_ms: 7, memory_bytes: 9 },
            logs: wire::LogStore::default(),
        }
    }

    async fn replace(&self, request: Replace) -> Result<u32, Error> {
        self.call(format!("{request:?}"));
        match request.program {
            Some(program) if program.ends_with("broken") => {
                Err(Error::Failed("the new node ended".into()))
            }
            Some(program) if program.ends_with("slow") => {
                self.slow.notified().await;
                Ok(43)
            }
            _ => Ok(43),
        }
    }

    fn shutdown(&self) {
        self.call("shutdown".into());
    }
}

/// A running API with a fake node behind it.
struct Setup {
    fake: Arc<Fake>,
    service: Service,
    client: Client,
    address: SocketAddr,
    _folder: Folder,
}

async fn setup() -> Setup {
    setup_with(Config::default()).await
}

async fn setup_with(config: Config) -> Setup {
    let folder = Folder::new();
    let fake = Fake::new(&folder);
    let socket = folder.0.join("flotilla.sock");
    let config = Config {
        socket: Some(socket.clone()),
        listen: Some("127.0.0.1:0".parse().unwrap()),
        token: TOKEN.into(),
        ..config
    };
    let service = Service::start(config, fake.clone()).await.unwrap();
    let address = service.handle().address().unwrap();
    Setup { fake, service, client: Client::unix(socket), address, _folder: folder }
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("in time")
}

/// What came back to a request written by hand.
#[derive(Debug)]
struct Raw {
    status: u16,
    head: String,
    body: String,
}

impl Raw {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn code(&self) -> String {
        let body: wire::ErrorBody = serde_json::from_str(&self.body).unwrap();
        body.error.code
    }
}

/// Sends `head` lines and a body over TCP and reads until the server closes.
async fn raw(address: SocketAddr, request: &str, headers: &[&str], body: &str) -> Raw {
    let mut text = format!("{request} HTTP/1.1\r\nConnection: close\r\n");
    for header in headers {
        text.push_str(&format!("{header}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str(&format!("\r\n{body}"));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Raw { status, head: head.to_owned(), body: body.to_owned() }
}

const HOST: &str = "Host: localhost";

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}")
}
