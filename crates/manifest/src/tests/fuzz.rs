//! Whatever the file holds, reading it ends and does not panic.

use super::{Folder, options};
use crate::{Options, json_schema};
use proptest::prelude::*;

const FILES: &[(&str, &str)] = &[
    ("flotilla.yaml", include_str!("shop.yaml")),
    ("flotilla.yaml", EVENTS),
    ("flotilla.yaml", TRANSACTIONS),
    ("compose.yaml", include_str!("compose.yaml")),
    ("Procfile", "release: ./migrate\nweb: ./web -p $PORT\nworker: ./work\n"),
    ("dapr.yaml", include_str!("dapr.yaml")),
];

const EVENTS: &str = "\
services:
  users: { db: sqlite, outbox: { topic: 'a.{aggregatetype}' }, subscribes: { a: POST /a, b: { routes: [{ when: event.type == 'x', to: /b }], order: all } } }
  web: { run: x, subscribes: { events:account: { types: [x], tags: [y], to: /c }, events:*: /d } }
topics: { a: { retain: 7d, max: 1GiB, dedup: 2m, retry: { max: 5, backoff: 1s..1m }, dead_letter: b }, b: { retain: forever }, auto: true }
schedules: { s: { cron: '0 3 * * *', zone: UTC, call: POST web/run, data: { a: [1, b, null] } }, t: { every: 5m, publish: a, missed: skip } }
engines: { broker: { url: 'nats://a,b:1', user: u, password: '${secret:P}', replicas: 3 } }
";

const TRANSACTIONS: &str = "\
services: { users: {}, web: { run: x } }
transactions:
  dtm: { http: 127.0.0.1:1, grpc: 2 }
  retain: 7d
  a: { timeout: 2m, retry: { base: 1s, max: 9s, attempts: 3, then: abort }, steps: [{ id: x, call: POST users/x, undo: web/y, after: [], body: { a: '{{input.a}}' } }, { id: y, after: x, call: 'GET http://h:1/{{steps.x.body.id}}' }, { put: { key: '{{input.k}}', etag: '' } }, { holds: { lock: l, token: '{{input.t}}' } }] }
  b: { mode: tcc, steps: [{ participant: users/tx, reserve: 30s }] }
  c: { mode: 3pc, profile: classic, steps: [{ participant: grpc://users/a.B/C }] }
  d: { mode: msg, query: GET web/q, delay: 10s, headers: { x-a: b }, steps: [{ call: users/x }] }
";

fn load(name: &str, bytes: &[u8]) {
    let folder = Folder::new(&[("users/app.py", "")]);
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let prod = Options { environment: Some("prod".to_owned()), ..options(&[("A", "1")]) };
    for options in [options(&[]), prod] {
        if let Err(told) = folder.load(name, &options) {
            assert!(!told.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(at in 0..FILES.len(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        load(FILES[at].0, &bytes);
    }

    #[test]
    fn any_yaml_like_text_is_read_without_a_panic(
        at in 0..FILES.len(),
        parts in proptest::collection::vec(
            prop::sample::select(vec![
                "services", "jobs", "gateway", "routes", "x", ":", ": ", "\n", "\n  ", "\n    ", "- ", "{", "}", "[", "]", ", ", "&a ", "*a",
                "<<: ", "? ", "| ", "> ", "'", "\"", "${", "}", "$$", "#", "!t ", "---\n", "\t", "run", "needs", "1", "é", "\u{feff}",
            ]),
            0..60,
        ),
    ) {
        load(FILES[at].0, parts.concat().as_bytes());
    }

    #[test]
    fn a_good_file_with_a_part_exchanged_is_read_without_a_panic(
        at in 0..FILES.len(),
        from in 0_usize..1_500,
        length in 0_usize..30,
        with in "[ -~\\n]{0,12}",
    ) {
        let (name, text) = FILES[at];
        let mut bytes = text.as_bytes().to_vec();
        let from = from % bytes.len();
        let to = (from + length).min(bytes.len());
        bytes.splice(from..to, with.bytes());
        load(name, &bytes);
    }
}

#[test]
fn the_schema_is_made_without_a_panic() {
    assert!(json_schema().is_object());
}
