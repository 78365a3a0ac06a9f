use crate::{
    Error, Job, Missed, Origin, Run, RunOutcome, Schedule, Target, Verdict, Wanted, When,
    testing::*,
};
use base::{ServiceName, Timestamp};
use bytes::Bytes;
use ports::broker::Broker;
use std::time::Duration;

fn job(name: &str) -> Job {
    Job {
        owner: "reports".to_owned(),
        name: name.to_owned(),
        schedule: None,
        due: None,
        repeats: None,
        ttl: None,
        overwrite: false,
        retry: None,
        data: Bytes::from_static(b"data"),
        type_url: "type.example/x".to_owned(),
    }
}

fn target() -> Target {
    Target::DaprJob { service: ServiceName::new("reports").unwrap(), name: "nightly".to_owned() }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp(BEGIN.0 + seconds * 1_000_000)
}

fn schedule(when: When, run: Run) -> Schedule {
    Schedule {
        name: "tick".to_owned(),
        when,
        text: "as the file has it".to_owned(),
        zone: None,
        run,
        missed: Missed::Once,
        retry: attempts(2),
        timeout: Duration::from_secs(30),
        paused: false,
    }
}

fn publish() -> Run {
    Run::Publish { topic: topic_of("orders"), data: "{}".into(), content_type: None }
}

fn every(seconds: u64) -> When {
    When::Every(Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn a_job_runs_once_and_is_gone() {
    let world = World::start(Wanted::default());
    let jobs = world.handle.jobs();
    jobs.schedule(Job { due: Some("1h".to_owned()), ..job("nightly") }, target()).await.unwrap();
    let info = jobs.get("reports", "nightly").await.unwrap().unwrap();
    assert_eq!((info.next, info.runs, info.last), (Some(at(3_600)), 0, None));
    assert_eq!(info.job, Job { due: Some("1h".to_owned()), ..job("nightly") });
    pass(3_500).await;
    assert_eq!(world.app.got().len(), 0);
    world.app.wait(1).await;
    let (to, incoming) = world.app.got().remove(0);
    assert_eq!(to, target());
    assert_eq!(incoming.origin, Origin::Job { name: "nightly".to_owned() });
    assert_eq!(incoming.event.schema.as_deref(), Some("type.example/x"));
    assert_eq!((text(&incoming.event.data).as_str(), incoming.attempt), ("data", 1));
    until_async("forgotten", async || jobs.get("reports", "nightly").await.unwrap().is_none())
        .await;
    pass(7_200).await;
    assert_eq!(world.app.got().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_is_tried_again_and_becomes_a_dead_letter() {
    let world = World::start(Wanted::default());
    let jobs = world.handle.jobs();
    world.app.judge(|_| retry("no"));
    let often = Job { schedule: Some("@every 1h".to_owned()), ..job("nightly") };
    jobs.schedule(often, target()).await.unwrap();
    world.app.wait(4).await;
    let failed = async || {
        let info = jobs.get("reports", "nightly").await.unwrap().unwrap();
        info.last.is_some_and(|last| last.outcome != RunOutcome::Running)
    };
    until_async("given up", failed).await;
    let info = jobs.get("reports", "nightly").await.unwrap().unwrap();
    let last = info.last.unwrap();
    assert_eq!((last.due, last.attempts), (at(3_600), 4));
    assert_eq!(last.outcome, RunOutcome::Failed("all 4 attempts failed: no".to_owned()));
    assert_eq!((info.next, info.runs), (Some(at(7_200)), 1));
    let runs = topic_of("flotilla.runs");
    let dead = world.handle.topics().dead_letters(&runs, None, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    world.app.judge(|_| Verdict::Done);
    let all = crate::Redrive::All { limit: 10 };
    assert_eq!(world.handle.topics().redrive(&runs, all).await.unwrap(), 1);
    world.app.wait(5).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_waits_for_its_app() {
    let world = World::start(Wanted::default());
    world.app.set_away("reports", true);
    let jobs = world.handle.jobs();
    for name in 0..100 {
        let job = Job { due: Some("1s".to_owned()), ..job(&name.to_string()) };
        jobs.schedule(job, target()).await.unwrap();
    }
    pass(600).await;
    let other =
        Target::DaprJob { service: ServiceName::new("other").unwrap(), name: "x".to_owned() };
    jobs.schedule(Job { due: Some("1s".to_owned()), ..job("other") }, other.clone()).await.unwrap();
    world.app.wait(1).await;
    assert_eq!(world.app.got()[0].0, other, "an app that is away holds up no other");
    pass(3_600).await;
    assert_eq!(world.app.got().len(), 1);
    world.app.set_away("reports", false);
    world.app.wait(101).await;
    until_async("all done", async || jobs.list(None).await.unwrap().is_empty()).await;
    let dead = world.handle.topics().dead_letters(&topic_of("flotilla.runs"), None, 10).await;
    assert_eq!(dead.unwrap().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_survives_the_end_of_the_node_and_missed_runs_are_one() {
    let mut world = World::start(Wanted::default());
    let often = Job { schedule: Some("@every 1h".to_owned()), repeats: Some(3), ..job("nightly") };
    world.handle.jobs().schedule(often, target()).await.unwrap();
    world.app.wait(1).await;
    world.end(Duration::from_secs(10)).await;
    pass(10 * 3_600).await;
    world.again(Wanted::default());
    world.app.wait(2).await;
    let jobs = world.handle.jobs();
    let info = jobs.get("reports", "nightly").await.unwrap().unwrap();
    assert_eq!(info.runs, 2, "one run for all that were missed");
    assert!(info.next.unwrap() > world.clock.date());
    world.app.wait(3).await;
    until_async("forgotten", async || jobs.get("reports", "nightly").await.unwrap().is_none())
        .await;
}

#[tokio::test(start_paused = true)]
async fn two_nodes_run_a_job_once() {
    let world = World::start(Wanted::default());
    let (_service, _other) = world.beside(Wanted::default());
    let often =
        Job { schedule: Some("@every 10s".to_owned()), repeats: Some(20), ..job("nightly") };
    world.handle.jobs().schedule(often, target()).await.unwrap();
    world.app.wait(20).await;
    pass(120).await;
    assert_eq!(world.app.got().len(), 20);
}

#[tokio::test(start_paused = true)]
async fn jobs_are_replaced_listed_and_deleted() {
    let world = World::start(Wanted::default());
    let jobs = world.handle.jobs();
    let later = |name: &str| Job { due: Some("1h".to_owned()), ..job(name) };
    for name in ["a/1", "a/2", "b"] {
        jobs.schedule(later(name), target()).await.unwrap();
    }
    let again = jobs.schedule(later("b"), target()).await;
    assert!(matches!(again, Err(Error::Exists { .. })), "{again:?}");
    let sooner = Job { due: Some("1s".to_owned()), overwrite: true, ..job("b") };
    jobs.schedule(sooner, target()).await.unwrap();
    assert_eq!(jobs.list(Some("reports")).await.unwrap().len(), 3);
    assert_eq!(jobs.list(Some("other")).await.unwrap().len(), 0);
    assert_eq!(jobs.delete_by_prefix("reports", "a/").await.unwrap(), 2);
    assert!(!jobs.delete("reports", "a/1").await.unwrap());
    world.app.wait(1).await;
    pass(7_200).await;
    assert_eq!(
        world.app.got().len(),
        1,
        "the time that was replaced, and the deleted ones, never come"
    );
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_job_is_refused_with_the_reason() {
    let world = World::start(Wanted::default());
    let jobs = world.handle.jobs();
    for (job, expected) in [
        (job("x"), "`schedule` or a `dueTime`"),
        (Job { schedule: Some("61 * * * *".to_owned()), ..job("x") }, "`61` is no minute"),
        (
            Job { schedule: Some("CRON_TZ=Moon/Base 0 3 * * *".to_owned()), ..job("x") },
            "no time zone `Moon/Base`",
        ),
        (Job { due: Some("soon".to_owned()), ..job("x") }, "`dueTime`"),
        (Job { due: Some("1s".to_owned()), ..job("") }, "the name of a job"),
    ] {
        let error = jobs.schedule(job, target()).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let missing = jobs.run_now("reports", "x").await;
    assert!(matches!(missing, Err(Error::Missing { .. })), "{missing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_schedule_of_the_file_publishes_at_its_times() {
    let mut wanted = one(|_| {});
    wanted.schedules.push(schedule(every(3_600), publish()));
    let world = World::start(wanted.clone());
    world.app.wait(2).await;
    let got = world.app.got();
    let event = &got[1].1.event;
    assert_eq!((event.kind.as_str(), event.source.as_str()), ("orders", "schedule/tick"));
    assert_eq!(event.time.as_deref(), Some("2023-11-15T00:13:20Z"));
    let jobs = world.handle.jobs();
    let info = &jobs.list(Some("file")).await.unwrap()[0];
    assert_eq!(
        (info.job.name.as_str(), info.job.schedule.as_deref()),
        ("tick", Some("as the file has it"))
    );
    assert_eq!(info.last.as_ref().map(|last| last.outcome.clone()), Some(RunOutcome::Done));
    assert_eq!(info.next, Some(at(3 * 3_600)));
    jobs.run_now("file", "tick").await.unwrap();
    world.app.wait(3).await;
    assert!(world.clock.date() < at(3 * 3_600));
    wanted.schedules[0].paused = true;
    world.handle.apply(wanted).unwrap();
    pass(10 * 3_600).await;
    assert_eq!(world.app.got().len(), 3);
    let info = jobs.get("file", "tick").await.unwrap().unwrap();
    assert_eq!((info.next, info.paused), (None, true));
    world.handle.apply(one(|_| {})).unwrap();
    until_async("gone", async || jobs.list(None).await.unwrap().is_empty()).await;
    assert!(world.broker.topic(&topic_of("flotilla.runs")).await.is_err(), "nobody needed it");
}

#[tokio::test(start_paused = true)]
async fn all_missed_runs_are_made_up_for_where_that_is_wanted() {
    for (missed, expected) in [(Missed::Skip, 0), (Missed::Once, 1), (Missed::All, 100)] {
        let wanted = || {
            let mut wanted = one(|_| {});
            wanted.schedules.push(Schedule { missed, ..schedule(every(300), publish()) });
            wanted
        };
        let mut world = World::start(wanted());
        let jobs = world.handle.jobs();
        until_async("known", async || !jobs.list(None).await.unwrap().is_empty()).await;
        world.end(Duration::from_secs(10)).await;
        pass(100 * 300 + 150).await;
        world.again(wanted());
        pass(60).await;
        assert_eq!(world.app.got().len(), expected, "{missed:?}");
        world.app.wait(expected + 1).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_schedule_calls_a_service_until_it_is_done() {
    let run = Run::Deliver {
        to: to("reports"),
        data: "{}".into(),
        content_type: Some("application/json".to_owned()),
    };
    let cron = logic::schedule::Schedule::parse("0 3 * * *").unwrap();
    let nightly =
        Schedule { zone: Some("Europe/Berlin".to_owned()), ..schedule(When::Cron(cron), run) };
    let world = World::start(Wanted { schedules: vec![nightly], ..Wanted::default() });
    world.app.judge(|it| if it.attempt == 1 { retry("no") } else { Verdict::Done });
    world.app.wait(2).await;
    assert_eq!(world.app.got()[1].0, to("reports"));
    let event = world.app.got().remove(0).1.event;
    assert_eq!(event.time.as_deref(), Some("2023-11-15T02:00:00Z"), "three o'clock in Berlin");
}
