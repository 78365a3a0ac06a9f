//! `flotilla requests`: what failed or was slow, and everything as it comes.

use crate::kit::{
    System, end_of, http::Request, kill_child, load::Load, processes, wait::eventually,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    process::{Child, Stdio},
    time::Duration,
};

const SYSTEM: &str = "
services:
  users: { run: FIXTURE serve, instances: 2 }
  web: { run: FIXTURE serve, needs: [users] }
  idle: { run: FIXTURE serve }
gateway:
  listen: GATEWAY
  routes: { /users: users, /idle: { to: idle, timeout: 200ms, retries: 0 }, /: web }
";

/// A `flotilla requests -f` that goes on.
struct Following<'s> {
    system: &'s System,
    child: Child,
    name: String,
}

impl<'s> Following<'s> {
    fn start(system: &'s System, name: &str, words: &str) -> Self {
        let out = File::create(system.dir().join(name)).unwrap();
        let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
        command.arg("requests").args(words.split(' ')).stdout(out).stderr(Stdio::null());
        let child = command.stdin(Stdio::null()).spawn().unwrap();
        Self { system, child, name: name.to_owned() }
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.system.dir().join(&self.name)).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Asks until what was asked is shown: the command needs a moment until it looks.
    fn until(&self, path: &str, shown: &str) -> Vec<String> {
        eventually(shown, || {
            self.system.get(path);
            let lines = self.lines();
            lines.iter().any(|line| line.contains(shown)).then_some(lines)
        })
    }
}

impl Drop for Following<'_> {
    fn drop(&mut self) {
        processes::kill(self.child.id(), rustix::process::Signal::INT);
        if end_of(&mut self.child, Duration::from_secs(10)).is_none() {
            kill_child(&mut self.child);
        }
    }
}

#[test]
fn requests_are_shown_as_they_end_and_filtered() {
    let system = System::new(SYSTEM);
    system.up();
    let all = Following::start(&system, "all", "-f");
    let json = Following::start(&system, "json", "-f -o json --service users --path /users/");
    let line =
        all.until("/users/a?page=1&token=hidden", "/users/a?page=1&token=REDACTED").join("\n");
    assert!(line.contains("200") && line.contains("users/"), "{line}");
    assert!(!line.contains("hidden"));
    system.get("/elsewhere");
    let lines = json.until("/users/b?%1b", "/users/b");
    for line in lines {
        let request: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&request["service"], &request["status"]), (&"users".into(), &200.into()));
        assert!(request["path"].as_str().unwrap().starts_with("/users/"));
        assert!(request["duration_ms"].as_f64().unwrap() >= 0.0);
        assert!(request["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
    eventually("the other one", || {
        all.lines().iter().any(|line| line.contains("/elsewhere")).then_some(())
    });
    // A service's own call is shown with who asked.
    let need = system.need(system.status().address("web", 0), "USERS_URL");
    eventually("the call", || {
        Request::get("/users/inner").send(need).unwrap();
        all.lines()
            .iter()
            .any(|line| line.contains("inner") && line.contains("from web"))
            .then_some(())
    });
    drop((all, json));
    system.down();
}

#[test]
fn failed_and_slow_requests_can_be_read_later() {
    let system = System::new(SYSTEM);
    system.up();
    system.flotilla("requests").expect(0).says("no request that failed");
    assert_eq!(system.get("/users/good").status, 200);
    assert_eq!(system.get("/slow?ms=1100").status, 200);
    assert_eq!(system.get("/idle/slow?ms=5000").status, 504);
    system.flotilla("scale idle=0 --wait").expect(0);
    // No instance, and no time to wait for one.
    assert_eq!(system.get("/idle/none").status, 504);
    let shown = system.flotilla("requests").expect(0).out;
    let order = ["/slow?ms=1100", "/idle/slow", "/idle/none"];
    let places: Vec<_> = order.iter().map(|path| shown.find(path)).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{shown}");
    assert!(!shown.contains("good"), "{shown}");
    for (words, count) in [
        ("--status 5xx", 2),
        ("--status 504 --status 200", 3),
        ("--service idle", 2),
        ("--slower 1s --status 200", 1),
        ("--path /idle", 2),
        ("-n 1", 1),
        ("--status 404-503", 0),
    ] {
        let done = system.flotilla(&format!("requests -o json {words}")).expect(0);
        assert_eq!(done.out.lines().count(), count, "{words}: {}", done.out);
    }
    system.flotilla("requests --service nobody").expect(2).says("no service `nobody`");
    system.flotilla("requests --status 6xx").expect(2);
    system.down();
}

fn access_log(system: &System, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(system.dir().join(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits for the line of a path.
fn logged(system: &System, name: &str, path: &str) -> Value {
    eventually(path, || {
        access_log(system, name).into_iter().find(|line| line["url"]["path"] == path)
    })
}

#[test]
fn the_access_log_has_a_line_for_each_request_from_outside_over_changes_and_restarts() {
    let file = |log: &str| {
        SYSTEM.replace("listen: GATEWAY", &format!("listen: GATEWAY\n  access_log: {log}"))
    };
    let system = System::new(&file("true"));
    system.up();
    let usual = ".flotilla/access.log";
    let first = eventually("the first line", || {
        system.get("/users/a?token=hidden&page=2");
        access_log(&system, usual).into_iter().next()
    });
    assert_eq!(first["url"]["query"], "token=REDACTED&page=2");
    assert_eq!(first["http"]["response"]["status_code"], 200);
    assert_eq!(first["service"]["name"], "users");
    assert_eq!(first["client"]["ip"], "127.0.0.1");

    // Every request is there, whichever node carried it.
    let load = Load::start(2, system.gateway, |number| Request::get(format!("/users/n{number}")));
    for _ in 0..2 {
        let begun = load.asked();
        eventually("some traffic", || (load.asked() > begun + 30).then_some(()));
        system.flotilla("restart --node").expect(0);
    }
    let asked = load.asked();
    eventually("some traffic", || (load.asked() > asked + 30).then_some(()));
    let tally = load.end();
    let numbers = || {
        let lines = access_log(&system, usual);
        let paths = lines.iter().filter_map(|line| line["url"]["path"].as_str());
        let numbers = paths.filter_map(|path| path.strip_prefix("/users/n")?.parse::<u64>().ok());
        numbers.collect::<std::collections::BTreeSet<u64>>()
    };
    let all = usize::try_from(tally.answered).unwrap();
    eventually("all of them", || (numbers().len() == all).then_some(()));
    tally.assert_none_lost();

    // Elsewhere, and where it cannot be written, and nowhere.
    system.write(&file("other.log"));
    system.up();
    eventually("the other file", || {
        system.get("/users/b");
        (!access_log(&system, "other.log").is_empty()).then_some(())
    });
    system.write(&file("DIR/"));
    system.flotilla("up -d").expect(3).says("access log");
    system.get("/users/still");
    logged(&system, "other.log", "/users/still");
    system.write(&file("false"));
    system.up();
    system.down();
    let mode = fs::metadata(system.dir().join("other.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
