//! Asking a consumer for messages: one request at a time, until it is fulfilled or JetStream says that it is over.

use crate::link::{ANSWER_TIME_MAX, Fault, Line, Link};
use async_nats::{Message, StatusCode, Subscriber};
use futures_util::{FutureExt, StreamExt};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// How long a request waits at JetStream. After that it is asked again: by then one whose consumer has silently gone is found
/// out.
pub(crate) const WAIT: Duration = Duration::from_secs(5);

/// How long a request for what is there already may wait for the rest, when a part of it comes. JetStream says nothing when it
/// stops because too much is in flight.
const REST_WAIT: Duration = Duration::from_millis(10);

/// How long after the end of a request JetStream may be silent before it is asked whether the consumer is there.
const SIGN_TIME: Duration = Duration::from_secs(1);

const CONFLICT: u16 = 409;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) count: usize,
    pub(crate) bytes: usize,
    /// Only what is there already.
    pub(crate) is_rest: bool,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Came {
    Message(Message),
    /// The request is over.
    End,
    /// It is over, and was refused for the moment.
    Refused,
    /// The consumer is gone, or nothing was heard of it.
    Gone,
}

/// A place where messages of a consumer arrive.
#[derive(Debug)]
pub(crate) struct Pull {
    link: Arc<Link>,
    line: Line,
    inbox: String,
    arriving: Subscriber,
    serial: u64,
    open: Option<Open>,
}

/// A request that is not over.
#[derive(Debug)]
struct Open {
    serial: u64,
    left: usize,
    until: Instant,
}

impl Pull {
    pub(crate) async fn new(link: &Arc<Link>) -> Result<Self, Fault> {
        let line = link.line().await?;
        let (inbox, arriving) = link.inbox().await?;
        Ok(Self { link: Arc::clone(link), line, inbox, arriving, serial: 0, open: None })
    }

    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Where answers go that nobody looks at.
    pub(crate) fn nowhere(&self) -> String {
        format!("{}.0", self.inbox)
    }

    /// Asks for messages. Nothing must be open.
    ///
    /// # Cancel safety
    /// Cancel safe: when it is dropped nothing was asked.
    pub(crate) async fn ask(
        &mut self,
        stream: &str,
        consumer: &str,
        wanted: Wanted,
    ) -> Result<(), Fault> {
        let wait = if wanted.is_rest { REST_WAIT } else { WAIT };
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let mut body =
            json!({ "batch": wanted.count, "expires": nanos, "max_bytes": wanted.bytes });
        if wanted.is_rest {
            body["no_wait"] = json!(true);
        }
        let serial = self.serial + 1;
        let reply = format!("{}.{serial}", self.inbox);
        self.link.send(next_subject(stream, consumer), reply, body.to_string().into()).await?;
        self.serial = serial;
        let until = Instant::now() + wait + SIGN_TIME;
        self.open = Some(Open { serial, left: wanted.count, until });
        Ok(())
    }

    /// Waits for what comes of the open request.
    ///
    /// # Errors
    /// When the connection was lost: nothing comes any more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Came, Fault> {
        loop {
            let until = self.open.as_ref().map_or_else(Instant::now, |open| open.until);
            let message = tokio::select! {
                biased;
                message = timeout_at(until, self.arriving.next()) => message,
                () = self.line.lost() => return Err(self.link.down()),
            };
            match message {
                Ok(Some(message)) => {
                    if let Some(came) = self.take(message) {
                        return Ok(came);
                    }
                }
                Ok(None) => return Err(self.link.down()),
                Err(_elapsed) => {
                    self.open = None;
                    return Ok(Came::Gone);
                }
            }
        }
    }

    /// What has come already.
    pub(crate) fn next_now(&mut self) -> Option<Came> {
        loop {
            let message = self.arriving.next().now_or_never()??;
            if let Some(came) = self.take(message) {
                return Some(came);
            }
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.line.is_lost()
    }

    /// `None`: it is of a request from before, or says nothing.
    fn take(&mut self, message: Message) -> Option<Came> {
        let Some(status) = message.status else {
            if let Some(open) = &mut self.open {
                open.left = open.left.saturating_sub(1);
                if open.left == 0 {
                    self.open = None;
                }
            }
            return Some(Came::Message(message));
        };
        let serial = message.subject.rsplit('.').next().and_then(|word| word.parse::<u64>().ok());
        if status == StatusCode::IDLE_HEARTBEAT
            || serial != self.open.as_ref().map(|open| open.serial)
        {
            return None;
        }
        self.open = None;
        let text = message.description.unwrap_or_default().to_ascii_lowercase();
        Some(match u16::from(status) {
            CONFLICT if text.contains("deleted") => Came::Gone,
            // The next message does not fit: those before it have come.
            CONFLICT if text.contains("maxbytes") => Came::End,
            CONFLICT => Came::Refused,
            _ if status == StatusCode::NO_RESPONDERS => Came::Gone,
            _ => Came::End,
        })
    }
}

/// Where a consumer is asked for messages.
pub(crate) fn next_subject(stream: &str, consumer: &str) -> String {
    format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}")
}

const _: () = assert!(
    WAIT.as_millis() >= ANSWER_TIME_MAX.as_millis() / 2,
    "requests that end sooner than answers come keep JetStream busy with nothing"
);
