//! Names, and who asks again.

use crate::{testing::*, *};
use logic::tx::{Answer, Mode, Phase};
use serde_json::json;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn the_same_again_is_the_same_transaction_and_something_else_is_a_conflict() {
    let mut world = World::start();
    let spec = transfer(Mode::Saga, "a", "b", 1);
    let other = transfer(Mode::Saga, "a", "b", 2);
    world.bank.behave(Manners { slow_ms: 5_000, ..Manners::default() });
    let first = world.handle.submit(Some(gid("x")), ask(spec.clone()), None).await.unwrap();
    assert!(!first.is_known);
    for round in ["while it runs", "after it has ended", "after a restart"] {
        let again = world.handle.submit(Some(gid("x")), ask(spec.clone()), None).await.unwrap();
        assert!(again.is_known, "{round}");
        let conflict = world.handle.submit(Some(gid("x")), ask(other.clone()), None).await;
        assert!(matches!(conflict, Err(Error::Conflict(_))), "{round}");
        if round == "while it runs" {
            // Its client comes back with another trace and waits this time.
            let spec = Spec { traceparent: Some("00-1-2-01".to_owned()), ..spec.clone() };
            let wait = Some(Duration::from_secs(60));
            let again = world.handle.submit(Some(gid("x")), ask(spec), wait).await.unwrap();
            assert_eq!((again.is_known, phase(&again.view)), (true, Phase::Committed));
        } else {
            assert_eq!(phase(&again.view), Phase::Committed);
            world.end().await;
            world.again();
        }
    }
    assert_eq!(world.bank.balance("b"), BALANCE + 1);
}

#[tokio::test(start_paused = true)]
async fn many_who_submit_the_same_at_once_get_one_transaction() {
    let world = World::start();
    let one = || {
        let handle = world.handle.clone();
        async move {
            let ask = ask(transfer(Mode::Saga, "a", "b", 1));
            handle.submit(Some(gid("x")), ask, Some(Duration::from_secs(60))).await.unwrap()
        }
    };
    let all = futures_util::future::join_all((0..32).map(|_| one())).await;
    assert_eq!(all.iter().filter(|taken| !taken.is_known).count(), 1);
    assert!(all.iter().all(|taken| phase(&taken.view) == Phase::Committed));
    assert_eq!(world.bank.balance("b"), BALANCE + 1);
}

#[tokio::test(start_paused = true)]
async fn a_definition_that_was_changed_meanwhile_is_no_conflict() {
    let world = World::start();
    let using = |amount: i64| Ask::Use {
        name: "transfer".to_owned(),
        input: json!({ "from": "a", "to": "b", "amount": amount }),
        labels: [].into(),
        traceparent: None,
        caller: None,
    };
    world.handle.submit(Some(gid("x")), using(1), None).await.unwrap();
    let mut changed = wanted();
    changed.definitions.get_mut("transfer").unwrap().spec.timeout_ms = Some(60_000);
    world.handle.apply(changed).unwrap();
    assert!(world.handle.submit(Some(gid("x")), using(1), None).await.unwrap().is_known);
    let other = world.handle.submit(Some(gid("x")), using(2), None).await;
    assert!(matches!(other, Err(Error::Conflict(_))));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_short_is_told_how_it_stands() {
    let world = World::start();
    world.bank.behave(Manners { slow_ms: 10_000, ..Manners::default() });
    let ask = ask(transfer(Mode::Saga, "a", "b", 1));
    let wait = Some(Duration::from_millis(1));
    let taken = world.handle.submit(None, ask, wait).await.unwrap();
    assert_eq!(phase(&taken.view), Phase::Trying);
    let view = world.handle.wait(&taken.view.gid, Duration::from_millis(1)).await.unwrap();
    assert_eq!(phase(&view), Phase::Trying);
    assert_eq!(phase(&world.ended(&taken.view.gid).await), Phase::Committed);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_transaction_is_refused_with_its_reason() {
    let world = World::start();
    let good = transfer(Mode::Saga, "a", "b", 1);
    let mut unknown = good.clone();
    unknown.steps[1].after = vec!["nobody".to_owned()];
    let mut unordered = good.clone();
    unordered.steps[1].body = Some(json!("{{steps.from.body.x}}"));
    let mut nameless = good.clone();
    nameless.steps[0].id = String::new();
    let mut twice = good.clone();
    twice.steps[1].id = "from".to_owned();
    let mut broken = good.clone();
    broken.steps[0].body = Some(json!("{{input"));
    let mut labelled = good.clone();
    labelled.labels = (0..17).map(|number| (number.to_string(), String::new())).collect();
    let mut foreign = good.clone();
    foreign.steps[0].calls = branch(Mode::Tcc, "x", "in", "a", 1).calls;
    let none = blank(Mode::Saga);
    for (spec, part) in [
        (unknown, "step `to` comes after `nobody`, which is no step before it"),
        (unordered, "step `to`: it uses the answer of `from` and does not come after it"),
        (nameless, "step 1 must have a name"),
        (twice, "`from`"),
        (broken, "step `from`: "),
        (labelled, "17 labels, 16 are allowed"),
        (foreign, "`from` has `try`"),
        (none, "no branches"),
    ] {
        let error = world.handle.submit(None, ask(spec.clone()), None).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)), "{error:?}");
        assert!(error.to_string().contains(part), "{error} has {part}");
        let name = "bad".to_owned();
        let definition = Definition { name: name.clone(), spec };
        let wanted = Wanted { definitions: [(name, definition)].into(), retention: None };
        let error = world.handle.apply(wanted).unwrap_err().to_string();
        assert!(error.starts_with("transaction `bad`: ") && error.contains(part), "{error}");
    }
    assert_eq!(world.handle.counts(), Counts::default());
    assert!(world.keys("flotilla/").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_is_missing_and_aborted() {
    let world = World::start();
    let (handle, gid) = (&world.handle, gid("nobody"));
    assert!(matches!(handle.get(&gid).await, Err(Error::Missing(_))));
    assert!(matches!(handle.commit(&gid, None).await, Err(Error::Missing(_))));
    assert!(matches!(handle.retry(&gid).await, Err(Error::Missing(_))));
    assert!(matches!(handle.wait(&gid, Duration::from_secs(1)).await, Err(Error::Missing(_))));
    assert!(matches!(handle.changes(&gid), Err(Error::Missing(_))));
    assert_eq!(handle.decision(&gid).await.unwrap(), Decision::Abort);
}

#[tokio::test(start_paused = true)]
async fn whoever_looks_is_told_of_changes_until_the_end() {
    let world = World::start();
    world.bank.behave(Manners { slow_ms: 1_000, ..Manners::default() });
    let taken =
        world.handle.submit(Some(gid("x")), ask(transfer(Mode::Tcc, "a", "b", 1)), None).await;
    let gid = taken.unwrap().view.gid;
    let mut changes = world.handle.changes(&gid).unwrap();
    let mut seen = Vec::new();
    loop {
        let view = world.handle.get(&gid).await.unwrap();
        seen.extend(view.notes.iter().skip(seen.len()).map(|note| note.text.clone()));
        if view.state.phase.outcome().is_some() {
            break;
        }
        // The sender is gone when it has ended.
        drop(changes.changed().await);
    }
    assert_eq!(
        (seen.first().unwrap().as_str(), seen.last().unwrap().as_str()),
        ("begun", "committed")
    );
    assert_eq!(seen.iter().filter(|text| *text == "done").count(), 4);
    assert!(seen.iter().any(|text| text == "decided: commit"));
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_ask_for_a_try_at_once() {
    let world = World::start();
    world.bank.script("/out", [Answer::Failed("broken".to_owned())]);
    let mut spec = transfer(Mode::Saga, "a", "b", 1);
    spec.retry =
        Some(logic::tx::Retry { base_ms: 3_600_000, max_ms: 3_600_000, ..spec.retry.unwrap() });
    let gid = world.handle.submit(None, ask(spec), None).await.unwrap().view.gid;
    until("a call", async || world.bank.calls().len() == 2).await;
    let start = tokio::time::Instant::now();
    // Long enough that only its bytes are left of it.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.handle.retry(&gid).await.unwrap();
    assert_eq!(phase(&world.ended(&gid).await), Phase::Committed);
    assert!(start.elapsed() < Duration::from_secs(120));
}
