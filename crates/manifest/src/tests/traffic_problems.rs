//! What a gateway gets whose addresses, certificates, times or bounds are wrong.
#![expect(clippy::too_many_lines, reason = "what is told is long")]

use super::gateway_problems::check;
use expect_test::expect;

#[test]
fn where_a_request_is_sent_must_be_somewhere() {
    check(
        "\
services: { api: {} }
gateway:
  routes:
    /a: { to: api, redirect: https }
    /b: { redirect: www.example.com, strip: true, timeout: 3s }
    /c: { redirect: { to: /x, host: a.example } }
    /d: { redirect: { status: 304, path: /x } }
    /e: { redirect: {} }
    /f: { redirect: { path: /a, prefix: /b } }
    /g: { to: api, rewrite: x }
    /h: { to: api, rewrite: '/x{what}', strip: true }
    /i: { to: api, rewrite: /x, strip: true }
    /j: { to: api, rewrite: { host: 'a b' } }
    /k: { to: api, fault: {} }
    /l: { to: api, fault: { delay: 2h, percent: 10 } }
    /m: { to: api, compress: { types: [text/html, html] } }
",
        expect![[r#"
            error[F034]: the route `/a` leads to two places
              ┌─ flotilla.yaml:4:15
            4 │     /a: { to: api, redirect: https }
              │               ^^^ never reached
              = `redirect` stands in line 4
              help: remove `to` or `redirect`
            error[F004]: nobody can be sent there
              ┌─ flotilla.yaml:5:21
            5 │     /b: { redirect: www.example.com, strip: true, timeout: 3s }
              │                     ^^^^^^^^^^^^^^^ `www.example.com` is no target: it begins with `https://`, `http://` or one `/`
              help: write `https`, a URL, or a path that begins with `/`
            error[F034]: `to` is the whole address, so no part of it can be replaced
              ┌─ flotilla.yaml:6:27
            6 │     /c: { redirect: { to: /x, host: a.example } }
              │                           ^^
              help: write `to` alone, or parts
            error[F004]: nobody can be sent there
              ┌─ flotilla.yaml:7:31
            7 │     /d: { redirect: { status: 304, path: /x } }
              │                               ^^^ `304` is no redirect: 301, 302, 303, 307 or 308
            error[F004]: nobody can be sent there
              ┌─ flotilla.yaml:8:21
            8 │     /e: { redirect: {} }
              │                     ^^ a redirect needs a scheme, host, port or path
              help: write `https`, a URL, or a path that begins with `/`
            error[F034]: both `path` and `prefix` say what the path becomes
              ┌─ flotilla.yaml:9:41
            9 │     /f: { redirect: { path: /a, prefix: /b } }
              │                                         ^^
              help: remove one of them
            error[F004]: a request cannot be rewritten to that
               ┌─ flotilla.yaml:10:29
            10 │     /g: { to: api, rewrite: x }
               │                             ^ `x` is no path to rewrite to: it begins with one `/`
            error[F004]: a request cannot be rewritten to that
               ┌─ flotilla.yaml:11:29
            11 │     /h: { to: api, rewrite: '/x{what}', strip: true }
               │                             ^^^^^^^^^^ `/x{what}` is no path to rewrite to: the brace at 2 begins no variable: there are {host}, {path}, {rest} and {query}
            error[F034]: both `strip` and `rewrite` say what the path becomes
               ┌─ flotilla.yaml:12:33
            12 │     /i: { to: api, rewrite: /x, strip: true }
               │                                 ^^^^^ `rewrite` says it all
               help: remove one of them
            error[F004]: a request cannot be rewritten to that
               ┌─ flotilla.yaml:13:37
            13 │     /j: { to: api, rewrite: { host: 'a b' } }
               │                                     ^^^^^^ `a b` is no host, nor host and port
            error[F004]: this `fault` cannot be
               ┌─ flotilla.yaml:14:20
            14 │     /k: { to: api, fault: {} }
               │                    ^^^^^ a fault needs `delay`, `abort` or both
            error[F004]: this `fault` cannot be
               ┌─ flotilla.yaml:15:36
            15 │     /l: { to: api, fault: { delay: 2h, percent: 10 } }
               │                                    ^^ a fault delays for at most 60 s
            error[F004]: `fault.percent` of route `/l` cannot be `10`
               ┌─ flotilla.yaml:15:49
            15 │     /l: { to: api, fault: { delay: 2h, percent: 10 } }
               │                                                 ^^ must be a share such as 10%
            error[F004]: this cannot be compressed
               ┌─ flotilla.yaml:16:51
            16 │     /m: { to: api, compress: { types: [text/html, html] } }
               │                                                   ^^^^ `html` cannot be packed: a type is written text/html, text/* or *+json
        "#]],
    );
}

#[test]
fn certificates_must_be_there() {
    check(
        "\
services: { api: {} }
gateway:
  tls: [{ cert: site.pem, key: site.key }, { cert: sit.pem }, {}]
  http_redirect: 8080
  routes: { /: api }
",
        expect![[r#"
            error[F031]: `site.pem` has no certificate
              ┌─ flotilla.yaml:3:17
            3 │   tls: [{ cert: site.pem, key: site.key }, { cert: sit.pem }, {}]
              │                 ^^^^^^^^ no `-----BEGIN … CERTIFICATE-----` is in it
              help: name a file in PEM form
            error[F031]: a certificate without `key`
              ┌─ flotilla.yaml:3:44
            3 │   tls: [{ cert: site.pem, key: site.key }, { cert: sit.pem }, {}]
              │                                            ^^^^^^^^^^^^^^^^^
              help: write `{ cert: …, key: … }`
            error[F010]: `sit.pem` does not exist
              ┌─ flotilla.yaml:3:52
            3 │   tls: [{ cert: site.pem, key: site.key }, { cert: sit.pem }, {}]
              │                                                    ^^^^^^^ did you mean `site.pem`?
            error[F031]: a certificate without `cert`
              ┌─ flotilla.yaml:3:63
            3 │   tls: [{ cert: site.pem, key: site.key }, { cert: sit.pem }, {}]
              │                                                               ^^
              help: write `{ cert: …, key: … }`
            error[F031]: a certificate without `key`
              ┌─ flotilla.yaml:3:63
            3 │   tls: [{ cert: site.pem, key: site.key }, { cert: sit.pem }, {}]
              │                                                               ^^
              help: write `{ cert: …, key: … }`
            error[F005]: port 8080 is used by the gateway and by `http_redirect`
              ┌─ flotilla.yaml:4:18
            4 │   http_redirect: 8080
              │                  ^^^^ the gateway listens there unless told otherwise
              help: change it, or write `gateway: { listen: 127.0.0.1:9080 }`
        "#]],
    );
    check(
        "services: { api: {} }\ngateway: { http_redirect: 8081, tls: auto, routes: { /: api } }\n",
        expect![[r#"
            error[F005]: port 8081 is used by `http_redirect` and by the admin API
              ┌─ flotilla.yaml:2:27
            2 │ gateway: { http_redirect: 8081, tls: auto, routes: { /: api } }
              │                           ^^^^ the admin API listens there unless told otherwise
              help: change it, or write `admin: { listen: 127.0.0.1:9081 }`
            error[F004]: `gateway.tls` cannot be `auto`
              ┌─ flotilla.yaml:2:38
            2 │ gateway: { http_redirect: 8081, tls: auto, routes: { /: api } }
              │                                      ^^^^ must be one of dev
        "#]],
    );
    check(
        "services: { api: {} }\ngateway: { http_redirect: 8079, routes: { /: api } }\n",
        expect![[r#"
            error[F034]: there is no `https` to redirect to
              ┌─ flotilla.yaml:2:27
            2 │ gateway: { http_redirect: 8079, routes: { /: api } }
              │                           ^^^^ `tls` is missing
              help: write `tls:` beside it, or remove it
        "#]],
    );
    check(
        "services: { api: {} }\ngateway: { tls: [], routes: { /: api } }\n",
        expect![[r#"
        error[F031]: `tls` has no certificate
          ┌─ flotilla.yaml:2:17
        2 │ gateway: { tls: [], routes: { /: api } }
          │                 ^^
          help: write `{ cert: …, key: … }`
    "#]],
    );
}

#[test]
fn times_and_bounds_must_make_sense() {
    check(
        "\
services:
  api:
    timeout: 0
    retries: { max: 20, on: [200, all], per_try: 0s }
    balance: { algorithm: consistent_hash, sticky: true }
    traffic:
      sticky: true
      breaker: { failures: 0%, open: 1m, open_max: 1s }
      outlier: { eject: 0, panic: 50, max_ejected: 2.5% }
      max_requests: 0
      circuit_breaker: {}
  web: { timeout: { response: 5s, overall: 1s, total: 3s }, retries: { per_try: 9s } }
gateway:
  limits: { head: 10, head_timeout: 0, body_max: 3 }
  trusted_proxies: [10.1.0.0/8, everywhere, 0.0.0.0/0]
  routes:
    /: { to: api, sticky: true }
    /b: { to: web, sticky: { cookie: 'a b' }, timeouts: 3s }
",
        expect![[r#"
            error[F004]: nothing can be done in a time of 0
              ┌─ flotilla.yaml:3:14
            3 │     timeout: 0
              │              ^
              help: leave it out for 60s
            error[F004]: `retries.max` of service `api` cannot be `20`
              ┌─ flotilla.yaml:4:21
            4 │     retries: { max: 20, on: [200, all], per_try: 0s }
              │                     ^^ must be a whole number from 0 to 10
            error[F004]: `retries.on` of service `api` cannot be `200`
              ┌─ flotilla.yaml:4:30
            4 │     retries: { max: 20, on: [200, all], per_try: 0s }
              │                              ^^^ must be a whole number from 400 to 599
            error[F003]: `retries.on` of service `api` has the wrong type
              ┌─ flotilla.yaml:4:35
            4 │     retries: { max: 20, on: [200, all], per_try: 0s }
              │                                   ^^^ `all` is not a whole number from 400 to 599
            error[F004]: nothing can be done in a time of 0
              ┌─ flotilla.yaml:4:50
            4 │     retries: { max: 20, on: [200, all], per_try: 0s }
              │                                                  ^^
              help: leave it out for the whole `timeout`
            error[F002]: unknown key `sticky` in `balance` of service `api`
              ┌─ flotilla.yaml:5:44
            5 │     balance: { algorithm: consistent_hash, sticky: true }
              │                                            ^^^^^^
              help: write `traffic: { sticky: true }` beside `balance`
            error[F004]: a service cannot be `sticky` and balanced by `consistent_hash`
              ┌─ flotilla.yaml:7:15
            7 │       sticky: true
              │               ^^^^ both say which instance a client goes to
              help: remove one of them
            error[F004]: a breaker that opens at 0% is always open
              ┌─ flotilla.yaml:8:28
            8 │       breaker: { failures: 0%, open: 1m, open_max: 1s }
              │                            ^^
              help: write `breaker: false` for none
            error[F004]: the first time is longer than the longest one
              ┌─ flotilla.yaml:8:38
            8 │       breaker: { failures: 0%, open: 1m, open_max: 1s }
              │                                      ^^
              help: `open` must not exceed `open_max`
            error[F004]: `eject` cannot be 0
              ┌─ flotilla.yaml:9:25
            9 │       outlier: { eject: 0, panic: 50, max_ejected: 2.5% }
              │                         ^ must be a duration such as 10s above 0
            error[F004]: `traffic.outlier.panic` of service `api` cannot be `50`
              ┌─ flotilla.yaml:9:35
            9 │       outlier: { eject: 0, panic: 50, max_ejected: 2.5% }
              │                                   ^^ must be a share such as 10%
            error[F004]: `traffic.outlier.max_ejected` of service `api` cannot be `2.5%`
              ┌─ flotilla.yaml:9:52
            9 │       outlier: { eject: 0, panic: 50, max_ejected: 2.5% }
              │                                                    ^^^^ must be a whole number from 0% to 100%
            error[F004]: `traffic.max_requests` of service `api` cannot be `0`
               ┌─ flotilla.yaml:10:21
            10 │       max_requests: 0
               │                     ^ must be a whole number from 1 to 1000000
            error[F002]: unknown key `circuit_breaker` in `traffic` of service `api`
               ┌─ flotilla.yaml:11:7
            11 │       circuit_breaker: {}
               │       ^^^^^^^^^^^^^^^
               help: write `breaker:`
            error[F004]: `overall` is shorter than `response`, which it has in it
               ┌─ flotilla.yaml:12:44
            12 │   web: { timeout: { response: 5s, overall: 1s, total: 3s }, retries: { per_try: 9s } }
               │                                            ^^
               help: make it longer, or 0 for none
            error[F002]: unknown key `total` in `timeout` of service `web`
               ┌─ flotilla.yaml:12:48
            12 │   web: { timeout: { response: 5s, overall: 1s, total: 3s }, retries: { per_try: 9s } }
               │                                                ^^^^^
               help: write `overall:`
            error[F004]: one try may not take longer than all of them together
               ┌─ flotilla.yaml:12:81
            12 │   web: { timeout: { response: 5s, overall: 1s, total: 3s }, retries: { per_try: 9s } }
               │                                                                                 ^^ `timeout` is shorter
            error[F004]: the head of a request needs from 1Ki to 1Mi
               ┌─ flotilla.yaml:14:19
            14 │   limits: { head: 10, head_timeout: 0, body_max: 3 }
               │                   ^^ browsers send 1 to 8 KiB, with large cookies more
            error[F004]: `head_timeout` of 0 lets nobody in
               ┌─ flotilla.yaml:14:37
            14 │   limits: { head: 10, head_timeout: 0, body_max: 3 }
               │                                     ^
               help: leave it out for the default
            error[F002]: unknown key `body_max` in `gateway.limits`
               ┌─ flotilla.yaml:14:40
            14 │   limits: { head: 10, head_timeout: 0, body_max: 3 }
               │                                        ^^^^^^^^
               help: write `body:`
            error[F004]: `gateway.trusted_proxies` cannot be `10.1.0.0/8`
               ┌─ flotilla.yaml:15:21
            15 │   trusted_proxies: [10.1.0.0/8, everywhere, 0.0.0.0/0]
               │                     ^^^^^^^^^^ the network that this address is in is 10.0.0.0/8
            error[F004]: `gateway.trusted_proxies` cannot be `everywhere`
               ┌─ flotilla.yaml:15:33
            15 │   trusted_proxies: [10.1.0.0/8, everywhere, 0.0.0.0/0]
               │                                 ^^^^^^^^^^ must be a network such as 10.0.0.0/8
            warning[F035]: everybody is a trusted proxy
               ┌─ flotilla.yaml:15:45
            15 │   trusted_proxies: [10.1.0.0/8, everywhere, 0.0.0.0/0]
               │                                             ^^^^^^^^^ every client can say that it is another
               help: name the networks of your load balancers
            error[F034]: a route cannot be `sticky` and lead to a service balanced by `consistent_hash`
               ┌─ flotilla.yaml:17:19
            17 │     /: { to: api, sticky: true }
               │                   ^^^^^^ both say which instance a client goes to
               help: remove one of them
            error[F004]: `sticky.cookie` of route `/b` cannot be `a b`
               ┌─ flotilla.yaml:18:38
            18 │     /b: { to: web, sticky: { cookie: 'a b' }, timeouts: 3s }
               │                                      ^^^^^^ must be the name of a cookie
            error[F002]: unknown key `timeouts` in route `/b`
               ┌─ flotilla.yaml:18:47
            18 │     /b: { to: web, sticky: { cookie: 'a b' }, timeouts: 3s }
               │                                               ^^^^^^^^
               help: write `timeout: { response: …, connect: … }`
        "#]],
    );
}

#[test]
fn what_works_and_is_dangerous_is_said() {
    check(
        "\
services: { api: {} }
gateway:
  listen: 0.0.0.0:80
  trusted_proxies: 0.0.0.0/0
  routes:
    /: { to: api, auth: { jwt: { jwks: \"http://id.example/\" } } }
",
        expect![[r#"
            warning[F035]: everybody is a trusted proxy
              ┌─ flotilla.yaml:4:20
            4 │   trusted_proxies: 0.0.0.0/0
              │                    ^^^^^^^^^ every client can say that it is another
              help: name the networks of your load balancers
            warning[F033]: keys are fetched without TLS
              ┌─ flotilla.yaml:6:40
            6 │     /: { to: api, auth: { jwt: { jwks: "http://id.example/" } } }
              │                                        ^^^^^^^^^^^^^^^^^^^^^ who can change what is sent can make tokens
              help: write `https://`
        "#]],
    );
    check(
        "\
services: { api: {} }
gateway:
  listen: 0.0.0.0:80
  routes:
    /: { to: api, auth: { jwt: { jwks: \"http://localhost:9000/\" } } }
",
        expect![[r#"
            warning[F035]: tokens, keys and passwords come in without TLS
              ┌─ flotilla.yaml:3:11
            3 │   listen: 0.0.0.0:80
              │           ^^^^^^^^^^ everybody on the way can read them
              = they are asked for in flotilla.yaml:5:5
              help: write `tls:` under `gateway:`, or `trusted_proxies:` when a load balancer in front has TLS
        "#]],
    );
}
