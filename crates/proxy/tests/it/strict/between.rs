//! The listeners between services: an app listener reads every shape as the listener of a need does.

use super::{Outcome, converse, corpus, corpus::Case, end, plane};
use crate::{
    app::{self, Through},
    recorder::{Answer, Pace, Recorder},
    support::*,
};
use proxy::{ListenerId, ListenerKind};
use std::{net::SocketAddr, sync::Arc};

/// Which listener a conversation is held on.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Need,
    /// Every request leads to the service.
    App,
    /// Every request is answered here.
    Here,
}

async fn run(kind: Kind, case: &Case) -> Outcome {
    let script: Vec<Answer> = case.answer().into_iter().collect();
    let recorder = Recorder::start(&script, Pace::AtOnce).await;
    let mut plane = plane(&recorder);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let address = match kind {
        Kind::Need => {
            let kind = ListenerKind::Need { caller: name("orders"), service: name("users") };
            plane.handle.listen(ListenerId::new("need"), any, kind).unwrap()
        }
        Kind::App => app::listen(&plane.handle, Arc::new(Through(false))),
        Kind::Here => app::listen(&plane.handle, Arc::new(Through(true))),
    };
    let gets = converse(address, case, &case.sends.bytes(), Pace::AtOnce).await;
    end(plane.service.take()).await;
    Outcome { gets, saw: recorder.saw().await }
}

/// Compares the outcomes of each case on both listeners.
async fn compare(
    kinds: [Kind; 2],
    cases: impl Iterator<Item = &'static Case>,
    is_same: impl Fn(&Case, &Outcome, &Outcome) -> bool,
) {
    let mut failures = Vec::new();
    for case in cases {
        // A client of another test may come by that takes our port for the one of a server that is gone; not twice.
        for is_last in [false, true] {
            let (one, other) = (run(kinds[0], case).await, run(kinds[1], case).await);
            if is_same(case, &one, &other) {
                break;
            }
            if is_last {
                let [first, second] = kinds;
                let name = case.name;
                failures.push(format!("{name}:\n    {first:?} {one:?}\n    {second:?} {other:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test]
async fn an_app_listener_that_leads_to_a_service_reads_every_shape_as_that_of_a_need_does() {
    let is_same = |case: &Case, need: &Outcome, app: &Outcome| {
        let is_allowed = |outcome: &Outcome| case.allows(&outcome.gets, &outcome.saw);
        need == app || is_allowed(need) && is_allowed(app)
    };
    compare([Kind::Need, Kind::App], corpus::all(), is_same).await;
}

/// What is answered here is the end of the way: all of a request is read before its answer, which is that of the
/// script when it says nothing.
#[tokio::test]
async fn a_request_that_is_answered_here_is_read_as_one_that_leads_to_an_instance() {
    let cases = corpus::all().filter(|case| case.answer().is_none());
    let is_same = |_case: &Case, need: &Outcome, here: &Outcome| need.gets == here.gets;
    compare([Kind::Need, Kind::Here], cases, is_same).await;
}
