//! An instance's response on its way to the client.

use super::{Ended, Exchange, Scratch, Switched, arrival::send_own, local, streaming};
use crate::{
    attempt::Answer,
    endpoint::Endpoint,
    flow::Source,
    h1::{BodyDecoder, Framing, ResponseHead, body::Part},
    onward::Length,
    refusal::Refusal,
    reply::Reply,
};
use logic::outlier::Event;

impl Exchange<'_> {
    /// Sends an instance's response on.
    pub(super) async fn forward(
        &self,
        mut answer: Answer,
        retries: u32,
        scratch: &mut Scratch,
        reply: Reply<'_>,
    ) -> Ended {
        self.book(scratch.response.status, retries, Some(answer.in_flight.endpoint()));
        if scratch.response.status == 101 {
            return self.switch(answer, scratch, reply).await;
        }
        let worker = self.context.worker;
        self.dress(&mut scratch.response);
        self.bind(answer.in_flight.endpoint(), &mut scratch.response);
        let mut decoder = BodyDecoder::new(answer.framing);
        let keeps_own = scratch.response.keeps_alive();
        let Ok(part) = decoder.take(&mut answer.buffer) else {
            worker.give(answer.buffer);
            let refusal = Refusal::upstream(&self.cluster.service, "its body is not valid");
            return self.answer_instead(scratch, &refusal, reply).await;
        };
        if !decoder.is_done() || part.trailers.is_some() {
            // Seldom enough; the usual future stays small.
            return Box::pin(self.flow(answer, part, decoder, scratch, reply)).await;
        }
        // All of it is here: the instance is free before a slow client has taken it.
        let Answer { connection, mut buffer, in_flight, .. } = answer;
        if keeps_own && part.next == buffer.range().end {
            worker.keep(in_flight.endpoint(), connection);
        }
        drop(in_flight);
        let keeps = reply.keeps_alive();
        let data = buffer.part(part.data.clone());
        let packed = self.packed(&mut scratch.response, data);
        let data = packed.as_deref().unwrap_or(data);
        let length = match data.len() {
            0 => Length::None,
            length => Length::Exact(u64::try_from(length).unwrap_or(u64::MAX)),
        };
        let ended = match reply.begin(&scratch.response, length, &worker.date(), &mut scratch.down)
        {
            Ok(mut sink) => {
                self.sent(data.len());
                self.rest(worker.recent());
                let sending = sink.send_whole(&mut scratch.down, data);
                match self.context.alarm.within(sending).await {
                    Ok(Ok(())) if keeps => Ended::Keep,
                    Ok(Ok(())) => Ended::Close,
                    _ => self.lost("client_gone"),
                }
            }
            Err(_) => self.lost("client_gone"),
        };
        buffer.skip_to(part.next);
        worker.give(buffer);
        ended
    }

    /// Answers in place of a response that cannot be sent on.
    async fn answer_instead(
        &self,
        scratch: &mut Scratch,
        refusal: &Refusal,
        reply: Reply<'_>,
    ) -> Ended {
        self.notes.status.set(refusal.status);
        self.notes.refusal.set(Some(refusal.code));
        let body = local::word(self.context, refusal, scratch, self.is_grpc);
        self.dress(&mut scratch.response);
        send_own(self.context, scratch, &body, reply).await
    }

    /// A whole body packed, when the response is to be packed.
    fn packed(&self, head: &mut ResponseHead, data: &[u8]) -> Option<Vec<u8>> {
        self.route?.settings.policy.as_ref()?.compress()?;
        let length = u64::try_from(data.len()).ok();
        self.packer(head, length)?.whole(data)
    }

    /// The exchange broke off.
    pub(super) fn lost(&self, error: &'static str) -> Ended {
        self.notes.error.set(Some(error));
        Ended::Close
    }

    /// Sends on a response whose body is not all there yet.
    async fn flow(
        &self,
        answer: Answer,
        first: Part,
        decoder: BodyDecoder,
        scratch: &mut Scratch,
        reply: Reply<'_>,
    ) -> Ended {
        let Answer { connection, mut buffer, framing, in_flight, .. } = answer;
        let worker = self.context.worker;
        let keeps_own = scratch.response.keeps_alive();
        let mut source = Source::H1 { transport: &connection, decoder };
        let flowed = self.deliver(
            &mut source,
            &mut buffer,
            Some(first),
            streaming::length(framing),
            true,
            scratch,
            reply,
        );
        let ended = flowed.await;
        match ended {
            Delivered::Whole { keeps } => {
                if keeps_own
                    && source.is_done()
                    && buffer.is_empty()
                    && framing != Framing::UntilClose
                {
                    worker.keep(in_flight.endpoint(), connection);
                }
                worker.give(buffer);
                if keeps { Ended::Keep } else { Ended::Close }
            }
            Delivered::Broken => {
                self.broke(in_flight.endpoint());
                worker.give(buffer);
                Ended::Broken
            }
            Delivered::Late => {
                worker.give(buffer);
                Ended::Broken
            }
            Delivered::Gone => {
                worker.give(buffer);
                Ended::Close
            }
        }
    }

    /// Books that an instance broke off in the middle of its response.
    pub(super) fn broke(&self, endpoint: &Endpoint) {
        let worker = self.context.worker;
        let traffic = worker.traffic(self.cluster);
        self.cluster.saw(endpoint, worker.now_ms(), Event::Broken, traffic);
    }

    /// Both sides switch to another protocol, if the client asked for that.
    async fn switch(&self, answer: Answer, scratch: &mut Scratch, reply: Reply<'_>) -> Ended {
        let Answer { connection, buffer, in_flight, .. } = answer;
        if scratch.request.upgrade().is_none() {
            self.context.worker.give(buffer);
            let refusal = Refusal::upstream(&self.cluster.service, "it switched protocols unasked");
            return self.answer_instead(scratch, &refusal, reply).await;
        }
        let date = self.context.worker.date();
        let begun = reply.begin(&scratch.response, Length::None, &date, &mut scratch.down);
        let Ok(mut sink) = begun else { return Ended::Close };
        match sink.send(&scratch.down, &[], false).await {
            Ok(()) => Ended::Switched(Switched { connection, buffer, in_flight }),
            Err(_) => Ended::Close,
        }
    }
}

/// How the delivery of a response's body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// The client has all of it.
    Whole { keeps: bool },
    /// The instance broke it off. The client's connection is broken too, so that it notices.
    Broken,
    /// It stood still for too long, or the time for all of it is up. The client notices in the same way.
    Late,
    /// The client is gone.
    Gone,
}
