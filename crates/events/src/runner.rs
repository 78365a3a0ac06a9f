//! A runner pushes the messages of one subscription.
//!
//! ```text
//!  subscribe ──► fetch as many as there is room for ──► sort out ──► deliver (many at a time) ──► settle
//!      ▲               (only while somebody is ready)      │ expired, for others, no route       │
//!      └── broker away: again, with pauses                 └──────────► settle                   └─ nobody there: hold
//! ```
//!
//! - What is being worked on is extended, so that it does not come a second time while an app takes long. Should it come
//!   nevertheless (the broker was away for longer than that), it is recognised: its new receipt takes the place of the old one.
//! - *A subscriber that is away costs no attempts.* A delivery that nobody took is held, and offered again when somebody is ready. The
//!   broker never hears of it. When a runner ends while it holds messages, it gives them back, and keeps in the kv engine that this
//!   was no attempt; that is looked at before a message is given up.
//! - When it is told to end it fetches nothing more, gives back what is held, and finishes what is under way.

mod delivering;
mod line;
mod spared;
mod spec;

pub(crate) use delivering::GUARD;
pub(crate) use line::{Line, Sent};
use spec::Way;
pub(crate) use spec::{Spec, check, words};

use crate::{
    Deliver, Event, Retry, Topics,
    jobs::Jobs,
    pause::Pause,
    status::{Board, Counters, Gauge, Place, add, take},
};
use base::{ErrorChain, Timestamp};
use delivering::{Parcel, Piece};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, select_all},
    stream::FuturesUnordered,
};
use logic::redeliver::Policy;
use ports::broker::{
    BATCH_MAX, Delivery, GroupConfig, IN_FLIGHT_MAX, Offset, Receipt, Subscription,
};
use runtime::Stop;
use std::{
    collections::{BTreeMap, VecDeque},
    future::pending,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a message may take until the broker gives it to another node. A node that was killed holds up its messages for so
/// long; what takes longer is extended.
const ACK_WAIT: Duration = Duration::from_secs(30);

/// How often messages that are worked on are extended: three times may fail.
const EXTEND_EVERY: Duration = Duration::from_secs(7);

/// How many nodes can take part in a group at full concurrency.
const NODES: u32 = 16;

/// How long messages wait for more at most, so that they are well within [`ACK_WAIT`].
const GATHER_MAX: Duration = Duration::from_secs(10);

/// What runners need.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    pub(crate) topics: Topics,
    pub(crate) deliver: Arc<dyn Deliver>,
    pub(crate) jobs: Jobs,
    pub(crate) board: Board,
}

/// Pushes the messages of one subscription.
#[derive(Debug)]
pub(crate) struct Runner {
    tools: Tools,
    spec: Spec,
    place: Place,
    /// Messages that are being worked on, by offset.
    under_way: Mutex<BTreeMap<Offset, Arc<Held>>>,
}

/// A message that is being worked on.
#[derive(Debug)]
struct Held {
    /// Tells it apart from one that took its offset in a topic that was made anew.
    time: Timestamp,
    /// Of its newest delivery.
    receipt: Mutex<Receipt>,
}

impl Held {
    fn receipt(&self) -> Receipt {
        self.receipt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a fetch brought, and the subscription for the next one.
type Fetched = (Box<dyn Subscription>, Vec<Delivery>);

/// Whether an event's time is over.
pub(crate) fn expired(event: &Event, now: Timestamp) -> bool {
    event.expires.is_some_and(|expires| expires <= now)
}

pub(crate) fn policy(retry: Retry, has_dead_letters: bool) -> Policy {
    Policy { attempts_max: retry.max, backoff: retry.backoff, has_dead_letters }
}

impl Runner {
    pub(crate) fn new(tools: Tools, spec: Spec) -> Self {
        let place = tools.board.put(spec.status());
        Self { tools, spec, place, under_way: Mutex::default() }
    }

    fn gauge(&self) -> &Gauge {
        &self.place.gauge
    }

    fn counters(&self) -> &Counters {
        &self.place.gauge.counters
    }

    /// Pushes until `stop`, or until whoever holds the connection open is gone.
    pub(crate) async fn run(self, stop: Stop) {
        let (capacity, mut busy) = (self.spec.capacity(), 0);
        let mut under_way = FuturesUnordered::new();
        let mut gathering = Gathering::default();
        let mut fetching: Option<BoxFuture<'_, Fetched>> = Some(self.fetch(None, capacity).boxed());
        let mut idle = None;
        let mut end = std::pin::pin!(self.end(stop.clone()));
        loop {
            if fetching.is_none() && busy < capacity {
                fetching = Some(self.fetch(idle.take(), capacity - busy).boxed());
            }
            tokio::select! {
                () = &mut end => break,
                (subscription, deliveries) = ready(&mut fetching) => {
                    (fetching, idle) = (None, Some(subscription));
                    busy += self.take_in(deliveries, &mut gathering);
                }
                Some(count) = under_way.next(), if !under_way.is_empty() => {
                    busy -= count;
                    take(&self.counters().in_flight, count);
                }
                () = at(gathering.deadline), if gathering.deadline.is_some() => gathering.flush(),
            }
            for parcel in gathering.ready.drain(..) {
                under_way.push(self.deliver(parcel, stop.clone()));
            }
        }
        // Nothing more is fetched, and nothing that is fetched and was not begun is begun.
        drop(fetching);
        gathering.flush();
        for parcel in gathering.ready.drain(..) {
            under_way.push(self.deliver(parcel, stop.clone()));
        }
        while under_way.next().await.is_some() {}
    }

    /// Waits until the runner shall end.
    async fn end(&self, mut stop: Stop) {
        tokio::select! {
            () = stop.wait() => {}
            () = self.spec.closed() => {}
        }
    }

    /// Waits for messages, over outages.
    async fn fetch(&self, held: Option<Box<dyn Subscription>>, max: usize) -> Fetched {
        let (mut held, mut pause) = (held, Pause::default());
        loop {
            let next = async {
                // First, so that a new group begins with what is published while its subscriber still starts.
                let mut subscription = match held.take() {
                    Some(held) => held,
                    None => self.subscribe().await?,
                };
                self.somebody_ready().await;
                let deliveries = subscription.next(max.clamp(1, BATCH_MAX)).await?;
                Ok::<_, crate::Error>((subscription, deliveries))
            };
            match next.await {
                Ok(fetched) => {
                    self.gauge().pause(None);
                    return fetched;
                }
                Err(error) => {
                    let text = ErrorChain(&error).to_string();
                    self.gauge().pause(Some(text));
                    pause.wait().await;
                }
            }
        }
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, crate::Error> {
        let Spec { subscription, .. } = &self.spec;
        let capacity = u32::try_from(self.spec.capacity()).unwrap_or(IN_FLIGHT_MAX);
        let config = GroupConfig {
            start: subscription.start,
            ack_wait: ACK_WAIT,
            max_in_flight: capacity.saturating_mul(NODES).min(IN_FLIGHT_MAX),
            order: subscription.order,
            durable: true,
        };
        let topics = &self.tools.topics;
        match self.spec.is_runs() {
            true => topics.always(&subscription.topic).await?,
            false => topics.there(&subscription.topic).await?,
        }
        let subscribed =
            topics.broker.subscribe(&subscription.topic, &subscription.group, config).await?;
        self.gauge().pause(None);
        Ok(subscribed)
    }

    /// Waits until there is one target that could take something.
    async fn somebody_ready(&self) {
        let targets = self.spec.targets();
        if targets.is_empty() {
            return;
        }
        let waits = || select_all(targets.iter().map(|target| self.tools.deliver.ready(target)));
        if waits().now_or_never().is_none() {
            self.gauge().pause(Some(spec::nobody(&targets)));
            waits().await;
            self.gauge().pause(None);
        }
    }

    /// Puts messages that were fetched where they belong. Answers how many take room.
    fn take_in(&self, deliveries: Vec<Delivery>, gathering: &mut Gathering) -> usize {
        let mut count = 0;
        for delivery in deliveries {
            if !self.is_under_way(&delivery) {
                gathering.put(&self.spec, self.sort(delivery));
                count += 1;
            }
        }
        add(&self.counters().in_flight, count);
        count
    }

    /// Whether a message is being worked on already; then its newest receipt is the one that counts.
    fn is_under_way(&self, delivery: &Delivery) -> bool {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let held = under_way.get(&delivery.message.offset);
        let Some(held) = held.filter(|held| held.time == delivery.message.time) else {
            return false;
        };
        *held.receipt.lock().unwrap_or_else(PoisonError::into_inner) = delivery.receipt.clone();
        true
    }

    fn hold(&self, delivery: &Delivery) -> Arc<Held> {
        let (time, receipt) = (delivery.message.time, Mutex::new(delivery.receipt.clone()));
        let held = Arc::new(Held { time, receipt });
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.insert(delivery.message.offset, Arc::clone(&held));
        held
    }

    fn let_go(&self, offset: Offset, held: &Arc<Held>) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.get(&offset).is_some_and(|known| Arc::ptr_eq(known, held)) {
            under_way.remove(&offset);
        }
    }
}

/// Messages that wait for more, where many are delivered at once.
#[derive(Debug, Default)]
struct Gathering {
    waiting: Vec<Parcel>,
    deadline: Option<Instant>,
    ready: VecDeque<Parcel>,
}

impl Gathering {
    fn put(&mut self, spec: &Spec, piece: Piece) {
        let way = piece.way().cloned();
        let Some(bulk) = way.as_ref().and_then(|way| spec.bulk(way)) else {
            self.ready.push_back(Parcel { way, pieces: vec![piece] });
            return;
        };
        let at = self.waiting.iter().position(|parcel| parcel.way == way).unwrap_or_else(|| {
            self.waiting.push(Parcel { way, pieces: Vec::new() });
            self.waiting.len() - 1
        });
        self.waiting[at].pieces.push(piece);
        if self.waiting[at].pieces.len() >= bulk.max {
            self.ready.push_back(self.waiting.swap_remove(at));
        }
        let first = self.deadline.unwrap_or_else(|| Instant::now() + bulk.wait.min(GATHER_MAX));
        self.deadline = (!self.waiting.is_empty()).then_some(first);
    }

    fn flush(&mut self) {
        self.ready.extend(self.waiting.drain(..));
        self.deadline = None;
    }
}

/// Waits for what may not be there.
async fn ready<T>(future: &mut Option<BoxFuture<'_, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => pending().await,
    }
}
