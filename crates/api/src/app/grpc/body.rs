//! A call's body with an end to how long it may take.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use proxy::local::BoxError;
use std::{
    future::Future as _,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Sleep;
use tonic::Status;

/// Ends with DEADLINE_EXCEEDED when the body has not come in time; a caller that sends half a message and then
/// nothing would otherwise hold what the call holds for as long as it likes.
#[derive(Debug)]
pub(super) struct Bounded<B> {
    inner: B,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<B> Bounded<B> {
    /// Without `patience` it may take as long as it likes.
    pub(super) fn new(inner: B, patience: Option<Duration>) -> Self {
        Self { inner, deadline: patience.map(|patience| Box::pin(tokio::time::sleep(patience))) }
    }
}

impl<B> Body for Bounded<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(frame) => return Poll::Ready(frame.map(|frame| frame.map_err(Into::into))),
            Poll::Pending => {}
        }
        let Some(deadline) = &mut self.deadline else { return Poll::Pending };
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => {
                let status = Status::deadline_exceeded("the message did not come in time");
                Poll::Ready(Some(Err(status.into())))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
