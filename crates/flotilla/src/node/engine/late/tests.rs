use crate::node::engine::{Engine, kv_folder};
use manifest::System;
use ports::kv::{Error, Kv as _, Transaction};
use runtime::TaskSet;
use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// A system with nothing in it but the embedded engine.
fn system() -> System {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flotilla.yaml");
    fs::write(&file, "services: { web: { run: ./web } }\n").unwrap();
    manifest::load(&file, &manifest::Options::default()).unwrap().system
}

async fn open(state_dir: &Path, tasks: &mut TaskSet) -> Engine {
    Engine::open(&system(), state_dir, &Arc::default(), tasks).await
}

fn other(state_dir: &Path) -> (adapter_embedded::kv::Service, adapter_embedded::kv::Handle) {
    let config = adapter_embedded::kv::Config { folder: kv_folder(state_dir) };
    adapter_embedded::kv::Service::open(&config).unwrap()
}

/// Waits until the engine answers.
async fn answers(engine: &Engine) {
    let start = Instant::now();
    while engine.kv.status().await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", engine.trouble().problem());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_was_held_at_the_start_is_there_once_it_is_let_go_of() {
    let folder = tempfile::tempdir().unwrap();
    let (service, handle) = other(folder.path());
    handle.commit(Transaction::put("k", "1")).await.unwrap();
    let mut tasks = TaskSet::new("test");
    let engine = open(folder.path(), &mut tasks).await;
    let problem = engine.trouble().problem().unwrap();
    assert!(problem.message.contains("in use"), "{problem:?}");
    let refused = engine.kv.get(b"k").await.unwrap_err();
    assert!(matches!(refused, Error::Unavailable { .. }), "{refused:?}");
    let text = base::ErrorChain(&refused).to_string();
    assert!(text.contains("data/kv") && text.contains("in use"), "{text}");

    let trouble = engine.trouble();
    service.shutdown().await;
    answers(&engine).await;
    assert_eq!(trouble.problem(), None);
    assert_eq!(engine.kv.get(b"k").await.unwrap().unwrap().value, "1");
    assert!(tasks.join(Duration::from_secs(60)).await, "there is nothing more to try");
    engine.close().await;
    // It let go of the folder.
    drop(other(folder.path()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_opened_after_the_end_is_let_go_of() {
    let folder = tempfile::tempdir().unwrap();
    let (service, _handle) = other(folder.path());
    let mut tasks = TaskSet::new("test");
    let engine = open(folder.path(), &mut tasks).await;
    let kv = Arc::clone(&engine.kv);
    assert!(tasks.shutdown(Duration::from_secs(60)).await, "a pause is no reason to wait");
    let super::super::Running::Late(late) = &engine.running else { panic!("it was held") };
    let late = Arc::clone(late);
    engine.close().await;
    service.shutdown().await;
    // As a try does that was under way.
    assert!(runtime::blocking(move || late.try_once()).await);
    assert!(matches!(kv.status().await, Err(Error::Unavailable { .. })));
    let start = Instant::now();
    let config = adapter_embedded::kv::Config { folder: kv_folder(folder.path()) };
    while let Err(error) = adapter_embedded::kv::Service::open(&config) {
        assert!(start.elapsed() < Duration::from_secs(60), "{error}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
