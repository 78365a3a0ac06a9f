//! Probes that open real connections, in real time: the fake host's `serves` answers HTTP on the instance's port.

use crate::{
    Phase,
    testing::{Make, Node, service},
};
use base::Code;
use manifest::{Check, Probe, Probes};
use std::time::Duration;

fn asked(line: &str, check: Check) -> Make {
    service("users", line).with(|s| {
        let probe = |failures| Probe {
            check,
            initial_delay: Duration::ZERO,
            period: Duration::from_millis(20),
            timeout: Duration::from_secs(5),
            failures,
            successes: 1,
        };
        let probe = probe(3);
        s.probes = Probes { startup: Some(probe.clone()), ready: Some(probe), live: None };
    })
}

fn http(path: &str) -> Check {
    Check::Http { path: path.to_owned(), port: None, headers: Vec::new() }
}

#[tokio::test]
async fn an_instance_is_ready_when_its_port_answers() {
    for check in [http("/ready"), Check::Tcp { port: None }] {
        let node = Node::ready(&[asked("serves", check)]).await;
        assert_eq!(node.world.routed(), ["users/1"]);
        node.stop().await;
    }
}

#[tokio::test]
async fn a_bad_answer_and_a_closed_port_are_told_as_they_are() {
    for (line, check, expected) in [
        ("serves", http("/health"), "/health answered 404 (3 times)"),
        ("ok", http("/ready"), "/ready was refused: nothing listens there (3 times)"),
        ("ok", Check::Tcp { port: None }, "was refused: nothing listens there (3 times)"),
    ] {
        let node = Node::start(&[asked(line, check)]).await;
        let problem = node.until_problem("users", Code::NOT_READY).await;
        assert!(problem.label.ends_with(expected), "{problem}");
        node.stop().await;
    }
}

#[tokio::test]
async fn a_node_that_starts_again_finds_what_it_left_by_asking() {
    let node = Node::ready(&[asked("serves", http("/ready"))]).await;
    let (world, system) = node.die().await;
    let node = Node::start_in(world, system).await;
    node.until_phase(Phase::Ready).await;
    assert_eq!(node.world.count("start users/1"), 1);
    node.stop().await;
}
