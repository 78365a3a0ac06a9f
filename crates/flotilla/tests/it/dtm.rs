//! Clients of DTM against the façade of a real node: the official Python client unmodified, and requests as others send them.
//!
//! `dtm/client.py` makes the calls of the Python client and plays its participants; `cargo xtask setup` installs the client.

use crate::{
    kit::{
        System, free_port,
        http::{Answer, Request},
        repository, skip,
        wait::eventually,
    },
    sdk,
};
use serde_json::{Value, json};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Cases of the Python program that need nothing but the node.
const CASES: [&str; 8] = [
    "saga_good",
    "saga_refused",
    "saga_waited",
    "tcc_good",
    "tcc_refused",
    "msg_good",
    "msg_given_up",
    "msg_asked",
];

/// A system that DTM's clients can use.
struct Dtm {
    system: System,
    http: SocketAddr,
}

impl Dtm {
    fn up() -> Self {
        let [http, grpc] = [(); 2].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let system = System::new(&format!(
            "
services:
  web: {{ run: FIXTURE serve }}
transactions:
  dtm: {{ http: {http}, grpc: {grpc} }}
"
        ));
        system.up();
        Self { system, http }
    }

    /// Runs cases of the Python program.
    #[track_caller]
    fn run(&self, python: &Path, cases: &[&str]) {
        let program = repository().join("crates/flotilla/tests/it/dtm/client.py");
        let url = format!("http://{}/api/dtmsvr", self.http);
        let mut command = self.system.command(python);
        let done = self.system.finish(command.arg(program).arg(url).args(cases)).expect(0);
        assert_eq!(done.out.lines().count(), cases.len(), "{done:?}");
    }

    fn ask(&self, request: Request) -> Answer {
        request.send(self.http).unwrap()
    }

    /// The status of a transaction.
    fn status(&self, gid: &str) -> Value {
        let answer = self.ask(Request::get(format!("/api/dtmsvr/query?gid={gid}"))).json();
        answer["transaction"]["status"].clone()
    }

    #[track_caller]
    fn until(&self, gid: &str, status: &str) {
        eventually(&format!("{gid} {status}"), || (self.status(gid) == status).then_some(()));
    }
}

/// The Python that has the client.
fn python() -> Option<PathBuf> {
    let python = sdk::packages().join("python/bin/python3");
    let works = Command::new(&python)
        .args(["-c", "import dtmcli.saga"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    works.is_ok_and(|status| status.success()).then_some(python)
}

#[test]
fn the_python_client_of_dtm_works_unmodified() {
    let Some(python) = python() else {
        return skip("DTM's Python client", "it is not installed: `cargo xtask setup`");
    };
    let dtm = Dtm::up();
    dtm.run(&python, &CASES);
    dtm.system.down();
}

#[test]
fn transactions_of_dtm_clients_outlive_the_node() {
    let Some(python) = python() else {
        return skip("DTM's Python client", "it is not installed: `cargo xtask setup`");
    };
    let dtm = Dtm::up();
    dtm.run(&python, &["prepared=first", "prepared=second"]);
    dtm.system.kill_node();
    dtm.system.up();
    assert_eq!([dtm.status("first"), dtm.status("second")], ["prepared", "prepared"]);
    dtm.run(&python, &["submitted=first"]);
    dtm.system.kill_node();
    dtm.system.up();
    assert_eq!([dtm.status("first"), dtm.status("second")], ["succeed", "prepared"]);
    dtm.system.down();
}

#[test]
fn a_transaction_of_a_dtm_client_is_seen_by_the_command_line() {
    let dtm = Dtm::up();
    let tcc = json!({ "gid": "seen", "trans_type": "tcc" });
    let post = |path: &str, body: &Value| {
        let answer = dtm.ask(Request::with_json("POST", format!("/api/dtmsvr/{path}"), body));
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    };
    post("prepare", &tcc);
    dtm.system.flotilla("tx ls").expect(0).says("seen");
    dtm.system.flotilla("tx abort seen --reason because").expect(0);
    dtm.until("seen", "failed");
    let answer = dtm.ask(Request::get("/api/dtmsvr/query?gid=seen")).json();
    assert_eq!(answer["transaction"]["rollback_reason"], "because", "{answer:#}");
    dtm.system.down();
}

#[test]
fn the_ports_of_dtm_are_open_only_when_the_file_says_so() {
    let dtm = Dtm::up();
    assert_eq!(dtm.ask(Request::get("/api/ping")).json()["msg"], "pong");
    dtm.system.write("services: { web: { run: FIXTURE serve } }\n");
    dtm.system.flotilla("up -d").expect(0);
    eventually("the end of DTM's port", || {
        Request::get("/api/ping").send(dtm.http).is_err().then_some(())
    });
    dtm.system.down();
}
