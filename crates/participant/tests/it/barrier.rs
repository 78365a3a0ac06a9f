//! The barrier means the same on every database.

use crate::bank::{Bank, places, run};
use flotilla_participant::{Answer, Branch, Error, Mode, Op, Skip, Verdict, mysql};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestRunner};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

fn branch(gid: &str, mode: Mode, op: Op) -> Branch {
    Branch::new(gid, "01", mode, op).unwrap()
}

fn saga(gid: &str, op: Op) -> Branch {
    branch(gid, Mode::Saga, op)
}

/// Runs a test on each database.
fn each(test: impl AsyncFn(&mut Bank)) {
    run(async {
        for place in places().await {
            test(&mut place.open().await).await;
        }
    });
}

#[test]
fn a_repeated_call_works_once_and_gets_the_first_answer() {
    each(async |bank| {
        let ran = AtomicU32::new(0);
        for attempt in 0..3 {
            let answer = Answer::json(format!("{{\"attempt\":{attempt}}}"));
            let answer = bank.change(&saga("a", Op::Action), 5, Ok(answer), &ran).await.unwrap();
            assert_eq!(answer, Answer::json("{\"attempt\":0}"));
        }
        assert_eq!((bank.balance().await, ran.load(Relaxed)), (5, 1));
    });
}

#[test]
fn an_undo_without_its_action_does_nothing_and_holds_the_action_back() {
    each(async |bank| {
        for (gid, mode, forward, back) in [
            ("a", Mode::Saga, Op::Action, Op::Compensate),
            ("b", Mode::Tcc, Op::Try, Op::Cancel),
            ("c", Mode::Xa, Op::Action, Op::Rollback),
            ("d", Mode::TwoPhase, Op::Prepare, Op::Rollback),
            ("e", Mode::ThreePhase, Op::PreCommit, Op::Rollback),
            ("f", Mode::ThreePhaseClassic, Op::CanCommit, Op::Rollback),
        ] {
            let ran = AtomicU32::new(0);
            let (forward, back) = (branch(gid, mode, forward), branch(gid, mode, back));
            for _ in 0..2 {
                let undone = bank.change(&back, -5, Ok(Answer::done()), &ran).await.unwrap();
                assert_eq!(undone, Answer::done(), "{gid}");
                let late = bank.change(&forward, 5, Ok(Answer::done()), &ran).await.unwrap();
                let status = if forward.is_vote() { 409 } else { 200 };
                assert_eq!(late.status().as_u16(), status, "{gid}");
            }
            assert_eq!((bank.balance().await, ran.load(Relaxed)), (0, 0), "{gid}");
        }
    });
}

#[test]
fn a_vote_that_was_undone_is_not_given_again() {
    each(async |bank| {
        for (gid, mode, vote, undo) in [
            ("a", Mode::TwoPhase, Op::Prepare, Op::Rollback),
            ("b", Mode::Tcc, Op::Try, Op::Cancel),
            ("c", Mode::TwoPhase, Op::CommitOnePhase, Op::Rollback),
        ] {
            let ran = AtomicU32::new(0);
            let (vote, undo) = (branch(gid, mode, vote), branch(gid, mode, undo));
            for (call, by, status) in
                [(&vote, 5, 200), (&vote, 5, 200), (&undo, -5, 200), (&vote, 5, 409)]
            {
                let answer = bank.change(call, by, Ok(Answer::done()), &ran).await.unwrap();
                assert_eq!(answer.status().as_u16(), status, "{gid} {}", call.op);
            }
            assert_eq!((bank.balance().await, ran.load(Relaxed)), (0, 2), "{gid}");
        }
    });
}

#[test]
fn what_was_done_is_undone_once() {
    each(async |bank| {
        let ran = AtomicU32::new(0);
        for (op, by) in
            [(Op::Action, 5), (Op::Compensate, -5), (Op::Compensate, -5), (Op::Action, 5)]
        {
            let answer = bank.change(&saga("a", op), by, Ok(Answer::done()), &ran).await.unwrap();
            assert_eq!(answer, Answer::done());
        }
        assert_eq!((bank.balance().await, ran.load(Relaxed)), (0, 2));
    });
}

#[test]
fn what_was_refused_failed_or_is_not_done_leaves_nothing() {
    each(async |bank| {
        let ran = AtomicU32::new(0);
        let action = saga("a", Op::Action);
        let refused = bank.change(&action, 5, Ok(Answer::refused("sold out")), &ran).await.unwrap();
        assert_eq!((refused.status().as_u16(), refused.body()), (409, &b"sold out"[..]));
        let working = bank.change(&action, 5, Ok(Answer::working()), &ran).await.unwrap();
        assert_eq!(working.status().as_u16(), 425);
        let failed = bank.change(&action, 5, Err("no power"), &ran).await.expect_err("it failed");
        let answer = Answer::from(failed);
        let text = String::from_utf8_lossy(answer.body());
        assert_eq!((answer.status().as_u16(), text.contains("no power")), (500, true), "{text}");
        assert_eq!(bank.balance().await, 0);
        // So it may still be done, or undone with no effect.
        bank.change(&action, 5, Ok(Answer::done()), &ran).await.unwrap();
        assert_eq!((bank.balance().await, ran.load(Relaxed)), (5, 4));
    });
}

#[test]
fn a_message_is_sent_exactly_if_its_transaction_was_committed() {
    each(async |bank| {
        let query = |gid| branch(gid, Mode::Msg, Op::Msg);
        bank.send("sent").await.unwrap();
        for _ in 0..2 {
            assert_eq!(bank.is_sent(&query("sent")).await, Answer::done());
        }
        assert_eq!(bank.is_sent(&query("lost")).await.status().as_u16(), 409);
        assert!(matches!(bank.send("lost").await, Err(Error::GivenUp { .. })));
        assert_eq!(bank.is_sent(&query("lost")).await.status().as_u16(), 409);
        assert_eq!(bank.balance().await, 1);
        assert!(matches!(bank.send("a gid").await, Err(Error::Name { .. })));
    });
}

#[test]
fn ids_that_differ_only_in_case_are_different_transactions() {
    each(async |bank| {
        let ran = AtomicU32::new(0);
        for gid in ["order-a", "order-A", "order-ä", "order-a."] {
            bank.change(&saga(gid, Op::Action), 1, Ok(Answer::done()), &ran).await.unwrap();
        }
        assert_eq!((bank.balance().await, ran.load(Relaxed)), (4, 4));
    });
}

#[test]
fn old_rows_are_forgotten() {
    each(async |bank| {
        let ran = AtomicU32::new(0);
        bank.insist(&saga("a", Op::Compensate), 1, &ran).await;
        assert_eq!(bank.forget(Duration::from_secs(3600)).await, 0);
        let before = match bank {
            Bank::Sqlite(_) => "datetime('now', '-2 hours')",
            Bank::Postgres(_) => "now() - interval '2 hours'",
            Bank::MariaDb(_) => "CURRENT_TIMESTAMP - INTERVAL 2 HOUR",
        };
        bank.execute(&format!("UPDATE barrier SET create_time = {before} WHERE op = 'action'"))
            .await;
        assert_eq!(bank.forget(Duration::from_secs(3600)).await, 1);
    });
}

#[test]
fn a_table_that_is_not_there_is_an_error_that_names_it() {
    each(async |bank| {
        bank.execute("DROP TABLE barrier").await;
        let ran = AtomicU32::new(0);
        let error = bank.change(&saga("a", Op::Action), 1, Ok(Answer::done()), &ran).await;
        let text = error.expect_err("there is no table").chain();
        assert!(text.contains("`barrier`") && text.contains("create_table"), "{text}");
        assert_eq!((bank.balance().await, ran.load(Relaxed)), (0, 0));
    });
}

/// What the calls of one branch may do to the account, in any order and number: the action works at most once, its undo at most once
/// and only after it, and in the end the account has the action's effect exactly if the action was called and its undo was not.
async fn check_calls(bank: &mut Bank, gid: &str, calls: &[Op]) {
    let before = bank.balance().await;
    let (actions, undos) = (AtomicU32::new(0), AtomicU32::new(0));
    for op in calls {
        let is_action = *op == Op::Action;
        let (by, ran) = if is_action { (7, &actions) } else { (-7, &undos) };
        bank.insist(&saga(gid, *op), by, ran).await;
        assert!(undos.load(Relaxed) <= actions.load(Relaxed), "{calls:?}");
    }
    let first = calls.first() == Some(&Op::Action);
    let is_undone = calls.contains(&Op::Compensate);
    assert_eq!(actions.load(Relaxed), u32::from(first), "{calls:?}");
    assert_eq!(undos.load(Relaxed), u32::from(first && is_undone), "{calls:?}");
    let kept = calls.contains(&Op::Action) && !is_undone;
    assert_eq!(bank.balance().await - before, if kept { 7 } else { 0 }, "{calls:?}");
}

#[test]
fn calls_in_any_order_and_number_leave_what_the_protocol_means() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for place in runtime.block_on(places()) {
        let mut bank = runtime.block_on(place.open());
        let cases = if matches!(bank, Bank::Sqlite(_)) { 128 } else { 24 };
        let mut runner = TestRunner::new(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(cases)
        });
        let mut count = 0;
        let calls = vec(select(&[Op::Action, Op::Compensate][..]), 1..8);
        let bank = std::cell::RefCell::new(&mut bank);
        let count = std::cell::RefCell::new(&mut count);
        let end = runner.run(&calls, |calls| {
            **count.borrow_mut() += 1;
            let gid = format!("gid-{}", count.borrow());
            runtime.block_on(check_calls(&mut bank.borrow_mut(), &gid, &calls));
            Ok(())
        });
        end.unwrap();
    }
}

#[test]
fn calls_at_the_same_time_leave_what_the_protocol_means() {
    const CALLERS: usize = 6;
    run(async {
        for place in places().await {
            let mut bank = place.open().await;
            for (round, undos) in [0, 1, 3, 6, 2, 4].into_iter().enumerate() {
                let before = bank.balance().await;
                let ran = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
                let mut callers = tokio::task::JoinSet::new();
                for caller in 0..CALLERS {
                    let is_undo = caller < undos;
                    let branch = saga(
                        &format!("round-{round}"),
                        if is_undo { Op::Compensate } else { Op::Action },
                    );
                    let (ran, place) = (Arc::clone(&ran), place.clone());
                    callers.spawn(async move {
                        let by = if is_undo { -7 } else { 7 };
                        place.open().await.insist(&branch, by, &ran[usize::from(is_undo)]).await
                    });
                }
                for answer in callers.join_all().await {
                    assert_eq!(answer, Answer::done());
                }
                let expected = if undos == 0 { 7 } else { 0 };
                assert_eq!(bank.balance().await - before, expected, "round {round}");
            }
        }
    });
}

#[test]
fn a_transaction_that_has_read_before_sees_what_came_meanwhile() {
    use mysql_async::prelude::Queryable as _;
    run(async {
        for place in places().await {
            let (mut reader, mut other) = (place.open().await, place.open().await);
            // By default, MySQL goes on to show a transaction what was there when it first read.
            let Bank::MariaDb(reader) = &mut reader else { continue };
            let mut tx = reader.start_transaction(mysql_async::TxOpts::default()).await.unwrap();
            tx.query_drop("SELECT * FROM barrier").await.unwrap();
            other.insist(&saga("a", Op::Action), 7, &AtomicU32::new(0)).await;
            let verdict =
                mysql::Barrier::new().check(&mut tx, &saga("a", Op::Action)).await.unwrap();
            assert_eq!(verdict, Verdict::Skip(Skip::Duplicate(None)));
            tx.rollback().await.unwrap();
        }
    });
}
