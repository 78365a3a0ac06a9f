//! A kill at every call of every mode, of the node and of the participant, before and after the work of the call.

use super::{audit, banks, outcome, submit};
use crate::kit::{System, wait::eventually};
use serde_json::json;
use std::{collections::BTreeMap, fs};

/// Where it strikes: mode, who is paid (nobody has an account `zoe`), branch, operation.
const CALLS: [(&str, &str, &str, &str); 19] = [
    ("saga", "bob", "debit", "action"),
    ("saga", "bob", "credit", "action"),
    ("saga", "zoe", "credit", "action"),
    ("saga", "zoe", "debit", "compensate"),
    ("tcc", "bob", "debit", "try"),
    ("tcc", "bob", "credit", "try"),
    ("tcc", "bob", "debit", "confirm"),
    ("tcc", "bob", "credit", "confirm"),
    ("tcc", "zoe", "debit", "cancel"),
    ("2pc", "bob", "credit", "prepare"),
    ("2pc", "bob", "debit", "commit"),
    ("2pc", "bob", "credit", "commit"),
    ("2pc", "zoe", "debit", "rollback"),
    ("3pc", "bob", "debit", "can_commit"),
    ("3pc", "bob", "credit", "pre_commit"),
    ("3pc", "bob", "credit", "commit"),
    ("3pc-classic", "bob", "debit", "can_commit"),
    ("3pc-classic", "bob", "credit", "pre_commit"),
    ("3pc-classic", "bob", "credit", "commit"),
];

const AMOUNT: i64 = 7;

#[test]
fn a_kill_of_the_node_at_any_call_leaves_no_transfer_half_done() {
    let test = "a_kill_of_the_node_at_any_call_leaves_no_transfer_half_done";
    let Some(system) = banks(test) else { return };
    run(&system, true);
    system.down();
}

#[test]
fn a_kill_of_a_participant_at_any_call_leaves_no_transfer_half_done() {
    let test = "a_kill_of_a_participant_at_any_call_leaves_no_transfer_half_done";
    let Some(system) = banks(test) else { return };
    run(&system, false);
    system.down();
}

fn run(system: &System, kills_node: bool) {
    let mut ended = BTreeMap::new();
    for (mode, to, branch, op) in CALLS {
        for moment in ["before", "after"] {
            let id = format!("{mode}-{to}-{branch}-{op}-{moment}");
            let outcome = strike(system, &id, (mode, to, branch, op), moment, kills_node);
            let may_abort = to == "zoe" || (kills_node && is_vote(op));
            let must_abort = to == "zoe";
            assert!(outcome != "aborted" || may_abort, "{id} {outcome}");
            assert!(outcome != "committed" || !must_abort, "{id} {outcome}");
            ended.insert(id, (outcome, AMOUNT));
        }
    }
    audit(system, &ended);
}

/// Of two and three phases: a coordinator that dies before the decision aborts.
fn is_vote(op: &str) -> bool {
    matches!(op, "prepare" | "can_commit" | "pre_commit")
}

/// Runs one transfer with one fault to its end.
fn strike(
    system: &System,
    id: &str,
    (mode, to, branch, op): (&str, &str, &str, &str),
    moment: &str,
    kills_node: bool,
) -> String {
    let struck = system.dir().join("fault.struck");
    if struck.exists() {
        fs::remove_file(&struck).unwrap();
    }
    let node = if kills_node { system.node() } else { 0 };
    let fault = json!({ "gid": id, "branch": branch, "op": op, "moment": moment, "node": node });
    system.file("fault.next", &fault.to_string());
    // In one step, so that nobody reads half of it.
    fs::rename(system.dir().join("fault.next"), system.dir().join("fault")).unwrap();
    // The node may die before it has answered: then nobody knows whether it was taken, and the client asks again.
    let was_taken = submit(system, id, mode, to, AMOUNT);
    eventually(&format!("the fault of {id}"), || struck.exists().then_some(()));
    if kills_node {
        eventually("the end of the node", || (!crate::kit::processes::lives(node)).then_some(()));
        system.up();
    }
    if !was_taken {
        eventually("the same transfer again", || {
            submit(system, id, mode, to, AMOUNT).then_some(())
        });
    }
    eventually(&format!("the end of {id}"), || outcome(system, id))
}
