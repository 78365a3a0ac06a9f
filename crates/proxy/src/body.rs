//! Bodies on their way: up to an instance, down to a client.

use crate::{
    counters::Counters,
    endpoint::InFlight,
    upstream::Http1,
    worker::{Active, Worker},
};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// How far a request's body has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// There is more to come.
    Partly,
    /// All of it was handed on.
    Wholly,
    /// The client broke it off.
    Aborted,
}

/// A request's body on its way to an instance.
pub(crate) enum Upload {
    /// There is none.
    Empty,
    /// All of it is here, and may be sent again.
    Whole(Bytes),
    /// It comes from the client as the instance takes it.
    Stream(Box<UploadStream>),
}

pub(crate) struct UploadStream {
    /// What was read ahead.
    pub(crate) first: Option<Bytes>,
    pub(crate) rest: Incoming,
    pub(crate) sent: Rc<Cell<Sent>>,
    pub(crate) counters: Arc<Counters>,
}

impl Upload {
    /// The same body again, when all of it is here.
    pub(crate) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Whole(bytes) => Some(Self::Whole(bytes.clone())),
            Self::Stream(_) => None,
        }
    }

    /// Where to see how far it has got; `None` for a body that is here as a whole.
    pub(crate) fn progress(&self) -> Option<Rc<Cell<Sent>>> {
        match self {
            Self::Empty | Self::Whole(_) => None,
            Self::Stream(stream) => Some(Rc::clone(&stream.sent)),
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let stream = match &mut *self {
            Self::Empty => return Poll::Ready(None),
            Self::Whole(bytes) => {
                let all = std::mem::take(bytes);
                return Poll::Ready((!all.is_empty()).then(|| Ok(Frame::data(all))));
            }
            Self::Stream(stream) => stream,
        };
        if let Some(first) = stream.first.take() {
            stream.counters.received(first.len());
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let frame = ready!(Pin::new(&mut stream.rest).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                stream.counters.received(frame.data_ref().map_or(0, Bytes::len));
                if stream.rest.is_end_stream() {
                    stream.sent.set(Sent::Wholly);
                }
            }
            Some(Err(_)) => stream.sent.set(Sent::Aborted),
            None => stream.sent.set(Sent::Wholly),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.first.is_none() && stream.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(length(bytes)),
            Self::Stream(stream) => {
                let first = stream.first.as_ref().map_or(0, length);
                let rest = stream.rest.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(first));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(first));
                }
                hint
            }
        }
    }
}

/// A response's body on its way to the client.
pub(crate) enum Download {
    /// There is none.
    Empty,
    /// All of it is here.
    Whole(Bytes),
    /// It comes from the instance as the client takes it.
    Stream(Box<DownloadStream>),
}

pub(crate) struct DownloadStream {
    pub(crate) incoming: Incoming,
    /// What is held until the instance has sent all.
    pub(crate) open: Option<Open>,
    pub(crate) counters: Arc<Counters>,
    /// The worker waits for the client's side too when it shuts down.
    pub(crate) _active: Active,
}

/// A response that an instance is still sending.
pub(crate) struct Open {
    pub(crate) worker: Rc<Worker>,
    pub(crate) in_flight: InFlight,
    /// The connection it comes on, when that is not shared.
    pub(crate) connection: Option<Http1>,
    pub(crate) upload: Option<Rc<Cell<Sent>>>,
}

impl Open {
    /// The response is complete: the instance is done, its connection can be used again.
    pub(crate) fn complete(self) {
        // While the request is still being sent the connection is not free, and may never be.
        let is_sent = self.upload.as_ref().is_none_or(|sent| sent.get() == Sent::Wholly);
        if let Some(connection) = self.connection.filter(|_| is_sent) {
            self.worker.keep(self.in_flight.endpoint(), connection);
        }
    }

    /// The response broke off.
    fn broken(self) {
        self.in_flight.endpoint().failed(self.worker.now_ms());
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let stream = match &mut *self {
            Self::Empty => return Poll::Ready(None),
            Self::Whole(bytes) => {
                let all = std::mem::take(bytes);
                return Poll::Ready((!all.is_empty()).then(|| Ok(Frame::data(all))));
            }
            Self::Stream(stream) => stream,
        };
        let frame = ready!(Pin::new(&mut stream.incoming).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                stream.counters.sent(frame.data_ref().map_or(0, Bytes::len));
                // Nobody asks again after the last frame.
                if stream.incoming.is_end_stream() {
                    stream.open.take().into_iter().for_each(Open::complete);
                }
            }
            Some(Err(_)) => stream.open.take().into_iter().for_each(Open::broken),
            None => stream.open.take().into_iter().for_each(Open::complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(length(bytes)),
            Self::Stream(stream) => stream.incoming.size_hint(),
        }
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
