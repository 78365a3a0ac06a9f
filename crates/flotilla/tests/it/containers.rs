//! Containers beside processes, on an engine of our own.

use crate::kit::{System, http, wait::eventually};
use adapter_docker::testing::{self, Engine, IMAGE};
use serde_json::Value;

/// How many containers the engine has that belong to the system with this name.
fn containers(engine: &Engine, system: &str) -> usize {
    let (status, list) = engine.request("GET", "/containers/json?all=1", &[]).unwrap();
    assert_eq!(status, 200, "{list}");
    let is_ours = |it: &&Value| it["Names"].to_string().contains(system);
    list.as_array().unwrap().iter().filter(is_ours).count()
}

fn run(system: &System, engine: &Engine, words: &str) -> crate::kit::Done {
    let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
    system.finish(command.env("DOCKER_HOST", engine.docker_host()).args(words.split(' ')))
}

#[test]
fn a_container_runs_next_to_a_process_and_both_take_traffic() {
    let Some(engine) = testing::engine() else { return };
    let name = format!("mixed{}", std::process::id());
    let system = System::new(&format!(
        "
name: {name}
services:
  files:
    image: {IMAGE}
    command: [httpd, -f, -p, \"8000\", -h, /www]
    port: 8000
    volumes: [\"./www:/www\"]
    stop: {{ grace: 1s }}
  web: {{ run: FIXTURE serve, needs: [files] }}
gateway: {{ listen: GATEWAY, routes: {{ /files: {{ to: files, strip: true }}, /: web }} }}
"
    ));
    system.file("www/page.txt", "from a container");
    run(&system, &engine, "up -d").expect(0);
    assert_eq!(system.get("/files/page.txt").text(), "from a container");
    assert_eq!(system.get("/").json()["service"], "web");
    let status = system.until_ready("files", 1);
    let files = system.need(status.address("web", 0), "FILES_URL");
    assert_eq!(http::get(files, "/page.txt").unwrap().text(), "from a container");
    assert_eq!(containers(&engine, &name), 1);

    // The next node finds the container as it finds the process.
    system.kill_node();
    run(&system, &engine, "up -d").expect(0);
    assert_eq!(containers(&engine, &name), 1);
    eventually("an answer", || (system.get("/files/page.txt").status == 200).then_some(()));
    assert_eq!(system.status().pids("web"), status.pids("web"));
    run(&system, &engine, "down").expect(0);
    system.assert_nothing_left();
    assert_eq!(containers(&engine, &name), 0);
}

#[test]
fn a_compose_file_runs_as_it_is() {
    let Some(engine) = testing::engine() else { return };
    let name = format!("composed{}", std::process::id());
    let system = System::empty();
    system.file(
        "compose.yaml",
        &format!(
            "
name: {name}
services:
  files:
    image: {IMAGE}
    command: [httpd, -f, -p, \"8000\", -h, /www]
    expose: [\"8000\"]
    volumes: [\"./www:/www:ro\"]
    networks: [front]
    stop_grace_period: 1s
networks: {{ front: {{}} }}
"
        ),
    );
    system.file("www/page.txt", "composed");
    system.write("include: compose.yaml\ngateway: { listen: GATEWAY, routes: { /: files } }\n");
    run(&system, &engine, "check").expect(0).says("[F022]").says("networks");
    run(&system, &engine, "up -d").expect(0);
    assert_eq!(system.get("/page.txt").text(), "composed");
    run(&system, &engine, "down").expect(0);
    assert_eq!(containers(&engine, &name), 0);
}

#[test]
fn without_an_engine_a_container_says_so_and_processes_run_on() {
    let system = System::new(
        "
services:
  files: { image: \"nobody/nothing:1\", port: 80 }
  web: { run: FIXTURE serve }
gateway: { listen: GATEWAY, routes: { /: web } }
",
    );
    let mut command = system.command(env!("CARGO_BIN_EXE_flotilla"));
    let nowhere = format!("unix://{}/no.sock", system.dir().display());
    let up = command.env("DOCKER_HOST", nowhere).args(["up", "-d", "--wait-timeout", "20s"]);
    system.finish(up).expect(4).says("[F021]").says("no.sock");
    assert_eq!(system.get("/").status, 200);
    system.down();
}
