//! What is refused because it is too much, and what is kept small.

use crate::{testing::*, *};
use logic::tx::{Answer, Mode, Op, Phase};
use serde_json::json;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_long_is_refused() {
    let world = World::start();
    let text = "x".repeat(RECORD_LEN_MAX);
    let spec = Spec { input: json!(text), ..transfer(Mode::Saga, "a", "b", 1) };
    let error = world.handle.submit(None, ask(spec), None).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: RECORD_LEN_MAX, .. }), "{error:?}");
    let gid = world.handle.open(None, ask(patient(Mode::Tcc))).await.unwrap().view.gid;
    let step = StepSpec { body: Some(json!(text)), ..branch(Mode::Tcc, "x", "in", "a", 1) };
    let error = world.handle.enlist(&gid, vec![step]).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error:?}");
    assert!(world.handle.get(&gid).await.unwrap().spec.steps.is_empty(), "all or none");
    let steps =
        (0..=logic::tx::BRANCHES_MAX).map(|at| branch(Mode::Tcc, &at.to_string(), "in", "a", 1));
    let error = world.handle.enlist(&gid, steps.collect()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    assert!(world.handle.get(&gid).await.unwrap().spec.steps.is_empty(), "all or none");
}

#[tokio::test(start_paused = true)]
async fn long_texts_of_participants_are_cut_and_many_failures_leave_few_notes() {
    let world = World::start();
    let answers = (0..300).map(|at| Answer::Failed(format!("{at} {}", "ö".repeat(5_000))));
    world.bank.script("/out", answers);
    let gid = world
        .handle
        .submit(None, ask(transfer(Mode::Saga, "a", "b", 1)), None)
        .await
        .unwrap()
        .view
        .gid;
    let view = world.ended(&gid).await;
    assert_eq!(phase(&view), Phase::Committed);
    assert_eq!(view.notes.len(), NOTES_MAX);
    assert_eq!((view.notes[0].seq, view.notes[0].text.as_str()), (1, "begun"));
    assert!(view.notes.last().unwrap().seq > 300);
    assert!(view.notes.iter().all(|note| note.text.len() <= 200));
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_too_long_to_be_kept_refuse_their_step() {
    let world = World::start();
    let mut spec = blank(Mode::Saga);
    let count = 6;
    for at in 0..count {
        let body = json!({ "account": "a", "amount": 1 });
        let long =
            StepSpec { body: Some(body), ..branch(Mode::Saga, &at.to_string(), "long", "a", 1) };
        spec.steps.push(long);
    }
    let uses: Vec<String> = (0..count).map(|at| format!("{{{{steps.{at}.body}}}}")).collect();
    let after = (0..count).map(|at| at.to_string()).collect();
    let last =
        StepSpec { after, body: Some(json!(uses)), ..branch(Mode::Saga, "last", "in", "a", 1) };
    spec.steps.push(last);
    world.bank.answer_long("/long", RESULT_LEN_MAX);
    let view = world.run(spec).await;
    assert_eq!(phase(&view), Phase::Aborted);
    assert!(view.state.reason.unwrap().contains("its answer is too long"));
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_under_way_than_may() {
    let world = World::start();
    world.bank.behave(Manners { slow_ms: 5_000, ..Manners::default() });
    let services = 12;
    let mut gids = Vec::new();
    for number in 0..3_000 {
        let mut spec = transfer(Mode::Saga, "a", "b", 0);
        for step in &mut spec.steps {
            step.calls.insert(Op::Action, call(&format!("bank-{}", number % services), "/in"));
        }
        gids.push(world.handle.submit(None, ask(spec), None).await.unwrap().view.gid);
    }
    for gid in &gids {
        assert_eq!(phase(&world.ended(gid).await), Phase::Committed);
    }
    let busiest = world.bank.busiest();
    assert!(busiest <= CALLS_MAX + 8 && busiest > CALLS_MAX / 2, "{busiest}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_is_given_up() {
    let world = World::start();
    world.bank.hang("/in", 1);
    let start = tokio::time::Instant::now();
    let view = world.run(transfer(Mode::Saga, "a", "b", 1)).await;
    assert_eq!(phase(&view), Phase::Committed);
    assert!(start.elapsed() >= CALL_TIMEOUT && start.elapsed() < CALL_TIMEOUT * 3);
    assert!(view.notes.iter().any(|note| note.text.starts_with("failed: no answer within")));
    assert_eq!(world.bank.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_only_waits_is_found_as_it_was() {
    let world = World::start();
    let mut spec = blank(Mode::Tcc);
    (spec.input, spec.timeout_ms) = (json!({ "order": 7 }), Some(3_600_000));
    let gid = world.handle.open(None, ask(spec)).await.unwrap().view.gid;
    let step = StepSpec { tried_by_client: true, ..branch(Mode::Tcc, "x", "in", "a", 1) };
    let view = world.handle.enlist(&gid, vec![step]).await.unwrap();
    let mut changes = world.handle.changes(&gid).unwrap();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.handle.get(&gid).await.unwrap(), view, "as bytes it is the same");
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let ended = world.handle.get(&gid).await.unwrap();
    assert_eq!(phase(&ended), Phase::Aborted, "its time is over even if nobody looks");
    assert!(changes.has_changed().is_err() || *changes.borrow_and_update() > 0);
}
