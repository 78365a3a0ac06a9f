//! What was acknowledged is on the disk, and is finished by whoever opens it next.

use adapter_embedded::kv;
use async_trait::async_trait;
use logic::tx::{Answer, Mode, Op, Phase};
use runtime::Clock;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use transactions::{
    Ask, Call, CallRequest, Called, Config, Dialect, Filter, Gid, Handle, Join, JoinOf,
    JoinRefused, Joined, Participants, Prepared, Service, Spec, StepSpec, Target, Wanted,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Remembers what it has done, and forgets to answer while it is told so.
#[derive(Debug, Default)]
struct App {
    done: Mutex<BTreeSet<(String, String, Op)>>,
    is_deaf: AtomicBool,
}

#[async_trait]
impl Participants for App {
    async fn call(&self, request: CallRequest) -> Called {
        if self.is_deaf.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let key = (request.gid.to_string(), request.branch, request.op);
        self.done.lock().unwrap().insert(key);
        Called { answer: Answer::Done, status: Some(200), body: Value::Null }
    }

    async fn ready(&self, _: &str) {}
}

#[derive(Debug)]
struct Nothing;

#[async_trait]
impl Joined for Nothing {
    async fn prepare(&self, _: JoinOf<'_>, _: &Join, _: &Value) -> Result<Prepared, JoinRefused> {
        Err(JoinRefused::Never("there is nothing to join".to_owned()))
    }
}

struct World {
    handle: Handle,
    service: Service,
    engine: kv::Service,
}

impl World {
    fn open(folder: &Path, app: &Arc<App>) -> Self {
        let (engine, kv) = kv::Service::open(&kv::Config { folder: folder.to_owned() }).unwrap();
        let config = Config {
            kv: Arc::new(kv),
            participants: Arc::clone(app) as Arc<dyn Participants>,
            joined: Arc::new(Nothing),
            system: "shop".to_owned(),
            node: "one".to_owned(),
            clock: Clock::start(),
            wanted: Wanted::default(),
        };
        let (service, handle) = Service::start(config).unwrap();
        Self { handle, service, engine }
    }

    /// Ends the service at once, and the engine without a last word of it.
    async fn kill(self) {
        drop(self.service);
        self.engine.shutdown().await;
    }
}

fn spec(mode: Mode) -> Spec {
    let target = Target::Service { service: "bank".to_owned(), path: "/x".to_owned() };
    let call = Call { target, method: "POST".to_owned() };
    let ops: &[Op] = match mode {
        Mode::Saga => &[Op::Action, Op::Compensate],
        _ => &[Op::Prepare, Op::Commit, Op::Rollback],
    };
    let step = |id: &str| StepSpec {
        id: id.to_owned(),
        calls: ops.iter().map(|op| (*op, call.clone())).collect(),
        body: Some(json!({ "amount": 7 })),
        ..StepSpec::default()
    };
    Spec {
        mode,
        name: None,
        steps: vec![step("a"), step("b")],
        input: Value::Null,
        labels: BTreeMap::new(),
        headers: BTreeMap::new(),
        timeout_ms: None,
        retry: None,
        durable_steps: false,
        concurrent: true,
        query: None,
        delay_ms: None,
        dialect: Dialect::Native,
        extra: Value::Null,
        traceparent: None,
        caller: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_finished_after_the_node_was_killed() {
    let (folder, app) = (tempfile::tempdir().unwrap(), Arc::new(App::default()));
    let mut gids = BTreeSet::new();
    for round in 0..4 {
        let world = World::open(folder.path(), &app);
        app.is_deaf.store(round % 2 == 0, Ordering::SeqCst);
        for number in 0..50 {
            let mode = if number % 2 == 0 { Mode::Saga } else { Mode::TwoPhase };
            let gid = Gid::new(format!("{round}-{number}")).unwrap();
            let ask = Ask::Spec(Box::new(spec(mode)));
            world.handle.submit(Some(gid.clone()), ask, None).await.unwrap();
            gids.insert(gid);
        }
        world.kill().await;
    }
    app.is_deaf.store(false, Ordering::SeqCst);
    let world = World::open(folder.path(), &app);
    for gid in &gids {
        let view = world.handle.wait(gid, PATIENCE).await.unwrap();
        let outcome = view.state.phase;
        let done = app.done.lock().unwrap();
        let has = |op: Op| {
            ["a", "b"].iter().all(|id| done.contains(&(gid.to_string(), (*id).to_owned(), op)))
        };
        match (view.spec.mode, outcome) {
            (Mode::Saga, Phase::Committed) => assert!(has(Op::Action)),
            (Mode::TwoPhase, Phase::Committed) => assert!(has(Op::Prepare) && has(Op::Commit)),
            // What was voting when the node was killed is aborted.
            (Mode::TwoPhase, Phase::Aborted) => assert!(!has(Op::Commit)),
            other => panic!("{other:?}"),
        }
    }
    let filter = Filter { limit: Some(1_000), ..Filter::default() };
    let page = world.handle.list(&filter).await.unwrap();
    assert_eq!(page.transactions.len(), gids.len());
    assert_eq!(world.handle.counts().unfinished, 0);
    world.service.shutdown(PATIENCE).await;
    world.engine.shutdown().await;
}
