//! Both bodies of an exchange at the same time: the request's goes up while the response may come back already.

use super::{
    Delivered, Ended, Exchange, Scratch,
    streaming::{From, grpc, length, received},
};
use crate::{
    attempt::{Call, Failed},
    buffer::Buffer,
    config::LINGER,
    endpoint::InFlight,
    flow::{Broken, Sink, Source, pump},
    h1::BodyDecoder,
    onward::Length,
    refusal::Refusal,
    reply::Reply,
    transport::Transport,
};
use ::h2::client::ResponseFuture;
use std::{future::Future, pin::pin, rc::Rc};

/// Who answers.
pub(super) struct Answering<'a> {
    pub(super) own: Option<&'a (Transport, bool)>,
    pub(super) shared: Option<ResponseFuture>,
}

/// A request's body on its way: where it comes from and goes.
pub(super) type Upload<'u, 's, 'k> = (&'u mut Source<'s>, &'u mut Buffer, &'u mut Sink<'k>);

/// How far the request's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Up {
    Running,
    Done,
    /// The instance does not want the rest.
    Refused,
}

pub(super) struct Outcome {
    pub(super) ended: Ended,
    /// The connection to the instance can carry the next request.
    pub(super) is_clean: bool,
}

/// Both bodies of an exchange.
pub(super) struct Both<'e, 'x, 'c> {
    pub(super) exchange: &'e Exchange<'x>,
    pub(super) call: Call<'c>,
    pub(super) started: base::Moment,
    pub(super) in_flight: InFlight,
    pub(super) down: Buffer,
}

impl Both<'_, '_, '_> {
    #[expect(clippy::too_many_lines, reason = "both bodies borrow from one another until the end")]
    pub(super) async fn run(
        &mut self,
        from: Answering<'_>,
        upload: Option<Upload<'_, '_, '_>>,
        scratch: &mut Scratch,
        mut reply: Reply<'_>,
    ) -> Outcome {
        let exchange = self.exchange;
        let (worker, alarm) = (exchange.context.worker, exchange.context.alarm);
        let mut up = if upload.is_some() { Up::Running } else { Up::Done };
        let upload = async {
            let Some((source, buffer, sink)) = upload else { return Ok(()) };
            let seen = |count| {
                exchange.rest(worker.now());
                exchange.received(count)
            };
            pump(source, buffer, sink, seen).await
        };
        let mut upload = pin!(upload);
        let own = from.own.map(|(connection, _)| connection);
        let endpoint = Rc::clone(self.in_flight.endpoint());
        let head = alarm.within(self.head(from, &mut upload, &mut up, scratch, &mut reply)).await;
        let from = match head {
            Ok(Ok(from)) => from,
            failed => {
                let refusal = match failed {
                    Ok(Err(failed)) => exchange.failed(&mut self.call, &failed),
                    // Nobody can say that the instance took too long.
                    _ if up == Up::Running => Refusal::slow_client(),
                    _ => exchange.timed_out(&mut self.call),
                };
                reply.close();
                let ended = exchange.refused(scratch, &refusal, Some(endpoint), 0, reply).await;
                return Outcome { ended, is_clean: false };
            }
        };
        let status = scratch.response.status;
        let status = if exchange.is_grpc { grpc(&scratch.response) } else { status };
        self.call.head_came(&endpoint, self.started, status);
        exchange.book(scratch.response.status, 0, Some(&endpoint));
        exchange.dress(&mut scratch.response);
        exchange.bind(&endpoint, &mut scratch.response);
        if up == Up::Refused {
            // Its rest stays unread, so the next request cannot be found.
            reply.close();
        }
        let is_watched = up == Up::Done || reply.is_h2();
        let keeps_own = scratch.response.keeps_alive();
        let (mut from, length) = match (from, own) {
            (From::Own(framing), Some(transport)) => {
                let decoder = BodyDecoder::new(framing);
                (Source::H1 { transport, decoder }, length(framing))
            }
            (From::Own(_), None) => return Outcome { ended: Ended::Close, is_clean: false },
            (From::Shared(incoming), _) => {
                let length = if incoming.is_done() { Length::None } else { Length::Unknown };
                (Source::H2(Box::new(incoming)), length)
            }
        };
        let is_until_close = matches!(&from, Source::H1 { decoder: BodyDecoder::UntilClose, .. });
        let delivery =
            exchange.deliver(&mut from, &mut self.down, None, length, is_watched, scratch, reply);
        let mut delivery = pin!(delivery);
        let delivered = loop {
            tokio::select! {
                biased;
                delivered = &mut delivery => break delivered,
                done = &mut upload, if up == Up::Running => match done {
                    Ok(()) => up = Up::Done,
                    Err(Broken::Refused) => up = Up::Refused,
                    // The client broke off; it waits for nothing more.
                    Err(_) => break Delivered::Gone,
                },
            }
        };
        if up == Up::Running && delivered == (Delivered::Whole { keeps: true }) {
            // The rest of the body is nearly always on its way; then the connection can be kept.
            alarm.set(worker.now() + LINGER);
            if let Ok(Ok(())) = alarm.within(&mut upload).await {
                up = Up::Done;
            }
        }
        let ended = match delivered {
            Delivered::Whole { keeps: true } if up != Up::Done => Ended::Close,
            Delivered::Whole { keeps: true } => Ended::Keep,
            Delivered::Broken => {
                exchange.broke(&endpoint);
                Ended::Broken
            }
            Delivered::Late => Ended::Broken,
            Delivered::Whole { keeps: false } | Delivered::Gone => Ended::Close,
        };
        let is_whole = matches!(delivered, Delivered::Whole { .. });
        let is_clean = is_whole && keeps_own && up == Up::Done && !is_until_close;
        Outcome { ended, is_clean }
    }

    /// Waits for the head of the response while the request's body goes up.
    async fn head(
        &mut self,
        from: Answering<'_>,
        upload: &mut (impl Future<Output = Result<(), Broken>> + Unpin),
        up: &mut Up,
        scratch: &mut Scratch,
        reply: &mut Reply<'_>,
    ) -> Result<From, Failed> {
        let exchange = self.exchange;
        let (worker, alarm) = (exchange.context.worker, exchange.context.alarm);
        let (gone, is_h2) = (reply.gone(), reply.is_h2());
        let receive = async {
            match (from.own, from.shared) {
                (Some((connection, is_kept)), _) => {
                    let (down, head) = (&mut self.down, &mut scratch.response);
                    let read = self.call.receive(connection, down, head, reply).await;
                    read.map(From::Own).map_err(|unread| self.call.lost(unread, *is_kept))
                }
                (None, Some(response)) => {
                    let received = received(response, &mut scratch.response).await;
                    received.inspect_err(|_failed| self.call.broke())
                }
                (None, None) => Err(Failed::Upstream("it was not asked".to_owned())),
            }
        };
        let mut receive = pin!(receive);
        loop {
            tokio::select! {
                biased;
                head = &mut receive => return head,
                () = gone.wait(), if *up == Up::Done || is_h2 => return Err(Failed::Client),
                done = &mut *upload, if *up == Up::Running => {
                    // The response may take its time from now on.
                    alarm.set(exchange.times.head_from(worker.now()));
                    *up = match done {
                        Ok(()) => Up::Done,
                        // The instance may have answered before it hung up.
                        Err(Broken::Refused) => Up::Refused,
                        Err(Broken::Bad(bad)) => return Err(Failed::Bad(bad)),
                        Err(Broken::TooLong) => return Err(Failed::TooLong),
                        Err(Broken::Ended) => return Err(Failed::Client),
                    };
                }
            }
        }
    }
}
