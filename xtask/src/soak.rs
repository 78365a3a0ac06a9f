//! Whether the data plane holds: `cargo xtask soak proxy`.
//!
//! A real node carries full load from clients of all kinds while its instances are killed and restarted every few
//! seconds. Nothing idempotent may be lost, nothing else may be done twice, and neither memory nor descriptors
//! may grow after the warm-up. See `docs/guide/benchmarks.md`.

mod clients;
mod samples;
mod system;

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clients::Clients;
use samples::Sample;
use system::{Held, System};

use crate::{
    bench::{
        load::{self, Load, Wrk},
        server::{Server, pause},
        usage,
    },
    process::{self, Workspace},
};

const USAGE: &str = "\
use `soak proxy [--minutes N | --seconds N] [--period SECONDS] [--flotilla FILE --origin FILE]`";

/// Long enough that a leak of one byte per request shows.
const MINUTES_DEFAULT: u64 = 30;
/// Between two kills.
const PERIOD_DEFAULT: Duration = Duration::from_secs(3);
/// Between two looks at the node.
const LOOK: Duration = Duration::from_millis(500);
/// Every so many kills an instance is also restarted in order.
const RESTART_EVERY: usize = 4;
/// How long connections and requests may take to be gone after the last client: longer than idle connections are
/// kept on any side.
const REST_MAX: Duration = Duration::from_secs(30);
/// How much longer than asked wrk may take to end.
const WRK_OVERTIME: Duration = Duration::from_secs(30);

pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<()> {
    let options = Options::read(args)?;
    if process::which("wrk").is_none() {
        bail!("wrk is not installed: apt-get install wrk");
    }
    let (flotilla, origin) = match options.binaries.clone() {
        Some(binaries) => binaries,
        None => build(workspace)?,
    };
    let mut system = System::start(&flotilla, &origin)?;
    let before = Sample::of(system.pid())?;
    println!(
        "{} s of load on {}, an instance killed every {} s",
        options.time.as_secs(),
        system.gateway,
        options.period.as_secs_f64()
    );
    let course = Course::run(&mut system, &options)
        .with_context(|| format!("the node said:\n{}", system.output()))?;
    let (after, held) = rest(&system, before)?;
    course.tell(&system, before, after)?;
    let faults = course.faults(&system, before, after, &held)?;
    system.down()?;
    if faults.is_empty() {
        println!("passed");
        return Ok(());
    }
    for fault in &faults {
        println!("FAULT: {fault}");
    }
    bail!("{} faults", faults.len())
}

type Value = fn(&Sample) -> f64;

/// What happened.
struct Course {
    clients: Clients,
    bulk: Load,
    warm: Vec<Sample>,
    later: Vec<Sample>,
    restarts: u64,
    node_cpu: f64,
    time: Duration,
}

impl Course {
    fn run(system: &mut System, options: &Options) -> Result<Self> {
        let wrk = Wrk::background(&format!("http://{}/1024", system.gateway), options.time)?;
        let mut course = Self {
            clients: Clients::new(system.gateway),
            bulk: Load::default(),
            warm: Vec::new(),
            later: Vec::new(),
            restarts: 0,
            node_cpu: 0.0,
            time: options.time,
        };
        let cpu = usage::cpu_of_one(system.pid())?;
        let Self { clients, warm, later, restarts, .. } = &mut course;
        let clients = &*clients;
        let watched = thread::scope(|scope| {
            clients.start(scope);
            let watched = watch(system, options, warm, later, restarts);
            clients.stop.store(true, Relaxed);
            watched
        });
        watched?;
        course.node_cpu = usage::cpu_of_one(system.pid())? - cpu;
        course.bulk = finish(&wrk)?;
        Ok(course)
    }

    fn tell(&self, system: &System, before: Sample, after: Sample) -> Result<()> {
        let tally = &self.clients.tally;
        let Self { bulk, restarts, .. } = self;
        let [requests, errors, retries] = system.counts()?;
        let cores = self.node_cpu / self.time.as_secs_f64();
        println!("instances: {} killed, {restarts} restarted in order", system.kills);
        println!(
            "the node counted {requests} requests, {errors} errors, {retries} retries; \
             it used {cores:.2} cores"
        );
        println!(
            "wrk, 64 kept connections: {} requests, {:.0}/s, p50 {:.2} ms, p99 {:.2} ms, {} failed",
            bulk.requests, bulk.per_second, bulk.p50_ms, bulk.p99_ms, bulk.failed
        );
        println!("connections left in the middle of something: {}", tally.left());
        for (what, good, good_word, bad, bad_word) in tally.lines() {
            println!("{what}: {good} {good_word}, {bad} {bad_word}");
        }
        let values: [(&str, Value); 2] =
            [("memory in MiB", |it| it.memory_mib), ("descriptors", |it| it.descriptors)];
        for (what, value) in values {
            let peak = |samples: &[Sample]| samples.iter().map(value).fold(0.0, f64::max);
            println!(
                "{what}: {:.1} before, at most {:.1} in the warm-up and {:.1} later, \
                 {:.1} at the end, {:.1} at rest",
                value(&before),
                peak(&self.warm),
                peak(&self.later),
                self.later.last().map_or(0.0, value),
                value(&after)
            );
        }
        Ok(())
    }

    fn faults(
        &self,
        system: &System,
        before: Sample,
        after: Sample,
        held: &Held,
    ) -> Result<Vec<String>> {
        let tally = &self.clients.tally;
        let mut faults = samples::growth(&self.warm, &self.later);
        if self.bulk.failed > 0.0 {
            faults.push(format!("wrk lost {} requests:{}", self.bulk.failed, self.bulk.words));
        }
        faults.extend(tally.faults(&system.ledger()?));
        if !samples::is_at_rest(before, after) {
            faults.push("descriptors are left over after the load".to_owned());
        }
        if !held.is_nothing() {
            faults.push(format!("counted after the load, and not there: {held:?}"));
        }
        if system.kills == 0 {
            faults.push("nothing was killed: that was too short".to_owned());
        }
        Ok(faults)
    }
}

/// Looks at the node and ends instances until the time is over.
fn watch(
    system: &mut System,
    options: &Options,
    warm: &mut Vec<Sample>,
    later: &mut Vec<Sample>,
    restarts: &mut u64,
) -> Result<()> {
    let start = Instant::now();
    let mut next_end = start + options.period;
    while start.elapsed() < options.time {
        pause(LOOK);
        if !system.is_alive() {
            bail!("the node is gone");
        }
        let phase =
            if start.elapsed() < samples::warm_up(options.time) { &mut *warm } else { &mut *later };
        phase.push(Sample::of(system.pid())?);
        // Only one at a time, or there would be nobody left to ask.
        if Instant::now() < next_end || !system.is_ready()? {
            continue;
        }
        next_end = Instant::now() + options.period;
        if system.kills % RESTART_EVERY == RESTART_EVERY - 1
            && *restarts < u64::try_from(system.kills / RESTART_EVERY + 1)?
        {
            *restarts += 1;
            system.restart_one(*restarts)?;
        } else {
            system.kill_one()?;
        }
    }
    Ok(())
}

/// The node after the last client, once nothing changes any more: requests are over, connections to clients and
/// idle ones to instances are closed.
fn rest(system: &System, before: Sample) -> Result<(Sample, Held)> {
    let deadline = Instant::now() + REST_MAX;
    loop {
        let (after, held) = (Sample::of(system.pid())?, system.held()?);
        let is_over = held.is_nothing() && samples::is_at_rest(before, after);
        if is_over || Instant::now() > deadline {
            return Ok((after, held));
        }
        pause(LOOK);
    }
}

/// What wrk says in the end.
fn finish(wrk: &Server) -> Result<Load> {
    let deadline = Instant::now() + WRK_OVERTIME;
    while wrk.is_alive() {
        if Instant::now() > deadline {
            bail!("wrk does not end");
        }
        pause(LOOK);
    }
    load::parse_wrk(&wrk.output())
}

fn build(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--package", "flotilla", "--package", "proxy"]);
    process::run(cargo.args(["--bin", "flotilla", "--example", "origin"]))?;
    let flotilla = workspace.release_binary()?;
    let origin = flotilla.with_file_name("examples").join("origin");
    Ok((flotilla, origin))
}

#[derive(Debug)]
struct Options {
    time: Duration,
    period: Duration,
    /// The command line and the service, built by somebody else.
    binaries: Option<(PathBuf, PathBuf)>,
}

impl Options {
    fn read(args: &[OsString]) -> Result<Self> {
        let words: Vec<&str> =
            args.iter().map(|arg| arg.to_str().context(USAGE)).collect::<Result<_>>()?;
        let Some((&"proxy", words)) = words.split_first() else { bail!(USAGE) };
        let mut options = Self {
            time: Duration::from_secs(MINUTES_DEFAULT * 60),
            period: PERIOD_DEFAULT,
            binaries: None,
        };
        let (mut flotilla, mut origin) = (None, None);
        for pair in words.chunks(2) {
            let &[word, value] = pair else { bail!("`{}`: {USAGE}", pair.concat()) };
            match word {
                "--minutes" => options.time = Duration::from_secs(number(value)? * 60),
                "--seconds" => options.time = Duration::from_secs(number(value)?),
                "--period" => options.period = Duration::from_secs(number(value)?),
                "--flotilla" => flotilla = Some(fs::canonicalize(value).context(value.to_owned())?),
                "--origin" => origin = Some(fs::canonicalize(value).context(value.to_owned())?),
                _ => bail!("`{word}`: {USAGE}"),
            }
        }
        options.binaries = match (flotilla, origin) {
            (Some(flotilla), Some(origin)) => Some((flotilla, origin)),
            (None, None) => None,
            _ => bail!("--flotilla and --origin go together: {USAGE}"),
        };
        Ok(options)
    }
}

fn number(text: &str) -> Result<u64> {
    let number = text.parse().ok().with_context(|| format!("`{text}` is no number"))?;
    // A week; what is longer is a slip of the finger.
    if (1..=7 * 24 * 3600).contains(&number) { Ok(number) } else { bail!("`{text}` is too much") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_says_how_long() {
        let check = |line: &str, expected: &str| {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let read = Options::read(&args).map_or_else(
                |error| error.to_string().lines().next().unwrap_or_default().to_owned(),
                |it| format!("{:?} {:?}", it.time, it.period),
            );
            assert_eq!(read, expected, "{line}");
        };
        check("proxy", "1800s 3s");
        check("proxy --minutes 2 --period 1", "120s 1s");
        check("proxy --seconds 12", "12s 3s");
        check("proxy --seconds soon", "`soon` is no number");
        let usage = USAGE.lines().next().unwrap();
        check("proxy --seconds", &format!("`--seconds`: {usage}"));
        check(
            "proxy --origin Cargo.toml",
            &format!("--flotilla and --origin go together: {usage}"),
        );
    }
}
