//! A watch that goes on at another member when its own fails.

use crate::{
    changes::Changes,
    engine::Shared,
    members::{Attempt, Effect, Trouble},
    verdict::{Reason, Verdict, judge},
};
use async_trait::async_trait;
use futures_core::Stream;
use ports::kv::{Change, Error, Range, Revision, Watch};
use proto::etcd::etcdserverpb::{
    WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, sleep};
use tonic::{Status, Streaming, metadata::MetadataValue};
use tracing::debug;

/// How long a broken watch tries to go on before it says so. Above the time of an election.
const REOPEN_TIME_MAX: Duration = Duration::from_secs(10);

/// Between two tries.
const REOPEN_PAUSE: Duration = Duration::from_millis(200);

/// Longest response: etcd divides what is longer than a request may be, but an event it does not divide.
const RESPONSE_SIZE_MAX: usize = 16 << 20;

/// A stream of one message, which then ends or stays open.
#[derive(Debug)]
pub(crate) struct One<T> {
    pub(crate) message: Option<T>,
    pub(crate) stays: bool,
}

impl<T: Unpin> Stream for One<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        match self.message.take() {
            // Nobody needs to be woken: whoever holds the stream open ends it by dropping it.
            None if self.stays => Poll::Pending,
            message => Poll::Ready(message),
        }
    }
}

type Opening = Pin<Box<dyn Future<Output = Result<Open, Error>> + Send>>;

/// A stream that etcd has accepted.
struct Open {
    stream: Box<Streaming<WatchResponse>>,
    first: WatchResponse,
}

enum Connection {
    Open(Box<Streaming<WatchResponse>>),
    /// Kept while calls to `next` are dropped, so that it gets somewhere.
    Opening(Opening),
}

/// The port's watch.
pub(crate) struct Following {
    shared: Arc<Shared>,
    range: Range,
    changes: Changes,
    connection: Connection,
}

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Following").field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl Following {
    pub(crate) async fn begin(
        shared: Arc<Shared>,
        range: Range,
        from: Option<Revision>,
    ) -> Result<Self, Error> {
        let mut changes = Changes::new(shared.names.clone(), range.clone(), from);
        let Open { stream, first } = open(&shared, &range, changes.begin()).await?;
        accept(&shared, &mut changes, first)?;
        Ok(Self { shared, range, changes, connection: Connection::Open(stream) })
    }

    fn reopen(&mut self) {
        let (shared, range) = (Arc::clone(&self.shared), self.range.clone());
        let begin = self.changes.begin();
        self.connection = Connection::Opening(Box::pin(async move {
            let deadline = Instant::now() + REOPEN_TIME_MAX;
            loop {
                match open(&shared, &range, begin).await {
                    Err(Error::Unavailable { .. }) if Instant::now() < deadline => {
                        sleep(REOPEN_PAUSE).await;
                    }
                    end => return end,
                }
            }
        }));
    }

    /// Takes the next message of an open stream; a broken one is opened again.
    fn take(&mut self, message: Result<Option<WatchResponse>, Status>) -> Result<(), Error> {
        match message {
            Ok(Some(response)) if response.canceled => match self.shared.ended(&response) {
                Some(error) => return Err(error),
                None => self.reopen(),
            },
            Ok(Some(response)) => self.changes.take(response),
            Ok(None) => self.reopen(),
            Err(status) => match judge(status) {
                Verdict::Refused(cause) | Verdict::TooLong(cause) => {
                    return Err(self.shared.trouble(Trouble::Refused(cause)));
                }
                verdict => {
                    debug!(?verdict, "a watch broke off and is opened again");
                    self.reopen();
                }
            },
        }
        Ok(())
    }
}

#[async_trait]
impl Watch for Following {
    async fn next(&mut self) -> Result<Change, Error> {
        loop {
            if let Some(change) = self.changes.pop() {
                return Ok(change);
            }
            // Both are cancel safe: a message is taken whole or not at all, and an opening goes on with the next call.
            match &mut self.connection {
                Connection::Open(stream) => {
                    let message = stream.message().await;
                    if let Err(error) = self.take(message) {
                        // A watch that ended and is asked again tries again, and finds out again.
                        self.reopen();
                        return Err(error);
                    }
                }
                Connection::Opening(opening) => match opening.await {
                    Ok(Open { stream, first }) => {
                        self.connection = Connection::Open(stream);
                        if let Err(error) = accept(&self.shared, &mut self.changes, first) {
                            self.reopen();
                            return Err(error);
                        }
                    }
                    Err(error) => {
                        self.reopen();
                        return Err(error);
                    }
                },
            }
        }
    }
}

/// Takes the first message of a stream.
fn accept(shared: &Shared, changes: &mut Changes, first: WatchResponse) -> Result<(), Error> {
    if first.canceled {
        let refused = || {
            let cause = Arc::new(Reason::Cancelled(first.cancel_reason.clone()));
            shared.trouble(Trouble::Unavailable(cause))
        };
        return Err(shared.ended(&first).unwrap_or_else(refused));
    }
    changes.opened(first.header.map_or(0, |header| header.revision));
    Ok(())
}

/// Opens a stream and waits until etcd says from where on it tells.
async fn open(shared: &Shared, range: &Range, begin: i64) -> Result<Open, Error> {
    // A range in which nothing can be is watched all the same: it must end as other watches do. What is told of it is
    // outside of the range, and dropped.
    let (key, range_end) = match shared.names.span(range) {
        Some(span) => (span.key, span.end),
        None => (shared.names.any(), bytes::Bytes::new()),
    };
    let create = WatchCreateRequest {
        key,
        range_end,
        start_revision: begin,
        progress_notify: true,
        fragment: true,
        ..WatchCreateRequest::default()
    };
    let opened = shared.members.call(Effect::Read, |attempt: Attempt| {
        let create = RequestUnion::CreateRequest(create.clone());
        async move {
            let message = Some(WatchRequest { request_union: Some(create) });
            let mut request = attempt.request(One { message, stays: true });
            // A member that is cut off from the others ends the stream instead of saying nothing.
            let leader = MetadataValue::from_static("true");
            request.metadata_mut().insert("hasleader", leader);
            let mut client = attempt.watch().max_decoding_message_size(RESPONSE_SIZE_MAX);
            let mut stream = Box::new(client.watch(request).await?.into_inner());
            let first = stream.message().await?;
            let first = first.ok_or_else(|| Status::unavailable("the watch ended at once"))?;
            // As a status, so that a token that is not valid any more is treated as everywhere.
            match first.canceled && is_kept_out(&first.cancel_reason) {
                true => Err(Status::unauthenticated(first.cancel_reason)),
                false => Ok(Open { stream, first }),
            }
        }
    });
    opened.await.map_err(|trouble| shared.trouble(trouble))
}

/// Whether etcd does not let us watch, by the reason it gives. Its older versions say that permission is denied when in
/// truth the token is not valid any more, so whatever it is, another token is tried once.
fn is_kept_out(reason: &str) -> bool {
    ["permission denied", "auth", "user name"].iter().any(|words| reason.contains(words))
}
