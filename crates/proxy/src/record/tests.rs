use super::*;
use std::time::Instant;

fn record(path: &str, status: u16, ms: u64) -> Record {
    Record {
        at: Timestamp(1_700_000_000_000_000),
        method: "GET".into(),
        host: "shop.example".into(),
        path: path.into(),
        query: Some("token=x".into()),
        status,
        duration: Duration::from_millis(ms),
        first_byte: Some(Duration::from_millis(ms)),
        bytes_in: 0,
        bytes_out: 5,
        client: SocketAddr::from(([127, 0, 0, 1], 1)),
        protocol: Protocol::Http11,
        is_tls: false,
        caller: None,
        route: Some("/".into()),
        service: Some(ServiceName::new("users").unwrap()),
        instance: Some(InstanceId::parse("users/1").unwrap()),
        retries: 0,
        trace: None,
        user_agent: None,
        referer: None,
        refusal: None,
        error: None,
    }
}

fn note(requests: &Requests, worker: usize, record: &Record) {
    requests.record(worker, &record.summary(), || record.clone());
}

fn paths(records: &[Arc<Record>]) -> Vec<&str> {
    records.iter().map(|record| &*record.path).collect()
}

#[test]
fn no_record_is_made_when_nobody_looks_and_all_is_well() {
    let requests = Requests::new(2);
    let good = record("/a", 200, 5);
    requests.record(0, &good.summary(), || panic!("nobody asked"));
    let subscription = requests.subscribe(Filter { path: "/b".into(), ..Filter::default() });
    requests.record(0, &good.summary(), || panic!("it does not fit"));
    drop(subscription);
    requests.record(1, &good.summary(), || panic!("nobody asks any more"));
    assert!(requests.kept(&Filter::default()).is_empty());
}

#[test]
fn failed_and_slow_requests_are_kept_although_nobody_looks() {
    let requests = Requests::new(2);
    note(&requests, 0, &record("/slow", 200, 1_500));
    note(&requests, 1, &record("/bad", 502, 3));
    note(&requests, 1, &record("/gone", 0, 4));
    let download = Record { first_byte: Some(Duration::ZERO), ..record("/big", 200, 60_000) };
    note(&requests, 1, &download);
    assert_eq!(paths(&requests.kept(&Filter::default())), ["/bad", "/gone", "/slow"]);
    let server = Filter { statuses: vec![(500, 599)], ..Filter::default() };
    assert_eq!(paths(&requests.kept(&server)), ["/bad"]);
    for number in 0..KEPT_MAX + 7 {
        note(&requests, 0, &record(&format!("/{number}"), 500, 1));
    }
    // The oldest of this worker went.
    let kept = requests.kept(&Filter::default());
    assert_eq!(kept.len(), KEPT_MAX);
    assert!(kept.iter().all(|record| &*record.path != "/0"));
}

#[tokio::test]
async fn a_subscriber_gets_what_fits_from_all_workers() {
    let requests = Requests::new(3);
    let mut all = requests.subscribe(Filter::default());
    let filter = Filter {
        services: vec![ServiceName::new("users").unwrap()],
        statuses: vec![(400, 499), (503, 503)],
        path: "/api".into(),
        slower: Duration::from_millis(2),
        from_outside: true,
    };
    let mut some = requests.subscribe(filter);
    for (worker, path, status, ms) in [
        (0, "/api/a", 404, 2),
        (1, "/api/b", 503, 3),
        (2, "/api/c", 200, 4),
        (0, "/api/d", 404, 1),
        (1, "/x/e", 404, 5),
    ] {
        note(&requests, worker, &record(path, status, ms));
    }
    let of_other = Record { service: None, ..record("/api/f", 404, 9) };
    note(&requests, 1, &of_other);
    let caller = Some(ServiceName::new("web").unwrap());
    note(&requests, 1, &Record { caller, ..record("/api/g", 404, 9) });
    let batch = some.next().await;
    assert_eq!((paths(&batch.records), batch.dropped), (vec!["/api/a", "/api/b"], 0));
    assert_eq!(all.next().await.records.len(), 7);
    // Both had the same record, made once.
    let waiting = tokio::time::timeout(Duration::from_millis(1), some.next()).await;
    assert!(waiting.is_err());
    note(&requests, 2, &record("/api/late", 404, 2));
    assert_eq!(paths(&some.next().await.records), ["/api/late"]);
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_and_the_worker_goes_on() {
    let requests = Requests::new(1);
    let mut subscription = requests.subscribe(Filter::default());
    let good = record("/a", 200, 1);
    let begun = Instant::now();
    for _ in 0..LANE_MAX + 5 {
        note(&requests, 0, &good);
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "a worker waited");
    let batch = subscription.take();
    assert_eq!((batch.records.len(), batch.dropped), (LANE_MAX, 5));
    note(&requests, 0, &good);
    let batch = subscription.take();
    assert_eq!((batch.records.len(), batch.dropped), (1, 0));
    // A worker the data plane was not made with loses its records and nothing else.
    note(&requests, 9, &good);
    assert_eq!(subscription.take().dropped, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_between_busy_workers_and_a_reader() {
    const WORKERS: usize = 3;
    const EACH: u64 = 20_000;
    let requests = Requests::new(WORKERS);
    let mut subscription = requests.subscribe(Filter::default());
    let threads: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let requests = requests.clone();
            runtime::thread("worker", move || {
                for number in 0..EACH {
                    let noted = Record { bytes_in: number, ..record("/", 200, 1) };
                    note(&requests, worker, &noted);
                    if number % 512 == 0 {
                        std::thread::yield_now();
                    }
                }
            })
            .unwrap()
        })
        .collect();
    let all = EACH * u64::try_from(WORKERS).unwrap();
    let (mut seen, mut dropped) = (0, 0);
    while seen + dropped < all {
        let batch = tokio::time::timeout(Duration::from_secs(30), subscription.next()).await;
        let batch = batch.expect("a reader that is woken");
        seen += u64::try_from(batch.records.len()).unwrap();
        dropped += batch.dropped;
    }
    assert_eq!(seen + dropped, all);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(subscription.take().records.is_empty());
}

#[test]
fn statuses_are_read_as_people_write_them() {
    for (text, range) in [("404", (404, 404)), ("5xx", (500, 599)), ("400-451", (400, 451))] {
        assert_eq!(parse_status(text), Ok(range));
    }
    for bad in ["", "x", "xx", "6xx", "99", "600", "5x", "50-", "504-500", "+4xx", "44xx", "5xxx"] {
        assert!(parse_status(bad).is_err(), "{bad}");
    }
    let shown = record("/a", 200, 1).shown_path();
    assert_eq!(shown, "/a?token=REDACTED");
}
