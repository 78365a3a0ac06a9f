//! How fast the embedded broker is, beside NATS JetStream, Redis streams and the bare disk: `cargo xtask bench events`.
//!
//! All write to the same disk, one at a time, in turns. Two of them acknowledge what is not synced, and say so by their
//! names: JetStream as it comes (`nats-default`) syncs every two minutes. Callers are on the same machine and share its
//! cores with the broker; ours run in the broker's process, as they do in a node, the others' behind a socket, each with a
//! connection of its own.

mod engine;
mod scenario;
mod servers;
mod table;

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use engine::{Engine, Figures};
use scenario::Scenario;
use serde_json::json;

use super::{build, number};
use crate::process::Workspace;

const USAGE: &str = "\
use `bench events [--scenario NAME]... [--runs N] [--seconds S] [--peers LIST] [--json] [--binaries DIR]`";

/// Builds and runs it.
pub(super) fn run(workspace: &Workspace, args: &[&str]) -> Result<()> {
    let options = Options::read(args)?;
    let binaries = match &options.binaries {
        Some(binaries) => binaries.clone(),
        None => build(workspace, &["adapter-embedded"], &["broker_load"])?.join("examples"),
    };
    let mut missing = Vec::new();
    let mut engines = vec![Engine::Disk, Engine::Embedded];
    for peer in &options.peers {
        match peer.missing() {
            Some(install) => missing.push(format!("{}: {install}", peer.name())),
            None => engines.push(*peer),
        }
    }
    let versions: Vec<String> = engines.iter().filter_map(|engine| engine.version()).collect();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    if !options.json {
        let (runs, seconds) = (options.runs, options.seconds);
        println!("{}", versions.join(", "));
        println!("{runs} runs of {seconds} s in turns, medians; load average before: {load}");
    }
    let mut documents = Vec::new();
    for scenario in &options.scenarios {
        let rows = measure(&options, &binaries, scenario, &engines)
            .with_context(|| format!("scenario `{}`", scenario.name))?;
        if !options.json {
            println!("{}", table::text(scenario, &rows));
        }
        documents.push(table::json(scenario, &rows));
    }
    if options.json {
        let document = json!({
            "versions": versions,
            "runs": options.runs,
            "seconds": options.seconds,
            "load_before": load.trim(),
            "missing": missing,
            "scenarios": documents,
        });
        println!("{document:#}");
    } else {
        missing.iter().for_each(|line| println!("not measured: {line}"));
    }
    Ok(())
}

/// The figures of each engine that takes part, one for each run.
type Rows = Vec<(Engine, Vec<Figures>)>;

fn measure(
    options: &Options,
    binaries: &std::path::Path,
    scenario: &Scenario,
    engines: &[Engine],
) -> Result<Rows> {
    let takes_part = |engine: &&Engine| scenario.engines.contains(engine);
    let mut rows: Rows =
        engines.iter().filter(takes_part).map(|engine| (*engine, Vec::new())).collect();
    for run in 1..=options.runs {
        for (engine, figures) in &mut rows {
            eprintln!("{} {} {run}/{}", scenario.name, engine.name(), options.runs);
            figures.push(engine::measure(*engine, scenario, options.seconds, binaries)?);
        }
    }
    Ok(rows)
}

#[derive(Debug)]
struct Options {
    scenarios: Vec<&'static Scenario>,
    runs: u32,
    seconds: u32,
    peers: Vec<Engine>,
    json: bool,
    binaries: Option<PathBuf>,
}

impl Options {
    fn read(words: &[&str]) -> Result<Self> {
        let mut options = Self {
            scenarios: Vec::new(),
            runs: 5,
            seconds: 3,
            peers: vec![Engine::Nats, Engine::NatsDefault, Engine::Redis],
            json: false,
            binaries: None,
        };
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
                "--peers" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    options.peers = names.map(Engine::peer).collect::<Result<_>>()?;
                }
                "--binaries" => options.binaries = Some(super::absolute(value)?),
                _ => bail!("`{word}`: {USAGE}"),
            }
        }
        if options.scenarios.is_empty() {
            options.scenarios = scenario::ALL.iter().collect();
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_chooses_scenarios_and_peers() {
        let check = |line: &str, expected: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let read = Options::read(&words).map_or_else(
                |error| error.to_string(),
                |it| {
                    let scenarios: Vec<_> = it.scenarios.iter().map(|it| it.name).collect();
                    let peers: Vec<_> = it.peers.iter().map(|it| it.name()).collect();
                    format!("{scenarios:?} {peers:?} {}x{}", it.runs, it.seconds)
                },
            );
            assert_eq!(read, expected, "{line}");
        };
        let all = r#"["nats-always", "nats-default", "redis"]"#;
        check("--scenario topics", &format!(r#"["topics"] {all} 5x3"#));
        check("--scenario replay --peers redis --runs 2", r#"["replay"] ["redis"] 2x3"#);
        check("--peers disk", "there is no peer `disk`: nats-always, nats-default, redis");
        check("--seconds 0", "`0` is not within 1 to 3600");
        assert!(Options::read(&["--scenario", "x"]).is_err());
    }
}
