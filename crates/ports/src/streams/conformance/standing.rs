//! Clauses about the engine as a whole: what it tells of itself, and what survives its end.

use super::{
    World,
    kit::{append, assert_gapless, everything, expecting, ids, noted, ok, tagged, whole},
};
use crate::streams::{
    Append, Appended, Direction, Error, Expected, NewEvent, Position, Query, Streams,
};

/// By name, by prefix, in pages.
pub async fn streams_are_listed_by_name(world: &dyn World) {
    let streams = &*world.open().await;
    assert_eq!(ok(streams.streams("", None, 10).await), []);
    for name in ["b-2", "a-10", "c", "a-1", "b-1", "a-2", "a"] {
        append(streams, name, &["1", "2"]).await;
    }
    for (prefix, from, limit, expected) in [
        ("", None, 10, "a a-1 a-10 a-2 b-1 b-2 c"),
        ("", None, 3, "a a-1 a-10"),
        ("", Some("a-10"), 3, "a-10 a-2 b-1"),
        ("", Some("a-11"), 2, "a-2 b-1"),
        ("a-", None, 10, "a-1 a-10 a-2"),
        ("a-", Some("a-10"), 10, "a-10 a-2"),
        ("a-", Some("b"), 10, ""),
        ("b-", Some("a"), 1, "b-1"),
        ("d", None, 10, ""),
        ("", Some("d"), 10, ""),
        ("", None, usize::MAX, "a a-1 a-10 a-2 b-1 b-2 c"),
    ] {
        let found = ok(streams.streams(prefix, from, limit).await);
        let found: Vec<&str> = found.iter().map(|status| status.name.as_str()).collect();
        assert_eq!(found.join(" "), expected, "{prefix:?} from {from:?}, {limit}");
    }
    append(streams, "b-1", &["3"]).await;
    let last = whole(streams, "b-1").await.pop().expect("it has events");
    let listed = ok(streams.streams("b-1", None, 1).await);
    assert_eq!((listed[0].revision, listed[0].position), (2, Position(15)));
    assert_eq!(listed[0].time, last.time);
    assert_eq!(ok(streams.stream("b-1").await).as_ref(), listed.first());
}

/// Nothing is made in passing.
pub async fn what_is_not_there_is_told(world: &dyn World) {
    let streams = &*world.open().await;
    append(streams, "s-1", &["a"]).await;
    for name in ["s", "s-", "s-2", "S-1"] {
        for direction in [Direction::Forwards, Direction::Backwards] {
            let read = streams.read(name, None, direction, 10).await;
            assert!(matches!(&read, Err(Error::NoStream(of)) if of == name), "{read:?}");
        }
        assert_eq!(ok(streams.stream(name).await), None);
    }
    assert_eq!(ok(streams.status().await).streams, 1);
}

/// What is shown to people is true.
pub async fn the_status_agrees_with_what_happened(world: &dyn World) {
    let streams = &*world.open().await;
    let empty = ok(streams.status().await);
    assert_eq!((empty.position, empty.streams), (Position(0), 0));
    for round in 1..=5_u64 {
        append(streams, &format!("s-{round}"), &["a", "b"]).await;
        append(streams, "s-1", &[&format!("c{round}")]).await;
        let status = ok(streams.status().await);
        assert_eq!((status.position, status.streams), (Position(round * 3), round));
        assert!(status.bytes > 0);
    }
}

/// Two ways to one engine show one engine.
pub async fn everybody_sees_the_same_events(world: &dyn World) {
    let (one, other) = (world.open().await, world.open().await);
    for number in 0..30_u64 {
        let (writer, reader) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
        let appended = append(&**writer, "s", &[&number.to_string()]).await;
        assert_eq!(appended.position, Position(number + 1));
        assert!(ok(reader.wait(Position(number)).await) >= Position(number + 1));
        let page = ok(reader.read("s", None, Direction::Backwards, 1).await);
        assert_eq!(ids(&page.events), [number.to_string()]);
    }
    assert_eq!(everything(&*one).await, everything(&*other).await);
}

/// All of a stream, and of all streams, as it was.
async fn picture(streams: &dyn Streams) -> (Vec<crate::streams::Event>, Vec<String>, u64) {
    let listed = ok(streams.streams("", None, 1_000).await);
    let listed = listed.iter().map(|status| format!("{status:?}")).collect();
    (everything(streams).await, listed, ok(streams.status().await).streams)
}

/// Events, positions, times, and what is found by them.
pub async fn acknowledged_events_survive_the_end_of_the_engine(world: &dyn World) {
    let mut streams = world.open().await;
    for round in 0..4_u64 {
        for number in 0..10 {
            let id = format!("{round}.{number}");
            let event = NewEvent {
                data: vec![b'd'; 3_000].into(),
                metadata: "{}".into(),
                ..tagged(&id, "noted", &["every", &format!("round:{round}")])
            };
            let second = tagged(&format!("{id}b"), "second", &[]);
            let stream = format!("s-{}", number % 4);
            let new = Append { events: vec![event, second], ..noted(&stream, &[]) };
            ok(streams.append(new).await);
        }
        let before = picture(&*streams).await;
        let Some(again) = world.restart().await else { return };
        streams = again;
        let after = picture(&*streams).await;
        assert_eq!(after, before);
        assert_gapless(&after.0);
        let tag = format!("round:{round}");
        let of_round = super::kit::query(&["noted"], &[&tag], Some("s"));
        let found = super::kit::read_all(&*streams, &of_round, None, Direction::Backwards, 3).await;
        assert_eq!(found.len(), 10);
        let expected =
            Expected::Revision(ok(streams.stream("s-0").await).map_or(0, |it| it.revision));
        let id = format!("after {round}").replace(' ', "-");
        let appended = ok(streams.append(expecting(expected, noted("s-0", &[&id]))).await);
        assert_eq!(appended.position, Position((round + 1) * 21));
    }
}

/// The caller that was not answered asks again after the restart.
pub async fn repeated_appends_are_known_after_the_end_of_the_engine(world: &dyn World) {
    let mut streams = world.open().await;
    let mut appended: Vec<(Append, Appended)> = Vec::new();
    for round in 0..3 {
        for number in 0..5 {
            let names = [format!("{round}.{number}"), format!("{round}.{number}b")];
            let new = noted(&format!("s-{number}"), &[&names[0], &names[1]]);
            let then = ok(streams.append(new.clone()).await);
            appended.push((new, then));
        }
        let Some(again) = world.restart().await else { return };
        streams = again;
        for (new, then) in &appended {
            let repeated = ok(streams.append(expecting(Expected::NoStream, new.clone())).await);
            assert_eq!(repeated, Appended { duplicate: true, ..*then });
            let mut partly = new.clone();
            partly.events[1].id = "new".to_owned();
            let refused = streams.append(partly).await;
            assert!(matches!(refused, Err(Error::Conflict { .. })), "{refused:?}");
        }
    }
    let count = u64::try_from(appended.len()).expect("it is small") * 2;
    assert_eq!(ok(streams.status().await).position, Position(count));
    let page = ok(streams.read_all(&Query::default(), None, Direction::Backwards, 1).await);
    assert_eq!(page.events[0].position, Position(count));
}
