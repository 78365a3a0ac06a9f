//! What a failed call means for whoever made it.

use std::{error::Error, fmt, sync::Arc, time::Duration};
use tonic::{Code, ConnectError, Status};

/// Why something failed, for people.
pub(crate) type Cause = Arc<dyn Error + Send + Sync>;

/// What a failure of one attempt means.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// No connection: nothing was sent. Another member may do it.
    Unsent(Cause),
    /// etcd did not do it, and may later or elsewhere.
    Unapplied(Cause),
    /// It broke off: it may have been done, or be done still.
    Broken(Cause),
    /// The token is not valid any more; nothing was done.
    Token(Cause),
    /// etcd will not do it, however often it is asked.
    Refused(Cause),
    /// The lease does not exist; nothing was done.
    LeaseGone(Cause),
    /// The revision is forgotten.
    Compacted(Cause),
    /// The revision is not there yet.
    Future(Cause),
    /// The answer is longer than we take.
    TooLong(Cause),
}

/// What etcd said, or what happened to the connection.
#[derive(Debug)]
struct Said(Status);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.message() {
            "" => write!(f, "{}", self.0.code()),
            message => f.write_str(message),
        }
    }
}

impl Error for Said {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// A reason of our own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Reason {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("etcd ended the watch: {0}")]
    Cancelled(String),
    #[error("others changed the keys again and again")]
    Busy,
    #[error("the lease of an entry ended before the entry was written")]
    Outrun(#[source] Cause),
}

/// Says that something took too long.
pub(crate) fn late(limit: Duration) -> Verdict {
    Verdict::Broken(Arc::new(Reason::Late(limit)))
}

/// Reads what a call ended with.
pub(crate) fn judge(status: Status) -> Verdict {
    let is_ours = Error::source(&status).is_some();
    let is_unsent = causes(&status).any(|cause| cause.is::<ConnectError>());
    let (code, message) = (status.code(), status.message().to_owned());
    let is_etcds = message.starts_with("etcdserver:");
    let says = |part: &str| message.contains(part);
    let cause: Cause = Arc::new(Said(status));
    if is_unsent {
        return Verdict::Unsent(cause);
    }
    if is_ours {
        return Verdict::Broken(cause);
    }
    match code {
        Code::Unauthenticated => Verdict::Token(cause),
        Code::InvalidArgument if says("revision of auth store is old") => Verdict::Token(cause),
        Code::NotFound if says("requested lease not found") => Verdict::LeaseGone(cause),
        Code::OutOfRange if says("has been compacted") => Verdict::Compacted(cause),
        Code::OutOfRange if says("future revision") => Verdict::Future(cause),
        // Said by our own side of the connection.
        Code::OutOfRange if !is_etcds => Verdict::TooLong(cause),
        // It is asked for what may well be free again later: a place in a queue, room on the disk.
        Code::ResourceExhausted if is_etcds => Verdict::Unapplied(cause),
        Code::Unavailable if says("no leader") || says("not supported for learner") => {
            Verdict::Unapplied(cause)
        }
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::NotFound
        | Code::AlreadyExists
        | Code::OutOfRange
        | Code::ResourceExhausted
        | Code::DataLoss => Verdict::Refused(cause),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable => Verdict::Broken(cause),
    }
}

/// The causes of an error, the next one first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::{Verdict, judge};
    use tonic::{Code, ConnectError, Status};

    fn check(code: Code, message: &str, expected: &str) {
        let verdict = format!("{:?}", judge(Status::new(code, message)));
        assert_eq!(verdict.split('(').next(), Some(expected), "{message}");
    }

    #[test]
    fn only_what_certainly_did_not_happen_is_said_so() {
        check(Code::Unavailable, "etcdserver: request timed out", "Broken");
        check(Code::Unavailable, "etcdserver: leader changed", "Broken");
        check(Code::Unavailable, "etcdserver: server stopped", "Broken");
        check(Code::Unavailable, "etcdserver: no leader", "Unapplied");
        check(Code::Unavailable, "error reading from server: EOF", "Broken");
        check(Code::Unknown, "anything", "Broken");
        check(Code::DeadlineExceeded, "context deadline exceeded", "Broken");
        check(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", "Unapplied");
        check(Code::ResourceExhausted, "etcdserver: too many requests", "Unapplied");
        check(Code::ResourceExhausted, "grpc: received message larger than max", "Refused");
    }

    #[test]
    fn what_needs_another_hand_is_refused() {
        check(Code::PermissionDenied, "etcdserver: permission denied", "Refused");
        check(Code::InvalidArgument, "etcdserver: user name is empty", "Refused");
        check(Code::InvalidArgument, "etcdserver: request is too large", "Refused");
        check(Code::DataLoss, "etcdserver: corrupt cluster", "Refused");
        check(Code::Unimplemented, "unknown service etcdserverpb.KV", "Refused");
    }

    #[test]
    fn what_the_callers_know_is_told_apart() {
        let compacted = "etcdserver: mvcc: required revision has been compacted";
        check(Code::OutOfRange, compacted, "Compacted");
        let future = "etcdserver: mvcc: required revision is a future revision";
        check(Code::OutOfRange, future, "Future");
        check(Code::OutOfRange, "Error, decoded message length too large", "TooLong");
        check(Code::NotFound, "etcdserver: requested lease not found", "LeaseGone");
        check(Code::Unauthenticated, "etcdserver: invalid auth token", "Token");
        check(Code::InvalidArgument, "etcdserver: revision of auth store is old", "Token");
    }

    #[test]
    fn a_connection_that_was_never_made_sent_nothing() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let status = Status::from_error(Box::new(ConnectError(Box::new(refused))));
        assert!(matches!(judge(status), Verdict::Unsent(_)));
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(matches!(judge(Status::from_error(Box::new(broken))), Verdict::Broken(_)));
    }
}
