//! Clauses about appending.

use super::{
    World,
    kit::{
        append, assert_gapless, event, everything, expecting, ids, noted, ok, query, tagged,
        when_nothing, whole,
    },
};
use crate::streams::{Append, Appended, Error, Expected, NewEvent, Position, Query};
use bytes::Bytes;

/// Nothing of an event is changed, whatever it is made of.
pub async fn events_are_read_back_with_all_their_parts(world: &dyn World) {
    let streams = &*world.open().await;
    let every_byte: Bytes = (0..=u8::MAX).collect::<Vec<u8>>().into();
    let events = vec![
        event("1", "empty"),
        NewEvent { data: every_byte.clone(), ..event("bytes", "a type: gr\u{f6}\u{df}er?") },
        NewEvent { metadata: every_byte, data: Bytes::new(), ..event("id/with:signs%41", "-") },
        tagged("tags", "t", &["course:7", "b", "a", "student:\u{fc} x", "a:b:c", "%20", "A"]),
    ];
    let new = Append { events: events.clone(), ..noted("s-1", &[]) };
    let appended = ok(streams.append(new).await);
    assert_eq!(appended, Appended { revision: 3, position: Position(4), duplicate: false });
    let read = whole(streams, "s-1").await;
    assert_eq!(read.len(), 4);
    let sorted = |tags: &[String]| {
        let mut tags = tags.to_vec();
        tags.sort();
        tags
    };
    for (read, new) in read.iter().zip(&events) {
        assert_eq!((&read.id, &read.kind), (&new.id, &new.kind));
        assert_eq!((&read.data, &read.metadata), (&new.data, &new.metadata));
        assert_eq!(sorted(&read.tags), sorted(&new.tags));
        assert_eq!(read.stream, "s-1");
        assert!(read.time.millis() > 0);
    }
    assert_eq!(everything(streams).await, read);
}

/// Of every stream from 0, of all from 1.
pub async fn revisions_and_positions_have_no_gaps(world: &dyn World) {
    let streams = &*world.open().await;
    let mut position = 0;
    for round in 0..10_u64 {
        for (stream, count) in [("a-1", 1), ("a-2", 3), ("b", 2)] {
            let names: Vec<String> = (0..count).map(|n| format!("{round}.{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            position += count;
            let revision = (round + 1) * count - 1;
            let expected = Appended { revision, position: Position(position), duplicate: false };
            assert_eq!(append(streams, stream, &names).await, expected);
            // What is refused takes no position.
            let refused = noted(stream, &["refused"]);
            let refused = streams.append(expecting(Expected::NoStream, refused)).await;
            assert!(matches!(refused, Err(Error::WrongRevision { .. })), "{refused:?}");
        }
    }
    let all = everything(streams).await;
    assert_eq!(all.len(), 60);
    assert_gapless(&all);
    assert!(all.is_sorted_by_key(|event| event.time));
}

/// And a refusal tells what is so instead.
pub async fn expectations_of_every_kind_hold_when_they_should(world: &dyn World) {
    let streams = &*world.open().await;
    let mut number = 0;
    // The stream has this many events.
    for length in 0..4_u64 {
        let actual = length.checked_sub(1);
        let kinds = [
            (Expected::Any, true),
            (Expected::NoStream, length == 0),
            (Expected::Exists, length > 0),
            (Expected::Revision(0), actual == Some(0)),
            (Expected::Revision(1), actual == Some(1)),
            (Expected::Revision(2), actual == Some(2)),
            (Expected::Revision(u64::MAX), false),
        ];
        for (expected, should_hold) in kinds {
            number += 1;
            let stream = format!("s-{number}");
            let before: Vec<String> = (0..length).map(|n| n.to_string()).collect();
            for id in &before {
                append(streams, &stream, &[id]).await;
            }
            let result = streams.append(expecting(expected, noted(&stream, &["x", "y"]))).await;
            let after = ok(streams.stream(&stream).await).map(|status| status.revision);
            if should_hold {
                assert_eq!(ok(result).revision, length + 1, "{expected:?} of {length}");
                assert_eq!(after, Some(length + 1));
                continue;
            }
            let Err(Error::WrongRevision { stream: of, actual: told, .. }) = result else {
                panic!("{expected:?} of {length}: {result:?}");
            };
            assert_eq!((of, told, after), (stream, actual, actual), "{expected:?}");
        }
    }
    assert_gapless(&everything(streams).await);
}

/// Whatever refuses it, nothing is left behind.
pub async fn an_append_is_done_whole_or_not_at_all(world: &dyn World) {
    let streams = &*world.open().await;
    append(streams, "s-1", &["a"]).await;
    let many: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut bad = noted("s-1", &many);
    bad.events[99].kind = String::new();
    let refusals = [
        expecting(Expected::Revision(1), noted("s-1", &many)),
        when_nothing(Query::default(), Position(0), noted("s-1", &many)),
        when_nothing(query(&["noted"], &[], None), Position(0), noted("s-2", &many)),
        bad,
    ];
    for refused in refusals {
        let stream = refused.stream.clone();
        let result = streams.append(refused).await;
        assert!(result.is_err(), "{stream}: {result:?}");
        assert_eq!(ids(&everything(streams).await), ["a"]);
        assert_eq!(ok(streams.status().await).position, Position(1));
    }
    assert_eq!(ok(streams.stream("s-2").await), None);
    let appended = append(streams, "s-1", &many).await;
    assert_eq!((appended.revision, appended.position), (100, Position(101)));
    assert_eq!(ids(&whole(streams, "s-1").await)[1..], many);
}

/// Whoever was not told asks again, and learns what happened.
pub async fn an_append_that_is_repeated_is_answered_as_it_was(world: &dyn World) {
    let streams = &*world.open().await;
    append(streams, "other", &["o"]).await;
    let first = expecting(Expected::NoStream, noted("s-1", &["a", "b"]));
    let then = ok(streams.append(first.clone()).await);
    let again = Appended { duplicate: true, ..then };
    assert!(!then.duplicate);
    let second = append(streams, "s-1", &["c"]).await;
    append(streams, "other", &["p"]).await;
    // Whatever it expects, and whatever else is said of its events.
    let kinds = [Expected::NoStream, Expected::Revision(0), Expected::Revision(7), Expected::Any];
    for expected in kinds {
        let repeated = streams.append(expecting(expected, first.clone())).await;
        assert_eq!(ok(repeated), again, "{expected:?}");
    }
    let conditional = when_nothing(Query::default(), Position(0), first.clone());
    assert_eq!(ok(streams.append(conditional).await), again);
    let mut changed = first.clone();
    changed.events[1].data = Bytes::from_static(b"something else");
    assert_eq!(ok(streams.append(changed).await), again);
    // What stands next to each other is the same, however it came there.
    for (known, last) in
        [(&["a", "b", "c"][..], second), (&["b", "c"], second), (&["c"], second), (&["b"], then)]
    {
        let repeated = append(streams, "s-1", known).await;
        assert_eq!(repeated, Appended { duplicate: true, ..last }, "{known:?}");
    }
    let all = everything(streams).await;
    assert_eq!(ids(&all), ["o", "a", "b", "c", "p"]);
    assert_eq!(&*all[2].data, b"b");
    assert_eq!(append(streams, "s-1", &["d"]).await.revision, 3);
}

/// Something went wrong at the caller's, and nothing is appended.
pub async fn an_append_of_which_only_some_is_there_is_a_conflict(world: &dyn World) {
    let streams = &*world.open().await;
    append(streams, "s-1", &["a", "b", "c"]).await;
    for (known, of) in [
        (&["a", "x"][..], "a"),
        (&["x", "a"], "a"),
        (&["b", "a"], "ab"),
        (&["a", "c"], "ac"),
        (&["c", "d"], "c"),
        (&["a", "b", "c", "d"], "abc"),
        (&["x", "y", "z", "b"], "b"),
    ] {
        for expected in [Expected::Any, Expected::Revision(2), Expected::NoStream] {
            let result = streams.append(expecting(expected, noted("s-1", known))).await;
            let Err(Error::Conflict { stream, id }) = result else {
                panic!("{known:?} {expected:?}: {result:?}");
            };
            assert_eq!(stream, "s-1");
            assert!(of.contains(&id), "{known:?}: {id}");
        }
    }
    assert_eq!(ids(&everything(streams).await), ["a", "b", "c"]);
    assert_eq!(append(streams, "s-1", &["d"]).await.position, Position(4));
}

/// The same one in another stream is another event.
pub async fn an_id_belongs_to_its_stream(world: &dyn World) {
    let streams = &*world.open().await;
    for stream in ["s-1", "s-2", "s", "S-1"] {
        let appended = append(streams, stream, &["a", "A"]).await;
        assert_eq!((appended.revision, appended.duplicate), (1, false), "{stream}");
    }
    assert_gapless(&everything(streams).await);
}
