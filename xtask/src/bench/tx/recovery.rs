//! What unfinished transactions cost, and how long a node that was killed takes to serve and to finish them.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use super::{
    kill,
    load::{self, Load},
    scenario::Figures,
    system::System,
};
use crate::bench::{
    server::{Folder, Server, pause},
    usage,
};

/// Who fills the node with transactions.
const CLIENTS: u32 = 64;
/// How long until the last one has ended.
const ENDED_MAX: Duration = Duration::from_secs(600);
/// How long nothing is done before memory is measured: longer than a node keeps at hand what it has just worked on.
const REST: Duration = Duration::from_secs(3);
/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(100);

/// Submits sagas whose participants are away, kills the node, lets the participants come and starts the node again.
pub(super) fn measure(mut system: System, origin: &Path, count: u32) -> Result<Figures> {
    let store = system.folder().join(".flotilla/data/kv");
    let before = (usage::memory_of_one(system.pid())?, size(&store)?);
    let filled = fill(&system, count)?;
    pause(REST);
    let after = (usage::memory_of_one(system.pid())?, size(&store)?);
    let samples = samples(&system)?;
    let one = samples.first().context("nothing was kept")?.clone();

    kill(system.pid())?;
    let participants = participants(origin, system.away)?;
    let start = Instant::now();
    system.start_again()?;
    system.until("it does not serve", |system| system.api(&format!("/v1/tx/{one}")).map(drop))?;
    let served = start.elapsed();
    until_ended(&system, start, samples)?;
    let ended = start.elapsed();
    let memory = usage::memory_of_one(system.pid())?;
    drop(participants);

    let each = |now: f64, before: f64| (now - before) / f64::from(count);
    Ok(Figures::from([
        ("filled_per_second", f64::from(count) / filled.as_secs_f64()),
        ("disk_bytes", each(after.1, before.1)),
        ("memory_bytes", each(after.0, before.0)),
        ("served_ms", served.as_secs_f64() * 1e3),
        ("ended_s", ended.as_secs_f64()),
        ("memory_mb", memory / 1e6),
    ]))
}

fn fill(system: &System, count: u32) -> Result<Duration> {
    let start = Instant::now();
    let next = AtomicU32::new(0);
    let seen = load::run(system.app, Load::Taken("stuck"), CLIENTS, || {
        next.fetch_add(1, Relaxed) < count
    })?;
    if let Some(example) = seen.example {
        bail!("{} submissions failed: {example}", seen.failed);
    }
    Ok(start.elapsed())
}

fn participants(origin: &Path, at: SocketAddr) -> Result<Server> {
    let command = [origin.display().to_string(), at.to_string()];
    Server::start("origin", Folder::new()?, &command, &[at])
}

/// One unfinished transaction of each page.
fn samples(system: &System) -> Result<Vec<String>> {
    let mut samples = Vec::new();
    let mut path = "/v1/tx?status=trying&limit=1000".to_owned();
    loop {
        let page = system.api(&path)?;
        let id = page["transactions"][0]["id"].as_str();
        samples.extend(id.map(str::to_owned));
        let Some(next) = page["next"].as_str() else { return Ok(samples) };
        path = format!("/v1/tx?status=trying&limit=1000&cursor={next}");
    }
}

/// Whether a listing finds one. Records that the node has not taken up again are not listed, so this alone says nothing.
fn has_any(system: &System, status: &str) -> Result<bool> {
    let page = system.api(&format!("/v1/tx?status={status}&limit=1"))?;
    let is_empty = page["transactions"].as_array().is_some_and(Vec::is_empty);
    Ok(!is_empty || page["next"].is_string())
}

fn until_ended(system: &System, start: Instant, mut samples: Vec<String>) -> Result<()> {
    loop {
        while let Some(id) = samples.last() {
            if system.api(&format!("/v1/tx/{id}"))?["status"] != "committed" {
                break;
            }
            samples.pop();
        }
        if samples.is_empty() && !has_any(system, "trying")? && !has_any(system, "aborting")? {
            return Ok(());
        }
        if start.elapsed() > ENDED_MAX {
            bail!("some have not ended after {} s:\n{}", ENDED_MAX.as_secs(), system.output());
        }
        pause(LOOK);
    }
}

/// Bytes of all files of a folder.
fn size(folder: &Path) -> Result<f64> {
    let mut sum = 0.0;
    for entry in fs::read_dir(folder).with_context(|| format!("no `{}`", folder.display()))? {
        let metadata = entry?.metadata()?;
        if metadata.is_file() {
            sum += f64::from(u32::try_from(metadata.len() / 1024)?) * 1024.0;
        }
    }
    Ok(sum)
}
