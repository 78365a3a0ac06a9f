//! The official SDKs of Dapr, whose calls the tests make: packages of Python and of Node, in folders below the target
//! folder, so that nothing of the machine changes.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::process::{self, Workspace};

/// Where the programs and the lists of their packages are.
const SOURCES: &str = "crates/flotilla/tests/it/sdk";

/// A copy of what was installed, so that it is installed again when the list changes.
const STAMP: &str = "installed";

/// Installs what is missing.
///
/// # Errors
/// When an installation fails. In continuous integration also when the program that installs is missing; elsewhere
/// it is only named, because only the tests of SDKs need it.
pub(super) fn run(workspace: &Workspace) -> Result<()> {
    let sources = workspace.root.join(SOURCES);
    let target = workspace.target()?.join("sdk");
    let kinds: [(&str, &str, Install); 2] = [
        ("python", "requirements.txt", Install { program: "python3", run: python }),
        ("node", "package-lock.json", Install { program: "npm", run: node }),
    ];
    for (kind, list, install) in kinds {
        let (from, to) = (sources.join(kind), target.join(kind));
        let wanted = fs::read(from.join(list)).with_context(|| format!("there is no {list}"))?;
        if fs::read(to.join(STAMP)).is_ok_and(|installed| installed == wanted) {
            continue;
        }
        if process::which(install.program).is_none() {
            println!("the SDK for {kind} is not installed: there is no {}", install.program);
            if process::is_ci() {
                bail!("the tests need what is missing");
            }
            continue;
        }
        println!("installing the SDK for {kind} below {}", to.display());
        // Half of an earlier installation would be taken for a whole one.
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        fs::create_dir_all(&to)?;
        (install.run)(&from, &to)?;
        fs::write(to.join(STAMP), wanted)?;
    }
    Ok(())
}

struct Install {
    program: &'static str,
    run: fn(&Path, &Path) -> Result<()>,
}

fn python(from: &Path, to: &Path) -> Result<()> {
    process::run(Command::new("python3").args(["-m", "venv"]).arg(to))?;
    let mut pip = Command::new(to.join("bin/python3"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]);
    process::run(pip.arg(from.join("requirements.txt")))
}

fn node(from: &Path, to: &Path) -> Result<()> {
    for name in ["package.json", "package-lock.json"] {
        fs::copy(from.join(name), to.join(name))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(to).args(["ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund"]);
    process::run(&mut npm)
}
