//! Delivers the events of streams in order, one at a time, from a place that is kept.

use super::{
    Streams,
    claim::Claim,
    gauge::Gauge,
    mapping::{as_message, of_stream, topic_of},
};
use crate::{
    DeadLetter, Deliver, Error, Incoming, Origin, StreamSubscription, Topics, Verdict,
    dead::{self, DeadInfo},
    pause::Pause,
    runner::{GUARD, policy, words},
    status::add,
};
use base::ErrorChain;
use bytes::Bytes;
use futures_util::FutureExt;
use logic::redeliver::{self, Step};
use ports::{
    broker::{GroupName, Offset, Retry, TopicName},
    kv::Is,
    streams::{self, Direction, Position},
};
use runtime::Stop;
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tracing::warn;

/// How many events are read at once.
const PAGE: usize = 100;

/// After how many events the place is kept; so many may come again when a node is killed.
const KEEP_EVERY: usize = 100;

/// After how many positions it is kept where no event was wanted.
const KEEP_EVERY_SKIPPED: u64 = 10_000;

/// How often it is looked for a reset by another node.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Delivers one subscription.
#[derive(Debug)]
pub(crate) struct Follower {
    pub(crate) streams: Streams,
    pub(crate) topics: Topics,
    pub(crate) deliver: Arc<dyn Deliver>,
    pub(crate) subscription: StreamSubscription,
    pub(crate) gauge: Arc<Gauge>,
}

/// Where the subscription is.
struct Place {
    position: Position,
    /// Names the version that is kept.
    is: Is,
    kept: Position,
    /// Events since.
    unkept: usize,
}

/// How the delivery of an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Settled,
    /// The runner shall end.
    Stopped,
    /// The place was moved by somebody else.
    Reset,
}

impl Follower {
    /// Delivers until `stop`.
    pub(crate) async fn run(self, mut stop: Stop) {
        let mut pause = Pause::default();
        while !stop.is_set() {
            if let Err(error) = self.session(&mut stop).await {
                self.gauge.pause(Some(ErrorChain(&error).to_string()));
                tokio::select! {
                    () = pause.wait() => {}
                    () = stop.wait() => {}
                }
            }
        }
    }

    /// Delivers as long as this node may.
    async fn session(&self, stop: &mut Stop) -> Result<(), Error> {
        let rows = &self.streams.rows;
        let claim = tokio::select! {
            claim = Claim::take(rows, &self.subscription.name) => claim?,
            () = stop.wait() => return Ok(()),
        };
        self.gauge.is_here.store(true, Ordering::Relaxed);
        let outcome = tokio::select! {
            outcome = self.follow(&claim, stop.clone()) => outcome,
            () = claim.keep(rows) => Ok(()),
        };
        self.gauge.is_here.store(false, Ordering::Relaxed);
        claim.give_up(rows).await;
        outcome
    }

    async fn follow(&self, claim: &Claim, mut stop: Stop) -> Result<(), Error> {
        let mut place = self.begin(claim).await?;
        loop {
            self.gauge.position.store(place.position.0, Ordering::Relaxed);
            if stop.is_set() {
                return self.keep(&mut place, claim).await.map(|_| ());
            }
            let last = self.streams.engine.status().await?.position;
            let from = Some(Position(place.position.0 + 1));
            let query = &self.subscription.query;
            let page = self.streams.engine.read_all(query, from, Direction::Forwards, PAGE).await?;
            self.gauge.pause(None);
            let end = self.deliver_page(&page, &mut place, claim, &mut stop).await?;
            if end == End::Reset {
                self.reload(&mut place).await?;
                continue;
            }
            if end == End::Stopped {
                return self.keep(&mut place, claim).await.map(|_| ());
            }
            let scanned = page.next.map_or(last.0, |next| next.saturating_sub(1));
            place.position = place.position.max(Position(scanned));
            self.gauge.position.store(place.position.0, Ordering::Relaxed);
            if page.next.is_none() && page.events.is_empty() {
                self.idle(&mut place, claim, &mut stop).await?;
            }
        }
    }

    /// Waits for something to do.
    async fn idle(&self, place: &mut Place, claim: &Claim, stop: &mut Stop) -> Result<(), Error> {
        let is_due = place.unkept > 0 || place.position.0 - place.kept.0 > KEEP_EVERY_SKIPPED;
        if is_due && !self.keep(place, claim).await? {
            return Ok(());
        }
        tokio::select! {
            last = self.streams.engine.wait(place.position) => last.map(|_| ())?,
            () = self.gauge.reset.notified() => { self.reload(place).await?; }
            () = tokio::time::sleep(LOOK_EVERY) => { self.reload(place).await?; }
            () = stop.wait() => {}
        }
        Ok(())
    }

    async fn deliver_page(
        &self,
        page: &streams::Page,
        place: &mut Place,
        claim: &Claim,
        stop: &mut Stop,
    ) -> Result<End, Error> {
        for event in &page.events {
            match self.deliver_one(event, place, claim, stop).await? {
                End::Settled => {}
                other => return Ok(other),
            }
            place.position = event.position;
            place.unkept += 1;
            self.gauge.position.store(place.position.0, Ordering::Relaxed);
            let is_reset = self.gauge.reset.notified().now_or_never().is_some();
            if is_reset || (place.unkept >= KEEP_EVERY && !self.keep(place, claim).await?) {
                return Ok(End::Reset);
            }
        }
        Ok(End::Settled)
    }

    /// Where the subscription was, or where it begins.
    async fn begin(&self, claim: &Claim) -> Result<Place, Error> {
        let name = &self.subscription.name;
        if let Some((position, is)) = self.streams.checkpoint(name).await? {
            return Ok(Place { position, is, kept: position, unkept: 0 });
        }
        let position = match self.subscription.from_beginning {
            true => Position(0),
            false => self.streams.engine.status().await?.position,
        };
        // Kept at once, so that what is appended before the next start is not passed over.
        let mut place = Place { position, is: Is::Missing, kept: position, unkept: 0 };
        self.keep(&mut place, claim).await?;
        Ok(place)
    }

    /// Keeps the place; takes over another one if somebody has moved it, and answers `false` then.
    async fn keep(&self, place: &mut Place, claim: &Claim) -> Result<bool, Error> {
        if place.position == place.kept && place.is != Is::Missing {
            return Ok(true);
        }
        let (name, is) = (&self.subscription.name, place.is.clone());
        match self.streams.move_on(name, place.position, is, claim.condition()).await? {
            Some(is) => {
                (place.is, place.kept, place.unkept) = (is, place.position, 0);
                Ok(true)
            }
            None if self.reload(place).await? => Ok(false),
            None => Err(Error::Invalid("another node delivers this subscription".to_owned())),
        }
    }

    /// Takes over the place that is kept, if it is not ours. Answers whether it was another.
    async fn reload(&self, place: &mut Place) -> Result<bool, Error> {
        let kept = self.streams.checkpoint(&self.subscription.name).await?;
        match kept.filter(|(_, is)| *is != place.is) {
            Some((position, is)) => {
                *place = Place { position, is, kept: position, unkept: 0 };
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Delivers an event until it is done or given up.
    async fn deliver_one(
        &self,
        event: &streams::Event,
        place: &mut Place,
        claim: &Claim,
        stop: &mut Stop,
    ) -> Result<End, Error> {
        let (mut attempt, mut pause) = (1, Pause::default());
        loop {
            if let Some(end) = self.until_ready(place, claim, stop).await? {
                return Ok(end);
            }
            add(&self.gauge.delivered, 1);
            let (verdict, after, said) = match self.verdict(event, attempt).await {
                Verdict::Done => (redeliver::Verdict::Success, None, String::new()),
                Verdict::Retry { after, reason } => (redeliver::Verdict::Retry, after, reason),
                Verdict::Drop { reason } => (redeliver::Verdict::Drop, None, reason),
                Verdict::Away { reason } => {
                    self.gauge.error(reason);
                    if let Some(end) = self.interrupted(pause.wait(), stop).await {
                        return Ok(end);
                    }
                    continue;
                }
            };
            let letters = self.dead_topic();
            let policy = policy(self.subscription.retry, letters.is_some());
            match policy.decide(attempt, verdict, crate::random::number()) {
                Step::Ack => {
                    add(&self.gauge.done, 1);
                    return Ok(End::Settled);
                }
                Step::Nack(wait) => {
                    self.gauge.error(said);
                    if !self.keep_before_waiting(place, claim).await? {
                        return Ok(End::Reset);
                    }
                    let wait = after.unwrap_or_default().max(wait);
                    if let Some(end) = self.interrupted(tokio::time::sleep(wait), stop).await {
                        return Ok(end);
                    }
                    attempt += 1;
                }
                Step::DeadLetter(reason) | Step::Drop(reason) => {
                    let why = dead::why(reason, &said);
                    return Ok(self.park(event, letters, &why, attempt, stop).await);
                }
            }
        }
    }

    /// A wait may be long, and what was done before it is not to be delivered again because the node ended meanwhile. False
    /// when the subscription was moved.
    async fn keep_before_waiting(&self, place: &mut Place, claim: &Claim) -> Result<bool, Error> {
        Ok(place.unkept == 0 || self.keep(place, claim).await?)
    }

    /// Waits until somebody is ready; answers if there was an end before.
    async fn until_ready(
        &self,
        place: &mut Place,
        claim: &Claim,
        stop: &mut Stop,
    ) -> Result<Option<End>, Error> {
        if stop.is_set() {
            return Ok(Some(End::Stopped));
        }
        let target = &self.subscription.to;
        if self.deliver.ready(target).now_or_never().is_none() {
            if !self.keep_before_waiting(place, claim).await? {
                return Ok(Some(End::Reset));
            }
            self.gauge.pause(Some(format!("nobody is ready for {}", words(target))));
            let end = self.interrupted(self.deliver.ready(target), stop).await;
            self.gauge.pause(None);
            return Ok(end);
        }
        Ok(None)
    }

    /// Waits, unless there is an end before.
    async fn interrupted(&self, wait: impl Future<Output = ()>, stop: &mut Stop) -> Option<End> {
        tokio::select! {
            // What was asked for before somebody became ready counts first.
            biased;
            () = stop.wait() => Some(End::Stopped),
            () = self.gauge.reset.notified() => Some(End::Reset),
            () = wait => None,
        }
    }

    async fn verdict(&self, event: &streams::Event, attempt: u32) -> Verdict {
        let origin = Origin::Stream {
            stream: event.stream.clone(),
            revision: event.revision,
            position: event.position,
        };
        let incoming = [Incoming { event: of_stream(event), origin, attempt }];
        let timeout = self.subscription.timeout;
        let delivering = self.deliver.deliver(&self.subscription.to, &incoming, timeout);
        let verdicts = tokio::time::timeout(timeout + GUARD, delivering).await;
        let none = || Verdict::Retry { after: None, reason: "it got no verdict".to_owned() };
        verdicts.ok().and_then(|all| all.into_iter().next()).unwrap_or_else(none)
    }

    fn dead_topic(&self) -> Option<TopicName> {
        match &self.subscription.dead_letter {
            DeadLetter::None => None,
            DeadLetter::Own => dead::own_topic(&topic_of(&self.subscription.name)?),
            DeadLetter::Topic(topic) => Some(topic.clone()),
        }
    }

    /// Makes an event a dead letter, so that the next one comes. Bringing it back is a reset of the subscription.
    async fn park(
        &self,
        event: &streams::Event,
        place: Option<TopicName>,
        why: &str,
        attempts: u32,
        stop: &mut Stop,
    ) -> End {
        let name = &self.subscription.name;
        warn!(
            subscription = name,
            position = event.position.0,
            reason = why,
            "an event is given up"
        );
        self.gauge.error(why.to_owned());
        let letter = topic_of(name).zip(GroupName::new(name).ok()).map(|(topic, group)| DeadInfo {
            topic,
            group,
            offset: Offset(event.position.0),
            reason: why.to_owned(),
            attempts,
            time: self.topics.laters.now(),
        });
        let mut message = as_message(event);
        let mut pause = Pause::default();
        while let Some((place, letter)) = place.as_ref().zip(letter.as_ref()) {
            match self.topics.publish_always(place, vec![letter.letter(&message)]).await {
                Ok(_) => break,
                // Events may be longer than messages; it can be read where it is.
                Err(Error::Broker(error)) if error.retry() == Retry::Never => {
                    self.gauge.error(ErrorChain(&error).to_string());
                    if message.payload.is_empty() {
                        break;
                    }
                    message.payload = Bytes::new();
                }
                Err(error) => {
                    self.gauge.error(ErrorChain(&error).to_string());
                    if let Some(end) = self.interrupted(pause.wait(), stop).await {
                        return end;
                    }
                }
            }
        }
        add(&self.gauge.parked, 1);
        End::Settled
    }
}
