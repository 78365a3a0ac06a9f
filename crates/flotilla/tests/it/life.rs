//! Start, look, change, stop.

use crate::kit::{System, end_of, http, wait::eventually};
use std::{fs, process::Stdio, time::Duration};

const TWO: &str = "
name: pair
services:
  users: { run: FIXTURE serve, instances: 2, health: { ready: /ready, live: /live } }
  web: { run: FIXTURE serve, needs: [users] }
gateway:
  listen: GATEWAY
  routes: { /users: users, /: web }
";

#[test]
fn a_system_goes_up_shows_itself_changes_and_goes_down() {
    let system = System::new(TWO);
    let up = system.flotilla("up -d -o json").expect(0).json();
    assert_eq!(up["phase"], "ready");
    assert_eq!(up["gateway_url"], format!("http://{}", system.gateway));
    assert!(up["dashboard_url"].as_str().unwrap().contains("?t="), "{up:#}");

    let status = system.status();
    assert_eq!(status.0["system"], "pair");
    assert_eq!(status.0["phase"], "ready");
    let users = status.service("users");
    assert_eq!((&users["kind"], &users["state"]), (&"service".into(), &"ready".into()));
    assert_eq!((&users["desired"], &users["ready"]), (&2.into(), &2.into()));
    let first = &status.instances("users")[0];
    assert_eq!((&first["id"], &first["state"]), (&"users/1".into(), &"ready".into()));
    assert_eq!((&first["restarts"], &first["adopted"]), (&0.into(), &false.into()));
    assert_eq!(status.pids("users").len(), 2);
    system.flotilla("ps").expect(0).says("SERVICE").says("2/2");
    system.flotilla("ps users/2 -o wide").expect(0).says("users/2");
    system.flotilla("ps nobody").expect(2).says("there is no service `nobody`");

    let answer = system.get("/users/x").json();
    assert_eq!((&answer["service"], &answer["path"]), (&"users".into(), &"/users/x".into()));
    assert_eq!(system.get("/").json()["service"], "web");
    let users = system.need(status.address("web", 0), "USERS_URL");
    assert_eq!(http::get(users, "/hello").unwrap().json()["service"], "users");
    system.down();
}

#[test]
fn what_services_print_is_in_the_logs() {
    let system = System::new(TWO);
    system.up();
    system.get("/print?text=from-web");
    system.get("/users/print?text=from-users");
    eventually("the lines", || {
        (system.logs("web").contains(&"from-web".to_owned())
            && system.logs("users").contains(&"from-users".to_owned()))
        .then_some(())
    });
    let found = system.flotilla("logs --grep from-web").expect(0);
    assert_eq!(found.out.lines().count(), 1, "{}", found.out);
    assert!(found.out.contains("web"), "{}", found.out);
    let newest = system.flotilla("logs users -n 1").expect(0);
    assert_eq!(newest.out.lines().count(), 1, "{}", newest.out);
    system.flotilla("logs nobody").expect(2);
    let all = system.flotilla("logs -o json").expect(0);
    for line in all.out.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["seq"].is_u64() && line["instance"].is_string() && line["stream"].is_string());
    }
}

#[test]
fn restart_replaces_processes_and_scale_changes_their_number() {
    let system = System::new(TWO);
    system.up();
    let before = system.status();
    system.flotilla("restart users --wait").expect(0);
    let after = system.until_ready("users", 2);
    for (_, pid) in after.pids("users") {
        assert!(!before.pids("users").iter().any(|(_, old)| *old == pid), "{pid} was not replaced");
    }
    assert_eq!(after.pids("web"), before.pids("web"), "nobody asked for a restart of web");

    let (one, pid) = after.pids("users")[0].clone();
    system.flotilla(&format!("restart {one} --wait")).expect(0);
    system.until("one of two replaced", |status| {
        let now = status.pids("users");
        now.len() == 2 && !now.iter().any(|(_, new)| *new == pid)
    });
    system.flotilla("scale users=4 --wait").expect(0);
    assert_eq!(system.until_ready("users", 4).pids("users").len(), 4);
    system.flotilla("scale users=1 web=2 --wait").expect(0);
    system.until_ready("users", 1);
    system.until_ready("web", 2);
    system.flotilla("scale users=0 --wait").expect(0);
    system.until_ready("users", 0);
    assert_eq!(system.get("/users/x").status, 503);
    system.flotilla("scale nobody=1").expect(2);
    system.down();
}

#[test]
fn where_nothing_runs_every_command_says_so() {
    let system = System::new(TWO);
    for words in [
        "ps",
        "logs",
        "top",
        "restart users",
        "scale users=2",
        "run users true",
        "wait",
        "open --print",
        "down",
    ] {
        system.flotilla(words).expect(6).says("[F023]");
    }
    system.flotilla("wait --for stopped").expect(0);
    let empty = System::empty();
    empty.flotilla("up").expect(3).says("[F025]");
    system.flotilla("-f nowhere.yaml up").expect(3).says("[F010]");
}

#[test]
fn a_second_up_finds_nothing_to_change() {
    let system = System::new(TWO);
    system.up();
    let before = system.status();
    system.flotilla("up -d").expect(0).says("nothing to change");
    system.flotilla("up").expect(0).says("nothing to change");
    assert_eq!(system.status().pids("users"), before.pids("users"));
    system.flotilla("wait --for ready --timeout 10s").expect(0);
    system.flotilla("top").expect(0).says("users/1").says("(node)");
    let top = system.flotilla("top -o json").expect(0).json();
    assert_eq!(top["instances"].as_array().unwrap().len(), 3);
}

#[test]
fn a_stopping_system_finishes_what_is_open() {
    let system = System::new(TWO);
    system.up();
    let gateway = system.gateway;
    let slow = runtime::thread("slow", move || http::get(gateway, "/users/slow?ms=1500")).unwrap();
    eventually("the request to be on its way", || {
        let traffic = system.api("GET", "/v1/traffic", None).json();
        let services = traffic["services"].as_array().unwrap();
        let users = services.iter().find(|it| it["service"] == "users")?;
        (users["total"]["in_flight"].as_u64()? > 0).then_some(())
    });
    system.down();
    let answer = slow.join().unwrap().unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn what_needs_another_starts_after_it_is_ready_and_waiting_can_run_out_of_time() {
    let system = System::new(
        "
services:
  web: { run: FIXTURE serve, needs: [users] }
  users: { run: FIXTURE serve, health: { ready: { command: test -f DIR/go }, start_timeout: 5m } }
",
    );
    system.flotilla("up -d --wait-timeout 1s").expect(5).says("web").says("users");
    system.flotilla("wait --timeout 1s").expect(5);
    let status = system.status();
    assert_eq!(status.state("web"), "waiting");
    assert_eq!(status.service("web")["waiting_for"][0], "users");
    assert!(status.pids("web").is_empty());
    assert_eq!(status.pids("users").len(), 1, "it runs and is asked again and again");
    system.file("go", "");
    system.flotilla("wait").expect(0);
    assert_eq!(system.status().0["phase"], "ready");
    system.down();
}

#[test]
fn followed_logs_come_as_they_are_printed_and_end_with_the_system() {
    let system = System::new(TWO);
    system.up();
    let out = system.dir().join("logs.txt");
    let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
    command.args(["logs", "-f", "web"]).stdout(fs::File::create(&out).unwrap());
    let mut logs = command.stderr(Stdio::null()).spawn().unwrap();
    for number in 0..3 {
        system.get(&format!("/print?text=followed-{number}"));
        eventually("the line", || {
            fs::read_to_string(&out).unwrap().contains(&format!("followed-{number}")).then_some(())
        });
    }
    system.flotilla("down").expect(0);
    assert_eq!(end_of(&mut logs, Duration::from_secs(30)), Some(0));
    system.assert_nothing_left();
}
