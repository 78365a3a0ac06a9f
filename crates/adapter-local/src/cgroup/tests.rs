//! Control groups against a tree of plain files.

use super::*;
use crate::tests::{Folder, folder};
use base::ByteSize;

/// A machine whose group `/user/app` has `controllers`.
fn machine(name: &str, controllers: &str) -> (Folder, Sources, PathBuf) {
    let root = folder(name);
    let own = root.join("user/app");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("cgroup.controllers"), controllers).unwrap();
    for file in ["cgroup.subtree_control", "cgroup.procs"] {
        fs::write(own.join(file), "").unwrap();
    }
    fs::write(root.join("own"), "4:memory:/other\n0::/user/app\n").unwrap();
    let mounts = format!(
        "30 23 0:28 / /sys ro - sysfs sysfs rw\n31 30 0:29 / {} rw - cgroup2 c rw\n",
        root.display()
    );
    fs::write(root.join("mounts"), mounts).unwrap();
    let sources = Sources {
        own: root.join("own"),
        mounts: root.join("mounts"),
        systemd: root.join("no-systemd"),
    };
    (root, sources, own)
}

/// The kernel makes these files with the folder; a plain folder has none.
fn populate(group: &Path) {
    fs::create_dir_all(group).unwrap();
    for file in [
        "cgroup.subtree_control",
        "cpu.max",
        "memory.high",
        "memory.max",
        "memory.oom.group",
        "pids.max",
    ] {
        fs::write(group.join(file), "").unwrap();
    }
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn limits_reach_the_group_of_the_run() {
    let (_root, sources, own) = machine("limits", "cpuset cpu io memory pids");
    populate(&own.join("flotilla-shop"));
    let groups = Cgroups::prepare(&sources, "shop");
    let mut shown = Capabilities::default();
    groups.describe(&mut shown);
    assert_eq!(
        [&shown.limit_cpu, &shown.limit_memory, &shown.limit_pids],
        [&Enforcement::Enforced; 3]
    );

    populate(&own.join("flotilla-shop/run"));
    let limits = Limits { cpu: Some(1.5), memory: Some(ByteSize(1000)), pids: Some(7) };
    let run = groups.create("run", &limits).unwrap();
    assert_eq!(read(run.join("cpu.max")), "150000 100000");
    assert_eq!(read(run.join("memory.high")), "900");
    assert_eq!(read(run.join("memory.max")), "1000");
    assert_eq!(read(run.join("memory.oom.group")), "1");
    assert_eq!(read(run.join("pids.max")), "7");
}

#[test]
fn each_missing_controller_is_said_alone_and_with_the_way_out() {
    let (_root, sources, own) = machine("missing", "cpu");
    populate(&own.join("flotilla-shop"));
    let mut shown = Capabilities::default();
    Cgroups::prepare(&sources, "shop").describe(&mut shown);
    assert_eq!(shown.limit_cpu, Enforcement::Enforced);
    let Enforcement::Missing(why) = shown.limit_memory else { panic!("memory is not there") };
    assert!(why.contains("Delegate=yes"), "{why}");
}

#[test]
fn a_group_that_systemd_did_not_hand_over_only_tracks() {
    let (_root, mut sources, own) = machine("undelegated", "cpu memory pids");
    sources.systemd = own.clone();
    populate(&own.join("flotilla-shop"));
    let groups = Cgroups::prepare(&sources, "shop");
    let mut shown = Capabilities::default();
    groups.describe(&mut shown);
    assert!(matches!(shown.limit_cpu, Enforcement::Missing(_)));
    assert_eq!(read(own.join("cgroup.subtree_control")), "");
    assert!(groups.create("run", &Limits::default()).is_some());
}

#[test]
fn without_unified_groups_there_are_none() {
    let (_root, sources, _) = machine("none", "cpu");
    fs::write(&sources.mounts, "31 30 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n")
        .unwrap();
    let groups = Cgroups::prepare(&sources, "shop");
    assert!(groups.create("run", &Limits::default()).is_none());
}

#[test]
fn a_group_outside_of_the_container_is_not_touched() {
    let (_root, sources, _) = machine("outside", "cpu");
    fs::write(&sources.own, "0::/../other\n").unwrap();
    assert_eq!(own_group(&sources), None);
}

#[test]
fn usage_and_memory_kills_are_read() {
    let group = folder("usage");
    fs::write(group.join("cpu.stat"), "usage_usec 1500\nuser_usec 1000\n").unwrap();
    fs::write(group.join("memory.events"), "low 0\noom 2\noom_kill 3\noom_group_kill 1\n").unwrap();
    fs::write(group.join("memory.current"), "4096\n").unwrap();
    fs::create_dir(group.join("inner")).unwrap();
    fs::write(group.join("cgroup.procs"), "1\n2\n").unwrap();
    fs::write(group.join("inner/cgroup.procs"), "3\n").unwrap();
    assert_eq!(cpu(&group), Some(Duration::from_micros(1500)));
    assert_eq!(memory_kills(&group), 3);
    assert_eq!(memory(&group), Some(4096));
    assert_eq!(processes(&group), [1, 2, 3]);
}

#[test]
fn a_node_started_by_one_that_stepped_aside_uses_the_same_groups() {
    let (root, sources, own) = machine("aside", "cpu");
    populate(&own.join("flotilla-shop"));
    fs::create_dir_all(own.join("node")).unwrap();
    fs::write(root.join("own"), "0::/user/app/node\n").unwrap();
    let groups = Cgroups::prepare(&sources, "shop");
    assert_eq!(groups.home, Some(own.join("flotilla-shop")));
    // A group that happens to be called so is nobody's business.
    let groups = Cgroups::prepare(&sources, "other");
    assert_eq!(groups.home, Some(own.join("node/flotilla-other")));
}
