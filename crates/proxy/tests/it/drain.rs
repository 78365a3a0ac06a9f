use crate::support::*;
use http::Method;
use runtime::TaskSet;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
        mpsc,
    },
    time::Duration,
};

/// Clients that send POSTs without pause until told to stop.
struct Load {
    tasks: TaskSet,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    lost: mpsc::Receiver<String>,
}

impl Load {
    fn start(plane: &Plane, clients: usize, method: &Method) -> Self {
        let mut tasks = TaskSet::new("load");
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU64::new(0));
        let (said, lost) = mpsc::channel();
        for _ in 0..clients {
            let (stop, method, address) = (Arc::clone(&stop), method.clone(), plane.gateway);
            let (answered, said) = (Arc::clone(&answered), said.clone());
            tasks.spawn("client", move |_| async move {
                let mut client = Client::connect(address).await;
                while !stop.load(SeqCst) {
                    match client.ask(method.clone(), "/echo", "body").await {
                        Ok(reply) if reply.status == 200 && reply.body == "body" => {
                            answered.fetch_add(1, SeqCst);
                        }
                        Ok(reply) => {
                            drop(said.send(format!("{} {}", reply.status, reply.body)));
                        }
                        Err(error) => {
                            drop(said.send(error.to_string()));
                            client = Client::connect(address).await;
                        }
                    }
                }
            });
        }
        Self { tasks, stop, answered, lost }
    }

    async fn more(&self, requests: u64) {
        let goal = self.answered.load(SeqCst) + requests;
        until("more answers", || self.answered.load(SeqCst) >= goal).await;
    }

    /// Ends it and says how many were answered, and what the others got.
    async fn end(self) -> (u64, Vec<String>) {
        self.stop.store(true, SeqCst);
        assert!(self.tasks.shutdown(PATIENCE).await);
        (self.answered.load(SeqCst), self.lost.try_iter().collect())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_any_kind_is_lost_while_instances_come_and_go() {
    let upstreams = [
        Upstream::start("users/1").await,
        Upstream::start("users/2").await,
        Upstream::start("users/3").await,
    ];
    let plane = Plane::start(upstreams.iter().map(Upstream::endpoint).collect());
    let load = Load::start(&plane, 16, &Method::POST);
    let mut members: Vec<_> = upstreams.iter().map(Upstream::endpoint).collect();
    plane.members(members.clone());
    load.more(50).await;
    for round in 0..60 {
        let at = round % 3;
        let leaving = members[at].clone();
        leaving.drain();
        let others: Vec<_> =
            members.iter().filter(|member| !Arc::ptr_eq(member, &leaving)).cloned().collect();
        // In every other round the snapshot is late: the flag alone must hold requests off.
        if round % 2 == 0 {
            plane.members(others.clone());
        }
        soon(leaving.idle()).await;
        // From here on the instance could be killed.
        upstreams[at].state.must_rest.store(true, SeqCst);
        load.more(30).await;
        assert_eq!(upstreams[at].state.working.load(SeqCst), 0);
        upstreams[at].state.must_rest.store(false, SeqCst);
        members[at] = upstreams[at].endpoint();
        plane.members(members.clone());
        load.more(10).await;
    }
    let disturbed: u64 = upstreams.iter().map(|u| u.state.disturbed.load(SeqCst)).sum();
    let (answered, lost) = load.end().await;
    assert!(lost.is_empty(), "of {answered}: {lost:?}");
    assert_eq!(disturbed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_idempotent_request_is_lost_when_instances_are_killed() {
    let mut upstreams = Vec::new();
    for number in 1..=3 {
        upstreams.push(Upstream::start(&format!("users/{number}")).await);
    }
    let mut members: Vec<_> = upstreams.iter().map(Upstream::endpoint).collect();
    let plane = Plane::start(members.clone());
    let load = Load::start(&plane, 16, &Method::PUT);
    load.more(200).await;
    for round in 0..12 {
        let at = round % 3;
        let victim = upstreams.remove(at);
        victim.kill().await;
        // Nobody has told the data plane yet.
        load.more(100).await;
        let new = Upstream::start(&format!("users/{}", at + 1)).await;
        members[at] = new.endpoint();
        upstreams.insert(at, new);
        plane.members(members.clone());
        load.more(50).await;
    }
    let retries = plane.handle.stats().services[0].totals.failures;
    let (answered, lost) = load.end().await;
    assert!(lost.is_empty(), "of {answered}: {lost:?}");
    assert!(retries > 0, "the kills were noticed");
}

#[tokio::test]
async fn a_request_under_way_goes_on_after_its_instance_was_taken_out() {
    let users = Upstream::start("users/1").await;
    let endpoint = users.endpoint();
    let plane = Plane::start(vec![endpoint.clone()]);
    let mut client = plane.client().await;
    let mut asking = std::pin::pin!(client.get("/gate"));
    tokio::select! {
        reply = &mut asking => panic!("answered too early: {reply:?}"),
        () = until("the request arrives", || users.state.working.load(SeqCst) == 1) => {}
    }
    endpoint.drain();
    plane.members(vec![]);
    assert_eq!(endpoint.in_flight(), 1);
    users.state.gate.add_permits(1);
    assert_eq!(asking.await.body, "through the gate");
    soon(endpoint.idle()).await;
    assert_eq!(endpoint.in_flight(), 0);
}

#[tokio::test]
async fn a_request_waits_for_the_restart_of_the_only_instance() {
    let users = Upstream::start("users/1").await;
    let mut config = proxy::Config { workers: 1, ..proxy::Config::default() };
    config.no_instance_wait = PATIENCE;
    let plane = Plane::with(config, vec![route("/", &[("users", 1)])], vec![users.endpoint()]);
    let mut client = plane.client().await;
    assert_eq!(client.post("/echo", "1").await.status, 200);
    users.kill().await;
    let mut asking = std::pin::pin!(client.post("/echo", "2"));
    tokio::select! {
        reply = &mut asking => panic!("answered by nobody: {reply:?}"),
        () = until("it waits", || plane.handle.stats().services[0].waiting == 1) => {}
    }
    let again = Upstream::start("users/1").await;
    plane.members(vec![again.endpoint()]);
    let reply = asking.await;
    assert_eq!((reply.status, &*reply.body), (200, "2"));
    assert_eq!(plane.handle.stats().services[0].waiting, 0);
}

#[tokio::test]
async fn a_shutdown_lets_open_requests_end_and_then_hangs_up() {
    let users = Upstream::start("users/1").await;
    let mut plane = Plane::start(vec![users.endpoint()]);
    let mut client = plane.client().await;
    let mut asking = std::pin::pin!(client.get("/gate"));
    tokio::select! {
        reply = &mut asking => panic!("answered too early: {reply:?}"),
        () = until("the request arrives", || users.state.working.load(SeqCst) == 1) => {}
    }
    let service = plane.service.take().unwrap();
    let mut shutdown = std::pin::pin!(service.shutdown(PATIENCE));
    let refuses = || std::net::TcpStream::connect(plane.gateway).is_err();
    tokio::select! {
        () = &mut shutdown => panic!("a request was open"),
        () = until("the listener closes", refuses) => {}
    }
    users.state.gate.add_permits(1);
    let (reply, ()) = tokio::join!(asking, soon(shutdown));
    assert_eq!(reply.body, "through the gate");
}

#[tokio::test]
async fn a_shutdown_without_grace_breaks_off() {
    let users = Upstream::start("users/1").await;
    let mut plane = Plane::start(vec![users.endpoint()]);
    let mut client = plane.client().await;
    let mut asking = std::pin::pin!(client.ask(Method::GET, "/gate", ""));
    tokio::select! {
        reply = &mut asking => panic!("answered too early: {reply:?}"),
        () = until("the request arrives", || users.state.working.load(SeqCst) == 1) => {}
    }
    soon(plane.service.take().unwrap().shutdown(Duration::ZERO)).await;
    assert!(asking.await.is_err());
}
