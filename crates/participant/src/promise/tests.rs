use super::*;

/// Plays a protocol. Words are operations (with `@deadline` where they carry one), `wake`, `commit!`, `abort!` and `undecided!` for
/// answers of the coordinator; `12: …` sets the clock. The result has for each: what to do, the answer's status, when to wake.
fn play(mode: Mode, script: &str) -> String {
    let mut promise = Promise::new(mode).unwrap();
    let (mut now, mut lines) = (0, Vec::new());
    for word in script.split_whitespace() {
        if let Some(time) = word.strip_suffix(':') {
            now = time.parse().unwrap();
            continue;
        }
        let (op, deadline) = word.split_once('@').unwrap_or((word, ""));
        let mut branch = Branch::new("a", "01", mode, mode.as_op(op)).unwrap();
        branch.deadline_ms = deadline.parse().ok();
        let event = match word {
            "wake" => Event::Wake,
            "commit!" => Event::Decided(Decision::Commit),
            "abort!" => Event::Decided(Decision::Abort),
            "restart!" => Event::Restarted,
            "undecided!" => Event::Decided(Decision::Undecided),
            _ => Event::Call(&branch),
        };
        let next = promise.on(event, now);
        // It survives a restart.
        promise = next.promise.to_string().parse().unwrap();
        assert_eq!(promise, next.promise);
        let answer = next.answer.map(|answer| {
            let headers = answer.headers();
            let outcome = headers.get("flotilla-outcome").and_then(|it| it.to_str().ok());
            format!(
                " {}{}",
                answer.status().as_u16(),
                outcome.map(|it| format!("({it})")).unwrap_or_default()
            )
        });
        let wake = next.wake_at_ms.map(|at| format!(" ->{at}"));
        lines.push(format!(
            "{:?}{}{}",
            next.act,
            answer.unwrap_or_default(),
            wake.unwrap_or_default()
        ));
    }
    lines.join(", ")
}

impl Mode {
    /// Words that are none give any operation of the mode.
    fn as_op(self, word: &str) -> Op {
        word.parse().unwrap_or(if self == Self::Tcc { Op::Cancel } else { Op::Rollback })
    }
}

#[test]
fn a_strict_participant_checks_works_and_finishes_when_it_is_told() {
    let ok = play(Mode::ThreePhase, "can_commit@50 10: pre_commit@90 20: commit commit");
    assert_eq!(ok, "Check 200 ->50, Work 200 ->90, Keep 200, Nothing 200");
    let no = play(Mode::ThreePhase, "can_commit@50 rollback rollback pre_commit can_commit");
    assert_eq!(no, "Check 200 ->50, Nothing 200, Nothing 200, Nothing 409, Nothing 409");
    let two = play(Mode::TwoPhase, "prepare@50 prepare rollback");
    assert_eq!(two, "Work 200 ->50, Nothing 200 ->50, Undo 200");
}

#[test]
fn a_strict_participant_forgets_what_holds_nothing_and_else_asks_until_there_is_an_answer() {
    let forgets = play(Mode::ThreePhase, "can_commit@50 49: wake 50: wake pre_commit@90");
    assert_eq!(forgets, "Check 200 ->50, Nothing ->50, Nothing, Work 200 ->90");
    let asks =
        play(Mode::ThreePhase, "pre_commit@90 90: wake undecided! 5090: wake commit! commit");
    assert_eq!(asks, "Work 200 ->90, Ask ->5090, Nothing ->5090, Ask ->10090, Keep, Nothing 200");
    let asks = play(Mode::TwoPhase, "prepare 5000: wake abort! rollback commit");
    assert_eq!(asks, "Work 200 ->5000, Ask ->10000, Undo, Nothing 200, Nothing 409(aborted)");
}

#[test]
fn a_classic_participant_decides_alone_and_says_so() {
    let ok = play(Mode::ThreePhaseClassic, "can_commit@50 pre_commit@90 commit");
    assert_eq!(ok, "Work 200 ->50, Nothing 200 ->90, Keep 200");
    let aborts = play(Mode::ThreePhaseClassic, "can_commit@50 50: wake pre_commit commit rollback");
    assert_eq!(
        aborts,
        "Work 200 ->50, Undo, Nothing 409, Nothing 409(aborted), Nothing 200(aborted)"
    );
    let commits =
        play(Mode::ThreePhaseClassic, "can_commit@50 pre_commit@90 90: wake rollback commit");
    assert_eq!(
        commits,
        "Work 200 ->50, Nothing 200 ->90, Keep, Nothing 409(committed), Nothing 200(committed)"
    );
    let unasked = play(Mode::ThreePhaseClassic, "pre_commit");
    assert_eq!(unasked, "Nothing 409");
    let endless = play(Mode::ThreePhaseClassic, "can_commit 1000000: wake");
    assert_eq!(endless, "Work 200, Nothing");
}

#[test]
fn a_classic_participant_that_was_down_asks() {
    let bound = play(
        Mode::ThreePhaseClassic,
        "can_commit@50 pre_commit@90 100: restart! undecided! 5100: wake abort! rollback",
    );
    assert_eq!(
        bound,
        "Work 200 ->50, Nothing 200 ->90, Ask ->5100, Nothing ->5100, Ask ->10100, Undo, Nothing 200"
    );
    let holding =
        play(Mode::ThreePhaseClassic, "can_commit@50 restart! pre_commit@90 90: wake commit!");
    assert_eq!(holding, "Work 200 ->50, Ask ->50, Nothing 200 ->90, Ask ->5090, Keep");
    assert_eq!(play(Mode::Tcc, "try@50 restart! 50: wake"), "Work 200 ->50, Nothing ->50, Undo");
}

#[test]
fn a_reservation_ends_by_itself() {
    let ok = play(Mode::Tcc, "try@50 confirm confirm cancel");
    assert_eq!(ok, "Work 200 ->50, Keep 200, Nothing 200, Nothing 409(committed)");
    let over = play(Mode::Tcc, "try@50 60: wake confirm cancel try");
    assert_eq!(
        over,
        "Work 200 ->50, Undo, Nothing 409(aborted), Nothing 200(aborted), Nothing 409"
    );
    let late = play(Mode::Tcc, "try@50 60: confirm");
    assert_eq!(late, "Work 200 ->50, Keep 200");
    let never = play(Mode::Tcc, "confirm cancel");
    assert_eq!(never, "Nothing 409(aborted), Nothing 200(aborted)");
}

#[test]
fn protocols_without_promises_have_none() {
    for mode in [Mode::Saga, Mode::Msg, Mode::Xa, Mode::Workflow] {
        assert!(matches!(Promise::new(mode), Err(Error::Op { .. })));
    }
    for text in
        ["", "strict", "strict maybe", "loose holding", "strict holding soon", "strict holding 1 2"]
    {
        assert!(matches!(text.parse::<Promise>(), Err(Error::Name { .. })), "{text}");
    }
}

/// What a participant has done on one path.
#[derive(Clone, Copy, Default)]
struct Done {
    works: u32,
    keeps: u32,
    undos: u32,
    acted_alone: bool,
}

/// All paths of so many events, with what must hold on each.
fn explore(promise: Promise, mode: Mode, now: u64, done: Done, depth: u32) {
    assert!(done.works <= 1 && done.keeps + done.undos <= done.works, "{promise}");
    // Only who may decide alone has done so.
    let (is_strict, is_classic) = (promise.rule == Rule::Strict, promise.rule == Rule::Classic);
    assert!(!(is_strict && done.acted_alone), "{promise}");
    if let Some((outcome, _)) = promise.outcome() {
        assert!(outcome == Outcome::Aborted || done.keeps == 1, "{promise}");
        assert!(outcome == Outcome::Committed || done.keeps == 0, "{promise}");
    }
    if depth == 0 {
        return;
    }
    let mut branches = Vec::new();
    for op in [
        Op::CanCommit,
        Op::Prepare,
        Op::PreCommit,
        Op::Try,
        Op::Commit,
        Op::Confirm,
        Op::Rollback,
        Op::Cancel,
    ] {
        if let Ok(branch) = Branch::new("a", "01", mode, op) {
            branches.push(Branch { deadline_ms: Some(now + 10), ..branch });
        }
    }
    let mut events: Vec<_> = branches.iter().map(Event::Call).collect();
    events.extend([Event::Wake, Event::Restarted]);
    if is_strict || promise.rule == Rule::ClassicRestarted {
        events.extend([Decision::Commit, Decision::Abort, Decision::Undecided].map(Event::Decided));
    }
    for event in events {
        for passed in [0, 20] {
            let next = promise.on(event, now + passed);
            let mut done = done;
            match next.act {
                Act::Work => done.works += 1,
                Act::Keep => done.keeps += 1,
                Act::Undo => done.undos += 1,
                Act::Nothing | Act::Check | Act::Ask => {}
            }
            let is_wake = matches!(event, Event::Wake);
            done.acted_alone |= is_wake && matches!(next.act, Act::Keep | Act::Undo);
            // A lone commit is only for those who know that all have voted yes.
            assert!(
                !(is_wake && next.act == Act::Keep)
                    || (is_classic && promise.state == State::Bound)
            );
            explore(next.promise, mode, now + passed, done, depth - 1);
        }
    }
}

#[test]
fn on_no_path_is_anything_done_twice_or_both_kept_and_undone() {
    for mode in [Mode::TwoPhase, Mode::ThreePhase, Mode::ThreePhaseClassic, Mode::Tcc] {
        explore(Promise::new(mode).unwrap(), mode, 0, Done::default(), 5);
    }
}
