//! Records that a dying node left in any state.

use super::{Machine, living, run_async, shell, started, until};
use crate::{
    Cgroups,
    launch::RUN_VARIABLE,
    proc::{Process, Stat},
    record::{self, Found, Record, read_all},
};
use ports::{
    host::{Host, Run, conformance::Recorder},
    logs::Stream,
};
use std::{fs, os::unix::process::CommandExt, process::Command, sync::Arc};

fn records(machine: &Machine) -> Vec<Record> {
    let places = record::Places::new(machine.state());
    let found = read_all(&places).unwrap();
    found
        .into_iter()
        .map(|one| match one {
            Found::Record(record) => *record,
            Found::Broken { run, why } => panic!("{run}: {why}"),
        })
        .collect()
}

fn files(machine: &Machine, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(machine.state().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Changes the only record of a crashed node.
fn change(machine: &Machine, change: impl FnOnce(&mut Record)) -> Record {
    let mut record = records(machine).remove(0);
    change(&mut record);
    record.write(&record::Places::new(machine.state())).unwrap();
    record
}

#[test]
fn a_node_killed_between_intent_and_start_is_made_good() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let host = machine.host(Recorder::new()).await;
        let run = started(&machine, &*host, "sleep 1000 & exec sleep 1000").await;
        until("both are there", || living(&run) == 2).await;
        machine.crash();
        change(&machine, |record| record.main = None);

        let host = machine.host(Recorder::new()).await;
        assert_eq!(host.survivors().await.unwrap(), std::slice::from_ref(&run));
        assert_eq!(records(&machine)[0].main.unwrap().pid, run.pid.unwrap());
        host.forget(&run.id).await.unwrap();
        assert_eq!(living(&run), 0);
    });
}

#[test]
fn an_intent_that_never_became_a_process_is_removed() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let host = machine.host(Recorder::new()).await;
        let run = started(&machine, &*host, "exit 0").await;
        host.wait(&run.id).await.unwrap();
        machine.crash();
        change(&machine, |record| record.main = None);
        let host = machine.host(Recorder::new()).await;
        assert_eq!(host.survivors().await.unwrap(), []);
        assert_eq!((files(&machine, "run"), files(&machine, "out")), (vec![], vec![]));
    });
}

#[test]
fn a_process_that_got_the_number_of_an_ended_run_is_neither_adopted_nor_harmed() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let host = machine.host(Recorder::new()).await;
        let run = started(&machine, &*host, "exit 0").await;
        host.wait(&run.id).await.unwrap();
        machine.crash();
        let mut stranger = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let process = Process::find(stranger.id()).unwrap();
        let earlier = Process { start_ticks: process.start_ticks - 1, ..process };
        change(&machine, |record| record.main = Some(earlier));

        let host = machine.host(Recorder::new()).await;
        assert_eq!(host.survivors().await.unwrap(), []);
        assert_eq!(files(&machine, "run"), Vec::<String>::new());
        assert!(process.is_alive(), "it was none of ours");
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    });
}

#[test]
fn a_record_of_an_earlier_boot_means_nobody() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let host = machine.host(Recorder::new()).await;
        let run = started(&machine, &*host, "exec sleep 1000").await;
        machine.crash();
        // The number and even the start time may come again after a boot.
        let kept = change(&machine, |record| record.boot = "another".to_owned());
        let host = machine.host(Recorder::new()).await;
        assert_eq!(host.survivors().await.unwrap(), []);
        assert_eq!(living(&run), 1, "a process of this boot is not touched for it");
        kept.main.unwrap().signal(rustix::process::Signal::KILL).unwrap();
    });
}

#[test]
fn a_broken_record_is_set_aside_and_its_processes_do_not_linger() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let host = machine.host(Recorder::new()).await;
        let run = started(&machine, &*host, "exec sleep 1000").await;
        until("it is there", || living(&run) == 1).await;
        machine.crash();
        let path = machine.state().join("run").join(format!("{}.json", run.id.0));
        fs::write(&path, "{ \"version\": 1, ").unwrap();
        fs::write(machine.state().join("run/needs.json"), "not ours").unwrap();

        let host = machine.host(Recorder::new()).await;
        assert_eq!(host.survivors().await.unwrap(), []);
        assert_eq!(living(&run), 0);
        let left = files(&machine, "run");
        assert!(left.contains(&format!("{}.broken", run.id.0)), "{left:?}");
        assert!(left.contains(&"needs.json".to_owned()), "{left:?}");
    });
}

#[test]
fn children_of_a_main_process_that_ended_without_a_node_are_ended() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let host = machine.host(Recorder::new()).await;
        let run = started(&machine, &*host, "sleep 1000 & sleep 0.3; echo bye").await;
        machine.crash();
        let main = run.pid.unwrap();
        let ended = || Stat::read(main).is_none_or(|stat| stat.is_dead());
        until("only the child is left", || ended() && living(&run) == 1).await;
        let sink = Recorder::new();
        let host = machine.host(Arc::clone(&sink) as _).await;
        assert_eq!(host.survivors().await.unwrap(), []);
        assert_eq!(living(&run), 0);
        assert_eq!(sink.texts(Stream::Out), ["bye"]);
        assert_eq!(files(&machine, "out"), Vec::<String>::new());
    });
}

#[test]
fn an_orderly_end_repeats_no_line_and_loses_none() {
    let machine = Machine::new(Cgroups::Auto);
    run_async(async {
        let before = Recorder::new();
        let host = machine.host(Arc::clone(&before) as _).await;
        let line = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.002; done";
        let run: Run = host.start(&shell(&machine.dir, line)).await.unwrap();
        until("lines arrive", || before.count() > 20).await;
        machine.shutdown().await;
        let after = Recorder::new();
        let host = machine.host(Arc::clone(&after) as _).await;
        assert_eq!(host.survivors().await.unwrap().len(), 1);
        until("more lines arrive", || after.count() > 20).await;
        host.forget(&run.id).await.unwrap();
        let all = [before.texts(Stream::Out), after.texts(Stream::Out)].concat();
        let expected: Vec<String> = (1..=all.len()).map(|n| n.to_string()).collect();
        assert_eq!(all, expected);
    });
}

#[test]
fn the_marker_of_an_outer_system_does_not_reach_ours() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let host = machine.host(Recorder::new()).await;
        let mut spec = shell(&machine.dir, "exec sleep 1000");
        spec.env.insert(RUN_VARIABLE.to_owned(), "outer.1.0000000000000000".to_owned());
        let run = host.start(&spec).await.unwrap();
        until("it is there", || living(&run) == 1).await;
        host.forget(&run.id).await.unwrap();
    });
}

#[test]
fn a_build_step_is_a_run_like_any_other_and_found_again() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let host = machine.host(Recorder::new()).await;
        let build = base::InstanceId::parse("users/build").unwrap();
        let spec =
            ports::host::Spec { instance: build.clone(), ..shell(&machine.dir, "exec sleep 1000") };
        let run = host.start(&spec).await.unwrap();
        machine.crash();

        let host = machine.host(Recorder::new()).await;
        let found = host.survivors().await.unwrap();
        assert_eq!((&found[0].instance, &found[0].id), (&build, &run.id));
        host.forget(&run.id).await.unwrap();
        assert_eq!(living(&run), 0);
    });
}
