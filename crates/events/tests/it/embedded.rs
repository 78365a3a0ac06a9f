//! Everything on disk: what was promised is kept over the end of the node, and of the engines.

use adapter_embedded::{broker, kv, streams};
use async_trait::async_trait;
use base::ServiceName;
use bytes::Bytes;
use events::{
    Config, DeadLetter, Deliver, Event, Handle, Incoming, Job, Outboxes, Outgoing, Redrive, Relay,
    Retry, Route, Service, StreamSubscription, Subscription, Target, Topic, Verdict, Wanted,
};
use logic::backoff::Backoff;
use ports::{
    broker::{GroupName, Order, Start, TopicName},
    kv::{Kv, Transaction},
    outbox::Outbox,
    streams::{Append, Expected, NewEvent, Query},
};
use runtime::Clock;
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// An app that refuses everything while it is told so.
#[derive(Debug, Default)]
struct App {
    got: Mutex<Vec<String>>,
    refuses: AtomicBool,
}

#[async_trait]
impl Deliver for App {
    async fn deliver(&self, _: &Target, events: &[Incoming], _: Duration) -> Vec<Verdict> {
        let judge = |incoming: &Incoming| {
            if self.refuses.load(Ordering::SeqCst) {
                return Verdict::Retry { after: None, reason: "no".to_owned() };
            }
            let data = String::from_utf8_lossy(&incoming.event.data).into_owned();
            self.got.lock().unwrap().push(data);
            Verdict::Done
        };
        events.iter().map(judge).collect()
    }

    async fn ready(&self, _: &Target) {}

    async fn declared(&self, _: &ServiceName) -> Vec<Subscription> {
        Vec::new()
    }
}

#[derive(Debug)]
struct NoDatabase;

#[async_trait]
impl Outboxes for NoDatabase {
    async fn open(&self, _: &Relay) -> Result<Arc<dyn Outbox>, String> {
        Err("there is no database".to_owned())
    }
}

struct World {
    app: Arc<App>,
    kv: kv::Handle,
    handle: Handle,
    service: Service,
    engines: (broker::Service, kv::Service, streams::Service),
}

impl World {
    fn open(folder: &Path, app: &Arc<App>) -> Self {
        let of = |name: &str| folder.join(name);
        let (broker, topics) =
            broker::Service::open(&broker::Config { folder: of("broker") }).unwrap();
        let (kv, rows) = kv::Service::open(&kv::Config { folder: of("kv") }).unwrap();
        let (streams, all) =
            streams::Service::open(&streams::Config { folder: of("streams") }).unwrap();
        let config = Config {
            broker: Arc::new(topics),
            streams: Arc::new(all),
            kv: Arc::new(rows.clone()),
            deliver: Arc::clone(app) as Arc<dyn Deliver>,
            outboxes: Arc::new(NoDatabase),
            system: "shop".to_owned(),
            clock: Clock::start(),
            wanted: wanted(),
        };
        let (service, handle) = Service::start(config).unwrap();
        Self { app: Arc::clone(app), kv: rows, handle, service, engines: (broker, kv, streams) }
    }

    async fn close(self) {
        self.service.shutdown(PATIENCE).await;
        let (broker, kv, streams) = self.engines;
        broker.shutdown().await;
        kv.shutdown().await;
        streams.shutdown().await;
    }

    async fn has_got(&self, wanted: &[&str]) {
        let has = |data: &&str| self.app.got.lock().unwrap().iter().any(|got| got == data);
        until(&format!("{wanted:?}"), || wanted.iter().all(has)).await;
    }
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "in vain: {what}");
}

fn orders() -> TopicName {
    TopicName::new("orders").unwrap()
}

fn to() -> Target {
    Target::post(ServiceName::new("mailer").unwrap(), "/events")
}

fn wanted() -> Wanted {
    let soon = Duration::from_millis(10);
    let retry = Retry { max: Some(2), backoff: Backoff { first: soon, max: soon } };
    let subscription = Subscription {
        topic: orders(),
        group: GroupName::new("mailer").unwrap(),
        routes: vec![Route { when: None, to: to() }],
        start: Start::Beginning,
        concurrency: 16,
        order: Order::Key,
        timeout: PATIENCE,
        retry: Some(retry),
        dead_letter: None,
        bulk: None,
    };
    let streams = StreamSubscription {
        name: "totals".to_owned(),
        query: Query::default(),
        from_beginning: true,
        to: to(),
        timeout: PATIENCE,
        retry,
        dead_letter: DeadLetter::Own,
    };
    Wanted {
        topics: [(orders(), Topic::default())].into(),
        subscriptions: vec![subscription],
        streams: vec![streams],
        ..Wanted::default()
    }
}

fn event(data: &str) -> Event {
    Event {
        id: data.to_owned(),
        source: "test".to_owned(),
        kind: "tested".to_owned(),
        data: Bytes::from(data.to_owned()),
        ..Event::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_promised_is_kept_over_the_end_of_all() {
    let (folder, app) = (tempfile::tempdir().unwrap(), Arc::new(App::default()));
    app.refuses.store(true, Ordering::SeqCst);
    let world = World::open(folder.path(), &app);
    let topics = world.handle.topics();
    let there = async {
        while topics.show(&orders()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, there).await.unwrap();
    let soon = base::Timestamp(Clock::wall().0 + 2_000_000);
    let later = Outgoing { event: event("later"), at: Some(soon), message_id: None };
    let now = Outgoing { event: event("now"), ..Outgoing::default() };
    topics.publish(&orders(), vec![later, now]).await.unwrap();
    until("a dead letter", || world.handle.subscriptions().iter().any(|it| it.dead == 1)).await;
    let append = Append {
        stream: "account-7".to_owned(),
        expected: Expected::NoStream,
        condition: None,
        events: vec![NewEvent {
            id: "1".to_owned(),
            kind: "deposited".to_owned(),
            data: Bytes::from_static(b"deposited"),
            ..NewEvent::default()
        }],
    };
    let job = Job {
        owner: "mailer".to_owned(),
        name: "nightly".to_owned(),
        schedule: None,
        due: Some("2s".to_owned()),
        repeats: None,
        ttl: None,
        overwrite: false,
        retry: None,
        data: Bytes::from_static(b"nightly"),
        type_url: String::new(),
    };
    world.handle.jobs().schedule(job, to()).await.unwrap();
    world.close().await;

    app.refuses.store(false, Ordering::SeqCst);
    let world = World::open(folder.path(), &app);
    world.handle.streams().append(append).await.unwrap();
    let topics = world.handle.topics();
    let operations =
        world.handle.outbox(vec![(orders(), event("with a transaction"))]).await.unwrap();
    let transaction = Transaction { operations, ..Transaction::default() };
    world.kv.commit(transaction.and_put("order/7", "x", ports::kv::Life::Endless)).await.unwrap();
    assert_eq!(topics.redrive(&orders(), Redrive::All { limit: 10 }).await.unwrap(), 1);
    world.has_got(&["later", "now", "nightly", "deposited", "with a transaction"]).await;
    world.close().await;

    let world = World::open(folder.path(), &app);
    topics_are_settled(&world).await;
    assert_eq!(app.got.lock().unwrap().len(), 5, "nothing comes twice after a good end");
    world.close().await;
}

async fn topics_are_settled(world: &World) {
    let topics = world.handle.topics();
    let settled = async {
        while topics.groups(&orders()).await.unwrap().iter().any(|group| group.lag > 0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.unwrap();
}
