//! Several nodes over one engine.

use crate::{random::Dice, testing::*, *};
use logic::tx::{Mode, Phase, Retry, Then};
use ports::kv::{Capabilities, conformance::Memory};
use std::{collections::BTreeSet, time::Duration};

fn shared() -> World {
    let all = Capabilities {
        durable: true,
        transactions: true,
        leases: true,
        watches: true,
        shared: true,
    };
    World::over(Memory::offering(all), wanted())
}

/// Waits on one node until it has ended, wherever it is driven.
async fn ended(handle: &Handle, gid: &Gid) -> View {
    let view = handle.wait(gid, Duration::from_secs(3_600)).await.unwrap();
    assert!(view.state.phase.outcome().is_some(), "{view:?}");
    view
}

#[tokio::test(start_paused = true)]
async fn what_a_node_leaves_behind_is_finished_by_another() {
    let mut world = shared();
    let (_second, other) = world.beside("two");
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.bank.behave(Manners { slow_ms: 20_000, ..Manners::default() });
    let mut gids = Vec::new();
    for (at, mode) in super::modes::MODES.into_iter().enumerate() {
        let ask = ask(transfer(mode, &format!("from {mode}"), &format!("to {mode}"), 1));
        let taken = world.handle.submit(Some(gid(&at.to_string())), ask, None).await.unwrap();
        assert_eq!(taken.view.node, "one");
        gids.push(taken.view.gid);
    }
    assert_eq!(other.counts().unfinished, 0, "what lives is left alone");
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.kill();
    for gid in &gids {
        let view = ended(&other, gid).await;
        assert_eq!(view.node, "two");
    }
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.bank.audit();
    assert_eq!(other.counts().unfinished, 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_a_transaction_over_and_its_old_node_finds_out() {
    let world = shared();
    let (_second, other) = world.beside("two");
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.bank.behave(Manners { slow_ms: 10_000, ..Manners::default() });
    let spec = Spec { concurrent: false, ..transfer(Mode::Saga, "a", "b", 1) };
    let gid = world.handle.submit(None, ask(spec.clone()), None).await.unwrap().view.gid;
    until("a call", async || world.bank.under_way() == 1).await;
    assert_eq!(phase(&other.get(&gid).await.unwrap()), Phase::Trying);
    assert_eq!(other.decision(&gid).await.unwrap(), Decision::Undecided);
    let known = other.submit(Some(gid.clone()), ask(spec), None).await.unwrap();
    assert!(known.is_known);
    assert_eq!(other.counts().unfinished, 0, "who only looks takes nothing over");
    let view = other.abort(&gid, "enough".to_owned(), None).await.unwrap();
    assert_eq!((view.node.as_str(), phase(&view)), ("two", Phase::Aborting));
    let view = ended(&world.handle, &gid).await;
    assert_eq!((view.node.as_str(), phase(&view)), ("two", Phase::Aborted));
    until("the old node has found out", async || world.handle.counts().unfinished == 0).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.bank.audit();
    assert_eq!(world.bank.balance("a"), BALANCE);
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_for_all_nodes() {
    let world = shared();
    let (_second, other) = world.beside("two");
    let spec = transfer(Mode::Saga, "a", "b", 1);
    world.bank.behave(Manners { slow_ms: 1_000, ..Manners::default() });
    let wait = Some(Duration::from_secs(60));
    let one = world.handle.submit(Some(gid("x")), ask(spec.clone()), wait);
    let two = other.submit(Some(gid("x")), ask(spec.clone()), wait);
    let (one, two) = futures_util::future::join(one, two).await;
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(usize::from(one.is_known) + usize::from(two.is_known), 1);
    assert_eq!((phase(&one.view), phase(&two.view)), (Phase::Committed, Phase::Committed));
    let conflict = transfer(Mode::Saga, "a", "b", 2);
    assert!(matches!(
        other.submit(Some(gid("x")), ask(conflict), None).await,
        Err(Error::Conflict(_))
    ));
    assert_eq!(world.bank.balance("b"), BALANCE + 1);
}

#[tokio::test(start_paused = true)]
async fn listings_have_what_other_nodes_drive() {
    let world = shared();
    let (_second, other) = world.beside("two");
    for name in ["a", "b", "c"] {
        let handle = if name == "b" { &other } else { &world.handle };
        handle.open(Some(gid(name)), ask(patient(Mode::Tcc))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for handle in [&world.handle, &other] {
        let page = handle.list(&Filter::default()).await.unwrap();
        let names: Vec<&str> = page.transactions.iter().map(|view| view.gid.as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
    }
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_are_killed_and_asked_in_turn_end_everything_once() {
    let mut world = shared();
    world.bank.behave(Manners { lost: 100, silent: 100, slow_ms: 3_000, ..Manners::default() });
    let (mut dice, mut gids) = (Dice::new(), BTreeSet::new());
    let (mut second, mut other) = world.beside("two");
    for round in 0..30 {
        let mode = super::modes::MODES[round % 5];
        for (at, handle) in [&world.handle, &other].into_iter().enumerate() {
            let gid = gid(&format!("{round}-{at}"));
            let retry =
                Retry { base_ms: 100, max_ms: 5_000, attempts: None, then: Then::Attention };
            let spec = Spec { retry: Some(retry), ..transfer(mode, "a", "b", 1) };
            if handle.submit(Some(gid.clone()), ask(spec), None).await.is_ok() {
                gids.insert(gid);
            }
        }
        tokio::time::sleep(Duration::from_millis(dice.roll() % 2_000)).await;
        // Anybody may ask any node for anything.
        let any = gids.iter().nth(usize::try_from(dice.roll()).unwrap_or(0) % gids.len()).unwrap();
        let handle = if dice.roll() % 2 == 0 { &world.handle } else { &other };
        match dice.roll() % 3 {
            0 => drop(handle.abort(any, "somebody says so".to_owned(), None).await),
            1 => drop(handle.retry(any).await),
            _ => drop(handle.commit(any, None).await),
        }
        if round % 3 == 0 {
            world.kill();
            world.again();
        } else if round % 3 == 1 {
            drop(second);
            (second, other) = world.beside("two");
        }
    }
    drop(second);
    world.bank.behave(Manners::default());
    for gid in &gids {
        let view = ended(&world.handle, gid).await;
        for step in &view.spec.steps {
            let part = world.bank.part(gid.as_str(), &step.id);
            let is_done = part == Part::Done;
            assert_eq!(is_done, phase(&view) == Phase::Committed, "{part:?} {view:?}");
        }
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.bank.audit();
}
