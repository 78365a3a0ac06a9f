//! A façade on a coordinator in memory, a participant that does what it is told, and a client.

use crate::{
    app::testing::Node,
    dtm::{Config, Service},
    tx::Caller,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming, client::conn::http1 as client, server::conn::http1, service::service_fn,
};
use hyper_util::rt::TokioIo;
use ports::kv::conformance::Memory;
use runtime::{Clock, TaskSet};
use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::net::{TcpListener, TcpStream};
use transactions::{Join, JoinOf, JoinRefused, Joined, Prepared};

/// After which a state that does not come is taken for one that never will.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a participant was asked.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: HashMap<String, String>,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
}

/// Answers by path, each for one request.
type Script = HashMap<String, VecDeque<(u16, String)>>;

/// Answers 200 to everything but what it was told about.
#[derive(Clone, Default)]
pub(super) struct Participant {
    script: Arc<Mutex<Script>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Participant {
    /// The next requests for this path are answered so, one after the other.
    pub(super) fn says(&self, path: &str, answers: &[(u16, &str)]) {
        let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned()));
        self.script.lock().unwrap().entry(path.to_owned()).or_default().extend(answers);
    }

    /// All that was asked, in order.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// All that was asked, as `path op`.
    pub(super) fn told(&self) -> Vec<String> {
        let told = |heard: Heard| format!("{} {}", heard.path, heard.query["op"]);
        self.heard().into_iter().map(told).collect()
    }

    fn answer(&self, heard: Heard) -> (u16, String) {
        let mut script = self.script.lock().unwrap();
        let answer = script.get_mut(&heard.path).and_then(VecDeque::pop_front);
        self.heard.lock().unwrap().push(heard);
        answer.unwrap_or_else(|| (200, "{}".to_owned()))
    }

    async fn listen(&self, tasks: &mut TaskSet) -> SocketAddr {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let participant = self.clone();
        tasks.spawn("participant", |_| async move {
            let mut open = TaskSet::new("connections");
            while let Ok((io, _)) = socket.accept().await {
                let participant = participant.clone();
                let service = service_fn(move |request| serve(participant.clone(), request));
                open.spawn("connection", |_| async move {
                    // A client that goes away is part of the test.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(io), service).await;
                });
            }
        });
        address
    }
}

async fn serve(
    participant: Participant,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let query = crate::query::pairs(parts.uri.query().unwrap_or_default()).unwrap();
    let headers = parts.headers.iter();
    let headers =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let (status, body) = participant.answer(Heard {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: query.into_iter().collect(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    Ok(answer)
}

/// Nothing joins decisions here.
#[derive(Debug)]
struct Nothing;

#[async_trait::async_trait]
impl Joined for Nothing {
    async fn prepare(&self, _: JoinOf<'_>, _: &Join, _: &Value) -> Result<Prepared, JoinRefused> {
        Err(JoinRefused::Never("nothing can join".to_owned()))
    }
}

/// All of it.
pub(super) struct Rig {
    pub(super) participant: Participant,
    pub(super) at: SocketAddr,
    pub(super) dtm: Service,
    _coordinator: transactions::Service,
    _tasks: TaskSet,
}

impl Rig {
    pub(super) async fn new() -> Self {
        let mut tasks = TaskSet::new("participants");
        let participant = Participant::default();
        let at = participant.listen(&mut tasks).await;
        let (node, kv) = (Arc::new(Node::default()), Arc::new(Memory::new()));
        let clock = Clock::start();
        let config = transactions::Config {
            kv: kv.clone(),
            participants: Arc::new(Caller::new(node.clone(), node)),
            joined: Arc::new(Nothing),
            system: "shop".to_owned(),
            node: "node".to_owned(),
            clock,
            wanted: transactions::Wanted::default(),
        };
        let (coordinator, handle) = transactions::Service::start(config).unwrap();
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let config = Config::new((local, local), handle, kv, "shop".to_owned(), clock);
        let dtm = Service::start(config).await.unwrap();
        Self { participant, at, dtm, _coordinator: coordinator, _tasks: tasks }
    }

    /// A URL of the participant.
    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    /// Asks, and gives the status and the body.
    pub(super) async fn ask(&self, request: Request<Bytes>) -> (u16, Value) {
        let (status, text) = self.text(request).await;
        let body = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text}"));
        (status, body)
    }

    pub(super) async fn text(&self, mut request: Request<Bytes>) -> (u16, String) {
        let http = self.dtm.http();
        let host = http.to_string().parse().unwrap();
        request.headers_mut().entry(header::HOST).or_insert(host);
        let io = TokioIo::new(TcpStream::connect(http).await.unwrap());
        let (mut sender, connection) = client::handshake(io).await.unwrap();
        let exchange = async {
            let answer = sender.send_request(request.map(Full::new)).await.unwrap();
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        tokio::pin!(exchange);
        tokio::select! {
            done = &mut exchange => done,
            _ = connection => exchange.await,
        }
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        let request = Request::get(format!("/api/dtmsvr/{path}"));
        self.ask(request.body(Bytes::new()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = Request::post(format!("/api/dtmsvr/{path}"));
        self.ask(request.body(body.to_string().into()).unwrap()).await
    }

    /// As [`Self::post`], and it must be done.
    #[track_caller]
    pub(super) fn done(
        &self,
        path: &'static str,
        body: Value,
    ) -> impl Future<Output = ()> + use<'_> {
        let caller = std::panic::Location::caller();
        async move {
            let (status, answer) = self.post(path, &body).await;
            assert_eq!(answer, json!({ "dtm_result": "SUCCESS" }), "{caller}: {status} {path}");
            assert_eq!(status, 200, "{caller}: {path}");
        }
    }

    /// As [`Self::post`], and it must be refused with 409 and words that have this in them.
    #[track_caller]
    pub(super) fn refused(
        &self,
        path: &'static str,
        body: Value,
        words: &'static str,
    ) -> impl Future<Output = ()> + use<'_> {
        let caller = std::panic::Location::caller();
        async move {
            let (status, answer) = self.post(path, &body).await;
            assert_eq!(
                (status, &answer["dtm_result"]),
                (409, &json!("FAILURE")),
                "{caller}: {answer}"
            );
            let said = answer["message"].as_str().unwrap_or_default();
            assert!(said.contains(words), "{caller}: {answer}");
        }
    }

    pub(super) async fn query(&self, gid: &str) -> Value {
        let (status, answer) = self.get(&format!("query?gid={gid}")).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Waits until a transaction has this status, and lets everything that waits for a later moment be done at once. Gives what
    /// `query` says then.
    #[track_caller]
    pub(super) fn until(&self, gid: &str, status: &str) -> impl Future<Output = Value> + use<'_> {
        self.wait(gid, status, true)
    }

    /// As [`Self::until`], but nothing is hurried.
    #[track_caller]
    pub(super) fn comes_to(
        &self,
        gid: &str,
        status: &str,
    ) -> impl Future<Output = Value> + use<'_> {
        self.wait(gid, status, false)
    }

    #[track_caller]
    fn wait(
        &self,
        gid: &str,
        status: &str,
        hurries: bool,
    ) -> impl Future<Output = Value> + use<'_> {
        let caller = std::panic::Location::caller();
        let (gid, status) = (gid.to_owned(), status.to_owned());
        async move {
            let begun = Instant::now();
            loop {
                let answer = self.query(&gid).await;
                if answer["transaction"]["status"] == json!(status) {
                    return answer;
                }
                assert!(begun.elapsed() < DEADLINE, "{caller}: never {status}, but {answer:#}");
                if hurries {
                    self.post("resetNextCronTime", &json!({ "gid": gid })).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Waits until the participant has heard this often of it.
    pub(super) async fn until_heard(&self, path: &str, count: usize) {
        let begun = Instant::now();
        while self.participant.heard().iter().filter(|heard| heard.path == path).count() < count {
            let heard = self.participant.told();
            assert!(begun.elapsed() < DEADLINE, "never {count} of {path}, but {heard:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The statuses of the rows of a transaction.
pub(super) fn rows(answer: &Value) -> Vec<&str> {
    let rows = answer["branches"].as_array().unwrap();
    rows.iter().map(|row| row["status"].as_str().unwrap()).collect()
}

/// Statuses by their first letters: `p`repared, `s`ucceed, `f`ailed.
pub(super) fn short(answer: &Value) -> String {
    rows(answer).iter().filter_map(|status| status.chars().next()).collect()
}
