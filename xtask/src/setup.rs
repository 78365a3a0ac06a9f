//! What the tests need besides Rust: other languages, a container engine, a load generator, SDKs.

mod sdks;

use std::{env, fs, os::unix::fs::MetadataExt, process::Command};

use anyhow::{Result, bail};

use crate::process::{self, Workspace};

/// A program, and the Debian package that has it.
const PROGRAMS: &[(&str, &str)] = &[
    ("busybox", "busybox-static"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("dockerd", "docker.io"),
    ("etcd", "etcd-server"),
    ("go", "golang-go"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mariadb-install-db", "mariadb-server-core"),
    // Which `mariadb-install-db` needs, and its package does not ask for.
    ("my_print_defaults", "mariadb-client-core"),
    ("nats-server", "nats-server"),
    ("nginx", "nginx-light"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("pg_lsclusters", "postgresql"),
    ("python3", "python3"),
    ("wrk", "wrk"),
];

/// Python modules, by the name under which both `import` and pip know them.
const MODULES: &[&str] = &["flask", "psycopg", "pymysql"];

const COMPONENTS: &[(&str, &str)] = &[("fmt", "rustfmt"), ("clippy", "clippy")];

/// Installs what is missing where that is possible without asking: as root, with apt-get.
///
/// # Errors
/// When an installation fails. In continuous integration also when something is missing that
/// cannot be installed; elsewhere it is only named, because most tests run without it.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    components(workspace)?;
    programs()?;
    sdks::run(workspace)
}

fn programs() -> Result<()> {
    let packages = missing_packages();
    let modules = missing_modules();
    if packages.is_empty() && modules.is_empty() {
        println!("nothing is missing");
        return Ok(());
    }
    if !is_root() || process::which("apt-get").is_none() {
        println!("missing, and not installed because that needs root and apt-get:");
        println!("  Debian packages: {}", packages.join(" "));
        println!("  Python packages: {}", modules.join(" "));
        if process::is_ci() {
            bail!("the tests need what is missing");
        }
        return Ok(());
    }
    if !packages.is_empty() {
        println!("installing with apt-get: {}", packages.join(" "));
        process::run(apt_get().args(["update", "-qq"]))?;
        let install = ["install", "-y", "-qq", "--no-install-recommends"];
        process::run(apt_get().args(install).args(&packages))?;
    }
    if !modules.is_empty() {
        println!("installing with pip: {}", modules.join(" "));
        // Debian refuses to let pip write beside its own packages unless told otherwise. Older
        // versions of pip do not know the option, but ignore the variable.
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet"]).args(&modules);
        pip.env("PIP_BREAK_SYSTEM_PACKAGES", "1").env("PIP_ROOT_USER_ACTION", "ignore");
        process::run(&mut pip)?;
    }
    Ok(())
}

/// rustfmt and clippy are not part of rustup's minimal profile.
fn components(workspace: &Workspace) -> Result<()> {
    for (command, component) in COMPONENTS {
        if process::succeeds(workspace.cargo().args([command, "--version"])) {
            continue;
        }
        println!("installing with rustup: {component}");
        let mut rustup = Command::new("rustup");
        rustup.current_dir(&workspace.root).args(["component", "add", component]);
        process::run(&mut rustup)?;
    }
    Ok(())
}

fn missing_packages() -> Vec<&'static str> {
    let mut missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, _)| process::which(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    let pip = ["-m", "pip", "--version"];
    if !missing_modules().is_empty() && !process::succeeds(Command::new("python3").args(pip)) {
        missing.push("python3-pip");
    }
    missing
}

fn missing_modules() -> Vec<&'static str> {
    let imports = |module: &&str| {
        process::succeeds(Command::new("python3").args(["-c", &format!("import {module}")]))
    };
    MODULES.iter().copied().filter(|module| !imports(module)).collect()
}

fn apt_get() -> Command {
    let mut apt_get = Command::new("apt-get");
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    if env::var_os("LC_ALL").is_none() {
        apt_get.env("LC_ALL", "C.UTF-8");
    }
    apt_get
}

/// Linux shows a process's own user as the owner of its folder in `/proc`; elsewhere there is no
/// apt-get either.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
