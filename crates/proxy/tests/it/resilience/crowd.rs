//! More requests than a service can take.

use super::{Instance, is_refused, plain, plane};
use crate::support::*;
use proxy::Traffic;
use runtime::TaskSet;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

#[tokio::test]
async fn an_instance_has_no_more_connections_than_it_may_whichever_worker_wants_one() {
    let users = Instance::one_by_one("users/1").await;
    let plane = Plane::start(vec![users.endpoint()]);
    plane.traffic(Traffic { connections_max: Some(1), ..plain() });
    let mut clients = TaskSet::new("clients");
    let (gateway, answered) = (plane.gateway, Arc::new(AtomicU64::new(0)));
    for _ in 0..8 {
        let answered = Arc::clone(&answered);
        clients.spawn("client", move |_| async move {
            let mut client = Client::connect(gateway).await;
            for _ in 0..10 {
                assert_eq!(client.get("/").await.status, 200);
                answered.fetch_add(1, SeqCst);
            }
        });
    }
    // A second connection would never be served.
    until("all are answered", || answered.load(SeqCst) == 80).await;
    assert_eq!(users.requests(), 80);
}

/// What clients have seen.
#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    shed: AtomicU64,
    odd: AtomicU64,
    is_over: AtomicBool,
}

/// Clients that ask one request after the other, at most `most` each.
fn crowd(plane: &Plane, size: usize, most: usize) -> (TaskSet, Arc<Seen>) {
    let (mut tasks, seen) = (TaskSet::new("crowd"), Arc::<Seen>::default());
    for _ in 0..size {
        let (seen, gateway) = (Arc::clone(&seen), plane.gateway);
        tasks.spawn("client", move |_| async move {
            let mut client = Client::connect(gateway).await;
            for _ in 0..most {
                if seen.is_over.load(SeqCst) {
                    return;
                }
                let reply = client.get("/").await;
                if reply.status == 200 {
                    seen.answered.fetch_add(1, SeqCst);
                } else if is_refused(&reply, "overloaded") {
                    seen.shed.fetch_add(1, SeqCst);
                    // As little as a client that does not heed `Retry-After` does.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                } else {
                    seen.odd.fetch_add(1, SeqCst);
                }
            }
        });
    }
    (tasks, seen)
}

#[tokio::test]
async fn a_service_that_is_asked_too_much_goes_on_answering_and_others_are_told_to_come_later() {
    let users = Instance::busy("users/1", 4, Duration::from_millis(10)).await;
    let plane = plane(vec![users.endpoint()], Traffic { shed: true, ..plain() });
    // As many as there are threads: the usual. It takes more than a second, so that it is known then.
    let (_usual, seen) = crowd(&plane, 4, 150);
    until("the usual is known", || seen.answered.load(SeqCst) == 600).await;
    assert_eq!(seen.shed.load(SeqCst), 0);

    let (_crowd, seen) = crowd(&plane, 160, usize::MAX);
    until("some are told to come later", || seen.shed.load(SeqCst) > 50).await;
    let before = seen.answered.load(SeqCst);
    until("others are answered", || seen.answered.load(SeqCst) > before + 200).await;
    assert_eq!(seen.odd.load(SeqCst), 0);
    seen.is_over.store(true, SeqCst);
    let in_flight = || plane.handle.stats().services[0].endpoints[0].in_flight;
    until("the crowd has gone", || in_flight() == 0).await;

    let (_usual, seen) = crowd(&plane, 4, 50);
    let done = || seen.answered.load(SeqCst) + seen.shed.load(SeqCst) + seen.odd.load(SeqCst);
    until("the usual ones are done", || done() == 200).await;
    assert_eq!(seen.answered.load(SeqCst), 200, "nobody else is refused afterwards");
}
