//! Nodes that are killed at any moment: what was acknowledged ends, once, one way.

use super::modes::MODES;
use crate::{random::Dice, testing::*, *};
use logic::tx::{Mode, Phase, Retry};
use std::{collections::BTreeMap, time::Duration};

/// All that may go wrong does, often.
const ROUGH: Manners =
    Manners { lost: 80, silent: 80, working: 50, away: 50, refuses: 40, slow_ms: 400 };

/// Any transaction between some accounts.
fn any(dice: &mut Dice, mode: Mode) -> Spec {
    let mut number = |sides: u64| usize::try_from(dice.roll() % sides).unwrap();
    let accounts = ["a", "b", "c", "d", "e"];
    let (from, to) = (accounts[number(5)], accounts[number(5)]);
    let amount = i64::try_from(number(60)).unwrap();
    let mut spec = transfer(mode, from, to, amount);
    spec.concurrent = number(2) == 0;
    spec.durable_steps = number(4) == 0;
    if mode == Mode::Saga && number(2) == 0 {
        spec.steps[1].after = vec!["from".to_owned()];
        if number(2) == 0 {
            let body = spec.steps[1].body.as_mut().unwrap();
            body["receipt"] = "{{steps.from.body.receipt}}".into();
        }
    }
    if number(4) == 0 {
        spec.timeout_ms = Some(2_000);
    }
    spec
}

/// Lets nodes run and be killed, then checks that all that was acknowledged has ended rightly.
async fn survives(rounds: usize, modes: &[Mode]) -> World {
    let mut world = World::start();
    world.bank.behave(ROUGH);
    let mut dice = Dice::new();
    let mut acknowledged = BTreeMap::new();
    for round in 0..rounds {
        let mut submissions = Vec::new();
        for number in 0..8 {
            let spec = any(&mut dice, modes[number % modes.len()]);
            let (gid, handle) = (gid(&format!("{round}-{number}")), world.handle.clone());
            submissions.push(async move {
                let taken = handle.submit(Some(gid.clone()), ask(spec.clone()), None).await;
                (gid, spec, taken.is_ok())
            });
        }
        let life = Duration::from_millis(dice.roll() % 3_000);
        let submitted = async {
            for (gid, spec, is_taken) in futures_util::future::join_all(submissions).await {
                if is_taken {
                    acknowledged.insert(gid, spec);
                }
            }
            std::future::pending::<()>().await;
        };
        assert!(tokio::time::timeout(life, submitted).await.is_err());
        world.kill();
        world.again();
    }
    world.bank.behave(Manners::default());
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for (gid, spec) in &acknowledged {
        let view = world.ended(gid).await;
        *ends.entry(phase(&view).as_str()).or_default() += 1;
        let parts = spec.steps.iter().map(|step| world.bank.part(gid.as_str(), &step.id));
        for (part, step) in parts.zip(&spec.steps) {
            let is_right = match phase(&view) {
                Phase::Committed => part == Part::Done,
                Phase::Aborted => matches!(part, Part::Undone | Part::Unknown),
                _ => false,
            };
            assert!(is_right, "{gid} {}: {part:?} of {view:?}\n{:?}", step.id, world.bank.calls());
        }
    }
    until("all have ended", async || {
        world.handle.counts().unfinished == 0
            && world.keys("flotilla/shop/tx/live/").await.is_empty()
    })
    .await;
    // What is on its way for longer than its transaction has lived finds the barrier.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.bank.audit();
    assert!(acknowledged.len() > rounds, "{}", acknowledged.len());
    assert!(ends.len() == 2, "{ends:?}");
    world
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_ends_rightly_however_often_the_node_is_killed() {
    survives(60, &MODES).await;
}

#[tokio::test(start_paused = true)]
async fn without_sagas_nobody_is_ever_in_debt() {
    survives(40, &MODES[1..]).await.bank.nobody_is_in_debt();
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_well_finishes_its_calls_and_keeps_what_came_of_them() {
    let mut world = World::start();
    world.bank.behave(Manners { slow_ms: 5_000, ..Manners::default() });
    let spec = Spec { concurrent: false, ..transfer(Mode::Saga, "a", "b", 1) };
    let gid = world.handle.submit(None, ask(spec), None).await.unwrap().view.gid;
    until("a call", async || world.bank.under_way() == 1).await;
    world.end().await;
    assert_eq!(world.bank.calls(), ["from:action"], "nothing more is begun");
    let refused = world.handle.submit(None, ask(transfer(Mode::Saga, "a", "b", 1)), None).await;
    assert!(matches!(refused, Err(Error::Stopping)));
    world.again();
    assert_eq!(phase(&world.ended(&gid).await), Phase::Committed);
    let calls = world.bank.calls();
    assert_eq!(calls, ["from:action", "to:action"], "the first step's answer was kept");
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_was_left_behind_is_taken_up_with_few_calls_at_a_time() {
    let mut world = World::start();
    world.bank.close("bank", true);
    for number in 0..2_000 {
        let spec = transfer(Mode::Saga, &format!("a{number}"), &format!("b{number}"), 1);
        world.handle.submit(Some(gid(&format!("{number}"))), ask(spec), None).await.unwrap();
    }
    world.kill();
    world.bank.close("bank", false);
    world.bank.behave(Manners { slow_ms: 50, ..Manners::default() });
    world.again();
    for number in 0..2_000 {
        assert_eq!(phase(&world.ended(&gid(&format!("{number}"))).await), Phase::Committed);
    }
    world.bank.audit();
    assert!(world.bank.busiest() <= CALLS_EACH_MAX + 8, "{}", world.bank.busiest());
}

#[tokio::test(start_paused = true)]
async fn who_came_back_while_the_node_was_down_is_called_at_once() {
    let mut world = World::start();
    world.bank.close("bank", true);
    let hour = 3_600_000;
    let mut spec = transfer(Mode::Saga, "a", "b", 1);
    spec.retry = spec.retry.map(|retry| Retry { base_ms: hour, max_ms: hour, ..retry });
    let gid = world.handle.submit(None, ask(spec), None).await.unwrap().view.gid;
    until("calls", async || world.bank.calls().len() == 2).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.kill();
    world.bank.close("bank", false);
    let start = tokio::time::Instant::now();
    world.again();
    assert_eq!(phase(&world.ended(&gid).await), Phase::Committed);
    assert!(start.elapsed() < Duration::from_secs(600), "nobody waits for an hour");
}
