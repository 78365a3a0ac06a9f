//! One client connection: HTTP/1.1, or HTTP/2 when the client begins with it.
//!
//! While it waits for a request it holds no memory but its own task: buffers are borrowed from the worker
//! when the first byte is there and given back after the response.

use crate::{
    alarm::Alarm,
    buffer::{Buffer, LARGE},
    config::{LINE_SIZE_MAX, LINGER, LINGER_SIZE_MAX},
    exchange::{self, Context, Ended, Scratch},
    flow::Source,
    h1::{Bad, BodyDecoder, Chunks, Framing, Known, lines::HeadEnd},
    h2_server,
    listener::Listener,
    onward::address_text,
    refusal::Refusal,
    reply::{H1Reply, Reply},
    tls::{Alpn, Session, Tls, TlsStream},
    transport::{Stream, Transport},
    tunnel,
    worker::{Active, Worker},
};
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};
use tokio::{io::ReadBuf, net::TcpStream};
use tracing::debug;

/// How long the memory of a row of requests is kept after the last of them. Under load the next one comes within
/// milliseconds.
const QUIET: Duration = Duration::from_millis(50);

/// What HTTP/2 with prior knowledge begins with (RFC 9113 §3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves the connection until it ends. When its listener closes it ends after the response that is under
/// way.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    stream: TcpStream,
    client: SocketAddr,
) {
    // Deadlines count from here.
    worker.now();
    let _active = Active::new(&worker);
    let _open = OpenCount::new(&listener);
    let alarm = worker.alarms().alarm();
    let (stream, session) = match listener.tls.load_full() {
        None => (Stream::Tcp(stream), None),
        // Large as a future, and over soon: it has its own memory while it lasts.
        Some(tls) => match Box::pin(secure(&worker, &listener, &alarm, &tls, stream)).await {
            Ok((stream, session)) => (Stream::Tls(Box::new(stream)), Some(session)),
            Err(error) => {
                debug!(%client, %error, "no TLS came about");
                return;
            }
        },
    };
    let is_http2 = session.as_ref().is_some_and(|session| session.alpn == Alpn::Http2);
    let connection = Connection {
        transport: Transport::new(stream),
        alarm,
        client,
        client_text: address_text(client.ip()),
        scheme: if session.is_some() { "https" } else { "http" },
        session,
        worker,
        listener,
    };
    if is_http2 {
        return Box::pin(connection.http2(Buffer::default())).await;
    }
    connection.run().await;
}

/// Does the handshake with a client that begins one. Who says nothing is let go like any silent client.
async fn secure(
    worker: &Worker,
    listener: &Listener,
    alarm: &Alarm,
    tls: &Tls,
    stream: TcpStream,
) -> io::Result<(TlsStream, Session)> {
    alarm.set(worker.now() + worker.limits(listener).first_head_timeout);
    let mut first = [0];
    let begins = poll_fn(|cx| match stream.poll_peek(cx, &mut ReadBuf::new(&mut first)) {
        Poll::Pending if listener.ends_idle() => {
            Poll::Ready(Err(io::Error::other("the listener closes")))
        }
        polled => polled,
    });
    alarm.within(begins).await.map_err(|_late| io::Error::from(io::ErrorKind::TimedOut))??;
    tls.accept(stream).await
}

struct Connection {
    worker: Rc<Worker>,
    listener: Arc<Listener>,
    transport: Transport,
    alarm: Alarm,
    client: SocketAddr,
    client_text: Box<str>,
    scheme: &'static str,
    /// What the handshake settled, when the client speaks TLS.
    session: Option<Session>,
}

/// What comes after a request.
enum After {
    /// The next one; what was read of it already is in the buffer.
    Wait,
    End,
    /// HTTP/2.
    Http2,
    Tunnel(exchange::Switched),
}

/// What comes after a row of requests.
enum Next {
    Wait,
    /// It has ended.
    End,
    /// It is to be ended in good order.
    Part,
    Http2(Buffer),
    Tunnel(Buffer, exchange::Switched),
}

/// What came of waiting.
enum Idle {
    Ready(Buffer),
    /// The connection ended, or its listener wants it to.
    Ended,
    /// Nothing, for as long as was waited.
    Quiet,
}

impl Connection {
    async fn run(self) {
        let mut is_first = true;
        loop {
            let limits = self.worker.limits(&self.listener);
            let patience = if is_first { limits.first_head_timeout } else { limits.idle_timeout };
            let buffer = match self.idle(patience).await {
                Idle::Ready(buffer) => buffer,
                Idle::Ended => return self.part().await,
                Idle::Quiet => {
                    debug!(client = %self.client, "a client said nothing for too long");
                    return self.part().await;
                }
            };
            // What requests need is allocated for as long as one follows the other.
            match Box::pin(self.busy(buffer, is_first)).await {
                Next::Wait => is_first = false,
                Next::End => return,
                Next::Part => return self.part().await,
                Next::Http2(buffer) => return Box::pin(self.http2(buffer)).await,
                Next::Tunnel(buffer, switched) => {
                    let tunnel = tunnel::join(&self.worker, &self.transport, buffer, switched);
                    return Box::pin(tunnel).await;
                }
            }
        }
    }

    /// Answers requests until none follows for a moment.
    async fn busy(&self, mut buffer: Buffer, mut is_first: bool) -> Next {
        loop {
            let mut scratch = self.worker.scratch();
            let after = self.request(&mut buffer, &mut scratch, is_first).await;
            self.worker.give_scratch(scratch);
            is_first = false;
            match after {
                After::Wait if !buffer.is_empty() => continue,
                After::Http2 => return Next::Http2(buffer),
                After::Tunnel(switched) => return Next::Tunnel(buffer, switched),
                After::Wait => self.worker.give(buffer),
                After::End => {
                    self.worker.give(buffer);
                    return Next::End;
                }
            }
            buffer = match self.idle(QUIET).await {
                Idle::Ready(buffer) => buffer,
                Idle::Ended => return Next::Part,
                Idle::Quiet => return Next::Wait,
            };
        }
    }

    /// Waits for the first bytes of a request.
    async fn idle(&self, patience: Duration) -> Idle {
        self.alarm.set(self.worker.recent() + patience);
        let read = poll_fn(|cx| {
            let mut buffer = self.worker.small();
            match self.transport.poll_read(cx, buffer.room()) {
                Poll::Ready(Ok(count)) if count > 0 => {
                    buffer.filled_up(count);
                    Poll::Ready(Idle::Ready(buffer))
                }
                Poll::Ready(_) => {
                    self.worker.give(buffer);
                    Poll::Ready(Idle::Ended)
                }
                Poll::Pending => {
                    self.worker.give(buffer);
                    if self.listener.ends_idle() { Poll::Ready(Idle::Ended) } else { Poll::Pending }
                }
            }
        });
        self.alarm.within(read).await.unwrap_or(Idle::Quiet)
    }

    /// Reads one request and answers it.
    async fn request(&self, buffer: &mut Buffer, scratch: &mut Scratch, is_first: bool) -> After {
        let framing = match self.head(buffer, scratch, is_first).await {
            Ok(Some(framing)) => framing,
            Ok(None) => return After::Http2,
            Err(Unread::Gone) => return After::End,
            Err(Unread::Slow) => {
                let bad = Bad { status: 408, why: "the head did not come in time" };
                return self.refuse(bad, scratch, buffer).await;
            }
            Err(Unread::Bad(bad)) => return self.refuse(bad, scratch, buffer).await,
        };
        let context = self.context();
        let keeps_alive = scratch.request.keeps_alive() && !self.listener.is_closing();
        let reply = Reply::H1(H1Reply {
            transport: &self.transport,
            version: scratch.request.version,
            is_head: scratch.request.method() == "HEAD",
            keeps_alive,
        });
        let decoder = BodyDecoder::new(framing);
        let mut source = Source::H1 { transport: &self.transport, decoder };
        let ended = exchange::serve(&context, scratch, framing, &mut source, buffer, reply).await;
        match ended {
            Ended::Keep if source.is_done() => After::Wait,
            Ended::Broken if scratch.request.version == 0 => {
                // Its body ends with the connection: a clean end would make it look whole.
                self.transport.abort();
                After::End
            }
            Ended::Keep | Ended::Close | Ended::Broken => {
                self.linger(buffer, source.is_done()).await;
                After::End
            }
            Ended::Switched(switched) => After::Tunnel(switched),
        }
    }

    fn context(&self) -> Context<'_> {
        Context {
            worker: &self.worker,
            listener: &self.listener,
            client: self.client,
            client_text: &self.client_text,
            scheme: self.scheme,
            alarm: &self.alarm,
        }
    }

    /// Reads a head; `None`: the client speaks HTTP/2.
    async fn head(
        &self,
        buffer: &mut Buffer,
        scratch: &mut Scratch,
        is_first: bool,
    ) -> Result<Option<Framing>, Unread> {
        let limits = self.worker.limits(&self.listener);
        let mut end = HeadEnd::default();
        let mut is_timed = false;
        loop {
            // Over TLS the handshake has settled the protocol.
            let may_switch = is_first && self.session.is_none();
            if may_switch && buffer.filled().first() == Some(&b'P') {
                let known = buffer.len().min(PREFACE.len());
                let begins = buffer.filled().get(..known) == PREFACE.get(..known);
                if begins && known == PREFACE.len() {
                    return Ok(None);
                }
                if begins && known > 3 {
                    self.more(buffer, &mut is_timed).await?;
                    continue;
                }
            }
            // An empty line before a request is an old client's end of a body (RFC 9112 §2.2).
            if let [b'\r', b'\n', ..] = buffer.filled() {
                if end.is_spent() {
                    return Err(Unread::Bad(Bad::request(
                        "there are empty lines before a request",
                    )));
                }
                buffer.skip_to(buffer.range().start + 2);
                end = HeadEnd::spent();
            }
            if let Some(length) = end.find(buffer.filled()).map_err(Unread::Bad)? {
                let head = buffer.filled().get(..length).unwrap_or_default();
                if end.longest_line() > LINE_SIZE_MAX {
                    return Err(too_long(end.is_first_line_longest()));
                }
                if length > limits.head_size_max {
                    return Err(too_long(false));
                }
                let parsed = scratch.request.parse(head, limits.fields_max);
                let framing = parsed.map_err(Unread::Bad)?;
                expectation(scratch).map_err(Unread::Bad)?;
                misdirected(self.session.as_ref(), scratch.request.host()).map_err(Unread::Bad)?;
                buffer.skip_to(buffer.range().start + length);
                if framing == Framing::Chunked {
                    // What can be seen to be bad at once is refused before an instance hears of it.
                    Chunks::check(buffer.filled()).map_err(Unread::Bad)?;
                }
                return Ok(Some(framing));
            }
            if end.longest_line() > LINE_SIZE_MAX {
                return Err(too_long(end.is_first_line_longest()));
            }
            if buffer.len() > limits.head_size_max {
                return Err(too_long(false));
            }
            if buffer.is_full() {
                buffer.grow(if buffer.capacity() < LARGE { LARGE } else { 2 * buffer.capacity() });
            }
            self.more(buffer, &mut is_timed).await?;
        }
    }

    /// Reads on, within the time for one head.
    async fn more(&self, buffer: &mut Buffer, is_timed: &mut bool) -> Result<(), Unread> {
        if !*is_timed {
            *is_timed = true;
            let limits = self.worker.limits(&self.listener);
            self.alarm.set(self.worker.now() + limits.head_timeout);
        }
        match self.alarm.within(self.transport.read(buffer)).await {
            Ok(Ok(0)) | Ok(Err(_)) => Err(Unread::Gone),
            Ok(Ok(_)) => Ok(()),
            Err(_) => Err(Unread::Slow),
        }
    }

    /// Says why a request is refused, and ends the connection.
    async fn refuse(&self, bad: Bad, scratch: &mut Scratch, buffer: &mut Buffer) -> After {
        debug!(client = %self.client, why = bad.why, "a request was refused");
        let reply = Reply::H1(H1Reply {
            transport: &self.transport,
            version: 1,
            is_head: false,
            keeps_alive: false,
        });
        let refusal = Refusal::bad(bad);
        drop(exchange::refuse(&self.context(), scratch, &refusal, false, reply).await);
        self.linger(buffer, false).await;
        After::End
    }

    /// Ends the connection in a way that lets the client read the last response: what it still sends is
    /// read and thrown away for a moment, because the kernel answers unread bytes with a reset that
    /// would destroy the response (RFC 9112 §9.6).
    async fn linger(&self, buffer: &mut Buffer, is_read: bool) {
        self.alarm.set(self.worker.now() + LINGER);
        let drain = async {
            // With TLS it waits until there is room for the alert that says so.
            if self.transport.shut().await.is_err() || is_read {
                return;
            }
            let mut left = LINGER_SIZE_MAX;
            while left > 0 {
                buffer.skip_to(buffer.range().end);
                match self.transport.read(buffer).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => left = left.saturating_sub(count),
                }
            }
        };
        // Either way it is over.
        let _over = self.alarm.within(drain).await;
    }

    /// Ends a connection without a request. A client that speaks TLS is told, so that it knows that nothing was cut
    /// off (RFC 8446 §6.1).
    async fn part(&self) {
        if self.session.is_some() {
            self.alarm.set(self.worker.now() + LINGER);
            let _over = self.alarm.within(self.transport.shut()).await;
        }
    }

    async fn http2(self, buffer: Buffer) {
        let Self { worker, listener, transport, alarm, client, client_text, scheme, session } =
            self;
        drop(alarm);
        let peer = h2_server::Peer { client, client_text, scheme, session };
        h2_server::serve(worker, listener, transport.into_stream(), buffer, peer).await;
    }
}

/// Why there is no head.
enum Unread {
    /// The client ended or broke the connection.
    Gone,
    /// It took too long.
    Slow,
    Bad(Bad),
}

fn too_long(is_target: bool) -> Unread {
    Unread::Bad(if is_target {
        Bad { status: 414, why: "the target is too long" }
    } else {
        Bad { status: 431, why: "the head is too long" }
    })
}

/// Refuses requests for hosts that the connection's certificate does not speak for (RFC 9110 §15.5.20).
pub(crate) fn misdirected(session: Option<&Session>, host: &str) -> Result<(), Bad> {
    // Of `[::1]:443` the last colon is the port's, of `[::1]` it is not.
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let is_served = session.is_none_or(|session| session.serves(name));
    let why = "the connection is for another host";
    if is_served { Ok(()) } else { Err(Bad { status: 421, why }) }
}

/// The only expectation there is (RFC 9110 §10.1.1).
pub(crate) fn expectation(scratch: &Scratch) -> Result<(), Bad> {
    let fields = &scratch.request.fields;
    let is_known = |value: &[u8]| value.eq_ignore_ascii_case(b"100-continue");
    if fields.has(Known::Expect) && !fields.all(Known::Expect).all(is_known) {
        return Err(Bad { status: 417, why: "only 100-continue can be expected" });
    }
    Ok(())
}

/// Counts a connection in while it lives.
struct OpenCount(Arc<Listener>);

impl OpenCount {
    fn new(listener: &Arc<Listener>) -> Self {
        listener.open.fetch_add(1, Relaxed);
        Self(Arc::clone(listener))
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
    }
}
