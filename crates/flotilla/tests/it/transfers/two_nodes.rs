//! Two nodes on one etcd: they share the work, and what one leaves the other finishes.

use super::{MODES, audit, file, has_python, open_accounts, outcome, submit};
use crate::kit::{
    System,
    etcd::Etcd,
    processes::{kill, lives},
    wait::eventually,
};
use rustix::process::Signal;
use serde_json::json;
use std::{collections::BTreeMap, fs};

const AMOUNT: i64 = 3;

#[test]
fn what_a_killed_node_has_begun_is_finished_by_another() {
    let test = "what_a_killed_node_has_begun_is_finished_by_another";
    if !has_python(test) {
        return;
    }
    let (first, second) = (System::empty(), System::empty());
    let Some(etcd) = Etcd::start(test, &second) else { return };
    for system in [&first, &second] {
        let head = format!(
            "name: transfer\nengines: {{ kv: {{ url: 'etcd://127.0.0.1:{}', prefix: transfer }} }}",
            etcd.port()
        );
        // Each node has banks of its own, over the same databases.
        let database = format!("sqlite://{}/BANK_NAME.db", second.dir().display());
        file(system, &head, "", &format!(", DATABASE_URL: '{database}'"));
        system.up();
    }
    open_accounts(&second);
    let mut ids = Vec::new();
    for (number, mode) in MODES.iter().cycle().take(20).enumerate() {
        let system = if number % 2 == 0 { &first } else { &second };
        let id = format!("shared-{number}");
        eventually(&id, || submit(system, &id, mode, "bob", AMOUNT).then_some(()));
        ids.push(id);
    }
    // Each mode has one that dies with its node: after the decision, before the participant has heard of it.
    for (mode, branch, op) in
        [("saga", "credit", "action"), ("tcc", "credit", "confirm"), ("2pc", "credit", "commit")]
    {
        let id = format!("left-{mode}");
        let node = first.node();
        let fault =
            json!({ "gid": id, "branch": branch, "op": op, "moment": "before", "node": node });
        first.file("fault.next", &fault.to_string());
        fs::rename(first.dir().join("fault.next"), first.dir().join("fault")).unwrap();
        let was_taken = submit(&first, &id, mode, "bob", AMOUNT);
        eventually("the end of the first node", || (!lives(node)).then_some(()));
        // Its banks too: as when the machine is gone.
        first.processes().iter().for_each(|process| kill(process.pid, Signal::KILL));
        if !was_taken {
            eventually(&id, || submit(&second, &id, mode, "bob", AMOUNT).then_some(()));
        }
        let ended = eventually(&format!("the end of {id}"), || outcome(&second, &id));
        assert_eq!(ended, "committed", "{id}");
        ids.push(id);
        first.up();
    }
    let ended: BTreeMap<String, (String, i64)> = ids
        .into_iter()
        .map(|id| {
            let outcome = eventually(&format!("the end of {id}"), || outcome(&second, &id));
            (id, (outcome, AMOUNT))
        })
        .collect();
    audit(&second, &ended);
    first.down();
    second.down();
}
