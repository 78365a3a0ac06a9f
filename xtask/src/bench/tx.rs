//! How fast transactions are: `cargo xtask bench tx`.
//!
//! A real node with the embedded engine, a service with trivial handlers behind its data plane, and clients that submit over HTTP as
//! an app does. All of it shares one machine and its disk, whose own speed is measured beside each run. Nothing is compared with others;
//! what a figure is held against is the budget.

mod disk;
mod load;
mod recovery;
mod scenario;
mod system;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, bail};
use scenario::{Figures, Kind, Scenario};
use serde_json::json;
use system::System;

use super::{absolute, number};
use crate::process::{self, Workspace};

const USAGE: &str = "\
use `bench tx [--scenario NAME]... [--runs N] [--seconds S] [--unfinished N] [--json] [--flotilla FILE --origin FILE]`";

/// Most transactions that may be left unfinished: as many as a node takes.
const UNFINISHED_MAX: u32 = 1_000_000;

/// Builds and runs it.
pub(super) fn run(workspace: &Workspace, args: &[&str]) -> Result<()> {
    let options = Options::read(args)?;
    let (flotilla, origin) = match &options.binaries {
        Some(binaries) => binaries.clone(),
        None => build(workspace)?,
    };
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.trim();
    let cores = thread::available_parallelism()?.get();
    if !options.json {
        let (runs, seconds) = (options.runs, options.seconds);
        println!("{cores} cores, {runs} runs of {seconds} s, medians; load average before: {load}");
        println!("disk: one append of 512 B and one fdatasync after the other, before each run");
    }
    let mut documents = Vec::new();
    for scenario in &options.scenarios {
        let runs = measure(&options, scenario, &flotilla, &origin)
            .with_context(|| format!("scenario `{}`", scenario.name))?;
        if !options.json {
            println!("{}", scenario::text(scenario, &runs));
        }
        documents.push(scenario::json(scenario, &runs));
    }
    if options.json {
        let document = json!({
            "cores": cores,
            "runs": options.runs,
            "seconds": options.seconds,
            "unfinished": options.unfinished,
            "load_before": load,
            "scenarios": documents,
        });
        println!("{document:#}");
    }
    Ok(())
}

/// Builds the node and the service as they are shipped, and says where they are.
fn build(workspace: &Workspace) -> Result<(PathBuf, PathBuf)> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--profile", "dist", "--quiet", "--package", "flotilla"]);
    cargo.args(["--package", "proxy", "--bin", "flotilla", "--example", "origin"]);
    eprintln!("building flotilla, origin");
    if !cargo.status().context("cannot start cargo")?.success() {
        bail!("the build failed");
    }
    let folder = workspace.target()?.join("dist");
    Ok((folder.join("flotilla"), folder.join("examples/origin")))
}

/// Each scenario has a node of its own; what is kept of finished transactions grows from run to run, as it does in life.
fn measure(
    options: &Options,
    scenario: &Scenario,
    flotilla: &Path,
    origin: &Path,
) -> Result<Vec<Figures>> {
    let mut runs = Vec::new();
    let tell = |run: u32, runs: u32| eprintln!("{} {run}/{runs}", scenario.name);
    match scenario.kind {
        Kind::Load(load) => {
            let system = System::start(flotilla, origin)?;
            load::measure(&system, load, scenario.clients, 1)?;
            for run in 1..=options.runs {
                tell(run, options.runs);
                let disk = disk::measure(system.folder())?;
                let seen = load::measure(&system, load, scenario.clients, options.seconds);
                let mut figures = seen.with_context(|| system.output())?;
                figures.extend(disk);
                runs.push(figures);
            }
        }
        Kind::Recovery => {
            // It fills a disk and takes a minute: the median of five says no more than one does.
            tell(1, 1);
            let system = System::start(flotilla, origin)?;
            let mut figures = disk::measure(system.folder())?;
            figures.extend(recovery::measure(system, origin, options.unfinished)?);
            runs.push(figures);
        }
    }
    Ok(runs)
}

#[derive(Debug)]
struct Options {
    scenarios: Vec<&'static Scenario>,
    runs: u32,
    seconds: u32,
    unfinished: u32,
    json: bool,
    /// The node and the service, built by somebody else.
    binaries: Option<(PathBuf, PathBuf)>,
}

impl Options {
    fn read(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            scenarios: Vec::new(),
            runs: 5,
            seconds: 3,
            unfinished: 100_000,
            json: false,
            binaries: None,
        };
        let (mut flotilla, mut origin) = (None, None);
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if word == "--json" {
                options.json = true;
                continue;
            }
            let value = words.next().with_context(|| format!("`{word}`: {USAGE}"))?;
            match word {
                "--scenario" => options.scenarios.push(scenario::named(value)?),
                "--runs" => options.runs = number(value)?,
                "--seconds" => options.seconds = number(value)?,
                "--unfinished" => options.unfinished = unfinished(value)?,
                "--flotilla" => flotilla = Some(absolute(value)?),
                "--origin" => origin = Some(absolute(value)?),
                _ => bail!("`{word}`: {USAGE}"),
            }
        }
        options.binaries = match (flotilla, origin) {
            (Some(flotilla), Some(origin)) => Some((flotilla, origin)),
            (None, None) => None,
            _ => bail!("`--flotilla` and `--origin` come together: {USAGE}"),
        };
        if options.scenarios.is_empty() {
            options.scenarios = scenario::ALL.iter().collect();
        }
        Ok(options)
    }
}

fn unfinished(text: &str) -> Result<u32> {
    match text.parse() {
        Ok(number @ 1..=UNFINISHED_MAX) => Ok(number),
        _ => bail!("`{text}` is not within 1 to {UNFINISHED_MAX}"),
    }
}

/// Ends a process as a crash would.
fn kill(pid: u32) -> Result<()> {
    let mut kill = std::process::Command::new("kill");
    if !process::succeeds(kill.args(["-KILL", &pid.to_string()])) {
        bail!("cannot kill {pid}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_chooses_scenarios() {
        let check = |line: &str, expected: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let read = Options::read(&words).map_or_else(
                |error| error.to_string(),
                |it| {
                    let scenarios: Vec<_> = it.scenarios.iter().map(|it| it.name).collect();
                    format!("{scenarios:?} {}x{} {}", it.runs, it.seconds, it.unfinished)
                },
            );
            assert_eq!(read, expected, "{line}");
        };
        check("--scenario saga-64 --runs 2", r#"["saga-64"] 2x3 100000"#);
        check("--scenario recovery --unfinished 500", r#"["recovery"] 5x3 500"#);
        check("--unfinished 0", "`0` is not within 1 to 1000000");
        check("--seconds 0", "`0` is not within 1 to 3600");
        assert!(Options::read(&["--scenario", "x"]).is_err());
        assert!(Options::read(&["--origin", "/"]).is_err());
    }
}
