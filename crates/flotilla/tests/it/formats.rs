//! Files of other tools, run as they are.

use crate::kit::{System, fixture, free_port, http};

#[test]
fn a_procfile_and_a_dapr_file_are_taken_into_one_system() {
    let system = System::empty();
    let port = free_port();
    let program = fixture().display().to_string();
    system.file("Procfile", &format!("web: {program} serve\nworker: sleep 1000\n"));
    system.file(
        "dapr.yaml",
        &format!(
            "
version: 1
apps:
  - appID: users
    appDirPath: ./users
    appPort: {port}
    command: [\"{program}\", serve]
    env: {{ COLOUR: red }}
    enableApiLogging: true
"
        ),
    );
    system.file("users/here.txt", "");
    system.write(
        "
include: [Procfile, dapr.yaml]
services:
  web: { needs: [users] }
  worker: { listen: false }
gateway: { listen: GATEWAY, routes: { /: web, /users: users } }
",
    );
    let check = system.flotilla("check").expect(0);
    check.says("[F022]").says("dapr.yaml:9").says("enableApiLogging");
    system.up();
    assert_eq!(system.get("/").json()["service"], "web");
    let status = system.status();
    assert_eq!(status.state("worker"), "ready");
    let env = http::get(status.address("users", 0), "/env").unwrap().json();
    assert_eq!(env["COLOUR"], "red");
    assert!(env["PWD"].as_str().unwrap_or_default().ends_with("/users") || env["PWD"].is_null());
    let users = system.need(status.address("web", 0), "USERS_URL");
    assert_eq!(http::get(users, "/x").unwrap().json()["service"], "users");
    system.down();
}
