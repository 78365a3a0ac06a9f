//! Every protocol to both of its ends.

use crate::{testing::*, *};
use logic::tx::{Answer, Heuristic, Mode, Op, Phase, Resolution, Retry, Then};
use serde_json::json;
use std::time::Duration;

pub(super) const MODES: [Mode; 5] =
    [Mode::Saga, Mode::Tcc, Mode::TwoPhase, Mode::ThreePhase, Mode::ThreePhaseClassic];

#[tokio::test(start_paused = true)]
async fn every_protocol_commits_what_nobody_refuses() {
    for mode in MODES {
        let world = World::start();
        let view = world.run(transfer(mode, "a", "b", 30)).await;
        assert_eq!(phase(&view), Phase::Committed, "{mode}: {view:?}");
        assert_eq!((world.bank.balance("a"), world.bank.balance("b")), (70, 130), "{mode}");
        world.bank.audit();
        assert_eq!(world.keys("flotilla/shop/tx/live/").await, Vec::<String>::new());
        let again = world.handle.get(&view.gid).await.unwrap();
        assert_eq!(again.state, view.state, "{mode}: what was told is what is kept");
        assert_eq!(again.notes, view.notes);
        assert_eq!(world.handle.counts(), Counts { committed: 1, ..Counts::default() });
        assert_eq!(world.handle.decision(&view.gid).await.unwrap(), Decision::Commit);
    }
}

#[tokio::test(start_paused = true)]
async fn every_protocol_undoes_what_one_refuses() {
    for mode in MODES {
        let world = World::start();
        let mut spec = transfer(mode, "b", "a", 30);
        spec.steps.swap(0, 1);
        spec.concurrent = false;
        spec.steps[1].body = Some(json!({ "account": "b", "amount": BALANCE + 1 }));
        if mode == Mode::Saga {
            spec.steps[1].after = vec!["to".to_owned()];
        }
        let view = world.run(spec).await;
        assert_eq!(phase(&view), Phase::Aborted, "{mode}: {view:?}");
        let reason = view.state.reason.clone().unwrap();
        assert!(reason.contains("there is not enough money"), "{mode}: {reason}");
        world.bank.audit();
        assert_eq!((world.bank.balance("a"), world.bank.balance("b")), (BALANCE, BALANCE));
        assert_eq!(world.handle.decision(&view.gid).await.unwrap(), Decision::Abort);
        assert_eq!(world.handle.counts().aborted, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_delivered_when_its_sender_has_committed_and_not_when_it_has_not() {
    for (answer, end, calls) in [
        (Answer::Done, Phase::Committed, vec!["00:msg", "to:action"]),
        (Answer::Refused("no".to_owned()), Phase::Aborted, vec!["00:msg"]),
    ] {
        let world = World::start();
        let steps = vec![branch(Mode::Message, "to", "in", "a", 0)];
        let query = Call { method: "GET".to_owned(), ..call("bank", "/query") };
        let timeout_ms = Some(35_000);
        let spec = Spec { steps, query: Some(query), timeout_ms, ..blank(Mode::Message) };
        world.bank.script("/query", [answer]);
        let taken = world.handle.open(Some(gid("m")), ask(spec)).await.unwrap();
        assert_eq!(phase(&taken.view), Phase::Open);
        assert_eq!(phase(&world.ended(&gid("m")).await), end);
        assert_eq!(world.bank.calls(), calls);
        assert!(world.bank.requests()[0].body.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_the_first_phase_enlists_commits_and_aborts() {
    let world = World::start();
    let handle = &world.handle;
    for (name, end) in [("good", Phase::Committed), ("bad", Phase::Aborted)] {
        let gid = gid(name);
        handle.open(Some(gid.clone()), ask(blank(Mode::Tcc))).await.unwrap();
        for (id, way) in [("from", "out"), ("to", "in")] {
            let step = StepSpec { tried_by_client: true, ..branch(Mode::Tcc, id, way, id, 5) };
            handle.enlist(&gid, vec![step.clone()]).await.unwrap();
            let again = handle.enlist(&gid, vec![step.clone()]).await.unwrap();
            assert!(again.spec.steps.contains(&step));
            let other = StepSpec { body: None, ..step };
            assert!(matches!(handle.enlist(&gid, vec![other]).await, Err(Error::Refused { .. })));
            let request = CallRequest {
                gid: gid.clone(),
                mode: Mode::Tcc,
                dialect: Dialect::Native,
                branch: id.to_owned(),
                op: Op::Try,
                attempt: 1,
                until_ms: None,
                target: call("bank", &format!("/{way}")).target,
                method: "POST".to_owned(),
                headers: [].into(),
                body: json!({ "account": id, "amount": 5 }).to_string().into(),
                traceparent: None,
                timeout: Duration::from_secs(1),
            };
            assert_eq!(world.bank.call(request).await.answer, Answer::Done);
        }
        let opened = handle.open(Some(gid.clone()), ask(blank(Mode::Tcc))).await.unwrap();
        assert!(opened.is_known, "what was added later is no other transaction");
        let wait = Some(Duration::from_secs(60));
        let view = if end == Phase::Committed {
            handle.commit(&gid, wait).await.unwrap()
        } else {
            handle.abort(&gid, "the client says so".to_owned(), wait).await.unwrap()
        };
        assert_eq!(phase(&view), end);
        world.bank.audit();
        // Again is no error, and the other way is one.
        if end == Phase::Committed {
            assert_eq!(phase(&handle.commit(&gid, None).await.unwrap()), end);
            assert!(matches!(
                handle.abort(&gid, String::new(), None).await,
                Err(Error::Refused { .. })
            ));
        } else {
            assert_eq!(phase(&handle.abort(&gid, String::new(), None).await.unwrap()), end);
            assert!(matches!(handle.commit(&gid, None).await, Err(Error::Refused { .. })));
        }
        assert!(matches!(handle.enlist(&gid, Vec::new()).await, Err(Error::Refused { .. })));
        let open = handle.open(Some(gid.clone()), ask(blank(Mode::Tcc))).await;
        assert!(matches!(open, Err(Error::Refused { .. })));
    }
    assert_eq!((world.bank.balance("from"), world.bank.balance("to")), (BALANCE - 5, BALANCE + 5));
}

#[tokio::test(start_paused = true)]
async fn steps_use_the_input_and_what_earlier_steps_have_answered() {
    let world = World::start();
    let mut spec = transfer(Mode::Saga, "a", "b", 1);
    spec.input = json!({ "id": "a/b", "amount": 3 });
    spec.headers = [("X-For".to_owned(), "order {{input.id}}".to_owned())].into();
    spec.steps[0].body = Some(json!({ "account": "a", "amount": "{{input.amount}}" }));
    spec.steps[1].after = vec!["from".to_owned()];
    spec.steps[1].calls.insert(Op::Action, call("bank", "/in/{{input.id}}"));
    spec.steps[1].body =
        Some(json!({ "account": "b", "amount": 3, "receipt": "{{steps.from.body.receipt}}" }));
    let view = world.run(spec).await;
    assert_eq!(phase(&view), Phase::Committed, "{view:?}");
    assert_eq!(view.results, [json!({ "receipt": 7 }), json!(null)]);
    let calls = world.bank.requests();
    assert_eq!(calls[1].target, call("bank", "/in/a%2Fb").target);
    assert_eq!(calls[1].headers["X-For"], "order a/b");
    let body: serde_json::Value = serde_json::from_slice(&calls[1].body).unwrap();
    assert_eq!(body, json!({ "account": "b", "amount": 3, "receipt": 7 }));
    let trace = |at: usize| calls[at].traceparent.clone().unwrap();
    assert_eq!(trace(0).as_bytes()[..35], trace(1).as_bytes()[..35], "one trace");
    assert_ne!(trace(0), trace(1), "two spans");
}

#[tokio::test(start_paused = true)]
async fn a_template_that_names_what_is_not_there_refuses_its_step() {
    let world = World::start();
    let mut spec = transfer(Mode::Saga, "a", "b", 1);
    spec.steps[1].after = vec!["from".to_owned()];
    spec.steps[1].body = Some(json!("{{steps.from.body.missing}}"));
    let view = world.run(spec).await;
    assert_eq!(phase(&view), Phase::Aborted);
    assert!(view.state.reason.unwrap().contains("steps.from.body.missing"));
    world.bank.audit();
}

#[tokio::test(start_paused = true)]
async fn a_definition_of_the_file_is_used_by_its_name() {
    let world = World::start();
    let using = |name: &str| Ask::Use {
        name: name.to_owned(),
        input: json!({ "from": "a", "to": "b", "amount": 9 }),
        labels: [("order".to_owned(), "7".to_owned())].into(),
        traceparent: None,
        caller: Some("web".to_owned()),
    };
    let wait = Some(Duration::from_secs(60));
    let taken = world.handle.submit(None, using("transfer"), wait).await.unwrap();
    assert_eq!(phase(&taken.view), Phase::Committed);
    assert_eq!(taken.view.spec.name.as_deref(), Some("transfer"));
    assert_eq!(world.bank.balance("b"), BALANCE + 9);
    assert_eq!(world.handle.definitions(), ["transfer"]);
    let missing = world.handle.submit(None, using("transfr"), None).await.unwrap_err();
    assert_eq!(missing.to_string(), "no transaction `transfr` is defined; there is `transfer`");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_asks_for_an_operator_who_ends_it() {
    let world = World::start();
    let retry = Retry { base_ms: 10, max_ms: 100, attempts: Some(2), then: Then::Attention };
    let spec = Spec { retry: Some(retry), ..transfer(Mode::TwoPhase, "a", "b", 1) };
    world.bank.script("/in", [Answer::Done]);
    world.bank.script("/in", (0..1_000).map(|_| Answer::Failed("broken".to_owned())));
    let gid = world.handle.submit(None, ask(spec), None).await.unwrap().view.gid;
    until("attention", async || {
        let view = world.handle.get(&gid).await.unwrap();
        view.state.attention.is_some_and(|text| text.contains("broken"))
    })
    .await;
    assert_eq!(world.handle.counts().attention, 1);
    assert!(matches!(
        world.handle.abort(&gid, String::new(), None).await,
        Err(Error::Refused { .. })
    ));
    let resolution = Resolution::Branch(1);
    world.handle.resolve(&gid, resolution, "ann".to_owned()).await.unwrap();
    let view = world.ended(&gid).await;
    assert_eq!(phase(&view), Phase::Committed, "{view:?}");
    assert!(view.notes.iter().any(|note| note.text == "resolved by ann"));
    assert_eq!(world.handle.counts().attention, 0);
    assert_eq!(world.bank.balance("a"), BALANCE - 1);
}

#[tokio::test(start_paused = true)]
async fn a_participant_that_decided_alone_makes_it_mixed() {
    let world = World::start();
    world.bank.script("/in", [Answer::Done, Answer::Heuristic(Heuristic::Aborted)]);
    let view = world.run(transfer(Mode::TwoPhase, "a", "b", 1)).await;
    assert_eq!(phase(&view), Phase::Mixed, "{view:?}");
    assert_eq!(world.handle.counts().mixed, 1);
    assert_eq!(world.handle.decision(&view.gid).await.unwrap(), Decision::Commit);
}

#[tokio::test(start_paused = true)]
async fn who_was_away_is_called_as_soon_as_it_is_there() {
    let world = World::start();
    world.bank.close("bank", true);
    let retry = Retry { base_ms: 3_600_000, max_ms: 3_600_000, attempts: None, then: Then::Abort };
    let spec = Spec { retry: Some(retry), ..transfer(Mode::Saga, "a", "b", 1) };
    let start = tokio::time::Instant::now();
    let gid = world.handle.submit(None, ask(spec), None).await.unwrap().view.gid;
    until("a call", async || world.bank.calls().len() == 2).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.bank.calls().len(), 2, "nobody calls who is not there");
    world.bank.close("bank", false);
    assert_eq!(phase(&world.ended(&gid).await), Phase::Committed);
    assert!(start.elapsed() < Duration::from_secs(600), "nobody waits for an hour");
}

#[tokio::test(start_paused = true)]
async fn what_its_client_leaves_open_is_aborted() {
    let world = World::start();
    let gid = world.handle.open(None, ask(blank(Mode::Tcc))).await.unwrap().view.gid;
    let step = StepSpec { tried_by_client: true, ..branch(Mode::Tcc, "x", "in", "a", 1) };
    world.handle.enlist(&gid, vec![step]).await.unwrap();
    let view = world.ended(&gid).await;
    assert_eq!(phase(&view), Phase::Aborted);
    assert_eq!(view.state.reason.as_deref(), Some("Timeout after 35 seconds"));
    assert_eq!(world.bank.calls(), ["x:cancel"]);
}
