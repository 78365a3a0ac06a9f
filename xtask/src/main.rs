//! What there is to do with this repository: `cargo xtask help`.
//!
//! One command runs a system ([`up`]), one checks and tests everything ([`ci`]); the others are
//! parts of these. Nothing here is needed to use Flotilla.

#![expect(clippy::print_stdout, reason = "the output is what these commands are for")]

mod bench;
mod ci;
mod fuzz;
mod process;
mod setup;
mod soak;
mod tidy;
mod up;
mod web;

use std::{
    env,
    ffi::{OsStr, OsString},
    process::ExitCode,
};

use anyhow::{Result, bail};
use process::Workspace;

const HELP: &str = "\
cargo xtask <command>

  up [DIR] [-- ARGS]   build Flotilla (and its dashboard, where Node is) and run the system in DIR;
                       DIR is examples/shop unless given, ARGS go to `flotilla up`
  ci                   all checks and tests, as continuous integration runs them
  setup                what the tests need besides Rust: installs it, or names what is missing
  bench proxy          how fast the data plane is, beside nginx, HAProxy and Envoy: CPU per request,
                       latency, memory; see docs/guide/benchmarks.md
  bench kv             how fast the embedded kv engine is, beside etcd, Redis and the bare disk
  bench events         how fast the embedded broker is, beside NATS JetStream, Redis and the bare disk
  bench tx             how fast transactions of each protocol are, and how a killed node recovers
  fuzz NAME [--seconds N]
                       give a parser of the data plane bytes that nobody thought of; `all` for each
                       in turn, fuzz/corpus has their names
  soak proxy           half an hour of full load while instances are killed: nothing lost, nothing leaks
  tidy                 the checks of our own: layers, sources, licences, error codes
  fix                  format everything
  help                 this
";

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let command = args.next().unwrap_or_else(|| "help".into());
    match run(&command, &args.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &OsStr, args: &[OsString]) -> Result<()> {
    let workspace = Workspace::find();
    match command.to_str() {
        Some("up") => up::run(&workspace, args),
        Some("ci") => none(args).and_then(|()| ci::run(&workspace)),
        Some("setup") => none(args).and_then(|()| setup::run(&workspace)),
        Some("bench") => bench::run(&workspace, args),
        Some("fuzz") => fuzz::run(&workspace, args),
        Some("soak") => soak::run(&workspace, args),
        Some("tidy") => none(args).and_then(|()| tidy::run(&workspace)),
        Some("fix") => {
            none(args).and_then(|()| process::run(workspace.cargo().args(["fmt", "--all"])))
        }
        Some("help" | "--help" | "-h") => {
            print!("{HELP}");
            Ok(())
        }
        _ => bail!("there is no command `{}`, see `cargo xtask help`", command.display()),
    }
}

fn none(args: &[OsString]) -> Result<()> {
    match args.first() {
        Some(extra) => bail!("`{}` is one argument too many", extra.display()),
        None => Ok(()),
    }
}
