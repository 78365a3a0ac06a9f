//! What fails is explained: code, place, cause, fix.

use crate::{
    InstanceState, Phase, ServiceState,
    testing::{Node, World, job, probe, service, system},
};
use base::{Code, Severity};
use manifest::RestartPolicy;
use ports::host::Exit;
use std::{net::TcpListener, time::Duration};

#[tokio::test(start_paused = true)]
async fn a_crash_is_unrouted_at_once_and_started_again_after_a_wait() {
    let node = Node::ready(&[service("users", "ok").instances(2)]).await;
    node.world.forget_story();
    node.world.crash("users/1", &Exit::Signal(11));
    node.until_shows("users degraded 1/2: 1 backoff, 2 ready").await;
    assert_eq!(node.world.routed(), ["users/2"]);
    let instance = node.of("users").instances[0].clone();
    assert_eq!(instance.last_exit.as_deref(), Some("crashed with SIGSEGV"));
    assert!(instance.next_start.is_some());
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.of("users").instances[0].restarts, 1);
    assert!(node.world.at("unroute users/1") < node.world.at("forget users/1"));
    assert!(node.world.at("forget users/1") < node.world.at("start users/1"));
    node.until_told("users/1 exited: crashed with SIGSEGV").await;
    let journal = node.world.state().journal.clone();
    assert!(journal.contains(&"users/1 crashed with SIGSEGV".to_owned()), "{journal:?}");
    assert!(journal[1].starts_with("users/1 starts again in"), "{journal:?}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_crashes_again_and_again_is_a_crash_loop_with_its_last_lines() {
    let node = Node::start(&[service("users", "says no such table: users, exit 3")]).await;
    let problem = node.until_problem("users", Code::CRASH_LOOP).await;
    assert!(problem.message.contains("3 times in a row, last: exit code 3"), "{problem}");
    assert!(problem.notes.iter().any(|n| n == "output: no such table: users"), "{problem}");
    assert_eq!(problem.place.as_ref().map(|p| &*p.text), Some("run"));
    node.until_shows("users failed 0/1: 1 crashloop").await;
    node.until_told("users/1 crash_loop: starts again in").await;
    assert_eq!(node.handle.status().phase, Phase::Degraded);
    node.pass(600).await;
    let restarts = node.of("users").instances[0].restarts;
    assert!((12..25).contains(&restarts), "waits grow to a minute: {restarts}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_that_ends_leaves_no_problem_behind() {
    let node = Node::ready(&[service("users", "ok")]).await;
    for _ in 0..3 {
        node.world.crash("users/1", &Exit::Code(1));
        node.until_shows("users ready 1/1: 1 ready").await;
        node.pass(5).await;
    }
    assert!(node.told().iter().any(|told| told.starts_with("users/1 crash_loop")));
    assert_eq!(node.of("users").problem, None);
    node.stop().await;
}

/// The problem of a service that runs `line`, as text without its place.
async fn explained(line: &str, code: Code) -> String {
    let node = Node::start(&[service("users", line)]).await;
    let problem = node.until_problem("users", code).await;
    assert_eq!(problem.place.as_ref().map(|p| &*p.text), Some("run"), "{problem}");
    let help = problem.help.clone().unwrap_or_default();
    let text = format!("{}\n{}\n{help}", problem.message, problem.notes.join("\n"));
    node.stop().await;
    text
}

#[tokio::test(start_paused = true)]
async fn what_ends_at_once_is_explained_by_its_exit_and_its_output() {
    for (line, expected) in [
        ("exit 127", "was not found: install it or correct `run:`"),
        ("exit 126", "may not be executed: `chmod +x` it"),
        ("exit 0", "a service must keep running"),
        ("exit 1", "`flotilla logs users` shows all it printed"),
        ("exit 1", "it printed nothing"),
        ("says \x1b[31mboom\x1b[0m, exit 1", "output: boom"),
        ("says Error: EADDRINUSE :::3000, exit 1", "let it listen on $PORT"),
    ] {
        let text = explained(line, Code::EXITED).await;
        assert!(text.contains(expected), "{line}: {text}");
        assert!(text.starts_with("users ended 10ms after its start: exit code"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_and_ends_at_once_is_explained_too() {
    let worker = service("users", "exit 127").with(|s| {
        s.listens = false;
        s.probes = manifest::Probes::default();
    });
    let node = Node::start(&[worker]).await;
    let problem = node.until_problem("users", Code::EXITED).await;
    assert!(problem.help.as_ref().unwrap().contains("was not found"), "{problem}");
    let problem = node.until_problem("users", Code::CRASH_LOOP).await;
    assert!(problem.notes.iter().any(|n| n.contains("was not found")), "{problem}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_refused_is_explained_at_the_run_key() {
    let text = explained("refused", Code::START_FAILED).await;
    assert!(text.contains("was not found") && text.contains("install it"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn what_never_becomes_ready_is_explained_by_the_last_answer() {
    let node = Node::start(&[service("users", "never ready, says booting")]).await;
    let problem = node.until_problem("users", Code::NOT_READY).await;
    assert_eq!(problem.message, "users did not become ready within 29s");
    assert_eq!(problem.place.as_ref().map(|p| &*p.text), Some("health.ready"));
    assert!(problem.label.starts_with("`ready?` ended with exit code 1: not yet (30 times)"));
    assert!(problem.notes.iter().any(|n| n == "output: booting"), "{problem}");
    let silent = |s: &crate::Status| {
        let help = s.services[0].problem.as_ref().and_then(|p| p.help.clone());
        help.is_some_and(|help| help.contains("the process listens on no port"))
    };
    node.until("it is found out that it listens nowhere", silent).await;
    assert_eq!(node.world.routed(), Vec::<String>::new());
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_listens_elsewhere_is_told_the_port_long_before_its_time_is_up() {
    let line = "never ready, listens on 3000, ignore term";
    let node = Node::start(&[service("users", line)]).await;
    let problem = node.until_problem("users", Code::WRONG_PORT).await;
    assert_eq!(node.world.count("term users/1"), 0, "still within its time");
    assert!(problem.message.starts_with("users listens on port 3000, but was given PORT="));
    assert_eq!(problem.severity, Severity::Warning, "it may still open its own");
    assert_eq!(node.of("users").state, ServiceState::Starting);
    assert!(problem.help.as_ref().unwrap().contains("write `port: 3000` under `users`"));
    node.until_told("users/1 restarting").await;
    let problem = node.of("users").problem.clone().unwrap();
    assert_eq!((problem.code, problem.severity), (Code::WRONG_PORT, Severity::Error));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_goes_into_the_background_is_ended_and_told_to_stay() {
    let text = explained("exit 0, leftover", Code::FORKED_AWAY).await;
    assert!(text.contains("77 sleep") && text.contains("foreground"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_fixed_port_that_is_taken_names_its_holder_and_the_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let fixed = service("users", "says broken, exit 1").with(|s| s.port = Some(port));
    let node = Node::start(&[fixed]).await;
    let problem = node.until_problem("users", Code::PORT_TAKEN).await;
    assert_eq!(problem.message, format!("port {port} of users is taken by nginx (process 123)"));
    assert_eq!(problem.place.as_ref().map(|p| &*p.text), Some("port"));
    assert_eq!(node.world.count("start users/1"), 0);
    drop(taken);
    let problem = node.until_problem("users", Code::EXITED).await;
    assert!(
        problem.notes.iter().any(|n| n == "output: broken"),
        "the old cause is gone: {problem}"
    );
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_need_that_has_no_address_refuses_the_start() {
    let node =
        Node::start(&[service("unreachable", "ok"), service("api", "ok").needs("unreachable")])
            .await;
    let problem = node.until_problem("api", Code::PORT_TAKEN).await;
    assert!(problem.message.starts_with("no listener for unreachable can be opened"), "{problem}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_readiness_only_takes_the_traffic_away() {
    let node = Node::ready(&[service("users", "ok").instances(2)]).await;
    node.world.change(|w| w.sick.insert("users/2".to_owned()));
    node.until_shows("users degraded 1/2: 1 ready, 2 unready").await;
    assert_eq!(node.world.routed(), ["users/1"]);
    node.pass(300).await;
    assert_eq!(node.world.count("start users/2"), 1, "it is not restarted for that");
    node.world.change(|w| w.sick.clear());
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.routed(), ["users/1", "users/2"]);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_liveness_drains_and_restarts() {
    let live = service("users", "ok").with(|s| s.probes.live = Some(probe("alive?", 3)));
    let node = Node::ready(&[live]).await;
    node.world.forget_story();
    node.world.change(|w| w.dead.insert("users/1".to_owned()));
    node.until_told("users/1 not_alive: `alive?` ended with exit code 1").await;
    node.world.change(|w| w.dead.clear());
    node.until_told("users/1 restarting").await;
    node.until_phase(Phase::Ready).await;
    let story = node.world.state().story.join(", ");
    let expected = "unroute users/1, idle users/1, term users/1, forget users/1, start users/1";
    assert!(story.starts_with(expected), "{story}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_shall_not_be_restarted_stays_failed_and_says_why() {
    let once = service("users", "ok").with(|s| s.restart.policy = RestartPolicy::Never);
    let node = Node::ready(&[once]).await;
    node.world.crash("users/1", &Exit::OutOfMemory);
    node.until_shows("users failed 0/1: 1 failed").await;
    let problem = node.until_problem("users", Code::EXITED).await;
    assert!(problem.help.as_ref().unwrap().contains("raise `limits"), "{problem}");
    node.pass(300).await;
    assert_eq!(node.world.count("start users/1"), 1);
    node.handle.restart(&crate::Target::All).await.unwrap();
    node.until_phase(Phase::Ready).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_does_not_run_such_programs_is_an_explained_refusal() {
    let world = World::new();
    let container = service("mailer", "").with(|s| {
        s.program = manifest::Program::Container(manifest::Container::default());
    });
    let processes = world.host(false);
    let node = Node::start_with(world, system(&[container]), |c| c.containers = processes).await;
    let problem = node.until_problem("mailer", Code::CAPABILITY).await;
    assert!(problem.message.contains("this host cannot run this kind of program"), "{problem}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_is_given_up_after_its_retries_and_callers_wait() {
    let node = Node::start(&[
        job("migrate", "says syntax error, exit 2"),
        service("api", "ok").needs_until("migrate", manifest::Condition::Completed),
    ])
    .await;
    let problem = node.until_problem("migrate", Code::JOB_FAILED).await;
    assert_eq!(problem.message, "job migrate failed: exit code 2");
    assert!(problem.notes.iter().any(|n| n == "output: syntax error"), "{problem}");
    node.until_shows("migrate failed 0/1: 1 failed\napi waiting 0/1, waits for migrate").await;
    assert_eq!(node.world.count("start migrate/1"), 4, "the first try and three more");
    node.pass(600).await;
    assert_eq!(node.world.count("start migrate/1"), 4);
    assert_eq!(node.of("migrate").instances[0].state, InstanceState::Failed);
    assert_eq!(node.of("api").state, ServiceState::Waiting);
    assert!(node.handle.status().phase == Phase::Degraded);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn waits_between_starts_follow_the_file() {
    let quick = service("users", "exit 1").with(|s| {
        s.restart.backoff = Duration::from_secs(4);
        s.restart.backoff_max = Duration::from_secs(4);
    });
    let node = Node::start(&[quick]).await;
    node.pass(100).await;
    let starts = node.world.count("start users/1");
    assert!((24..33).contains(&starts), "every 3.2 to 4 s: {starts}");
    node.stop().await;
}
