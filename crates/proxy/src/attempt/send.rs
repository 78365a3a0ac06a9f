//! One try: the request goes out on a connection, the head of the response comes back.

use super::{Answer, Call, Failed, Trouble, Unread, unsent};
use crate::{
    config::REPLAY_SIZE_MAX,
    endpoint::{Endpoint, InFlight},
    h1::{Framing, ResponseHead},
    reply::Reply,
    times::open_ended,
    transport::Transport,
};
use base::Moment;
use logic::{outlier::Event, retry::Failure};
use std::{io, pin::pin};

impl Call<'_> {
    /// Sends the request to one endpoint, for as long as one try may take. The outer error is final.
    pub(super) async fn send(
        &self,
        in_flight: InFlight,
        message: (&[u8], &[u8]),
        response: &mut ResponseHead,
        reply: &mut Reply<'_>,
    ) -> Result<Result<Answer, Trouble>, Failed> {
        let mut sent = pin!(self.send_once(in_flight, message, response, reply));
        let Some(per_try) = self.times.said.timeouts.per_try else { return sent.await };
        let narrowed = self.alarm.narrow(self.at + per_try);
        let outcome = self.alarm.within(sent.as_mut()).await;
        drop(narrowed);
        outcome.unwrap_or_else(|_elapsed| Ok(Err(self.try_timed_out())))
    }

    pub(super) fn try_timed_out(&self) -> Trouble {
        let is_callers = self.times.is_callers && self.times.head.is_over(self.worker.now());
        let detail = "it did not answer in time".to_owned();
        Trouble { failure: Failure::TryTimedOut, is_endpoints: !is_callers, detail }
    }

    async fn send_once(
        &self,
        in_flight: InFlight,
        (head, body): (&[u8], &[u8]),
        response: &mut ResponseHead,
        reply: &mut Reply<'_>,
    ) -> Result<Result<Answer, Trouble>, Failed> {
        let (connection, is_kept) = match self.connection(in_flight.endpoint()).await {
            Ok(connection) => connection,
            Err(trouble) => return Ok(Err(trouble)),
        };
        let started = if is_kept { self.at } else { self.worker.now() };
        if let Err((written, error)) = self.write(&connection, started, head, body).await {
            return Ok(Err(unsent(written, &error, is_kept)));
        }
        let mut buffer = self.worker.small();
        let read = self.receive(&connection, &mut buffer, response, reply).await;
        let framing = match read {
            Ok(framing) => framing,
            Err(unread) => {
                self.worker.give(buffer);
                return self.unread(unread, is_kept, in_flight.endpoint()).map(Err);
            }
        };
        let (at, latency_us) = self.booked(in_flight.endpoint(), started, response.status);
        let mut answer = Answer { connection, buffer, framing, in_flight, at, latency_us };
        if let Err(trouble) = self.hold(&mut answer).await {
            self.worker.give(answer.buffer);
            return Ok(Err(trouble));
        }
        Ok(Ok(answer))
    }

    /// Writes head and body, with the time that is left at `now` if the instance is told.
    pub(crate) async fn write(
        &self,
        connection: &Transport,
        now: Moment,
        head: &[u8],
        body: &[u8],
    ) -> Result<(), (usize, io::Error)> {
        match self.times.tail(now) {
            None if body.is_empty() => connection.write_one(head).await,
            None => connection.write(&[head, body]).await,
            Some(tail) => connection.write(&[open_ended(head), tail.as_bytes(), body]).await,
        }
    }

    /// What it means that no head could be read. The outer error is final.
    pub(crate) fn unread(
        &self,
        unread: Unread,
        is_kept: bool,
        endpoint: &Endpoint,
    ) -> Result<Trouble, Failed> {
        if matches!(unread, Unread::Bad(_)) {
            // No answer that anybody could use, though it can be reached.
            self.saw(endpoint, self.worker.now(), Event::Answered(502));
        }
        unread.trouble(is_kept)
    }

    /// Takes the rest of a response in when it is small and the request may be sent again, so that an
    /// instance that dies in the middle of it can still be replaced.
    async fn hold(&self, answer: &mut Answer) -> Result<(), Trouble> {
        let Framing::Length(length) = answer.framing else { return Ok(()) };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let may_repeat = self.asked.is_idempotent
            && self.asked.is_replayable
            && self.used.retries < self.times.said.retry.max
            && length <= REPLAY_SIZE_MAX;
        if length > answer.buffer.capacity() {
            let mut large = self.worker.large();
            answer.buffer.move_into(&mut large);
            self.worker.give(std::mem::replace(&mut answer.buffer, large));
        }
        while may_repeat && answer.buffer.len() < length {
            let broken = match answer.connection.read(&mut answer.buffer).await {
                Ok(0) => "it ended in the middle of its response".to_owned(),
                Ok(_) => continue,
                Err(error) => error.to_string(),
            };
            return Err(Trouble { failure: Failure::Broken, is_endpoints: true, detail: broken });
        }
        Ok(())
    }
}
