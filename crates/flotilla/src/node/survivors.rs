//! Ends what a killed node left running, without starting a system.

use super::{NodeEnd, containers, places::Places, state_error};
use adapter_local::LocalHost;
use base::{Diagnostic, ErrorChain};
use manifest::{StopSignal, System};
use ports::host::{Host, Run, Signal};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tracing::{info, warn};

/// How long an instance of a service that is not in the file any more may take.
const GRACE: Duration = Duration::from_secs(10);

/// Stops all survivors at once, each with the grace of its service, and kills what is left.
///
/// # Errors
/// When the state folder cannot be used.
pub(super) async fn stop(places: &Places, system: &System) -> Result<NodeEnd, Box<Diagnostic>> {
    let logs_config = observe::Config::new(places.logs());
    let logs = runtime::blocking(move || observe::Service::open(logs_config))
        .await
        .map_err(|e| state_error(&e))?;
    let config =
        adapter_local::Config::new(places.root(), &system.name, adapter_local::Lifetime::Survives);
    let (service, host) =
        LocalHost::start(config, Arc::new(logs.handle())).await.map_err(|e| state_error(&e))?;
    let runs = host.survivors().await.map_err(|e| state_error(&e))?;
    info!(runs = runs.len(), "stopping what an earlier node left");
    let stops: BTreeMap<_, _> = system
        .services
        .iter()
        .map(|s| (s.name.clone(), (signal(s.stop.signal), s.stop.grace)))
        .collect();
    let mut ends = runtime::TaskSet::new("survivors");
    for run in runs {
        let stop = stops.get(&run.instance.service).copied().unwrap_or((Signal::Term, GRACE));
        let host = host.clone();
        ends.spawn("end", move |_| async move { end(&*host, &run, stop).await });
    }
    let longest = stops.values().map(|(_, grace)| *grace).max().unwrap_or(GRACE).max(GRACE);
    ends.join(longest + GRACE).await;
    let docker = containers::config(&system.name, places.root(), false);
    if containers::used(system)
        && let Err(e) = adapter_docker::sweep(&docker).await
    {
        warn!(error = %ErrorChain(&e), "containers may be left");
    }
    service.shutdown().await;
    if let Err(e) = runtime::blocking(move || logs.close()).await {
        warn!(error = %ErrorChain(&e), "the log store was not closed cleanly");
    }
    Ok(NodeEnd::Stopped)
}

/// The signal as hosts know it.
fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::Term,
        StopSignal::Int => Signal::Int,
        StopSignal::Quit => Signal::Quit,
        StopSignal::Hup => Signal::Hup,
        StopSignal::Usr1 => Signal::Usr1,
        StopSignal::Usr2 => Signal::Usr2,
        StopSignal::Kill => Signal::Kill,
    }
}

async fn end(host: &dyn Host, run: &Run, (signal, grace): (Signal, Duration)) {
    let asked = async {
        host.signal(&run.id, signal).await?;
        host.wait(&run.id).await
    };
    if tokio::time::timeout(grace, asked).await.is_err() {
        warn!(instance = %run.instance, "did not heed the stop signal, killed");
    }
    if let Err(e) = host.forget(&run.id).await {
        warn!(instance = %run.instance, error = %ErrorChain(&e), "cannot clear up");
    }
}
