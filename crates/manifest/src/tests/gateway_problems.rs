//! What a gateway gets whose rules are wrong: conditions, limits, credentials, CORS, headers.
#![expect(clippy::too_many_lines, reason = "what is told is long")]

use super::{Folder, options};
use expect_test::{Expect, expect};

pub(super) fn check(yaml: &str, expected: Expect) {
    let folder = Folder::new(&[
        ("flotilla.yaml", yaml),
        ("api/app.py", super::PYTHON),
        ("web/app.py", super::PYTHON),
        ("jwks.json", "{}"),
        ("site.pem", "nothing"),
        ("site.key", "-----BEGIN PRIVATE KEY-----"),
    ]);
    let vars = options(&[("SECRET", "short"), ("COND", "request.metod == 'GET'")]);
    expected.assert_eq(&match folder.load("flotilla.yaml", &vars) {
        Ok(loaded) => folder.show(&loaded.warnings),
        Err(told) => told,
    });
}

#[test]
fn a_condition_is_shown_where_it_is_wrong() {
    check(
        "\
services: { api: {} }
gateway:
  auth: { api_keys: { keys: { a: \"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\" } } }
  routes:
    /a: { to: api, allow: request.metod == 'GET' }
    /b: { to: api, allow: \"request.method = 'GET'\" }
    /c: { to: api, allow: \"request.method == \" }
    /d: { to: api, allow: '${COND}' }
    /e: { to: api, allow: \"claims.admin == true\" }
    /f: { to: api, allow: \"subject == 'claims' || 1\" }
",
        expect![[r#"
            error[F032]: `allow` of route `/a` cannot be `request.metod == 'GET'`
              ┌─ flotilla.yaml:5:35
            5 │     /a: { to: api, allow: request.metod == 'GET' }
              │                                   ^^^^^ `request` has no `metod` (do you mean `method`?)
            error[F032]: `allow` of route `/b` cannot be `request.method = 'GET'`
              ┌─ flotilla.yaml:6:43
            6 │     /b: { to: api, allow: "request.method = 'GET'" }
              │                                           ^ `= ` means nothing here
            error[F032]: `allow` of route `/c` cannot be `request.method == `
              ┌─ flotilla.yaml:7:45
            7 │     /c: { to: api, allow: "request.method == " }
              │                                             ^ ends too early
            error[F032]: `allow` of route `/d` cannot be `${COND}`
              ┌─ flotilla.yaml:8:27
            8 │     /d: { to: api, allow: '${COND}' }
              │                           ^^^^^^^^^^ `request` has no `metod` (do you mean `method`?)
            warning[F035]: `allow` looks at claims, and this route takes no token
              ┌─ flotilla.yaml:9:28
            9 │     /e: { to: api, allow: "claims.admin == true" }
              │                            ^^^^^^ always empty
              help: write `auth: { jwt: … }` here or under `gateway:`
        "#]],
    );
}

#[test]
fn limits_are_shown_where_they_are_wrong() {
    check(
        "\
services: { api: {} }
gateway:
  rate: 10/fortnight per ip
  routes:
    /a: { to: api, rate: [10/s per ip, 10/s per ip] }
    /b: { to: api, rate: ten a second }
    /c: { to: api, rate: 10/s by ip }
    /d: { to: api, rate: [off, 10/s] }
    /e: { to: api, rate: 0/s }
    /f: { to: api, rate: 10/s per key }
    /g: { to: api, rate: [1/s, 10/s per claim org] }
",
        expect![[r#"
            error[F004]: `gateway.rate` cannot be `10/fortnight per ip`
              ┌─ flotilla.yaml:3:12
            3 │   rate: 10/fortnight per ip
              │            ^^^^^^^^^ a unit of time is expected here: ms, s, min, h or d
            error[F004]: these limits cannot be kept
              ┌─ flotilla.yaml:5:26
            5 │     /a: { to: api, rate: [10/s per ip, 10/s per ip] }
              │                          ^^^^^^^^^^^^^^^^^^^^^^^^^^ the limit `10/s per ip` stands there twice
            error[F004]: `rate` of route `/b` cannot be `ten a second`
              ┌─ flotilla.yaml:6:26
            6 │     /b: { to: api, rate: ten a second }
              │                          ^^^ a number from 1 to 1000000 is expected here, as in `10/min per ip`
            error[F004]: `rate` of route `/c` cannot be `10/s by ip`
              ┌─ flotilla.yaml:7:31
            7 │     /c: { to: api, rate: 10/s by ip }
              │                               ^^ `per …` or `burst …` is expected here
            error[F004]: `off` beside other limits
              ┌─ flotilla.yaml:8:27
            8 │     /d: { to: api, rate: [off, 10/s] }
              │                           ^^^
              help: remove one of them
            error[F004]: `rate` of route `/e` cannot be `0/s`
              ┌─ flotilla.yaml:9:26
            9 │     /e: { to: api, rate: 0/s }
              │                          ^^^ a number from 1 to 1000000 is expected here, as in `10/min per ip`
            warning[F035]: this limit counts by who somebody is, and nobody has to say it here
               ┌─ flotilla.yaml:10:26
            10 │     /f: { to: api, rate: 10/s per key }
               │                          ^^^^^^^^^^^^ counted by address instead
               help: write `auth:` here or under `gateway:`, or `per ip`
            warning[F035]: this limit counts by who somebody is, and nobody has to say it here
               ┌─ flotilla.yaml:11:26
            11 │     /g: { to: api, rate: [1/s, 10/s per claim org] }
               │                          ^^^^^^^^^^^^^^^^^^^^^^^^^ counted by address instead
               help: write `auth:` here or under `gateway:`, or `per ip`
        "#]],
    );
}

#[test]
fn ways_to_prove_who_one_is_must_be_whole() {
    check(
        "\
services: { api: {} }
gateway:
  auth:
    jwt: { jwks: jwks.json, secret: x, algorithms: none }
    api_keys: { keys: { a: \"sha256:12\", b: plain } }
    basic: { users: { ann: secret, 'a:b': \"$2b$12$WApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9lZ1u0yE3a6C\", bob: \"$2b$04$WApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9lZ1u0yE3a6C\" } }
  routes:
    /a: { to: api, auth: {} }
    /b: { to: api, auth: { jwt: {} } }
    /c: { to: api, auth: { jwt: { jwks: jwks.json } } }
    /d: { to: api, auth: { jwt: { jwks: jwks.jsn } } }
    /e: { to: api, auth: { jwt: { jwks: \"ftp://id.example/\" } } }
    /f: { to: api, auth: { jwt: { jwks: \"http://id.example/jwks\" } } }
    /g: { to: api, auth: { jwt: { secret: \"${SECRET}\" } } }
    /h: { to: api, auth: { jwt: { jwks: \"https://id.example/\", algorithms: [HS256], cookie: a, header: B } } }
    /i: { to: api, auth: { api_keys: {}, jwt: { secret: 0123456789abcdef0123456789abcdef, algorithms: RS256, claim_headers: { 'a b': sub } } } }
    /j: { to: api, auth: digest }
",
        expect![[r#"
            error[F004]: `jwt` has both `jwks` and `secret`
              ┌─ flotilla.yaml:4:37
            4 │     jwt: { jwks: jwks.json, secret: x, algorithms: none }
              │                                     ^
              help: remove one of them
            error[F004]: `gateway.auth.jwt.algorithms` cannot be `none`
              ┌─ flotilla.yaml:4:52
            4 │     jwt: { jwks: jwks.json, secret: x, algorithms: none }
              │                                                    ^^^^ must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512
            error[F004]: client `a` cannot be used
              ┌─ flotilla.yaml:5:25
            5 │     api_keys: { keys: { a: "sha256:12", b: plain } }
              │                         ^ the hash of key `a` is not `sha256:` with 64 hex digits
            error[F004]: client `b` cannot be used
              ┌─ flotilla.yaml:5:41
            5 │     api_keys: { keys: { a: "sha256:12", b: plain } }
              │                                         ^ the hash of key `b` is not `sha256:` with 64 hex digits
            error[F004]: user `ann` cannot be used
              ┌─ flotilla.yaml:6:23
            6 │     basic: { users: { ann: secret, 'a:b': "$2b$12$WApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9lZ1u0yE3a6C", bob:…
              │                       ^^^ the password of user `ann` is no bcrypt hash (as `htpasswd -nB -C 12` makes)
            error[F004]: user `a:b` cannot be used
              ┌─ flotilla.yaml:6:36
            6 │     basic: { users: { ann: secret, 'a:b': "$2b$12$WApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9lZ1u0yE3a6C", bob:…
              │                                    ^^^^^ `a:b` cannot be a user's name
            error[F004]: user `bob` cannot be used
              ┌─ flotilla.yaml:6:107
            6 │ …ApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9lZ1u0yE3a6C", bob: "$2b$04$WApznUPhDubN0oeveSXHp.Nj6Hs8a0b1kTsf3eHbQ9…
              │                                                         ^^^ the bcrypt hash of user `bob` has cost 4, and 10 to 14 are allowed (as `htpasswd -nB -C 12` makes)
            error[F004]: `auth` names no way to prove who one is
              ┌─ flotilla.yaml:8:26
            8 │     /a: { to: api, auth: {} }
              │                          ^^
              help: write `jwt:`, `api_keys:` or `basic:` below, or `auth: none`
            error[F004]: `jwt` has no keys to check signatures with
              ┌─ flotilla.yaml:9:28
            9 │     /b: { to: api, auth: { jwt: {} } }
              │                            ^^^
              help: write `jwks:` with a URL or a file, or `secret:`
            error[F033]: `jwks.json` has no keys for tokens
               ┌─ flotilla.yaml:10:41
            10 │     /c: { to: api, auth: { jwt: { jwks: jwks.json } } }
               │                                         ^^^^^^^^^ a key set without `keys`
               help: name a JSON Web Key Set, or public keys in PEM form
            error[F010]: `jwks.jsn` does not exist
               ┌─ flotilla.yaml:11:41
            11 │     /d: { to: api, auth: { jwt: { jwks: jwks.jsn } } }
               │                                         ^^^^^^^^ did you mean `jwks.json`?
            error[F004]: keys cannot be had from there
               ┌─ flotilla.yaml:12:41
            12 │     /e: { to: api, auth: { jwt: { jwks: "ftp://id.example/" } } }
               │                                         ^^^^^^^^^^^^^^^^^^^^ keys come by http, https or from a file
               help: write `https://host/path`
            warning[F033]: keys are fetched without TLS
               ┌─ flotilla.yaml:13:41
            13 │     /f: { to: api, auth: { jwt: { jwks: "http://id.example/jwks" } } }
               │                                         ^^^^^^^^^^^^^^^^^^^^^^^^^ who can change what is sent can make tokens
               help: write `https://`
            error[F033]: this is no secret for tokens
               ┌─ flotilla.yaml:14:43
            14 │     /g: { to: api, auth: { jwt: { secret: "${SECRET}" } } }
               │                                           ^^^^^^^^^^^^ an HMAC secret below 32 bytes
               help: make one with `openssl rand -hex 32`
            error[F004]: HS256 has a secret, which nobody publishes
               ┌─ flotilla.yaml:15:41
            15 │     /h: { to: api, auth: { jwt: { jwks: "https://id.example/", algorithms: [HS256], cookie: a, header: B } } }
               │                                         ^^^^^^^^^^^^^^^^^^^^^
               help: write `secret:` instead of `jwks:`
            error[F004]: a token stands either in a cookie or in a header
               ┌─ flotilla.yaml:15:104
            15 │     /h: { to: api, auth: { jwt: { jwks: "https://id.example/", algorithms: [HS256], cookie: a, header: B } } }
               │                                                                                                        ^
               help: remove one of them
            error[F004]: `api_keys` has no client, so nobody could pass
               ┌─ flotilla.yaml:16:28
            16 │     /i: { to: api, auth: { api_keys: {}, jwt: { secret: 0123456789abcdef0123456789abcdef, algorithms: RS256, c…
               │                            ^^^^^^^^
               help: write `keys: { name: … }`
            error[F004]: RS256 has public keys and no secret
               ┌─ flotilla.yaml:16:57
            16 │ …   /i: { to: api, auth: { api_keys: {}, jwt: { secret: 0123456789abcdef0123456789abcdef, algorithms: RS256, cl…
               │                                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
               help: write `jwks:` with public keys, or HS256, HS384 or HS512
            error[F004]: `a b` is not the name of a header
               ┌─ flotilla.yaml:16:127
            16 │ …s: {}, jwt: { secret: 0123456789abcdef0123456789abcdef, algorithms: RS256, claim_headers: { 'a b': sub } } } }
               │                                                                                              ^^^^^ `a b` is no field name: ` ` may not stand in one
            error[F004]: `auth` of route `/j` cannot be `digest`
               ┌─ flotilla.yaml:17:26
            17 │     /j: { to: api, auth: digest }
               │                          ^^^^^^ must be one of none, jwt, api_keys, basic
        "#]],
    );
}

#[test]
fn a_route_can_only_choose_what_the_gateway_has() {
    check(
        "\
services: { api: {} }
gateway:
  auth: jwt
  routes:
    /a: { to: api, auth: [jwt, basic] }
    /b: { to: api, scopes: [orders] }
",
        expect![[r#"
            error[F004]: `jwt` is not described
              ┌─ flotilla.yaml:3:9
            3 │   auth: jwt
              │         ^^^
              help: write `auth: { jwt: … }`
            error[F004]: the gateway has no `jwt`
              ┌─ flotilla.yaml:5:27
            5 │     /a: { to: api, auth: [jwt, basic] }
              │                           ^^^
              help: write `auth: { jwt: … }` under `gateway:`, or here
            error[F004]: the gateway has no `basic`
              ┌─ flotilla.yaml:5:32
            5 │     /a: { to: api, auth: [jwt, basic] }
              │                                ^^^^^
              help: write `auth: { basic: … }` under `gateway:`, or here
            error[F034]: `scopes` are in tokens, and this route takes none
              ┌─ flotilla.yaml:6:20
            6 │     /b: { to: api, scopes: [orders] }
              │                    ^^^^^^ nobody could pass
              help: write `auth: { jwt: … }` here or under `gateway:`
        "#]],
    );
}

#[test]
fn what_pages_may_do_is_checked_as_browsers_do() {
    check(
        "\
services: { api: {} }
gateway:
  routes:
    /a: { to: api, cors: { origins: \"*\", credentials: true } }
    /b: { to: api, cors: {} }
    /c: { to: api, cors: { origins: [https://a.example, shop.example/] } }
    /d: { to: api, cors: { origins: https://a.example, headers: [X-A, 'X B'], max_age: 30d } }
    /e: { to: api, cors: { origins: https://a.example, max_age: 30d } }
    /f: { to: api, cors: { origin: https://a.example } }
",
        expect![[r#"
            error[F004]: this `cors` cannot be
              ┌─ flotilla.yaml:4:37
            4 │     /a: { to: api, cors: { origins: "*", credentials: true } }
              │                                     ^^^ origin `*` with `credentials: true` would let every page act as its visitor: list the origins
            error[F004]: this `cors` cannot be
              ┌─ flotilla.yaml:5:26
            5 │     /b: { to: api, cors: {} }
              │                          ^^ `origins` is empty: no page could do anything
            error[F004]: this `cors` cannot be
              ┌─ flotilla.yaml:6:57
            6 │     /c: { to: api, cors: { origins: [https://a.example, shop.example/] } }
              │                                                         ^^^^^^^^^^^^^ `shop.example/` is no origin: an origin begins with a scheme: https://shop.example/
            error[F004]: this `cors` cannot be
              ┌─ flotilla.yaml:7:88
            7 │     /d: { to: api, cors: { origins: https://a.example, headers: [X-A, 'X B'], max_age: 30d } }
              │                                                                                        ^^^ browsers remember a preflight for at most a day (86400 s)
            error[F004]: this `cors` cannot be
              ┌─ flotilla.yaml:8:65
            8 │     /e: { to: api, cors: { origins: https://a.example, max_age: 30d } }
              │                                                                 ^^^ browsers remember a preflight for at most a day (86400 s)
            error[F004]: this `cors` cannot be
              ┌─ flotilla.yaml:9:26
            9 │     /f: { to: api, cors: { origin: https://a.example } }
              │                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `origins` is empty: no page could do anything
            error[F002]: unknown key `origin` in `cors` of route `/f`
              ┌─ flotilla.yaml:9:28
            9 │     /f: { to: api, cors: { origin: https://a.example } }
              │                            ^^^^^^
              help: write `origins:`
        "#]],
    );
}

#[test]
fn headers_that_are_not_the_files_to_change_are_refused() {
    check(
        "\
services: { api: {} }
gateway:
  request_headers: { set: { Content-Length: 1 } }
  response_headers: { remove: ['A B'], add: { X: \"a\\nb\" } }
  routes:
    /a: { to: api, request_headers: { set: { X-A: 1 }, remove: [x-a] } }
    /b: { to: api, request_headers: { set: { X-A: \"{nobody}\" } } }
    /c: { to: api, headers: { set: { X: y } } }
",
        expect![[r#"
            error[F004]: this header cannot be changed so
              ┌─ flotilla.yaml:3:29
            3 │   request_headers: { set: { Content-Length: 1 } }
              │                             ^^^^^^^^^^^^^^ `content-length` cannot be changed here: it says where the message ends, and the data plane writes it
            error[F004]: this header cannot be changed so
              ┌─ flotilla.yaml:4:32
            4 │   response_headers: { remove: ['A B'], add: { X: "a\nb" } }
              │                                ^^^^^ not a field name: `A B` is no field name: ` ` may not stand in one
            error[F004]: this header cannot be changed so
              ┌─ flotilla.yaml:6:65
            6 │     /a: { to: api, request_headers: { set: { X-A: 1 }, remove: [x-a] } }
              │                                                                 ^^^ `x-a` is changed twice
            error[F004]: this header cannot be changed so
              ┌─ flotilla.yaml:7:46
            7 │     /b: { to: api, request_headers: { set: { X-A: "{nobody}" } } }
              │                                              ^^^ the value of `x-a` cannot be sent: `{nobody}` at 0 is no variable: there are client, method, scheme, host, path, query, subject and request_id; write `{{` for a brace
            error[F003]: `headers.set` of route `/c` has the wrong type
              ┌─ flotilla.yaml:8:36
            8 │     /c: { to: api, headers: { set: { X: y } } }
              │                                    ^^^^^^^^ this is a map
              help: write a text
        "#]],
    );
}
