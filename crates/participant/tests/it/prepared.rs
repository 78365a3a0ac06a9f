//! Branches of a two-phase commit on a real PostgreSQL.

use crate::{
    bank::{Bank, Place, client, postgres_place, run},
    servers::{Kind, own, shared},
};
use flotilla_participant::{
    Answer, BoxError, Branch, Decision, Error, Mode, Op, Outcome,
    postgres::{Barrier, Prepared, Swept},
};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_postgres::{Client, Transaction};

const PREPARED: &str = "SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()";

fn with(test: impl AsyncFnOnce(&Place, &mut Client)) {
    let Some(server) = shared(Kind::Postgres) else { return };
    run(async {
        let place = postgres_place(server).await;
        let mut client = open(&place).await;
        Barrier::new().create_table(&client).await.unwrap();
        client
            .batch_execute(
                "CREATE TABLE account (balance integer); INSERT INTO account VALUES (10)",
            )
            .await
            .unwrap();
        test(&place, &mut client).await;
    });
}

async fn open(place: &Place) -> Client {
    match place.open().await {
        Bank::Postgres(client) => client,
        Bank::Sqlite(_) | Bank::MariaDb(_) => unreachable!("it is a place of PostgreSQL"),
    }
}

fn prepared() -> Prepared {
    Prepared::new("shop", Barrier::new()).unwrap()
}

/// The names of prepared transactions are those of the whole server, so each test has ids of its own.
fn branch(gid: &str, op: Op) -> Branch {
    Branch::new(gid, "from", Mode::TwoPhase, op).unwrap()
}

async fn withdraw(tx: &Transaction<'_>) -> Result<Answer, BoxError> {
    tx.execute("UPDATE account SET balance = balance - 3", &[]).await?;
    Ok(Answer::done())
}

async fn call(client: &mut Client, branch: &Branch) -> Answer {
    prepared().call(client, branch, withdraw).await.unwrap()
}

async fn number(client: &Client, sql: &str) -> i64 {
    let row = client.query_one(sql, &[]).await.unwrap();
    row.try_get(0).unwrap_or_else(|_| i64::from(row.get::<_, i32>(0)))
}

async fn balance(client: &Client) -> i64 {
    number(client, "SELECT balance FROM account").await
}

#[test]
fn what_is_prepared_waits_for_the_commit_and_each_call_may_come_again() {
    with(async |place, client| {
        for _ in 0..2 {
            assert_eq!(call(client, &branch("again", Op::Prepare)).await, Answer::done());
            assert_eq!((balance(client).await, number(client, PREPARED).await), (10, 1));
        }
        // Another instance, as after a crash of the one that prepared.
        let mut other = open(place).await;
        for _ in 0..2 {
            assert_eq!(call(&mut other, &branch("again", Op::Commit)).await, Answer::done());
            assert_eq!((balance(client).await, number(client, PREPARED).await), (7, 0));
        }
        assert_eq!(call(client, &branch("again", Op::Prepare)).await, Answer::done());
        let rollback = call(client, &branch("again", Op::Rollback)).await;
        assert_eq!(rollback, Answer::heuristic(Op::Rollback, Outcome::Committed));
        assert_eq!((balance(client).await, number(client, PREPARED).await), (7, 0));
    });
}

#[test]
fn what_is_rolled_back_stays_so_and_a_late_vote_is_a_no() {
    with(async |_, client| {
        for is_prepared in [true, false] {
            let gid = format!("gid-{is_prepared}");
            if is_prepared {
                assert_eq!(call(client, &branch(&gid, Op::Prepare)).await, Answer::done());
            }
            for _ in 0..2 {
                assert_eq!(call(client, &branch(&gid, Op::Rollback)).await, Answer::done());
            }
            assert_eq!(call(client, &branch(&gid, Op::Prepare)).await.status().as_u16(), 409);
            assert_eq!((balance(client).await, number(client, PREPARED).await), (10, 0));
            let commit = call(client, &branch(&gid, Op::Commit)).await;
            assert_eq!(commit, Answer::heuristic(Op::Commit, Outcome::Aborted));
        }
    });
}

#[test]
fn each_protocol_has_its_phase_that_works() {
    with(async |_, client| {
        for (mode, ops, undone) in [
            (Mode::Xa, &[Op::Action, Op::Commit][..], 7),
            (Mode::ThreePhase, &[Op::CanCommit, Op::PreCommit, Op::Commit], 4),
            (Mode::ThreePhaseClassic, &[Op::CanCommit, Op::PreCommit, Op::Commit], 1),
            (Mode::TwoPhase, &[Op::CommitOnePhase, Op::CommitOnePhase], -2),
        ] {
            for op in ops {
                let branch = Branch::new(mode.as_str(), "01", mode, *op).unwrap();
                assert_eq!(call(client, &branch).await, Answer::done(), "{mode} {op}");
            }
            assert_eq!(balance(client).await, undone, "{mode}");
        }
        let saga = Branch::new("a", "01", Mode::Saga, Op::Action).unwrap();
        let error = prepared().call(client, &saga, withdraw).await.expect_err("it is no vote");
        assert!(matches!(error, Error::Op { .. }), "{error}");
    });
}

#[test]
fn who_wrote_nothing_needs_no_second_phase() {
    with(async |_, client| {
        let vote = async |client: &mut Client, gid, sql: &'static str| {
            let work = async |tx: &Transaction<'_>| {
                tx.query(sql, &[]).await?;
                Ok(Answer::done())
            };
            prepared().call(client, &branch(gid, Op::Prepare), work).await.unwrap()
        };
        let read = vote(client, "read", "SELECT * FROM account").await;
        assert_eq!((read, number(client, PREPARED).await), (Answer::read_only(), 0));
        // A locked row is a promise, too.
        let locked = vote(client, "read-2", "SELECT * FROM account FOR UPDATE").await;
        assert_eq!((locked, number(client, PREPARED).await), (Answer::done(), 1));
    });
}

#[test]
fn a_no_or_a_failure_leaves_nothing_and_may_become_a_yes() {
    with(async |_, client| {
        let branch = branch("no", Op::Prepare);
        let refused = prepared()
            .call(client, &branch, async |tx| {
                withdraw(tx).await?;
                Ok(Answer::refused("too little"))
            })
            .await;
        assert_eq!(refused.unwrap(), Answer::refused("too little"));
        let failed = prepared()
            .call(client, &branch, async |tx| {
                withdraw(tx).await?;
                Err("no power".into())
            })
            .await;
        assert!(matches!(failed, Err(Error::Work(_))));
        assert_eq!((balance(client).await, number(client, PREPARED).await), (10, 0));
        assert_eq!(call(client, &branch).await, Answer::done());
        assert_eq!(number(client, PREPARED).await, 1);
    });
}

#[test]
fn calls_during_a_vote_say_not_yet() {
    with(async |place, client| {
        let mut voter = open(place).await;
        let (is_at_work, at_work) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move {
            let work = async |tx: &Transaction<'_>| {
                let done = withdraw(tx).await;
                is_at_work.send(()).unwrap();
                may_go_on.await?;
                done
            };
            prepared().call(&mut voter, &branch("busy", Op::Prepare), work).await.unwrap()
        });
        at_work.await.unwrap();
        for op in [Op::Prepare, Op::Rollback] {
            assert_eq!(call(client, &branch("busy", op)).await, Answer::working(), "{op}");
        }
        go_on.send(()).unwrap();
        assert_eq!(tasks.join_next().await.unwrap().unwrap(), Answer::done());
        assert_eq!(call(client, &branch("busy", Op::Rollback)).await, Answer::done());
        assert_eq!((balance(client).await, number(client, PREPARED).await), (10, 0));
    });
}

#[test]
fn a_search_ends_what_was_decided_and_leaves_the_rest() {
    with(async |_, client| {
        client.batch_execute("TRUNCATE account").await.unwrap();
        let insert = async |tx: &Transaction<'_>| {
            tx.execute("INSERT INTO account VALUES (1)", &[]).await?;
            Ok(Answer::done())
        };
        for gid in ["commit:1", "abort@2", "undecided", "unknown"] {
            let answer = prepared().call(client, &branch(gid, Op::Prepare), insert).await;
            assert_eq!(answer.unwrap(), Answer::done());
        }
        let other = Prepared::new("shop2", Barrier::new()).unwrap();
        other.call(client, &branch("abort@3", Op::Prepare), insert).await.unwrap();
        client
            .batch_execute("BEGIN; INSERT INTO account VALUES (1); PREPARE TRANSACTION 'not ours'")
            .await
            .unwrap();
        let decide = |gid: &str| match gid {
            "commit:1" => Ok(Decision::Commit),
            "abort@2" => Ok(Decision::Abort),
            "undecided" => Ok(Decision::Undecided),
            _ => Err(BoxError::from("nobody answers")),
        };
        let young = prepared().sweep(client, &decide, Duration::from_secs(3600)).await.unwrap();
        assert_eq!(young, Swept::default());
        let name = |gid| prepared().name(gid, "from").unwrap();
        let mut expected = Swept {
            committed: vec![name("commit:1")],
            rolled_back: vec![name("abort@2")],
            left: vec![name("undecided")],
            unknown: vec![(name("unknown"), "nobody answers".into())],
        };
        for _ in 0..2 {
            assert_eq!(prepared().sweep(client, &decide, Duration::ZERO).await.unwrap(), expected);
            (expected.committed, expected.rolled_back) = (Vec::new(), Vec::new());
        }
        assert_eq!(expected.left, ["flotilla:shop:undecided:from"]);
        assert_eq!(number(client, "SELECT count(*) FROM account").await, 1);
        assert_eq!(number(client, PREPARED).await, 4);
        // The coordinator comes back and is told what it expects.
        for (gid, op) in
            [("commit:1", Op::Commit), ("abort@2", Op::Rollback), ("undecided", Op::Commit)]
        {
            assert_eq!(call(client, &branch(gid, op)).await, Answer::done(), "{gid}");
        }
        assert_eq!(call(client, &branch("abort@2", Op::Prepare)).await.status().as_u16(), 409);
    });
}

#[test]
fn names_that_do_not_fit_are_refused() {
    let name = prepared().name("order 7'; DROP", "a:b").unwrap();
    assert_eq!(name, "flotilla:shop:order%207%27%3B%20DROP:a%3Ab");
    assert!(matches!(prepared().name(&"x".repeat(128), &"y".repeat(80)), Err(Error::Name { .. })));
    for system in ["", "a:b", "a'b", &"x".repeat(33)] {
        let made = Prepared::new(system, Barrier::new());
        assert!(matches!(made, Err(Error::Name { .. })), "{system}");
    }
}

#[test]
fn a_server_that_keeps_no_prepared_transactions_is_named_as_the_cause() {
    let Some(server) = own(Kind::Postgres, "-c max_prepared_transactions=0") else { return };
    run(async {
        let mut client = client(&server, "postgres").await;
        Barrier::new().create_table(&client).await.unwrap();
        client.batch_execute("CREATE TABLE account (balance integer)").await.unwrap();
        let vote = prepared().call(&mut client, &branch("off", Op::Prepare), withdraw_row).await;
        assert!(matches!(vote, Err(Error::PreparedOff)), "{vote:?}");
    });
}

async fn withdraw_row(tx: &Transaction<'_>) -> Result<Answer, BoxError> {
    tx.execute("INSERT INTO account VALUES (1)", &[]).await?;
    Ok(Answer::done())
}
