use crate::support::*;
use proxy::{Config, Error, ListenerId, ListenerKind, Service};
use std::net::{SocketAddr, TcpListener};

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[tokio::test]
async fn a_port_that_somebody_has_is_an_error_that_names_it() {
    let (_first, handle) = Service::start(Config { workers: 2, ..Config::default() }).unwrap();
    let id = ListenerId::new("gateway");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let holder = TcpListener::bind(taken).unwrap();
    let error = handle.listen(id.clone(), taken, ListenerKind::Gateway).unwrap_err();
    assert!(matches!(error, Error::Taken { address, .. } if address == taken), "{error:?}");
    drop(holder);

    // Another data plane of the same user would share the port if it were let.
    let ours = handle.listen(id.clone(), any(), ListenerKind::Gateway).unwrap();
    let (_second, other) = Service::start(Config { workers: 1, ..Config::default() }).unwrap();
    let error = other.listen(id.clone(), ours, ListenerKind::Gateway).unwrap_err();
    assert!(matches!(error, Error::Taken { .. }), "{error:?}");
    let elsewhere = SocketAddr::from(([203, 0, 113, 1], 9));
    let error = other.listen(id, elsewhere, ListenerKind::Gateway).unwrap_err();
    assert!(matches!(error, Error::Listen { .. }), "{error:?}");
}

#[tokio::test]
async fn a_listener_moves_without_losing_its_clients() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut old = plane.client().await;
    assert_eq!(old.get("/").await.status, 200);
    let id = ListenerId::new("gateway");
    let moved = plane.handle.listen(id.clone(), any(), ListenerKind::Gateway).unwrap();
    assert_ne!(moved, plane.gateway);
    assert_eq!(Client::connect(moved).await.get("/").await.status, 200);
    until("the old port is free", || TcpListener::bind(plane.gateway).is_ok()).await;

    // Taken back at once, although old sockets may not be closed yet; and again to all addresses.
    let back = plane.handle.listen(id.clone(), plane.gateway, ListenerKind::Gateway).unwrap();
    assert_eq!(plane.handle.address(&id), Some(back));
    let everywhere = SocketAddr::from(([0, 0, 0, 0], back.port()));
    plane.handle.listen(id.clone(), everywhere, ListenerKind::Gateway).unwrap();
    // On one port the kernel may still hand a connection to the old socket as it closes; the next is fine.
    let ask = b"GET / HTTP/1.1\r\nHost: s\r\n\r\n";
    soon(async { while !raw_or_reset(back, ask).await.contains("users/1") {} }).await;
    plane.handle.close(&id);
    until("it is closed", || std::net::TcpStream::connect(back).is_err()).await;
    assert_eq!(plane.handle.address(&id), None);
}

#[tokio::test]
async fn connections_are_counted_per_listener() {
    let users = Upstream::start("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    let mut clients = [plane.client().await, plane.client().await];
    for client in &mut clients {
        client.get("/").await;
    }
    let listener = plane.handle.stats().listeners.remove(0);
    assert_eq!((listener.open, listener.accepted), (2, 2));
    drop(clients);
    until("they are gone", || plane.handle.stats().listeners[0].open == 0).await;
}
