//! App listeners that go to the data plane of another process, and those that close.

use super::{App, Desk, DeskOf, listen};
use crate::support::*;
use base::InstanceId;
use proxy::{Config, ListenerId, ListenerKind, Service, local::Local};
use std::{net::SocketAddr, sync::Arc, time::Duration};

#[tokio::test]
async fn a_successor_answers_on_the_same_address() {
    let mut app = App::start().await;
    let mut kept = app.client().await;
    assert_eq!(kept.get("/here/name").await.body, "first");
    let config = Config { workers: 1, ..Config::default() };
    let (new, handle) = Service::start(config).unwrap();
    handle.inherit(app.plane.handle.export().unwrap()).unwrap();
    let desk = Arc::new(DeskOf(Desk::new("second")));
    assert_eq!(listen(&handle, Arc::clone(&desk) as Arc<dyn Local>), app.address);
    handle.start_accepting();
    let retiring = app.plane.service.take().unwrap().retire(PATIENCE);
    let mut retiring = std::pin::pin!(retiring);
    let ask = b"GET /here/name HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
    loop {
        tokio::select! {
            () = &mut retiring => panic!("the old one has a client"),
            answer = raw(app.address, ask, "\0") => {
                assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                if answer.ends_with("second") {
                    break;
                }
            }
        }
    }
    let (last, ()) = soon(async { tokio::join!(kept.get("/here/name"), retiring) }).await;
    assert_eq!(last.body, "first", "its client is answered by the one it is connected to");
    new.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_listener_without_anybody_who_answers_says_that_it_is_not_ready() {
    let (_service, handle) = Service::start(Config { workers: 1, ..Config::default() }).unwrap();
    let kind = ListenerKind::App { caller: InstanceId::parse("orders/1").unwrap() };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let address = handle.listen(ListenerId::new("orders/1 http"), any, kind).unwrap();
    let reply = Client::connect(address).await.get("/v1.0/healthz").await;
    assert_eq!(reply.status, 503);
    assert!(reply.body.contains("not_ready"), "{}", reply.body);
}

#[tokio::test]
async fn hundreds_of_listeners_open_answer_and_close() {
    let (_service, handle) = Service::start(Config { workers: 2, ..Config::default() }).unwrap();
    handle.set_local(Arc::new(Named));
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let id = |number: u32| ListenerId::new(&format!("users/{number} http"));
    let mut open = Vec::new();
    for number in 1..=200 {
        let caller = InstanceId::parse(&format!("users/{number}")).unwrap();
        open.push(handle.listen(id(number), any, ListenerKind::App { caller }).unwrap());
    }
    for (at, address) in open.iter().enumerate() {
        let reply = Client::connect(*address).await.get("/").await;
        assert_eq!(reply.body, format!("users/{}", at + 1));
    }
    (1..=200).for_each(|number| handle.close(&id(number)));
    until("all are closed", || {
        open.iter().all(|address| std::net::TcpStream::connect(address).is_err())
    })
    .await;
}

/// Answers with the caller's name.
struct Named;

impl Local for Named {
    fn direct(
        &self,
        caller: &InstanceId,
        _look: &proxy::local::Look<'_>,
    ) -> proxy::local::Direction {
        proxy::local::Direction::Refuse(http::Response::new(caller.to_string().into()))
    }

    fn answer(
        &self,
        _caller: &InstanceId,
        _request: http::Request<proxy::local::LocalBody>,
    ) -> proxy::local::BoxFuture<http::Response<proxy::local::BoxBody>> {
        unreachable!("nothing leads here")
    }

    fn refusal(
        &self,
        _caller: &InstanceId,
        _refused: &proxy::local::Refused<'_>,
    ) -> http::Response<bytes::Bytes> {
        unreachable!("nothing fails")
    }
}

#[tokio::test]
async fn another_one_may_answer_from_now_on() {
    let app = App::start().await;
    let mut client = app.client().await;
    assert_eq!(client.get("/here/name").await.body, "first");
    let mut socket = crate::socket::Socket::connect(app.address).await;
    socket.send("GET /here/ticks HTTP/1.1\r\nHost: s\r\n\r\n").await;
    socket.head().await;
    app.plane.handle.set_local(Arc::new(DeskOf(Desk::new("second"))));
    assert_eq!(client.get("/here/name").await.body, "second");
    app.desk.gate.add_permits(1);
    assert_eq!(socket.until("tick\n\r\n").await, "5\r\ntick\n\r\n", "what the first began goes on");
}
