//! Clauses about what is too much, and what is just enough.

use super::{
    World,
    kit::{append, assert_gapless, event, everything, ids, item, noted, ok, tagged, whole},
};
use crate::streams::{
    APPEND_MAX, APPEND_SIZE_MAX, Append, Direction, EVENT_SIZE_MAX, Error, NewEvent, QUERY_MAX,
    Query, STREAM_LEN_MAX, TAGS_MAX, WORD_LEN_MAX,
};
use bytes::Bytes;

#[track_caller]
fn assert_refused<T: std::fmt::Debug>(what: &str, result: Result<T, Error>) {
    let is_refused = matches!(result, Err(Error::TooLarge { .. } | Error::Invalid(_)));
    assert!(is_refused, "{what}: {result:?}");
}

/// The caller is told, and nothing of the append is there.
pub async fn what_is_out_of_bounds_is_refused_before_anything_is_appended(world: &dyn World) {
    let streams = &*world.open().await;
    append(streams, "s-1", &["before"]).await;
    let long = "x".repeat(WORD_LEN_MAX + 1);
    let tags: Vec<String> = (0..=TAGS_MAX).map(|number| number.to_string()).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let large: Bytes = vec![b'x'; EVENT_SIZE_MAX].into();
    for (what, bad) in [
        ("no id", event("", "k")),
        ("a long id", event(&long, "k")),
        ("an id with a line break", event("a\nb", "k")),
        ("no type", event("a", "")),
        ("a long type", event("a", &long)),
        ("a type with a zero", event("a", "k\0")),
        ("many tags", tagged("a", "k", &tags)),
        ("an empty tag", tagged("a", "k", &[""])),
        ("a long tag", tagged("a", "k", &[&long])),
        ("a tag twice", tagged("a", "k", &["t", "u", "t"])),
        ("the id of another", event("good", "k")),
        ("a large event", NewEvent { data: large.clone(), ..event("a", "k") }),
        ("large metadata", NewEvent { metadata: large, ..event("a", "k") }),
    ] {
        let events = vec![event("good", "k"), bad];
        assert_refused(what, streams.append(Append { events, ..noted("s-1", &[]) }).await);
    }
    assert_refused("nothing", streams.append(noted("s-1", &[])).await);
    let many: Vec<String> = (0..=APPEND_MAX).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_refused("many", streams.append(noted("s-1", &many)).await);
    let half: Bytes = vec![b'x'; EVENT_SIZE_MAX / 2].into();
    let half = |id: &&str| NewEvent { data: half.clone(), ..event(id, "k") };
    let events = many[..APPEND_SIZE_MAX / EVENT_SIZE_MAX * 2].iter().map(half).collect();
    assert_refused("much", streams.append(Append { events, ..noted("s-1", &[]) }).await);
    for name in ["", "a\nb", "a\0", "x".repeat(STREAM_LEN_MAX + 1).as_str()] {
        assert_refused(name, streams.append(noted(name, &["a"])).await);
    }
    assert_eq!(ids(&everything(streams).await), ["before"]);
    assert_eq!(ok(streams.status().await).streams, 1);
}

/// Where they are read, and where they are conditions.
pub async fn queries_out_of_bounds_are_refused(world: &dyn World) {
    let streams = &*world.open().await;
    let words: Vec<String> = (0..=QUERY_MAX).map(|number| number.to_string()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for (what, items) in [
        ("an item that says nothing", vec![item(&["k"], &[], None), item(&[], &[], None)]),
        ("many types", vec![item(&words, &[], None)]),
        ("many tags", vec![item(&[], &words, None)]),
        ("many items", vec![item(&["k"], &[], None); QUERY_MAX + 1]),
    ] {
        let query = Query { items };
        let read = streams.read_all(&query, None, Direction::Forwards, 1).await;
        assert_refused(what, read);
        let new = super::kit::when_nothing(query, crate::streams::Position(0), noted("s", &["a"]));
        assert_refused(what, streams.append(new).await);
    }
    assert_eq!(everything(streams).await, []);
}

/// Bounds are bounds: what keeps them passes.
pub async fn the_largest_events_and_appends_pass(world: &dyn World) {
    let streams = &*world.open().await;
    let (name, long) = ("n".repeat(STREAM_LEN_MAX), "x".repeat(WORD_LEN_MAX - 2));
    let tags: Vec<String> = (10..10 + TAGS_MAX).map(|number| format!("{long}{number}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let mut most = tagged(&format!("{long}id"), &format!("{long}k"), &tags);
    most.data = Bytes::new();
    most.data = vec![0xff; EVENT_SIZE_MAX - most.size()].into();
    assert_eq!(most.size(), EVENT_SIZE_MAX);
    ok(streams.append(Append { events: vec![most.clone()], ..noted(&name, &[]) }).await);
    let largest = |number: usize| {
        let id = number.to_string();
        let data = vec![b'd'; EVENT_SIZE_MAX - id.len() - 1].into();
        NewEvent { data, ..event(&id, "k") }
    };
    let events: Vec<NewEvent> = (0..APPEND_SIZE_MAX / EVENT_SIZE_MAX).map(largest).collect();
    let large = Append { events: events.clone(), ..noted("large", &[]) };
    ok(streams.append(large).await);
    let many: Vec<String> = (0..APPEND_MAX).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    append(streams, "many", &many).await;

    let read = whole(streams, &name).await;
    assert_eq!((read.len(), &read[0].id, &read[0].kind), (1, &most.id, &most.kind));
    assert!(read[0].data == most.data);
    assert_eq!(read[0].tags.len(), TAGS_MAX);
    let read = whole(streams, "large").await;
    assert_eq!(read.len(), events.len());
    assert!(read.iter().zip(&events).all(|(read, new)| read.data == new.data));
    assert_eq!(ids(&whole(streams, "many").await), many);
    assert_gapless(&everything(streams).await);
}

/// Names are for people and applications: any characters but those that control.
pub async fn streams_that_look_alike_are_kept_apart(world: &dyn World) {
    let streams = &*world.open().await;
    let long = "x".repeat(STREAM_LEN_MAX);
    let other_long = format!("{}y", "x".repeat(STREAM_LEN_MAX - 1));
    let mut names = [
        "a",
        "A",
        "a-",
        "-a",
        "-",
        "a-b",
        "a--b",
        "a-b-c",
        "a b",
        " a",
        "a ",
        "..",
        ".",
        "/",
        "a/b",
        "a\\b",
        "%61",
        "$all",
        "*",
        "\u{fc}",
        "u\u{308}",
        "\u{1f600}",
        "a:b",
        "'; --",
        "a\u{a0}",
        &long,
        &other_long,
    ];
    for (count, name) in (1_u64..).zip(names) {
        for number in 0..count {
            append(streams, name, &[&number.to_string()]).await;
        }
    }
    for (count, name) in (1_u64..).zip(names) {
        let events = whole(streams, name).await;
        assert!(events.iter().all(|event| event.stream == name), "{name:?}: {events:?}");
        let status = ok(streams.stream(name).await).expect("it has events");
        assert_eq!((status.name.as_str(), status.revision), (name, count - 1));
        assert_eq!(events.last().map(|event| event.revision), Some(count - 1), "{name:?}");
    }
    names.sort_unstable();
    let listed = ok(streams.streams("", None, 1_000).await);
    assert_eq!(listed.iter().map(|status| status.name.as_str()).collect::<Vec<_>>(), names);
    let listed = ok(streams.streams("a-", None, 1_000).await);
    let listed: Vec<&str> = listed.iter().map(|status| status.name.as_str()).collect();
    assert_eq!(listed, ["a-", "a--b", "a-b", "a-b-c"]);
    let of_a = super::kit::query(&[], &[], Some("a"));
    let found = super::kit::read_all(streams, &of_a, None, Direction::Forwards, 100).await;
    let mut found: Vec<&str> = found.iter().map(|event| event.stream.as_str()).collect();
    found.dedup();
    assert_eq!(found, ["a", "a-", "a-b", "a--b", "a-b-c"]);
    assert_gapless(&everything(streams).await);
}
