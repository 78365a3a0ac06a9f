//! Clauses about the end of a node.

use super::{Act, Fixture, Recorder, output::numbers, ready, spec, until, until_living};
use crate::{
    host::{Exit, Signal},
    logs::Stream,
};
use std::{collections::BTreeSet, sync::Arc};

/// How many lines may be there twice after a crash: those of the read in progress.
const REPEATED_MAX: usize = 1_000;

/// Clause *Identity* of [`crate::host::Host`].
pub async fn survivors_are_listed_once_with_their_labels(fixture: &dyn Fixture) {
    let host = fixture.host(Recorder::new()).await;
    let mut started = Vec::new();
    for number in 1..=3 {
        started.push(host.start(&spec(fixture, number, Act::Sleep)).await.expect("it starts"));
    }
    let gone = started.pop().expect("three were started");
    host.forget(&gone.id).await.expect("it can be forgotten");
    let own = host.survivors().await.expect("it answers");
    assert!(own.is_empty(), "what this node started is no survivor");
    drop(host);
    fixture.crash().await;

    let host = fixture.host(Recorder::new()).await;
    let mut found = host.survivors().await.expect("it answers");
    found.sort_by(|a, b| a.instance.cmp(&b.instance));
    assert_eq!(found, started);
    assert!(host.survivors().await.expect("it answers").is_empty(), "once");
    for run in &found {
        host.forget(&run.id).await.expect("it can be forgotten");
        assert_eq!(fixture.living(run).await, 0);
    }
}

/// Clause *Output* of [`crate::host::Host`].
pub async fn output_printed_while_no_node_was_there_arrives(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = host.start(&spec(fixture, 1, Act::Tick)).await.expect("it starts");
    until(fixture, "some lines arrive", || sink.count() > 10).await;
    drop(host);
    fixture.crash().await;

    let later = Recorder::new();
    for _ in 0..20 {
        fixture.pause().await;
    }
    let before = sink.texts(Stream::Out);
    let host = fixture.host(Arc::clone(&later) as _).await;
    assert_eq!(host.survivors().await.expect("it answers").len(), 1);
    until(fixture, "more lines arrive", || later.count() > 10).await;
    host.forget(&run.id).await.expect("it can be forgotten");

    let after = later.texts(Stream::Out);
    let all: BTreeSet<u32> =
        before.iter().chain(&after).filter_map(|text| text.parse().ok()).collect();
    let last = all.last().copied().unwrap_or(0);
    assert_eq!(all.len(), numbers(last).len(), "no number is missing");
    assert!(before.len() + after.len() - all.len() <= REPEATED_MAX, "few lines are repeated");
}

/// Clause *Output* of [`crate::host::Host`].
pub async fn a_run_that_ended_without_a_node_is_no_survivor_but_its_output_arrives(
    fixture: &dyn Fixture,
) {
    let host = fixture.host(Recorder::new()).await;
    let run = host.start(&spec(fixture, 1, Act::PrintLater)).await.expect("it starts");
    drop(host);
    fixture.crash().await;
    until_living(fixture, &run, 0).await;
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    assert!(host.survivors().await.expect("it answers").is_empty());
    until(fixture, "the last words arrive", || sink.texts(Stream::Out) == ["later"]).await;
}

/// Clause *Identity* of [`crate::host::Host`].
pub async fn an_adopted_run_can_be_signalled_waited_for_and_forgotten(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = ready(fixture, &*host, &sink, Act::Family).await;
    until_living(fixture, &run, 3).await;
    drop(host);
    fixture.crash().await;

    let host = fixture.host(Recorder::new()).await;
    let found = host.survivors().await.expect("it answers");
    assert_eq!(found, std::slice::from_ref(&run));
    let command = fixture.program(Act::PrintEnvironment("SUITE".to_owned()));
    let outcome = host.command(&run.id, &command, super::PATIENCE).await.expect("it runs");
    let outcome = outcome.expect("it ends in time");
    assert!(outcome.output.starts_with("a value with blanks\n"), "{outcome:?}");
    host.signal(&run.id, Signal::Term).await.expect("it is known");
    let exit = host.wait(&run.id).await.expect("it is known");
    assert!(!matches!(exit, Exit::OutOfMemory), "{exit:?}");
    until_living(fixture, &run, 0).await;
    host.forget(&run.id).await.expect("it can be forgotten");
    drop(host);
    fixture.crash().await;
    let host = fixture.host(Recorder::new()).await;
    assert!(host.survivors().await.expect("it answers").is_empty(), "nothing of it is left");
}
