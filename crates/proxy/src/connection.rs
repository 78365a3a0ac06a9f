//! One client connection: HTTP/1.1, or HTTP/2 when the client begins with it.
//!
//! While it waits for a request it holds no memory but its own task: buffers are borrowed from the worker
//! when the first byte is there and given back after the response.

mod head;

pub(crate) use head::{expectation, misdirected};

use crate::{
    alarm::Alarm,
    buffer::Buffer,
    config::{LINGER, LINGER_SIZE_MAX},
    exchange::{self, Context, Ended, Scratch},
    flow::Source,
    h1::{Bad, BodyDecoder},
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
use head::Unread;
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
        if is_read && self.session.is_none() {
            // To close it says as much.
            return;
        }
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
