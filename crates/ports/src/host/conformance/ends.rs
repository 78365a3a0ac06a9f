//! Clauses about starting, signals, the end, and commands beside a run.

use super::{Act, Fixture, Recorder, ready, spec, until_living};
use crate::{
    host::{COMMAND_OUTPUT_MAX, Error, Exit, Program, RunId, Signal},
    logs::Stream,
};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

/// Clause of [`crate::host::Host::start`] and [`crate::host::Host::wait`].
pub async fn a_run_ends_with_the_exit_code_of_its_program(fixture: &dyn Fixture) {
    let host = fixture.host(Recorder::new()).await;
    for code in [0, 1, 42, 255] {
        let run = host.start(&spec(fixture, 1, Act::ExitWith(code))).await.expect("it starts");
        assert_eq!(host.wait(&run.id).await.expect("it is known"), Exit::Code(code));
        host.forget(&run.id).await.expect("it can be forgotten");
    }
}

/// Clause of [`crate::host::Host::start`].
pub async fn a_run_is_what_was_asked_for(fixture: &dyn Fixture) {
    let host = fixture.host(Recorder::new()).await;
    let mut order = spec(fixture, 7, Act::Sleep);
    order.port = Some(free_port());
    let run = host.start(&order).await.expect("it starts");
    assert_eq!(
        (&run.instance, &run.labels, run.port),
        (&order.instance, &order.labels, order.port)
    );
    assert!(run.address.is_some());
    assert!(run.started_at.0 > 0);
    host.forget(&run.id).await.expect("it can be forgotten");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Clause of [`crate::host::Host::start`].
pub async fn a_program_gets_its_environment_and_folder(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let order = spec(fixture, 1, Act::PrintEnvironment("SUITE".to_owned()));
    let run = host.start(&order).await.expect("it starts");
    host.wait(&run.id).await.expect("it is known");
    let texts = sink.texts(Stream::Out);
    assert_eq!(texts.first().map(String::as_str), Some("a value with blanks"));
    if matches!(order.program, Program::Shell(_) | Program::Exec(_)) {
        assert_eq!(texts.get(1), Some(&fixture.dir().display().to_string()));
    }
    host.forget(&run.id).await.expect("it can be forgotten");
}

/// Clause *Groups* of [`crate::host::Host`].
pub async fn a_signal_reaches_children_of_children(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = ready(fixture, &*host, &sink, Act::Family).await;
    until_living(fixture, &run, 3).await;
    host.signal(&run.id, Signal::Term).await.expect("it is known");
    until_living(fixture, &run, 0).await;
    host.signal(&run.id, Signal::Term).await.expect("a run that ended is no error");
    host.forget(&run.id).await.expect("it can be forgotten");
}

/// Clause of [`crate::host::Host::wait`].
pub async fn the_end_by_a_signal_is_told(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = ready(fixture, &*host, &sink, Act::Sleep).await;
    host.signal(&run.id, Signal::Kill).await.expect("it is known");
    let exit = host.wait(&run.id).await.expect("it is known");
    // An engine may tell a signal as the exit code a shell would make of it.
    assert!(matches!(exit, Exit::Signal(9) | Exit::Code(137)), "{exit:?}");
    host.forget(&run.id).await.expect("it can be forgotten");
}

/// Clause *Groups* of [`crate::host::Host`].
pub async fn forget_leaves_no_process_alive(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = ready(fixture, &*host, &sink, Act::ForkAway).await;
    assert_eq!(host.wait(&run.id).await.expect("it is known"), Exit::Code(0));
    if fixture.finds_leftovers() {
        until_living(fixture, &run, 1).await;
    }
    let left = host.forget(&run.id).await.expect("it can be forgotten");
    assert_eq!(left.processes.len(), usize::from(fixture.finds_leftovers()), "{left:?}");
    assert_eq!(fixture.living(&run).await, 0);
}

/// Clause of [`crate::host::Host::forget`].
pub async fn forget_ends_a_living_run_and_may_be_repeated(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = ready(fixture, &*host, &sink, Act::Family).await;
    let left = host.forget(&run.id).await.expect("it can be forgotten");
    assert!(left.processes.is_empty(), "the group is no leftover: {left:?}");
    assert_eq!(fixture.living(&run).await, 0);
    host.forget(&run.id).await.expect("twice is no error");
    assert!(matches!(host.wait(&run.id).await, Err(Error::Unknown(_))));
}

/// Clause of [`crate::host::Host::wait`].
pub async fn every_caller_of_wait_is_answered_also_after_the_end(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = ready(fixture, &*host, &sink, Act::Sleep).await;
    let killed = async {
        fixture.pause().await;
        host.signal(&run.id, Signal::Kill).await.expect("it is known");
        host.wait(&run.id).await
    };
    let (first, second) = both(host.wait(&run.id), killed).await;
    let (first, second) = (first.expect("it is known"), second.expect("it is known"));
    assert_eq!(first, second);
    assert_eq!(host.wait(&run.id).await.expect("it is known still"), first);
    host.forget(&run.id).await.expect("it can be forgotten");
}

/// Runs two futures at once.
async fn both<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    poll_fn(|context| {
        if of_a.is_none()
            && let Poll::Ready(value) = a.as_mut().poll(context)
        {
            of_a = Some(value);
        }
        if of_b.is_none()
            && let Poll::Ready(value) = b.as_mut().poll(context)
        {
            of_b = Some(value);
        }
        match (of_a.take(), of_b.take()) {
            (Some(a), Some(b)) => Poll::Ready((a, b)),
            (a, b) => {
                (of_a, of_b) = (a, b);
                Poll::Pending
            }
        }
    })
    .await
}

/// Clause *Identity* of [`crate::host::Host`].
pub async fn an_unknown_run_is_an_error(fixture: &dyn Fixture) {
    let host = fixture.host(Recorder::new()).await;
    let nobody = RunId("users.1.0000000000000000".into());
    let command = fixture.program(Act::ExitWith(0));
    assert!(matches!(host.wait(&nobody).await, Err(Error::Unknown(_))));
    assert!(matches!(host.signal(&nobody, Signal::Kill).await, Err(Error::Unknown(_))));
    assert!(matches!(host.usage(&nobody).await, Err(Error::Unknown(_))));
    assert!(matches!(host.listening(&nobody).await, Err(Error::Unknown(_))));
    let outcome = host.command(&nobody, &command, Duration::from_secs(5)).await;
    assert!(matches!(outcome, Err(Error::Unknown(_))));
    assert!(host.forget(&nobody).await.expect("forgetting it is no error").processes.is_empty());
}

/// Clause of [`crate::host::Host::start`].
pub async fn what_cannot_run_is_refused(fixture: &dyn Fixture) {
    let host = fixture.host(Recorder::new()).await;
    let mut order = spec(fixture, 1, Act::Sleep);
    order.program = fixture.unsupported();
    assert!(matches!(host.start(&order).await, Err(Error::Unsupported(_))));
    order.program = fixture.missing();
    let refused = host.start(&order).await;
    let Err(Error::Refused(problem)) = refused else { panic!("not refused: {refused:?}") };
    assert!(problem.help.is_some(), "it says how to mend it: {problem}");
    assert!(host.survivors().await.expect("it answers").is_empty());
}

/// Clause of [`crate::host::Host::usage`].
pub async fn usage_counts_the_processes_of_the_run(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = ready(fixture, &*host, &sink, Act::Family).await;
    until_living(fixture, &run, 3).await;
    let start = std::time::Instant::now();
    loop {
        let usage = host.usage(&run.id).await.expect("it is known");
        if usage.processes >= 3 && usage.memory.0 > 0 {
            break;
        }
        assert!(start.elapsed() < super::PATIENCE, "{usage:?}");
        fixture.pause().await;
    }
    host.forget(&run.id).await.expect("it can be forgotten");
}

/// Clause of [`crate::host::Host::command`].
pub async fn a_probe_command_tells_how_it_ended_and_what_it_printed(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = ready(fixture, &*host, &sink, Act::Sleep).await;
    let outcome = async |act| {
        let command = fixture.program(act);
        let outcome = host.command(&run.id, &command, super::PATIENCE).await.expect("it runs");
        outcome.expect("it ends in time")
    };
    assert_eq!(outcome(Act::ExitWith(3)).await.exit, Exit::Code(3));
    let seen = outcome(Act::PrintEnvironment("SUITE".to_owned())).await;
    assert!(seen.output.starts_with("a value with blanks\n"), "{seen:?}");
    let long = outcome(Act::PrintLines(5_000)).await;
    assert!(long.output.len() <= COMMAND_OUTPUT_MAX);
    assert!(long.output.ends_with("\n5000\n"), "{long:?}");
    let missing = host.command(&run.id, &fixture.missing(), super::PATIENCE).await;
    assert!(!matches!(missing, Ok(Some(ref outcome)) if outcome.exit.is_success()), "{missing:?}");
    host.forget(&run.id).await.expect("it can be forgotten");
    assert_eq!(sink.texts(Stream::Out), ["ready"], "a probe's output is not the run's");
}

/// Clause of [`crate::host::Host::command`].
pub async fn a_probe_command_is_ended_by_its_timeout(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = ready(fixture, &*host, &sink, Act::Sleep).await;
    let command = fixture.program(Act::Family);
    let outcome = host.command(&run.id, &command, Duration::from_millis(300)).await;
    assert_eq!(outcome.expect("it runs"), None);
    until_living(fixture, &run, 1).await;
    let left = host.forget(&run.id).await.expect("it can be forgotten");
    assert!(left.processes.is_empty(), "a probe is no leftover: {left:?}");
}
