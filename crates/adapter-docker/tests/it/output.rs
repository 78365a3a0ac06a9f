//! What containers print.

use crate::support::{Fixture, shell, until};
use ports::{
    host::{Exit, Host},
    logs::{LINE_LEN_MAX, Stream},
};

fn numbers(count: usize) -> Vec<String> {
    (1..=count).map(|number| number.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_lines_are_there_in_order_when_wait_returns() {
    let Some(fixture) = Fixture::new().await else { return };
    let run =
        fixture.start(&shell("talk/1", "seq 1 1000; echo no end >&2; printf 'no newline'")).await;
    assert_eq!(fixture.host.wait(&run.id).await.unwrap(), Exit::Code(0));
    let mut want = numbers(1000);
    want.push("no newline".to_owned());
    assert_eq!(fixture.lines.out(), want);
    assert_eq!(fixture.lines.of(Stream::Err), ["no end"]);
    assert!(fixture.lines.all().iter().all(|line| line.instance == run.instance && !line.is_cut));
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_kept_whole() {
    let Some(fixture) = Fixture::new().await else { return };
    let run = fixture.start(&shell("flood/1", "seq 1 200000")).await;
    assert_eq!(fixture.host.wait(&run.id).await.unwrap(), Exit::Code(0));
    until("the last line", async || fixture.lines.count() >= 200_000).await;
    assert!(
        fixture.lines.out() == numbers(200_000),
        "a line is missing, twice there or in the wrong place"
    );
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_longer_than_the_limit_is_cut_and_loses_nothing() {
    let Some(fixture) = Fixture::new().await else { return };
    let line = "head -c 150000 /dev/zero | tr '\\0' x; echo; echo next";
    let run = fixture.start(&shell("long/1", line)).await;
    fixture.host.wait(&run.id).await.unwrap();
    let lines: Vec<_> =
        fixture.lines.all().iter().map(|line| (line.text.len(), line.is_cut)).collect();
    let rest = 150_000 - 2 * LINE_LEN_MAX;
    assert_eq!(lines, [(LINE_LEN_MAX, true), (LINE_LEN_MAX, true), (rest, false), (4, false)]);
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_while_no_node_is_there_comes_later_and_nothing_twice() {
    let Some(mut fixture) = Fixture::new().await else { return };
    let line = "n=1; while [ $n -le 300 ]; do echo $n; n=$((n+1)); sleep 0.01; done; sleep 600";
    let run = fixture.start(&shell("talk/1", line)).await;
    for number in ["20", "120", "220"] {
        fixture.line(number).await;
        fixture.replace_node();
        let found = fixture.host.survivors().await.unwrap();
        assert_eq!(found.len(), 1, "the run is found again");
    }
    fixture.line("300").await;
    let lines = fixture.lines.out();
    // A node that ends between handing lines on and noting it repeats them; it never leaves one out.
    let mut once = lines.clone();
    once.dedup();
    once.sort_by_key(|line| line.parse::<u32>().unwrap());
    once.dedup();
    assert_eq!(once, numbers(300));
    assert!(lines.len() <= 320, "whole batches came again: {} lines", lines.len());
    fixture.host.forget(&run.id).await.unwrap();
    fixture.end().await;
}
