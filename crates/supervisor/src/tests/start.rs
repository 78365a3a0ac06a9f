//! Starting: order, environment, the whole's phase.

use crate::{
    Phase, ServiceState,
    testing::{Node, job, name, service},
};
use manifest::{Condition, Database, Program};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_service_starts_when_its_needs_are_ready_and_the_others_at_once() {
    let node = Node::start(&[
        service("db", "ok, ready after 5000 ms"),
        service("cache", "ok, ready after 2000 ms"),
        service("api", "ok").needs("db").needs("cache"),
        service("web", "ok").needs("api"),
        service("worker", "ok"),
    ])
    .await;
    assert_eq!(node.handle.status().phase, Phase::Starting);
    node.until_shows(
        "db starting 0/1: 1 started
         api waiting 0/1, waits for db cache
         web waiting 0/1, waits for api
         worker ready 1/1: 1 ready",
    )
    .await;
    node.until_shows("api waiting 0/1, waits for db").await;
    node.until_phase(Phase::Ready).await;
    let world = &node.world;
    assert!(world.at("start cache/1") < world.at("route db/1"), "what needs nobody does not wait");
    assert!(world.at("route db/1") < world.at("start api/1"));
    assert!(world.at("route cache/1") < world.at("start api/1"));
    assert!(world.at("route api/1") < world.at("start web/1"));
    let waited = node.of("api").waited.unwrap();
    assert!(waited >= Duration::from_secs(5), "{waited:?}");
    assert_eq!(node.of("db").waited, None);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn all_instances_start_together_and_each_is_routed_when_it_is_ready() {
    let node = Node::ready(&[service("users", "ok").instances(3)]).await;
    assert_eq!(node.world.routed(), ["users/1", "users/2", "users/3"]);
    assert!(node.world.at("start users/3") < node.world.at("route users/1"));
    assert_eq!(node.show(), "users ready 3/3: 1 ready, 2 ready, 3 ready\n");
    let ports: Vec<_> = node.of("users").instances.iter().map(|i| i.port.unwrap()).collect();
    assert!(ports[0] != ports[1] && ports[1] != ports[2]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_picture_keeps_the_order_of_the_file_from_the_first_moment() {
    let services = [service("c", "ok").needs("a"), service("a", "ok"), service("b", "ok")];
    let node = Node::start(&services).await;
    let order = |node: &Node| {
        node.handle.status().services.iter().map(|s| s.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(order(&node), ["c", "a", "b"]);
    node.until_phase(Phase::Ready).await;
    assert_eq!(order(&node), ["c", "a", "b"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn who_needs_only_a_started_service_does_not_wait_for_its_readiness() {
    let node = Node::start(&[
        service("db", "ok, ready after 20000 ms"),
        service("api", "ok").needs_until("db", Condition::Started),
    ])
    .await;
    node.until_shows("api ready 1/1: 1 ready\ndb starting 0/1: 1 started").await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_need_that_fails_keeps_its_callers_waiting_and_says_for_whom() {
    let node = Node::start(&[
        service("db", "exit 1"),
        service("api", "ok").needs("db"),
        service("web", "ok").needs("api"),
    ])
    .await;
    node.pass(120).await;
    assert_eq!(node.handle.status().phase, Phase::Degraded);
    assert_eq!(node.of("db").state, ServiceState::Failed);
    assert_eq!(node.of("api").waiting_for, [name("db")]);
    assert!(node.of("api").reason.starts_with("waits for db since"));
    assert_eq!(node.of("web").waiting_for, [name("api")]);
    assert_eq!(node.world.count("start api/1"), 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_lives_on_when_its_need_fails_later() {
    let node = Node::ready(&[service("db", "ok"), service("api", "ok").needs("db")]).await;
    node.world.crash("db/1", &ports::host::Exit::Signal(9));
    node.until_told("db/1 restarting").await;
    assert_eq!(node.of("api").state, ServiceState::Ready);
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start api/1"), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_gets_its_port_its_needs_and_what_the_file_says() {
    let node = Node::ready(&[
        service("db", "ok"),
        service("api", "ok").needs("db").env("LOG_LEVEL", "debug").with(|s| {
            s.db = Some(Database::Url("postgres://db/api".to_owned()));
        }),
        service("worker", "ok").with(|s| {
            s.listens = false;
            s.probes = manifest::Probes::default();
        }),
    ])
    .await;
    let spec = node.world.spec("api/1");
    let get = |key: &str| spec.env.get(key).map(String::as_str).unwrap_or_default();
    assert_eq!(get("PORT"), spec.port.unwrap().to_string());
    assert_eq!((get("FLOTILLA_SERVICE"), get("FLOTILLA_INSTANCE")), ("api", "api/1"));
    assert!(get("DB_URL").starts_with("http://127.0.0.1:4"));
    assert_eq!(get("DATABASE_URL"), "postgres://db/api");
    assert_eq!(get("LOG_LEVEL"), "debug");
    let worker = node.world.spec("worker/1");
    assert_eq!((worker.port, worker.env.get("PORT")), (None, None));
    assert_eq!(node.world.routed(), ["api/1", "db/1"], "who does not listen gets no requests");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_container_runs_in_its_own_host_and_knows_its_inner_port() {
    let node = Node::ready(&[service("mailer", "").with(|s| {
        s.program = Program::Container(manifest::Container {
            image: "mailer, ok".to_owned(),
            ..manifest::Container::default()
        });
        s.port = Some(3_000);
    })])
    .await;
    let spec = node.world.spec("mailer/1");
    assert_eq!(spec.env["PORT"], "3000");
    assert!(spec.port.is_some_and(|port| port >= crate::PORT_FIRST));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_whole_is_ready_only_when_every_service_is_and_every_job_has_ended_well() {
    let node = Node::start(&[
        service("users", "ok"),
        job("import", "exit 0 after 30000 ms"),
        service("off", "ok").instances(0),
    ])
    .await;
    node.until_shows("users ready 1/1: 1 ready\noff stopped 0/0").await;
    assert_eq!(node.handle.status().phase, Phase::Starting, "the job still runs");
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.of("import").state, ServiceState::Completed);
    node.handle.stop_service(&name("users")).await.unwrap();
    node.until_shows("users stopped 0/1").await;
    assert_eq!(node.handle.status().phase, Phase::Ready, "stopped by hand is as it should be");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_instances_use_is_seen() {
    let node = Node::ready(&[service("users", "ok")]).await;
    node.until("usage", |status| {
        let usage = status.services[0].instances.first().and_then(|i| i.usage);
        usage.is_some_and(|usage| (usage.cpu - 0.5).abs() < 0.01 && usage.processes == 1)
    })
    .await;
    node.stop().await;
}
