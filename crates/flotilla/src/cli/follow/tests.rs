use super::*;
use crate::cli::sample;
use wire::{InstanceState as I, Kind, Phase, ServiceState as S};

fn check(services: Vec<wire::Service>, goal: Goal, verdict: Verdict) {
    let status = sample::status(1, Phase::Starting, services);
    assert_eq!(judge(&status, goal, &|_| true), verdict, "{goal:?} {:?}", status.services);
}

fn in_state(state: S) -> wire::Service {
    sample::service("users", state, 0, 1)
}

#[test]
fn ready_is_reached_when_everything_is_and_hopeless_when_something_failed() {
    check(vec![], Goal::Ready, Verdict::Reached);
    check(
        vec![in_state(S::Ready), in_state(S::Completed), in_state(S::Scheduled)],
        Goal::Ready,
        Verdict::Reached,
    );
    for state in [S::Waiting, S::Building, S::Starting, S::Updating, S::Degraded, S::Stopping] {
        check(vec![in_state(S::Ready), in_state(state)], Goal::Ready, Verdict::Waiting);
    }
    check(vec![in_state(S::Starting), in_state(S::Failed)], Goal::Ready, Verdict::Hopeless);
}

#[test]
fn a_service_that_was_scaled_to_nothing_is_where_it_should_be() {
    check(vec![sample::service("users", S::Stopped, 0, 0)], Goal::Ready, Verdict::Reached);
    check(vec![in_state(S::Stopped)], Goal::Ready, Verdict::Waiting);
}

#[test]
fn some_instances_in_a_crash_loop_will_not_get_better_by_waiting() {
    let mut service = sample::service("users", S::Degraded, 1, 2);
    service.instances[1].state = I::CrashLoop;
    check(vec![service], Goal::Ready, Verdict::Hopeless);
}

#[test]
fn completed_asks_jobs_only_and_stopped_asks_everybody() {
    let mut job = in_state(S::Starting);
    job.kind = Kind::Job;
    check(vec![in_state(S::Starting), job.clone()], Goal::Completed, Verdict::Waiting);
    job.state = S::Failed;
    check(vec![job.clone()], Goal::Completed, Verdict::Hopeless);
    job.state = S::Completed;
    check(vec![in_state(S::Starting), job.clone()], Goal::Completed, Verdict::Reached);
    check(vec![in_state(S::Ready), job.clone()], Goal::Stopped, Verdict::Waiting);
    check(vec![in_state(S::Stopped), job, in_state(S::Failed)], Goal::Stopped, Verdict::Reached);
}

#[test]
fn only_the_named_services_count() {
    let status = sample::status(
        1,
        Phase::Degraded,
        vec![sample::service("users", S::Ready, 1, 1), sample::service("items", S::Failed, 0, 1)],
    );
    assert_eq!(judge(&status, Goal::Ready, &|name| name == "users"), Verdict::Reached);
    assert_eq!(stuck(&status, Goal::Ready, &|_| true), "items is failed, 0/1 ready");
}

#[test]
fn the_end_of_a_wait_becomes_an_exit_code() {
    let out = Output::new(crate::cli::args::Format::Text, true, true);
    let status = sample::status(1, Phase::Degraded, vec![in_state(S::Failed)]);
    let exit = |followed: &Followed| match conclude(&out, followed, Goal::Ready, &[], "starting") {
        Ok(exit) => exit,
        Err(failure) => failure.exit(),
    };
    assert_eq!(exit(&Followed::Reached(status.clone())), Exit::Success);
    assert_eq!(exit(&Followed::Hopeless(status.clone())), Exit::NotReady);
    assert_eq!(exit(&Followed::TimedOut(Some(status))), Exit::TimeOut);
    assert_eq!(exit(&Followed::TimedOut(None)), Exit::TimeOut);
    assert_eq!(exit(&Followed::Gone), Exit::Failure);
}
