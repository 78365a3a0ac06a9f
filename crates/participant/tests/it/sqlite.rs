//! What the barrier has beside its call: transactions of the service's own, parts, tables of another name, answers that are too long.

use flotilla_participant::{
    ANSWER_MAX, Answer, Branch, Error, Mode, Op, Skip, Verdict, sqlite::Barrier,
};
use rusqlite::Connection;

fn action(gid: &str) -> Branch {
    Branch::new(gid, "01", Mode::Saga, Op::Action).unwrap()
}

fn connection(barrier: &Barrier) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    barrier.create_table(&connection).unwrap();
    connection
}

#[test]
fn a_transaction_of_the_service_decides_for_itself() {
    let barrier = Barrier::new();
    let mut connection = connection(&barrier);
    let branch = action("a");
    let tx = connection.transaction().unwrap();
    assert_eq!(barrier.check(&tx, &branch).unwrap(), Verdict::Run);
    barrier.remember(&tx, &branch, &Answer::json("[1]")).unwrap();
    tx.commit().unwrap();
    let tx = connection.transaction().unwrap();
    let verdict = barrier.check(&tx, &branch).unwrap();
    assert_eq!(verdict, Verdict::Skip(Skip::Duplicate(Some(b"[1]".to_vec()))));
    let undo = branch.with_op(Op::Compensate).unwrap();
    assert_eq!(barrier.check(&tx, &undo).unwrap(), Verdict::Run);
    let other = Branch::new("b", "01", Mode::Saga, Op::Compensate).unwrap();
    assert_eq!(barrier.check(&tx, &other).unwrap(), Verdict::Skip(Skip::NothingToUndo));
    let late = barrier.check(&tx, &action("b")).unwrap();
    assert_eq!(late, Verdict::Skip(Skip::TooLate));
    // What is rolled back was never there.
    tx.rollback().unwrap();
    let tx = connection.transaction().unwrap();
    assert_eq!(barrier.check(&tx, &action("b")).unwrap(), Verdict::Run);
}

#[test]
fn parts_of_a_request_have_barriers_of_their_own() {
    let first = Barrier::new();
    let second = Barrier::new().part("stock").unwrap();
    let mut connection = connection(&first);
    for (barrier, body) in [(&first, "[1]"), (&second, "[2]"), (&first, "[1]"), (&second, "[2]")] {
        let answer = barrier.call(&mut connection, &action("a"), |_| Ok(Answer::json(body)));
        assert_eq!(answer.unwrap(), Answer::json(body));
    }
    for name in ["", "a b", "x'y", &"x".repeat(33)] {
        assert!(matches!(Barrier::new().part(name), Err(Error::Name { .. })), "{name}");
    }
}

#[test]
fn a_table_may_have_another_name_and_be_one_of_dtm() {
    let barrier = Barrier::new().in_table("main.my_barrier").unwrap();
    let mut own = connection(&barrier);
    assert_eq!(
        barrier.call(&mut own, &action("a"), |_| Ok(Answer::done())).unwrap(),
        Answer::done()
    );
    for name in ["", "a.b.c", "a-b", "1a", "a;b", "a.", &"x".repeat(64)] {
        assert!(matches!(Barrier::new().in_table(name), Err(Error::Name { .. })), "{name}");
    }
    let mut others = Connection::open_in_memory().unwrap();
    others
        .execute_batch(
            "CREATE TABLE barrier (id INTEGER PRIMARY KEY, trans_type TEXT, gid TEXT, branch_id TEXT, op TEXT, barrier_id TEXT, reason TEXT, \
             create_time TEXT, update_time TEXT, UNIQUE (gid, branch_id, op, barrier_id))",
        )
        .unwrap();
    let barrier = Barrier::new().without_answers();
    for expected in [Answer::json("[1]"), Answer::done()] {
        let answer = barrier.call(&mut others, &action("a"), |_| Ok(Answer::json("[1]")));
        assert_eq!(answer.unwrap(), expected);
    }
}

#[test]
fn an_answer_that_is_too_long_to_be_kept_is_an_error_and_nothing_is_done() {
    let barrier = Barrier::new();
    let mut connection = connection(&barrier);
    let text = |size| format!("\"{}\"", "x".repeat(size - 2));
    let long = barrier
        .call(&mut connection, &action("a"), |_| Ok(Answer::json(text(ANSWER_MAX + 1))))
        .expect_err("it is too long");
    assert!(matches!(long, Error::AnswerSize { .. }), "{long}");
    for _ in 0..2 {
        let answer =
            barrier.call(&mut connection, &action("a"), |_| Ok(Answer::json(text(ANSWER_MAX))));
        assert_eq!(answer.unwrap().body().len(), ANSWER_MAX);
    }
}
