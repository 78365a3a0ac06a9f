use super::{Act, Answer, Call, check, check_revisions};
use proptest::prelude::*;

/// Reads `"put 1 @0-3; get 1 @4-5"`: what, its values, from when until when. An outcome that is unknown ends with `?`
/// (`put 1 @0-?`); a swap is `swap - 1`, `swap 1 2`, refused `swap 1 2 =3`; a missing value is `-`.
fn calls(text: &str) -> Vec<Call> {
    text.split(';').map(|part| call(part.trim())).collect()
}

fn call(text: &str) -> Call {
    let (what, when) = text.split_once(" @").unwrap();
    let (begin, end) = when.split_once('-').unwrap();
    let value = |text: &str| if text == "-" { None } else { Some(text.parse().unwrap()) };
    let number = |text: &str| text.parse().unwrap();
    let is_unknown = end == "?";
    let done = if is_unknown { Answer::Unknown } else { Answer::Done };
    let (act, answer) = match what.split(' ').collect::<Vec<_>>().as_slice() {
        ["get", read] => (Act::Get, Answer::Read(value(read))),
        ["put", to] => (Act::Put(number(to)), done),
        ["del"] => (Act::Delete, done),
        ["swap", from, to] => (Act::Swap { from: value(from), to: number(to) }, done),
        ["swap", from, to, found] => {
            let found = value(found.strip_prefix('=').unwrap());
            (Act::Swap { from: value(from), to: number(to) }, Answer::Refused(found))
        }
        _ => panic!("{text}"),
    };
    let end = if is_unknown { u64::MAX } else { end.parse().unwrap() };
    Call { key: 0, act, answer, begin: begin.parse().unwrap(), end, revision: None }
}

#[test]
fn histories_with_an_order_pass() {
    for text in [
        "get - @0-1",
        "put 1 @0-1; get 1 @2-3",
        // At the same time, either order.
        "put 1 @0-9; get - @1-2; get 1 @3-4",
        "put 1 @0-9; put 2 @0-9; get 2 @1-2; get 1 @3-4; get 1 @10-11",
        "put 1 @0-9; put 2 @0-9; get 1 @10-11",
        "swap - 1 @0-5; swap - 2 =1 @0-5; get 1 @6-7",
        "put 1 @0-1; swap 1 2 @2-3; swap 1 3 =2 @2-3; get 2 @4-5",
        "put 1 @0-1; del @2-3; get - @4-5; swap - 2 @6-7; get 2 @8-9",
        "put 1 @0-1; del @2-6; get 1 @3-4; get - @5-7",
        // Unknown: at once, late, never.
        "put 1 @0-?; get 1 @1-2",
        "put 1 @0-?; get - @1-2; get 1 @3-4",
        "put 1 @0-?; get - @1-2; get - @3-4",
        "put 1 @0-1; put 2 @2-?; get 1 @3-4; put 3 @5-6; get 2 @7-8",
        "put 1 @0-1; del @2-?; get 1 @3-4; get - @5-6",
        "put 1 @0-1; swap 1 2 @2-?; swap 2 3 @4-5; get 3 @6-7",
        "put 1 @0-1; swap 1 2 @2-?; swap 1 3 @4-5; get 3 @6-7",
    ] {
        assert_eq!(check(&calls(text)), Ok(()), "{text}");
    }
}

#[test]
fn histories_without_an_order_are_found() {
    for text in [
        // Out of nothing.
        "get 1 @0-1",
        "get 1 @0-1; put 1 @2-3",
        // Stale.
        "put 1 @0-1; get - @2-3",
        "put 1 @0-1; put 2 @2-3; get 1 @4-5",
        "put 1 @0-1; del @2-3; get 1 @4-5",
        // Seen, then not any more.
        "put 1 @0-9; get 1 @1-2; get - @3-4",
        "put 1 @0-1; put 2 @2-9; get 2 @3-4; get 1 @5-6",
        "put 1 @0-9; put 2 @0-9; get 1 @1-2; get 2 @3-4; get 1 @5-6",
        // Two winners, and a loser without winner.
        "swap - 1 @0-5; swap - 2 @0-5",
        "put 1 @0-1; swap 1 2 @2-9; swap 1 3 @2-9",
        "put 1 @0-1; swap 1 2 =1 @2-3",
        "put 1 @0-1; swap 2 3 =2 @2-3",
        // Lost.
        "put 1 @0-1; swap 1 2 @2-3; get 1 @4-5",
        // An unknown write happens once, and stays.
        "put 1 @0-?; get 1 @1-2; get - @3-4",
        "put 1 @0-?; get 1 @1-2; put 2 @3-4; get 2 @5-6; get 1 @7-8",
        "put 1 @0-1; swap 1 2 @2-?; get 2 @3-4; put 1 @5-6; get 1 @7-8; get 2 @9-10; get 1 @11-12",
    ] {
        assert!(check(&calls(text)).is_err(), "{text}");
    }
}

#[test]
fn keys_are_checked_apart() {
    let mut both = calls("put 1 @0-1; get 1 @2-3");
    both.extend(calls("get - @2-3").into_iter().map(|call| Call { key: 1, ..call }));
    assert_eq!(check(&both), Ok(()));
    both.extend(calls("get 1 @4-5").into_iter().map(|call| Call { key: 1, ..call }));
    let violation = check(&both).unwrap_err();
    assert_eq!((violation.key, violation.explained, violation.state), (1, 1, None));
    assert!(violation.to_string().contains("key 1: after 1 calls it is None"), "{violation}");
}

#[test]
fn revisions_that_go_back_are_found() {
    let told = |text: &str, revisions: &[u64]| {
        let mut calls = calls(text);
        for (call, revision) in calls.iter_mut().zip(revisions) {
            call.revision = Some(*revision);
        }
        check_revisions(&calls)
    };
    assert_eq!(told("put 1 @0-1; put 2 @2-3; get 2 @4-5", &[1, 2, 2]), Ok(()));
    assert_eq!(told("put 1 @0-9; put 2 @2-3", &[2, 1]), Ok(()));
    assert!(told("put 1 @0-1; put 2 @2-3", &[2, 1]).is_err());
    assert!(told("put 1 @0-9; put 2 @2-3", &[1, 1]).is_err());
    assert!(told("put 1 @0-1; put 2 @2-3; get 2 @4-5", &[1, 2, 1]).is_err());
    assert!(told("put 1 @0-1; put 2 @2-20; put 3 @4-5", &[2, 3, 1]).is_err());
}

#[test]
fn a_long_history_with_unknown_outcomes_is_checked_quickly() {
    // Every tenth write breaks off and is never seen; the rest is read by four others.
    let mut text = Vec::new();
    for round in 0_u64..400 {
        let (begin, end) = (round * 10, round * 10 + 8);
        if round % 10 == 9 {
            text.push(format!("put {round} @{begin}-?"));
            continue;
        }
        text.push(format!("put {round} @{begin}-{end}"));
        for reader in 0..4 {
            text.push(format!("get {round} @{}-{}", end - 2 + reader, end + 3 + reader));
        }
    }
    // The readers of one round end when the next write is under way already.
    assert_eq!(check(&calls(&text.join("; "))), Ok(()));
}

proptest! {
    /// Whatever calls do one after the other on a real register has an order, however far their begins and ends are
    /// stretched around the moment at which they took effect.
    #[test]
    fn what_really_happened_is_always_explained(
        acts in prop::collection::vec((0_u8..4, 0_u64..6, 0_u64..30, 0_u64..30, 0_u8..8), 1..60),
    ) {
        let mut state = None;
        let mut history = Vec::new();
        for (moment, (act, from, before, after, fate)) in (100_u64..).step_by(7).zip(acts) {
            let act = match act {
                0 => Act::Get,
                1 => Act::Put(moment),
                2 => Act::Swap { from: if from == 0 { state } else { None }, to: moment },
                _ => Act::Delete,
            };
            let answer = match act {
                Act::Get => Answer::Read(state),
                Act::Swap { from, .. } if from != state => Answer::Refused(state),
                _ => Answer::Done,
            };
            match act {
                // A write that breaks off is applied or not.
                Act::Put(_) | Act::Delete if fate == 0 => {}
                Act::Put(to) => state = Some(to),
                Act::Swap { to, .. } if answer == Answer::Done => state = Some(to),
                Act::Delete => state = None,
                Act::Get | Act::Swap { .. } => {}
            }
            let is_write = matches!(act, Act::Put(_) | Act::Delete);
            let answer = if is_write && fate < 2 { Answer::Unknown } else { answer };
            let (begin, end) = (moment - before, moment + after);
            history.push(Call { key: 0, act, answer, begin, end, revision: None });
        }
        prop_assert_eq!(check(&history), Ok(()));
    }
}
