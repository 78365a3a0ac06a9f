//! A coordinator over an engine in memory, whose participants are called as they are in a node.

use super::Caller;
use crate::app::testing::Node;
use async_trait::async_trait;
use logic::tx::{Mode, Op};
use ports::kv::Kv;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use transactions::{
    Call, Config, Definition, Handle, Join, JoinOf, JoinRefused, Joined, Prepared, Service, Spec,
    StepSpec, Target, Wanted,
};

/// What joins a decision changes nothing here, but for stores that say that they cannot.
#[derive(Debug)]
struct Joins;

#[async_trait]
impl Joined for Joins {
    async fn prepare(
        &self,
        _: JoinOf<'_>,
        join: &Join,
        _: &Value,
    ) -> Result<Prepared, JoinRefused> {
        match join {
            Join::Put { key, .. } if key == "refused" => {
                Err(JoinRefused::Never("this key is refused".to_owned()))
            }
            _ => Ok(Prepared::default()),
        }
    }
}

/// A saga of one step: `POST users/checkout` with the input.
fn checkout() -> Definition {
    let target = Target::Service { service: "users".to_owned(), path: "/checkout".to_owned() };
    let call = Call { target, method: "POST".to_owned() };
    let step = StepSpec {
        id: "checkout".to_owned(),
        calls: BTreeMap::from([(Op::Action, call)]),
        body: Some(json!({ "order": "{{input.order}}" })),
        ..StepSpec::default()
    };
    let spec = Spec {
        mode: Mode::Saga,
        name: None,
        steps: vec![step],
        input: Value::Null,
        labels: BTreeMap::new(),
        headers: BTreeMap::new(),
        timeout_ms: None,
        retry: None,
        durable_steps: false,
        concurrent: true,
        query: None,
        delay_ms: None,
        dialect: transactions::Dialect::Native,
        extra: Value::Null,
        traceparent: None,
        caller: None,
    };
    Definition { name: "checkout".to_owned(), spec }
}

/// Starts one that knows the definition `checkout`.
pub(crate) fn start(kv: Arc<dyn Kv>, node: &Arc<Node>) -> (Service, Handle) {
    let definitions = BTreeMap::from([("checkout".to_owned(), checkout())]);
    let config = Config {
        kv,
        participants: Arc::new(Caller::new(node.clone(), node.clone())),
        joined: Arc::new(Joins),
        system: "shop".to_owned(),
        node: "node".to_owned(),
        clock: runtime::Clock::start(),
        wanted: Wanted { definitions, retention: None },
    };
    Service::start(config).unwrap()
}
