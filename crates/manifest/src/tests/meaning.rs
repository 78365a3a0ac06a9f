//! What a file gets whose values are right one by one, but not together.

use super::told;
use expect_test::{Expect, expect};

fn check(yaml: &str, expected: Expect) {
    expected.assert_eq(&told(yaml));
}

#[test]
fn circles_are_shown_whole_and_once() {
    check(
        "services:\n  api: { needs: [web] }\n  web: { needs: [users] }\n  users: { needs: [api] }\njobs: { me: { run: x, needs: [me] } }\n",
        expect![[r#"
            error[F007]: services need each other in a circle: api → web → users → api
              ┌─ flotilla.yaml:4:20
            4 │   users: { needs: [api] }
              │                    ^^^ this closes the circle
              help: none of them could start first: remove one of these needs; calls back can go through the gateway
            error[F007]: `me` needs itself
              ┌─ flotilla.yaml:5:31
            5 │ jobs: { me: { run: x, needs: [me] } }
              │                               ^^ remove it
        "#]],
    );
}

#[test]
fn needs_must_make_sense() {
    check(
        "\
services:
  api: { needs: { nightly: started, once: ready, web: completed, users: healthy } }
  web: { needs: [users, users] }
  users: {}
jobs:
  nightly: { run: x, schedule: '@daily' }
  once: { run: x, restart: always }
",
        expect![[r#"
            error[F004]: `api` cannot need `nightly`
              ┌─ flotilla.yaml:2:28
            2 │   api: { needs: { nightly: started, once: ready, web: completed, users: healthy } }
              │                            ^^^^^^^ it runs by its schedule, perhaps never before
              help: remove it, or remove its `schedule`
            error[F004]: `api` cannot wait until `once` is ready
              ┌─ flotilla.yaml:2:43
            2 │   api: { needs: { nightly: started, once: ready, web: completed, users: healthy } }
              │                                           ^^^^^ a job is never ready, it ends
              help: write `completed`, or move it to `services:`
            error[F004]: `api` cannot wait until `web` is completed
              ┌─ flotilla.yaml:2:55
            2 │   api: { needs: { nightly: started, once: ready, web: completed, users: healthy } }
              │                                                       ^^^^^^^^^ a service does not end
              help: write `ready`, or move it to `jobs:`
            error[F004]: `needs.users` of service `api` cannot be `healthy`
              ┌─ flotilla.yaml:2:73
            2 │   api: { needs: { nightly: started, once: ready, web: completed, users: healthy } }
              │                                                                         ^^^^^^^ must be one of started, ready, completed
            error[F005]: `web` needs `users` twice
              ┌─ flotilla.yaml:3:25
            3 │   web: { needs: [users, users] }
              │                         ^^^^^ named again here
              help: keep one of them
            error[F004]: a job cannot restart always
              ┌─ flotilla.yaml:7:28
            7 │   once: { run: x, restart: always }
              │                            ^^^^^^ it would never end
              help: write `on_failure` or `never`; what runs for ever is a service
        "#]],
    );
}

#[test]
fn fixed_ports_are_one_instances_and_used_once() {
    check(
        "\
services:
  api: { port: 3000, instances: 3 }
  web: { port: 3000 }
  users: { port: 8080, listen: false }
  db: { image: db, publish: ['8081:80'], instances: 2 }
gateway: { routes: { /: api } }
",
        expect![[r#"
            error[F004]: 3 instances of `api` cannot share port 3000
              ┌─ flotilla.yaml:2:16
            2 │   api: { port: 3000, instances: 3 }
              │                ^^^^ a process needs a port of its own
              help: remove `port` and let the program listen on `$PORT`, or keep one instance
            error[F005]: port 3000 is used by `api` and by `web`
              ┌─ flotilla.yaml:3:16
            3 │   web: { port: 3000 }
              │                ^^^^ used again here
              = it is used first in line 2
              help: change one of them
            error[F004]: `users` has a port, but does not listen
              ┌─ flotilla.yaml:4:18
            4 │   users: { port: 8080, listen: false }
              │                  ^^^^ `listen: false` stands beside it
              help: remove one of them
            error[F004]: 2 instances of `db` cannot publish the same port
              ┌─ flotilla.yaml:5:29
            5 │   db: { image: db, publish: ['8081:80'], instances: 2 }
              │                             ^^^^^^^^^^^ a port of this machine is one port
              help: remove `publish` and add a route under `gateway:`, which balances over all of them
            error[F005]: port 8081 is used by the admin API and by `db`
              ┌─ flotilla.yaml:5:30
            5 │   db: { image: db, publish: ['8081:80'], instances: 2 }
              │                              ^^^^^^^^^ the admin API listens there unless told otherwise
              help: change it, or write `admin: { listen: 127.0.0.1:9081 }`
        "#]],
    );
}

#[test]
fn routes_that_can_never_match_are_errors() {
    check(
        "\
services: { api: {}, web: {}, users: { listen: false } }
jobs: { seed: { run: x } }
gateway:
  routes:
    - { path: /a, to: api }
    - { path: /a/, to: web }
    - { path: /b, to: api, methods: [GET, POST] }
    - { path: POST /b, to: web }
    - { path: /b, to: web }
    - { path: /c, to: api, headers: { X-A: '1' } }
    - { path: /c, to: web, headers: { x-a: '1' } }
    - { path: /c, to: web, headers: { x-b: '1' } }
    - { path: '/users/{id}', to: api }
    - { path: '/files/*', to: api }
    - { path: '/q?x=1', to: api }
    - { path: api, to: api }
    - { path: /z, to: { api: 0, web: 0 } }
    - { path: /w, to: users }
    - { path: /s, to: { seed: 1 } }
    - { path: /n }
    - { to: api }
    - { path: 'a b/c', to: api, methods: [G3T] }
    - { path: 'bad_host!/c', to: api }
    - { path: 'a.example/c', host: b.example, to: api }
",
        expect![[r#"
            error[F008]: this route can never match
              ┌─ flotilla.yaml:6:15
            6 │     - { path: /a/, to: web }
              │               ^^^ an earlier route takes all of its requests
              = that route stands in line 5
              help: remove one of them, or tell them apart by host, path, methods, headers or query
            error[F008]: this route can never match
              ┌─ flotilla.yaml:8:15
            8 │     - { path: POST /b, to: web }
              │               ^^^^^^^ an earlier route takes all of its requests
              = that route stands in line 7
              help: remove one of them, or tell them apart by host, path, methods, headers or query
            error[F008]: this route can never match
               ┌─ flotilla.yaml:11:15
            11 │     - { path: /c, to: web, headers: { x-a: '1' } }
               │               ^^ an earlier route takes all of its requests
               = that route stands in line 10
               help: remove one of them, or tell them apart by host, path, methods, headers or query
            error[F008]: the route `/users/{id}` can never match
               ┌─ flotilla.yaml:13:15
            13 │     - { path: '/users/{id}', to: api }
               │               ^^^^^^^^^^^^^ patterns are not known here
               help: a route matches everything below it: write `/users` for `/users/{id}` and `/users/*`
            error[F008]: the route `/files/*` can never match
               ┌─ flotilla.yaml:14:15
            14 │     - { path: '/files/*', to: api }
               │               ^^^^^^^^^^ patterns are not known here
               help: a route matches everything below it: write `/users` for `/users/{id}` and `/users/*`
            error[F008]: the route `/q?x=1` can never match
               ┌─ flotilla.yaml:15:15
            15 │     - { path: '/q?x=1', to: api }
               │               ^^^^^^^^ the path of a request ends before `?`
               help: leave out what follows the path
            error[F008]: the route `api` can never match
               ┌─ flotilla.yaml:16:15
            16 │     - { path: api, to: api }
               │               ^^^ a path begins with `/`
               help: a route is `/prefix`, `= /exact`, `GET /prefix` or `api.example.com/prefix`
            error[F008]: the route `/z` leads nowhere
               ┌─ flotilla.yaml:17:23
            17 │     - { path: /z, to: { api: 0, web: 0 } }
               │                       ^^^^^^^^^^^^^^^^^^ all weights are 0
               help: give one of them a weight above 0
            error[F008]: no request can be routed to `users`
               ┌─ flotilla.yaml:18:23
            18 │     - { path: /w, to: users }
               │                       ^^^^^ it has `listen: false`
               help: route to a service that listens
            error[F008]: no request can be routed to `seed`
               ┌─ flotilla.yaml:19:25
            19 │     - { path: /s, to: { seed: 1 } }
               │                         ^^^^ it is a job
               help: route to a service that listens
            error[F008]: the route `/n` leads nowhere
               ┌─ flotilla.yaml:20:15
            20 │     - { path: /n }
               │               ^^
               help: write `to: <service>` or `redirect:`
            error[F008]: a route in a list has no `path`
               ┌─ flotilla.yaml:21:7
            21 │     - { to: api }
               │       ^^^^^^^^^^^
               help: write `path: /`
            error[F004]: the methods are given twice
               ┌─ flotilla.yaml:22:43
            22 │     - { path: 'a b/c', to: api, methods: [G3T] }
               │                                           ^^^ they stand in the route too
               help: remove one
            error[F004]: `G3T` is not a method
               ┌─ flotilla.yaml:22:43
            22 │     - { path: 'a b/c', to: api, methods: [G3T] }
               │                                           ^^^
               help: write GET, POST, PUT, …
            error[F004]: `bad_host!` is not a host name
               ┌─ flotilla.yaml:23:15
            23 │     - { path: 'bad_host!/c', to: api }
               │               ^^^^^^^^^^^^^
               help: write `api.example.com` or `*.example.com`
            error[F004]: the host is given twice
               ┌─ flotilla.yaml:24:36
            24 │     - { path: 'a.example/c', host: b.example, to: api }
               │                                    ^^^^^^^^^ it stands in the route too
               help: remove one
        "#]],
    );
}

#[test]
fn folders_and_commands_are_looked_for() {
    check(
        "services:\n  usrs: {}\n  api: { dir: apy }\n  empty: {}\n  nowhere: { dir: no/such }\n",
        expect![[r#"
        error[F010]: service `usrs` has no folder and no command
          ┌─ flotilla.yaml:2:3
        2 │   usrs: {}
          │   ^^^^ did you mean `users`?
          help: make the folder `usrs`, or write `dir:`, `run:` or `image:`
        error[F010]: the folder `apy` does not exist
          ┌─ flotilla.yaml:3:15
        3 │   api: { dir: apy }
          │               ^^^ did you mean `api`?
          = looked for apy
        error[F009]: how to start service `empty` is not known
          ┌─ flotilla.yaml:4:3
        4 │   empty: {}
          │   ^^^^^ nothing that can be started was found
          = looked for a Procfile of one line, a Cargo.toml with a program, a package.json with `start` or `main`, app.py, main.py, manage.py, go.mod, pom.xml, build.gradle, Dockerfile
          = `empty` is empty
          help: write `run: <command>`; a server listens on `$PORT`
        error[F010]: the folder `no/such` does not exist
          ┌─ flotilla.yaml:5:19
        5 │   nowhere: { dir: no/such }
          │                   ^^^^^^^
          = looked for no/such
    "#]],
    );
}

#[test]
fn a_process_and_a_container_have_keys_of_their_own() {
    check(
        "services:\n  api: { command: [x], volumes: ['a:/b'] }\n  web: { run: x, image: y }\n  users: { run: [srv, --port, $PORT] }\n",
        expect![[r#"
            error[F004]: `command` is for containers, and this is a process
              ┌─ flotilla.yaml:2:10
            2 │   api: { command: [x], volumes: ['a:/b'] }
              │          ^^^^^^^ there is no `image`
              help: write `run:`, or add `image:`
            error[F004]: `volumes` is for containers, and this is a process
              ┌─ flotilla.yaml:2:24
            2 │   api: { command: [x], volumes: ['a:/b'] }
              │                        ^^^^^^^ there is no `image`
              help: remove it, or add `image:`
            error[F004]: `web` has a command and an image
              ┌─ flotilla.yaml:3:18
            3 │   web: { run: x, image: y }
              │                  ^^^^^ one of them must go
              = `run` stands in line 3
              help: a process has `run`, a container has `image` (its arguments are `command`); remove one
            warning[F004]: a list runs without a shell, so `$PORT` is not replaced
              ┌─ flotilla.yaml:4:31
            4 │   users: { run: [srv, --port, $PORT] }
              │                               ^^^^^ the program gets this text
              help: write the command as one line, or let the program read the variable PORT
        "#]],
    );
}
