//! Clauses about many callers at the same time.

use super::{
    Dice, Recorder, Task, World, get,
    history::{Act, Answer},
    ok, put,
};
use crate::kv::{Is, Outcome, Revision, Transaction};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

/// Of those who create a key at the same time, one does; the others are told of it.
pub async fn one_of_many_creators_wins(world: &dyn World) {
    let kv = world.open().await;
    for round in 0..10 {
        let wins: Arc<Mutex<Vec<Revision>>> = Arc::default();
        let key = format!("k/{round}");
        let tasks = (0..16).map(|number: usize| -> Task {
            let (kv, wins, key) = (Arc::clone(&kv), Arc::clone(&wins), key.clone());
            Box::pin(async move {
                let create = Transaction::put(key.clone(), number.to_string());
                match ok(kv.commit(create.when(key, Is::Missing)).await) {
                    Outcome::Committed { revision } => {
                        wins.lock().unwrap_or_else(PoisonError::into_inner).push(revision);
                    }
                    Outcome::Refused { found, .. } => {
                        assert!(matches!(found.as_slice(), [Some(_)]), "{found:?}");
                    }
                }
            })
        });
        world.together(tasks.collect()).await;
        let wins = wins.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let entry = get(&*kv, &key).await.expect("somebody created it");
        assert_eq!((entry.version, wins), (1, vec![entry.created]));
    }
}

/// Reading, adding one, and writing if nobody was quicker counts right.
pub async fn no_increment_is_lost(world: &dyn World) {
    const TASKS: u64 = 8;
    const EACH: u64 = 20;
    let kv = world.open().await;
    put(&*kv, "k", "0").await;
    let tasks = (0..TASKS).map(|_| -> Task {
        let kv = Arc::clone(&kv);
        Box::pin(async move {
            for _ in 0..EACH {
                let mut seen = get(&*kv, "k").await;
                loop {
                    let entry = seen.expect("nobody deletes it");
                    let text = std::str::from_utf8(&entry.value).expect("it is a number");
                    let next = text.parse::<u64>().expect("it is a number") + 1;
                    let write = Transaction::put("k", next.to_string())
                        .when("k", Is::ModifiedAt(entry.modified));
                    match ok(kv.commit(write).await) {
                        Outcome::Committed { .. } => break,
                        Outcome::Refused { mut found, .. } => seen = found.pop().flatten(),
                    }
                }
            }
        })
    });
    world.together(tasks.collect()).await;
    let entry = get(&*kv, "k").await.expect("nobody deletes it");
    assert_eq!(entry.value, (TASKS * EACH).to_string().as_bytes());
    assert_eq!(entry.version, TASKS * EACH + 1);
}

/// Whatever many callers do to a few keys looks as if they had done it one after the other.
pub async fn calls_of_many_have_one_order(world: &dyn World) {
    const TASKS: u64 = 12;
    const CALLS: u64 = 60;
    const KEYS: u64 = 3;
    let kv = world.open().await;
    for round in 0..3_u64 {
        let recorder = Arc::new(Recorder::new(format!("round {round}/")));
        let swaps = Arc::new(AtomicUsize::new(0));
        let tasks = (0..TASKS).map(|task| -> Task {
            let (kv, recorder, swaps) =
                (Arc::clone(&kv), Arc::clone(&recorder), Arc::clone(&swaps));
            Box::pin(async move {
                let mut dice = Dice(round * TASKS + task);
                let mut seen = [None; 3];
                for _ in 0..CALLS {
                    let key = usize::try_from(dice.roll(KEYS)).unwrap_or(0);
                    let act = match dice.roll(10) {
                        0..4 => Act::Get,
                        4..6 => Act::Put(recorder.value()),
                        6..9 => Act::Swap { from: seen[key], to: recorder.value() },
                        _ => Act::Delete,
                    };
                    let answer = ok(recorder.perform(&*kv, key, act).await);
                    match (act, answer) {
                        (_, Answer::Read(value) | Answer::Refused(value)) => seen[key] = value,
                        (Act::Put(value), _) => seen[key] = Some(value),
                        (Act::Swap { to, .. }, _) => {
                            swaps.fetch_add(1, Ordering::Relaxed);
                            seen[key] = Some(to);
                        }
                        (Act::Get | Act::Delete, _) => seen[key] = None,
                    }
                }
            })
        });
        world.together(tasks.collect()).await;
        recorder.assert_linearizable();
        assert!(swaps.load(Ordering::Relaxed) > 0, "no swap succeeded: the test shows little");
    }
}
