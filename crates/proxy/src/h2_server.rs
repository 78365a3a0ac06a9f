//! A client's connection that speaks HTTP/2: every stream is a request of its own.
//!
//! What must hold:
//! - *What HTTP/1.1 could not carry is refused* before an instance hears of it: the crate checks frames and
//!   fields, [`take`] what only means something to a proxy (RFC 9113 §8.2.1, §8.3.1, §10.3).
//! - *A client that keeps no bound is cut off*: streams at once, resets before and after a request is looked at,
//!   small frames, field blocks. The crate answers one ping at a time and reads on when the answer is out, so a
//!   flood of them waits in the client's own socket.
//! - *An end is announced* (GOAWAY in two steps, RFC 9113 §6.8), and what is under way is answered. A client
//!   that does not go then is cut off after [`GOODBYE`].

use crate::{
    alarm::Alarm,
    buffer::Buffer,
    config::{
        CONNECTION_WINDOW, GOODBYE, LINE_SIZE_MAX, RESETS_MAX, STREAM_SEND_MAX, STREAM_WINDOW,
        TAKEN_BACK_MAX, TAKEN_BACK_SOON,
    },
    connection::{expectation, misdirected},
    exchange::{self, Context, Ended, Scratch},
    flow::Source,
    h1::{Bad, Framing, request::check_host},
    h2::Incoming,
    limits::Limits,
    listener::Listener,
    refusal::Refusal,
    reply::Reply,
    tls::Session,
    transport::{Prefixed, Stream},
    worker::{Active, Worker},
};
use ::h2::{Reason, RecvStream, server::SendResponse};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header, request::Parts};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::{self, Poll, Waker},
};
use tracing::debug;

/// Who is at the other end.
pub(crate) struct Peer {
    pub(crate) client: SocketAddr,
    pub(crate) client_text: Box<str>,
    pub(crate) scheme: &'static str,
    pub(crate) session: Option<Session>,
}

/// What all streams of a connection share.
struct Shared {
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    peer: Peer,
    /// Goes off when nothing happens on the connection.
    alarm: Alarm,
    /// Streams under way.
    open: Cell<usize>,
    /// Requests that were taken back soon, less those that were answered.
    taken_back: Cell<u32>,
    /// The client was told that the connection ends.
    is_closing: Cell<bool>,
}

impl Shared {
    /// Begins to wait for the next request, or for the client to go.
    fn rest(&self) {
        let idle = self.worker.limits(&self.listener).idle_timeout;
        let patience = if self.is_closing.get() { GOODBYE } else { idle };
        self.alarm.set(self.worker.now() + patience);
    }
}

/// What happens on a connection.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box would cost each request"
)]
enum News {
    Request(Request<RecvStream>, SendResponse<Bytes>),
    /// It ended, perhaps because it broke.
    End(Option<::h2::Error>),
    /// The listener closes.
    Closing,
    /// The client takes back what it asks for, over and over.
    Abuse,
}

/// Serves the connection until it ends; `first` was read of it already. When its listener closes, streams that
/// are open go on and new ones are refused.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    stream: Stream,
    first: Buffer,
    peer: Peer,
) {
    let alarm = worker.alarms().alarm();
    let limits = worker.limits(&listener);
    alarm.set(worker.now() + limits.first_head_timeout);
    let handshake = builder(&limits).handshake(Prefixed::new(first, stream));
    let mut connection = match alarm.within(handshake).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            debug!(client = %peer.client, %error, "no HTTP/2 came about");
            return;
        }
        Err(_) => return,
    };
    let shared = Rc::new(Shared {
        worker,
        listener,
        peer,
        alarm,
        open: Cell::new(0),
        taken_back: Cell::new(0),
        is_closing: Cell::new(false),
    });
    let mut is_cut = false;
    shared.rest();
    loop {
        let news = poll_fn(|cx| {
            if !is_cut && shared.taken_back.get() > TAKEN_BACK_MAX {
                return Poll::Ready(News::Abuse);
            }
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    return Poll::Ready(News::Request(request, respond));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(News::End(Some(error))),
                Poll::Ready(None) => return Poll::Ready(News::End(None)),
                Poll::Pending => {}
            }
            let closes = !shared.is_closing.get() && shared.listener.is_closing();
            if closes { Poll::Ready(News::Closing) } else { Poll::Pending }
        });
        match shared.alarm.within(news).await {
            Ok(News::Request(request, respond)) => {
                let open = OpenStream::new(&shared);
                shared.worker.local().spawn(answer(open, request, respond));
                shared.rest();
            }
            Ok(News::End(error)) => {
                if let Some(error) = error {
                    debug!(client = %shared.peer.client, %error, "an HTTP/2 connection broke");
                }
                return;
            }
            Ok(News::Abuse) => {
                debug!(client = %shared.peer.client, "a client takes back what it asks for");
                is_cut = true;
                shared.is_closing.set(true);
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                shared.rest();
            }
            // A stream takes longer than a connection may idle.
            Err(_) if shared.open.get() > 0 && !is_cut => shared.rest(),
            Err(_) if shared.is_closing.get() => return,
            Ok(News::Closing) | Err(_) => {
                shared.is_closing.set(true);
                connection.graceful_shutdown();
                shared.rest();
            }
        }
    }
}

/// The crate with our limits. It also limits empty frames, and by itself small ones: overhead for half of the
/// connection's window may wait.
fn builder(limits: &Limits) -> ::h2::server::Builder {
    let mut builder = ::h2::server::Builder::new();
    builder
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.head_size_max).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(Some(RESETS_MAX))
        .max_send_buffer_size(STREAM_SEND_MAX);
    builder
}

/// Counts a stream in while it lives.
struct OpenStream(Rc<Shared>);

impl OpenStream {
    fn new(shared: &Rc<Shared>) -> Self {
        shared.open.set(shared.open.get() + 1);
        Self(Rc::clone(shared))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let left = self.0.open.get().saturating_sub(1);
        self.0.open.set(left);
        if left == 0 {
            self.0.rest();
        }
    }
}

/// Answers one request.
async fn answer(open: OpenStream, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
    let shared = &open.0;
    let Shared { worker, listener, peer, .. } = &**shared;
    let _active = Active::new(worker);
    let alarm = worker.alarms().alarm();
    let context = Context {
        worker,
        listener,
        client: peer.client,
        client_text: &peer.client_text,
        scheme: peer.scheme,
        alarm: &alarm,
    };
    let started = worker.now();
    let mut scratch = worker.scratch();
    let is_head = request.method() == Method::HEAD;
    let respond = Rc::new(RefCell::new(respond));
    let reply = Reply::H2 { respond: Rc::clone(&respond), is_head };
    let fields_max = worker.limits(listener).fields_max;
    let mut taken = take(request, &mut scratch, peer.session.as_ref(), fields_max);
    if let Ok((Framing::None, incoming)) = &mut taken
        && let Err(bad) = nothing(&context, incoming).await
    {
        taken = Err(bad);
    }
    let ended = match taken {
        Ok((framing, incoming)) => {
            let has_body = framing != Framing::None;
            let mut buffer = if has_body { worker.small() } else { Buffer::default() };
            let mut source = Source::H2(Box::new(incoming));
            let served =
                exchange::serve(&context, &mut scratch, framing, &mut source, &mut buffer, reply);
            let ended = served.await;
            worker.give(buffer);
            ended
        }
        Err(bad) => {
            debug!(client = %peer.client, why = bad.why, "a request was refused");
            let refusal = Refusal::bad(bad);
            exchange::refuse(&context, &mut scratch, &refusal, false, reply).await
        }
    };
    worker.give_scratch(scratch);
    let taken_back = shared.taken_back.get();
    match ended {
        Ended::Keep => shared.taken_back.set(taken_back.saturating_sub(1)),
        // We have reset it ourselves.
        Ended::Broken => {}
        Ended::Close | Ended::Switched(_) => {
            let mut nobody = task::Context::from_waker(Waker::noop());
            let is_reset =
                matches!(respond.borrow_mut().poll_reset(&mut nobody), Poll::Ready(Ok(_)));
            if is_reset && worker.now().since(started) < TAKEN_BACK_SOON {
                shared.taken_back.set(taken_back.saturating_add(1));
            }
        }
    }
}

/// Waits for the end of a body that was said to be empty and has not ended yet. The crate resets the stream of a
/// client that sends one all the same.
async fn nothing(context: &Context<'_>, incoming: &mut Incoming) -> Result<(), Bad> {
    let worker = context.worker;
    context.alarm.set(worker.now() + worker.config().body_timeout);
    match context.alarm.within(incoming.nothing()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Bad::request("the body is longer than the request says")),
        Err(_) => Err(Bad { status: 408, why: "the body did not come in time" }),
    }
}

/// Takes a request into `scratch`, when its parts agree.
fn take(
    request: Request<RecvStream>,
    scratch: &mut Scratch,
    session: Option<&Session>,
    fields_max: usize,
) -> Result<(Framing, Incoming), Bad> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        return Err(Bad { status: 405, why: "CONNECT is not served here" });
    }
    let host = host(&parts)?;
    let path = path(&parts)?;
    scratch.request.begin(parts.method.as_str(), path, host);
    fields(&parts.headers, scratch, fields_max)?;
    expectation(scratch)?;
    misdirected(session, host)?;
    let framing = match Framing::of_request(&scratch.request.fields, 2)? {
        Framing::Length(_) if body.is_end_stream() => {
            return Err(Bad::request("the body is shorter than the request says"));
        }
        _ if body.is_end_stream() => Framing::None,
        // Only a length of nothing says that there is none.
        Framing::None if !parts.headers.contains_key(header::CONTENT_LENGTH) => Framing::Chunked,
        framing => framing,
    };
    Ok((framing, Incoming::new(body)))
}

/// The host, which `:authority` and `Host` must agree on (RFC 9113 §8.3.1).
fn host(parts: &Parts) -> Result<&str, Bad> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let (field, has_more) = (hosts.next(), hosts.next().is_some());
    let authority = parts.uri.authority().map(|authority| authority.as_str().as_bytes());
    let host = match (authority, field) {
        _ if has_more => return Err(Bad::request("the request has more than one Host field")),
        (Some(authority), Some(field)) if !authority.eq_ignore_ascii_case(field.as_bytes()) => {
            return Err(Bad::request(":authority and the Host field name different hosts"));
        }
        (Some(authority), _) => authority,
        (None, Some(field)) => field.as_bytes(),
        (None, None) => return Err(Bad::request("the request names no host")),
    };
    check_host(host, 2)
}

/// Path and query, or `*`.
fn path(parts: &Parts) -> Result<&str, Bad> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if path.len() > LINE_SIZE_MAX {
        return Err(Bad { status: 414, why: "the target is too long" });
    }
    if path.bytes().any(|byte| !(0x21..=0x7e).contains(&byte) || byte == b'#') {
        return Err(Bad::request("the path has a character that no path may have"));
    }
    let is_whole_server = path == "*" && parts.method == Method::OPTIONS;
    if !path.starts_with('/') && !is_whole_server {
        return Err(Bad::request("the path does not begin with a slash"));
    }
    Ok(path)
}

/// Takes the fields, within the limits of HTTP/1.1.
fn fields(headers: &HeaderMap, scratch: &mut Scratch, most: usize) -> Result<(), Bad> {
    if headers.len() > most {
        return Err(Bad { status: 431, why: "the request has too many fields" });
    }
    for (name, value) in headers {
        let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
        if name.len() + value.len() > LINE_SIZE_MAX {
            return Err(Bad { status: 431, why: "the head is too long" });
        }
        // RFC 9113 §8.2.1.
        if value.trim_ascii().len() != value.len() {
            return Err(Bad::request("a value begins or ends with white space"));
        }
        scratch.request.fields.add(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
