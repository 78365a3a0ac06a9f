//! The client's side of a response: its head, and where its body goes.

use crate::{
    config::LINGER,
    flow::{Coding, Sink},
    h1::{Fields, Known, ResponseHead},
    h2,
    onward::{Length, decimal, is_named, names_fields},
    transport::Transport,
};
use ::h2::server::SendResponse;
use bytes::Bytes;
use http::{Response, StatusCode};
use std::{cell::RefCell, future::poll_fn, io, rc::Rc, task::Poll};

/// Where the response to one request goes.
pub(crate) enum Reply<'a> {
    /// Onto an HTTP/1 connection.
    H1(H1Reply<'a>),
    /// Onto a stream of HTTP/2.
    H2 { respond: Rc<RefCell<SendResponse<Bytes>>>, is_head: bool },
}

pub(crate) struct H1Reply<'a> {
    pub(crate) transport: &'a Transport,
    /// 0 or 1.
    pub(crate) version: u8,
    pub(crate) is_head: bool,
    /// Whether the connection lives on; the response says so.
    pub(crate) keeps_alive: bool,
}

/// Hears when the client is gone.
pub(crate) enum Gone<'a> {
    H1(&'a Transport),
    H2(h2::Taken),
    Never,
}

impl Gone<'_> {
    /// Waits until the client is gone, or has closed its side and got no answer for a moment: one that closes its side
    /// right after its request may still wait for a quick answer, and hardly for a slow one. Must not be used while
    /// something reads from the connection.
    pub(crate) async fn left(&self) {
        let Self::H1(transport) = self else { return self.wait().await };
        poll_fn(|cx| transport.poll_ended(cx)).await;
        tokio::select! {
            () = self.wait() => {}
            () = tokio::time::sleep(LINGER) => {}
        }
    }

    /// Waits until the client is gone for certain: it has reset the connection or its stream. Must not be used
    /// while something reads from the connection.
    pub(crate) async fn wait(&self) {
        poll_fn(|cx| match self {
            Self::H1(transport) => transport.poll_broken(cx).map(|_| ()),
            Self::H2(taken) => taken.poll(cx),
            Self::Never => Poll::Pending,
        })
        .await;
    }
}

impl<'a> Reply<'a> {
    /// What hears when the client is gone.
    pub(crate) fn gone(&self) -> Gone<'a> {
        match self {
            Self::H1(reply) => Gone::H1(reply.transport),
            Self::H2 { respond, .. } => Gone::H2(h2::Taken::Head(Rc::clone(respond))),
        }
    }

    pub(crate) fn is_head(&self) -> bool {
        match self {
            Self::H1(reply) => reply.is_head,
            Self::H2 { is_head, .. } => *is_head,
        }
    }

    pub(crate) fn is_h2(&self) -> bool {
        matches!(self, Self::H2 { .. })
    }

    /// Lets the connection end after this response.
    pub(crate) fn close(&mut self) {
        if let Self::H1(reply) = self {
            reply.keeps_alive = false;
        }
    }

    /// Says how long the body will be: without a length an HTTP/1.0 client learns of the end by the
    /// connection's end.
    pub(crate) fn expect(&mut self, length: Length) {
        if let Self::H1(reply) = self
            && reply.version == 0
            && length == Length::Unknown
        {
            reply.keeps_alive = false;
        }
    }

    pub(crate) fn keeps_alive(&self) -> bool {
        match self {
            Self::H1(reply) => reply.keeps_alive,
            Self::H2 { .. } => true,
        }
    }

    /// Sends an informational response (1xx), for HTTP/1.0 clients none.
    pub(crate) async fn inform(&mut self, head: &ResponseHead) -> io::Result<()> {
        match self {
            Self::H1(reply) if reply.version > 0 => {
                let mut text = Vec::with_capacity(128);
                status_line(&mut text, head.status, head.reason());
                fields(&mut text, &head.fields, false);
                text.extend_from_slice(b"\r\n");
                reply.transport.write(&[&text]).await.map_err(|(_, error)| error)
            }
            Self::H1(_) => Ok(()),
            Self::H2 { respond, .. } => {
                let mut response = Response::new(());
                *response.status_mut() =
                    StatusCode::from_u16(head.status).map_err(io::Error::other)?;
                *response.headers_mut() = h2::map(&end_to_end(&head.fields));
                respond.borrow_mut().send_informational(response).map_err(h2::broken)
            }
        }
    }

    /// Begins the response: its head is in `to` afterwards, to be sent with the first piece of the body, or was
    /// sent already.
    pub(crate) fn begin(
        self,
        head: &ResponseHead,
        length: Length,
        date: &[u8],
        to: &mut Vec<u8>,
    ) -> io::Result<Sink<'a>> {
        to.clear();
        match self {
            Self::H1(reply) => Ok(reply.begin(head, length, date, to)),
            Self::H2 { respond, is_head } => {
                let mut response = Response::new(());
                *response.status_mut() =
                    StatusCode::from_u16(head.status).map_err(io::Error::other)?;
                let mut all = end_to_end(&head.fields);
                let declared = (is_head || head.status == 304)
                    .then(|| head.fields.first(Known::ContentLength))
                    .flatten();
                if let Some(length) = declared {
                    all.add(b"content-length", length);
                } else if let (Length::Exact(_) | Length::None, 200..) = (length, head.status)
                    && head.status != 204
                {
                    let length = if let Length::Exact(length) = length { length } else { 0 };
                    all.add(b"content-length", length.to_string().as_bytes());
                }
                if !head.fields.has(Known::Date) {
                    all.add(b"date", date);
                }
                *response.headers_mut() = h2::map(&all);
                let ends = is_head || length == Length::None;
                let sent = respond.borrow_mut().send_response(response, ends);
                let stream = sent.map_err(h2::broken)?;
                Ok(if ends { Sink::Nowhere } else { Sink::H2(Box::new(h2::Outgoing::new(stream))) })
            }
        }
    }
}

impl<'a> H1Reply<'a> {
    fn begin(
        &self,
        head: &ResponseHead,
        length: Length,
        date: &[u8],
        to: &mut Vec<u8>,
    ) -> Sink<'a> {
        status_line(to, head.status, head.reason());
        let is_switching = head.status == 101;
        fields(to, &head.fields, is_switching);
        if !head.fields.has(Known::Date) {
            line(to, b"date", date);
        }
        if is_switching {
            to.extend_from_slice(b"connection: upgrade\r\n\r\n");
            return Sink::H1 { transport: self.transport, coding: Coding::Nothing };
        }
        let mut coding = Coding::Plain;
        match length {
            _ if self.is_head || head.status == 304 => {
                coding = Coding::Nothing;
                if let Some(length) = head.fields.first(Known::ContentLength) {
                    line(to, b"content-length", length);
                } else if head.fields.has(Known::TransferEncoding) && self.version > 0 {
                    line(to, b"transfer-encoding", b"chunked");
                }
            }
            Length::None if head.status == 204 => coding = Coding::Nothing,
            Length::None => to.extend_from_slice(b"content-length: 0\r\n"),
            Length::Exact(length) => {
                to.extend_from_slice(b"content-length: ");
                decimal(to, length);
                to.extend_from_slice(b"\r\n");
            }
            Length::Unknown if self.version > 0 => {
                coding = Coding::Chunked;
                to.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            // HTTP/1.0 knows no chunks; the connection's end ends the body.
            Length::Unknown => {}
        }
        if !self.keeps_alive {
            to.extend_from_slice(b"connection: close\r\n");
        } else if self.version == 0 {
            to.extend_from_slice(b"connection: keep-alive\r\n");
        }
        to.extend_from_slice(b"\r\n");
        Sink::H1 { transport: self.transport, coding }
    }
}

/// The end-to-end fields of a response.
fn end_to_end(all: &Fields) -> Fields {
    let mut kept = Fields::default();
    visit(all, false, |name, value| kept.add(name, value));
    kept
}

fn fields(to: &mut Vec<u8>, all: &Fields, is_switching: bool) {
    visit(all, is_switching, |name, value| line(to, name, value));
}

fn visit(all: &Fields, is_switching: bool, mut put: impl FnMut(&[u8], &[u8])) {
    let names_fields = all.has(Known::Connection) && names_fields(all);
    for (known, name, value) in all.iter() {
        let ends_here = match known {
            Known::Upgrade => !is_switching,
            Known::Connection
            | Known::ContentLength
            | Known::KeepAlive
            | Known::ProxyAuthenticate
            | Known::ProxyAuthorization
            | Known::ProxyConnection
            | Known::Te
            | Known::TransferEncoding => true,
            _ => false,
        };
        if !(ends_here || names_fields && is_named(all, known, name)) {
            put(name, value);
        }
    }
}

fn line(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(b": ");
    to.extend_from_slice(value);
    to.extend_from_slice(b"\r\n");
}

fn status_line(to: &mut Vec<u8>, status: u16, reason: &[u8]) {
    to.extend_from_slice(b"HTTP/1.1 ");
    decimal(to, u64::from(status));
    to.push(b' ');
    if reason.is_empty() {
        let known = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
        to.extend_from_slice(known.unwrap_or_default().as_bytes());
    } else {
        to.extend_from_slice(reason);
    }
    to.extend_from_slice(b"\r\n");
}
