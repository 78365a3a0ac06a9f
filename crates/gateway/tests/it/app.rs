//! The app API's listeners: whose they are, and that their ports outlive the node.

use crate::traffic::{Folder, LOOPBACK, get, id, name, start, system};
use ports::traffic::{AppAddresses, AppWish, Traffic as _};
use std::{
    collections::BTreeSet,
    fs, io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

fn any() -> AppWish {
    AppWish::on(LOOPBACK)
}

/// Whether something answers at both addresses. Nobody has said who answers, so it is said that it is not ready.
async fn answers(app: AppAddresses) -> bool {
    get(app.http, "/v1.0/healthz").await.0 == 503 && get(app.grpc, "/").await.0 == 503
}

/// Whether nobody listens there.
fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

async fn until_free(app: AppAddresses) {
    let freed = async {
        while !(is_free(app.http) && is_free(app.grpc)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), freed).await.unwrap();
}

#[tokio::test]
async fn an_instance_finds_its_app_api_at_the_same_ports_after_a_restart() {
    let folder = Folder::new("apps");
    let (data_plane, gateway) = start(folder.path());
    let (one, two) = (id("users/1"), id("users/2"));
    let first = gateway.app_addresses(&one, any()).await.unwrap();
    let second = gateway.app_addresses(&two, any()).await.unwrap();
    let need = gateway.need_address(&name("users"), &name("items"), LOOPBACK).await.unwrap();
    let ports = [first.http, first.grpc, second.http, second.grpc, need].map(|it| it.port());
    assert_eq!(BTreeSet::from(ports).len(), 5, "{ports:?}");
    assert!(ports.iter().all(|port| (30_000..=32_767).contains(port)), "{ports:?}");
    assert_eq!(gateway.app_addresses(&one, any()).await.unwrap(), first);
    assert!(answers(first).await && answers(second).await);
    data_plane.shutdown(Duration::ZERO).await;

    // The next node has them for those that ask, and for nobody else.
    let (data_plane, gateway) = start(folder.path());
    gateway.apply(&system(None, &[("/", "users")])).unwrap();
    let other = gateway.app_addresses(&id("users/3"), any()).await.unwrap();
    assert!(![first.http, first.grpc, second.http].contains(&other.http), "{other:?}");
    assert_eq!(gateway.app_addresses(&one, any()).await.unwrap(), first);
    assert!(is_free(second.http), "nobody has asked for it");
    data_plane.shutdown(Duration::ZERO).await;

    // Somebody took one of the ports meanwhile: another one, remembered from now on.
    let holder = TcpListener::bind(first.grpc).unwrap();
    let (data_plane, gateway) = start(folder.path());
    let moved = gateway.app_addresses(&one, any()).await.unwrap();
    assert_eq!((moved.http, moved.grpc == first.grpc), (first.http, false));
    data_plane.shutdown(Duration::ZERO).await;
    drop(holder);
    let (_data_plane, gateway) = start(folder.path());
    assert_eq!(gateway.app_addresses(&one, any()).await.unwrap(), moved);
}

#[tokio::test]
async fn the_listeners_of_an_instance_that_is_gone_are_closed() {
    let folder = Folder::new("apps-closed");
    let (_data_plane, gateway) = start(folder.path());
    let (one, two) = (id("users/1"), id("users/2"));
    let gone = gateway.app_addresses(&one, any()).await.unwrap();
    let stays = gateway.app_addresses(&two, any()).await.unwrap();
    gateway.close_app(&one);
    gateway.close_app(&one);
    until_free(gone).await;
    assert!(answers(stays).await);
    assert!(answers(gateway.app_addresses(&one, any()).await.unwrap()).await);
}

#[tokio::test]
async fn ports_that_the_file_names_are_taken_or_refused() {
    let folder = Folder::new("apps-wished");
    let (_data_plane, gateway) = start(folder.path());
    let free = || TcpListener::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap().port();
    let (http, grpc) = (free(), free());
    let wish = AppWish { on: LOOPBACK, http: Some(http), grpc: Some(grpc) };
    let app = gateway.app_addresses(&id("users/1"), wish).await.unwrap();
    assert_eq!((app.http.port(), app.grpc.port()), (http, grpc));
    assert_eq!(gateway.app_addresses(&id("users/1"), wish).await.unwrap(), app);
    let error = gateway.app_addresses(&id("users/2"), wish).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&http.to_string()), "{error}");
    // The other one of the two is not left open.
    let taken = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let grpc = taken.local_addr().unwrap().port();
    let half = AppWish { on: LOOPBACK, http: Some(free()), grpc: Some(grpc) };
    gateway.app_addresses(&id("users/3"), half).await.unwrap_err();
    let http = SocketAddr::new(LOOPBACK, half.http.unwrap());
    until_free(AppAddresses { http, grpc: http }).await;
}

#[tokio::test]
async fn a_few_hundred_instances_have_their_app_apis_and_all_again() {
    let folder = Folder::new("apps-many");
    let all = async |gateway: &gateway::Handle| {
        let mut all = Vec::new();
        for number in 1..=300 {
            let instance = id(&format!("users/{number}"));
            all.push(gateway.app_addresses(&instance, any()).await.unwrap());
        }
        all
    };
    let (data_plane, gateway) = start(folder.path());
    let before = all(&gateway).await;
    let ports: BTreeSet<u16> =
        before.iter().flat_map(|app| [app.http.port(), app.grpc.port()]).collect();
    assert_eq!(ports.len(), 600);
    data_plane.shutdown(Duration::ZERO).await;
    let (_data_plane, gateway) = start(folder.path());
    assert_eq!(all(&gateway).await, before);
}

#[tokio::test]
async fn a_file_of_app_ports_that_cannot_be_read_is_set_aside() {
    let folder = Folder::new("apps-corrupt");
    let file = folder.path().join("run/apps.json");
    let odd = "{\"version\":1,\"apps\":[{\"caller\":\"users/1\",\"speech\":\"morse\"}]}";
    for bad in ["{", "{\"version\":9,\"apps\":[]}", odd] {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, bad).unwrap();
        let (_data_plane, gateway) = start(folder.path());
        gateway.app_addresses(&id("users/1"), any()).await.unwrap();
        let aside = folder.path().join("run/apps.json.bad");
        assert_eq!(fs::read_to_string(aside).unwrap(), bad);
        assert!(fs::read_to_string(&file).unwrap().contains("\"users/1\""));
    }
}
