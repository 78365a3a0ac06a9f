//! Jobs and cron jobs.

use crate::{
    Phase, ServiceState, Target,
    testing::{Make, Node, World, job, name, service, system},
};
use base::Code;
use manifest::{Condition, Kind};

fn cron(line: &str, when: &str) -> Make {
    job("report", line).with(|s| s.kind = Kind::Cron(when.to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_job_is_complete_only_when_it_has_ended_and_then_its_callers_start() {
    let node = Node::start(&[
        job("migrate", "exit 0 after 8000 ms"),
        service("api", "ok").needs_until("migrate", Condition::Completed),
        service("web", "ok").needs_until("migrate", Condition::Ready),
    ])
    .await;
    node.until_shows("migrate starting 0/1: 1 ready").await;
    node.pass(5).await;
    node.until_shows(
        "migrate starting 0/1: 1 ready
         api waiting 0/1, waits for migrate
         web waiting 0/1, waits for migrate",
    )
    .await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.of("migrate").state, ServiceState::Completed);
    assert_eq!((node.of("migrate").ready, node.of("migrate").desired), (1, 1));
    let world = &node.world;
    assert!(world.at("forget migrate/1") < world.at("start api/1"));
    assert!(world.at("forget migrate/1") < world.at("start web/1"));
    assert!(!world.spec("api/1").env.contains_key("MIGRATE_URL"), "a job listens nowhere");
    node.pass(300).await;
    assert_eq!(world.count("start migrate/1"), 1, "it runs once");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_changed_runs_again_and_never_twice_at_once() {
    let node = Node::ready(&[job("migrate", "exit 0, v1")]).await;
    assert_eq!(
        node.apply(&[job("migrate", "exit 0 after 9000 ms, v2")]).await,
        "migrate Replace: run changed\n"
    );
    node.until_shows("migrate starting 0/1: 1 ready").await;
    // Changed again while it runs: the first is ended before the second begins.
    node.apply(&[job("migrate", "exit 0, v3")]).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start migrate/1"), 3);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_runs_again_when_it_is_asked_to() {
    let node = Node::start(&[job("migrate", "exit 2")]).await;
    node.until_problem("migrate", Code::JOB_FAILED).await;
    node.world.forget_story();
    node.handle.restart(&Target::Service(name("migrate"))).await.unwrap();
    node.until("it runs", |s| s.services[0].problem.is_none()).await;
    node.until_problem("migrate", Code::JOB_FAILED).await;
    assert_eq!(node.world.count("start migrate/1"), 4, "with all its tries");
    node.apply(&[job("migrate", "exit 0")]).await;
    node.until_phase(Phase::Ready).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_runs_at_its_time_and_only_then() {
    let node = Node::start(&[cron("exit 0 after 100 ms", "*/5 * * * *")]).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.show(), "report scheduled 0/1\n");
    let due = node.of("report").next_run.unwrap();
    assert_eq!(due.millis() / 1_000 % 300, 0);
    node.pass(299).await;
    assert_eq!(node.world.count("start report/1"), 0);
    node.pass(2).await;
    assert_eq!(node.world.count("start report/1"), 1);
    node.until_shows("report scheduled 1/1: 1 completed").await;
    assert!(node.of("report").next_run.unwrap() > due);
    node.pass(900).await;
    assert_eq!(node.world.count("start report/1"), 4);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_whose_run_has_not_ended_skips_its_time() {
    let node = Node::start(&[cron("exit 0 after 420000 ms", "*/5 * * * *")]).await;
    node.pass(301).await;
    node.until_shows("report starting 0/1: 1 ready").await;
    node.until_told("report skipped: the run before has not ended yet").await;
    assert_eq!(node.world.count("start report/1"), 1);
    node.pass(302).await;
    assert_eq!(node.world.count("start report/1"), 2, "the time after that it runs");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_running_cron_job_is_not_disturbed_by_an_apply() {
    let node = Node::start(&[cron("exit 0 after 60000 ms", "*/5 * * * *")]).await;
    node.pass(310).await;
    let same = cron("exit 0 after 60000 ms", "*/5 * * * *");
    node.apply(&[same.clone(), service("web", "ok")]).await;
    node.apply(&[cron("exit 0, v2", "*/5 * * * *"), service("web", "ok")]).await;
    node.pass(10).await;
    assert_eq!((node.world.alive().len(), node.world.count("term report/1")), (2, 0));
    node.pass(60).await;
    node.until_shows("report scheduled 1/1: 1 completed").await;
    assert_eq!(node.world.count("start report/1"), 1, "not at once, but at its time");
    node.pass(300).await;
    assert_eq!(node.world.count("start report/1"), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopped_cron_job_misses_its_times_and_does_not_make_up_for_them() {
    let node = Node::start(&[cron("exit 0", "*/5 * * * *")]).await;
    node.pass(310).await;
    node.handle.stop_service(&name("report")).await.unwrap();
    node.pass(900).await;
    assert_eq!(node.world.count("start report/1"), 1);
    assert_eq!(node.of("report").state, ServiceState::Stopped);
    node.handle.start_service(&name("report")).await.unwrap();
    node.pass(10).await;
    assert_eq!(node.world.count("start report/1"), 1);
    node.pass(300).await;
    assert_eq!(node.world.count("start report/1"), 2);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_that_fails_is_told_and_runs_at_its_next_time() {
    let node = Node::start(&[cron("exit 1", "*/5 * * * *")]).await;
    node.pass(310).await;
    node.until_problem("report", Code::JOB_FAILED).await;
    node.until_shows("report failed 0/1: 1 failed").await;
    assert_eq!(node.world.count("start report/1"), 4);
    node.apply(&[cron("exit 0", "*/5 * * * *")]).await;
    node.pass(300).await;
    node.until_shows("report scheduled 1/1: 1 completed").await;
    assert_eq!(node.of("report").problem, None);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_may_become_a_cron_job_and_a_cron_job_a_service() {
    let node = Node::ready(&[service("report", "ok")]).await;
    node.apply(&[cron("exit 0", "*/5 * * * *")]).await;
    node.until_shows("report scheduled 0/1").await;
    assert_eq!(node.world.alive(), Vec::<String>::new());
    node.apply(&[service("report", "ok")]).await;
    node.until_shows("report ready 1/1: 1 ready").await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cron_job_is_built_before_its_first_time() {
    let world = World::new();
    let built = cron("exit 0", "*/5 * * * *").build("exit 0 after 3000 ms");
    let node = Node::start_in(world, system(&[built])).await;
    node.until_shows("report building 0/1").await;
    node.until_shows("report scheduled 0/1").await;
    assert_eq!(node.world.count("start report/build"), 1);
    node.stop().await;
}
