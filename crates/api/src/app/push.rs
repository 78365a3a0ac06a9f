//! Changes of configuration that are posted to apps which asked for them over HTTP.

use super::{
    AppBackend, Caller, Protocol,
    blocks::configuration::{Item, Updates},
};
use crate::{answer::JSON, query};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use runtime::{Stop, TaskSet};
use serde_json::json;
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::mpsc};
use tracing::warn;

/// Subscriptions that wait for their task. One is started in microseconds.
const WAITING_MAX: usize = 256;

/// How long an app may take to answer a change.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a change is posted, and the pause between: an app that restarts takes about so long.
const ATTEMPTS: usize = 4;
const PAUSE: Duration = Duration::from_secs(1);

/// How long the posts that are under way may take when the node ends.
const END_GRACE: Duration = Duration::from_secs(1);

/// Takes subscriptions whose changes shall be posted.
pub(crate) struct Pushes(mpsc::Sender<Push>);

struct Push {
    caller: Caller,
    store: String,
    updates: Updates,
}

impl Pushes {
    /// Whether they will be posted.
    pub(crate) fn push(&self, caller: &Caller, store: &str, updates: Updates) -> bool {
        let push = Push { caller: caller.clone(), store: store.to_owned(), updates };
        self.0.try_send(push).is_ok()
    }
}

pub(super) fn start(tasks: &mut TaskSet, backend: Arc<dyn AppBackend>) -> Pushes {
    let (pushes, waiting) = mpsc::channel(WAITING_MAX);
    tasks.spawn("configuration pushes", |stop| run(waiting, backend, stop));
    Pushes(pushes)
}

async fn run(mut waiting: mpsc::Receiver<Push>, backend: Arc<dyn AppBackend>, mut stop: Stop) {
    let mut running = TaskSet::new("configuration pushes");
    loop {
        let push = tokio::select! {
            biased;
            () = stop.wait() => break,
            push = waiting.recv() => push,
        };
        let Some(push) = push else { break };
        let backend = backend.clone();
        running.spawn("configuration push", |stop| follow(push, backend, stop));
    }
    running.shutdown(END_GRACE).await;
}

async fn follow(push: Push, backend: Arc<dyn AppBackend>, mut stop: Stop) {
    let Push { caller, store, mut updates } = push;
    while let Some(items) = updates.next().await {
        for key in items.keys() {
            let posted = post_change(&*backend, &caller, &store, &updates.id, key, &items);
            tokio::select! {
                biased;
                () = stop.wait() => return,
                () = posted => {}
            }
        }
    }
}

/// Posts until the app takes it, a few times.
async fn post_change(
    backend: &dyn AppBackend,
    caller: &Caller,
    store: &str,
    id: &str,
    key: &str,
    items: &BTreeMap<String, Item>,
) {
    let body = Bytes::from(json!({ "id": id, "items": items }).to_string());
    let path = format!("/configuration/{}/{}", query::escape(store), query::escape(key));
    let mut trouble = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        // Asked for each time: it may listen elsewhere by now.
        let Some(instance) = backend.instance(&caller.id) else { return };
        let Some(app) = &instance.app else { return };
        if app.protocol != Protocol::Http {
            trouble = format!("it speaks {} and no HTTP/1.1", app.protocol.name());
            break;
        }
        let token = instance.app_token.as_deref();
        let post = post(app.address, &path, token, body.clone());
        match tokio::time::timeout(ANSWER_TIMEOUT, post).await {
            Ok(Ok(status)) if status.is_success() => return,
            Ok(Ok(status)) => {
                trouble = format!("it answered {status}");
                if status.is_client_error() {
                    break;
                }
            }
            Ok(Err(e)) => trouble = base::ErrorChain(&*e).to_string(),
            Err(_elapsed) => trouble = "it did not answer in time".to_owned(),
        }
    }
    warn!(instance = %caller.id, %path, trouble, "a change of configuration was not taken");
}

async fn post(
    address: SocketAddr,
    path: &str,
    token: Option<&str>,
    body: Bytes,
) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::post(path)
        .header(header::HOST, address.to_string())
        .header(header::CONTENT_TYPE, JSON)
        .header(header::CONNECTION, "close");
    if let Some(token) = token {
        request = request.header("dapr-api-token", token);
    }
    let request = request.body(Full::new(body))?;
    let answer = async move { sender.send_request(request).await };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    let answer = tokio::select! {
        biased;
        answer = answer.as_mut() => answer,
        // The connection may end with the answer: then it is there.
        _ended = connection.as_mut() => answer.await,
    };
    Ok(answer?.status())
}
