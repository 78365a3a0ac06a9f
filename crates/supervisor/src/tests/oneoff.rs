//! One-off runs.

use crate::{
    Error, InstanceState, InstanceStatus, Phase, RunRequest, Target,
    testing::{Node, name, service},
};
use base::InstanceId;
use manifest::Program;
use std::time::Duration;

fn request(line: &str) -> RunRequest {
    let program = Some(Program::Shell(line.to_owned()));
    RunRequest { service: name("users"), program, env: [("A".into(), "1".into())].into() }
}

async fn ended(node: &Node, id: &InstanceId) -> InstanceStatus {
    let find = |status: &crate::Status| {
        let all = status.services.iter().flat_map(|s| &s.instances);
        all.filter(|i| i.id == *id).find(|i| i.state != InstanceState::Ready).cloned()
    };
    find(&*node.until("it ended", |status| find(status).is_some()).await).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_one_off_run_reports_its_end_and_touches_nothing_else() {
    let node = Node::ready(&[service("users", "ok").env("B", "2")]).await;
    let good = node.handle.run(request("exit 0 after 5000 ms")).await.unwrap();
    node.pass(1).await;
    let spec = node.world.spec(&good.to_string());
    assert_eq!((spec.env["A"].as_str(), spec.env["B"].as_str(), spec.port), ("1", "2", None));
    assert_eq!(node.handle.status().phase, Phase::Ready);
    let good = ended(&node, &good).await;
    assert_eq!(
        (good.state, good.last_exit.unwrap().as_str()),
        (InstanceState::Completed, "exit code 0")
    );
    let bad = node.handle.run(request("exit 7")).await.unwrap();
    let bad = ended(&node, &bad).await;
    assert_eq!(
        (bad.state, bad.last_exit.unwrap().as_str()),
        (InstanceState::Failed, "exit code 7")
    );
    let refused = node.handle.run(request("refused")).await.unwrap();
    let refused = ended(&node, &refused).await;
    assert_eq!(refused.last_exit.unwrap(), "`refused` was not found");
    assert_eq!(node.of("users").ready, 1);
    assert_eq!(node.world.routed(), ["users/1"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_so_many_run_at_once_and_only_so_many_that_ended_are_shown() {
    let node = Node::ready(&[service("users", "ok")]).await;
    for _ in 0..64 {
        node.handle.run(request("exit 0 after 5000 ms")).await.unwrap();
    }
    let more = node.handle.run(request("exit 0")).await;
    assert_eq!(more, Err(Error::Conflict("too many one-off runs of users at once".to_owned())));
    node.pass(10).await;
    assert_eq!(node.of("users").instances.len(), 1 + 32);
    let id = node.handle.run(request("exit 0")).await.unwrap();
    assert_eq!(id.to_string(), "users/10065");
    assert!(matches!(
        node.handle.restart(&Target::Instance(id)).await,
        Err(Error::Invalid(why)) if why.contains("one-off run")
    ));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_asks_one_off_runs_to_end_and_kills_those_that_do_not() {
    let quick = service("users", "ok").with(|s| s.stop.grace = Duration::from_secs(3));
    let node = Node::ready(&[quick]).await;
    node.handle.run(request("ignore term")).await.unwrap();
    node.handle.run(request("ok")).await.unwrap();
    node.pass(1).await;
    let began = tokio::time::Instant::now();
    node.handle.stop().await;
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(node.world.count("kill users/10001"), 1);
    assert_eq!(node.world.count("kill users/10002"), 0);
    node.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_one_off_run_just_begun_is_ended_by_a_stop_too() {
    let node = Node::ready(&[service("users", "ok")]).await;
    node.handle.run(request("ok")).await.unwrap();
    node.stop().await;
    let node = Node::ready(&[service("users", "ok")]).await;
    node.handle.run(request("ok")).await.unwrap();
    node.apply(&[]).await;
    node.until("users is gone", |s| s.services.is_empty()).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn beside_a_stopped_service_a_one_off_run_goes_its_way() {
    let node = Node::ready(&[service("users", "ok")]).await;
    node.handle.stop_service(&name("users")).await.unwrap();
    node.until_shows("users stopped 0/1").await;
    let id = node.handle.run(request("exit 0 after 60000 ms")).await.unwrap();
    node.pass(5).await;
    node.until_shows("users stopped 0/1: 10001 ready").await;
    assert_eq!(ended(&node, &id).await.state, InstanceState::Completed);
    node.stop().await;
}
