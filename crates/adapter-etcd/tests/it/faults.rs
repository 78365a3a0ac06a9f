//! etcd that dies, stands still and loses its leader, while others work with it.

use crate::cluster::{self, Cluster};
use adapter_etcd::Etcd;
use ports::kv::{
    Change, Error, Kv, Life, Range, Revision, Transaction, Watch,
    conformance::{
        Recorder,
        history::{Act, Answer},
    },
};
use proto::etcd::etcdserverpb::{StatusRequest, maintenance_client::MaintenanceClient};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// More keys than writers write at once, so that calls meet and do not only wait for each other.
const KEYS: usize = 4;
const WRITERS: usize = 8;

/// Longer than any call may take, on a machine that is busy with something else too.
const CALL_TIME_MAX: Duration = Duration::from_secs(20);

/// Writers that go on whatever happens, and a watch of all they do.
struct Work {
    recorder: Arc<Recorder>,
    kv: Arc<Etcd>,
    done: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    writers: JoinSet<()>,
    watch: JoinSet<Vec<Change>>,
    first: Revision,
}

impl Work {
    async fn start(cluster: &Cluster) -> Self {
        let kv = Arc::new(cluster.engine("/work"));
        cluster.ready(&*kv).await;
        let first = kv.status().await.unwrap().revision.next();
        let recorder = Arc::new(Recorder::new("k/"));
        let (done, is_over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let (kv, recorder) = (Arc::clone(&kv), Arc::clone(&recorder));
            let (done, is_over) = (Arc::clone(&done), Arc::clone(&is_over));
            writers.spawn(async move {
                let mut seen = None;
                let mut turn = number;
                while !is_over.load(Ordering::SeqCst) {
                    turn += 1;
                    let key = turn % KEYS;
                    let act = match turn % 5 {
                        0 => Act::Put(recorder.value()),
                        1 | 2 => Act::Get,
                        3 => Act::Swap { from: seen, to: recorder.value() },
                        _ if turn % 3 == 0 => Act::Delete,
                        _ => Act::Get,
                    };
                    let start = Instant::now();
                    let answer = recorder.perform(&*kv, key, act).await;
                    assert!(start.elapsed() < CALL_TIME_MAX, "{act:?} took {:?}", start.elapsed());
                    match answer {
                        Ok(Answer::Read(value) | Answer::Refused(value)) => seen = value,
                        Ok(_) => {}
                        Err(Error::Unavailable { .. } | Error::Unknown { .. }) => {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                    if answer.is_ok() {
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
        let mut watch = JoinSet::new();
        let following = kv.watch(Range::all(), Some(first)).await.unwrap();
        watch.spawn(follow(Arc::clone(&kv), following, first));
        Self { recorder, kv, done, is_over, writers, watch, first }
    }

    /// Waits until so many more calls were answered.
    async fn goes_on(&self, count: u64) {
        let goal = self.done.load(Ordering::SeqCst) + count;
        let start = Instant::now();
        while self.done.load(Ordering::SeqCst) < goal {
            assert!(start.elapsed() < Duration::from_secs(90), "nothing is answered any more");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Ends the work and checks what everybody saw.
    async fn finish(mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        while let Some(end) = self.writers.join_next().await {
            end.unwrap();
        }
        for key in 0..KEYS {
            self.recorder.perform(&*self.kv, key, Act::Get).await.unwrap();
        }
        self.recorder.assert_linearizable();
        let outcome = self.kv.commit(Transaction::put("end", "")).await.unwrap();
        let ports::kv::Outcome::Committed { revision: last } = outcome else {
            panic!("{outcome:?}");
        };
        let changes = self.watch.join_next().await.unwrap().unwrap();
        // Nobody else writes: what the watch tells are all revisions, each once.
        let revisions: Vec<u64> = changes.iter().map(|change| change.revision.0).collect();
        assert_eq!(revisions, (self.first.0..=last.0).collect::<Vec<_>>());
    }
}

/// Watches until the key `end` is put, as a caller does: again from where it was, when the watch ends.
async fn follow(kv: Arc<Etcd>, mut watch: Box<dyn Watch>, first: Revision) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    loop {
        match watch.next().await {
            Ok(change) => {
                let is_end = change.events.iter().any(|event| event.key() == "end");
                changes.push(change);
                if is_end {
                    return changes;
                }
            }
            Err(Error::Unavailable { .. }) => {
                let next = changes.last().map_or(first, |change| change.revision.next());
                loop {
                    match kv.watch(Range::all(), Some(next)).await {
                        Ok(again) => {
                            watch = again;
                            break;
                        }
                        Err(Error::Unavailable { .. }) => {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        Err(error) => panic!("{error:?}"),
                    }
                }
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_kill_9_in_the_middle_of_writes() {
    cluster::with(1, |mut cluster| async move {
        let work = Work::start(&cluster).await;
        for round in 0..4 {
            work.goes_on(150 + round * 70).await;
            cluster.kill(0);
            cluster.revive(0);
        }
        work.goes_on(200).await;
        work.finish().await;
    });
}

#[test]
fn a_leader_that_is_killed_is_replaced_and_nothing_is_lost() {
    cluster::with(3, |mut cluster| async move {
        let work = Work::start(&cluster).await;
        for _ in 0..2 {
            work.goes_on(100).await;
            let leader = leader(&cluster).await;
            cluster.kill(leader);
            work.goes_on(100).await;
            cluster.revive(leader);
            until_leading(&cluster).await;
        }
        // The member that is asked, leader or not.
        for number in 0..3 {
            cluster.kill(number);
            work.goes_on(100).await;
            cluster.revive(number);
            until_leading(&cluster).await;
        }
        work.finish().await;
    });
}

#[test]
fn a_member_that_stands_still_is_left_for_another() {
    cluster::with(3, |cluster| async move {
        let work = Work::start(&cluster).await;
        for number in 0..3 {
            work.goes_on(50).await;
            cluster.freeze(number).await;
            work.goes_on(50).await;
            cluster.thaw(number);
            until_leading(&cluster).await;
        }
        work.finish().await;
    });
}

/// Waits until all members serve and agree on a leader: a cluster of three stands one failure at a time.
async fn until_leading(cluster: &Cluster) {
    let start = Instant::now();
    loop {
        let mut leaders = Vec::new();
        for number in 0..3 {
            leaders.push(status(cluster, number).await.map(|(_, leader)| leader));
        }
        if leaders.windows(2).all(|pair| pair[0] == pair[1]) && leaders[0].is_some_and(|id| id > 0)
        {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no leader: {leaders:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A member's own number, and the one it takes for the leader.
async fn status(cluster: &Cluster, number: usize) -> Option<(u64, u64)> {
    let endpoint = tonic::transport::Endpoint::new(format!("http://{}", cluster.address(number)));
    let channel = endpoint.unwrap().timeout(Duration::from_secs(1)).connect().await.ok()?;
    let status = MaintenanceClient::new(channel).status(StatusRequest {}).await.ok()?.into_inner();
    Some((status.header?.member_id, status.leader))
}

async fn leader(cluster: &Cluster) -> usize {
    until_leading(cluster).await;
    for number in 0..3 {
        if status(cluster, number).await.is_some_and(|(id, leader)| id == leader) {
            return number;
        }
    }
    panic!("the leader is none of the members");
}

#[test]
fn calls_to_an_engine_that_stands_still_end_and_it_recovers() {
    cluster::with(1, |cluster| async move {
        let kv = cluster.engine("/shop");
        cluster.ready(&kv).await;
        kv.commit(Transaction::put("a", "1")).await.unwrap();
        let lease = kv.grant(Duration::from_secs(1_000)).await.unwrap();
        let mut watch = kv.watch(Range::all(), None).await.unwrap();
        cluster.freeze(0).await;
        let unavailable = |what: &str, error: Option<Error>| {
            assert!(matches!(error, Some(Error::Unavailable { .. })), "{what}: {error:?}");
        };
        let unknown = |what: &str, error: Option<Error>| {
            assert!(matches!(error, Some(Error::Unknown { .. })), "{what}: {error:?}");
        };
        let all = Range::all();
        let calls = async {
            let (get, range, renew, put, ttl, revoke, status, watch) = tokio::join!(
                kv.get(b"a"),
                kv.range(&all, 10),
                kv.renew(lease.id),
                kv.commit(Transaction::put("b", "2")),
                kv.commit(Transaction::default().and_put("c", "", Life::Ttl(CALL_TIME_MAX))),
                kv.revoke(lease.id),
                kv.status(),
                kv.watch(Range::all(), None),
            );
            unavailable("get", get.err());
            unavailable("range", range.err());
            unavailable("renew", renew.err());
            unknown("put", put.err());
            // The lease came first, and did not come: the entry was certainly not written.
            unavailable("a put with a time to live", ttl.err());
            unknown("revoke", revoke.err());
            unavailable("status", status.err());
            unavailable("watch", watch.err());
        };
        tokio::time::timeout(CALL_TIME_MAX, calls).await.expect("every call ends");
        cluster.thaw(0);
        cluster.ready(&kv).await;
        kv.commit(Transaction::put("end", "")).await.unwrap();
        loop {
            let change = watch.next().await.unwrap();
            if change.events.iter().any(|event| event.key() == "end") {
                break;
            }
        }
    });
}

#[test]
fn an_engine_that_is_away_is_said_so_at_once_and_is_found_when_it_comes() {
    cluster::with(1, |mut cluster| async move {
        let probe = cluster.engine("");
        cluster.ready(&probe).await;
        cluster.kill(0);
        let kv = cluster.engine("/shop");
        for _ in 0..3 {
            let put = kv.commit(Transaction::put("a", "1")).await.unwrap_err();
            assert!(matches!(put, Error::Unavailable { .. }), "{put:?}");
            let get = kv.get(b"a").await.unwrap_err();
            assert!(matches!(get, Error::Unavailable { .. }), "{get:?}");
            let watch = kv.watch(Range::all(), None).await.unwrap_err();
            assert!(matches!(watch, Error::Unavailable { .. }), "{watch:?}");
        }
        cluster.revive(0);
        cluster.ready(&kv).await;
        assert_eq!(kv.get(b"a").await.unwrap(), None, "what was unavailable was not done");
        kv.commit(Transaction::put("a", "1")).await.unwrap();
    });
}

#[test]
fn a_watch_that_was_away_while_history_was_forgotten_says_so() {
    cluster::with(1, |mut cluster| async move {
        let kv = cluster.engine("/shop");
        cluster.ready(&kv).await;
        let mut watch = kv.watch(Range::all(), None).await.unwrap();
        kv.commit(Transaction::put("a", "1")).await.unwrap();
        assert_eq!(watch.next().await.unwrap().events.len(), 1);
        cluster.kill(0);
        cluster.revive(0);
        let other = cluster.engine("/other");
        cluster.ready(&other).await;
        for _ in 0..5 {
            other.commit(Transaction::put("a", "1")).await.unwrap();
        }
        let newest = other.status().await.unwrap().revision;
        other.compact(newest).await.unwrap();
        for _ in 0..2 {
            let told = watch.next().await.unwrap_err();
            let Error::Compacted { compacted } = told else { panic!("{told:?}") };
            assert_eq!(compacted, newest);
        }
        assert_eq!(kv.status().await.unwrap().compacted, newest);
        let mut watch = kv.watch(Range::all(), Some(newest.next())).await.unwrap();
        kv.commit(Transaction::put("a", "2")).await.unwrap();
        assert_eq!(watch.next().await.unwrap().revision, newest.next());
    });
}
