//! What the file says of transactions, in the words of the crate that drives them.

use base::ServiceName;
use logic::tx::target;
use manifest::{StepWork, System, TransactionDefinition, TransactionJoin, TransactionStep};
use std::{collections::BTreeMap, time::Duration};
use transactions::{Call, Definition, Dialect, Join, Spec, StepSpec, Target, Wanted};

/// All that `system` asks for.
pub(super) fn wanted(system: &System) -> Wanted {
    let file = &system.transactions;
    Wanted {
        definitions: file.definitions.iter().map(|it| (it.name.clone(), definition(it))).collect(),
        retention: file.retain,
    }
}

fn definition(file: &TransactionDefinition) -> Definition {
    let spec = Spec {
        mode: file.mode,
        name: Some(file.name.clone()),
        steps: file.steps.iter().map(step).collect(),
        input: serde_json::Value::Null,
        labels: BTreeMap::new(),
        headers: file.headers.clone(),
        timeout_ms: file.timeout.map(millis),
        retry: Some(file.retry),
        durable_steps: file.durable_steps,
        concurrent: !file.sequential,
        query: file.query.as_ref().map(call),
        delay_ms: file.delay.map(millis),
        dialect: Dialect::Native,
        extra: serde_json::Value::Null,
        traceparent: None,
        caller: None,
    };
    Definition { name: file.name.clone(), spec }
}

fn step(file: &TransactionStep) -> StepSpec {
    let (calls, join) = match &file.work {
        StepWork::Calls(calls) => (calls.iter().map(|(op, to)| (*op, call(to))).collect(), None),
        StepWork::Join(join) => (BTreeMap::new(), Some(joined(join))),
    };
    StepSpec {
        id: file.id.clone(),
        after: file.after.clone(),
        calls,
        join,
        body: file.body.clone(),
        payload: None,
        timeout_ms: file.timeout.map(millis),
        retry: file.retry,
        reserve_ms: file.reserve.map(millis),
        tried_by_client: false,
    }
}

fn call(file: &target::Call) -> Call {
    let named = |service: &ServiceName| service.as_str().to_owned();
    let target = match &file.target {
        target::Target::Service { service, path } => {
            Target::Service { service: named(service), path: path.clone() }
        }
        target::Target::Url(url) => Target::Url(url.clone()),
        target::Target::GrpcService { service, method } => {
            Target::GrpcService { service: named(service), method: method.clone() }
        }
        target::Target::Grpc { authority, method } => {
            Target::Grpc { authority: authority.clone(), method: method.clone() }
        }
    };
    Call { target, method: file.method.to_owned() }
}

fn joined(file: &TransactionJoin) -> Join {
    match file.clone() {
        TransactionJoin::Put { store, key, etag } => Join::Put { store, key, etag },
        TransactionJoin::Delete { store, key, etag } => Join::Delete { store, key, etag },
        TransactionJoin::Publish { topic, key } => Join::Publish { topic, key },
        TransactionJoin::Holds { store, resource, token } => Join::Holds { store, resource, token },
    }
}

/// The check has bounded all times of the file far below where this ends.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
