//! Scaling and restarting by hand.

use crate::{
    Error, INSTANCES_MAX, Phase, Target,
    testing::{Node, job, name, service},
};
use base::InstanceId;

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn scaling_up_starts_more_and_scaling_down_drains_the_highest_numbers() {
    let node = Node::ready(&[service("users", "ok")]).await;
    let users = name("users");
    node.handle.scale(&users, 4).await.unwrap();
    node.until_shows("users ready 4/4: 1 ready, 2 ready, 3 ready, 4 ready").await;
    node.world.change(|w| w.open.insert(id("users/4"), 1));
    node.handle.scale(&users, 2).await.unwrap();
    node.until_shows("users updating 2/2: 1 ready, 2 ready, 4 draining").await;
    assert_eq!(node.world.routed(), ["users/1", "users/2"]);
    assert_eq!(node.world.count("term users/4"), 0, "a request is still open there");
    node.world.change(|w| w.open.clear());
    node.until_shows("users ready 2/2: 1 ready, 2 ready").await;
    node.handle.scale(&users, 0).await.unwrap();
    node.until_shows("users stopped 0/0").await;
    node.handle.scale(&users, 1).await.unwrap();
    node.until_phase(Phase::Ready).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_scale_by_hand_stands_until_the_file_says_another_number() {
    let two = |line: &str| service("users", line).instances(2);
    let node = Node::ready(&[two("ok v1"), service("web", "ok")]).await;
    node.handle.scale(&name("users"), 4).await.unwrap();
    node.until_phase(Phase::Ready).await;
    node.apply(&[two("ok v1"), service("web", "ok").env("A", "1")]).await;
    node.pass(60).await;
    assert_eq!((node.of("users").ready, node.of("users").desired), (4, 4));
    node.apply(&[two("ok v2"), service("web", "ok").env("A", "1")]).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.of("users").desired, 4, "also over a new version");
    node.apply(&[two("ok v2").instances(3), service("web", "ok").env("A", "1")]).await;
    node.until("three", |s| s.services[0].instances.len() == 3).await;
    assert_eq!(node.of("users").desired, 3);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_scaled_says_why() {
    let fixed = service("web", "ok").with(|s| s.port = Some(1));
    let node = Node::start(&[service("users", "ok"), job("once", "exit 0"), fixed]).await;
    let ask = async |service: &str, count| match node.handle.scale(&name(service), count).await {
        Err(Error::Invalid(why)) => why,
        other => format!("{other:?}"),
    };
    assert_eq!(ask("once", 2).await, "once is a job; a job has one instance");
    assert_eq!(ask("web", 2).await, "web has a fixed port, so it can have one instance only");
    let many = ask("users", INSTANCES_MAX + 1).await;
    assert_eq!(many, format!("a service has at most {INSTANCES_MAX} instances"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn one_instance_is_restarted_after_its_successor_is_ready() {
    let node = Node::ready(&[service("users", "ok").instances(3)]).await;
    node.world.forget_story();
    node.handle.restart(&Target::Instance(id("users/2"))).await.unwrap();
    node.until_told("users/2 stopped").await;
    node.until_shows("users ready 3/3: 1 ready, 3 ready, 4 ready").await;
    assert!(node.world.at("route users/4") < node.world.at("unroute users/2"));
    assert_eq!(node.world.count("unroute users/1"), 0);
    let unknown = node.handle.restart(&Target::Instance(id("users/9"))).await;
    assert_eq!(unknown, Err(Error::UnknownInstance("users/9".to_owned())));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_of_a_service_replaces_each_instance_and_of_all_every_service() {
    let node = Node::ready(&[service("users", "ok").instances(2), service("web", "ok")]).await;
    node.handle.restart(&Target::Service(name("users"))).await.unwrap();
    node.until_told("users/1 stopped").await;
    node.until_phase(Phase::Ready).await;
    node.until_told("users/2 stopped").await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start web/1"), 1);
    node.handle.restart(&Target::All).await.unwrap();
    node.until_told("web/1 stopped").await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.of("users").instances.len(), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_cuts_the_wait_of_a_crash_loop_short() {
    let node = Node::start(&[service("users", "ok")]).await;
    node.until_phase(Phase::Ready).await;
    for _ in 0..8 {
        node.world.crash("users/1", &ports::host::Exit::Code(1));
        node.until("it is down", |s| s.services[0].ready == 0).await;
        if node.of("users").instances[0].next_start.is_none() {
            node.until("it waits", |s| s.services[0].instances[0].next_start.is_some()).await;
        }
        let began = tokio::time::Instant::now();
        node.handle.restart(&Target::Service(name("users"))).await.unwrap();
        node.until_phase(Phase::Ready).await;
        assert!(began.elapsed().as_secs() < 2);
    }
    node.stop().await;
}
