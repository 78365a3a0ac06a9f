//! What the tests of this crate share: nodes over an engine in memory, a bank that takes part, and a time that passes as fast as nothing
//! happens.

use crate::{
    Ask, Call, Config, Definition, Gid, Handle, Join, JoinOf, JoinRefused, Joined, Prepared,
    Service, Spec, StepSpec, Target, View, Wanted,
};
use async_trait::async_trait;
use base::Timestamp;
use logic::tx::{Mode, Op, Phase, Retry, Then};
use ports::kv::{Condition, Is, Kv, Life, Operation, conformance::Memory};
use runtime::{Clock, TaskSet};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

mod bank;

pub(crate) use bank::{BALANCE, Bank, Manners, Part};

/// How long a test waits for what must happen; of the tests' own time.
const PATIENCE: Duration = Duration::from_secs(24 * 3_600);

/// When the tests' time begins.
pub(crate) const BEGIN: Timestamp = Timestamp(1_700_000_000_000_000);

/// Puts keys under `state/`, and locks under `lock/` whose value is their token.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    pub(crate) is_away: AtomicBool,
}

#[async_trait]
impl Joined for Stores {
    async fn prepare(
        &self,
        of: JoinOf<'_>,
        join: &Join,
        value: &Value,
    ) -> Result<Prepared, JoinRefused> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(JoinRefused::Later("nobody is there".to_owned()));
        }
        let mut prepared = Prepared::default();
        match join {
            Join::Put { key, etag, .. } => {
                let key = format!("state/{key}");
                if let Some(etag) = etag {
                    let is =
                        if etag.is_empty() { Is::Missing } else { Is::Value(etag.clone().into()) };
                    prepared.conditions.push(Condition { key: key.clone().into(), is });
                }
                let value = value.to_string().into();
                prepared.operations.push(Operation::Put {
                    key: key.into(),
                    value,
                    life: Life::Endless,
                });
            }
            Join::Publish { topic, .. } => {
                let key = format!("topic/{topic}/{}/{}", of.gid, of.step).into();
                let value = value.to_string().into();
                prepared.operations.push(Operation::Put { key, value, life: Life::Endless });
            }
            Join::Holds { resource, token, .. } => {
                let key = format!("lock/{resource}").into();
                prepared.conditions.push(Condition { key, is: Is::Value(token.clone().into()) });
            }
            Join::Delete { .. } => {
                return Err(JoinRefused::Never("deleting is forbidden".to_owned()));
            }
        }
        Ok(prepared)
    }
}

/// A node, or several, over an engine in memory.
pub(crate) struct World {
    pub(crate) kv: Memory,
    pub(crate) bank: Arc<Bank>,
    pub(crate) stores: Arc<Stores>,
    pub(crate) clock: Clock,
    pub(crate) handle: Handle,
    service: Option<Service>,
    /// Lets the engine's time pass.
    _ticker: TaskSet,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::over(Memory::new(), wanted())
    }

    pub(crate) fn over(kv: Memory, wanted: Wanted) -> Self {
        let mut ticker = TaskSet::new("time");
        let engine = kv.clone();
        ticker.spawn("time", |mut stop| async move {
            let step = Duration::from_secs(1);
            while tokio::time::timeout(step, stop.wait()).await.is_err() {
                engine.advance(step);
            }
        });
        let (clock, bank, stores) = (Clock::simulated(BEGIN), Bank::new(), Arc::default());
        let (service, handle) = node(&kv, &bank, &stores, clock, "one", wanted);
        Self { kv, bank, stores, clock, handle, service: Some(service), _ticker: ticker }
    }

    /// Another node over the same engine.
    pub(crate) fn beside(&self, name: &str) -> (Service, Handle) {
        node(&self.kv, &self.bank, &self.stores, self.clock, name, wanted())
    }

    /// Ends the node as it should end.
    pub(crate) async fn end(&mut self) {
        if let Some(service) = self.service.take() {
            service.shutdown(Duration::from_secs(30)).await;
        }
    }

    /// Ends the node at once.
    pub(crate) fn kill(&mut self) {
        self.service = None;
    }

    /// Starts it again over the same engine.
    pub(crate) fn again(&mut self) {
        let (service, handle) = self.beside("one");
        (self.service, self.handle) = (Some(service), handle);
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self, gid: &Gid) -> View {
        let view = self.handle.wait(gid, PATIENCE).await.unwrap();
        assert!(view.state.phase.outcome().is_some(), "{view:?}");
        view
    }

    /// Submits, and waits until it has ended.
    pub(crate) async fn run(&self, spec: Spec) -> View {
        self.handle.submit(None, ask(spec), Some(PATIENCE)).await.unwrap().view
    }

    /// The keys of the engine that begin with this.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let range = ports::kv::Range::prefix(prefix.to_owned().into());
        let page = self.kv.range(&range, 1_000).await.unwrap();
        let key = |entry: &ports::kv::Entry| String::from_utf8_lossy(&entry.key).into_owned();
        page.entries.iter().map(key).collect()
    }
}

fn node(
    kv: &Memory,
    bank: &Arc<Bank>,
    stores: &Arc<Stores>,
    clock: Clock,
    name: &str,
    wanted: Wanted,
) -> (Service, Handle) {
    let config = Config {
        kv: Arc::new(kv.clone()),
        participants: Arc::clone(bank) as Arc<dyn crate::Participants>,
        joined: Arc::clone(stores) as Arc<dyn Joined>,
        system: "shop".to_owned(),
        node: name.to_owned(),
        clock,
        wanted,
    };
    Service::start(config).unwrap()
}

/// One definition, `transfer`.
pub(crate) fn wanted() -> Wanted {
    let mut spec = transfer(Mode::Saga, "a", "b", 1);
    spec.steps[0].body = Some(json!({ "account": "{{input.from}}", "amount": "{{input.amount}}" }));
    spec.steps[1].body = Some(json!({ "account": "{{input.to}}", "amount": "{{input.amount}}" }));
    let name = "transfer".to_owned();
    let definition = Definition { name: name.clone(), spec };
    Wanted { definitions: BTreeMap::from([(name, definition)]), retention: None }
}

pub(crate) fn ask(spec: Spec) -> Ask {
    Ask::Spec(Box::new(spec))
}

pub(crate) fn gid(name: &str) -> Gid {
    Gid::new(name).unwrap()
}

/// A spec of nothing.
pub(crate) fn blank(mode: Mode) -> Spec {
    Spec {
        mode,
        name: None,
        steps: Vec::new(),
        input: Value::Null,
        labels: BTreeMap::new(),
        headers: BTreeMap::new(),
        timeout_ms: None,
        retry: Some(Retry {
            base_ms: 100,
            max_ms: 2_000,
            attempts: Some(8),
            then: Then::Attention,
        }),
        durable_steps: false,
        concurrent: true,
        query: None,
        delay_ms: None,
        dialect: crate::Dialect::Native,
        extra: Value::Null,
        traceparent: None,
        caller: None,
    }
}

/// A spec of nothing, with time for its client.
pub(crate) fn patient(mode: Mode) -> Spec {
    Spec { timeout_ms: Some(86_400_000), ..blank(mode) }
}

/// The calls of a branch of a mode.
pub(crate) fn ops(mode: Mode) -> &'static [Op] {
    match mode {
        Mode::Saga => &[Op::Action, Op::Compensate],
        Mode::Tcc => &[Op::Try, Op::Confirm, Op::Cancel],
        Mode::TwoPhase => &[Op::Prepare, Op::Commit, Op::Rollback],
        Mode::ThreePhase | Mode::ThreePhaseClassic => {
            &[Op::CanCommit, Op::PreCommit, Op::Commit, Op::Rollback]
        }
        Mode::Message => &[Op::Action],
    }
}

pub(crate) fn call(service: &str, path: &str) -> Call {
    let target = Target::Service { service: service.to_owned(), path: path.to_owned() };
    Call { target, method: "POST".to_owned() }
}

/// A branch at the bank: `in` or `out`.
pub(crate) fn branch(mode: Mode, id: &str, way: &str, account: &str, amount: i64) -> StepSpec {
    StepSpec {
        id: id.to_owned(),
        calls: ops(mode).iter().map(|op| (*op, call("bank", &format!("/{way}")))).collect(),
        body: Some(json!({ "account": account, "amount": amount })),
        ..StepSpec::default()
    }
}

/// From one account to another.
pub(crate) fn transfer(mode: Mode, from: &str, to: &str, amount: i64) -> Spec {
    Spec {
        steps: vec![
            branch(mode, "from", "out", from, amount),
            branch(mode, "to", "in", to, amount),
        ],
        ..blank(mode)
    }
}

pub(crate) fn phase(view: &View) -> Phase {
    view.state.phase
}

/// Waits until `is_so`, which something in the background brings about.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "in vain: {what}");
}
