//! compose.yaml; with the means to show a system that was read from another format.
#![expect(clippy::too_many_lines, reason = "what is shown is long")]

use super::{Folder, PYTHON, options};
use crate::{Loaded, Program, Service};
use expect_test::{Expect, expect};

/// Loads `file` of a folder and shows its system and its warnings.
pub(super) fn check(files: &[(&str, &str)], vars: &[(&str, &str)], expected: Expect) {
    let folder = Folder::new(files);
    let text = match folder.load(files[0].0, &options(vars)) {
        Ok(loaded) => show(&folder, &loaded),
        Err(problems) => problems,
    };
    expected.assert_eq(&text);
}

fn show(folder: &Folder, loaded: &Loaded) -> String {
    let root = folder.path().display().to_string();
    let mut text = format!("system {}\n", loaded.system.name);
    for service in &loaded.system.services {
        text.push_str(&one(service));
    }
    for route in &loaded.system.gateway.routes {
        text.push_str(&format!("route {:?} → {}\n", route.path, route.to[0].service));
    }
    text.push_str(&folder.show(&loaded.warnings));
    text.replace(&format!("{root}/"), "").replace(&root, ".")
}

fn one(service: &Service) -> String {
    let mut text = format!("{:?} {} ×{}", service.kind, service.name, service.instances);
    let mut add = |name: &str, value: String| text.push_str(&format!("\n  {name} {value}"));
    match &service.program {
        Program::Shell(line) => add("run", line.clone()),
        Program::Exec(words) => add("exec", format!("{words:?}")),
        Program::External(external) => add("external", format!("{:?}", external.address)),
        Program::Container(container) => {
            add("image", container.image.clone());
            for (name, words) in
                [("entrypoint", &container.entrypoint), ("command", &container.command)]
            {
                words.iter().for_each(|words| add(name, format!("{words:?}")));
            }
            container.volumes.iter().for_each(|volume| add("volume", volume.clone()));
            container.publish.iter().for_each(|ports| add("publish", format!("{ports:?}")));
            container.user.iter().for_each(|user| add("user", user.clone()));
            container.workdir.iter().for_each(|workdir| add("workdir", workdir.clone()));
        }
    }
    add("dir", format!("{} ({})", service.dir.display(), service.language));
    service.build.iter().for_each(|build| add("build", build.clone()));
    add("port", if service.listens { format!("{:?}", service.port) } else { "none".to_owned() });
    for need in &service.needs {
        add("needs", format!("{} {:?}", need.service, need.condition));
    }
    if let (Some(startup), Some(ready)) = (&service.probes.startup, &service.probes.ready) {
        add(
            "ready",
            format!(
                "{:?} every {:?} within {:?}, {}×",
                ready.check, ready.period, ready.timeout, ready.failures
            ),
        );
        add("startup", format!("every {:?}, {}×", startup.period, startup.failures));
    }
    add(
        "restart",
        format!(
            "{:?}, stop {:?} after {:?}",
            service.restart.policy, service.stop.signal, service.stop.grace
        ),
    );
    if service.limits != crate::Limits::default() {
        add("limits", format!("{:?}", service.limits));
    }
    for (key, value) in &service.env {
        add("env", format!("{key}={value}"));
    }
    text.push('\n');
    text
}

#[test]
fn a_compose_file_is_read_with_a_warning_for_each_key_not_honoured() {
    check(
        &[("compose.yaml", include_str!("compose.yaml")), ("web/Dockerfile", "FROM scratch\n")],
        &[("HOME", "/home/me")],
        expect![[r#"
            system blog
            Service web ×1
              image blog/web:dev
              command ["--port", "80"]
              volume static:/static:ro
              volume blog_data:/data
              volume a:/a:ro
              publish (8000, 80)
              publish (9000, 90)
              user 1000
              workdir /srv
              dir web (docker)
              build docker build -t blog/web:dev -f Dockerfile.dev --build-arg V=1 --target run .
              port Some(80)
              needs db Ready
              needs cache Started
              needs migrate Completed
              ready Command(Exec(["curl", "-f", "http://localhost/"])) every 5s within 2s, 4×
              startup every 1s, 30×
              restart Always, stop Int after 90s
              limits Limits { cpu: Some(0.5), memory: Some(ByteSize(268435456)), pids: Some(50) }
              env DB=postgres://db/blog
              env EMPTY=
              env LOG=info
            Service db ×1
              image postgres:16
              volume blog_data:/var/lib/postgresql/data
              dir . (docker)
              port Some(5432)
              ready Command(Shell("pg_isready -U postgres")) every 30s within 30s, 3×
              startup every 1s, 90×
              restart OnFailure, stop Term after 30s
              env HOME=/home/me
              env POSTGRES_PASSWORD=secret
            Service cache ×1
              image redis:7
              dir . (docker)
              port Some(6379)
              ready Tcp { port: None } every 10s within 1s, 3×
              startup every 200ms, 150×
              restart OnFailure, stop Term after 30s
            Job migrate ×1
              image flotilla/blog-migrate
              command ["./migrate", "--all", "a b"]
              dir web (docker)
              build docker build -t flotilla/blog-migrate .
              port none
              needs db Ready
              restart Never, stop Term after 30s
            route Prefix("/") → web
            warning[F022]: a port that is not TCP of service `web` is not honoured
               ┌─ compose.yaml:10:45
            10 │     ports: ["8000:80", "127.0.0.1:9000:90", "53:53/udp"]
               │                                             ^^^^^^^^^^^ has no effect here
            warning[F022]: `depends_on.restart` of service `web` is not honoured
               ┌─ compose.yaml:13:41
            13 │       db: { condition: service_healthy, restart: true }
               │                                         ^^^^^^^ has no effect here
            warning[F022]: `deploy.resources.reservations` of service `web` is not honoured
               ┌─ compose.yaml:24:69
            24 │       resources: { limits: { cpus: "0.5", memory: 256m, pids: 50 }, reservations: { cpus: "0.1" } }
               │                                                                     ^^^^^^^^^^^^ has no effect here
            warning[F022]: `deploy.update_config` of service `web` is not honoured
               ┌─ compose.yaml:25:7
            25 │       update_config: { order: start-first }
               │       ^^^^^^^^^^^^^ has no effect here
            warning[F022]: `container_name` of service `web` is not honoured
               ┌─ compose.yaml:32:5
            32 │     container_name: web
               │     ^^^^^^^^^^^^^^ has no effect here
               help: containers are named by their instance
            warning[F022]: `networks` of service `web` is not honoured
               ┌─ compose.yaml:33:5
            33 │     networks: [back]
               │     ^^^^^^^^ has no effect here
               help: services find each other by `depends_on`: <NAME>_URL is injected
            warning[F022]: `develop` of service `web` is not honoured
               ┌─ compose.yaml:34:5
            34 │     develop: { watch: [] }
               │     ^^^^^^^ has no effect here
            warning[F022]: service `my_worker` is left out: its profile is not active
               ┌─ compose.yaml:50:5
            50 │     profiles: [full]
               │     ^^^^^^^^
               help: set COMPOSE_PROFILES to start it
            warning[F022]: service `admin` is left out: its profile is not active
               ┌─ compose.yaml:51:26
            51 │   admin: { image: admin, profiles: [debug] }
               │                          ^^^^^^^^
               help: set COMPOSE_PROFILES to start it
            warning[F022]: `networks` is not honoured
               ┌─ compose.yaml:52:1
            52 │ networks: { back: {} }
               │ ^^^^^^^^ has no effect here
               help: services find each other by `depends_on`: <NAME>_URL is injected
        "#]],
    );
}

#[test]
fn profiles_and_variables_come_from_the_environment_and_the_env_file() {
    check(
        &[
            (
                "compose.yaml",
                "services:\n  a: { image: 'a:$TAG', ports: [80] }\n  b: { image: 'b:${MISSING}', profiles: [x], expose: ['90/tcp'], environment: { PORT: 3000 } }\n",
            ),
            (".env", "TAG=env\nCOMPOSE_PROFILES=x\n"),
        ],
        &[("TAG", "process")],
        expect![[r#"
            system shop
            Service a ×1
              image a:process
              dir . (docker)
              port Some(80)
              ready Tcp { port: None } every 10s within 1s, 3×
              startup every 200ms, 150×
              restart OnFailure, stop Term after 30s
            Service b ×1
              image b:
              dir . (docker)
              port Some(90)
              ready Tcp { port: None } every 10s within 1s, 3×
              startup every 200ms, 150×
              restart OnFailure, stop Term after 30s
            warning[F008]: no route leads to these services from outside
              ┌─ compose.yaml:2:3
            2 │   a: { image: 'a:$TAG', ports: [80] }
              │   ^ several services listen, and none is called `web`
              help: write a flotilla.yaml with `include:` for this file and `gateway: { routes: { /: <service> } }`
            warning[F011]: the environment variable `MISSING` is not set
              ┌─ compose.yaml:3:18
            3 │   b: { image: 'b:${MISSING}', profiles: [x], expose: ['90/tcp'], environment: { PORT: 3000 } }
              │                  ^^^^^^^^^ and there is no default, so it is empty
              help: set it, or give it a default: `${MISSING:-value}`; `$$` is a dollar sign
        "#]],
    );
}

#[test]
fn override_include_and_extends_are_followed_by_composes_rules() {
    check(
        &[
            (
                "docker-compose.yml",
                "include: [more/compose.yaml]\nservices:\n  a: { image: a, ports: ['1:1'], environment: [A=1, B=1] }\n",
            ),
            (
                "docker-compose.override.yml",
                "services:\n  a: { ports: ['2:2'], environment: { B: 2 }, command: run }\n",
            ),
            (
                "more/compose.yaml",
                "services:\n  b: { extends: { file: base.yaml, service: base }, volumes: ['./y:/y'] }\n",
            ),
            (
                "more/base.yaml",
                "services:\n  base: { image: base, volumes: ['./x:/x'], depends_on: [gone], expose: [80] }\n",
            ),
        ],
        &[],
        expect![[r#"
            system shop
            Service b ×1
              image base
              volume more/x:/x
              volume more/y:/y
              dir more (docker)
              port Some(80)
              ready Tcp { port: None } every 10s within 1s, 3×
              startup every 200ms, 150×
              restart OnFailure, stop Term after 30s
            Service a ×1
              image a
              command ["run"]
              publish (1, 1)
              publish (2, 2)
              dir . (docker)
              port Some(1)
              ready Tcp { port: None } every 10s within 1s, 3×
              startup every 200ms, 150×
              restart OnFailure, stop Term after 30s
              env A=1
              env B=2
            warning[F008]: no route leads to these services from outside
              ┌─ more/compose.yaml:2:3
            2 │   b: { extends: { file: base.yaml, service: base }, volumes: ['./y:/y'] }
              │   ^ several services listen, and none is called `web`
              help: write a flotilla.yaml with `include:` for this file and `gateway: { routes: { /: <service> } }`
        "#]],
    );
}

#[test]
fn mistakes_in_a_compose_file_are_shown_there() {
    check(
        &[(
            "compose.yaml",
            "\
services:
  a:
    image: a
    ports: ['x:80']
    depends_on: { b: { condition: service_helthy }, c: }
    deploy: { replicas: lots, resources: { limits: { memory: big } } }
    restart: sometimes
    environment: text
  d: {}
  e: { extends: { service: f } }
  g: { extends: { service: h } }
  h: { extends: { service: g } }
include: none.yaml
",
        )],
        &[],
        expect![[r#"
            error[F004]: this is not a port
              ┌─ compose.yaml:4:13
            4 │     ports: ['x:80']
              │             ^^^^^^
              help: write `8080:80`, or `80` for the port inside alone
            error[F006]: there is no service `b`
              ┌─ compose.yaml:5:19
            5 │     depends_on: { b: { condition: service_helthy }, c: }
              │                   ^ not in the file
              help: add it under `services:`; there are a, d, e, g, h
            error[F004]: `service_helthy` is not a condition
              ┌─ compose.yaml:5:35
            5 │     depends_on: { b: { condition: service_helthy }, c: }
              │                                   ^^^^^^^^^^^^^^
              help: write service_started, service_healthy or service_completed_successfully
            error[F006]: there is no service `c`
              ┌─ compose.yaml:5:53
            5 │     depends_on: { b: { condition: service_helthy }, c: }
              │                                                     ^ not in the file
              help: add it under `services:`; there are a, d, e, g, h
            error[F003]: `instances` of service `a` has the wrong type
              ┌─ compose.yaml:6:25
            6 │     deploy: { replicas: lots, resources: { limits: { memory: big } } }
              │                         ^^^^ `lots` is not a whole number from 1 to 1000
            error[F004]: `limits.memory` of service `a` cannot be `big`
              ┌─ compose.yaml:6:62
            6 │     deploy: { replicas: lots, resources: { limits: { memory: big } } }
              │                                                              ^^^ `big` is not a size: write a number with a unit, for example 64KiB, 512Mi, 1GiB, 10MB
            error[F004]: `sometimes` is not a restart policy
              ┌─ compose.yaml:7:14
            7 │     restart: sometimes
              │              ^^^^^^^^^
              help: write "no", always, on-failure or unless-stopped
            error[F003]: `environment` has the wrong type
              ┌─ compose.yaml:8:18
            8 │     environment: text
              │                  ^^^^ this is not a map or a list of KEY=VALUE
              help: write a map or a list of KEY=VALUE
            error[F009]: service `d` has neither `image` nor `build`
              ┌─ compose.yaml:9:3
            9 │   d: {}
              │   ^
              help: write `image: name:tag`
            error[F006]: there is no service `f` to extend
               ┌─ compose.yaml:10:28
            10 │   e: { extends: { service: f } }
               │                            ^
            error[F004]: `extends` cannot be followed
               ┌─ compose.yaml:11:8
            11 │   g: { extends: { service: h } }
               │        ^^^^^^^ it goes in a circle
               help: write `extends: { service: name }`
            error[F010]: `none.yaml` does not exist
               ┌─ compose.yaml:13:10
            13 │ include: none.yaml
               │          ^^^^^^^^^ named here
        "#]],
    );
}

#[test]
fn a_flotilla_file_makes_a_container_of_an_included_compose_file_a_process() {
    check(
        &[
            (
                "flotilla.yaml",
                "include: compose.yaml\nservices: { api: { run: python3 app.py, env: { B: 2 } }, web: { instances: 2 } }\ngateway: { routes: { /: web } }\n",
            ),
            (
                "compose.yaml",
                "services:\n  api: { image: api, ports: ['80:80'], volumes: ['a:/a'], environment: { A: 1 } }\n  web: { image: web, expose: [80], depends_on: [api] }\n",
            ),
            ("api/app.py", PYTHON),
        ],
        &[],
        expect![[r#"
            system shop
            Service api ×1
              run python3 app.py
              dir . (python)
              port None
              ready Tcp { port: None } every 10s within 1s, 3×
              startup every 200ms, 150×
              restart OnFailure, stop Term after 30s
              env A=1
              env B=2
            Service web ×2
              image web
              dir . (docker)
              port Some(80)
              needs api Started
              ready Tcp { port: None } every 10s within 1s, 3×
              startup every 200ms, 150×
              restart OnFailure, stop Term after 30s
            route Prefix("/") → web
        "#]],
    );
}
