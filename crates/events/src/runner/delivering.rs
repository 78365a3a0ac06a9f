//! One delivery, from what was fetched to its settlement.

use super::{ACK_WAIT, EXTEND_EVERY, Held, Runner, Way, expired, policy, spec::nobody};
use crate::{Event, Incoming, Origin, Verdict, dead, jobs::Run, pause::Pause, status::add};
use base::ErrorChain;
use futures_util::{FutureExt, future::join_all};
use logic::{
    backoff::Backoff,
    redeliver::{self, Policy, Reason, Step},
};
use ports::broker::{ACK_WAIT_MAX, Delivery, Retry, Settle};
use runtime::Stop;
use std::{
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tracing::{debug, warn};

/// How much longer than its timeout a delivery may take until it is taken for hung.
pub(crate) const GUARD: Duration = Duration::from_secs(5);

/// How often a settlement is tried: about as long as the broker waits for it.
const SETTLE_TRIES: usize = 8;

/// The pauses of a run whose app is away and that there is no room to hold.
const AWAY: Backoff = Backoff { first: Duration::from_secs(5), max: Duration::from_secs(120) };

/// The pause of a message that cannot even become a dead letter.
const STUCK_PAUSE: Duration = ACK_WAIT;

/// Messages that are delivered together.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) way: Option<Way>,
    pub(super) pieces: Vec<Piece>,
}

/// A message.
#[derive(Debug)]
pub(super) struct Piece {
    delivery: Delivery,
    held: Arc<Held>,
    incoming: Incoming,
    /// What it is a run of.
    run: Option<Run>,
    fate: Fate,
}

/// What is known of a message before it is delivered.
#[derive(Clone, Debug)]
enum Fate {
    Deliver(Way),
    /// For another group.
    Unseen,
    Decided(redeliver::Verdict, &'static str),
}

impl Piece {
    pub(super) fn way(&self) -> Option<&Way> {
        match &self.fate {
            Fate::Deliver(way) => Some(way),
            Fate::Unseen | Fate::Decided(..) => None,
        }
    }
}

impl Runner {
    /// Finds out what is to become of a message.
    pub(super) fn sort(&self, delivery: Delivery) -> Piece {
        let message = &delivery.message;
        let event = Event::from_message(message);
        let topic = self.spec.subscription.topic.clone();
        let run = Run::of(message).filter(|_| self.spec.is_runs());
        let origin = match &run {
            Some(run) => Origin::Job { name: run.name().to_owned() },
            None => Origin::Topic { topic, offset: message.offset },
        };
        let is_expired = expired(&event, self.tools.topics.laters.now());
        let incoming = Incoming { event, origin, attempt: delivery.attempt };
        let group = &self.spec.subscription.group;
        let fate = if dead::only_group(message).is_some_and(|only| only != *group) {
            Fate::Unseen
        } else if is_expired {
            Fate::Decided(redeliver::Verdict::Expired, "")
        } else if self.spec.is_runs() && run.is_none() {
            Fate::Decided(redeliver::Verdict::Drop, "it is no run of a job")
        } else {
            match self.spec.way(&incoming, run.as_ref()) {
                Some(way) => Fate::Deliver(way),
                None => Fate::Decided(redeliver::Verdict::NoRoute, ""),
            }
        };
        let held = self.hold(&delivery);
        Piece { delivery, held, incoming, run, fate }
    }

    /// Delivers and settles. Answers how many there were.
    pub(super) async fn deliver(&self, parcel: Parcel, stop: Stop) -> usize {
        let offsets: Vec<_> = parcel
            .pieces
            .iter()
            .map(|it| (it.delivery.message.offset, Arc::clone(&it.held)))
            .collect();
        let beat = self.extend(&offsets);
        tokio::select! {
            () = self.work(parcel, stop) => {}
            never = beat => match never {},
        }
        for (offset, held) in &offsets {
            self.let_go(*offset, held);
        }
        offsets.len()
    }

    /// Extends messages again and again.
    async fn extend(&self, held: &[(ports::broker::Offset, Arc<Held>)]) -> Infallible {
        let subscription = &self.spec.subscription;
        loop {
            tokio::time::sleep(EXTEND_EVERY).await;
            let all = held.iter().map(|(_, held)| (held.receipt(), Settle::Extend)).collect();
            let broker = &self.tools.topics.broker;
            let extended = broker.settle(&subscription.topic, &subscription.group, all).await;
            if let Err(error) = extended {
                debug!(error = %ErrorChain(&error), "messages were not extended");
            }
        }
    }

    async fn work(&self, parcel: Parcel, mut stop: Stop) {
        let Some(way) = parcel.way else {
            join_all(parcel.pieces.iter().map(|piece| self.decided(piece, &stop))).await;
            return;
        };
        let mut pieces = self.tried_too_often(parcel.pieces, &stop).await;
        let mut pause = Pause::default();
        while !pieces.is_empty() {
            let may_begin = tokio::select! {
                biased;
                () = self.end(stop.clone()) => false,
                () = self.ready(&way) => true,
            };
            if !may_begin {
                join_all(pieces.iter().map(|piece| self.give_back(piece, Duration::ZERO))).await;
                return;
            }
            pieces = self.hand_over(&way, pieces, &stop).await;
            if pieces.is_empty() {
                return;
            }
            if !self.may_hold() {
                let pause =
                    |piece: &Piece| AWAY.wait(piece.delivery.attempt, crate::random::number());
                join_all(pieces.iter().map(|piece| self.give_back(piece, pause(piece)))).await;
                return;
            }
            tokio::select! {
                () = pause.wait() => {}
                () = stop.wait() => {}
            }
        }
    }

    /// Whether a message is held while nobody is there to take it. Runs go to many apps: those that are away must not take the
    /// room of others.
    fn may_hold(&self) -> bool {
        let in_flight = self.counters().in_flight.load(Ordering::Relaxed);
        !self.spec.is_runs()
            || usize::try_from(in_flight).is_ok_and(|it| it <= self.spec.capacity() / 2)
    }

    /// Waits until there is somebody to take a message that is held.
    async fn ready(&self, way: &Way) {
        if !self.may_hold() || self.spec.line().is_some() {
            return;
        }
        let deliver = &self.tools.deliver;
        if deliver.ready(&way.target).now_or_never().is_none() {
            self.gauge().pause(Some(nobody(&[&way.target])));
            deliver.ready(&way.target).await;
            self.gauge().pause(None);
        }
    }

    /// Delivers once, and settles what has a verdict. Answers what nobody was there to take.
    async fn hand_over(&self, way: &Way, pieces: Vec<Piece>, stop: &Stop) -> Vec<Piece> {
        add(&self.counters().delivered, pieces.len());
        let incoming: Vec<Incoming> = pieces.iter().map(|piece| piece.incoming.clone()).collect();
        let mut verdicts = self.verdicts(way, &incoming).await;
        let missing = || Verdict::Retry { after: None, reason: "it got no verdict".to_owned() };
        verdicts.resize_with(pieces.len(), missing);
        let (mut away, mut ends) = (Vec::new(), Vec::new());
        for (piece, verdict) in pieces.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Away { reason } => {
                    self.gauge().error(reason);
                    away.push(piece);
                }
                verdict => ends.push(self.judged(piece, verdict, stop)),
            }
        }
        join_all(ends).await;
        away
    }

    async fn verdicts(&self, way: &Way, incoming: &[Incoming]) -> Vec<Verdict> {
        if let Some(line) = self.spec.line() {
            let one = |it: &Incoming| line.deliver(it.clone(), way.path.clone(), way.timeout);
            return join_all(incoming.iter().map(one)).await;
        }
        let delivering = self.tools.deliver.deliver(&way.target, incoming, way.timeout);
        tokio::time::timeout(way.timeout + GUARD, delivering).await.unwrap_or_default()
    }

    /// Settles a message by the verdict on it.
    async fn judged(&self, piece: Piece, verdict: Verdict, stop: &Stop) {
        let (verdict, after, said) = match verdict {
            Verdict::Done => (redeliver::Verdict::Success, None, String::new()),
            Verdict::Retry { after, reason } => (redeliver::Verdict::Retry, after, reason),
            Verdict::Drop { reason } => (redeliver::Verdict::Drop, None, reason),
            Verdict::Away { reason } => (redeliver::Verdict::Retry, None, reason),
        };
        let policy = self.policy(&piece);
        let mut attempt = piece.delivery.attempt;
        let mut step = policy.decide(attempt, verdict, crate::random::number());
        if let Step::DeadLetter(Reason::Attempts(_)) | Step::Drop(Reason::Attempts(_)) = step {
            let spared = self.spared(piece.delivery.message.offset).await;
            attempt = attempt.saturating_sub(spared).max(1);
            step = policy.decide(attempt, verdict, crate::random::number());
        }
        match step {
            Step::Ack => {
                self.settle(&piece, Settle::Ack).await;
                add(&self.counters().done, 1);
                self.ended(&piece, attempt, "").await;
            }
            Step::Nack(pause) => {
                let pause = after.unwrap_or_default().max(pause).min(ACK_WAIT_MAX);
                add(&self.counters().retried, 1);
                self.gauge().error(said);
                self.settle(&piece, Settle::Nack(pause)).await;
            }
            Step::DeadLetter(reason) | Step::Drop(reason) => {
                let has_place = matches!(step, Step::DeadLetter(_));
                let why = dead::why(reason, &said);
                self.give_up(&piece, attempt, &why, has_place, stop).await;
            }
        }
    }

    /// Settles a message that is not delivered.
    async fn decided(&self, piece: &Piece, stop: &Stop) {
        let (verdict, said) = match &piece.fate {
            Fate::Unseen => {
                self.settle(piece, Settle::Ack).await;
                return;
            }
            Fate::Decided(verdict, said) => (*verdict, *said),
            Fate::Deliver(_) => return,
        };
        let is_unrouted = verdict == redeliver::Verdict::NoRoute;
        let mut policy = self.policy(piece);
        policy.has_dead_letters &= !is_unrouted || self.spec.dead_without_route;
        let attempt = piece.delivery.attempt;
        match policy.decide(attempt, verdict, 0) {
            // A subscriber that has conditions wants nothing else: that is no news.
            Step::Drop(Reason::NoRoute) => {
                self.settle(piece, Settle::Ack).await;
                add(&self.counters().dropped, 1);
            }
            Step::DeadLetter(reason) => {
                let why = dead::why(reason, said);
                self.give_up(piece, attempt, &why, true, stop).await;
            }
            Step::Drop(reason) => {
                let why = dead::why(reason, said);
                self.give_up(piece, attempt, &why, false, stop).await;
            }
            Step::Ack | Step::Nack(_) => {}
        }
    }

    /// Gives up what has had all its attempts already: whoever had it at last did not live to say what became of it.
    async fn tried_too_often(&self, pieces: Vec<Piece>, stop: &Stop) -> Vec<Piece> {
        let mut left = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let most = self.policy(&piece).attempts_max.unwrap_or(u32::MAX).max(1);
            let mut attempt = piece.delivery.attempt;
            if attempt > most {
                let spared = self.spared(piece.delivery.message.offset).await;
                attempt = attempt.saturating_sub(spared);
            }
            if attempt > most {
                let tried = Reason::Attempts(attempt - 1);
                let why = format!("{tried}, the last without an end");
                let has_place = self.spec.dead.is_some();
                self.give_up(&piece, attempt - 1, &why, has_place, stop).await;
            } else {
                left.push(piece);
            }
        }
        left
    }

    /// Makes a message a dead letter, or drops it where there is no place for them, and acknowledges it. Tries until that is done
    /// or the runner ends; then it comes again.
    async fn give_up(&self, piece: &Piece, attempts: u32, why: &str, has_place: bool, stop: &Stop) {
        let (topic, group) = (&self.spec.subscription.topic, &self.spec.subscription.group);
        let message = &piece.delivery.message;
        let dead = self.spec.dead.clone().filter(|_| has_place);
        let (mut pause, mut stop) = (Pause::default(), stop.clone());
        self.gauge().error(why.to_owned());
        while let Err(error) =
            self.tools.topics.give_up(topic, group, message, &dead, why, attempts).await
        {
            let is_final = matches!(&error, crate::Error::Broker(it) if it.retry() == Retry::Never);
            self.gauge().error(ErrorChain(&error).to_string());
            if is_final {
                let offset = message.offset;
                warn!(%topic, %group, %offset, error = %ErrorChain(&error), "a message can be no dead letter");
                self.settle(piece, Settle::Nack(STUCK_PAUSE)).await;
                return;
            }
            tokio::select! {
                () = pause.wait() => {}
                () = stop.wait() => return,
            }
        }
        self.settle(piece, Settle::Ack).await;
        let counters = self.counters();
        add(if dead.is_some() { &counters.dead } else { &counters.dropped }, 1);
        self.ended(piece, attempts, why).await;
    }

    /// Gives back a message that nobody has seen.
    async fn give_back(&self, piece: &Piece, pause: Duration) {
        self.spare(piece.delivery.message.offset).await;
        self.settle(piece, Settle::Nack(pause)).await;
    }

    /// Settles with the broker; over a short outage, after which the message comes again.
    async fn settle(&self, piece: &Piece, settle: Settle) {
        if matches!(settle, Settle::Nack(_)) {
            // It may come again before the answer to this does, and is not the one that is being worked on then.
            self.let_go(piece.delivery.message.offset, &piece.held);
        }
        let (topic, group) = (&self.spec.subscription.topic, &self.spec.subscription.group);
        let mut pause = Pause::default();
        for _ in 0..SETTLE_TRIES {
            let receipt = piece.held.receipt();
            let settled = self.tools.topics.broker.settle(topic, group, vec![(receipt, settle)]);
            match settled.await {
                Ok(()) => return,
                Err(error) => {
                    self.gauge().error(ErrorChain(&error).to_string());
                    if error.retry() == Retry::Never {
                        return;
                    }
                }
            }
            pause.wait().await;
        }
    }

    fn policy(&self, piece: &Piece) -> Policy {
        let retry = piece.run.as_ref().map_or(self.spec.retry, |run| run.retry);
        policy(retry, self.spec.dead.is_some())
    }

    async fn ended(&self, piece: &Piece, attempts: u32, failure: &str) {
        if let Some(run) = &piece.run {
            self.tools.jobs.ended(run, attempts, failure).await;
        }
    }
}
