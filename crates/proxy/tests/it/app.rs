//! App listeners: what a [`Local`] of our own directs here, to services, or nowhere.

mod gone;
mod here;
mod limits;
mod service;
mod succession;

use crate::{recorder::PROBE, support::*};
use base::InstanceId;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use proxy::{
    Handle, ListenerId, ListenerKind,
    local::{
        BODY_SIZE_DEFAULT, BoxBody, BoxError, BoxFuture, Direction, Local, LocalBody, Look,
        Refused, To, Upstream as Speaks,
    },
};
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tokio::sync::{Semaphore, mpsc};

/// Directs by the path's first segment and answers by its last.
pub(crate) struct Desk {
    /// Answers being made and bodies not let go of.
    pub(crate) working: AtomicU64,
    pub(crate) asked: AtomicU64,
    /// Requests to `gate` take a permit each before they are answered, `ticks` one per piece.
    pub(crate) gate: Semaphore,
    /// What `/name` answers.
    name: &'static str,
}

impl Desk {
    pub(crate) fn new(name: &'static str) -> Arc<Self> {
        let (working, asked) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { working, asked, gate: Semaphore::new(0), name })
    }

    pub(crate) async fn until_idle(&self) {
        until("nothing is worked on", || self.working.load(SeqCst) == 0).await;
    }

    pub(crate) async fn until_busy(&self) {
        until("something is worked on", || self.working.load(SeqCst) > 0).await;
    }
}

/// The listener of `orders/1` on the data plane of `handle`.
pub(crate) fn listen(handle: &Handle, desk: Arc<dyn Local>) -> SocketAddr {
    handle.set_local(desk);
    let kind = ListenerKind::App { caller: InstanceId::parse("orders/1").unwrap() };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    handle.listen(ListenerId::new("orders/1 http"), any, kind).unwrap()
}

/// A data plane with an app listener before the service `users` with one instance.
pub(crate) struct App {
    pub(crate) desk: Arc<DeskOf>,
    pub(crate) plane: Plane,
    pub(crate) address: SocketAddr,
    pub(crate) users: Upstream,
}

/// A desk as the data plane has it.
pub(crate) struct DeskOf(pub(crate) Arc<Desk>);

impl std::ops::Deref for DeskOf {
    type Target = Desk;

    fn deref(&self) -> &Desk {
        &self.0
    }
}

impl App {
    pub(crate) async fn start() -> Self {
        let users = Upstream::start("users/1").await;
        let config = proxy::Config { workers: 2, ..proxy::Config::default() };
        let plane = Plane::with(config, vec![], vec![users.endpoint()]);
        let desk = Arc::new(DeskOf(Desk::new("first")));
        let address = listen(&plane.handle, Arc::clone(&desk) as Arc<dyn Local>);
        Self { desk, plane, address, users }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }
}

impl Local for DeskOf {
    fn direct(&self, caller: &InstanceId, look: &Look<'_>) -> Direction {
        assert_eq!(caller.to_string(), "orders/1");
        let mut segments = look.path().trim_start_matches('/').splitn(2, '/');
        let (first, rest) = (segments.next().unwrap_or_default(), segments.next());
        let rest = rest.map(|rest| format!("/{rest}"));
        match first {
            "here" => Direction::here(),
            "tiny" => Direction::Here { body_size_max: 10 },
            "huge" => Direction::Here { body_size_max: u64::MAX },
            "forbidden" => {
                let body = Bytes::from_static(b"not you");
                let mut response = Response::new(body);
                *response.status_mut() = StatusCode::FORBIDDEN;
                Direction::Refuse(response)
            }
            "injected" => {
                let path = Some("/a HTTP/1.1\r\nx: y".to_owned());
                Direction::Service(To { path, ..To::new(name("users")) })
            }
            "edited" => Direction::Service(To {
                path: rest.map(|path| path + "?added=1"),
                remove: vec![HeaderName::from_static("dapr-api-token")],
                set: vec![(HeaderName::from_static("x-set"), HeaderValue::from_static("by us"))],
                ..To::new(name("users"))
            }),
            "h2c" => {
                let protocol = Speaks::Http2;
                Direction::Service(To { path: rest, protocol, ..To::new(name("users")) })
            }
            "nobody" => Direction::Service(To::new(name("nobody"))),
            _ => Direction::Service(To::new(name("users"))),
        }
    }

    fn answer(
        &self,
        caller: &InstanceId,
        request: Request<LocalBody>,
    ) -> BoxFuture<Response<BoxBody>> {
        self.asked.fetch_add(1, SeqCst);
        self.working.fetch_add(1, SeqCst);
        let working = Working(Arc::clone(&self.0));
        let caller = caller.clone();
        Box::pin(async move {
            let response = answer(&working.0, &caller, request).await;
            response.map(|body| Held { body, _working: working }.boxed_unsync())
        })
    }

    fn refusal(&self, caller: &InstanceId, refused: &Refused<'_>) -> Response<Bytes> {
        word(caller, refused)
    }
}

/// A refusal in the form of the data plane's own, so that the shapes of `strict` can be compared.
fn word(caller: &InstanceId, refused: &Refused<'_>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if refused.is_grpc {
        response.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        response.headers_mut().insert("grpc-status", "14".parse().unwrap());
        response.headers_mut().insert("grpc-message", refused.code.parse().unwrap());
        return response;
    }
    let (code, message) = (refused.code, refused.message);
    let service = refused.service.map(ToString::to_string).unwrap_or_default();
    let text = format!(
        "{{\"error\":{{\"code\":\"{code}\",\"to\":\"{caller}\",\"of\":\"{service}\",\"why\":\"{message}\"}}}}"
    );
    *response.status_mut() = StatusCode::from_u16(refused.status).unwrap();
    *response.body_mut() = text.into();
    response
}

/// Leads everything to the service `users`, or (`true`) here, where it is answered as a script that says nothing would.
pub(crate) struct Through(pub(crate) bool);

impl Local for Through {
    fn direct(&self, _caller: &InstanceId, _look: &Look<'_>) -> Direction {
        if self.0 { Direction::here() } else { Direction::Service(To::new(name("users"))) }
    }

    fn answer(
        &self,
        _caller: &InstanceId,
        request: Request<LocalBody>,
    ) -> BoxFuture<Response<BoxBody>> {
        Box::pin(async move {
            let is_probe = request.uri().path() == PROBE;
            match request.into_body().collect().await {
                Ok(_) if is_probe => Response::new(text("probe")),
                Ok(_) => Response::new(text("ok")),
                Err(error) => Response::new(text(error.to_string())),
            }
        })
    }

    fn refusal(&self, caller: &InstanceId, refused: &Refused<'_>) -> Response<Bytes> {
        word(caller, refused)
    }
}

/// Counts an answer in while it is made and sent.
struct Working(Arc<Desk>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, SeqCst);
    }
}

/// A body that is counted.
struct Held {
    body: BoxBody,
    _working: Working,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

fn text(text: impl Into<Bytes>) -> BoxBody {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that is fed by hand; an error breaks it off.
fn fed() -> (mpsc::Sender<Result<Frame<Bytes>, BoxError>>, BoxBody) {
    let (sender, receiver) = mpsc::channel(4);
    (sender, StreamBody::new(Fed(receiver)).boxed_unsync())
}

struct Fed(mpsc::Receiver<Result<Frame<Bytes>, BoxError>>);

impl futures_core::Stream for Fed {
    type Item = Result<Frame<Bytes>, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

/// Says that it is longer than it is.
struct Boasting(BoxBody);

impl http_body::Body for Boasting {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(100)
    }
}

async fn answer(
    desk: &Arc<Desk>,
    caller: &InstanceId,
    request: Request<LocalBody>,
) -> Response<BoxBody> {
    let path = request.uri().path().to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "name" => Response::new(text(desk.name)),
        "caller" => Response::new(text(caller.to_string())),
        "head" => Response::new(text(dump(&request))),
        "echo" => {
            let mut response = Response::builder();
            if let Some(kind) = request.headers().get("content-type") {
                response = response.header("content-type", kind);
            }
            response.body(request.into_body().map_err(Into::into).boxed_unsync()).unwrap()
        }
        "count" => match request.into_body().collect().await {
            Ok(all) => Response::new(text(all.to_bytes().len().to_string())),
            Err(error) => Response::new(text(error.to_string())),
        },
        "gate" => {
            desk.gate.acquire().await.unwrap().forget();
            drop(request);
            Response::new(text("through the gate"))
        }
        "early" => Response::new(text("early")),
        "empty" => {
            Response::builder().status(204).header("x-kept", "1").body(text("not sent")).unwrap()
        }
        "odd" => Response::builder()
            .header("connection", "x-hop")
            .header("x-hop", "1")
            .header("content-length", "999")
            .header("transfer-encoding", "chunked")
            .body(text("odd"))
            .unwrap(),
        "ticks" => Response::new(ticks(Arc::clone(desk))),
        "trailers" => {
            let (sender, body) = fed();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "7".parse().unwrap());
            // What frames a message does not belong at its end.
            trailers.insert("content-length", "3".parse().unwrap());
            sender.send(Ok(Frame::data(Bytes::from_static(b"data")))).await.unwrap();
            sender.send(Ok(Frame::trailers(trailers))).await.unwrap();
            Response::new(body)
        }
        "broken" => {
            let (sender, body) = fed();
            sender.send(Ok(Frame::data(Bytes::from_static(b"some")))).await.unwrap();
            sender.send(Err("out of ink".into())).await.unwrap();
            Response::new(body)
        }
        "failed" => {
            let (sender, body) = fed();
            sender.send(Err("out of ink".into())).await.unwrap();
            Response::new(body)
        }
        "boasting" => Response::new(Boasting(text("short")).boxed_unsync()),
        "large" => Response::new(text(vec![b'x'; 8 << 20])),
        _ => {
            drop(request.into_body().collect().await);
            Response::new(text("ok"))
        }
    }
}

/// A piece for every permit, for ever.
fn ticks(desk: Arc<Desk>) -> BoxBody {
    let (sender, body) = fed();
    let mut ticks = runtime::TaskSet::new("ticks");
    ticks.spawn("ticks", move |_| async move {
        while let Ok(permit) = desk.gate.acquire().await {
            permit.forget();
            let tick = Ok(Frame::data(Bytes::from_static(b"tick\n")));
            if sender.send(tick).await.is_err() {
                return;
            }
        }
    });
    // The task ends with its receiver or the test's runtime.
    Box::leak(Box::new(ticks));
    body
}

fn dump(request: &Request<LocalBody>) -> String {
    let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    text
}

#[test]
fn the_usual_largest_body_is_what_here_says() {
    let Direction::Here { body_size_max } = Direction::here() else { panic!("not here") };
    assert_eq!(body_size_max, BODY_SIZE_DEFAULT);
}
