//! The dashboard: built from its locked packages, so that the binary can embed it, and checked.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::process::{self, Workspace};

/// The oldest Node that the tools of the dashboard run on.
const NODE_MAJOR_MIN: u32 = 20;

/// Types, tests, and the build.
///
/// # Errors
/// When one of them fails; in continuous integration also when there is no Node.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let web = folder(workspace);
    if let Some(reason) = lacking() {
        if process::is_ci() {
            bail!("the dashboard cannot be built: {reason}");
        }
        println!("the dashboard is neither built nor checked: {reason}");
        return Ok(());
    }
    npm(&web, &["ci", "--no-audit", "--no-fund"])?;
    for script in ["check", "test", "build"] {
        npm(&web, &["run", script])?;
    }
    Ok(())
}

/// Builds it if that is possible: without Node the binary has only a plain page, which says so.
///
/// # Errors
/// When there is Node and the build fails.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let web = folder(workspace);
    if let Some(reason) = lacking() {
        println!("building without the dashboard: {reason}");
        return Ok(());
    }
    if !has_packages(&web) {
        npm(&web, &["ci", "--no-audit", "--no-fund"])?;
    }
    npm(&web, &["run", "build"])
}

fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("web")
}

fn npm(web: &Path, arguments: &[&str]) -> Result<()> {
    process::run(Command::new("npm").current_dir(web).args(arguments))
}

/// Whether what npm notes of its last installation is not older than the list of what it shall install.
fn has_packages(web: &Path) -> bool {
    let changed = |name: &str| web.join(name).metadata().and_then(|file| file.modified()).ok();
    match (changed("node_modules/.package-lock.json"), changed("package-lock.json")) {
        (Some(installed), Some(wanted)) => installed >= wanted,
        _ => false,
    }
}

/// Why the dashboard cannot be built here.
fn lacking() -> Option<String> {
    if process::which("npm").is_none() {
        return Some("npm is not installed".to_owned());
    }
    let version = process::capture(Command::new("node").arg("--version"));
    match version.and_then(|version| major(&version)) {
        Ok(major) if major >= NODE_MAJOR_MIN => None,
        Ok(major) => Some(format!("it needs Node {NODE_MAJOR_MIN} or newer, and this is {major}")),
        Err(e) => Some(format!("{e:#}")),
    }
}

/// The first number of `v20.20.2`.
fn major(version: &str) -> Result<u32> {
    let first = version.trim().trim_start_matches('v').split('.').next();
    let number = first.and_then(|number| number.parse().ok());
    number.with_context(|| format!("`{}` is no version of Node", version.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_node_is_read() {
        assert_eq!(major("v20.20.2\n").unwrap(), 20);
        assert_eq!(major("22.0.0").unwrap(), 22);
        assert!(major("").is_err());
        assert!(major("node").is_err());
    }
}
