//! Many transfers at once, while the node and the banks are killed at random.

use super::{MODES, audit, banks, outcome, submit};
use crate::kit::{
    alone,
    processes::kill,
    wait::{eventually, within},
};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

const CLIENTS: usize = 4;
/// Kills, every third of them of the node.
const KILLS: usize = 15;
/// Between two kills.
const PERIOD: Duration = Duration::from_millis(400);

#[test]
fn transfers_in_a_storm_of_kills_move_every_sum_once_or_not_at_all() {
    let _alone = alone();
    let test = "transfers_in_a_storm_of_kills_move_every_sum_once_or_not_at_all";
    let Some(system) = banks(test) else { return };
    let taken = Mutex::new(BTreeMap::new());
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let client = || {
        while !stop.load(Ordering::SeqCst) {
            let number = next.fetch_add(1, Ordering::SeqCst);
            let mode = MODES[number % MODES.len()];
            let id = format!("storm-{number}-{mode}");
            let amount = i64::try_from(number).unwrap() + 1;
            // Every seventh goes to nobody.
            let to = if number % 7 == 6 { "zoe" } else { "bob" };
            // Until it is taken: the same under the same name is the same.
            eventually(&id, || submit(&system, &id, mode, to, amount).then_some(()));
            taken.lock().unwrap().insert(id, amount);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(client);
        }
        for number in 0..KILLS {
            within(PERIOD, &mut || None::<()>);
            if number % 3 == 2 {
                system.kill_node();
                system.up();
            } else {
                let service = ["north", "south"][number % 2];
                let status = system.status();
                if let Some((_, pid)) = status.pids(service).first() {
                    kill(*pid, Signal::KILL);
                }
            }
        }
        stop.store(true, Ordering::SeqCst);
    });
    let taken = taken.into_inner().unwrap();
    let ended: BTreeMap<String, (String, i64)> = taken
        .into_iter()
        .map(|(id, amount)| {
            let outcome = eventually(&format!("the end of {id}"), || outcome(&system, &id));
            (id, (outcome, amount))
        })
        .collect();
    let committed = ended.values().filter(|(outcome, _)| outcome == "committed").count();
    eprintln!("{KILLS} kills, {} transfers, {committed} committed", ended.len());
    assert!(committed > 0, "nothing was committed");
    audit(&system, &ended);
    system.down();
}
