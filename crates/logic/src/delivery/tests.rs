//! Tables of single rules; what holds over any sequence is in [`model`].

use super::*;

mod model;
mod ranges;

const WAIT: Duration = Duration::from_secs(30);

fn at(seconds: u64) -> Moment {
    Moment::from_start(Duration::from_secs(seconds))
}

fn config(order: Order, max_in_flight: u32) -> Config {
    Config { ack_wait: WAIT, max_in_flight, order }
}

fn parse_taken(text: &str) -> Taken {
    let (offset, attempt) = text.split_once('#').unwrap_or((text, "1"));
    Taken { offset: offset.parse().unwrap(), attempt: attempt.parse().unwrap() }
}

/// Runs a script on a group that starts at offset 1, and answers what each step says, joined by `; `.
///
/// `feed 1a 2b 3` (offsets with keys), `take N`, `ack O#A`, `nack O#A SECONDS`, `extend O#A`, `back O#A`, `wait SECONDS`,
/// `seek O`, `purge O`, `skip O`, `restart`, `floor`, `counts`, `next`, `order key|none`, `most N`.
fn run(order: Order, max_in_flight: u32, script: &str) -> String {
    let (mut group, mut now) = (Group::new(config(order, max_in_flight), 1), at(0));
    let mut said: Vec<String> = Vec::new();
    for step in script.split(',') {
        let words: Vec<&str> = step.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let epoch = group.epoch();
        let mut settle =
            |settle| format!("{:?}", group.settle(parse_taken(words[1]), epoch, settle, now));
        match words[0] {
            "feed" => feed(&mut group, &words[1..]),
            "take" => said.push(show(&group.take(now, usize::try_from(number(1)).unwrap()))),
            "ack" => said.push(settle(Settle::Ack)),
            "nack" => said.push(settle(Settle::Nack(now + Duration::from_secs(number(2))))),
            "extend" => said.push(settle(Settle::Extend)),
            "back" => group.put_back(parse_taken(words[1])),
            "wait" => now = now + Duration::from_secs(number(1)),
            "seek" => group.seek(number(1)),
            "purge" => group.purge_before(number(1)),
            "skip" => group.skip_to(number(1)),
            "restart" => group = Group::restore(group.config(), &group.snapshot(now), now),
            "floor" => said.push(group.floor().to_string()),
            "from" => said.push(format!("{:?}", group.feed_from())),
            "counts" => {
                said.push(format!("{} in flight, {} waiting", group.in_flight(), group.waiting()));
            }
            "next" => said.push(
                group
                    .next_deadline()
                    .map_or("never".into(), |next| format!("{} s", next.since(now).as_secs())),
            ),
            "order" => {
                let order = if words[1] == "key" { Order::Key } else { Order::None };
                group.configure(Config { order, ..group.config() });
            }
            "most" => {
                let max_in_flight = u32::try_from(number(1)).unwrap();
                group.configure(Config { max_in_flight, ..group.config() });
            }
            other => panic!("what is `{other}`?"),
        }
    }
    said.join("; ")
}

fn feed(group: &mut Group, messages: &[&str]) {
    for message in messages {
        let offset = message.trim_end_matches(char::is_alphabetic);
        let key = message.as_bytes().get(offset.len()).copied().map(u64::from);
        assert!(group.feed(offset.parse().unwrap(), key));
    }
}

fn show(taken: &[Taken]) -> String {
    let each = |taken: &Taken| match taken.attempt {
        1 => taken.offset.to_string(),
        attempt => format!("{}#{attempt}", taken.offset),
    };
    taken.iter().map(each).collect::<Vec<_>>().join(" ")
}

fn check(order: Order, max_in_flight: u32, script: &str, expected: &str) {
    assert_eq!(run(order, max_in_flight, script), expected, "{script}");
}

#[test]
fn messages_come_in_order_and_no_more_than_may_be_in_flight() {
    check(
        Order::None,
        2,
        "feed 1 2 3, take 9, take 9, ack 1, take 9, counts",
        "1 2; ; Settled; 3; 2 in flight, 0 waiting",
    );
    check(
        Order::None,
        9,
        "feed 1 2 3, take 2, most 1, take 9, ack 2, take 9, ack 1, take 9",
        "1 2; ; Settled; ; Settled; 3",
    );
}

#[test]
fn the_floor_is_below_the_first_that_is_not_settled() {
    check(
        Order::None,
        9,
        "floor, feed 1 2 3 4, take 9, ack 2, ack 3, floor, ack 1, floor, ack 4, floor, ack 4",
        "0; 1 2 3 4; Settled; Settled; 0; Settled; 3; Settled; 4; None",
    );
    // Offsets that are left out are not there.
    check(
        Order::None,
        9,
        "feed 3 7, take 9, floor, ack 3, floor, ack 7, floor, skip 12, floor",
        "3 7; 2; Settled; 6; Settled; 7; 11",
    );
}

#[test]
fn what_is_not_settled_in_time_comes_again() {
    check(
        Order::None,
        9,
        "feed 1, take 9, next, wait 29, take 9, wait 1, take 9, nack 1#1 0, ack 1#1, take 9",
        "1; 30 s; ; 1#2; None; Settled; ",
    );
    check(
        Order::None,
        9,
        "feed 1, take 9, wait 20, extend 1, wait 20, take 9, wait 10, take 9, extend 1",
        "1; Extended; ; 1#2; None",
    );
}

#[test]
fn what_is_given_back_waits_and_then_comes_again() {
    check(
        Order::None,
        9,
        "feed 1 2, take 9, nack 1 5, nack 2 0, counts, take 9, next, wait 5, take 9, counts",
        "1 2; Returned; Returned; 0 in flight, 2 waiting; 2#2; 5 s; 1#2; 2 in flight, 0 waiting",
    );
    check(
        Order::None,
        9,
        "feed 1, take 1, back 1#1, counts, take 1",
        "1; 0 in flight, 0 waiting; 1",
    );
    check(
        Order::None,
        9,
        "feed 1, take 1, nack 1 0, take 1, back 1#2, take 1, back 1#1, counts",
        "1; Returned; 1#2; 1#2; 1 in flight, 0 waiting",
    );
}

#[test]
fn what_comes_again_and_what_is_fresh_take_turns() {
    let script =
        "feed 1 2 3 4, take 1, nack 1#1 0, take 1, nack 1#2 0, take 1, nack 2#1 0, take 1, take 1";
    check(Order::None, 1, script, "1; Returned; 1#2; Returned; 2; Returned; 1#3; ");
}

#[test]
fn a_key_waits_for_its_first_message_and_no_other_key_does() {
    check(
        Order::Key,
        9,
        "feed 1a 2a 3b 4 5a 6, take 9, nack 1 60, take 9, wait 60, take 9, ack 1#2, take 9, ack 2, take 9",
        "1 3 4 6; Returned; ; 3#2 4#2 6#2 1#2; Settled; 2; Settled; 5",
    );
    // An acknowledgement from before a restart for one in the middle of its key.
    check(Order::Key, 9, "feed 1a 2a 3a, ack 2, take 9, ack 1, take 9", "Settled; 1; Settled; 3");
}

#[test]
fn the_order_can_be_changed_while_messages_are_held() {
    check(Order::Key, 9, "feed 1a 2a 3a, take 9, order none, take 9", "1; 2 3");
    check(
        Order::None,
        9,
        "feed 1a 2a 3a 4a, take 2, order key, take 9, nack 2 0, take 9, ack 1, take 9, ack 2, take 9",
        "1 2; ; Returned; ; Settled; 2#2; Settled; 3",
    );
}

#[test]
fn a_seek_forgets_everything_and_what_was_delivered_before() {
    let mut group = Group::new(config(Order::Key, 9), 1);
    feed(&mut group, &["1a", "2a", "3b"]);
    let taken = group.take(at(0), 9);
    assert_eq!(show(&taken), "1 3");
    group.seek(2);
    assert_eq!((group.epoch(), group.floor(), group.feed_from()), (1, 1, Some(2)));
    feed(&mut group, &["2a", "3b"]);
    assert_eq!(show(&group.take(at(1), 9)), "2 3");
    for settle in [Settle::Ack, Settle::Nack(at(1)), Settle::Extend] {
        assert_eq!(group.settle(taken[1], 0, settle, at(1)), Change::None);
    }
    assert_eq!((group.in_flight(), group.next_deadline()), (2, Some(at(31))));
}

#[test]
fn what_is_removed_from_the_topic_is_held_no_longer() {
    check(
        Order::Key,
        9,
        "feed 1a 2a 3b 4, take 9, purge 2, counts, take 9, ack 1, purge 4, floor, purge 9, floor, from",
        "1 3 4; 2 in flight, 0 waiting; 2; None; 3; 8; Some(9)",
    );
}

#[test]
fn a_restart_keeps_what_is_settled_the_attempts_and_the_waits() {
    check(
        Order::None,
        9,
        "feed 1 2 3 4 5, take 4, ack 1, ack 3, nack 4 60, wait 10, restart, floor, counts, from, \
         feed 2 3 4 5, counts, take 9, wait 50, take 9",
        "1 2 3 4; Settled; Settled; Returned; 1; 0 in flight, 2 waiting; Some(2); \
         0 in flight, 2 waiting; 2#2 5; 2#3 5#2 4#2",
    );
    check(
        Order::None,
        9,
        "feed 1 2 3, take 9, restart, ack 1, ack 2, floor, from",
        "1 2 3; Settled; Settled; 2; Some(3)",
    );
    // An acknowledgement arrives before its message is fed again.
    check(
        Order::None,
        9,
        "feed 1 2 3, take 9, restart, ack 2, ack 2, feed 1 2 3, take 9, floor",
        "1 2 3; Settled; None; 1#2 3#2; 0",
    );
}

#[test]
fn a_journal_after_a_snapshot_is_replayed() {
    let mut group = Group::restore(config(Order::None, 9), &Snapshot::default(), at(0));
    assert!(group.replay_settled(2) && !group.replay_settled(2));
    group.replay_attempts(3, 2, at(5));
    group.replay_attempts(3, 1, at(5));
    group.replay_attempts(2, 7, at(5));
    group.replay_attempts(4, 1, at(0));
    group.purge_before(2);
    assert_eq!((group.floor(), group.feed_from(), group.lag(6)), (2, Some(3), 4));
    feed(&mut group, &["3", "4", "5", "6"]);
    assert_eq!(show(&group.take(at(4), 9)), "4#2 5 6");
    assert_eq!(show(&group.take(at(5), 9)), "3#3");
}

#[test]
fn what_contradicts_itself_in_a_snapshot_does_no_harm() {
    let attempts = |offset| Attempts { offset, attempts: 3, wait: Duration::MAX };
    let snapshot = Snapshot {
        floor: 10,
        settled: vec![(1, 4), (9, 12), (12, 11), (14, 20), (u64::MAX, u64::MAX)],
        epoch: 7,
        attempts: vec![attempts(0), attempts(5), attempts(15), attempts(13)],
    };
    let mut group = Group::restore(config(Order::Key, 9), &snapshot, at(0));
    assert_eq!((group.floor(), group.epoch(), group.waiting()), (12, 7, 1));
    feed(&mut group, &["13", "14", "21"]);
    assert_eq!(show(&group.take(at(0), 9)), "21");
}

#[test]
fn reading_ahead_stops_when_there_is_enough_and_goes_on_in_time() {
    let mut group = Group::new(config(Order::None, 10), 1);
    let mut offset = 1;
    while group.feed(offset, None) {
        offset += 1;
    }
    assert_eq!((group.ready(), group.feed_from(), group.room()), (READ_AHEAD, None, 0));
    let mut taken = 0;
    while group.feed_from().is_none() {
        for each in group.take(at(0), 10) {
            taken += 1;
            assert_eq!(group.settle(each, 0, Settle::Ack, at(0)), Change::Settled);
        }
    }
    assert_eq!(group.feed_from(), Some(offset));
    assert!((READ_AHEAD / 2..READ_AHEAD).contains(&taken));
}

#[test]
fn messages_that_all_wait_are_held_up_to_a_bound_and_settled_ones_are_not() {
    let mut group = Group::new(config(Order::None, 10), 1);
    let mut offset = 0;
    while let Some(from) = group.feed_from() {
        assert!(group.feed(from, None));
        offset = from;
        for taken in group.take(at(0), 10) {
            group.settle(taken, 0, Settle::Nack(at(1_000)), at(0));
        }
    }
    assert_eq!(group.waiting(), READ_AHEAD + 10);
    assert!(!group.feed(offset + 1, None));

    // One that waits, and a hundred thousand that do not.
    let mut group = Group::new(config(Order::None, 10), 1);
    for offset in 1..=100_000 {
        assert!(group.feed(offset, None));
        let settle = if offset == 1 { Settle::Nack(at(1_000)) } else { Settle::Ack };
        for taken in group.take(at(0), 10) {
            group.settle(taken, 0, settle, at(0));
        }
    }
    let snapshot = group.snapshot(at(0));
    assert_eq!((snapshot.floor, snapshot.settled), (0, vec![(2, 100_000)]));
    assert_eq!(group.lag(100_000), 1);
}

#[test]
fn acknowledgements_of_what_was_not_fed_are_bounded() {
    let mut group = Group::new(config(Order::None, 10), 1);
    let mut ack = |offset| group.settle(Taken { offset, attempt: 1 }, 0, Settle::Ack, at(0));
    let bound = u64::try_from(AHEAD_MAX).unwrap();
    assert!((1..=bound).all(|number| ack(number * 2) == Change::Settled));
    assert_eq!(ack(bound * 2 + 2), Change::None);
}
