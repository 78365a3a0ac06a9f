//! `up` on a running system: what changed is changed, and a broken file changes nothing.

use crate::kit::{System, http, load::Load, wait::eventually};

const BEFORE: &str = "
services:
  users: { run: FIXTURE serve, instances: 2 }
  items: { run: FIXTURE serve }
  web: { run: FIXTURE serve, needs: [users] }
gateway:
  listen: GATEWAY
  routes: { /users: users, /: web }
";

const BROKEN: &str = "
services:
  users: { run: FIXTURE serve, instanses: 2, stop: { grace: soon } }
  items: { run: FIXTURE serve, needs: [nobody] }
  web: { run: FIXTURE serve, needs: [items], dir: nowhere }
gateway:
  listen: GATEWAY
  routes: { /users: users, /: nothing }
";

#[test]
fn check_reports_all_problems_at_once_with_place_and_suggestion() {
    let system = System::new(BROKEN);
    let mut done = system.flotilla("check").expect(3);
    for word in [
        "flotilla.yaml:3:",
        "instanses",
        "instances",
        "[F002]",
        "soon",
        "[F004]",
        "nobody",
        "[F006]",
        "nowhere",
        "[F010]",
        "nothing",
        "flotilla.yaml:8:",
    ] {
        done = done.says(word);
    }
    let json = system.flotilla("check -o json").expect(3).json();
    assert_eq!(json["valid"], false);
    assert!(json["diagnostics"].as_array().unwrap().len() >= 5, "{json:#}");
    system.flotilla("up -d").expect(3).says("[F002]");
    assert!(system.processes().is_empty());

    system.write(BEFORE);
    system.flotilla("check").expect(0).says("flotilla.yaml is valid: 3 services, 2 routes");
    system.file("flotilla.yaml", "services: [\n");
    system.flotilla("check").expect(3).says("[F001]");
}

#[test]
fn a_broken_file_never_disturbs_what_runs() {
    let system = System::new(BEFORE);
    system.up();
    let before = system.status();
    let load = Load::start(2, system.gateway, |_| http::Request::get("/users/x"));
    system.write(BROKEN);
    system.flotilla("up -d").expect(3).says("instanses");
    let answer = system.api("POST", "/v1/apply", None);
    assert_eq!(answer.status, 422, "{}", answer.text());
    assert!(answer.json()["error"]["diagnostics"].as_array().unwrap().len() >= 5);
    system.file("flotilla.yaml", "\u{0}{{{");
    system.flotilla("up -d").expect(3);
    eventually("some traffic", || (load.asked() > 200).then_some(()));
    load.end().assert_none_lost();
    let after = system.status();
    for service in ["users", "items", "web"] {
        assert_eq!(after.pids(service), before.pids(service));
    }
    // And it can still be stopped.
    system.down();
}

#[test]
fn only_what_changed_is_replaced_and_each_reason_is_given() {
    let system = System::new(BEFORE);
    system.up();
    let before = system.status();
    let load = Load::start(2, system.gateway, |_| http::Request::get("/users/x"));
    system.write(
        "
services:
  users: { run: FIXTURE serve, instances: 3, env: { COLOUR: red } }
  web: { run: FIXTURE serve, needs: [users] }
  news: { run: FIXTURE serve }
gateway:
  listen: GATEWAY
  routes: { /users: users, /news: news, /: web }
",
    );
    let dry = system.flotilla("up --dry-run").expect(0);
    assert!(dry.out.contains("COLOUR") && dry.out.contains("2 → 3"), "{dry:?}");
    assert_eq!(system.status().pids("users"), before.pids("users"), "only a question");

    let done = system.flotilla("up -d").expect(0);
    let line =
        |service: &str| done.out.lines().find(|line| line.starts_with(service)).unwrap_or_default();
    assert!(line("users").contains("replace") && line("users").contains("COLOUR"), "{done:?}");
    assert!(line("items").contains("remove") && line("news").contains("start"), "{done:?}");
    assert_eq!(line("web"), "", "{done:?}");
    let after = system.until("the new picture", |status| {
        status.find("items").is_none()
            && status.service("users")["ready"] == 3
            && status.state("news") == "ready"
    });
    assert_eq!(after.pids("web"), before.pids("web"));
    assert!(
        after.pids("users").iter().all(|it| !before.pids("users").iter().any(|old| old.1 == it.1))
    );
    assert_eq!(system.get("/news").json()["service"], "news");
    load.end().assert_none_lost();
    system.down();
}

#[test]
fn routes_change_without_touching_a_process() {
    let system = System::new(BEFORE);
    system.up();
    let before = system.status();
    assert_eq!(system.get("/items").json()["service"], "web");
    system.write(&BEFORE.replace("/users: users", "/users: users, /items: items"));
    system.up();
    eventually("the new route", || {
        (system.get("/items").json()["service"] == "items").then_some(())
    });
    let after = system.status();
    for service in ["users", "items", "web"] {
        assert_eq!(after.pids(service), before.pids(service));
    }
    system.down();
}

#[test]
fn an_environment_of_the_file_is_laid_over_it() {
    let system = System::new(&format!(
        "{BEFORE}
environments:
  big: {{ services: {{ items: {{ instances: 3, env: {{ SIZE: \"${{SIZE:-large}}\" }} }} }} }}
"
    ));
    system.flotilla("--env small check").expect(3);
    system.flotilla("--env big up -d").expect(0);
    let status = system.until_ready("items", 3);
    let env = http::get(status.address("items", 0), "/env").unwrap().json();
    assert_eq!(env["SIZE"], "large");
    system.down();
}
