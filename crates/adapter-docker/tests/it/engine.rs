//! The engine goes away and comes back.

use crate::support::{Fixture, shell};
use adapter_docker::testing::{self, Engine};
use ports::host::{Error, Exit, Host, Signal};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_killed_and_started_again_loses_no_run_and_no_line() {
    // Says why when there is none; a running engine of the machine is not ours to kill.
    let Some(shared) = runtime::blocking(testing::engine).await else { return };
    if !shared.is_private() {
        return;
    }
    let engine = runtime::blocking(|| Arc::new(Engine::start_ready())).await;
    let fixture = Fixture::on(engine);
    let line = "n=1; while [ $n -le 200 ]; do echo $n; n=$((n+1)); sleep 0.01; done; sleep 600";
    let run = fixture.start(&shell("talk/1", line)).await;
    fixture.line("10").await;
    let engine = fixture.engine.clone();
    runtime::blocking(move || engine.kill()).await;

    let away = fixture.host.usage(&run.id).await;
    assert!(matches!(away, Err(Error::Unavailable { .. })), "{away:?}");
    let away = fixture.host.start(&shell("talk/2", "true")).await.unwrap_err();
    assert!(away.retry(), "{away:?}");
    let text = fixture.host.check().await.unwrap_err().render(false);
    assert!(text.contains("[F021]") && text.contains(fixture.engine.docker_host()), "{text}");

    let engine = fixture.engine.clone();
    runtime::blocking(move || engine.start()).await;
    fixture.host.check().await.unwrap();
    fixture.line("200").await;
    let want: Vec<_> = (1..=200).map(|number| number.to_string()).collect();
    assert_eq!(fixture.lines.out(), want);
    fixture.host.signal(&run.id, Signal::Kill).await.unwrap();
    assert_eq!(fixture.host.wait(&run.id).await.unwrap(), Exit::Signal(9));
    fixture.end().await;
    runtime::blocking(move || drop(shared)).await;
}
