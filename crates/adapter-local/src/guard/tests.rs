//! A node that is killed, as a process of its own: this test program, started again.
//!
//! The two roles are tests that do nothing unless a variable says so, because a test program has no other
//! entry for a second process.

use super::guard_main;
use crate::{
    Config, Lifetime, LocalHost,
    proc::Process,
    record::{Found, Places, read_all},
    tests::{Machine, living, run_async, shell, until},
};
use ports::{
    host::{Host, Run, conformance::Recorder},
    logs::Stream,
};
use std::{
    env,
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
};

const ROLE: &str = "FLOTILLA_TEST_ROLE";
const STATE: &str = "FLOTILLA_TEST_STATE";

/// This test program, running only the test `name`.
fn again(name: &str) -> Vec<OsString> {
    let program = env::current_exe().unwrap().into_os_string();
    vec![program, "--exact".into(), format!("guard::tests::{name}").into(), "--nocapture".into()]
}

#[test]
fn in_the_role_of_the_guard() {
    if env::var_os(ROLE).is_some() {
        let mut last: Vec<OsString> = env::args_os().collect();
        guard_main(last.split_off(last.len() - 2));
    }
}

#[test]
fn in_the_role_of_the_node() {
    if env::var(ROLE).is_ok_and(|role| role == "node") {
        // Nothing that this process would have to remove: it is killed.
        let state = PathBuf::from(env::var_os(STATE).unwrap());
        let mut config = Config::new(&state, "guarded", Lifetime::EndsWithNode);
        config.cgroups = crate::Cgroups::Off;
        config.guard = Some(again("in_the_role_of_the_guard"));
        run_async(async {
            let (_service, host) = LocalHost::start(config, Recorder::new()).await.unwrap();
            let stubborn = "trap 'echo last words' TERM; setsid sleep 1000 & echo ready; while :; do sleep 0.05; done";
            host.start(&shell(&state, stubborn)).await.unwrap();
            std::future::pending::<()>().await;
        });
    }
}

struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Starts a node in another process and waits until its run is up.
async fn node(machine: &Machine) -> (Node, Run) {
    let words = again("in_the_role_of_the_node");
    let child = Command::new(&words[0])
        .args(&words[1..])
        .env(ROLE, "node")
        .env(STATE, machine.state())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let node = Node(child);
    let places = Places::new(machine.state());
    let run = || {
        let found = read_all(&places).ok()?.pop()?;
        match found {
            Found::Record(record) => record.main.and(record.run()),
            Found::Broken { .. } => None,
        }
    };
    until("the run is up", || run().is_some_and(|run| living(&run) >= 2)).await;
    let printed = |run: &Run| {
        fs::read_to_string(places.output(&run.id.0, "out")).is_ok_and(|text| text.contains("ready"))
    };
    // The trap is set before `ready` is printed; whoever reads it may already have given the block back.
    let run = run().unwrap();
    until("its trap is set", || printed(&run)).await;
    (node, run)
}

#[test]
fn what_an_attached_node_started_ends_though_the_node_is_killed() {
    let machine = Machine::new(crate::Cgroups::Off);
    run_async(async {
        let (node, run) = node(&machine).await;
        drop(node);
        until("the guard has ended all, who ignored TERM and who left the group too", || {
            living(&run) == 0
        })
        .await;
        // The last words are there for the next node, which waits until the guard has finished.
        let sink = Recorder::new();
        let host = machine.host(Arc::clone(&sink) as _).await;
        assert_eq!(host.survivors().await.unwrap(), []);
        assert!(sink.texts(Stream::Out).contains(&"last words".to_owned()), "{:?}", sink.lines());
    });
}

#[test]
fn a_guard_leaves_runs_that_another_node_took_over() {
    let machine = Machine::new(crate::Cgroups::Off);
    run_async(async {
        let (node, run) = node(&machine).await;
        // As if another node had adopted it: nothing else of the record changes.
        let places = Places::new(machine.state());
        let Some(Found::Record(mut record)) = read_all(&places).unwrap().pop() else {
            panic!("no record")
        };
        record.node = "another".to_owned();
        record.write(&places).unwrap();
        drop(node);
        until("the guard has gone", || !super::is_at_work(&places)).await;
        assert!(living(&run) >= 2 && record.main.is_some_and(Process::is_alive));
    });
}

#[test]
fn an_orderly_end_ends_the_runs_and_the_guard() {
    let mut machine = Machine::new(crate::Cgroups::Off);
    machine.config.lifetime = Lifetime::EndsWithNode;
    machine.config.guard = Some(again("in_the_role_of_the_guard"));
    run_async(async {
        let (service, host) =
            LocalHost::start(machine.config.clone(), Recorder::new()).await.unwrap();
        let run = host.start(&shell(&machine.dir, "exec sleep 1000")).await.unwrap();
        service.shutdown().await;
        assert_eq!(living(&run), 0);
        assert!(!super::is_at_work(&Places::new(machine.state())));
        assert!(
            host.start(&shell(&machine.dir, "exit 0")).await.is_err(),
            "an ended host starts nothing"
        );
    });
}
