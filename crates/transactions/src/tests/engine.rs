//! An engine that fails, breaks off, and comes back.

use crate::{testing::*, *};
use logic::tx::{Mode, Phase};
use ports::kv::{Kv, Life, Transaction, conformance::Failure};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_not_begun_and_its_client_is_told_at_once() {
    let world = World::start();
    // What is read at the start is read.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.kv.fail_next(Failure::Unavailable);
    let spec = transfer(Mode::Saga, "a", "b", 1);
    let error = world.handle.submit(Some(gid("x")), ask(spec.clone()), None).await.unwrap_err();
    assert!(matches!(error, Error::Kv(_)), "{error:?}");
    assert!(world.bank.calls().is_empty());
    let wait = Some(Duration::from_secs(60));
    let taken = world.handle.submit(Some(gid("x")), ask(spec), wait).await.unwrap();
    assert_eq!((taken.is_known, phase(&taken.view)), (false, Phase::Committed));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_outcome_nobody_knows_is_looked_up() {
    for failure in [Failure::UnknownButApplied, Failure::UnknownAndLost] {
        for at in 0..4 {
            let world = World::start();
            tokio::time::sleep(Duration::from_secs(1)).await;
            // The write that begins it, the decision, the end.
            let handle = world.handle.clone();
            let spec = transfer(Mode::TwoPhase, "a", "b", 1);
            world.bank.behave(Manners { slow_ms: 200, ..Manners::default() });
            let running = handle.submit(Some(gid("x")), ask(spec), Some(Duration::from_secs(600)));
            let failing = async {
                if at == 0 {
                    world.kv.fail_next(failure);
                    return;
                }
                until("calls", async || world.bank.calls().len() >= at).await;
                world.kv.fail_next(failure);
            };
            let (taken, ()) = futures_util::future::join(running, failing).await;
            let view = taken.unwrap().view;
            assert_eq!(phase(&view), Phase::Committed, "{failure:?} at {at}");
            world.bank.audit();
            assert!(world.keys("flotilla/shop/tx/live/").await.is_empty());
            assert_eq!(world.keys("flotilla/shop/tx/ended/").await.len(), 1);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_engine_is_away_nothing_is_decided_and_nothing_called() {
    let world = World::start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.bank.behave(Manners { slow_ms: 2_000, ..Manners::default() });
    let spec = Spec { timeout_ms: Some(5_000), ..transfer(Mode::TwoPhase, "a", "b", 1) };
    let gid = world.handle.submit(None, ask(spec), None).await.unwrap().view.gid;
    until("votes", async || world.bank.calls().len() == 2).await;
    world.kv.set_down(true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.bank.calls().len(), 2, "{:?}", world.bank.calls());
    assert_eq!(phase(&world.handle.get(&gid).await.unwrap()), Phase::Trying);
    assert_eq!(world.handle.decision(&gid).await.unwrap(), Decision::Undecided);
    let refused = world.handle.submit(None, ask(transfer(Mode::Saga, "a", "b", 1)), None).await;
    assert!(matches!(refused, Err(Error::Kv(_))));
    world.kv.set_down(false);
    assert_eq!(phase(&world.ended(&gid).await), Phase::Committed);
    world.bank.audit();
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_comes_late_is_waited_for() {
    let mut world = World::start();
    let gid = world.handle.open(None, ask(patient(Mode::Tcc))).await.unwrap().view.gid;
    world.kill();
    world.kv.set_down(true);
    world.again();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(matches!(world.handle.get(&gid).await, Err(Error::Kv(_))));
    world.kv.set_down(false);
    until("it is taken up", async || world.handle.counts().unfinished == 1).await;
    assert_eq!(
        phase(&world.handle.commit(&gid, Some(Duration::from_secs(60))).await.unwrap()),
        Phase::Committed
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_is_kept_and_never_driven() {
    let mut world = World::start();
    let key = "flotilla/shop/tx/live/strange";
    world
        .kv
        .commit(Transaction::put(key, "\u{7}what is this").and_put("x", "y", Life::Endless))
        .await
        .unwrap();
    world.kill();
    world.again();
    let spec = transfer(Mode::Saga, "a", "b", 1);
    let taken = world.run(spec.clone()).await;
    assert_eq!(phase(&taken), Phase::Committed);
    assert!(matches!(world.handle.get(&gid("strange")).await, Err(Error::Invalid(_))));
    let again = world.handle.submit(Some(gid("strange")), ask(spec), None).await;
    assert!(matches!(again, Err(Error::Invalid(_))), "{again:?}");
    assert_eq!(world.handle.decision(&gid("strange")).await.unwrap(), Decision::Undecided);
    assert_eq!(world.keys("flotilla/shop/tx/live/").await, [key]);
}

#[tokio::test(start_paused = true)]
async fn records_are_short_and_few() {
    let world = World::start();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = world.kv.status().await.unwrap().revision.0;
    let view = world.run(transfer(Mode::Saga, "a", "b", 1)).await;
    assert_eq!(phase(&view), Phase::Committed);
    assert_eq!(world.kv.status().await.unwrap().revision.0 - before, 2, "one write at each end");
    let key = &world.keys("flotilla/shop/tx/ended/").await[0];
    let record = world.kv.get(key.as_bytes()).await.unwrap().unwrap();
    assert!(
        record.value.len() <= 1_500,
        "{}: {}",
        record.value.len(),
        String::from_utf8_lossy(&record.value)
    );
}
