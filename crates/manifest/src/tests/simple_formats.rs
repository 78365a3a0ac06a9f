//! Procfile and dapr.yaml.
#![expect(clippy::too_many_lines, reason = "what is shown is long")]

use super::{Folder, formats::check, options};
use expect_test::expect;

#[test]
fn a_procfile_is_read_line_by_line() {
    check(
        &[
            (
                "Procfile",
                "# comment\nrelease: ./migrate\nweb:  gunicorn app -b :$PORT\nurgent_worker: python3 work.py\n\napi: ./api\n",
            ),
            (".env", "PORT=5000\nA=1\n"),
        ],
        &[],
        expect![[r#"
            system shop
            Service web ×1
              run gunicorn app -b :$PORT
              dir . (python)
              port None
              needs release Completed
              ready Tcp { port: None } every 10s within 1s, 3×
              startup every 200ms, 150×
              restart Always, stop Term after 30s
              env A=1
            Service urgent-worker ×1
              run python3 work.py
              dir . (python)
              port none
              needs release Completed
              restart Always, stop Term after 30s
              env A=1
            Service api ×1
              run ./api
              dir . (shell)
              port None
              needs release Completed
              ready Tcp { port: None } every 10s within 1s, 3×
              startup every 200ms, 150×
              restart Always, stop Term after 30s
              env A=1
            Job release ×1
              run ./migrate
              dir . (shell)
              port none
              restart OnFailure, stop Term after 30s
              env A=1
            route Prefix("/") → web
            warning[F022]: process `urgent_worker` is called `urgent-worker` here
              ┌─ Procfile:4:1
            4 │ urgent_worker: python3 work.py
              │ ^^^^^^^^^^^^^ a name is a DNS label
        "#]],
    );
    check(
        &[("Procfile", "web gunicorn\nweb: x\nweb: y\n: z\na b: c\n")],
        &[],
        expect![[r#"
        error[F001]: this line is not `name: command`
          ┌─ Procfile:1:1
        1 │ web gunicorn
          │ ^^^^^^^^^^^^
          help: comments begin with `#`
        error[F005]: the process `web` is given twice
          ┌─ Procfile:3:1
        3 │ web: y
          │ ^^^ given again here
          = it is given first in line 2
        error[F001]: this line is not `name: command`
          ┌─ Procfile:4:1
        4 │ : z
          │ ^^^
          help: comments begin with `#`
        error[F001]: this line is not `name: command`
          ┌─ Procfile:5:1
        5 │ a b: c
          │ ^^^^^^
          help: comments begin with `#`
    "#]],
    );
    check(
        &[("Procfile", "# nothing\n")],
        &[],
        expect![[r#"
        error[F009]: the Procfile has no process
          ┌─ Procfile:1:1
        1 │ # nothing
          │ ^
          help: write `web: ./server`
    "#]],
    );
}

#[test]
fn a_dapr_file_is_read_app_by_app() {
    let files = [
        ("dapr.yaml", include_str!("dapr.yaml")),
        ("order-processor/", ""),
        ("checkout/own/", ""),
        ("components/", ""),
    ];
    check(
        &files,
        &[],
        expect![[r#"
            system shop
            Service order-processor ×1
              exec ["python3", "app.py"]
              dir order-processor (python)
              port Some(7001)
              ready Http { path: "/health", port: None, headers: [] } every 3s within 1s, 3×
              startup every 200ms, 150×
              restart OnFailure, stop Term after 30s
              env LOG=info
              env MODE=test
            Service check-out ×1
              exec ["node", "app.js"]
              dir checkout (node)
              port none
              restart OnFailure, stop Term after 30s
              env LOG=info
              env MODE=dev
            route Prefix("/") → order-processor
            warning[F022]: app `check_out` is called `check-out` here
               ┌─ dapr.yaml:15:12
            15 │   - appID: check_out
               │            ^^^^^^^^^ a name is a DNS label
               help: its app API still finds it by both
            warning[F022]: `logLevel` is not honoured
               ┌─ dapr.yaml:22:5
            22 │     logLevel: debug
               │     ^^^^^^^^ has no effect here
        "#]],
    );
    check(
        &[("dapr.yaml", "version: 1\n")],
        &[],
        expect![[r#"
        error[F009]: the file has no apps
          ┌─ dapr.yaml:1:1
        1 │ version: 1
          │ ^^^^^^^
          help: write `apps:` with a list below
    "#]],
    );
}

#[test]
fn several_services_without_a_web_get_a_hint_for_routes() {
    check(
        &[("Procfile", "a: ./a\nb: ./b\n")],
        &[],
        expect![[r#"
        system shop
        Service a ×1
          run ./a
          dir . (shell)
          port None
          ready Tcp { port: None } every 10s within 1s, 3×
          startup every 200ms, 150×
          restart Always, stop Term after 30s
        Service b ×1
          run ./b
          dir . (shell)
          port None
          ready Tcp { port: None } every 10s within 1s, 3×
          startup every 200ms, 150×
          restart Always, stop Term after 30s
        warning[F008]: no route leads to these services from outside
          ┌─ Procfile:1:1
        1 │ a: ./a
          │ ^ several services listen, and none is called `web`
          help: write a flotilla.yaml with `include:` for this file and `gateway: { routes: { /: <service> } }`
    "#]],
    );
}

#[test]
fn a_service_that_has_the_port_of_the_gateway_keeps_it_when_nobody_asked_for_a_gateway() {
    check(
        &[("compose.yaml", "services:\n  web: { image: nginx, ports: ['8080:80', '8081:81'] }\n")],
        &[],
        expect![[r#"
            warning[F008]: the gateway does not listen: `web` has its port 8080
              ┌─ compose.yaml:2:32
            2 │   web: { image: nginx, ports: ['8080:80', '8081:81'] }
              │                                ^^^^^^^^^ reached here directly
              help: for balancing and routes write a flotilla.yaml with `include:` for this file and `gateway: { listen: 127.0.0.1:9080 }`
            error[F005]: port 8081 is used by the admin API and by `web`
              ┌─ compose.yaml:2:43
            2 │   web: { image: nginx, ports: ['8080:80', '8081:81'] }
              │                                           ^^^^^^^^^ the admin API listens there unless told otherwise
              help: change it, or write `admin: { listen: 127.0.0.1:9081 }` in a flotilla.yaml with `include:` for this file
        "#]],
    );
}

#[test]
fn an_address_for_the_gateway_alone_keeps_the_route_of_an_included_file() {
    let folder = Folder::new(&[
        ("flotilla.yaml", "include: Procfile\ngateway: { listen: 9000 }\n"),
        ("Procfile", "web: ./web\n"),
    ]);
    let loaded = folder.load("flotilla.yaml", &options(&[])).unwrap();
    let routes = loaded.system.gateway.routes;
    let targets: Vec<&str> =
        routes.iter().flat_map(|route| &route.to).map(|to| to.service.as_str()).collect();
    assert_eq!(targets, ["web"]);
}
