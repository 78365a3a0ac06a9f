//! Bodies of requests and answers.

use super::fault::Fault;
use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use proxy::local::{BodyError, BoxBody, LocalBody};
use std::time::Duration;

/// How long a caller may take for a whole body. It is on this machine and sends a few MiB at most.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// An answer with a body of its own kind.
pub(crate) fn whole(answer: Response<Bytes>) -> Response<BoxBody> {
    answer.map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync())
}

/// An answer of the admin API's kind.
pub(crate) fn ours(answer: crate::answer::Answer) -> Response<BoxBody> {
    answer.map(|body| body.map_err(|never| match never {}).boxed_unsync())
}

/// The whole body of a request.
pub(crate) async fn read(body: LocalBody, limit: usize) -> Result<Bytes, Fault> {
    let read = tokio::time::timeout(READ_TIMEOUT, Limited::new(body, limit).collect()).await;
    match read {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(e)) if e.is::<LengthLimitError>() => Err(Fault::too_long(limit)),
        Ok(Err(e)) => match e.downcast_ref::<BodyError>() {
            Some(BodyError::TooLarge) => Err(Fault::too_long(limit)),
            _ => Err(Fault::unreadable_body(e)),
        },
        Err(_elapsed) => Err(Fault::slow()),
    }
}
