//! Clauses about output.

use super::{Act, Fixture, Recorder, spec, until};
use crate::{
    host::Exit,
    logs::{LINE_LEN_MAX, Stream},
};
use std::sync::Arc;

/// Lines of the flood: more than any buffer on the way holds.
const MANY: u32 = 100_000;

/// The numbers from 1 as the programs print them.
pub(super) fn numbers(count: u32) -> Vec<String> {
    (1..=count).map(|number| number.to_string()).collect()
}

/// Clause *Output* of [`crate::host::Host`].
pub async fn output_arrives_whole_and_in_order(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let run = host.start(&spec(fixture, 1, Act::PrintLines(MANY))).await.expect("it starts");
    assert_eq!(host.wait(&run.id).await.expect("it is known"), Exit::Code(0));
    host.forget(&run.id).await.expect("it can be forgotten");
    let arrived = sink.texts(Stream::Out);
    assert!(arrived == numbers(MANY), "{} lines arrived, or in another order", arrived.len());
    assert!(sink.lines().iter().all(|line| !line.is_cut && line.instance == run.instance));
}

/// Clause *Ordering* of [`crate::host::Host`].
pub async fn output_before_the_end_is_there_when_wait_returns(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    for round in 1..=5 {
        let run = host.start(&spec(fixture, round, Act::PrintBoth(50))).await.expect("it starts");
        host.wait(&run.id).await.expect("it is known");
        for (stream, word) in [(Stream::Out, "out"), (Stream::Err, "err")] {
            let lines = sink.lines();
            let of_run =
                lines.iter().filter(|line| line.stream == stream && line.instance == run.instance);
            let texts: Vec<String> = of_run.map(|line| line.text.clone()).collect();
            let expected: Vec<String> = (1..=50).map(|number| format!("{word} {number}")).collect();
            assert_eq!(texts, expected);
        }
        host.forget(&run.id).await.expect("it can be forgotten");
    }
}

/// Clause of [`crate::logs::LINE_LEN_MAX`].
pub async fn a_line_without_end_is_cut_and_not_grown(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    let length = LINE_LEN_MAX * 4 + 100;
    let run = host.start(&spec(fixture, 1, Act::PrintUnended(length))).await.expect("it starts");
    host.wait(&run.id).await.expect("it is known");
    host.forget(&run.id).await.expect("it can be forgotten");
    let lines = sink.lines();
    assert!(lines.iter().all(|line| line.text.len() <= LINE_LEN_MAX));
    assert_eq!(lines.iter().map(|line| line.text.len()).sum::<usize>(), length);
    let Some((last, before)) = lines.split_last() else { panic!("nothing arrived") };
    assert!(before.len() >= 4 && before.iter().all(|line| line.is_cut) && !last.is_cut);
}

/// Clause *Output* of [`crate::host::Host`].
pub async fn a_slow_sink_stalls_no_program(fixture: &dyn Fixture) {
    let sink = Recorder::new();
    let host = fixture.host(Arc::clone(&sink) as _).await;
    sink.block(true);
    let run = host.start(&spec(fixture, 1, Act::PrintLines(MANY))).await.expect("it starts");
    // The program ends though nothing of it was taken, and its end is told without waiting for ever.
    assert_eq!(host.wait(&run.id).await.expect("it is known"), Exit::Code(0));
    assert_eq!(sink.count(), 0);
    sink.block(false);
    let all = usize::try_from(MANY).expect("a small number");
    until(fixture, "all lines are in the sink", || sink.count() >= all).await;
    host.forget(&run.id).await.expect("it can be forgotten");
    assert!(sink.texts(Stream::Out) == numbers(MANY));
}
