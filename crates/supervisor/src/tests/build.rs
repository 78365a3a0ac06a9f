//! Build steps.

use crate::{
    Phase, ServiceState,
    testing::{Make, Node, World, free_port, name, service, system},
};
use base::Code;
use std::time::Duration;

fn built(line: &str, build: &str) -> Make {
    service("users", line).build(build)
}

#[tokio::test(start_paused = true)]
async fn a_service_starts_when_its_build_has_ended_and_builds_while_it_waits_for_needs() {
    let node = Node::start(&[
        service("db", "ok, ready after 9000 ms"),
        built("ok", "exit 0 after 5000 ms").needs("db").instances(2),
    ])
    .await;
    node.until_shows("users building 0/2").await;
    assert_eq!(node.of("users").reason, "exit 0 after 5000 ms");
    node.until_shows("users waiting 0/2, waits for db").await;
    node.until_phase(Phase::Ready).await;
    assert!(node.world.at("forget users/build") < node.world.at("start users/1"));
    assert_eq!(node.world.count("start users/build"), 1, "one build for all instances");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_build_shows_its_output_keeps_the_old_instances_and_is_tried_by_the_next_apply() {
    let node = Node::ready(&[built("ok v1", "exit 0")]).await;
    let broken = || built("ok v2", "says error: expected `;`, exit 101");
    node.apply(&[broken()]).await;
    let problem = node.until_problem("users", Code::BUILD_FAILED).await;
    assert_eq!(problem.message, "the build of users failed: exit code 101");
    assert_eq!(problem.place.as_ref().map(|p| &*p.text), Some("build"));
    assert!(problem.notes.iter().any(|n| n == "output: error: expected `;`"), "{problem}");
    node.pass(100).await;
    assert_eq!(node.show(), "users degraded 1/1: 1 ready\n");
    assert_eq!(node.world.routed(), ["users/1"]);
    node.world.forget_story();
    // The same file: what was mended is in the source.
    assert_eq!(node.apply(&[broken()]).await, "users Keep: \n");
    node.until_told("users building").await;
    node.pass(5).await;
    assert_eq!(node.world.count("start users/build"), 1);
    node.apply(&[built("ok v2", "exit 0")]).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.of("users").problem, None);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_first_build_that_fails_is_a_failed_service() {
    let node = Node::start(&[built("ok", "exit 1"), service("web", "ok").needs("users")]).await;
    node.until_problem("users", Code::BUILD_FAILED).await;
    node.until_shows("users failed 0/1\nweb waiting 0/1, waits for users").await;
    node.handle.restart(&crate::Target::Service(name("users"))).await.unwrap();
    node.until_shows("users failed 0/1").await;
    node.pass(5).await;
    assert_eq!(node.world.count("start users/build"), 2, "a restart builds again");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_fixed_port_is_given_up_only_for_what_has_been_built() {
    let port = Some(free_port());
    let fixed = |line: &str, build: &str| built(line, build).with(|s| s.port = port);
    let node = Node::ready(&[fixed("ok v1", "exit 0")]).await;
    node.apply(&[fixed("ok v2", "exit 1 after 3000 ms")]).await;
    node.until_problem("users", Code::BUILD_FAILED).await;
    assert_eq!(
        (node.world.routed(), node.world.count("term users/1")),
        (vec!["users/1".into()], 0)
    );
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_build_is_called_off_by_a_stop_and_by_a_newer_file() {
    let node = Node::start(&[built("ok v1", "exit 0 after 600000 ms")]).await;
    node.until_shows("users building 0/1").await;
    node.pass(1).await;
    node.apply(&[built("ok v2", "exit 0 after 5000 ms")]).await;
    let began = tokio::time::Instant::now();
    node.until_phase(Phase::Ready).await;
    assert!(began.elapsed() < Duration::from_secs(10), "nobody waits for the old build");
    assert_eq!(node.world.spec("users/1").program, ports::host::Program::Shell("ok v2".into()));
    node.apply(&[built("ok v3", "exit 0 after 600000 ms")]).await;
    node.pass(1).await;
    node.handle.stop_service(&name("users")).await.unwrap();
    node.until_shows("users stopped 0/1").await;
    assert_eq!(node.world.alive(), Vec::<String>::new());
    node.handle.start_service(&name("users")).await.unwrap();
    node.until_shows("users building 0/1").await;
    node.pass(1).await;
    assert_eq!(node.world.alive(), ["users/build"], "started again, it is built again");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_goes_ends_the_build_and_waits_for_nothing() {
    let node = Node::start(&[built("ok", "exit 0 after 600000 ms")]).await;
    node.pass(1).await;
    let (world, _) = node.die().await;
    world.assert_empty();
}

#[tokio::test(start_paused = true)]
async fn only_so_many_builds_run_at_once() {
    let services: Vec<Make> = ["a", "b", "c", "d", "e"]
        .map(|name| service(name, "ok").build("exit 0 after 5000 ms"))
        .into();
    let node = Node::start(&services).await;
    node.pass(2).await;
    assert_eq!(node.world.alive().len(), crate::BUILDS_MAX);
    node.until_phase(Phase::Ready).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn builds_can_be_left_out() {
    let world = World::new();
    let system = system(&[built("ok", "exit 1")]);
    let node = Node::start_with(world, system, |config| config.no_build = true).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.of("users").state, ServiceState::Ready);
    assert_eq!(node.world.count("start users/build"), 0);
    node.stop().await;
}
