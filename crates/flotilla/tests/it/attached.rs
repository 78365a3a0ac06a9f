//! `up` in front of a terminal or a pipe: it ends, and everything with it.

use crate::kit::{System, end_of, http, kill_child, processes, skip, wait::eventually};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    io::Write,
    process::{Child, Stdio},
    time::Duration,
};

const END: Duration = Duration::from_secs(30);

const SYSTEM: &str = "
services:
  users: { run: FIXTURE child-tree, instances: 2 }
  web: { run: FIXTURE serve, needs: [users] }
gateway: { listen: GATEWAY, routes: { /users: users, /: web } }
";

const STUBBORN: &str = "
services:
  deaf: { run: FIXTURE ignore-term, stop: { grace: 10m } }
";

/// An attached `up` that is ended with the test.
struct Up<'s> {
    system: &'s System,
    child: Child,
}

impl<'s> Up<'s> {
    fn start(system: &'s System) -> Self {
        let out = File::create(system.dir().join("up.out")).unwrap();
        let err = File::create(system.dir().join("up.err")).unwrap();
        let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
        let child = command.arg("up").stdout(out).stderr(err).stdin(Stdio::null()).spawn().unwrap();
        Self { system, child }
    }

    fn all_ready(self) -> Self {
        self.system.until("all ready", |status| status.0["phase"] == "ready");
        self
    }

    fn signal(&self, signal: Signal) {
        processes::kill(self.child.id(), signal);
    }

    /// Its exit code.
    fn end(&mut self) -> i32 {
        end_of(&mut self.child, END).unwrap_or_else(|| panic!("`up` does not end: {}", self.said()))
    }

    fn said(&self) -> String {
        let read =
            |name: &str| fs::read_to_string(self.system.dir().join(name)).unwrap_or_default();
        format!("{}{}", read("up.out"), read("up.err"))
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            kill_child(&mut self.child);
        }
    }
}

#[test]
fn on_a_pipe_it_prints_plain_lines_and_ctrl_c_stops_everything() {
    let system = System::new(SYSTEM);
    let mut up = Up::start(&system).all_ready();
    system.get("/print?text=hello-from-web");
    eventually("the line", || up.said().contains("hello-from-web").then_some(()));
    up.signal(Signal::INT);
    assert_eq!(up.end(), 130, "{}", up.said());
    system.assert_nothing_left();
    assert!(!up.said().contains('\u{1b}'), "escape codes on a pipe: {:?}", up.said());
}

#[test]
fn sigterm_stops_everything_and_is_no_failure() {
    let system = System::new(SYSTEM);
    let mut up = Up::start(&system).all_ready();
    up.signal(Signal::TERM);
    assert_eq!(up.end(), 0, "{}", up.said());
    system.assert_nothing_left();
}

#[test]
fn down_ends_an_attached_system_too() {
    let system = System::new(SYSTEM);
    let mut up = Up::start(&system).all_ready();
    system.flotilla("down").expect(0);
    assert_eq!(up.end(), 0, "{}", up.said());
    system.assert_nothing_left();
}

#[test]
fn a_second_ctrl_c_kills_at_once() {
    let system = System::new(STUBBORN);
    let mut up = Up::start(&system).all_ready();
    up.signal(Signal::INT);
    system.until("the stop signal", |status| {
        status.instances("deaf").iter().any(|it| it["state"] == "stopping")
    });
    // One that comes right after the first is taken for the same.
    eventually("the end", || {
        up.signal(Signal::INT);
        up.child.try_wait().unwrap().map(|_| ())
    });
    assert_eq!(up.end(), 130, "{}", up.said());
    system.assert_nothing_left();
}

#[test]
fn killed_it_leaves_nothing_behind() {
    let system = System::new(SYSTEM);
    let mut up = Up::start(&system).all_ready();
    assert!(system.processes().len() >= 10, "{:?}", system.processes());
    up.signal(Signal::KILL);
    up.end();
    eventually("the end of all", || system.processes().is_empty().then_some(()));
    // Nothing is in the way of the next one.
    system.up();
    system.down();
}

#[test]
fn a_service_that_fails_does_not_end_the_others() {
    let system = System::new(
        "
services:
  bad: { run: FIXTURE exit 3 no-database }
  web: { run: FIXTURE serve }
gateway: { listen: GATEWAY, routes: { /: web } }
",
    );
    let mut up = Up::start(&system);
    system.until("bad failed", |status| {
        status.state("bad") == "failed" && status.state("web") == "ready"
    });
    eventually("what is wrong", || {
        (up.said().contains("[F013]") || up.said().contains("[F014]")).then_some(())
    });
    assert_eq!(http::get(system.gateway, "/").unwrap().status, 200);
    up.signal(Signal::INT);
    assert_eq!(up.end(), 130, "{}", up.said());
    system.assert_nothing_left();
}

#[test]
fn on_a_terminal_it_is_steered_with_keys() {
    if !std::path::Path::new("/usr/bin/script").exists() {
        return skip("the test of the terminal", "there is no `script` (package bsdutils)");
    }
    let system = System::new(SYSTEM);
    let screen = system.dir().join("screen");
    let line = format!("{} up", env!("CARGO_BIN_EXE_flotilla"));
    let mut command = system.command("/usr/bin/script");
    command.args(["--quiet", "--return", "--flush", "--command", &line]).arg(&screen);
    command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut keys = child.stdin.take().unwrap();
    let shown = || String::from_utf8_lossy(&fs::read(&screen).unwrap_or_default()).into_owned();
    system.until("all ready", |status| status.0["phase"] == "ready");
    system.get("/print?text=hello-from-web");
    eventually("the line, in colours", || {
        (shown().contains("hello-from-web") && shown().contains('\u{1b}')).then_some(())
    });
    keys.write_all(b"s").unwrap();
    eventually("the table", || shown().contains("SERVICE").then_some(()));
    keys.write_all(b"?").unwrap();
    eventually("the help", || shown().contains("restart").then_some(()));
    keys.write_all(b"q").unwrap();
    let code = end_of(&mut child, END);
    assert_eq!(code, Some(0), "{}", shown());
    system.assert_nothing_left();
}
