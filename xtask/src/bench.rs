//! How fast the data plane is, beside others: `cargo xtask bench proxy`.
//!
//! All proxies run on the same cores, one under load at a time, in turns, so that what else happens on the machine
//! meets all of them. The first figure is CPU time per request, which holds on a noisy machine. See
//! `docs/guide/benchmarks.md` for what is measured and how it is kept fair.

#![expect(clippy::print_stderr, reason = "progress; the result goes to standard output")]

pub(crate) mod client;
mod events;
mod kv;
pub(crate) mod load;
mod peers;
mod report;
mod run;
mod scenario;
pub(crate) mod server;
pub(crate) mod stats;
mod steady;
mod tx;
pub(crate) mod usage;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result, bail};
use peers::Peer;
use run::Plan;
use scenario::{ALL, Scenario};
use serde_json::json;

use crate::process::{self, Workspace};

pub(crate) const USAGE: &str = "\
use `bench proxy [--scenario NAME]... [--runs N] [--seconds S] [--peers LIST] [--json]
                 [--binaries DIR] [--old FILE]`";

pub(crate) fn run(workspace: &Workspace, args: &[OsString]) -> Result<()> {
    if let Some((_, rest)) = args.split_first().filter(|(first, _)| *first == "kv") {
        return kv::run(workspace, &kv::words(rest)?);
    }
    if let Some((_, rest)) = args.split_first().filter(|(first, _)| *first == "events") {
        return events::run(workspace, &kv::words(rest)?);
    }
    if let Some((_, rest)) = args.split_first().filter(|(first, _)| *first == "tx") {
        return tx::run(workspace, &kv::words(rest)?);
    }
    let options = Options::read(args)?;
    if process::which("wrk").is_none() {
        bail!("wrk is not installed: apt-get install wrk");
    }
    let binaries = match &options.binaries {
        Some(binaries) => binaries.clone(),
        None => build(workspace, &["proxy"], &["static_proxy", "origin"])?.join("examples"),
    };
    let mut wanted = vec![Peer::Us(binaries.join("static_proxy"))];
    wanted.extend(options.old.clone().map(Peer::Old));
    wanted.extend(options.peers.iter().cloned());
    let field = Field::of(wanted);
    let plan = Plan {
        peers: field.peers.clone(),
        origin: binaries.join("origin"),
        runs: options.runs,
        seconds: options.seconds,
        workers: thread::available_parallelism()?.get(),
    };
    measure(&options, &plan, field)
}

/// Who takes part.
struct Field {
    peers: Vec<Peer>,
    versions: Vec<(&'static str, String)>,
    /// What cannot be measured, and what to install.
    missing: Vec<String>,
}

impl Field {
    fn of(wanted: Vec<Peer>) -> Self {
        let mut field = Self { peers: Vec::new(), versions: Vec::new(), missing: Vec::new() };
        for peer in wanted {
            let name = peer.name();
            match peer.version() {
                Some(version) => {
                    field.versions.push((name, version));
                    field.peers.push(peer);
                }
                None => field.missing.push(format!("{name}: not installed: {}", peer.install())),
            }
        }
        field
    }
}

fn measure(options: &Options, plan: &Plan, mut field: Field) -> Result<()> {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    if !options.json {
        let named = |(name, version): &(&str, String)| format!("{name} ({version})");
        println!("{}", field.versions.iter().map(named).collect::<Vec<_>>().join(", "));
        println!(
            "{0} cores, {0} workers each, {1} runs of {2} s in turns, medians; load average before: {load}",
            plan.workers, plan.runs, plan.seconds
        );
        println!("others %: the part of the machine that other programs used meanwhile");
    }
    let mut reports = Vec::new();
    for scenario in &options.scenarios {
        let name = scenario.name;
        if scenario.needs_h2load() && process::which("h2load").is_none() {
            let line = "h2load is not installed: apt-get install nghttp2-client";
            field.missing.push(format!("{name}: {line}"));
            continue;
        }
        let report = run::scenario(plan, scenario, &|step| eprintln!("{step}"))
            .with_context(|| format!("scenario `{name}`"))?;
        if !options.json {
            println!("{}", report.table());
        }
        reports.push(report.json());
    }
    if options.json {
        let text = |(name, version): (&str, String)| (name.to_owned(), json!(version));
        let versions: serde_json::Map<_, _> = field.versions.into_iter().map(text).collect();
        let document = json!({
            "versions": versions,
            "cores": plan.workers,
            "runs": plan.runs,
            "seconds": plan.seconds,
            "load_before": load,
            "missing": field.missing,
            "scenarios": reports,
        });
        println!("{document:#}");
    } else {
        field.missing.iter().for_each(|line| println!("not measured: {line}"));
    }
    Ok(())
}

/// Builds examples of a package as they are shipped, and says where the profile's folder is.
pub(crate) fn build(
    workspace: &Workspace,
    packages: &[&str],
    examples: &[&str],
) -> Result<PathBuf> {
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--profile", "dist", "--quiet"]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    for example in examples {
        cargo.args(["--example", example]);
    }
    eprintln!("building {}", examples.join(", "));
    if !cargo.status().context("cannot start cargo")?.success() {
        bail!("the build failed");
    }
    let metadata = workspace.metadata(&["--no-deps"])?;
    let target = metadata["target_directory"].as_str().context("no target_directory")?;
    Ok(Path::new(target).join("dist"))
}

#[derive(Debug)]
struct Options {
    scenarios: Vec<&'static Scenario>,
    runs: u32,
    seconds: u32,
    peers: Vec<Peer>,
    json: bool,
    binaries: Option<PathBuf>,
    old: Option<PathBuf>,
}

impl Options {
    fn read(args: &[OsString]) -> Result<Self> {
        let words: Vec<&str> =
            args.iter().map(|arg| arg.to_str().context(USAGE)).collect::<Result<_>>()?;
        let Some((&"proxy", words)) = words.split_first() else { bail!(USAGE) };
        let mut options = Self {
            scenarios: Vec::new(),
            runs: 5,
            seconds: 3,
            peers: vec![Peer::Nginx, Peer::Haproxy, Peer::Envoy],
            json: false,
            binaries: None,
            old: None,
        };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            if word == "--json" {
                options.json = true;
                continue;
            }
            let value = words.next().with_context(|| format!("`{word}`: {USAGE}"))?;
            match word {
                "--scenario" => options.scenarios.push(named(value)?),
                "--runs" => options.runs = number(value)?,
                "--seconds" => options.seconds = number(value)?,
                "--peers" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    options.peers = names.map(Peer::named).collect::<Result<_>>()?;
                }
                "--binaries" => options.binaries = Some(absolute(value)?),
                "--old" => options.old = Some(absolute(value)?),
                _ => bail!("`{word}`: {USAGE}"),
            }
        }
        if options.scenarios.is_empty() {
            options.scenarios = ALL.iter().collect();
        }
        Ok(options)
    }
}

fn named(name: &str) -> Result<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name).with_context(|| {
        let names: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
        format!("there is no scenario `{name}`: {}", names.join(", "))
    })
}

fn number(text: &str) -> Result<u32> {
    let number: u32 = text.parse().ok().with_context(|| format!("`{text}` is no number"))?;
    // An hour of one run, or as many runs, is a slip of the finger.
    if (1..=3600).contains(&number) {
        Ok(number)
    } else {
        bail!("`{text}` is not within 1 to 3600")
    }
}

/// The servers run in folders of their own.
fn absolute(path: &str) -> Result<PathBuf> {
    fs::canonicalize(path).with_context(|| format!("there is no `{path}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_chooses_scenarios_and_peers() {
        let check = |line: &str, expected: &str| {
            let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            let read = Options::read(&args).map_or_else(
                |error| error.to_string().lines().next().unwrap_or_default().to_owned(),
                |it| {
                    let scenarios: Vec<_> = it.scenarios.iter().map(|it| it.name).collect();
                    let peers: Vec<_> = it.peers.iter().map(Peer::name).collect();
                    format!("{scenarios:?} {peers:?} {}x{}", it.runs, it.seconds)
                },
            );
            assert_eq!(read, expected, "{line}");
        };
        let all = r#"["nginx", "haproxy", "envoy"]"#;
        check("proxy --scenario get --scenario idle", &format!(r#"["get", "idle"] {all} 5x3"#));
        check("proxy --scenario h2 --peers nginx --runs 2 --seconds 1", r#"["h2"] ["nginx"] 2x1"#);
        check(
            "proxy --scenario tls --peers=",
            "`--peers=`: use `bench proxy [--scenario NAME]... [--runs N] [--seconds S] [--peers LIST] [--json]",
        );
        check("proxy --runs 0", "`0` is not within 1 to 3600");
        check("proxy --peers caddy", "there is no peer `caddy`: nginx, haproxy, envoy");
        assert!(Options::read(&["db".into()]).is_err());
    }
}
