//! The conformance suite of the port.

use super::{Machine, living, run_async};
use crate::Cgroups;
use async_trait::async_trait;
use ports::{
    host::{
        Container, Host, Program, Run,
        conformance::{Act, Clause, Fixture},
    },
    logs::Sink,
};
use std::{path::PathBuf, sync::Arc, time::Duration};

#[async_trait]
impl Fixture for Machine {
    async fn host(&self, sink: Arc<dyn Sink>) -> Arc<dyn Host> {
        Self::host(self, sink).await
    }

    async fn crash(&self) {
        Self::crash(self);
    }

    fn program(&self, act: Act) -> Program {
        Program::Shell(match act {
            Act::PrintLines(count) => format!("seq 1 {count}"),
            Act::PrintBoth(count) => {
                format!("for n in $(seq 1 {count}); do echo out $n; echo err $n >&2; done")
            }
            Act::PrintUnended(length) => format!("head -c {length} /dev/zero | tr '\\0' x"),
            Act::PrintLater => "sleep 1; echo later".to_owned(),
            Act::Tick => "n=0; while :; do n=$((n+1)); echo $n; sleep 0.01; done".to_owned(),
            Act::PrintEnvironment(name) => format!("echo \"${name}\"; pwd"),
            Act::ExitWith(code) => format!("exit {code}"),
            Act::Sleep => "echo ready; exec sleep 1000".to_owned(),
            Act::Family => "sh -c 'sleep 1000 & echo ready; wait' & wait".to_owned(),
            Act::ForkAway => {
                "setsid sh -c 'echo ready; exec sleep 1000' & while [ -z \"$gone\" ]; do \
                              gone=1; sleep 0.2; done"
                    .to_owned()
            }
        })
    }

    fn unsupported(&self) -> Program {
        Program::Container(Container::default())
    }

    fn missing(&self) -> Program {
        Program::Exec(vec!["no-such-program-here".to_owned()])
    }

    fn dir(&self) -> PathBuf {
        self.dir.to_path_buf()
    }

    async fn living(&self, run: &Run) -> usize {
        living(run)
    }

    fn finds_leftovers(&self) -> bool {
        true
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn check(clause: Clause, cgroups: Cgroups) {
    let machine = Machine::new(cgroups);
    run_async(clause(&machine));
}

mod without_control_groups {
    use super::{Cgroups, Clause};

    fn run(clause: Clause) {
        super::check(clause, Cgroups::Off);
    }

    ports::host_conformance!(run);
}

/// The same where this machine lets us make control groups; elsewhere the host falls back to none.
mod with_control_groups {
    use super::{Cgroups, Clause};

    fn run(clause: Clause) {
        super::check(clause, Cgroups::Auto);
    }

    ports::host_conformance!(run);
}
