//! Topics, streams and jobs in memory, with a service that refuses what it does not like.

use async_trait::async_trait;
use base::ServiceName;
use bytes::Bytes;
use events::{
    Config, Deliver, Handle, Incoming, Outboxes, Relay, Retry, Route, Run, Schedule, Service,
    StreamSubscription, Subscription, Target, Topic, Verdict, Wanted, When,
};
use ports::{
    broker::{GroupName, Order, Start, TopicName, conformance::Memory},
    outbox::Outbox,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Refuses what says `bad`, takes everything else.
#[derive(Debug)]
struct Picky;

#[async_trait]
impl Deliver for Picky {
    async fn deliver(&self, _: &Target, events: &[Incoming], _: Duration) -> Vec<Verdict> {
        let verdict = |incoming: &Incoming| {
            if incoming.event.data.windows(3).any(|word| word == b"bad") {
                return Verdict::Drop { reason: "it is bad".to_owned() };
            }
            Verdict::Done
        };
        events.iter().map(verdict).collect()
    }

    async fn ready(&self, _: &Target) {}

    async fn declared(&self, _: &ServiceName) -> Vec<Subscription> {
        Vec::new()
    }
}

/// There are no databases.
#[derive(Debug)]
struct Nowhere;

#[async_trait]
impl Outboxes for Nowhere {
    async fn open(&self, _: &Relay) -> Result<Arc<dyn Outbox>, String> {
        Err("there is no database".to_owned())
    }
}

pub(super) fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

fn to(path: &str) -> Target {
    Target::post(ServiceName::new("users").unwrap(), path)
}

/// A topic `orders` that is pushed to the group `mail`, a schedule `nightly`, a subscription `totals` to streams, and an
/// outbox that cannot be opened.
fn wanted() -> Wanted {
    let seconds = Duration::from_secs;
    let mail = Subscription {
        topic: topic("orders"),
        group: GroupName::new("mail").unwrap(),
        routes: vec![Route { when: Some("event.type != 'x'".to_owned()), to: to("/mail") }],
        start: Start::Beginning,
        concurrency: 4,
        order: Order::None,
        timeout: seconds(10),
        retry: None,
        dead_letter: None,
        bulk: None,
    };
    let nightly = Schedule {
        name: "nightly".to_owned(),
        when: When::Every(seconds(3_600)),
        text: "every 1h".to_owned(),
        zone: None,
        run: Run::Publish {
            topic: topic("nights"),
            data: Bytes::from_static(b"{}"),
            content_type: None,
        },
        missed: events::Missed::Skip,
        retry: Retry::default(),
        timeout: seconds(10),
        paused: false,
    };
    let totals = StreamSubscription {
        name: "totals".to_owned(),
        query: ports::streams::Query::default(),
        from_beginning: true,
        to: to("/totals"),
        timeout: seconds(10),
        retry: Retry::default(),
        dead_letter: events::DeadLetter::None,
    };
    let relay = Relay {
        service: ServiceName::new("users").unwrap(),
        url: "sqlite:nothing".to_owned(),
        table: "outbox".to_owned(),
        topic: "outbox.event.{aggregatetype}".to_owned(),
    };
    Wanted {
        topics: BTreeMap::from([(topic("orders"), Topic::default())]),
        auto: true,
        subscriptions: vec![mail],
        ask: Vec::new(),
        schedules: vec![nightly],
        relays: vec![relay],
        streams: vec![totals],
    }
}

pub(super) fn start() -> (Service, Handle) {
    let config = Config {
        broker: Arc::new(Memory::in_real_time(|time| Box::pin(tokio::time::sleep(time)))),
        streams: Arc::new(ports::streams::conformance::Memory::in_real_time()),
        kv: Arc::new(ports::kv::conformance::Memory::new()),
        deliver: Arc::new(Picky),
        outboxes: Arc::new(Nowhere),
        system: "shop".to_owned(),
        clock: runtime::Clock::start(),
        wanted: wanted(),
    };
    Service::start(config).unwrap()
}

/// Puts something into topics, streams and jobs that requests can ask for.
pub(super) async fn fill(handle: &Handle) {
    let outgoing = |text: &'static str| {
        let event = events::Event {
            id: "1".to_owned(),
            source: "users".to_owned(),
            kind: "placed".to_owned(),
            data: Bytes::from_static(text.as_bytes()),
            ..events::Event::default()
        };
        vec![events::Outgoing { event, ..events::Outgoing::default() }]
    };
    let topics = handle.topics();
    for name in ["orders", "spare"] {
        topics.publish(&topic(name), outgoing("bad")).await.unwrap();
    }
    let pull = events::PullConfig::default();
    let old = GroupName::new("old").unwrap();
    drop(topics.pull(&topic("orders"), &old, pull).await.unwrap());
    let hour = Some(base::Timestamp(runtime::Clock::wall().0 + 3_600_000_000));
    let waiting = outgoing("{}").into_iter().map(|it| events::Outgoing { at: hour, ..it });
    topics.publish(&topic("orders"), waiting.collect()).await.unwrap();
    let event = |id: &str| ports::streams::NewEvent {
        id: id.to_owned(),
        kind: "t".to_owned(),
        tags: vec!["a".to_owned()],
        data: Bytes::from_static(b"1"),
        metadata: Bytes::from_static(b"\xff"),
    };
    let append = ports::streams::Append {
        stream: "a-1".to_owned(),
        expected: ports::streams::Expected::Any,
        condition: None,
        events: vec![event("1"), event("2")],
    };
    handle.streams().append(append).await.unwrap();
    let data = Bytes::from_static(b"{}");
    let snapshot = events::Snapshot { revision: 1, content_type: None, data };
    handle.streams().put_snapshot("a-1", snapshot).await.unwrap();
    let job = events::Job {
        owner: "users".to_owned(),
        name: "remind".to_owned(),
        schedule: None,
        due: Some("1h".to_owned()),
        repeats: None,
        ttl: None,
        overwrite: false,
        retry: None,
        data: Bytes::new(),
        type_url: String::new(),
    };
    handle.jobs().schedule(job, to("/remind")).await.unwrap();
    let settled = async {
        loop {
            let is_mailed =
                topics.dead_letters(&topic("orders"), None, 1).await.unwrap().len() == 1;
            if is_mailed && handle.jobs().get("file", "nightly").await.unwrap().is_some() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), settled).await.expect("within a minute");
}
