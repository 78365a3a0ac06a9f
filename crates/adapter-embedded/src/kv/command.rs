//! What is asked of the writer, and the answers that wait for the disk.

use ports::kv::{Error, Lease, LeaseId, Outcome, Revision, Transaction};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::group::Group;

/// Whom to answer.
#[derive(Debug)]
pub(super) struct Reply<T> {
    pub(super) sender: oneshot::Sender<Result<T, Error>>,
    /// Its share of what may be queued.
    pub(super) room: OwnedSemaphorePermit,
}

impl<T> Reply<T> {
    fn send(self, result: Result<T, Error>) {
        drop(self.room);
        // Whoever asked may have gone meanwhile.
        drop(self.sender.send(result));
    }
}

/// What is asked of the writer.
#[derive(Debug)]
pub(super) enum Command {
    Commit(Transaction, Reply<Outcome>),
    Grant(Duration, Reply<Lease>),
    Revoke(LeaseId, Reply<()>),
    Compact(Revision, Reply<()>),
}

/// An answer that waits for the disk.
#[derive(Debug)]
pub(super) enum Answer {
    Commit(Reply<Outcome>, Result<Outcome, Error>),
    Grant(Reply<Lease>, Result<Lease, Error>),
    Done(Reply<()>, Result<(), Error>),
}

impl Answer {
    pub(super) fn send(self) {
        match self {
            Self::Commit(reply, result) => reply.send(result),
            Self::Grant(reply, result) => reply.send(result),
            Self::Done(reply, result) => reply.send(result),
        }
    }

    /// Answers with this instead.
    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Commit(reply, _) => reply.send(Err(error)),
            Self::Grant(reply, _) => reply.send(Err(error)),
            Self::Done(reply, _) => reply.send(Err(error)),
        }
    }
}

impl Command {
    /// Decides it as part of a group.
    pub(super) fn decide(self, group: &mut Group<'_>) -> Answer {
        match self {
            Self::Commit(transaction, reply) => Answer::Commit(reply, group.commit(&transaction)),
            Self::Grant(ttl, reply) => Answer::Grant(reply, group.grant(ttl)),
            Self::Revoke(lease, reply) => Answer::Done(reply, group.end(lease.0.get())),
            Self::Compact(revision, reply) => Answer::Done(reply, group.compact(revision.0)),
        }
    }

    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Commit(_, reply) => reply.send(Err(error)),
            Self::Grant(_, reply) => reply.send(Err(error)),
            Self::Revoke(_, reply) | Self::Compact(_, reply) => reply.send(Err(error)),
        }
    }
}
