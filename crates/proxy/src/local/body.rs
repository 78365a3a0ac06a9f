//! Bodies between a connection, which stays on its worker's thread, and whoever answers, which need not.

use crate::{flow::Broken, h1::Fields};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;

/// Pieces of a request's body that wait for whoever answers. One is enough to keep both sides busy, and the next
/// is read from the connection only when there is room: that is the whole of flow control.
const WAITING_MAX: usize = 1;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a response.
pub type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// Why a request's body did not come whole. Before its response has begun nobody sees this: the response's future
/// is dropped instead, and the caller is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The caller broke it off.
    #[error("the request's body was broken off")]
    Broken,
    /// It is longer than allowed.
    #[error("the request's body is larger than is taken here")]
    TooLarge,
    /// It breaks a rule of HTTP.
    #[error("the request's body is malformed: {0}")]
    Malformed(&'static str),
}

/// The body of a request that is answered here.
#[derive(Debug)]
pub struct LocalBody(Inner);

#[derive(Debug)]
enum Inner {
    /// All of it is here.
    Whole(Bytes),
    /// It comes in pieces.
    Flowing { pieces: mpsc::Receiver<Result<Frame<Bytes>, BodyError>>, left: Option<u64> },
}

impl LocalBody {
    /// A body that is all here.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self(Inner::Whole(bytes))
    }
}

/// A body that comes in pieces, and where they are to be put; `length` when it was announced.
pub(crate) fn flowing(length: Option<u64>) -> (LocalBody, Feed) {
    let (feed, pieces) = mpsc::channel(WAITING_MAX);
    (LocalBody(Inner::Flowing { pieces, left: length }), Feed(feed))
}

/// Where the pieces of a body are put.
pub(crate) struct Feed(mpsc::Sender<Result<Frame<Bytes>, BodyError>>);

/// Nobody wants the rest of a body.
#[derive(Debug)]
pub(crate) struct Unwanted;

impl Feed {
    /// Waits until nobody wants the rest.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn unwanted(&self) {
        self.0.closed().await;
    }

    /// Waits for room, and says who is to be told what comes.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn room(&self) -> Result<Room<'_>, Unwanted> {
        self.0.reserve().await.map(Room).map_err(|_closed| Unwanted)
    }
}

/// Room for a piece.
pub(crate) struct Room<'a>(mpsc::Permit<'a, Result<Frame<Bytes>, BodyError>>);

impl Room<'_> {
    pub(crate) fn data(self, piece: Bytes) {
        self.0.send(Ok(Frame::data(piece)));
    }

    pub(crate) fn trailers(self, trailers: &Fields) {
        self.0.send(Ok(Frame::trailers(crate::h2::map(trailers))));
    }

    pub(crate) fn fail(self, error: BodyError) {
        self.0.send(Err(error));
    }
}

impl From<&Broken> for BodyError {
    fn from(broken: &Broken) -> Self {
        match broken {
            Broken::Bad(bad) => Self::Malformed(bad.why),
            Broken::TooLong => Self::TooLarge,
            Broken::Ended | Broken::Refused => Self::Broken,
        }
    }
}

impl Body for LocalBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Inner::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Inner::Flowing { pieces, left } => {
                let piece = ready!(pieces.poll_recv(cx));
                if let (Some(left), Some(Ok(frame))) = (left, &piece)
                    && let Some(data) = frame.data_ref()
                {
                    *left = left.saturating_sub(u64::try_from(data.len()).unwrap_or(u64::MAX));
                }
                Poll::Ready(piece)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.is_empty(),
            // A length says nothing of trailers.
            Inner::Flowing { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(0)),
            Inner::Flowing { left: Some(left), .. } => SizeHint::with_exact(*left),
            Inner::Flowing { left: None, .. } => SizeHint::default(),
        }
    }
}
