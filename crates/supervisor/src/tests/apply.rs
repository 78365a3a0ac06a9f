//! Applying a changed file.

use crate::{
    Phase, ServiceState,
    testing::{Make, Node, free_port, name, probe, service},
};
use base::Code;
use manifest::Program;
use std::time::Duration;

fn shop() -> [Make; 3] {
    [
        service("db", "ok"),
        service("users", "ok v1, ready after 1000 ms").needs("db").instances(2),
        service("web", "ok").needs("users"),
    ]
}

#[tokio::test(start_paused = true)]
async fn only_what_changed_is_restarted_and_the_reasons_are_told() {
    let node = Node::ready(&shop()).await;
    let [db, users, web] = shop();
    let users = users.env("LOG_LEVEL", "debug");
    let changed = node.apply(&[db, users, web]).await;
    assert_eq!(changed, "db Keep: \nusers Replace: env LOG_LEVEL added\nweb Keep: \n");
    node.until_shows("users updating 2/2: 1 ready, 2 ready, 3 started").await;
    node.until_phase(Phase::Ready).await;
    let world = &node.world;
    assert_eq!((world.count("start db/1"), world.count("start web/1")), (1, 1));
    let of_users = world.state().story.iter().filter(|l| l.starts_with("start users/")).count();
    assert_eq!(of_users, 4, "two before, two after");
    for id in &node.of("users").instances {
        assert_eq!(node.world.spec(&id.id.to_string()).env["LOG_LEVEL"], "debug");
    }
    node.until_told("users applied: env LOG_LEVEL added").await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_never_leaves_fewer_ready_than_before() {
    let node = Node::ready(&[service("users", "ok v1, ready after 3000 ms").instances(3)]).await;
    node.apply(&[service("users", "ok v2, ready after 3000 ms").instances(3)]).await;
    let mut status = node.handle.status();
    while status.services[0].state != ServiceState::Ready {
        assert!(node.world.routed().len() >= 3, "{}", node.show());
        status = node.handle.changed(status.revision).await;
    }
    assert_eq!(node.world.routed().len(), 3);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_version_that_fails_leaves_the_old_one_serving() {
    for (line, code) in [
        ("v2, exit 1", Code::CRASH_LOOP),
        ("v2, never ready", Code::NOT_READY),
        ("v2, refused", Code::START_FAILED),
    ] {
        let node = Node::ready(&[service("users", "ok v1").instances(2)]).await;
        node.apply(&[service("users", line).instances(2)]).await;
        node.until_problem("users", code).await;
        node.pass(300).await;
        assert_eq!(node.world.routed(), ["users/1", "users/2"], "{line}");
        assert_eq!(node.of("users").state, ServiceState::Degraded);
        assert!(node.of("users").instances[0].outdated);
        assert_eq!(node.handle.status().phase, Phase::Degraded);
        // The mended file goes through.
        node.apply(&[service("users", "ok v3").instances(2)]).await;
        node.until_phase(Phase::Ready).await;
        assert_eq!(node.of("users").problem, None);
        node.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_old_version_is_asked_its_own_question_until_it_leaves() {
    let asked = |line: &str, question: &str| {
        service("users", line).with(|s| {
            s.probes.startup = Some(probe(question, 30));
            s.probes.ready = Some(probe(question, 1));
            s.probes.live = Some(probe(question, 2));
        })
    };
    let node = Node::ready(&[asked("v1", "v1?")]).await;
    node.apply(&[asked("v2, exit 1", "v2?")]).await;
    node.pass(120).await;
    assert_eq!(node.world.routed(), ["users/1"], "{}", node.show());
    assert_eq!(node.world.count("start users/1"), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_policy_restarts_nothing_and_takes_effect() {
    let node = Node::ready(&[service("users", "ok, ignore term")]).await;
    let changed = node
        .apply(&[service("users", "ok, ignore term").with(|s| {
            s.stop.grace = Duration::from_secs(3);
            s.restart.backoff = Duration::from_secs(9);
            s.probes.live = Some(probe("alive?", 2));
        })])
        .await;
    assert_eq!(changed, "users Update: health changed, restart changed, stop changed\n");
    node.pass(60).await;
    assert_eq!(node.world.count("start users/1"), 1);
    node.world.change(|w| w.dead.insert("users/1".to_owned()));
    let began = tokio::time::Instant::now();
    node.until_told("users/1 killed").await;
    assert!(began.elapsed() < Duration::from_secs(8), "the new probe and the new grace");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_changes_while_a_start_is_asked_about_holds_nobody_up() {
    let node = Node::start(&[service("users", "ok, ready after 5000 ms")]).await;
    node.until_shows("users starting 0/1: 1 started").await;
    let slower = service("users", "ok, ready after 5000 ms").with(|s| {
        s.probes.startup.as_mut().unwrap().period = Duration::from_secs(2);
    });
    node.apply(&[slower]).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start users/1"), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn another_number_of_instances_only_scales() {
    let node = Node::ready(&[service("users", "ok").instances(2)]).await;
    let changed = node.apply(&[service("users", "ok").instances(3)]).await;
    assert_eq!(changed, "users Scale: instances 2 → 3\n");
    node.until_shows("users ready 3/3: 1 ready, 2 ready, 3 ready").await;
    assert_eq!(node.world.count("start users/1"), 1);
    node.apply(&[service("users", "ok").instances(1)]).await;
    node.until_shows("users ready 1/1: 1 ready").await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_left_the_file_is_drained_stopped_and_leaves_the_picture() {
    let node = Node::ready(&shop()).await;
    let [db, users, _] = shop();
    assert!(node.apply(&[db, users]).await.contains("web Remove: no longer in the file"));
    node.until("web is gone", |s| s.services.len() == 2).await;
    assert!(node.world.at("unroute web/1") < node.world.at("term web/1"));
    assert_eq!(node.world.alive(), ["db/1", "users/1", "users/2"]);
    assert_eq!(node.handle.status().phase, Phase::Ready);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_while_it_leaves_goes_on_with_new_numbers() {
    let slow = || service("users", "ok, stop takes 20000 ms").instances(2);
    let node = Node::ready(&[slow(), service("web", "ok")]).await;
    node.apply(&[service("web", "ok")]).await;
    node.pass(2).await;
    assert_eq!(node.world.alive(), ["users/1", "users/2", "web/1"]);
    let changed = node.apply(&[slow(), service("web", "ok")]).await;
    assert_eq!(changed, "users Start: new in the file\nweb Keep: \n");
    node.until("two new ones are ready", |s| s.services[0].ready == 2).await;
    assert_eq!(node.world.routed(), ["users/3", "users/4", "web/1"]);
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.of("users").instances.len(), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_left_the_file_a_moment_ago() {
    let node = Node::ready(&[service("users", "ok, stop takes 20000 ms")]).await;
    node.apply(&[]).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_becomes_a_container_leaves_no_process_behind() {
    let container = service("users", "").with(|s| {
        let image = "users, ok".to_owned();
        s.program = Program::Container(manifest::Container { image, ..Default::default() });
    });
    let node = Node::ready(&[service("users", "ok")]).await;
    node.apply(&[container]).await;
    node.until_shows("users ready 1/1: 2 ready").await;
    assert_eq!(node.world.count("term users/1"), 1);
    assert_eq!(node.world.alive(), ["users/2"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_need_is_waited_for_while_the_old_version_serves() {
    let node = Node::ready(&[service("api", "ok")]).await;
    node.apply(&[service("api", "ok").needs("db"), service("db", "ok, ready after 9000 ms")]).await;
    node.pass(5).await;
    assert_eq!(node.world.routed(), ["api/1"]);
    assert_eq!(node.world.alive(), ["api/1", "db/1"]);
    node.until_phase(Phase::Ready).await;
    assert!(node.world.at("route db/1") < node.world.at("start api/2"));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_with_a_fixed_port_ends_before_its_successor_starts() {
    let port = free_port();
    let fixed = |line: &str| service("users", line).with(|s| s.port = Some(port));
    let node = Node::ready(&[fixed("ok v1, stop takes 3000 ms")]).await;
    node.apply(&[fixed("ok v2")]).await;
    node.until_phase(Phase::Ready).await;
    let story = node.world.state().story.clone();
    let ended = story.iter().position(|l| l == "forget users/1").unwrap();
    let started = story.iter().rposition(|l| l == "start users/1").unwrap();
    assert!(ended < started, "{story:#?}");
    assert_eq!(node.world.spec("users/1").port, Some(port));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_plan_says_what_apply_would_do_and_does_nothing() {
    let node = Node::ready(&shop()).await;
    let [db, users, _] = shop();
    let system = crate::testing::system(&[db.env("A", "1"), users]);
    let plan = node.handle.plan(&system).await;
    let actions: Vec<_> = plan.iter().map(|c| (c.service.as_str(), c.action)).collect();
    use crate::Action::{Keep, Remove, Replace};
    assert_eq!(actions, [("db", Replace), ("users", Keep), ("web", Remove)]);
    node.pass(30).await;
    assert_eq!(node.world.alive().len(), 4);
    assert_eq!(node.of("web").state, ServiceState::Ready);
    assert_eq!(node.handle.status().services[0].name, name("db"));
    node.stop().await;
}
