//! Servers, clients and a data plane between them. Everything listens on 127.0.0.1 at a free port.

use base::{InstanceId, ServiceName};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use logic::route::{Path, Rule};
use proxy::{
    Algorithm, Cluster, Config, Endpoint, Handle, HashOn, ListenerId, ListenerKind, Route, Service,
    Snapshot, Target,
};
use runtime::TaskSet;
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};

/// How long anything in a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) type Body = BoxBody<Bytes, hyper::Error>;

/// Waits until `state` holds.
pub(crate) async fn until(what: &str, mut state: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !state() {
        assert!(tokio::time::Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Awaits `future`, for a bounded time.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("took too long")
}

/// Awaits `future` for as long as something that is not held up takes at most; `None` when it is held up.
pub(crate) async fn stalls<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::from_millis(500), future).await.ok()
}

/// Whether this process runs the test `name` and nothing else. If it does not, one that does is started,
/// and must succeed: what a test says about memory is about no other test then.
pub(crate) fn is_alone(name: &str) -> bool {
    const ALONE: &str = "PROXY_TEST_ALONE";
    if std::env::var(ALONE).is_ok_and(|alone| alone == name) {
        return true;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args([name, "--exact", "--nocapture"]).env(ALONE, name);
    let output = child.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
    false
}

/// Bytes of memory that this process has at the moment.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

pub(crate) fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

/// A server that plays an instance.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    tasks: TaskSet,
}

/// What a server has seen, and what lets it go on.
pub(crate) struct State {
    pub(crate) instance: String,
    pub(crate) requests: AtomicU64,
    pub(crate) working: AtomicU64,
    /// Requests to `/gate` take a permit each before they are answered.
    pub(crate) gate: Semaphore,
    /// Set when a request came although none should.
    pub(crate) must_rest: std::sync::atomic::AtomicBool,
    pub(crate) disturbed: AtomicU64,
}

impl Upstream {
    pub(crate) async fn start(instance: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::start_at(instance, address).await
    }

    pub(crate) async fn start_at(instance: &str, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let state = Arc::new(State {
            instance: instance.to_owned(),
            requests: AtomicU64::new(0),
            working: AtomicU64::new(0),
            gate: Semaphore::new(0),
            must_rest: false.into(),
            disturbed: AtomicU64::new(0),
        });
        let address = listener.local_addr().unwrap();
        let mut tasks = TaskSet::new("upstream");
        let shared = Arc::clone(&state);
        tasks.spawn("accept", move |_| async move {
            let mut connections = TaskSet::new("connections");
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let state = Arc::clone(&shared);
                connections.spawn("connection", move |_| async move {
                    let service = service_fn(move |request| respond(Arc::clone(&state), request));
                    let mut server =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    server.http1().keep_alive(true);
                    let io = TokioIo::new(stream);
                    // The client's view of an end is what tests look at.
                    drop(server.serve_connection_with_upgrades(io, service).await);
                });
            }
        });
        Self { address, state, tasks }
    }

    /// Ends it like SIGKILL: listener and connections are gone at once.
    pub(crate) async fn kill(self) {
        self.tasks.shutdown(Duration::ZERO).await;
    }

    pub(crate) fn endpoint(&self) -> Arc<Endpoint> {
        self.weighted(1)
    }

    pub(crate) fn weighted(&self, weight: u32) -> Arc<Endpoint> {
        Endpoint::new(InstanceId::parse(&self.state.instance).unwrap(), self.address, weight)
    }

    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(SeqCst)
    }
}

/// Counts a request as worked on.
struct Working(Arc<State>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, SeqCst);
    }
}

async fn respond(state: Arc<State>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    state.requests.fetch_add(1, SeqCst);
    state.working.fetch_add(1, SeqCst);
    if state.must_rest.load(SeqCst) {
        state.disturbed.fetch_add(1, SeqCst);
    }
    let _working = Working(Arc::clone(&state));
    let path = request.uri().path().to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "echo" => Ok(echo(request)),
        "head" => Ok(Response::new(full(dump(&request)))),
        "gate" => {
            state.gate.acquire().await.unwrap().forget();
            Ok(Response::new(full("through the gate")))
        }
        "die" => {
            drop(request.into_body().collect().await);
            Err(io::Error::other("died"))
        }
        "large" => Ok(Response::new(full(vec![b'x'; 1 << 20]))),
        "status" => {
            let mut response = Response::new(full("odd"));
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
            Ok(response)
        }
        "ticks" => {
            let (sender, body) = stream();
            let mut ticks = TaskSet::new("ticks");
            let state = Arc::clone(&state);
            ticks.spawn("ticks", move |_| async move {
                while let Ok(permit) = state.gate.acquire().await {
                    permit.forget();
                    if sender.send(Frame::data(Bytes::from_static(b"tick\n"))).await.is_err() {
                        return;
                    }
                }
            });
            // The task must outlive this call; it ends with its receiver.
            let keep = Keep { body, _ticks: ticks };
            Ok(Response::new(keep.boxed()))
        }
        "upgrade" => Ok(upgrade(request)),
        "grpc" => Ok(grpc(request).await),
        _ => Ok(Response::new(full(state.instance.clone()))),
    }
}

/// Answers with what comes in, frame by frame, trailers too.
fn echo(request: Request<Incoming>) -> Response<Body> {
    let mut response = Response::builder();
    for name in [header::CONTENT_TYPE, header::TRAILER] {
        if let Some(value) = request.headers().get(&name) {
            response = response.header(name, value);
        }
    }
    response.body(request.into_body().boxed()).unwrap()
}

/// Method, target and headers as text.
fn dump(request: &Request<Incoming>) -> String {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    text
}

fn upgrade(mut request: Request<Incoming>) -> Response<Body> {
    let upgraded = hyper::upgrade::on(&mut request);
    let mut tunnels = TaskSet::new("tunnel");
    tunnels.spawn("tunnel", move |_| async move {
        let mut io = TokioIo::new(upgraded.await.unwrap());
        let mut buffer = [0; 64];
        while let Ok(count) = io.read(&mut buffer).await {
            if count == 0 || io.write_all(&buffer[..count]).await.is_err() {
                return;
            }
        }
    });
    let protocol = request.headers()[header::UPGRADE].clone();
    let mut response = Response::new(Keep { body: full(""), _ticks: tunnels }.leak());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
    response.headers_mut().insert(header::UPGRADE, protocol);
    response
}

/// Echoes a gRPC message, with its status in trailers.
async fn grpc(request: Request<Incoming>) -> Response<Body> {
    let version = request.version();
    let message = request.into_body().collect().await.unwrap().to_bytes();
    let (sender, body) = stream();
    sender.send(Frame::data(message)).await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    sender.send(Frame::trailers(trailers)).await.unwrap();
    Response::builder()
        .header(header::CONTENT_TYPE, "application/grpc")
        .header("x-version", format!("{version:?}"))
        .body(body)
        .unwrap()
}

/// A body that is fed by hand.
pub(crate) fn stream() -> (mpsc::Sender<Frame<Bytes>>, Body) {
    let (sender, receiver) = mpsc::channel(4);
    (sender, StreamBody::new(Fed(receiver)).boxed())
}

struct Fed(mpsc::Receiver<Frame<Bytes>>);

impl futures_core::Stream for Fed {
    type Item = Result<Frame<Bytes>, hyper::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

/// A body with the tasks that make it.
struct Keep {
    body: Body,
    _ticks: TaskSet,
}

impl Keep {
    /// The tasks end with the test's runtime.
    fn leak(self) -> Body {
        let Self { body, _ticks } = self;
        Box::leak(Box::new(_ticks));
        body
    }
}

impl hyper::body::Body for Keep {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

/// A data plane whose gateway leads to the service `users`.
pub(crate) struct Plane {
    pub(crate) service: Option<Service>,
    pub(crate) handle: Handle,
    pub(crate) gateway: SocketAddr,
    cluster: Mutex<Cluster>,
    routes: Vec<Route>,
}

pub(crate) fn route(prefix: &str, targets: &[(&str, u32)]) -> Route {
    let target =
        |(service, weight): &(&str, u32)| Target { service: name(service), weight: *weight };
    Route {
        rule: Rule {
            host: None,
            path: Path::Prefix(prefix.to_owned()),
            methods: vec![],
            headers: vec![],
            query: vec![],
        },
        targets: targets.iter().map(target).collect(),
        strip: false,
        timeout: None,
        retries: None,
        settings: proxy::RouteSettings::default(),
        counters: Arc::default(),
    }
}

impl Plane {
    pub(crate) fn start(members: Vec<Arc<Endpoint>>) -> Self {
        let config = Config { workers: 2, slow_start: Duration::ZERO, ..Config::default() };
        Self::with(config, vec![route("/", &[("users", 1)])], members)
    }

    pub(crate) fn with(config: Config, routes: Vec<Route>, members: Vec<Arc<Endpoint>>) -> Self {
        let (service, handle) = Service::start(config).unwrap();
        let cluster = Cluster::new(name("users"), Algorithm::P2c, HashOn::Client);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let gateway =
            handle.listen(ListenerId::new("gateway"), any, ListenerKind::Gateway).unwrap();
        let plane =
            Self { service: Some(service), handle, gateway, cluster: Mutex::new(cluster), routes };
        plane.members(members);
        plane
    }

    pub(crate) fn balance(&self, algorithm: Algorithm, hash_on: HashOn) {
        let mut cluster = self.cluster.lock().unwrap();
        *cluster = cluster.with_balance(algorithm, hash_on);
        self.publish(&cluster);
    }

    pub(crate) fn members(&self, members: Vec<Arc<Endpoint>>) {
        let mut cluster = self.cluster.lock().unwrap();
        *cluster = cluster.with_members(members);
        self.publish(&cluster);
    }

    pub(crate) fn traffic(&self, traffic: proxy::Traffic) {
        let mut cluster = self.cluster.lock().unwrap();
        *cluster = cluster.with_traffic(traffic);
        self.publish(&cluster);
    }

    fn publish(&self, cluster: &Cluster) {
        let snapshot = Snapshot::new(self.routes.clone(), [Arc::new(cluster.clone())]);
        self.handle.publish(snapshot);
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.gateway).await
    }
}

/// One keep-alive HTTP/1.1 connection.
pub(crate) struct Client {
    sender: SendRequest<Body>,
    _task: TaskSet,
}

/// A response, read completely.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let io = TokioIo::new(stream);
        let (sender, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        let mut task = TaskSet::new("client");
        task.spawn("connection", move |_| async move { drop(connection.with_upgrades().await) });
        Self { sender, _task: task }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        tokio::time::timeout(PATIENCE, async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        })
        .await
        .expect("no response in time")
    }

    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: impl Into<Bytes>,
    ) -> Result<Reply, hyper::Error> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "shop")
            .body(full(body))
            .unwrap();
        let (head, body) = self.send(request).await?.into_parts();
        let body = soon(body.collect()).await?.to_bytes();
        Ok(Reply {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        })
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.ask(Method::GET, path, "").await.unwrap()
    }

    pub(crate) async fn post(&mut self, path: &str, body: &'static str) -> Reply {
        self.ask(Method::POST, path, body).await.unwrap()
    }
}

/// What comes back for raw bytes that are a whole request to `users`; nothing when the connection is
/// reset.
pub(crate) async fn raw_or_reset(address: SocketAddr, bytes: &[u8]) -> String {
    match TcpStream::connect(address).await {
        Ok(stream) => talk(stream, bytes, "users/1").await,
        Err(_) => String::new(),
    }
}

/// Sends raw bytes and reads until the other side closes or `enough` is in what was read.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8], enough: &str) -> String {
    talk(TcpStream::connect(address).await.unwrap(), bytes, enough).await
}

async fn talk(mut stream: TcpStream, bytes: &[u8], enough: &str) -> String {
    // A reset shows in what is read.
    drop(stream.write_all(bytes).await);
    let mut read = Vec::new();
    soon(async {
        let mut buffer = vec![0; 4096];
        while !String::from_utf8_lossy(&read).contains(enough) {
            match stream.read(&mut buffer).await {
                Ok(count) if count > 0 => read.extend_from_slice(&buffer[..count]),
                _ => break,
            }
        }
    })
    .await;
    String::from_utf8_lossy(&read).into_owned()
}
