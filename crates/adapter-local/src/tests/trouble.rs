//! Programs that misbehave.

use super::{Machine, living, run_async, shell, started, until};
use crate::{Cgroups, tail::Options};
use ports::{
    host::{Error, Exit, Host, Program, Signal, conformance::Recorder},
    logs::{Line, Sink, Stream},
};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

/// Checks that numbers arrive in order, and keeps none of them.
#[derive(Debug, Default)]
struct Sequence {
    last: AtomicU64,
    wrong: AtomicU64,
    batch_max: AtomicUsize,
}

impl Sink for Sequence {
    fn append(&self, lines: &[Line]) {
        self.batch_max.fetch_max(lines.len(), Ordering::Relaxed);
        for line in lines {
            let number = line.text.parse().unwrap_or(0);
            if self.last.swap(number, Ordering::Relaxed) + 1 != number {
                self.wrong.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn output_file(machine: &Machine) -> PathBuf {
    let entries = fs::read_dir(machine.state().join("out")).unwrap();
    entries
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().unwrap() == "out")
        .unwrap()
}

#[test]
fn a_flood_arrives_whole_and_its_disk_space_is_given_back() {
    const LINES: u64 = 1_000_000;
    let mut machine = Machine::new(Cgroups::Off);
    machine.config.tail =
        Options { give_back_len: 256 << 10, collapse_len: 2 << 20, ..Options::default() };
    run_async(async {
        let sink = Arc::new(Sequence::default());
        let host = machine.host(Arc::clone(&sink) as _).await;
        let line = format!("seq 1 {LINES}; exec sleep 1000");
        let run = started(&machine, &*host, &line).await;
        until("all lines arrive", || sink.last.load(Ordering::Relaxed) == LINES).await;
        assert_eq!(sink.wrong.load(Ordering::Relaxed), 0);
        assert!(sink.batch_max.load(Ordering::Relaxed) <= 4096, "what the reader holds is bounded");
        let file = output_file(&machine);
        until("the file's blocks are given back", || {
            let meta = fs::metadata(&file).unwrap();
            meta.blocks() * 512 <= 1 << 20
        })
        .await;
        host.forget(&run.id).await.unwrap();
        assert!(!file.exists());
    });
}

#[test]
fn an_unfinished_line_is_shown_when_nothing_follows() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let sink = Recorder::new();
        let host = machine.host(Arc::clone(&sink) as _).await;
        let run = started(&machine, &*host, "printf 'continue? '; exec sleep 1000").await;
        until("the question arrives", || sink.texts(Stream::Out) == ["continue? "]).await;
        host.forget(&run.id).await.unwrap();
    });
}

#[test]
fn a_program_that_truncates_its_output_is_read_on_and_told() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let sink = Recorder::new();
        let host = machine.host(Arc::clone(&sink) as _).await;
        let go = machine.dir.join("go");
        let line = "echo one >&2; while ! [ -e go ]; do sleep 0.01; done; \
                    echo the second line is longer > /dev/stderr; echo three >&2";
        let run = started(&machine, &*host, line).await;
        until("the first line arrives", || sink.texts(Stream::Err) == ["one"]).await;
        fs::write(go, "").unwrap();
        host.wait(&run.id).await.unwrap();
        assert_eq!(sink.texts(Stream::Err), ["one", "the second line is longer", "three"]);
        assert_eq!(sink.texts(Stream::Node).len(), 1);
        host.forget(&run.id).await.unwrap();
    });
}

#[test]
fn a_process_that_left_its_group_and_cleared_its_environment_is_caught_by_its_control_group() {
    let machine = Machine::new(Cgroups::Auto);
    run_async(async {
        let sink = Recorder::new();
        let host = machine.host(Arc::clone(&sink) as _).await;
        let line = "env -i setsid sh -c 'echo $$; exec sleep 1000' & while [ -z \"$gone\" ]; do gone=1; sleep 0.2; done";
        let run = started(&machine, &*host, line).await;
        host.wait(&run.id).await.unwrap();
        let hidden = sink.texts(Stream::Out)[0].parse().unwrap();
        let process = crate::proc::Process::find(hidden).unwrap();
        let left = host.forget(&run.id).await.unwrap();
        if process.is_alive() {
            // Where no control group can be made, such a process cannot be known.
            assert!(
                fs::metadata("/sys/fs/cgroup/unified/cgroup.procs").is_err()
                    || !rustix::process::geteuid().is_root()
            );
            process.signal(rustix::process::Signal::KILL).unwrap();
        } else {
            assert_eq!(left.processes, [format!("{hidden} sleep")]);
        }
    });
}

#[test]
fn a_signal_to_end_leaves_who_left_the_group_and_kill_does_not() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let sink = Recorder::new();
        let host = machine.host(Arc::clone(&sink) as _).await;
        let line = "trap '' TERM; setsid sleep 1000 & echo ready; while :; do sleep 0.05; done";
        let run = started(&machine, &*host, line).await;
        until("it is ready", || sink.texts(Stream::Out) == ["ready"] && living(&run) >= 2).await;
        host.signal(&run.id, Signal::Term).await.unwrap();
        assert!(living(&run) >= 2, "both ignore it");
        host.signal(&run.id, Signal::Kill).await.unwrap();
        assert_eq!(host.wait(&run.id).await.unwrap(), Exit::Signal(9));
        until("all are gone", || living(&run) == 0).await;
        assert!(host.forget(&run.id).await.unwrap().processes.is_empty());
    });
}

#[test]
fn a_refused_start_leaves_nothing() {
    let machine = Machine::new(Cgroups::Auto);
    run_async(async {
        let host = machine.host(Recorder::new()).await;
        fs::write(machine.dir.join("broken"), "#!/no/such/interpreter\n").unwrap();
        fs::set_permissions(
            machine.dir.join("broken"),
            std::os::unix::fs::PermissionsExt::from_mode(0o755),
        )
        .unwrap();
        let mut spec = shell(&machine.dir, "");
        spec.program = Program::Exec(vec!["./broken".to_owned()]);
        match host.start(&spec).await {
            Err(Error::Refused(problem)) => {
                assert!(problem.help.unwrap().contains("interpreter"), "{}", problem.message);
            }
            // Behind a control group's launcher the kernel's refusal is an exit code.
            Ok(run) => {
                assert_eq!(host.wait(&run.id).await.unwrap(), Exit::Code(127));
                host.forget(&run.id).await.unwrap();
            }
            Err(other) => panic!("{other}"),
        }
        spec.dir = machine.dir.join("missing");
        assert!(matches!(host.start(&spec).await, Err(Error::Refused(_))));
        for folder in ["run", "out"] {
            assert_eq!(fs::read_dir(machine.state().join(folder)).unwrap().count(), 0);
        }
    });
}

#[test]
fn a_listening_run_is_seen_with_its_address() {
    let machine = Machine::new(Cgroups::Off);
    run_async(async {
        let sink = Recorder::new();
        let host = machine.host(Arc::clone(&sink) as _).await;
        let line = "python3 -uc 'import socket,time; s=socket.create_server((\"127.0.0.1\",0)); \
                    print(s.getsockname()[1]); time.sleep(1000)'";
        let run = started(&machine, &*host, line).await;
        until("it listens", || sink.count() == 1).await;
        let port = sink.texts(Stream::Out)[0].parse::<u16>().unwrap();
        let seen = host.listening(&run.id).await.unwrap();
        assert_eq!(seen, [std::net::SocketAddr::from(([127, 0, 0, 1], port))]);
        let holder = crate::holder_of(port).unwrap();
        assert!(holder.command.contains("create_server"), "{holder:?}");
        host.forget(&run.id).await.unwrap();
    });
}
