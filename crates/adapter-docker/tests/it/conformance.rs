//! The contract of the port, on containers.

use crate::support;
use adapter_docker::{DockerHost, Service};
use async_trait::async_trait;
use ports::{
    host::{
        Container, Host, Program, Run,
        conformance::{Act, Clause, Fixture},
    },
    logs::Sink,
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::Mutex;

/// No clause takes longer, unless it hangs.
const CLAUSE_TIME_MAX: Duration = Duration::from_secs(120);

struct Containers {
    base: support::Fixture,
    service: Mutex<Option<Service>>,
}

#[async_trait]
impl Fixture for Containers {
    async fn host(&self, sink: Arc<dyn Sink>) -> Arc<dyn Host> {
        let (service, host) = DockerHost::connect(self.base.config.clone(), sink).unwrap();
        *self.service.lock().await = Some(service);
        host
    }

    async fn crash(&self) {
        drop(self.service.lock().await.take());
    }

    fn program(&self, act: Act) -> Program {
        let line = match act {
            Act::PrintLines(count) => format!("seq 1 {count}"),
            Act::PrintBoth(count) => {
                format!(
                    "n=1; while [ $n -le {count} ]; do echo out $n; echo err $n >&2; n=$((n+1)); done"
                )
            }
            Act::PrintUnended(length) => format!("head -c {length} /dev/zero | tr '\\0' x"),
            Act::PrintLater => "sleep 1; echo later".to_owned(),
            Act::Tick => "n=1; while :; do echo $n; n=$((n+1)); sleep 0.01; done".to_owned(),
            Act::PrintEnvironment(name) => format!("echo \"${name}\"; pwd"),
            Act::ExitWith(code) => format!("exit {code}"),
            Act::Sleep => "echo ready; exec sleep 100000".to_owned(),
            Act::Family => "sh -c 'sleep 100000 & echo ready; wait' & wait".to_owned(),
            Act::ForkAway => "setsid sh -c 'echo ready; exec sleep 100000' & sleep 0.3".to_owned(),
        };
        support::shell("users/1", &line).program
    }

    fn unsupported(&self) -> Program {
        Program::Shell("true".to_owned())
    }

    fn missing(&self) -> Program {
        Program::Container(Container {
            image: "flotilla-no-such-image:9".to_owned(),
            command: Some(vec!["/no/such/program".to_owned()]),
            ..Container::default()
        })
    }

    fn dir(&self) -> PathBuf {
        PathBuf::from("/")
    }

    async fn living(&self, run: &Run) -> usize {
        let path = format!("/containers/{}/top?ps_args=-eo%20pid,args", run.id.0);
        let (_, found) = self.base.engine.request("GET", &path, &[]).unwrap();
        let processes = found["Processes"].as_array().cloned().unwrap_or_default();
        // The init is ours, not the program's.
        processes.iter().filter(|words| !words[1].as_str().unwrap().contains("docker-init")).count()
    }

    fn finds_leftovers(&self) -> bool {
        // Nothing in a container outlives its first process.
        false
    }

    async fn pause(&self) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn run(clause: Clause) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let Some(base) = support::Fixture::new().await else { return };
        let fixture = Containers { base, service: Mutex::new(None) };
        tokio::time::timeout(CLAUSE_TIME_MAX, clause(&fixture))
            .await
            .expect("the clause ends in time");
        fixture.crash().await;
        fixture.base.end().await;
    });
}

ports::host_conformance!(run);
