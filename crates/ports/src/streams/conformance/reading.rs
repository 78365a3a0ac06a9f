//! Clauses about reading and waiting.

use super::{
    Task, World,
    kit::{append, everything, ids, item, noted, ok, query, read, read_all, tagged, whole},
};
use crate::streams::{
    Append,
    Direction::{Backwards, Forwards},
    Event, NewEvent, PAGE_MAX, Page, Position, Query, Streams,
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

fn names(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

async fn append_numbers(streams: &dyn Streams, stream: &str, range: std::ops::Range<u64>) {
    let names = names(range);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    append(streams, stream, &names).await;
}

/// From both ends, and from every revision.
pub async fn a_stream_is_read_from_anywhere_in_both_directions(world: &dyn World) {
    let streams = &*world.open().await;
    for number in 0..10 {
        append_numbers(streams, "s-1", number..number + 1).await;
        append_numbers(streams, "s-2", number * 2..number * 2 + 2).await;
    }
    let forwards = names(0..10);
    let backwards: Vec<String> = forwards.iter().rev().cloned().collect();
    assert_eq!(ids(&read(streams, "s-1", None, Forwards, 100).await), forwards);
    assert_eq!(ids(&read(streams, "s-1", None, Backwards, 100).await), backwards);
    for (from, index) in (0..10).zip(0..) {
        let found = read(streams, "s-1", Some(from), Forwards, 3).await;
        assert_eq!(ids(&found), forwards[index..], "from {from}");
        assert!(found.iter().zip(from..).all(|(event, revision)| event.revision == revision));
        let found = read(streams, "s-1", Some(from), Backwards, 3).await;
        assert_eq!(ids(&found), backwards[9 - index..], "back from {from}");
    }
    for beyond in [10, 11, u64::MAX] {
        let page = ok(streams.read("s-1", Some(beyond), Forwards, 10).await);
        assert_eq!(page, Page::default());
        let found = read(streams, "s-1", Some(beyond), Backwards, 4).await;
        assert_eq!(ids(&found), backwards, "back from {beyond}");
    }
    let page = ok(streams.read("s-1", Some(0), Backwards, 10).await);
    assert_eq!((ids(&page.events), page.next), (vec!["0"], None));
}

/// Over all streams.
pub async fn all_events_are_read_in_the_order_of_the_log(world: &dyn World) {
    let streams = &*world.open().await;
    assert_eq!(everything(streams).await, []);
    let mut expected = Vec::new();
    for number in 0..20_u64 {
        let stream = format!("s-{}", number % 3);
        append_numbers(streams, &stream, number..number + 1).await;
        expected.push((stream, number.to_string()));
    }
    let all = everything(streams).await;
    let found: Vec<(String, String)> =
        all.iter().map(|event| (event.stream.clone(), event.id.clone())).collect();
    assert_eq!(found, expected);
    let query = &Query::default();
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(read_all(streams, query, None, Backwards, 7).await, reversed);
    for (from, index) in (1..=20).zip(0..) {
        let position = Some(Position(from));
        assert_eq!(read_all(streams, query, position, Forwards, 6).await, all[index..]);
        assert_eq!(read_all(streams, query, position, Backwards, 6).await, reversed[19 - index..]);
    }
    assert_eq!(read_all(streams, query, Some(Position(0)), Forwards, 6).await, all);
    assert_eq!(read_all(streams, query, Some(Position(0)), Backwards, 6).await, []);
    assert_eq!(read_all(streams, query, Some(Position(21)), Forwards, 6).await, []);
    assert_eq!(read_all(streams, query, Some(Position(u64::MAX)), Backwards, 6).await, reversed);
}

/// Whatever their size, and whatever an engine makes of it.
pub async fn pages_join_up_to_the_whole(world: &dyn World) {
    let streams = &*world.open().await;
    let large = |number: u64| NewEvent {
        data: vec![b'x'; 20_000].into(),
        ..tagged(&number.to_string(), "noted", &[])
    };
    for first in (0..1_200).step_by(100) {
        let events = (first..first + 100).map(large).collect();
        ok(streams.append(Append { events, ..noted("s-1", &[]) }).await);
    }
    let expected = names(0..1_200);
    for limit in [1, 7, 1_000, usize::MAX] {
        let (mut found, mut from) = (Vec::new(), Some(if limit == 1 { 1_000 } else { 0 }));
        while let Some(at) = from {
            let page = ok(streams.read("s-1", Some(at), Forwards, limit).await);
            assert!((1..=limit.min(PAGE_MAX)).contains(&page.events.len()), "{limit}");
            found.extend(page.events.iter().map(|event: &Event| event.id.clone()));
            from = page.next;
        }
        assert_eq!(found, expected[expected.len() - found.len()..]);
        assert_eq!(found.len(), if limit == 1 { 200 } else { 1_200 });
    }
    let page = ok(streams.read_all(&Query::default(), None, Forwards, usize::MAX).await);
    assert!(page.events.len() <= PAGE_MAX && page.next.is_some());
    let all = everything(streams).await;
    assert_eq!(ids(&all), expected);
    assert_eq!(whole(streams, "s-1").await, all);
}

/// Types, tags, categories, and several of these.
pub async fn queries_find_what_they_mean(world: &dyn World) {
    let streams = &*world.open().await;
    for (stream, id, kind, tags) in [
        ("course-7", "1", "defined", &["course:7"][..]),
        ("student-1", "2", "joined", &["course:7", "student:1"]),
        ("course", "3", "defined", &["course:8"]),
        ("student-2", "4", "joined", &["student:2", "course:8"]),
        ("courses-1", "5", "defined", &[]),
        ("course-7-old", "6", "left", &["course:7", "student:1", "late"]),
        ("Course-7", "7", "Defined", &["Course:7"]),
    ] {
        let events = vec![tagged(id, kind, tags)];
        ok(streams.append(Append { events, ..noted(stream, &[]) }).await);
    }
    let two = Query {
        items: vec![item(&["joined"], &["course:8"], None), item(&[], &[], Some("course"))],
    };
    let same = Query { items: vec![item(&["left"], &[], None), item(&[], &["late"], None)] };
    for (query, expected) in [
        (Query::default(), "1 2 3 4 5 6 7"),
        (query(&["defined"], &[], None), "1 3 5"),
        (query(&["left", "joined", "never"], &[], None), "2 4 6"),
        (query(&[], &["course:7"], None), "1 2 6"),
        (query(&[], &["student:1", "course:7"], None), "2 6"),
        (query(&["joined"], &["student:1", "course:7"], None), "2"),
        (query(&[], &["course"], None), ""),
        (query(&["define"], &[], None), ""),
        (query(&[], &[], Some("course")), "1 3 6"),
        (query(&[], &[], Some("course-7")), ""),
        (query(&[], &[], Some("")), ""),
        (query(&["defined"], &["course:8"], Some("course")), "3"),
        (two, "1 3 4 6"),
        (same, "6"),
    ] {
        let mut expected: Vec<&str> = expected.split(' ').filter(|id| !id.is_empty()).collect();
        for limit in [1, 2, 100] {
            let found = read_all(streams, &query, None, Forwards, limit).await;
            assert_eq!(ids(&found), expected, "{query:?}");
        }
        let found = read_all(streams, &query, Some(Position(4)), Forwards, 2).await;
        let later: Vec<&str> = expected.iter().filter(|id| **id >= "4").copied().collect();
        assert_eq!(ids(&found), later, "{query:?} from 4");
        expected.reverse();
        let found = read_all(streams, &query, None, Backwards, 2).await;
        assert_eq!(ids(&found), expected, "{query:?} backwards");
    }
}

/// However long an engine looks, it finds them all.
pub async fn queries_find_the_few_among_many(world: &dyn World) {
    const COUNT: u64 = 6_000;
    let streams = &*world.open().await;
    for first in (0..COUNT).step_by(500) {
        let new = |number: u64| match number {
            1_777 | 1_778 | 5_999 => tagged(&number.to_string(), "rare", &["few"]),
            _ => tagged(&number.to_string(), "usual", &[]),
        };
        let events = (first..first + 500).map(new).collect();
        ok(streams.append(Append { events, ..noted("s-1", &[]) }).await);
    }
    append(streams, "seldom-1", &["last"]).await;
    let rare = [query(&["rare"], &[], None), query(&[], &["few"], None)];
    for query in rare {
        for limit in [1, 50] {
            let found = read_all(streams, &query, None, Forwards, limit).await;
            assert_eq!(ids(&found), ["1777", "1778", "5999"]);
            let found = read_all(streams, &query, None, Backwards, limit).await;
            assert_eq!(ids(&found), ["5999", "1778", "1777"]);
        }
    }
    let seldom = query(&[], &[], Some("seldom"));
    let found = read_all(streams, &seldom, None, Forwards, 10).await;
    assert_eq!(ids(&found), ["last"]);
    let never = query(&["never"], &[], None);
    assert_eq!(read_all(streams, &never, None, Backwards, 10).await, []);
}

/// Who has read everything waits for what comes.
pub async fn waiting_ends_with_the_next_event(world: &dyn World) {
    const COUNT: u64 = 50;
    let streams = world.open().await;
    append(&*streams, "s", &["before"]).await;
    assert!(ok(streams.wait(Position(0)).await) >= Position(1));
    let seen = Arc::new(AtomicU64::new(0));
    let mut tasks: Vec<Task> = Vec::new();
    for _ in 0..3 {
        let (streams, seen) = (Arc::clone(&streams), Arc::clone(&seen));
        tasks.push(Box::pin(async move {
            let mut last = Position(0);
            while last < Position(COUNT + 1) {
                // It may wake without a reason.
                if ok(streams.wait(last).await) <= last {
                    continue;
                }
                let (query, from) = (Query::default(), Some(Position(last.0 + 1)));
                for event in read_all(&*streams, &query, from, Forwards, 7).await {
                    assert_eq!(event.position.0, last.0 + 1);
                    last = event.position;
                }
            }
            seen.fetch_add(last.0, Ordering::SeqCst);
        }));
    }
    let writer = Arc::clone(&streams);
    tasks.push(Box::pin(async move {
        for number in 0..COUNT {
            append_numbers(&*writer, "s", number..number + 1).await;
        }
    }));
    world.together(tasks).await;
    assert_eq!(seen.load(Ordering::SeqCst), 3 * (COUNT + 1));
}

/// A caller that waits for several things drops the calls that came second.
pub async fn calls_to_wait_may_be_dropped(world: &dyn World) {
    let streams = &*world.open().await;
    for number in 0..50 {
        for _ in 0..2 {
            let mut wait = pin!(streams.wait(Position(number)));
            let polled = poll_fn(|context| Poll::Ready(wait.as_mut().poll(context))).await;
            if let Poll::Ready(position) = polled {
                assert!(ok(position) <= Position(number), "there is nothing more");
            }
        }
        append_numbers(streams, "s", number..number + 1).await;
        while ok(streams.wait(Position(number)).await) <= Position(number) {}
    }
    assert_eq!(ids(&whole(streams, "s").await), names(0..50));
}
