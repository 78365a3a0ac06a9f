//! Runs the checks of `fuzz/checks` under libFuzzer.
//!
//! What instruments the code are code generation options that the stable compiler has
//! (`-Cpasses=sancov-module`), so no other toolchain is needed, only a C++ compiler for libFuzzer
//! itself. There is no `unsafe` of ours, hence no address sanitizer, which would need a nightly one.
//!
//! Seeds and findings are in `fuzz/corpus/NAME/` and belong to the repository; what a run finds of
//! interest stays under the target folder and is where the next run goes on.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::process::{self, Workspace};

/// How long one check runs unless told. Long enough to get past what the last run knew.
const SECONDS_DEFAULT: u64 = 60;

/// Longest input in bytes. Parsers here have no state that more would reach, and short inputs run
/// faster.
const INPUT_MAX: u32 = 1_024;

/// An input that takes longer is a finding, in seconds.
const INPUT_SECONDS_MAX: u32 = 5;

/// Counters on every edge, and what is compared with what: how libFuzzer knows that it is getting on.
const INSTRUMENT: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 \
    --cfg fuzzing";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Ask {
    /// A check, or `all`.
    name: String,
    seconds: u64,
}

pub(crate) fn run(workspace: &Workspace, args: &[std::ffi::OsString]) -> Result<()> {
    let args: Option<Vec<&str>> = args.iter().map(|arg| arg.to_str()).collect();
    let ask = read(&args.context("an argument is not UTF-8")?)?;
    let corpus = workspace.root.join("fuzz/corpus");
    let known = names(&corpus)?;
    let chosen: Vec<&String> =
        known.iter().filter(|name| ask.name == "all" || **name == ask.name).collect();
    if chosen.is_empty() {
        bail!("there is no check `{}`; there are: {}", ask.name, known.join(", "));
    }
    let metadata = workspace.metadata(&["--no-deps"])?;
    let target = metadata["target_directory"].as_str().context("no target_directory")?;
    let target = Path::new(target).join("fuzz");
    let program = build(workspace, &target)?;
    for name in chosen {
        fuzz(&program, name, ask.seconds, &workspace.root.join("fuzz"), &target)?;
    }
    Ok(())
}

fn read(args: &[&str]) -> Result<Ask> {
    let usage = "usage: cargo xtask fuzz NAME|all [--seconds N]";
    match args {
        [name] if !name.starts_with('-') => {
            Ok(Ask { name: (*name).to_owned(), seconds: SECONDS_DEFAULT })
        }
        [name, "--seconds", seconds] if !name.starts_with('-') => {
            let seconds = seconds.parse().ok().filter(|seconds| *seconds > 0);
            let seconds = seconds.context("--seconds takes a whole number above 0")?;
            Ok(Ask { name: (*name).to_owned(), seconds })
        }
        _ => bail!(usage),
    }
}

/// The checks: a test holds that each has a folder and each folder a check.
fn names(corpus: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(corpus)
        .with_context(|| format!("cannot read the folder `{}`", corpus.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry?.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

fn build(workspace: &Workspace, target: &Path) -> Result<PathBuf> {
    let package = workspace.root.join("fuzz");
    // The versions that everything else is tested with.
    fs::copy(workspace.root.join("Cargo.lock"), package.join("Cargo.lock"))
        .context("cannot copy Cargo.lock")?;
    let host = host()?;
    let mut cargo = workspace.cargo();
    cargo.args(["build", "--release", "--manifest-path"]).arg(package.join("Cargo.toml"));
    // With a target named, the flags do not reach build scripts, which could not be linked with them.
    cargo.args(["--target", &host, "--target-dir"]).arg(target).env("RUSTFLAGS", INSTRUMENT);
    process::run(&mut cargo)?;
    Ok(target.join(host).join("release/fuzz"))
}

fn host() -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = process::capture(Command::new(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not say what it runs on")?.to_owned())
}

fn fuzz(program: &Path, name: &str, seconds: u64, sources: &Path, target: &Path) -> Result<()> {
    let (working, findings) =
        (target.join("corpus").join(name), target.join("findings").join(name));
    for folder in [&working, &findings] {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder `{}`", folder.display()))?;
    }
    let mut command = Command::new(program);
    command.env("FUZZ_TARGET", name);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-max_len={INPUT_MAX}"));
    command.arg(format!("-timeout={INPUT_SECONDS_MAX}"));
    command.arg(format!("-artifact_prefix={}/", findings.display()));
    command.args(["-print_final_stats=1", "-use_value_profile=1"]);
    let words = sources.join("words").join(name);
    if words.is_file() {
        command.arg(format!("-dict={}", words.display()));
    }
    command.arg(working).arg(sources.join("corpus").join(name));
    process::run(&mut command).with_context(|| {
        format!(
            "`{name}` does not hold: the input is in `{}`; once it does, keep it, as small as it \
             can be, in fuzz/corpus/{name}",
            findings.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_and_a_time_are_asked_for() {
        let ask = |name: &str, seconds| Ask { name: name.to_owned(), seconds };
        assert_eq!(read(&["path"]).unwrap(), ask("path", SECONDS_DEFAULT));
        assert_eq!(read(&["all", "--seconds", "5"]).unwrap(), ask("all", 5));
        for bad in [
            &[] as &[&str],
            &["--seconds", "5"],
            &["path", "--seconds"],
            &["path", "--seconds", "0"],
            &["path", "--seconds", "x"],
            &["path", "query"],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
