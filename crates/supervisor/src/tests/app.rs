//! The app API of each instance, the secrets in its environment, and signals to all of a service.

use crate::{
    Phase,
    testing::{Make, Node, job, name, service},
};
use base::{Code, Place};
use manifest::{AppProtocol, Database, Secret};
use ports::host::Signal;
use std::time::Duration;

fn env(node: &Node, instance: &str, key: &str) -> String {
    node.world.spec(instance).env.get(key).cloned().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn every_instance_finds_an_app_api_of_its_own_in_its_environment() {
    let worker = service("worker", "ok").with(|s| {
        s.listens = false;
        s.api.app_id = "Work_Er".to_owned();
        s.api.protocol = AppProtocol::Grpc;
    });
    let own = service("own", "ok").env("DAPR_HTTP_PORT", "3500").env("APP_ID", "mine");
    let node = Node::ready(&[service("users", "ok").instances(2), worker, own]).await;
    let mut ports = Vec::new();
    for instance in ["users/1", "users/2"] {
        let get = |key| env(&node, instance, key);
        assert_eq!((get("APP_ID"), get("APP_PROTOCOL")), ("users".to_owned(), "http".to_owned()));
        assert_eq!(get("APP_PORT"), get("PORT"));
        for (port, endpoint) in
            [("DAPR_HTTP_PORT", "DAPR_HTTP_ENDPOINT"), ("DAPR_GRPC_PORT", "DAPR_GRPC_ENDPOINT")]
        {
            assert_eq!(get(endpoint), format!("http://127.0.0.1:{}", get(port)));
            ports.push(get(port));
        }
        assert_eq!((get("DAPR_API_TOKEN"), get("APP_API_TOKEN")), Default::default());
    }
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 4, "none has another's");
    let get = |key| env(&node, "worker/1", key);
    assert_eq!((get("APP_ID"), get("APP_PROTOCOL")), ("Work_Er".to_owned(), "grpc".to_owned()));
    assert_eq!(get("APP_PORT"), "", "it does not listen");
    let get = |key| env(&node, "own/1", key);
    assert_eq!((get("DAPR_HTTP_PORT"), get("APP_ID")), ("3500".to_owned(), "mine".to_owned()));
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn ports_and_tokens_of_the_file_are_what_the_instance_gets() {
    let node = Node::ready(&[service("users", "ok").with(|s| {
        s.api.http_port = Some(3_500);
        s.api.grpc_port = Some(50_001);
        s.api.token = Some(Secret::new("inwards"));
        s.api.app_token = Some(Secret::new("outwards"));
    })])
    .await;
    let get = |key| env(&node, "users/1", key);
    assert_eq!((get("DAPR_HTTP_PORT"), get("DAPR_GRPC_PORT")), ("3500".into(), "50001".into()));
    assert_eq!(
        (get("DAPR_API_TOKEN"), get("APP_API_TOKEN")),
        ("inwards".into(), "outwards".into())
    );
    let error = node.handle.scale(&name("users"), 2).await.unwrap_err();
    assert!(matches!(error, crate::Error::Invalid(_)), "a port has room for one: {error}");
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_app_api_is_closed_when_its_instance_is_gone_for_good() {
    let node = Node::ready(&[service("users", "ok").instances(3), job("seed", "exit 0")]).await;
    let open = |node: &Node| {
        node.world.state().apps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert!(open(&node).ends_with("users/1 users/2 users/3"), "{}", open(&node));
    node.world.crash("users/2", &ports::host::Exit::Code(1));
    node.until("it is started again", |s| s.services[0].instances[1].restarts == 1).await;
    node.until_phase(Phase::Ready).await;
    assert!(open(&node).ends_with("users/1 users/2 users/3"), "a restart keeps it");
    node.handle.scale(&name("users"), 1).await.unwrap();
    node.until("two are gone", |s| s.services[0].instances.len() == 1).await;
    assert!(open(&node).ends_with("users/1"), "{}", open(&node));
    let run = crate::RunRequest { service: name("seed"), program: None, env: [].into() };
    let id = node.handle.run(run).await.unwrap();
    node.until_told(&format!("{id} exited")).await;
    node.until("nothing runs", |_| !node.world.state().apps.contains(&id)).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_app_api_cannot_be_opened_is_not_started_and_is_tried_again() {
    let node = Node::start(&[service("appless", "ok").with(|s| {
        s.api.http_port = Some(3_500);
        s.places.insert("api.http_port".to_owned(), place("api.http_port"));
    })])
    .await;
    let problem = node.until_problem("appless", Code::PORT_TAKEN).await;
    assert!(problem.message.starts_with("the app API of appless/1 cannot be opened"));
    assert_eq!(&*problem.place.as_ref().unwrap().text, "api.http_port");
    assert_eq!(node.world.count("start appless/1"), 0);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn survivors_whose_app_api_has_moved_are_replaced_without_a_gap() {
    let own =
        |name| service(name, "ok").env("DAPR_HTTP_ENDPOINT", "http://x").env("DAPR_HTTP_PORT", "1");
    let node = Node::ready(&[service("users", "ok"), own("own")]).await;
    let before = env(&node, "users/1", "DAPR_GRPC_PORT");
    let (world, system) = node.die().await;
    let node = Node::start_in(world, system).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start users/1"), 1, "its ports are the same");
    let (world, system) = node.die().await;
    world.change(|w| w.apps_moved = 7);
    let node = Node::start_in(world, system).await;
    node.until_told(
        "users/1 adopted: was running already (process 1001), to be replaced: DAPR_HTTP_PORT \
         changed, DAPR_GRPC_PORT changed",
    )
    .await;
    node.until_told(
        "own/1 adopted: was running already (process 1002), to be replaced: DAPR_GRPC_PORT changed",
    )
    .await;
    node.until("all serve", |_| node.world.routed().len() == 2).await;
    node.until_phase(Phase::Ready).await;
    let users = node.of("users").instances[0].id.to_string();
    assert_ne!(env(&node, &users, "DAPR_GRPC_PORT"), before);
    node.stop().await;
}

/// A place whose text is the key it belongs to.
fn place(key: &str) -> Place {
    Place { file: "flotilla.yaml".into(), line: 1, column: 1, length: 1, text: key.into() }
}

fn with_secrets() -> Make {
    service("users", "ok").env("PASSWORD", "x${secret:DB}y").env("PLAIN", "1").with(|s| {
        s.db = Some(Database::Url("postgres://u:${secret:DB}@db/x".to_owned()));
        s.api.token = Some(Secret::new("${secret:TOKEN}"));
        for key in ["env.PASSWORD", "db", "api.token"] {
            s.places.insert(key.to_owned(), place(key));
        }
    })
}

#[tokio::test(start_paused = true)]
async fn secrets_reach_the_environment_and_nothing_else() {
    let node = Node::start(&[with_secrets()]).await;
    let problem = node.until_problem("users", Code::SECRET).await;
    assert_eq!(problem.message, "users cannot be started: there is no secret `TOKEN`");
    assert_eq!(&*problem.place.as_ref().unwrap().text, "api.token");
    assert_eq!(node.world.count("start users/1"), 0);
    // It is tried again, and fails by the next one that is missing.
    node.world.change(|w| w.secrets.insert("TOKEN".to_owned(), "t0ken".to_owned()));
    node.until("the other one", |s| {
        s.services[0].problem.as_ref().is_some_and(|p| p.message.contains("`DB`"))
    })
    .await;
    let problem = node.until_problem("users", Code::SECRET).await;
    assert!(["env.PASSWORD", "db"].contains(&problem.place.as_ref().unwrap().text.as_ref()));
    node.world.change(|w| w.secrets.insert("DB".to_owned(), "s3cret".to_owned()));
    node.until_phase(Phase::Ready).await;
    assert_eq!(env(&node, "users/1", "PASSWORD"), "xs3crety");
    assert_eq!(env(&node, "users/1", "DATABASE_URL"), "postgres://u:s3cret@db/x");
    assert_eq!(env(&node, "users/1", "DAPR_API_TOKEN"), "t0ken");
    let spec = node.world.spec("users/1");
    let shown = format!(
        "{:?} {:?} {:?} {:?}",
        node.handle.status(),
        node.handle.events(0),
        spec.labels,
        node.world.state().journal
    );
    assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
    // Another value of a secret is no other file: what runs goes on.
    let (world, system) = node.die().await;
    world.change(|w| w.secrets.insert("DB".to_owned(), "another".to_owned()));
    let node = Node::start_in(world, system).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start users/1"), 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_build_gets_its_secrets_and_fails_without() {
    let built =
        || service("users", "ok").env("NPM_TOKEN", "${secret:NPM}").build("exit 0 after 1000 ms");
    let node = Node::start(&[built()]).await;
    let problem = node.until_problem("users", Code::SECRET).await;
    assert!(problem.message.contains("there is no secret `NPM`"), "{}", problem.message);
    node.world.change(|w| w.secrets.insert("NPM".to_owned(), "s3cret".to_owned()));
    node.handle.restart(&crate::Target::Service(name("users"))).await.unwrap();
    node.until_phase(Phase::Ready).await;
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_reaches_every_instance_that_runs() {
    let services = [service("users", "ok").instances(2), service("bad", "exit 1")];
    let node = Node::start(&services).await;
    node.until_shows("users ready 2/2: 1 ready, 2 ready").await;
    node.handle.signal(&name("users"), Signal::Hup).await.unwrap();
    node.until_told("users/2 signalled: got SIGHUP").await;
    node.pass(1).await;
    assert_eq!((node.world.count("hup users/1"), node.world.count("hup users/2")), (1, 1));
    assert_eq!(node.of("users").ready, 2, "who heeds it goes on");
    node.handle.signal(&name("bad"), Signal::Hup).await.unwrap();
    let error = node.handle.signal(&name("nobody"), Signal::Hup).await.unwrap_err();
    assert!(matches!(error, crate::Error::UnknownService { .. }), "{error}");
    tokio::time::timeout(Duration::from_secs(60), node.stop()).await.unwrap();
}
