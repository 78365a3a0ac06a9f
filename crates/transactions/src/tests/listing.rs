//! Listings, and how long what has ended is kept.

use crate::{testing::*, *};
use logic::tx::{Mode, Phase};
use ports::kv::conformance::Memory;
use std::time::Duration;

/// All names, page by page.
async fn all(world: &World, filter: Filter) -> Vec<String> {
    let (mut names, mut filter) = (Vec::new(), filter);
    for _ in 0..1_000 {
        let page = world.handle.list(&filter).await.unwrap();
        assert!(page.transactions.len() <= filter.limit.unwrap_or(100));
        names.extend(page.transactions.into_iter().map(|view| view.gid.to_string()));
        let Some(next) = page.next else { return names };
        filter.cursor = Some(next);
    }
    panic!("the listing has no end: {names:?}");
}

/// Some that are open, `o1` the oldest, and some that have ended, `e1` the first.
async fn filled() -> World {
    let world = World::start();
    for number in 1..=9 {
        let mode = if number % 2 == 0 { Mode::TwoPhase } else { Mode::Saga };
        let mut spec = transfer(mode, "a", "b", if number == 3 { 1_000 } else { 1 });
        spec.labels = [("number".to_owned(), number.to_string())].into();
        let (gid, wait) = (gid(&format!("e{number}")), Some(Duration::from_secs(60)));
        world.handle.submit(Some(gid), ask(spec), wait).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for number in 1..=7 {
        let mut spec = blank(Mode::Tcc);
        spec.labels = [("number".to_owned(), number.to_string())].into();
        world.handle.open(Some(gid(&format!("o{number}"))), ask(spec)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(if number < 5 { 10 } else { 0 })).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn pages_join_up_to_all_that_is_asked_for() {
    let world = filled().await;
    let expected = "o7 o6 o5 o4 o3 o2 o1 e9 e8 e7 e6 e5 e4 e3 e2 e1";
    for limit in [1, 2, 3, 7, 8, 16, 100] {
        let filter = Filter { limit: Some(limit), ..Filter::default() };
        assert_eq!(all(&world, filter).await.join(" "), expected, "{limit}");
    }
    let view = |name: &str| {
        let (handle, gid) = (world.handle.clone(), gid(name));
        async move { handle.get(&gid).await.unwrap().state.begun_ms }
    };
    let (since, until) = (view("e8").await, view("o2").await);
    let label = Some(("number".to_owned(), "3".to_owned()));
    for (filter, expected) in [
        (Filter { mode: Some(Mode::TwoPhase), ..Filter::default() }, "e8 e6 e4 e2"),
        (Filter { phases: vec![Phase::Aborted], ..Filter::default() }, "e3"),
        (Filter { phases: vec![Phase::Open], ..Filter::default() }, "o7 o6 o5 o4 o3 o2 o1"),
        (Filter { label, ..Filter::default() }, "o3 e3"),
        (Filter { name: Some("transfer".to_owned()), ..Filter::default() }, ""),
        (Filter { attention: true, ..Filter::default() }, ""),
        (Filter { since_ms: Some(since), until_ms: Some(until), ..Filter::default() }, "o1 e9 e8"),
    ] {
        let filter = Filter { limit: Some(2), ..filter };
        assert_eq!(all(&world, filter.clone()).await.join(" "), expected, "{filter:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cursor_that_no_listing_gave_is_refused() {
    let world = World::start();
    for cursor in ["", "x", "live.", "live.1", "live.x.y", "live.1.a b", "ended.\0", "live.1."] {
        let filter = Filter { cursor: Some(cursor.to_owned()), ..Filter::default() };
        assert!(matches!(world.handle.list(&filter).await, Err(Error::Invalid(_))), "{cursor:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_forgotten_when_its_time_is_over() {
    let retention = Some(Duration::from_secs(3_600));
    let world = World::over(Memory::new(), Wanted { retention, ..wanted() });
    for number in 0..200 {
        let spec = transfer(Mode::Saga, "a", "b", 0);
        let wait = Some(Duration::from_secs(60));
        world.handle.submit(Some(gid(&format!("{number}"))), ask(spec), wait).await.unwrap();
    }
    let open = world.handle.open(None, ask(patient(Mode::Tcc))).await.unwrap().view.gid;
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    let late = world.run(transfer(Mode::Saga, "a", "b", 0)).await.gid;
    assert_eq!(world.keys("flotilla/shop/tx/done/").await.len(), 201);
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert_eq!(world.keys("flotilla/shop/tx/done/").await.len(), 1);
    assert_eq!(world.keys("flotilla/shop/tx/ended/").await.len(), 1);
    assert!(world.handle.get(&late).await.is_ok());
    assert!(world.handle.get(&open).await.is_ok(), "what has not ended is not forgotten");
    assert!(matches!(world.handle.get(&gid("7")).await, Err(Error::Missing(_))));
    let spec = transfer(Mode::Saga, "a", "b", 0);
    let again = world.handle.submit(Some(gid("7")), ask(spec), None).await.unwrap();
    assert!(!again.is_known, "its name is free again");
}
