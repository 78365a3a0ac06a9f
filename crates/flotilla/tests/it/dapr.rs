//! The program under the names `dapr` and `daprd`, as scripts and test programs start it.

use crate::kit::{
    Done, System, end_of, fixture, free_port,
    http::{self, Request},
    kill_child, processes,
    wait::eventually,
};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::symlink,
    process::{Child, Command},
    time::Duration,
};

const END: Duration = Duration::from_secs(60);

/// A folder with both programs, and state and runtime folders of its own.
struct Place(System);

impl Place {
    fn new() -> Self {
        let system = System::empty();
        for name in ["dapr", "daprd"] {
            symlink(env!("CARGO_BIN_EXE_flotilla"), system.dir().join(name)).unwrap();
        }
        Self(system)
    }

    fn command(&self, program: &str) -> Command {
        let dir = self.0.dir();
        let mut command = self.0.command(dir.join(program));
        command.env("XDG_STATE_HOME", dir.join("state")).env("XDG_RUNTIME_DIR", dir);
        command
    }

    /// Runs a line to its end; `FIXTURE` stands for the program that plays the apps.
    fn run(&self, line: &str) -> Done {
        self.0.finish(&mut self.line(line))
    }

    fn line(&self, line: &str) -> Command {
        let fixture = fixture().display().to_string();
        let mut words = line.split(' ').map(|word| word.replace("FIXTURE", &fixture));
        let mut command = self.command(&words.next().unwrap());
        command.args(words);
        command
    }

    /// Starts a line in the background; what it says goes to the file `name`.
    fn start(&self, name: &str, line: &str) -> Running<'_> {
        let out = File::create(self.0.dir().join(name)).unwrap();
        let child = self.line(line).stderr(out.try_clone().unwrap()).stdout(out).spawn().unwrap();
        Running { place: self, name: name.to_owned(), child }
    }
}

struct Running<'p> {
    place: &'p Place,
    name: String,
    child: Child,
}

impl Running<'_> {
    fn said(&self) -> String {
        fs::read_to_string(self.place.0.dir().join(&self.name)).unwrap()
    }

    fn until_it_says(self, text: &str) -> Self {
        eventually(&format!("`{text}` from {}", self.name), || {
            self.said().contains(text).then_some(())
        });
        self
    }

    fn end(&mut self) -> i32 {
        end_of(&mut self.child, END)
            .unwrap_or_else(|| panic!("{} does not end: {}", self.name, self.said()))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        kill_child(&mut self.child);
    }
}

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Whether the texts stand in `text` in this order.
#[track_caller]
fn assert_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let (_, after) = rest
            .split_once(part)
            .unwrap_or_else(|| panic!("`{part}` is missing or too early in\n{text}"));
        rest = after;
    }
}

#[test]
fn an_app_runs_to_its_end_and_its_lines_are_told_apart() {
    let place = Place::new();
    let done = place.run("dapr run --app-id talker --log-level error -- FIXTURE print 2").expect(0);
    assert_order(
        &done.out,
        &[
            "Starting Dapr with id talker. HTTP Port: ",
            "You're up and running! Both Dapr and your app logs will appear here.",
            "== APP == ",
            "== APP == ",
            "Exited App successfully",
            "Exited Dapr successfully",
        ],
    );
    assert!(done.err.contains("without effect here: --log-level"), "{}", done.err);
    let failed = place.run("dapr run --app-id talker -- FIXTURE exit 3 oh").expect(1);
    assert_order(&failed.out, &["== APP == oh", "exited with error code: exit code 3"]);
    let missing = place.run("dapr run --app-id talker -- no-such-program-here").expect(1);
    assert!(!missing.out.contains("up and running"), "{}", missing.out);
    place.0.assert_nothing_left();
}

#[test]
fn the_apps_of_a_template_run_together() {
    let place = Place::new();
    let apps = format!(
        "version: 1\napps:\n  - {{ appID: one, appDirPath: ., command: [{0}, print, '1'] }}\n  - {{ appID: Two_2, appDirPath: ., command: [{0}, print, '1'] }}\n",
        fixture().display()
    );
    place.0.file("apps.yaml", &apps);
    let done = place.run("dapr run -f apps.yaml").expect(0);
    for part in [
        "Validating config and starting app \"one\"",
        "Started Dapr with app id \"Two_2\"",
        "Writing log files to directory : ",
        "== APP - one == ",
        "== APP - Two_2 == ",
        "Exited App successfully (one)",
        "Exited App successfully (Two_2)",
    ] {
        assert!(done.out.contains(part), "`{part}` is not in {}", done.out);
    }
    place.0.assert_nothing_left();
}

#[test]
fn apps_of_several_processes_find_each_other_by_name() {
    let place = Place::new();
    let (app, port) = (free_port(), free_port());
    let mut callee = place
        .start("callee", &format!("dapr run --app-id Call_Me --app-port {app} -- FIXTURE serve"))
        .until_it_says("up and running");
    let mut caller = place
        .start("caller", &format!("dapr run --app-id me --dapr-http-port {port} -- FIXTURE idle"))
        .until_it_says("up and running");
    let answer = eventually("an answer of the other app", || {
        let answer = http::get(at(port), "/v1.0/invoke/Call_Me/method/env").ok()?;
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(answer.json()["APP_ID"], "Call_Me");
    let list = place.run("dapr list -o json").expect(0).json();
    let ids: Vec<&str> =
        list.as_array().unwrap().iter().map(|app| app["appId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 2, "{list}");
    assert!(ids.contains(&"Call_Me") && ids.contains(&"me"), "{list}");
    let invoked = place.run("dapr invoke --app-id Call_Me --method env --verb GET").expect(0);
    assert_order(&invoked.out, &["Call_Me", "App invoked successfully"]);
    place.run("dapr invoke -a Call_Me -m unready").expect(0);
    place.run("dapr invoke -a Call_Me -m ready").expect(1).says("503 Service Unavailable");
    place.run("dapr invoke -a nobody -m x").expect(1).says("not running: nobody");
    place.run("dapr stop --app-id Call_Me").expect(0).says("stopped");
    assert_eq!(callee.end(), 0, "{}", callee.said());
    assert!(callee.said().contains("Exited App successfully"), "{}", callee.said());
    eventually("that nobody is called", || {
        let answer = http::get(at(port), "/v1.0/invoke/Call_Me/method/env").ok()?;
        (answer.status != 200).then_some(())
    });
    processes::kill(caller.child.id(), Signal::INT);
    assert_eq!(caller.end(), 0, "{}", caller.said());
    place.run("dapr list").expect(0).says("no apps are running");
    place.run("dapr stop --app-id me").expect(1).says("not running: me");
    place.0.assert_nothing_left();
}

#[test]
fn daprd_stands_beside_an_app_that_somebody_else_starts() {
    let place = Place::new();
    let (app, http_port, grpc_port) = (free_port(), free_port(), free_port());
    let daemon = format!(
        "daprd --app-id side --app-port {app} --dapr-http-port {http_port} --dapr-grpc-port={grpc_port} \
         --dapr-internal-grpc-port 0 --mode=standalone --enable-mtls=false --log-level=debug"
    );
    let mut daemon =
        place.start("daemon", &daemon).until_it_says("dapr initialized. Status: Running.");
    let status = |path: &str| http::get(at(http_port), path).map(|answer| answer.status).ok();
    eventually("outbound health", || (status("/v1.0/healthz/outbound")? == 204).then_some(()));
    assert_ne!(status("/v1.0/healthz"), Some(204), "the app is not there yet");
    let mut command = place.0.command(fixture());
    let out = File::create(place.0.dir().join("app")).unwrap();
    let mut child = command.arg("serve").env("PORT", app.to_string()).stdout(out).spawn().unwrap();
    eventually("health with the app", || (status("/v1.0/healthz")? == 204).then_some(()));
    assert_eq!(status("/v1.0/invoke/side/method/env"), Some(200));
    let metadata = http::get(at(http_port), "/v1.0/metadata").unwrap().json();
    assert_eq!(metadata["appConnectionProperties"]["port"], app);
    let shutdown = Request { method: "POST", ..Request::get("/v1.0/shutdown") };
    assert_eq!(shutdown.send(at(http_port)).unwrap().status, 204);
    assert_eq!(daemon.end(), 0, "{}", daemon.said());
    assert!(child.try_wait().unwrap().is_none(), "the app is not the daemon's to end");
    kill_child(&mut child);
    place.0.assert_nothing_left();
}

#[test]
fn what_makes_no_sense_is_refused_with_what_there_is() {
    let place = Place::new();
    place.run("dapr rum").expect(1).says("did you mean `dapr run`?");
    place.run("dapr run --app-idd x").expect(1).says("`--app-idd` is not a flag");
    place.run("dapr run -f nowhere.yaml").expect(1).says("nowhere.yaml");
    place.run("dapr run --app-id a --resources-path nowhere -- x").expect(1).says("does not exist");
    place.run("dapr init").expect(0).says("nothing to do");
    place.run("dapr --version").expect(0).says("Runtime version");
    place.run("dapr").expect(0).says("dapr run -f FILE");
    place.run("dapr list --help").expect(0).says("dapr run -f FILE");
    place.run("dapr invoke --app-id a").expect(1).says("`--method` are needed");
    place.run("daprd").expect(2).says("`--app-id` is missing");
    place.run("daprd --app-id a run").expect(2).says("not a flag");
    place.run("daprd --version").expect(0);
}
