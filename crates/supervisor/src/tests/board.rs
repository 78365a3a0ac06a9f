//! The picture and the events.

use crate::{
    EVENTS_MAX, Phase,
    board::Board,
    testing::{Node, name, service},
};
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn events_are_numbered_without_gaps_and_read_from_any_number() {
    let node = Node::ready(&[service("users", "ok").instances(2)]).await;
    let all = node.handle.events(0);
    assert!(all.iter().map(|e| e.seq).eq(1..=all.len() as u64));
    assert_eq!(node.handle.events(2), all[2..]);
    assert_eq!(node.handle.events_after(0).await, all);
    let last = all.last().unwrap().seq;
    let wait = node.handle.events_after(last);
    let users = name("users");
    let act = node.handle.stop_service(&users);
    let (new, done) = tokio::join!(wait, act);
    done.unwrap();
    assert_eq!(new[0].seq, last + 1);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_life_is_told_from_start_to_stop() {
    let node = Node::ready(&[service("users", "ok")]).await;
    node.handle.stop().await;
    let told: Vec<&str> = node.handle.events(0).iter().map(|e| e.kind).collect();
    assert_eq!(told, ["started", "ready", "draining", "stopping", "stopped"]);
    node.gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_picture_that_does_not_change_keeps_its_number() {
    let node = Node::ready(&[service("users", "ok")]).await;
    node.until("usage is seen", |s| s.services[0].instances[0].usage.is_some()).await;
    node.pass(7).await;
    let before = node.handle.status();
    // A probe is answered every second, but nothing to be seen comes of it before the next sample.
    node.pass(2).await;
    assert_eq!(node.handle.status().revision, before.revision);
    node.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_whole_goes_from_starting_to_ready_to_degraded_to_stopped() {
    let node = Node::start(&[service("users", "ok")]).await;
    let mut phases = vec![node.handle.status().phase];
    let watch = async {
        let mut status = node.handle.status();
        while status.phase != Phase::Stopped {
            status = node.handle.changed(status.revision).await;
            if phases.last() != Some(&status.phase) {
                phases.push(status.phase);
            }
        }
    };
    let act = async {
        node.until_phase(Phase::Ready).await;
        node.apply(&[service("users", "never ready")]).await;
        node.until_phase(Phase::Degraded).await;
        node.pass(1).await;
        node.handle.stop().await;
    };
    tokio::join!(watch, act);
    let phases: Vec<String> = phases.iter().map(|phase| format!("{phase:?}")).collect();
    assert_eq!(phases.join(" "), "Starting Ready Starting Degraded Stopping Stopped");
    node.gone().await;
}

#[test]
fn old_events_are_forgotten_and_numbers_go_on() {
    let board = Board::new("shop");
    for at in 0..EVENTS_MAX + 5 {
        board.say(None, None, "test", format!("{at}"));
    }
    let events = board.events(0);
    assert_eq!((events.len(), events[0].seq), (EVENTS_MAX, 6));
}

#[test]
fn revisions_and_numbers_never_go_back_whoever_writes() {
    let board = Arc::new(Board::new("shop"));
    let revisions = board.watch();
    let write = |board: Arc<Board>| {
        move || {
            for _ in 0..2_000 {
                board.arrange("shop", Vec::new());
                board.say(None, None, "test", "");
            }
        }
    };
    let writers: Vec<_> =
        (0..4).map(|_| runtime::thread("writer", write(Arc::clone(&board))).unwrap()).collect();
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(*revisions.borrow(), board.status().revision);
    assert_eq!(board.status().revision, 8_000);
    assert_eq!(board.events(0).last().unwrap().seq, 8_000);
}
