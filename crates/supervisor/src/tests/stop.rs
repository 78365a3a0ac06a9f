//! Stopping: order, patience, nothing left.

use crate::{
    Error, Phase, ServiceState, Target,
    testing::{Node, name, service},
};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn who_is_needed_stops_after_those_who_need_it() {
    let node = Node::ready(&[
        service("db", "ok, stop takes 100 ms"),
        service("api", "ok, stop takes 2000 ms").needs("db").instances(2),
        service("web", "ok, stop takes 500 ms").needs("api"),
        service("cache", "ok"),
    ])
    .await;
    node.world.forget_story();
    node.handle.stop().await;
    let world = &node.world;
    assert!(world.at("forget web/1") < world.at("unroute api/1"));
    assert!(world.at("forget api/1") < world.at("unroute db/1"));
    assert!(world.at("forget api/2") < world.at("unroute db/1"));
    assert!(world.at("unroute cache/1") < world.at("forget web/1"), "nobody needs the cache");
    node.gone().await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_unrouted_drained_asked_and_only_then_killed() {
    let node = Node::ready(&[service("users", "ok, ignore term")]).await;
    let id = base::InstanceId::parse("users/1").unwrap();
    node.world.change(|w| w.open.insert(id.clone(), 2));
    node.world.forget_story();
    let began = Instant::now();
    let stop = async {
        node.handle.stop().await;
        began.elapsed()
    };
    let drain = async {
        node.pass(4).await;
        assert_eq!(node.handle.status().phase, Phase::Stopping);
        assert_eq!(node.show(), "users stopping 0/1: 1 draining\n");
        assert_eq!(node.world.state().story, ["unroute users/1"]);
        node.world.change(|w| w.open.clear());
    };
    let (took, ()) = tokio::join!(stop, drain);
    assert_eq!(took.as_secs(), 34, "four seconds until idle, thirty of grace");
    let story = node.world.state().story.join(", ");
    assert_eq!(story, "unroute users/1, idle users/1, term users/1, kill users/1, forget users/1");
    node.until_told("users/1 killed: did not end within 30s after the stop signal, killed [F020]")
        .await;
    node.gone().await;
}

#[tokio::test(start_paused = true)]
async fn open_requests_are_waited_for_only_so_long() {
    let node = Node::ready(&[service("users", "ok")]).await;
    let id = base::InstanceId::parse("users/1").unwrap();
    node.world.change(|w| w.open.insert(id, 3));
    let began = Instant::now();
    node.handle.stop().await;
    assert_eq!(began.elapsed().as_secs(), 10);
    node.until_told("users/1 stopping: 3 requests still open after 10s").await;
    node.gone().await;
}

#[tokio::test(start_paused = true)]
async fn patience_can_be_ended_for_everything_at_once() {
    let slow =
        |n: &str| service(n, "ok, ignore term").with(|s| s.stop.grace = Duration::from_secs(500));
    let node = Node::ready(&[slow("db"), slow("api").needs("db")]).await;
    let began = Instant::now();
    let hurry = async {
        node.pass(3).await;
        node.handle.hurry().await;
    };
    tokio::join!(node.handle.stop(), hurry);
    node.until_told("api/1 killed: killed at once, as asked").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    node.gone().await;
}

#[tokio::test(start_paused = true)]
async fn while_it_stops_nothing_can_be_asked_for() {
    let node = Node::ready(&[service("users", "ok, stop takes 5000 ms")]).await;
    let ask = async {
        node.pass(1).await;
        let users = name("users");
        let run = crate::RunRequest { service: users.clone(), program: None, env: [].into() };
        assert_eq!(node.handle.scale(&users, 3).await, Err(Error::Stopping));
        assert_eq!(node.handle.restart(&Target::All).await, Err(Error::Stopping));
        assert_eq!(node.handle.start_service(&users).await, Err(Error::Stopping));
        assert_eq!(node.handle.stop_service(&users).await, Err(Error::Stopping));
        assert_eq!(node.handle.run(run).await, Err(Error::Stopping));
        assert_eq!(node.handle.apply(crate::testing::system(&[])).await, Err(Error::Stopping));
    };
    tokio::join!(node.handle.stop(), ask);
    node.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_system_can_be_stopped_at_any_moment_of_its_start() {
    for ms in [0, 1, 500, 1_500, 3_000] {
        let node = Node::start(&[
            service("db", "ok, ready after 1000 ms"),
            service("api", "ok").needs("db").instances(2),
            service("bad", "exit 1"),
        ])
        .await;
        tokio::time::sleep(Duration::from_millis(ms)).await;
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_stopped_by_hand_starts_again_only_when_asked() {
    let node = Node::ready(&[service("users", "ok").instances(2), service("web", "ok")]).await;
    node.handle.stop_service(&name("users")).await.unwrap();
    node.until_shows("users stopped 0/2\nweb ready 1/1: 1 ready").await;
    assert_eq!(node.world.routed(), ["web/1"]);
    node.pass(100).await;
    assert_eq!(node.of("users").state, ServiceState::Stopped);
    node.handle.start_service(&name("users")).await.unwrap();
    node.until_shows("users ready 2/2: 1 ready, 2 ready").await;
    let unknown = node.handle.stop_service(&name("user")).await;
    let did_you_mean = Some(name("users"));
    assert_eq!(unknown, Err(Error::UnknownService { name: name("user"), did_you_mean }));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_stopped_by_hand_is_a_problem_no_more() {
    let node = Node::start(&[service("users", "exit 1")]).await;
    node.until_problem("users", base::Code::CRASH_LOOP).await;
    node.handle.stop_service(&name("users")).await.unwrap();
    node.until_shows("users stopped 0/1").await;
    assert_eq!(node.handle.status().phase, Phase::Ready);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ports_are_given_back_when_nothing_uses_them() {
    let node = Node::start(&[service("users", "exit 1")]).await;
    node.until_shows("users failed 0/1: 1 crashloop").await;
    // In back-off it ends without a report of any process.
    assert_eq!(node.apply(&[]).await, "users Remove: no longer in the file\n");
    node.until("users is gone", |s| s.services.is_empty()).await;
    node.apply(&[service("users", "ok")]).await;
    node.until_phase(Phase::Ready).await;
    let first = node.world.spec("users/1").port;
    node.apply(&[]).await;
    node.until("users is gone", |s| s.services.is_empty()).await;
    node.apply(&[service("users", "ok")]).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.spec("users/1").port, first, "the same instance, the same port");
    node.stop().await;
}
