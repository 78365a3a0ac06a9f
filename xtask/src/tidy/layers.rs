//! Who may depend on whom, as the table of ARCHITECTURE.md has it.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, Source, find};

/// What a crate of ours may use of ours.
#[derive(Clone, Copy)]
enum Allowed {
    Only(&'static [&'static str]),
    Everything,
}
use Allowed::{Everything, Only};

/// A new crate gets its row here, which is where its place is decided.
const TABLE: &[(&str, Allowed)] = &[
    ("base", Only(&[])),
    ("logic", Only(&["base"])),
    ("ports", Only(&["base"])),
    ("runtime", Only(&["base"])),
    ("manifest", Only(&["base", "logic", "policy"])),
    ("policy", Only(&["base", "logic"])),
    ("proxy", Only(&["base", "logic", "policy", "runtime"])),
    ("supervisor", Only(&["base", "logic", "manifest", "ports", "runtime"])),
    ("gateway", Only(&["base", "logic", "manifest", "policy", "ports", "proxy", "runtime"])),
    ("observe", Only(&["base", "logic", "ports", "runtime"])),
    ("adapter-local", Only(&["base", "logic", "ports", "runtime"])),
    ("adapter-embedded", Only(&["base", "logic", "ports", "runtime"])),
    ("adapter-nats", Only(&["base", "ports", "runtime"])),
    ("adapter-postgres", Only(&["ports", "runtime"])),
    ("adapter-sqlite", Only(&["ports", "runtime"])),
    ("adapter-etcd", Only(&["base", "ports", "proto", "runtime"])),
    ("coordination", Only(&["base", "logic", "manifest", "ports", "runtime"])),
    ("events", Only(&["base", "logic", "ports", "runtime"])),
    ("transactions", Only(&["base", "logic", "ports", "runtime"])),
    ("proto", Only(&[])),
    ("adapter-docker", Only(&["base", "ports", "runtime"])),
    (
        "api",
        Only(&[
            "base",
            "coordination",
            "events",
            "gateway",
            "logic",
            "manifest",
            "observe",
            "ports",
            "proto",
            "proxy",
            "runtime",
            "supervisor",
            "transactions",
        ]),
    ),
    // Goes into services, so it brings nothing of the node.
    ("flotilla-participant", Only(&[])),
    ("flotilla", Everything),
];

/// Tests of these may use a real engine.
const SERVICES: &[&str] =
    &["api", "coordination", "events", "gateway", "observe", "supervisor", "transactions"];

/// These stay free of tasks and sockets.
const WITHOUT_TOKIO: &[&str] = &["base", "logic", "manifest", "policy", "ports"];

/// The one crate that is made for services, so those of the examples show it.
const FOR_SERVICES: &str = "flotilla-participant";

/// A package of the workspace.
#[derive(Debug)]
pub(super) struct Member {
    name: String,
    /// Relative to the root.
    manifest: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    is_dev: bool,
    /// Its folder relative to the root, if it is ours.
    folder: Option<String>,
}

/// Reads `cargo metadata --no-deps`.
pub(super) fn members(metadata: &Value, root: &Path) -> Result<Vec<Member>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let relative = |path: &str| {
        let inside = Path::new(path).strip_prefix(root).ok()?;
        inside.to_str().map(str::to_owned)
    };
    let packages = metadata["packages"].as_array().context("no packages in cargo's metadata")?;
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().context("no dependencies")?;
            let dependency = |value: &Value| {
                Some(Dependency {
                    name: text(&value["name"])?,
                    is_dev: value["kind"] == "dev",
                    folder: value["path"].as_str().and_then(relative),
                })
            };
            Ok(Member {
                name: text(&package["name"]).context("a package without a name")?,
                manifest: package["manifest_path"]
                    .as_str()
                    .and_then(relative)
                    .context("a member outside the workspace")?,
                dependencies: dependencies.iter().filter_map(dependency).collect(),
            })
        })
        .collect()
}

pub(super) fn check(members: &[Member], sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in members {
        let manifest = find(sources, &member.manifest).map_or("", |source| source.text.as_str());
        let Ok(allowed) = allowed(member) else {
            let message = format!("`{}` has no row in the table of layers", member.name);
            findings.push(Finding::new(&member.manifest, 1, message));
            continue;
        };
        for dependency in &member.dependencies {
            if let Some(message) = refuse(member, allowed, dependency) {
                let line = line_of(manifest, &dependency.name);
                findings.push(Finding::new(&member.manifest, line, message));
            }
        }
    }
    findings
}

/// The row of a crate; `None` for examples and tools, which are no part of the system.
fn allowed(member: &Member) -> Result<Option<Allowed>, ()> {
    // They see what a system is never made of: parsers that are public only for them.
    if member.manifest.starts_with("fuzz/") {
        return Ok(Some(Everything));
    }
    if !member.manifest.starts_with("crates/") {
        return Ok(None);
    }
    let row = TABLE.iter().find(|(name, _)| *name == member.name).ok_or(())?;
    Ok(Some(row.1))
}

fn refuse(member: &Member, allowed: Option<Allowed>, dependency: &Dependency) -> Option<String> {
    let (user, used) = (member.name.as_str(), dependency.name.as_str());
    let Some(folder) = &dependency.folder else {
        let needs_tasks = ["tokio", "hyper"].iter().any(|root| {
            used.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        });
        let refused = needs_tasks && !dependency.is_dev && WITHOUT_TOKIO.contains(&user);
        return refused.then(|| format!("`{user}` must not need `{used}`"));
    };
    if dependency.is_dev && user == used {
        // How a crate turns on a feature of its own for its tests.
        return None;
    }
    let is_crate = folder.starts_with("crates/");
    let is_example = member.manifest.starts_with("examples/");
    let is_allowed = match allowed {
        None => !is_crate || (is_example && used == FOR_SERVICES),
        Some(Everything) => is_crate,
        Some(Only(names)) => {
            let is_real = ["adapter-local", "adapter-embedded"].contains(&used);
            let in_tests = used == "ports" || (is_real && SERVICES.contains(&user));
            is_crate && (names.contains(&used) || (dependency.is_dev && in_tests))
        }
    };
    (!is_allowed).then(|| format!("`{user}` may not depend on `{used}`"))
}

/// Where a manifest names a dependency.
fn line_of(manifest: &str, name: &str) -> usize {
    let names =
        |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['.', ' ', '=']));
    manifest.lines().position(names).map_or(1, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `user` depends on `used`, written `name`, `dev name`, or `name (outside)`.
    fn check_use(user: &str, folder: &str, used: &str, expected: &str) {
        let (is_dev, used) = used.strip_prefix("dev ").map_or((false, used), |used| (true, used));
        let (used, path) = match used.strip_suffix(" (outside)") {
            Some(used) => (used, None),
            None if used.starts_with("shop-") => (used, Some(format!("/repo/examples/{used}"))),
            None => (used, Some(format!("/repo/crates/{used}"))),
        };
        let metadata = json!({ "packages": [{
            "name": user,
            "manifest_path": format!("/repo/{folder}/{user}/Cargo.toml"),
            "dependencies": [
                { "name": used, "kind": is_dev.then_some("dev"), "path": path },
            ],
        }]});
        let manifest = Source {
            path: format!("{folder}/{user}/Cargo.toml"),
            text: format!("[dependencies]\n{used}.workspace = true\n"),
        };
        let members = members(&metadata, Path::new("/repo")).unwrap();
        let found: Vec<_> = check(&members, &[manifest]).iter().map(Finding::to_string).collect();
        assert_eq!(found.join("\n"), expected);
    }

    fn check_crate(user: &str, used: &str, message: &str) {
        let expected = match message {
            "" => String::new(),
            message => format!("crates/{user}/Cargo.toml:2: {message}"),
        };
        check_use(user, "crates", used, &expected);
    }

    #[test]
    fn a_crate_uses_only_what_its_row_says() {
        check_crate("gateway", "proxy", "");
        check_crate("flotilla", "adapter-docker", "");
        check_crate("gateway", "supervisor", "`gateway` may not depend on `supervisor`");
        check_crate(
            "adapter-docker",
            "adapter-local",
            "`adapter-docker` may not depend on `adapter-local`",
        );
        check_crate("base", "logic", "`base` may not depend on `logic`");
        check_crate("runtime", "ports", "`runtime` may not depend on `ports`");
        check_crate("flotilla", "shop-kit", "`flotilla` may not depend on `shop-kit`");
    }

    #[test]
    fn tests_may_use_the_suites_and_of_services_a_real_engine() {
        check_crate("supervisor", "dev adapter-local", "");
        check_crate("runtime", "dev ports", "");
        check_crate("adapter-docker", "dev adapter-docker", "");
        check_crate(
            "supervisor",
            "adapter-local",
            "`supervisor` may not depend on `adapter-local`",
        );
        check_crate("proxy", "dev adapter-local", "`proxy` may not depend on `adapter-local`");
        check_crate("gateway", "dev observe", "`gateway` may not depend on `observe`");
    }

    #[test]
    fn a_crate_without_a_row_is_found() {
        check_use(
            "extra",
            "crates",
            "base",
            "crates/extra/Cargo.toml:1: `extra` has no row in the table of layers",
        );
    }

    #[test]
    fn the_pure_crates_need_no_tasks() {
        check_crate("logic", "tokio (outside)", "`logic` must not need `tokio`");
        check_crate("manifest", "hyper-util (outside)", "`manifest` must not need `hyper-util`");
        check_crate("ports", "dev tokio (outside)", "");
        check_crate("ports", "hyperlink (outside)", "");
        check_crate("runtime", "tokio (outside)", "");
    }

    #[test]
    fn an_example_stands_alone() {
        check_use("shop-users", "examples/shop", "shop-kit", "");
        check_use("shop-kit", "examples/shop", "flotilla-participant", "");
        check_use(
            "shop-users",
            "examples/shop",
            "runtime",
            "examples/shop/shop-users/Cargo.toml:2: `shop-users` may not depend on `runtime`",
        );
    }
}
