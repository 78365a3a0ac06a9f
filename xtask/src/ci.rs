//! All checks and tests in one order, the cheap ones first, each timed.
//!
//! Cargo is called with the same flags and environment in all steps, so that nothing is built
//! twice: `-D warnings` stands after `--` where it reaches only our own crates, and
//! `RUSTDOCFLAGS` reaches only rustdoc.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::{
    process::{self, Workspace},
    setup, tidy, web,
};

type Step = (&'static str, fn(&Workspace) -> Result<()>);

const STEPS: &[Step] = &[
    ("setup", setup::run),
    ("fmt", |workspace| cargo(workspace, "fmt --all --check")),
    ("tidy", tidy::run),
    // Before anything is compiled: a dashboard that changes later would compile the binary again.
    ("web", web::check),
    ("clippy", |workspace| {
        cargo(workspace, "clippy --workspace --all-targets --quiet -- -D warnings")
    }),
    // With the tests, so that the dependencies have the same features as in the next step.
    ("build", |workspace| cargo(workspace, "build --workspace --all-targets --quiet")),
    ("test", |workspace| cargo(workspace, "test --workspace --no-fail-fast --quiet")),
    ("doc", |workspace| {
        let mut doc = workspace.cargo();
        doc.args(["doc", "--workspace", "--no-deps", "--quiet"]);
        process::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
    }),
    ("release", release),
];

/// What the binary of the profile `release` may have, in bytes: a bound against growth that nobody has noticed. That profile is quick to build and
/// not optimised at link time; the budget of 40 MB is that of the profile `dist`, which is shipped.
const BINARY_MAX: u64 = 56_000_000;

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut table = String::from("\nstep        seconds\n");
    let mut outcome = Ok(());
    for (name, step) in STEPS {
        println!("\n==> {name}");
        let started = Instant::now();
        outcome = step(workspace).with_context(|| format!("step `{name}` failed"));
        table.push_str(&row(name, started.elapsed(), outcome.is_ok()));
        if outcome.is_err() {
            break;
        }
    }
    println!("{table}");
    outcome
}

fn row(name: &str, took: Duration, passed: bool) -> String {
    let mark = if passed { "" } else { "  FAILED" };
    format!("{name:<10}{:>9.1}{mark}\n", took.as_secs_f64())
}

fn cargo(workspace: &Workspace, arguments: &str) -> Result<()> {
    process::run(workspace.cargo().args(arguments.split(' ')))
}

fn release(workspace: &Workspace) -> Result<()> {
    cargo(workspace, "build --release --package flotilla --quiet")?;
    let size = workspace.release_binary()?.metadata().context("there is no release binary")?.len();
    println!("the release binary has {} kB", size / 1000);
    if size > BINARY_MAX {
        bail!("the release binary has {size} bytes, more than its bound of {BINARY_MAX}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_what_failed() {
        assert_eq!(row("fmt", Duration::from_millis(1240), true), "fmt             1.2\n");
        assert_eq!(row("test", Duration::from_secs(90), false), "test           90.0  FAILED\n");
    }
}
