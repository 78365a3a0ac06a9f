//! Every endpoint of the table, what it does and what it refuses.

use super::{schema::errors, *};
use crate::{app::tests::transactions::samples, client, openapi, routes};
use http::Method;
use serde_json::{Value, json};

/// A request for each operation of the table: path and body.
fn sample(operation: &str) -> (&'static str, &'static str) {
    match operation {
        "health" => ("/v1/health", ""),
        "system" => ("/v1/system", ""),
        "status" => ("/v1/status", ""),
        "services" => ("/v1/services", ""),
        "service" => ("/v1/services/users", ""),
        "instances" => ("/v1/services/users/instances", ""),
        "instance" => ("/v1/services/users/instances/1", ""),
        "events" => ("/v1/events?after=1", ""),
        "logs" => ("/v1/logs?service=users&tail=5&level=info&grep=l&stream=out&stream=err", ""),
        "traffic" => ("/v1/traffic", ""),
        "requests" => {
            ("/v1/requests?service=users&status=5xx&status=404&path=/a&slower=1ms&tail=5", "")
        }
        "top" => ("/v1/top", ""),
        "openapi" => ("/v1/openapi.json", ""),
        "restart_service" => ("/v1/services/users/restart", ""),
        "start_service" => ("/v1/services/users/start", "{}"),
        "stop_service" => ("/v1/services/users/stop", ""),
        "scale_service" => ("/v1/services/users/scale", r#"{"instances":3}"#),
        "restart_instance" => ("/v1/instances/users/1/restart", ""),
        "restart_all" => ("/v1/restart", ""),
        "apply" => ("/v1/apply", r#"{"file":"flotilla.yaml","environment":"prod","dry_run":true}"#),
        "run" => ("/v1/run", r#"{"service":"users","shell":"echo hi","env":{"A":"1"}}"#),
        "restart_node" => ("/v1/node/restart", r#"{"program":"/x/flotilla","grace_ms":5}"#),
        "shutdown" => ("/v1/shutdown", ""),
        other => block_sample(other),
    }
}

/// The same for the building blocks. The order of the table is that of the calls.
fn block_sample(operation: &str) -> (&'static str, &'static str) {
    match operation {
        "stores" => ("/v1/stores", ""),
        "kv" => ("/v1/kv", ""),
        "scan_state" => ("/v1/state/statestore/keys?prefix=a&after=a&limit=5&service=users", ""),
        "get_states" => ("/v1/state/statestore/get", r#"{"keys":["a","b"]}"#),
        "put_states" => (
            "/v1/state/statestore/put",
            r#"{"items":[{"key":"a","put":{"value":{"x":[1,null]},"ttl_ms":60000}},
                {"key":"b","put":{"text":"t","expect":{"etag":"9"},"content_type":"text/plain"}}]}"#,
        ),
        "transact_state" => (
            "/v1/state/statestore/transact?service=users",
            r#"{"operations":[{"put":{"key":"a","put":{"base64":"/w==","expect":{"missing":true}}}},
                {"delete":{"key":"b"}}]}"#,
        ),
        "state_value" => ("/v1/state/statestore/keys/a", ""),
        "put_state" => ("/v1/state/statestore/keys/a", r#"{"value":null}"#),
        "delete_state" => ("/v1/state/statestore/keys/a", ""),
        "locks" => ("/v1/locks/lockstore?prefix=r&limit=5", ""),
        "lock" => ("/v1/locks/lockstore/r", ""),
        "acquire_lock" => (
            "/v1/locks/lockstore/r/acquire",
            r#"{"owner":"o","ttl_ms":60000,"wait_ms":5,"value":"v","outlives":true}"#,
        ),
        "renew_lock" => ("/v1/locks/lockstore/held/renew", r#"{"owner":"o","token":TOKEN}"#),
        "release_lock" => ("/v1/locks/lockstore/r/release", r#"{"owner":"o"}"#),
        "config" => ("/v1/config/configstore?key=a&key=b", ""),
        "config_value" => ("/v1/config/configstore/keys/a", ""),
        "set_config" => {
            ("/v1/config/configstore/keys/a", r#"{"value":"2","metadata":{"m":"n"},"expected":1}"#)
        }
        "delete_config" => ("/v1/config/configstore/keys/a?expected=2", ""),
        "config_history" => ("/v1/config/configstore/keys/a/history", ""),
        "config_diff" => ("/v1/config/configstore/keys/a/diff?from=1&to=2", ""),
        "rollback_config" => ("/v1/config/configstore/keys/a/rollback", r#"{"to":1}"#),
        "secrets" => ("/v1/secrets/secretstore", ""),
        "secret" => ("/v1/secrets/secretstore/s?reveal=true", ""),
        "set_secret" => ("/v1/secrets/secretstore/t", r#"{"value":"hunter23"}"#),
        "delete_secret" => ("/v1/secrets/secretstore/s", ""),
        "rotate_secrets" => ("/v1/secrets/rotate", ""),
        other => event_sample(other),
    }
}

/// The same for topics, streams and jobs.
fn event_sample(operation: &str) -> (&'static str, &'static str) {
    match operation {
        "broker" => ("/v1/broker", ""),
        "topics" => ("/v1/topics", ""),
        "topic" => ("/v1/topics/orders", ""),
        "remove_topic" => ("/v1/topics/spare", ""),
        "purge_topic" => ("/v1/topics/orders/purge", r#"{"before":2}"#),
        "topic_groups" => ("/v1/topics/orders/groups", ""),
        "seek_group" => ("/v1/topics/orders/groups/mail/seek", r#"{"to":"end"}"#),
        "remove_group" => ("/v1/topics/orders/groups/old", ""),
        "subscriptions" => ("/v1/subscriptions?service=users", ""),
        "relays" => ("/v1/relays", ""),
        "publish" => (
            "/v1/topics/orders/messages",
            r#"{"data":{"x":[1,null]},"id":"i","key":"k","type":"t","source":"s","subject":"u",
                "content_type":"application/json","extensions":{"a":"b"},"after_ms":0,"ttl_ms":60000}"#,
        ),
        "messages" => ("/v1/topics/orders/messages?from=-1h&limit=5", ""),
        "dead_letters" => ("/v1/topics/orders/dead?from=1&limit=5", ""),
        "redrive" => ("/v1/topics/orders/dead/redrive", r#"{"limit":5}"#),
        "later" => ("/v1/topics/orders/later?limit=5", ""),
        "cancel_later" => ("/v1/topics/orders/later/none", ""),
        "streams" => ("/v1/streams?prefix=a&from=a&limit=5", ""),
        "stream" => ("/v1/streams/a-1", ""),
        "stream_events" => ("/v1/streams/a-1/events?from=0&direction=forwards&limit=5", ""),
        "append" => (
            "/v1/streams/a-1/events",
            r#"{"expected":"exists","events":[{"type":"t","id":"i","tags":["a"],"text":"x","metadata":{}}]}"#,
        ),
        "stream_snapshot" => ("/v1/streams/a-1/snapshot", ""),
        "all_stream_events" => (
            "/v1/stream-events?from=1&category=a&type=t&type=u&tag=a&direction=backwards&limit=5",
            "",
        ),
        "stream_subscriptions" => ("/v1/stream-subscriptions", ""),
        "reset_stream_subscription" => {
            ("/v1/stream-subscriptions/totals/reset", r#"{"position":1}"#)
        }
        "jobs" => ("/v1/jobs?owner=file", ""),
        "job" => ("/v1/jobs/file/nightly", ""),
        "run_job" => ("/v1/jobs/file/nightly/run", ""),
        "delete_job" => ("/v1/jobs/users/remind", ""),
        other => samples::sample(other),
    }
}

#[tokio::test]
async fn every_endpoint_answers_as_the_document_says() {
    let setup = setup().await;
    setup.fake.happen("started");
    setup.fake.happen("ready");
    setup.fake.print(["line 1".into(), "ERROR line 2".into()]);
    setup.fake.answered("/a/b", 503);
    let document = openapi::document();
    let bearer = bearer();
    let table = routes::table();
    let token = fill(&setup).await;
    for endpoint in table.iter().filter(|endpoint| !endpoint.is_stream) {
        let (path, body) = sample(endpoint.operation);
        let body = &body.replace("TOKEN", &token);
        let request = format!("{} {path}", endpoint.method);
        let headers = [HOST, &bearer, "Content-Type: application/json; charset=utf-8"];
        let answer = raw(setup.address, &request, &headers, body).await;
        assert_eq!(answer.status, endpoint.status.as_u16(), "{request}: {}", answer.body);
        let value: Value = serde_json::from_str(&answer.body).unwrap();
        let method = endpoint.method.as_str().to_ascii_lowercase();
        let operation = &document["paths"][endpoint.path][&method];
        assert_eq!(operation["operationId"], endpoint.operation);
        let content = &operation["responses"][answer.status.to_string()]["content"];
        let schema = &content["application/json"]["schema"];
        assert_eq!(errors(&document, schema, &value, request.as_str()), Vec::<String>::new());
        if !body.is_empty() && endpoint.request.is_some() {
            let body: Value = serde_json::from_str(body).unwrap();
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert_eq!(errors(&document, schema, &body, "body"), Vec::<String>::new());
        }
    }
    assert_eq!(
        setup.fake.calls(),
        [
            "restart Service(users)",
            "start users",
            "stop users",
            "scale users 3",
            "restart Instance(users/1)",
            "restart All",
            "Apply { file: Some(\"flotilla.yaml\"), environment: Some(\"prod\"), dry_run: true }",
            "run Some(Shell(\"echo hi\")) {\"A\": \"1\"}",
            "Replace { program: Some(\"/x/flotilla\"), grace: 5ms }",
            "shutdown",
        ]
    );
}

/// Puts something into the stores that the samples ask for, and returns the token of the lock `held`.
async fn fill(setup: &Setup) -> String {
    let all = Backend::coordination(&*setup.fake);
    let config = all.configuration();
    config
        .set("configstore", "a", "1", std::collections::BTreeMap::new(), None, "t")
        .await
        .unwrap();
    let secret = coordination::Secret::new("hunter22");
    all.secrets().set("secretstore", "s", secret).await.unwrap();
    let minute = Duration::from_secs(60);
    let request = coordination::LockRequest::new("lockstore", "held", "o", minute);
    let grant = all.locks().try_acquire(&request).await.unwrap().unwrap();
    engines::fill(&setup.fake.messaging.1).await;
    samples::fill(&setup.fake.transactions.1).await;
    grant.token.to_string()
}

#[tokio::test]
async fn the_client_reads_what_the_server_writes() {
    let Setup { fake, client, .. } = &setup().await;
    fake.happen("started");
    fake.print((1..=30).map(|number| format!("line {number}")));
    assert_eq!(client.system().await.unwrap(), fake.system());
    let expected = wire::Status::from(&picture(1));
    assert_eq!(client.status().await.unwrap(), expected);
    assert_eq!(client.services().await.unwrap().services, expected.services);
    assert_eq!(client.service("users").await.unwrap(), expected.services[0]);
    let instances = client.instances("users").await.unwrap().instances;
    assert_eq!(instances, expected.services[0].instances);
    let id = InstanceId::parse("users/1").unwrap();
    assert_eq!(client.instance(&id).await.unwrap(), instances[0]);
    assert_eq!(client.traffic().await.unwrap(), fake.traffic());
    let top = client.top().await.unwrap();
    assert_eq!(top.instances[0].instance, "users/1");
    assert_eq!(top.instances[0].traffic.unwrap().requests, 9);
    assert_eq!(client.openapi().await.unwrap(), openapi::document());
    let events = client.events(0).await.unwrap();
    assert_eq!((events.events.len(), events.next), (1, 1));

    let question = wire::LogQuery {
        services: vec!["users".into()],
        instances: vec!["cleanup/1".into()],
        streams: vec![wire::Stream::Out],
        since: Some("2020-01-01T00:00:00Z".into()),
        until: Some("1s".into()),
        grep: Some("LINE 1".into()),
        ignore_case: true,
        tail: Some(5),
        limit: Some(2),
        ..wire::LogQuery::default()
    };
    let page = client.logs(&question).await.unwrap();
    let texts: Vec<&str> = page.lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["line 15", "line 16"]);
    assert!(page.more);
    let rest = wire::LogQuery { after: Some(page.next), tail: None, limit: None, ..question };
    let page = client.logs(&rest).await.unwrap();
    assert_eq!((page.lines.len(), page.more, page.next), (3, false, 30));

    assert_eq!(client.restart_service("users").await.unwrap().revision, 1);
    client.restart_instance(&id).await.unwrap();
    client.restart_all().await.unwrap();
    client.start_service("users").await.unwrap();
    client.stop_service("users").await.unwrap();
    client.scale("users", 4).await.unwrap();
    let applied = client.apply(&wire::Apply::default()).await.unwrap();
    assert_eq!(applied.changes[0].action, wire::Action::Replace);
    assert_eq!(applied.warnings[0].code, "F022");
    let command = Some(vec!["ls".to_owned(), "-l".to_owned()]);
    let run = wire::Run { service: "users".into(), command, ..wire::Run::default() };
    let started = client.run(&run).await.unwrap();
    assert_eq!((started.instance.as_str(), started.events_after), ("users/7", 1));
    client.shutdown().await.unwrap();
    assert_eq!(fake.calls().len(), 9);
}

#[tokio::test]
async fn a_broken_file_is_answered_with_everything_that_is_wrong() {
    let Setup { fake, client, .. } = &setup().await;
    let request = wire::Apply { file: Some("broken.yaml".into()), ..wire::Apply::default() };
    let refused = client.apply(&request).await.unwrap_err();
    let client::Error::Api { status, body } = refused else { panic!("{refused:?}") };
    assert_eq!((status, body.code.as_str()), (422, "F006"));
    assert_eq!(body.message, "`userz` is no service (and 1 more)");
    assert_eq!(body.help.as_deref(), Some("write `users`"));
    let back: Vec<Diagnostic> = body.diagnostics.iter().map(Into::into).collect();
    assert_eq!(back, broken_file());
    assert!(body.diagnostics[2].rendered.contains("flotilla.yaml:3:5"));
    assert!(fake.calls().is_empty());
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_reason_and_help() {
    let setup = setup().await;
    let bearer = bearer();
    let json = "Content-Type: application/json";
    for (request, body, status, code, words) in [
        ("GET /v1/services/userz", "", 404, "not_found", "did you mean `users`?"),
        ("GET /v1/services/NO_NAME", "", 404, "not_found", "no service `NO_NAME`"),
        ("GET /v1/services/users/instances/9", "", 404, "not_found", "there are users/1"),
        ("GET /v1/services/users/instances/x", "", 404, "not_found", "no instance `users/x`"),
        ("POST /v1/services/userz/restart", "", 404, "not_found", "did you mean `users`?"),
        ("GET /v1/servics", "", 404, "not_found", "did you mean `/v1/services`?"),
        ("GET /v1/services/", "", 404, "not_found", "no service ``"),
        ("GET /v2", "", 404, "not_found", "/v1/openapi.json"),
        ("DELETE /v1/services/users", "", 405, "method_not_allowed", "use GET, HEAD"),
        ("GET /v1/restart", "", 405, "method_not_allowed", "use POST"),
        ("GET /v1/logs?servce=a", "", 400, "bad_request", "did you mean `service`?"),
        ("GET /v1/logs?stream=x", "", 400, "bad_request", "one of out, err, node"),
        ("GET /v1/logs?tail=x", "", 400, "bad_request", "a number from 0"),
        ("GET /v1/logs?tail=1&tail=2", "", 400, "bad_request", "given twice"),
        ("GET /v1/logs?limit=0", "", 400, "bad_request", "from 1 to 10000"),
        ("GET /v1/logs?since=noon", "", 400, "bad_request", "how long ago"),
        ("GET /v1/logs?service=A", "", 400, "bad_request", "`A`"),
        ("GET /v1/logs?follow=true&until=1s", "", 400, "bad_request", "exclude"),
        ("GET /v1/logs?grep=%g", "", 400, "bad_request", "broken % escape"),
        ("GET /v1/health?x", "", 400, "bad_request", "takes none"),
        ("POST /v1/restart", r#"{"a":1}"#, 400, "bad_request", "takes no body"),
        ("POST /v1/services/users/scale", "{", 400, "bad_request", "cannot be read"),
        ("POST /v1/services/users/scale", "", 400, "bad_request", "cannot be read"),
        ("POST /v1/services/users/scale", r#"{"instances":-1}"#, 400, "bad_request", "-1"),
        ("POST /v1/services/users/scale", r#"{"instances":1,"x":1}"#, 400, "bad_request", "`x`"),
        ("POST /v1/services/users/scale", r#"{"instances":999}"#, 422, "F004", "at most 100"),
        ("POST /v1/services/cleanup/start", "", 409, "conflict", "is running"),
        ("POST /v1/services/cleanup/stop", "", 503, "stopping", "being stopped"),
        ("POST /v1/run", r#"{"service":"users","command":[]}"#, 400, "bad_request", "empty"),
        (
            "POST /v1/run",
            r#"{"service":"users","command":["a"],"shell":"b"}"#,
            400,
            "bad_request",
            "together",
        ),
        ("POST /v1/run", r#"{"service":"user"}"#, 404, "not_found", "did you mean `users`?"),
    ] {
        let answer = raw(setup.address, request, &[HOST, &bearer, json], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{request} {body}");
        assert!(answer.body.contains(words), "{request}: {}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let wrong = raw(setup.address, "DELETE /v1/restart", &[HOST, &bearer], "").await;
    assert_eq!(wrong.header("allow"), Some("POST"));
    let text = [HOST, bearer.as_str(), "Content-Type: text/plain"];
    let form =
        raw(setup.address, "POST /v1/services/users/scale", &text, r#"{"instances":1}"#).await;
    assert_eq!(form.status, 415);
    assert!(setup.fake.calls().is_empty());
}

#[test]
fn the_document_has_each_endpoint_once_and_is_committed() {
    let document = openapi::document();
    let table = routes::table();
    let mut operations: Vec<&str> = table.iter().map(|endpoint| endpoint.operation).collect();
    operations.sort_unstable();
    operations.dedup();
    assert_eq!(operations.len(), table.len());
    for endpoint in &table {
        assert!(matches!(
            endpoint.method,
            Method::GET | Method::POST | Method::PUT | Method::DELETE
        ));
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(schema.get("description").is_some() || schema.get("oneOf").is_some(), "{name}");
    }
    assert_eq!(document["openapi"], json!("3.1.0"));

    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let text = serde_json::to_string_pretty(&document).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == text, "docs/openapi.json is old: run `UPDATE=1 cargo test -p api`");
}
