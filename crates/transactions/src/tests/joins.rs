//! Steps that are carried out within the decision's own transaction.

use crate::{testing::*, *};
use logic::tx::{Mode, Phase};
use ports::kv::{Kv, Transaction, conformance::Failure};
use serde_json::json;
use std::{sync::atomic::Ordering, time::Duration};

fn put(id: &str, key: &str, etag: Option<&str>) -> StepSpec {
    let etag = etag.map(str::to_owned);
    let join = Join::Put { store: "state".to_owned(), key: key.to_owned(), etag };
    let body = Some(json!({ "receipt": "{{steps.from.body.receipt}}" }));
    StepSpec { id: id.to_owned(), join: Some(join), body, ..StepSpec::default() }
}

fn publish(id: &str) -> StepSpec {
    let join = Join::Publish { topic: "moved".to_owned(), key: None };
    StepSpec { id: id.to_owned(), join: Some(join), ..StepSpec::default() }
}

fn with(steps: impl IntoIterator<Item = StepSpec>) -> Spec {
    let mut spec = transfer(Mode::Saga, "a", "b", 1);
    spec.input = json!({ "order": 7 });
    spec.steps.extend(steps);
    spec
}

async fn value(world: &World, key: &str) -> Option<String> {
    let entry = world.kv.get(key.as_bytes()).await.unwrap();
    entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned())
}

#[tokio::test(start_paused = true)]
async fn what_joins_is_there_exactly_when_it_is_committed() {
    let world = World::start();
    let view = world.run(with([put("put", "{{input.order}}", Some("")), publish("tell")])).await;
    assert_eq!(phase(&view), Phase::Committed, "{view:?}");
    assert_eq!(value(&world, "state/7").await.unwrap(), r#"{"receipt":7}"#);
    let told = format!("topic/moved/{}/tell", view.gid);
    assert_eq!(value(&world, &told).await.unwrap(), r#"{"order":7}"#);
    let entries = [format!("flotilla/shop/tx/done/{}", view.gid), told, "state/7".to_owned()];
    let mut revisions = Vec::new();
    for key in entries {
        revisions.push(world.kv.get(key.as_bytes()).await.unwrap().unwrap().modified);
    }
    assert!(revisions.iter().all(|revision| *revision == revisions[0]), "{revisions:?}");
    let again = world.handle.get(&view.gid).await.unwrap();
    assert_eq!(phase(&again), Phase::Committed);
    assert_eq!(again.notes.last().unwrap().text, "committed");
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_does_not_hold_undoes_everything() {
    for (step, reason) in [
        (put("put", "k", Some("")), "`state/k` is there already"),
        (put("put", "k", Some("other")), "`state/k` was changed by somebody else"),
        (put("put", "none", Some("x")), "`state/none` is not there any more"),
        (
            StepSpec {
                id: "lock".to_owned(),
                join: Some(Join::Holds {
                    store: "locks".to_owned(),
                    resource: "r".to_owned(),
                    token: "{{input.order}}".to_owned(),
                }),
                ..StepSpec::default()
            },
            "`lock/r` was changed by somebody else",
        ),
        (
            StepSpec {
                id: "delete".to_owned(),
                join: Some(Join::Delete {
                    store: "state".to_owned(),
                    key: "k".to_owned(),
                    etag: None,
                }),
                ..StepSpec::default()
            },
            "deleting is forbidden",
        ),
    ] {
        let world = World::start();
        world.kv.commit(Transaction::put("state/k", "v")).await.unwrap();
        world.kv.commit(Transaction::put("lock/r", "8")).await.unwrap();
        let view = world.run(with([publish("tell"), step])).await;
        assert_eq!(phase(&view), Phase::Aborted, "{view:?}");
        let said = view.state.reason.unwrap();
        assert!(said.contains(reason), "{said} has {reason}");
        assert_eq!(world.bank.balance("a"), BALANCE);
        world.bank.audit();
        assert!(world.keys("topic/").await.is_empty());
        assert_eq!(value(&world, "state/k").await.as_deref(), Some("v"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_decision_whose_outcome_nobody_knows_is_taken_once() {
    for failure in [Failure::UnknownButApplied, Failure::UnknownAndLost, Failure::Unavailable] {
        let world = World::start();
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.bank.behave(Manners { slow_ms: 500, ..Manners::default() });
        let running = world.run(with([put("put", "k", Some("")), publish("tell")]));
        let failing = async {
            until("calls", async || world.bank.calls().len() == 2).await;
            world.kv.fail_next(failure);
        };
        let (view, ()) = futures_util::future::join(running, failing).await;
        assert_eq!(phase(&view), Phase::Committed, "{failure:?} {view:?}");
        assert_eq!(value(&world, "state/k").await.unwrap(), r#"{"receipt":7}"#);
        assert_eq!(world.keys("topic/").await.len(), 1);
        assert_eq!(world.handle.counts().unfinished, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_join_now_is_asked_again_and_not_for_ever() {
    for is_back in [true, false] {
        let world = World::start();
        world.stores.is_away.store(true, Ordering::SeqCst);
        let gid =
            world.handle.submit(None, ask(with([publish("tell")])), None).await.unwrap().view.gid;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(phase(&world.handle.get(&gid).await.unwrap()), Phase::Trying);
        if is_back {
            world.stores.is_away.store(false, Ordering::SeqCst);
        }
        let view = world.ended(&gid).await;
        assert_eq!(phase(&view), if is_back { Phase::Committed } else { Phase::Aborted });
        world.bank.audit();
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_killed_while_it_decides_decides_once() {
    let mut world = World::start();
    world.bank.behave(Manners { slow_ms: 300, ..Manners::default() });
    for round in 0..40 {
        let spec = with([put("put", &format!("{round}"), Some("")), publish("tell")]);
        let gid = gid(&format!("{round}"));
        world.handle.submit(Some(gid.clone()), ask(spec), None).await.unwrap();
        until("the last call", async || world.bank.calls().len() >= 2).await;
        tokio::time::sleep(Duration::from_millis(round * 10)).await;
        world.kill();
        world.again();
        assert_eq!(phase(&world.ended(&gid).await), Phase::Committed, "{round}");
        assert!(value(&world, &format!("state/{round}")).await.is_some());
    }
    assert_eq!(world.keys("topic/").await.len(), 40);
    world.bank.audit();
}
