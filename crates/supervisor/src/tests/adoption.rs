//! A node that died and the one after it.

use crate::{
    Carried, Phase, ServiceState,
    testing::{Make, Node, cron_job, job, name, service},
};
use base::InstanceId;
use manifest::{Condition, System};
use ports::host::Exit;
use std::collections::BTreeSet;

fn with(system: &System, services: &[Make]) -> System {
    let services = services.iter().map(|make| make.0.clone()).collect();
    System { services, ..system.clone() }
}

#[tokio::test(start_paused = true)]
async fn survivors_are_adopted_without_a_start_and_served_again() {
    let services = [service("db", "ok"), service("users", "ok").needs("db").instances(3)];
    let node = Node::ready(&services).await;
    let port = |node: &Node| node.world.spec("users/2").port;
    let before = port(&node);
    let (world, system) = node.die().await;
    world.forget_story();
    let node = Node::start_in(world, system).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start users/1") + node.world.count("start db/1"), 0);
    assert_eq!(node.world.routed(), ["db/1", "users/1", "users/2", "users/3"]);
    assert_eq!(port(&node), before);
    assert!(node.of("users").instances.iter().all(|i| i.adopted && i.pid.is_some()));
    node.until_told("users/2 adopted: was running already (process 10").await;
    // An adopted instance is watched like any other.
    node.world.crash("users/2", &Exit::Unknown);
    node.until("it is started again", |s| s.services[1].instances[1].restarts == 1).await;
    node.until_phase(Phase::Ready).await;
    assert!(!node.of("users").instances[1].adopted);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn survivors_of_an_older_file_are_replaced_without_a_gap() {
    let node = Node::ready(&[service("users", "ok v1").instances(2)]).await;
    let (world, system) = node.die().await;
    let node =
        Node::start_in(world, with(&system, &[service("users", "ok v2").instances(2)])).await;
    node.until_told(
        "users/1 adopted: was running already (process 1001), to be replaced: run changed",
    )
    .await;
    node.until("both serve", |_| node.world.routed().len() == 2).await;
    let mut status = node.handle.status();
    while status.phase != Phase::Ready {
        assert!(node.world.routed().len() >= 2, "{}", node.show());
        status = node.handle.changed(status.revision).await;
    }
    assert_eq!(node.world.count("term users/1") + node.world.count("term users/2"), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn survivors_whose_needs_have_moved_are_replaced_without_a_gap() {
    let services = [service("db", "ok"), service("users", "ok").needs("db").instances(2)];
    let node = Node::ready(&services).await;
    let before = node.world.spec("users/1").env["DB_URL"].clone();
    let (world, system) = node.die().await;
    world.change(|w| w.needs_moved = 1);
    let node = Node::start_in(world, system).await;
    node.until_told(
        "users/2 adopted: was running already (process 1003), to be replaced: DB_URL changed",
    )
    .await;
    node.until("all serve", |_| node.world.routed().len() == 3).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start db/1"), 1, "what needs nothing stays");
    assert_eq!(node.world.count("term users/1") + node.world.count("term users/2"), 2);
    for instance in &node.of("users").instances {
        assert!(!instance.adopted);
        assert_ne!(node.world.spec(&instance.id.to_string()).env["DB_URL"], before);
    }
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn survivors_of_unknown_services_are_ended() {
    let services = [service("users", "ok"), service("old", "ok, ignore term").instances(2)];
    let node = Node::ready(&services).await;
    let (world, system) = node.die().await;
    let node = Node::start_in(world, with(&system, &[service("users", "ok")])).await;
    node.until_told("old/2 discarded: runs for a service that is not in the file any more").await;
    node.pass(11).await;
    assert_eq!(node.world.alive(), ["users/1"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_those_that_are_being_ended() {
    let node = Node::ready(&[service("old", "ok, ignore term")]).await;
    let (world, system) = node.die().await;
    let node = Node::start_in(world, with(&system, &[])).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_number_is_given_again_only_when_what_had_it_is_gone() {
    let old = service("users", "ok, ignore term").instances(2).build("exit 0");
    let node = Node::ready(&[old]).await;
    node.handle.run(once("users")).await.unwrap();
    node.pass(1).await;
    let (world, system) = node.die().await;
    let node = Node::start_in(world, with(&system, &[])).await;
    // Back in the file while its survivors are still being ended.
    node.apply(&[service("users", "ok").instances(2).build("exit 0")]).await;
    node.until_shows("users waiting 0/2").await;
    assert_eq!(node.of("users").reason, "waits for the end of what an earlier node left");
    let id = node.handle.run(once("users")).await.unwrap();
    assert_eq!(id.to_string(), "users/10002");
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start users/1"), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn fewer_are_kept_when_the_file_asks_for_fewer_and_more_are_started_when_for_more() {
    let node = Node::ready(&[service("a", "ok").instances(3), service("b", "ok")]).await;
    let (world, system) = node.die().await;
    world.forget_story();
    let services = [service("a", "ok").instances(1), service("b", "ok").instances(2)];
    let node = Node::start_in(world, with(&system, &services)).await;
    node.until_shows("a ready 1/1: 1 ready\nb ready 2/2: 1 ready, 2 ready").await;
    assert_eq!((node.world.count("start b/1"), node.world.count("start b/2")), (0, 1));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_port_of_an_adopted_instance_is_not_given_again() {
    let node = Node::ready(&[service("users", "ok").instances(2)]).await;
    let (world, system) = node.die().await;
    world.crash("users/1", &Exit::Code(0));
    let node = Node::start_in(world, with(&system, &[service("users", "ok").instances(8)])).await;
    node.until_phase(Phase::Ready).await;
    let ports: BTreeSet<_> = node.of("users").instances.iter().map(|i| i.port).collect();
    assert_eq!(ports.len(), 8, "the fake host would also have counted a clash");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_survivor_that_is_not_ready_is_kept_out_of_traffic_until_it_is() {
    let node = Node::ready(&[service("users", "ok")]).await;
    let (world, system) = node.die().await;
    world.change(|w| w.sick.insert("users/1".to_owned()));
    let node = Node::start_in(world, system).await;
    node.pass(30).await;
    assert_eq!(node.show(), "users starting 0/1: 1 unready\n");
    assert_eq!((node.world.routed().len(), node.world.count("start users/1")), (0, 1));
    node.world.change(|w| w.sick.clear());
    node.until_phase(Phase::Ready).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn adoption_needs_no_build_and_an_outdated_survivor_does() {
    let built = |line: &str| service("users", line).build("exit 0 after 2000 ms");
    let node = Node::ready(&[built("ok v1")]).await;
    let (world, system) = node.die().await;
    let node = Node::start_in(world, system).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start users/build"), 1, "only the first time");
    let (world, system) = node.die().await;
    let node = Node::start_in(world, with(&system, &[built("ok v2")])).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start users/build"), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_running_job_and_a_running_cron_job_go_on() {
    let services =
        || [job("import", "exit 0 after 60000 ms"), cron_job("report", "exit 0 after 60000 ms")];
    let node = Node::start(&services()).await;
    node.until_told("report/1 started").await;
    node.handle.run(once("import")).await.unwrap();
    node.pass(1).await;
    let (world, system) = node.die().await;
    let node = Node::start_in(world, system).await;
    node.pass(2).await;
    assert_eq!(node.world.count("term report/1"), 0);
    assert_eq!(node.world.count("term import/10001"), 1, "nobody waits for a one-off run any more");
    node.until_shows("report scheduled 1/1: 1 completed").await;
    node.stop().await;
}

fn once(service: &str) -> crate::RunRequest {
    crate::RunRequest { service: name(service), program: None, env: [].into() }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_over_keeps_what_was_done_by_hand() {
    let services = [
        service("users", "ok").instances(2),
        service("items", "ok").instances(3),
        service("idle", "ok"),
        job("seed", "exit 0"),
        service("web", "ok").needs_until("seed", Condition::Completed),
    ];
    let node = Node::start(&services).await;
    node.until_phase(Phase::Ready).await;
    node.handle.scale(&name("users"), 4).await.unwrap();
    node.handle.scale(&name("items"), 1).await.unwrap();
    node.handle.stop_service(&name("idle")).await.unwrap();
    node.until("it is so", |s| {
        s.services[0].ready == 4
            && s.services[1].instances.len() == 1
            && s.services[2].state == ServiceState::Stopped
    })
    .await;
    let (world, system) = node.die().await;
    world.forget_story();
    let carried = Carried {
        counts: [(name("users"), 4), (name("items"), 1)].into(),
        stopped: [name("idle")].into(),
        completed: [InstanceId::parse("seed/1").unwrap()].into(),
    };
    let node = Node::take_over(world, system, carried).await;
    node.until("the same", |s| s.services[0].ready == 4 && s.services[1].ready == 1).await;
    node.until_phase(Phase::Ready).await;
    let status = node.handle.status();
    assert_eq!(status.services[2].state, ServiceState::Stopped);
    assert_eq!(status.services[3].state, ServiceState::Completed);
    for never in ["start seed/1", "start idle/1", "start users/1", "term users/4", "start items/2"]
    {
        assert_eq!(node.world.count(never), 0, "{never}");
    }
    // The file still counts: what it says anew is done.
    node.handle.start_service(&name("idle")).await.unwrap();
    node.until("idle is back", |s| s.services[2].ready == 1).await;
    node.stop().await;
}
