//! The data plane of another process takes the sockets over.

use crate::support::*;
use proxy::{
    Algorithm, Cluster, Config, Error, Handle, HashOn, ListenerId, ListenerKind, Service, Snapshot,
    Sockets,
};
use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";

/// Asks once and reads until the other side closes.
async fn ask(address: SocketAddr) -> String {
    raw(address, ASK, "\0").await
}

fn id() -> ListenerId {
    ListenerId::new("gateway")
}

fn plane(workers: usize, upstream: &Upstream) -> Plane {
    let config = Config { workers, slow_start: Duration::ZERO, ..Config::default() };
    Plane::with(config, vec![route("/", &[("users", 1)])], vec![upstream.endpoint()])
}

/// A data plane that has these sockets and knows `upstream`, and accepts nothing yet.
fn successor(workers: usize, sockets: Vec<Sockets>, upstream: &Upstream) -> (Service, Handle) {
    let config = Config { workers, slow_start: Duration::ZERO, ..Config::default() };
    let (service, handle) = Service::start(config).unwrap();
    handle.inherit(sockets).unwrap();
    let cluster = Cluster::new(name("users"), Algorithm::P2c, HashOn::Client);
    let cluster = Arc::new(cluster.with_members(vec![upstream.endpoint()]));
    handle.publish(Snapshot::new(vec![route("/", &[("users", 1)])], [cluster]));
    (service, handle)
}

#[tokio::test]
async fn a_successor_with_more_or_fewer_workers_accepts_from_every_socket() {
    for (before, after) in [(1, 3), (3, 1), (2, 2)] {
        let (one, two) = (Upstream::start("users/1").await, Upstream::start("users/2").await);
        let mut old = plane(before, &one);
        let mut kept = old.client().await;
        assert!(kept.get("/").await.body.contains("users/1"));

        let sockets = old.handle.export().unwrap();
        assert_eq!(sockets[0].sockets.len(), before);
        let (new, handle) = successor(after, sockets, &two);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = handle.listen(id(), any, ListenerKind::Gateway).unwrap();
        assert_eq!(address, old.gateway, "it had a free port, and keeps that");
        for _ in 0..20 {
            assert!(soon(ask(address)).await.contains("users/1"), "the old one serves");
        }
        handle.start_accepting();
        let mut retiring = std::pin::pin!(old.service.take().unwrap().retire(PATIENCE));
        let mut newer = 0;
        while newer < 100 {
            tokio::select! {
                () = &mut retiring => panic!("the old one has a client"),
                answer = ask(address) => {
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer:?}");
                    newer += u32::from(answer.contains("users/2"));
                }
            }
        }
        // Its client was not disturbed, is served by what the old one knows, and then let go.
        let (last, ()) = soon(async { tokio::join!(kept.get("/"), retiring) }).await;
        assert!(last.body.contains("users/1"));
        new.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn connections_wait_in_the_queue_while_nobody_accepts() {
    let (one, two) = (Upstream::start("users/1").await, Upstream::start("users/2").await);
    let mut old = plane(3, &one);
    let (new, handle) = successor(2, old.handle.export().unwrap(), &two);
    handle.listen(id(), old.gateway, ListenerKind::Gateway).unwrap();
    soon(old.service.take().unwrap().shutdown(Duration::ZERO)).await;
    let mut waiting = runtime::TaskSet::new("waiting");
    let (said, mut answers) = tokio::sync::mpsc::channel(50);
    for _ in 0..50 {
        let (said, gateway) = (said.clone(), old.gateway);
        waiting.spawn("client", move |_| async move {
            said.send(ask(gateway).await).await.unwrap();
        });
    }
    let early = tokio::time::timeout(Duration::from_millis(20), answers.recv()).await;
    assert!(early.is_err(), "{early:?}");
    handle.start_accepting();
    for _ in 0..50 {
        let answer = soon(answers.recv()).await.unwrap();
        assert!(answer.contains("users/2"), "{answer:?}");
    }
    new.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_successor_that_gives_up_or_listens_elsewhere_disturbs_nobody() {
    let users = Upstream::start("users/1").await;
    let old = plane(2, &users);
    for listens in [true, false] {
        let (new, handle) = successor(2, old.handle.export().unwrap(), &users);
        if listens {
            handle.listen(id(), old.gateway, ListenerKind::Gateway).unwrap();
        } else {
            let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            handle.listen(id(), elsewhere, ListenerKind::Gateway).unwrap();
            handle.start_accepting();
            assert!(soon(ask(elsewhere)).await.contains("users/1"));
        }
        drop(handle);
        soon(new.shutdown(Duration::ZERO)).await;
        for _ in 0..20 {
            assert!(soon(ask(old.gateway)).await.contains("users/1"));
        }
    }
}

#[tokio::test]
async fn what_is_no_listening_socket_is_refused() {
    let (_service, handle) = Service::start(Config { workers: 1, ..Config::default() }).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::net::TcpStream::connect(address).unwrap();
    let elsewhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let wrong = [
        (address, File::open("/dev/null").unwrap().into()),
        (client.local_addr().unwrap(), client.into()),
        (elsewhere, listener.try_clone().unwrap().into()),
    ];
    for (address, socket) in wrong {
        let sockets = Sockets { id: id(), address, sockets: vec![socket] };
        let error = handle.inherit(vec![sockets]).unwrap_err();
        assert!(matches!(error, Error::Listen { .. }), "{error:?}");
    }
    // And nothing is held back by the failed tries.
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = handle.listen(id(), any, ListenerKind::Gateway).unwrap();
    assert!(soon(ask(bound)).await.starts_with("HTTP/1.1 404"));
}
