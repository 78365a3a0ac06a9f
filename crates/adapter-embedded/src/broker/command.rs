//! What is asked of the writer, and the answers that wait for the disk.

use ports::broker::{Error, GroupConfig, GroupName, NewMessage, Published, TopicConfig, TopicName};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{group::Group, plan::Plan, record::Settled, topic::Topic};

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
    Publish(Arc<Topic>, Vec<NewMessage>, Reply<Vec<Published>>),
    /// What was settled of a group; nothing when somebody else does it just now.
    Settled(Arc<Group>, Settled, Reply<()>),
    Ensure(TopicName, TopicConfig, Reply<()>),
    Remove(TopicName, Reply<()>),
    Purge(Arc<Topic>, Option<u64>, Reply<u64>),
    /// The offset at which a new group begins; `None`: with what comes next.
    Join(Arc<Topic>, GroupName, GroupConfig, Option<u64>, Reply<Arc<Group>>),
    Leave(Arc<Topic>, GroupName, Reply<()>),
    Seek(Arc<Topic>, GroupName, Option<u64>, Reply<()>),
}

/// An answer that waits for the disk.
#[derive(Debug)]
pub(super) enum Answer {
    Publish(Reply<Vec<Published>>, Result<Vec<Published>, Error>),
    Done(Reply<()>, Result<(), Error>),
    Purge(Reply<u64>, Result<u64, Error>),
    /// The group is there when the disk has it.
    Join(Reply<Arc<Group>>, Arc<Topic>, GroupName, Result<(), Error>),
}

impl Answer {
    pub(super) fn send(self) {
        match self {
            Self::Publish(reply, result) => reply.send(result),
            Self::Done(reply, result) => reply.send(result),
            Self::Purge(reply, result) => reply.send(result),
            Self::Join(reply, topic, name, result) => {
                reply.send(result.and_then(|()| topic.group(&name)));
            }
        }
    }

    /// Answers with this instead.
    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Publish(reply, _) => reply.send(Err(error)),
            Self::Done(reply, _) => reply.send(Err(error)),
            Self::Purge(reply, _) => reply.send(Err(error)),
            Self::Join(reply, ..) => reply.send(Err(error)),
        }
    }
}

impl Command {
    /// Decides it as part of what is written next. All but publishing and settling are the last of it, so that
    /// whatever follows them sees what they did.
    pub(super) fn decide(self, plan: &mut Plan<'_>) -> Answer {
        match self {
            Self::Publish(topic, messages, reply) => {
                Answer::Publish(reply, plan.publish(&topic, &messages))
            }
            Self::Settled(group, settled, reply) => {
                plan.settled(group, settled);
                Answer::Done(reply, Ok(()))
            }
            Self::Ensure(name, config, reply) => {
                plan.ensure(name, config);
                Answer::Done(reply, Ok(()))
            }
            Self::Remove(name, reply) => {
                plan.remove(&name);
                Answer::Done(reply, Ok(()))
            }
            Self::Purge(topic, before, reply) => {
                let purged = plan.purge(&topic, before);
                Answer::Purge(reply, purged)
            }
            Self::Join(topic, name, config, start, reply) => {
                let joined = plan.join(&topic, &name, config, start);
                Answer::Join(reply, topic, name, joined)
            }
            Self::Leave(topic, name, reply) => {
                let left = plan.leave(&topic, &name);
                Answer::Done(reply, left)
            }
            Self::Seek(topic, name, to, reply) => {
                let sought = plan.seek(&topic, &name, to);
                Answer::Done(reply, sought)
            }
        }
    }

    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Publish(.., reply) => reply.send(Err(error)),
            Self::Settled(group, _, reply) => {
                group.state().is_behind = true;
                reply.send(Err(error));
            }
            Self::Ensure(.., reply)
            | Self::Remove(_, reply)
            | Self::Leave(.., reply)
            | Self::Seek(.., reply) => reply.send(Err(error)),
            Self::Purge(.., reply) => reply.send(Err(error)),
            Self::Join(.., reply) => reply.send(Err(error)),
        }
    }
}
