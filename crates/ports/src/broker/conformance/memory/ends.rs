//! What is held by those who read and by those who take part in a group.

use super::{
    super::super::{
        BATCH_MAX, Delivery, Error, GroupName, Message, Offset, Reader, Receipt, Subscription,
        TopicName,
    },
    Shared,
    clock::Sleep,
    unavailable, wake,
};
use async_trait::async_trait;
use std::{
    fmt,
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
};

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) shared: Arc<Shared>,
    pub(super) id: u64,
    pub(super) life: u64,
    pub(super) topic: TopicName,
    pub(super) serial: u64,
    pub(super) next: Offset,
}

impl Reading {
    fn poll(&mut self, context: &mut Context<'_>, max: usize) -> Poll<Result<Vec<Message>, Error>> {
        let mut state = self.shared.lock();
        if state.life != self.life {
            return Poll::Ready(Err(unavailable()));
        }
        let now = self.shared.clock.now();
        let found = match state.topic(&self.topic) {
            Ok(topic) if topic.serial == self.serial => {
                topic.tick(now);
                topic.from(self.next).take(max.clamp(1, BATCH_MAX)).cloned().collect::<Vec<_>>()
            }
            _ => return Poll::Ready(Err(Error::NoTopic(self.topic.clone()))),
        };
        if let Some(last) = found.last() {
            self.next = last.offset.next();
            return Poll::Ready(Ok(found));
        }
        state.waiting.insert(self.id, context.waker().clone());
        Poll::Pending
    }
}

#[async_trait]
impl Reader for Reading {
    async fn next(&mut self, max: usize) -> Result<Vec<Message>, Error> {
        poll_fn(|context| self.poll(context, max)).await
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.shared.lock().waiting.remove(&self.id);
    }
}

pub(super) struct Taking {
    shared: Arc<Shared>,
    id: u64,
    life: u64,
    topic: TopicName,
    group: GroupName,
    group_serial: u64,
    topic_serial: u64,
    sleep: Option<Sleep>,
}

impl Taking {
    pub(super) fn new(
        shared: Arc<Shared>,
        id: u64,
        life: u64,
        (topic, group): (TopicName, GroupName),
        (group_serial, topic_serial): (u64, u64),
    ) -> Self {
        Self { shared, id, life, topic, group, group_serial, topic_serial, sleep: None }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Vec<Delivery>, Error>> {
        loop {
            let mut state = self.shared.lock();
            if state.life != self.life {
                return Poll::Ready(Err(unavailable()));
            }
            let now = self.shared.clock.now();
            let topic = match state.topic(&self.topic) {
                Ok(topic) if topic.serial == self.topic_serial => topic,
                _ => return Poll::Ready(Err(Error::NoTopic(self.topic.clone()))),
            };
            topic.tick(now);
            let (epoch, wakes) = match topic.group(&self.group) {
                Ok(group) if group.serial == self.group_serial => {
                    (group.epoch, group.wakes(now.moment))
                }
                _ => {
                    let (topic, group) = (self.topic.clone(), self.group.clone());
                    return Poll::Ready(Err(Error::NoGroup { topic, group }));
                }
            };
            let taken = match topic.deliver(&self.group, now.moment, max.clamp(1, BATCH_MAX)) {
                Ok(taken) => taken,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if !taken.is_empty() {
                let before = [self.topic_serial, self.group_serial, epoch];
                let deliver = |(message, attempt, token): (Message, u32, u64)| {
                    let receipt = write_receipt(before, message.offset, token);
                    Delivery { message, attempt, receipt }
                };
                return Poll::Ready(Ok(taken.into_iter().map(deliver).collect()));
            }
            state.waiting.insert(self.id, context.waker().clone());
            drop(state);
            self.sleep = wakes.and_then(|moment| self.shared.clock.until(moment));
            match self.sleep.as_mut().map(|sleep| sleep.as_mut().poll(context)) {
                Some(Poll::Ready(())) => {}
                Some(Poll::Pending) | None => return Poll::Pending,
            }
        }
    }
}

impl fmt::Debug for Taking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Taking");
        debug.field("topic", &self.topic).field("group", &self.group).finish_non_exhaustive()
    }
}

#[async_trait]
impl Subscription for Taking {
    async fn next(&mut self, max: usize) -> Result<Vec<Delivery>, Error> {
        poll_fn(|context| self.poll(context, max)).await
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.waiting.remove(&self.id);
        let now = self.shared.clock.now().moment;
        if state.life == self.life
            && let Ok(topic) = state.topic(&self.topic)
            && topic.serial == self.topic_serial
            && let Ok(group) = topic.group(&self.group)
            && group.serial == self.group_serial
        {
            group.leave(now);
        }
        wake(state);
    }
}

/// Topic, group, epoch, offset, token.
pub(super) type Parts = [u64; 5];

fn write_receipt([topic, group, epoch]: [u64; 3], offset: Offset, token: u64) -> Receipt {
    Receipt(format!("memory.{topic}.{group}.{epoch}.{offset}.{token}"))
}

pub(super) fn read_receipt(receipt: &Receipt) -> Option<Parts> {
    let parts = receipt.0.strip_prefix("memory.")?.split('.').map(|part| part.parse().ok());
    parts.collect::<Option<Vec<u64>>>()?.try_into().ok()
}
