//! Requests on their way into the file.

use super::*;
use base::{InstanceId, ServiceName, Timestamp};
use proxy::record::{Protocol, Record};
use serde_json::{Value, json};
use std::{fs, future::Future};

fn record() -> Record {
    Record {
        at: Timestamp(1_772_357_400_250_000),
        method: "GET".into(),
        host: "shop.example".into(),
        path: "/users".into(),
        query: Some("page=2&token=hidden".into()),
        status: 200,
        duration: Duration::from_micros(1_250),
        first_byte: Some(Duration::from_micros(1_000)),
        bytes_in: 3,
        bytes_out: 512,
        client: "[::ffff:192.0.2.7]:4711".parse().unwrap(),
        protocol: Protocol::Http2,
        is_tls: true,
        caller: None,
        route: Some("/users".into()),
        service: Some(ServiceName::new("users").unwrap()),
        instance: Some(InstanceId::parse("users/1").unwrap()),
        retries: 1,
        trace: Some("0123456789abcdef0123456789abcdef".into()),
        user_agent: Some("curl\n{\"x\":1}\u{1b}".into()),
        referer: Some("https://shop.example/in?code=hidden".into()),
        refusal: None,
        error: None,
    }
}

fn note(requests: &Requests, record: &Record) {
    requests.record(0, &record.summary(), || record.clone());
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    within(found).await
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work).await.expect("in time")
}

#[tokio::test]
async fn each_request_from_outside_is_a_line_with_the_common_fields_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let requests = Requests::new(1);
    let (log, handle) = AccessLog::start(requests.clone());
    handle.write_to(Some(&path)).unwrap();
    note(&requests, &record());
    let caller = Some(ServiceName::new("web").unwrap());
    note(&requests, &Record { caller, path: "/inner".into(), ..record() });
    let refused = Record {
        status: 503,
        path: "/refused".into(),
        query: None,
        referer: None,
        user_agent: None,
        trace: None,
        instance: None,
        first_byte: None,
        retries: 0,
        refusal: Some("no_instance"),
        ..record()
    };
    note(&requests, &refused);
    note(&requests, &Record { status: 0, path: "/gone".into(), ..refused.clone() });
    // What is queued at the end is written.
    within(log.shutdown()).await;
    let all = lines(&path);
    assert_eq!(all.len(), 3, "{all:#?}");
    assert_eq!(
        all[0],
        json!({
            "@timestamp": "2026-03-01T09:30:00.250Z",
            "ecs": { "version": "8.11.0" },
            "event": {
                "dataset": "flotilla.access", "kind": "event", "category": ["web"], "type": ["access"],
                "outcome": "success", "duration": 1_250_000,
            },
            "http": {
                "version": "2",
                "request": {
                    "method": "GET", "body": { "bytes": 3 },
                    "referrer": "https://shop.example/in?code=REDACTED",
                },
                "response": { "status_code": 200, "body": { "bytes": 512 } },
            },
            "url": {
                "scheme": "https", "domain": "shop.example", "path": "/users",
                "query": "page=2&token=REDACTED",
            },
            "client": { "ip": "192.0.2.7", "port": 4711 },
            "user_agent": { "original": "curl\n{\"x\":1}\u{1b}" },
            "trace": { "id": "0123456789abcdef0123456789abcdef" },
            "service": { "name": "users", "node": { "name": "users/1" } },
            "flotilla": { "route": "/users", "first_byte": 1_000_000, "retries": 1 },
        })
    );
    assert_eq!(all[1]["event"]["outcome"], "failure");
    assert_eq!(all[1]["flotilla"], json!({ "route": "/users", "refusal": "no_instance" }));
    assert_eq!(all[2]["http"]["response"], json!({ "body": { "bytes": 512 } }));
}

#[tokio::test]
async fn the_file_can_be_changed_and_switched_off_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("logs/other"));
    let requests = Requests::new(1);
    let (log, handle) = AccessLog::start(requests.clone());
    let noted = |path: &str| note(&requests, &Record { path: path.into(), ..record() });
    let paths = |file: &Path| -> Vec<String> {
        lines(file).iter().map(|line| line["url"]["path"].as_str().unwrap().to_owned()).collect()
    };
    noted("/before");
    handle.write_to(Some(&one)).unwrap();
    noted("/one");
    handle.write_to(Some(&one)).unwrap();
    noted("/two");
    until(|| (lines(&one).len() == 2).then_some(())).await;
    handle.write_to(Some(&other)).unwrap();
    let refused = handle.write_to(Some(folder.path())).unwrap_err();
    assert_eq!(refused.path, folder.path());
    noted("/three");
    until(|| (lines(&other).len() == 1).then_some(())).await;
    handle.write_to(None).unwrap();
    handle.write_to(Some(&one)).unwrap();
    noted("/four");
    within(log.shutdown()).await;
    // What ends in the moment of a change may be in both.
    let own = |file: &Path, others: &str| -> Vec<String> {
        paths(file).into_iter().filter(|path| !others.contains(path.as_str())).collect()
    };
    assert_eq!(own(&one, "/three"), ["/one", "/two", "/four"]);
    assert_eq!(own(&other, "/four"), ["/three"]);
}

#[test]
fn missing_lines_are_counted_and_said_in_the_file_when_it_can_be_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gone/access.log");
    let requests = Requests::new(1);
    // A file stands where the folder should be.
    fs::write(folder.path().join("gone"), "").unwrap();
    let mut writer = Writer::new(&requests, path.clone(), None);
    let batch = |count: usize, dropped| Batch {
        records: std::iter::repeat_n(Arc::new(record()), count).collect(),
        dropped,
    };
    writer.write(&batch(3, 0));
    writer.write(&batch(0, 4));
    assert_eq!(writer.missing, 7);
    fs::remove_file(folder.path().join("gone")).unwrap();
    writer.write(&batch(2, 0));
    let all = lines(&path);
    assert_eq!(all.len(), 3);
    assert_eq!(all[0]["flotilla"]["missing"], 7);
    assert_eq!(all[0]["message"], "7 lines are missing here");
    assert_eq!((writer.missing, writer.said_at.is_some()), (0, true));
}
