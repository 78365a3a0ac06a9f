use super::*;
use std::time::Duration;

fn endpoint() -> Arc<Endpoint> {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    Endpoint::new(InstanceId::parse("users/1").unwrap(), address, 1)
}

fn begin(endpoint: &Arc<Endpoint>, most: u64) -> Option<InFlight> {
    InFlight::begin(Rc::new(Arc::clone(endpoint)), most)
}

#[test]
fn nothing_begins_at_an_endpoint_that_drains() {
    let endpoint = endpoint();
    let open = begin(&endpoint, u64::MAX).unwrap();
    endpoint.drain();
    assert!(begin(&endpoint, u64::MAX).is_none());
    assert_eq!(endpoint.in_flight(), 1);
    drop(open);
    assert_eq!(endpoint.in_flight(), 0);
    endpoint.revive(1);
    assert!(begin(&endpoint, u64::MAX).is_some());
}

#[tokio::test]
async fn idle_returns_when_the_last_request_ends() {
    let endpoint = endpoint();
    endpoint.idle().await;
    let (first, second) =
        (begin(&endpoint, u64::MAX).unwrap(), begin(&endpoint, u64::MAX).unwrap());
    let mut idle = std::pin::pin!(endpoint.idle());
    let is_waiting = tokio::select! {
        biased;
        () = &mut idle => false,
        () = std::future::ready(()) => true,
    };
    assert!(is_waiting);
    drop(first);
    drop(second);
    tokio::time::timeout(Duration::from_secs(10), idle).await.unwrap();
}

#[test]
fn no_more_begin_or_connect_than_may() {
    let endpoint = endpoint();
    let open = begin(&endpoint, 1).unwrap();
    assert!(begin(&endpoint, 1).is_none());
    assert_eq!(endpoint.in_flight(), 1);
    drop(open);
    assert!(begin(&endpoint, 1).is_some());
    let slot = endpoint.connect(1).unwrap();
    assert!(endpoint.connect(1).is_none());
    assert!(endpoint.connect(2).is_some());
    drop(slot);
    assert!(endpoint.connect(1).is_some());
}

#[test]
fn connections_from_before_a_drain_are_of_another_life() {
    let endpoint = endpoint();
    let slot = endpoint.connect(2).unwrap();
    assert!(slot.is_current());
    endpoint.drain();
    endpoint.revive(1);
    assert!(!slot.is_current(), "it leads to the process that was stopped");
    assert!(endpoint.connect(2).unwrap().is_current());
}

#[test]
fn the_pause_after_failures_doubles_up_to_its_bound_and_ends_with_a_success() {
    let endpoint = endpoint();
    let settings = outlier::Settings { consecutive: 0, ..outlier::Settings::default() };
    let saw = |now_ms, event| endpoint.saw(now_ms, event, &settings, || true);
    let mut now_ms = 1_000;
    for pause_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
        // Several at once count as one.
        saw(now_ms, Event::Unreachable);
        saw(now_ms, Event::Broken);
        assert!(endpoint.is_penalised(now_ms + pause_ms - 1), "{pause_ms}");
        now_ms += pause_ms;
        assert!(!endpoint.is_penalised(now_ms), "{pause_ms}");
    }
    for _ in 0..300 {
        now_ms += outlier::PAUSE_MS_MAX;
        saw(now_ms, Event::Unreachable);
    }
    assert!(endpoint.is_penalised(now_ms));
    saw(now_ms, Event::Answered(200));
    assert!(!endpoint.is_penalised(now_ms));
    assert_eq!(endpoint.counters().totals().failures, 2 * 8 + 300);
}

#[test]
fn server_errors_in_a_row_eject_and_a_good_answer_starts_the_count_anew() {
    let endpoint = endpoint();
    let settings = outlier::Settings { consecutive: 3, ..outlier::Settings::default() };
    let saw = |status| endpoint.saw(1_000, Event::Answered(status), &settings, || true);
    for status in [503, 500, 404, 502, 501, 500, 500] {
        assert_eq!(saw(status), None, "{status}");
    }
    assert_eq!(saw(500), Some(1_000 + settings.eject_ms));
    assert!(endpoint.is_ejected(1_000 + settings.eject_ms - 1));
    assert_eq!(saw(200), None);
    assert!(endpoint.is_penalised(1_000), "it is served in full");
    endpoint.drain();
    endpoint.revive(1);
    assert!(!endpoint.is_penalised(1_000), "a restarted one is another");
}
