//! Getting one request answered: pick an instance, send, and try again where that is safe.

mod admission;
mod reach;
mod read;
mod send;

pub(crate) use read::{Unread, unsent};

use crate::{
    alarm::Alarm,
    balancer::Balancer,
    buffer::Buffer,
    cluster::{
        Cluster,
        health::{InLine, Place},
    },
    endpoint::{Endpoint, Held, InFlight},
    h1::{Bad, Framing, ResponseHead},
    refusal::Refusal,
    reply::Reply,
    snapshot::Snapshot,
    times::Times,
    transport::Transport,
    worker::{Wanted, Worker, moment_ms},
};
use admission::{Changes, Turn};
use base::{Moment, ServiceName};
use logic::{
    outlier::Event,
    retry::{self, Failure, Used},
};
use std::{rc::Rc, sync::Arc, time::Duration};

/// An instance's response, of which the head was read.
pub(crate) struct Answer {
    pub(crate) connection: Transport,
    /// What was read behind the head.
    pub(crate) buffer: Buffer,
    pub(crate) framing: Framing,
    pub(crate) in_flight: InFlight,
    /// When the head was there, and how long that took from when the request was sent.
    at: Moment,
    latency_us: u64,
}

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum Failed {
    /// No instance could be reached; nothing was processed.
    NoInstance(String),
    /// An instance may have processed it and did not answer.
    Upstream(String),
    /// The client broke its request off.
    Client,
    /// The request's body breaks a rule.
    Bad(Bad),
    /// The request's body is longer than its route allows.
    TooLong,
    /// There was none within this time.
    TimedOut(Duration),
    /// The service gets no requests for now.
    BreakerOpen { retry_after_s: u32 },
    /// The service has as many requests as it can do or may have.
    Overloaded { retry_after_s: u32 },
}

impl Failed {
    pub(crate) fn refusal(&self, service: &ServiceName) -> Refusal {
        match self {
            Self::NoInstance(detail) => Refusal::no_instance(service, detail),
            Self::Upstream(detail) => Refusal::upstream(service, detail),
            Self::Client => Refusal::client_gone(),
            Self::Bad(bad) => Refusal::bad(*bad),
            Self::TooLong => Refusal::too_long(),
            Self::TimedOut(limit) => Refusal::timed_out(service, limit.as_secs_f64()),
            Self::BreakerOpen { retry_after_s } => Refusal::breaker_open(service, *retry_after_s),
            Self::Overloaded { retry_after_s } => Refusal::overloaded(service, *retry_after_s),
        }
    }
}

/// An attempt that failed.
pub(crate) struct Trouble {
    pub(crate) failure: Failure,
    /// The endpoint is to blame, not a kept connection's age.
    pub(crate) is_endpoints: bool,
    pub(crate) detail: String,
}

/// One request's way to an answer.
pub(crate) struct Call<'a> {
    worker: &'a Rc<Worker>,
    alarm: &'a Alarm,
    /// The service, and where it was found.
    cluster: &'a Arc<Cluster>,
    snapshot: &'a Rc<Snapshot>,
    balancer: Rc<Balancer>,
    times: &'a Times,
    asked: Asked,
    /// That the request was let through; `None`: it was not asked yet.
    turn: Option<Turn<'a>>,
    /// Its place, until the instance that answers has it.
    place: Option<Place>,
    /// While it waits for an instance.
    line: Option<InLine>,
    looks: Option<Changes>,
    /// Endpoints that failed this request.
    tried: Vec<u64>,
    pub(crate) used: Used,
    /// When it got its endpoint.
    at: Moment,
    /// Who has it now, or had it last.
    pub(crate) working: Option<Held>,
    /// Whether it has it now.
    is_sent: bool,
    /// What went wrong last.
    trouble: Option<String>,
}

/// What must be known of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// The endpoint that the client was with.
    pub(crate) stays: Option<u64>,
    /// What `consistent_hash` goes by.
    pub(crate) key: Option<u64>,
    pub(crate) is_idempotent: bool,
    pub(crate) is_replayable: bool,
    pub(crate) is_head: bool,
    /// Its body flows while the response may come.
    pub(crate) is_upload: bool,
    /// It goes out on a connection that others use at the same time.
    pub(crate) is_shared: bool,
}

impl<'a> Call<'a> {
    /// Counts a request to `cluster`, which is of `snapshot`.
    pub(crate) fn new(
        worker: &'a Rc<Worker>,
        alarm: &'a Alarm,
        snapshot: &'a Rc<Snapshot>,
        cluster: &'a Arc<Cluster>,
        times: &'a Times,
        asked: Asked,
    ) -> Self {
        let balancer = worker.balancer(cluster);
        balancer.budget(retry::Budget::deposit);
        Self {
            worker,
            alarm,
            cluster,
            snapshot,
            balancer,
            times,
            asked,
            turn: None,
            place: None,
            line: None,
            looks: None,
            tried: Vec::new(),
            used: Used::default(),
            at: Moment::START,
            working: None,
            is_sent: false,
            trouble: None,
        }
    }

    /// Sends head and body until they are answered or may not be sent again. The answer's head is in
    /// `response` then.
    pub(crate) async fn run(
        &mut self,
        head: &[u8],
        body: &[u8],
        response: &mut ResponseHead,
        reply: &mut Reply<'_>,
    ) -> Result<Answer, Failed> {
        loop {
            let in_flight = self.pick().await?;
            match self.send(in_flight, (head, body), response, reply).await? {
                Ok(answer) if self.wants_another(response) => self.discard(answer, response),
                Ok(mut answer) => {
                    self.answered(answer.at, response.status, answer.latency_us);
                    answer.in_flight.place = self.place.take();
                    return Ok(answer);
                }
                Err(trouble) => {
                    if let Some(endpoint) = self.working.clone() {
                        self.again(trouble, &endpoint)?;
                    }
                }
            }
        }
    }

    /// An instance to send to, as soon as there is one.
    pub(crate) async fn pick(&mut self) -> Result<InFlight, Failed> {
        // Whoever has waited on the way here has asked for the time since.
        let mut now = self.worker.recent();
        if self.times.head.is_over(now) {
            return Err(Failed::TimedOut(self.times.limit));
        }
        if self.turn.is_none() {
            self.admit(now).await?;
        }
        loop {
            // Every round looks at the newest instances.
            let newest = self.worker.snapshot();
            let cluster = if Rc::ptr_eq(&newest, self.snapshot) {
                self.cluster
            } else {
                let found = newest.clusters.get(&self.cluster.service);
                found.ok_or_else(|| Failed::NoInstance(": it is not known any more".to_owned()))?
            };
            let wanted = Wanted {
                stays: self.asked.stays,
                key: self.asked.key,
                tried: &self.tried,
                // Who has waited does not knock at a door that was just found shut.
                is_choosy: self.looks.is_some(),
                open_max: self.open_max(cluster),
            };
            let begun = self.worker.begin(cluster, &self.balancer, moment_ms(now), &wanted);
            if let Some(in_flight) = begun {
                self.at = now;
                self.line = None;
                self.is_sent = true;
                self.working = Some(Rc::clone(in_flight.endpoint()));
                return Ok(in_flight);
            }
            if self.wait(now, cluster).await? {
                self.tried.clear();
            }
            now = self.worker.now();
            if self.times.head.is_over(now) {
                return Err(Failed::TimedOut(self.times.limit));
            }
        }
    }

    /// Most requests that an endpoint may work on with this one: those that have a connection of their own need
    /// one each.
    fn open_max(&self, cluster: &Cluster) -> u64 {
        let connections_max = self.worker.traffic(cluster).connections_max;
        connections_max.filter(|_| !self.asked.is_shared).map_or(u64::MAX, u64::from)
    }

    /// When it got its endpoint.
    pub(crate) fn picked_at(&self) -> Moment {
        self.at
    }

    /// Books `trouble` and returns when the request may go out again.
    pub(crate) fn again(&mut self, trouble: Trouble, endpoint: &Endpoint) -> Result<(), Failed> {
        let now = self.worker.now();
        self.is_sent = false;
        if trouble.is_endpoints {
            let event = match trouble.failure {
                Failure::ConnectFailed => Event::Unreachable,
                Failure::NotSent | Failure::Broken | Failure::Status => Event::Broken,
                Failure::TimedOut | Failure::TryTimedOut => Event::TimedOut,
            };
            if event == Event::TimedOut {
                endpoint.counters().timed_out();
            }
            self.saw(endpoint, now, event);
            self.tried.push(endpoint.id());
        }
        if trouble.failure != Failure::TryTimedOut {
            self.cluster.counters.failed();
        }
        let detail = format!("{}: {}", endpoint.instance(), trouble.detail);
        if self.may_again(trouble.failure, now) {
            self.trouble = Some(detail);
            return Ok(());
        }
        let failed = match trouble.failure {
            _ if self.times.head.is_over(now) => Failed::TimedOut(self.times.limit),
            Failure::TryTimedOut => Failed::TimedOut(now.since(self.at)),
            Failure::ConnectFailed | Failure::NotSent => Failed::NoInstance(format!(" ({detail})")),
            _ => Failed::Upstream(detail.clone()),
        };
        self.trouble = Some(detail);
        Err(failed)
    }

    /// Whether the request goes out again after `failure`; books it if so.
    fn may_again(&mut self, failure: Failure, now: Moment) -> bool {
        let request = retry::Request {
            is_idempotent: self.asked.is_idempotent,
            is_replayable: self.asked.is_replayable,
            retries_max: self.times.said.retry.max,
        };
        let (used, until) = (&mut self.used, (now, self.times.head));
        let ask = |budget: &mut _| retry::again_before(failure, request, used, budget, until);
        self.balancer.budget(ask)
    }

    /// Whether another instance is asked although there is an answer.
    fn wants_another(&mut self, response: &ResponseHead) -> bool {
        self.times.said.retry.on.contain(response.status)
            && self.may_again(Failure::Status, self.worker.now())
    }

    /// Throws an answer away.
    fn discard(&mut self, answer: Answer, response: &ResponseHead) {
        let Answer { connection, buffer, framing, in_flight, .. } = answer;
        let endpoint = in_flight.endpoint();
        self.is_sent = false;
        self.tried.push(endpoint.id());
        self.trouble = Some(format!("{}: answered {}", endpoint.instance(), response.status));
        let is_whole = match framing {
            Framing::None => buffer.is_empty(),
            Framing::Length(length) => u64::try_from(buffer.len()) == Ok(length),
            Framing::Chunked | Framing::UntilClose => false,
        };
        if is_whole && response.keeps_alive() {
            self.worker.keep(endpoint, connection);
        }
        self.worker.give(buffer);
    }

    fn saw(&self, endpoint: &Endpoint, now: Moment, event: Event) {
        self.cluster.saw(endpoint, moment_ms(now), event, self.worker.traffic(self.cluster));
    }

    /// Books that the endpoint has answered just now, and says when and how long after `started` that was.
    fn booked(&self, endpoint: &Endpoint, started: Moment, status: u16) -> (Moment, u64) {
        let now = self.worker.now();
        let latency_us = u64::try_from(now.since(started).as_micros()).unwrap_or(u64::MAX);
        endpoint.observe(moment_ms(now), latency_us);
        self.saw(endpoint, now, Event::Answered(status));
        (now, latency_us)
    }

    /// Books the answer to a request that was sent at `started`, of which only the head was waited for.
    pub(crate) fn head_came(&mut self, endpoint: &Endpoint, started: Moment, status: u16) {
        let (now, latency_us) = self.booked(endpoint, started, status);
        self.answered(now, status, latency_us);
    }

    /// Books why no head came of a request that cannot be sent again.
    pub(crate) fn lost(&self, unread: Unread, is_kept: bool) -> Failed {
        let Some(endpoint) = &self.working else { return Failed::Client };
        match self.unread(unread, is_kept, endpoint) {
            Ok(trouble) => {
                if trouble.is_endpoints {
                    self.broke();
                }
                Failed::Upstream(trouble.detail)
            }
            Err(failed) => failed,
        }
    }

    /// Books that the endpoint broke off before its response.
    pub(crate) fn broke(&self) {
        if let Some(endpoint) = &self.working {
            self.saw(endpoint, self.worker.now(), Event::Broken);
        }
    }

    /// Books that the time for the response's head is up.
    pub(crate) fn timed_out(&mut self) {
        if let Some(endpoint) = self.working.clone().filter(|_| self.is_sent) {
            endpoint.counters().timed_out();
            // Whoever waits less long than is set learns nothing of the instance.
            if !self.times.is_callers {
                let now = self.worker.now();
                let waited_us = u64::try_from(self.times.limit.as_micros()).unwrap_or(u64::MAX);
                endpoint.observe(moment_ms(now), waited_us);
                self.saw(&endpoint, now, Event::TimedOut);
            }
        }
        self.failed(&Failed::TimedOut(self.times.limit));
    }
}
