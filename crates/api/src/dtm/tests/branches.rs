//! TCC and XA: clients open them, make branches known, call these themselves and say how it went.

use super::rig::{Rig, short};
use serde_json::{Value, json};

fn tcc(gid: &str) -> Value {
    json!({ "gid": gid, "trans_type": "tcc" })
}

fn xa(gid: &str) -> Value {
    json!({ "gid": gid, "trans_type": "xa" })
}

/// As `dtmcli` makes a branch known.
fn branch(rig: &Rig, gid: &str, id: &str) -> Value {
    json!({
        "gid": gid, "branch_id": id, "trans_type": "tcc", "status": "prepared",
        "data": "{\"amount\":30}",
        "confirm": rig.url(&format!("/confirm{id}")), "cancel": rig.url(&format!("/cancel{id}")),
    })
}

fn xa_branch(rig: &Rig, gid: &str, id: &str) -> Value {
    let url = rig.url(&format!("/xa{id}"));
    json!({ "gid": gid, "branch_id": id, "trans_type": "xa", "url": url })
}

#[tokio::test]
async fn a_tcc_is_confirmed_in_reverse_order() {
    let rig = Rig::new().await;
    rig.done("prepare", tcc("good")).await;
    rig.done("prepare", tcc("good")).await;
    for id in ["01", "02"] {
        rig.done("registerBranch", branch(&rig, "good", id)).await;
    }
    let open = rig.query("good").await;
    assert_eq!((&open["transaction"]["status"], &*short(&open)), (&json!("prepared"), "pppp"));
    rig.done("submit", tcc("good")).await;
    let answer = rig.until("good", "succeed").await;
    assert_eq!(short(&answer), "psps", "{answer:#}");
    assert_eq!(rig.participant.told(), ["/confirm02 confirm", "/confirm01 confirm"]);
    let heard = &rig.participant.heard()[0];
    assert_eq!((&*heard.method, &*heard.body), ("POST", "{\"amount\":30}"));
    assert_eq!((&*heard.query["trans_type"], &*heard.query["branch_id"]), ("tcc", "02"));
    rig.refused("prepare", tcc("good"), "current status 'succeed'").await;
    rig.refused("submit", tcc("good"), "current status 'succeed'").await;
    rig.refused("abort", tcc("good"), "current status 'succeed'").await;
    rig.refused("registerBranch", branch(&rig, "good", "03"), "").await;
}

#[tokio::test]
async fn a_tcc_is_cancelled_when_its_client_gives_it_up() {
    let rig = Rig::new().await;
    rig.participant.says("/cancel02", &[(425, ""), (409, "never")]);
    rig.done("prepare", tcc("bad")).await;
    for id in ["01", "02"] {
        rig.done("registerTccBranch", branch(&rig, "bad", id)).await;
    }
    let mut abort = tcc("bad");
    abort["rollback_reason"] = json!("02 said FAILURE");
    rig.done("abort", abort.clone()).await;
    rig.until_heard("/cancel02", 1).await;
    assert_eq!(rig.query("bad").await["transaction"]["status"], "aborting");
    rig.done("abort", abort).await;
    rig.refused("submit", tcc("bad"), "cannot be submitted").await;
    let answer = rig.until("bad", "failed").await;
    assert_eq!(short(&answer), "spsp", "{answer:#}");
    assert_eq!(answer["transaction"]["rollback_reason"], "02 said FAILURE");
    let cancels = ["/cancel02 cancel", "/cancel02 cancel", "/cancel02 cancel", "/cancel01 cancel"];
    assert_eq!(rig.participant.told(), cancels);
}

#[tokio::test]
async fn words_of_users_are_never_taken_for_the_answer_of_the_coordinator() {
    let rig = Rig::new().await;
    rig.done("prepare", tcc("words")).await;
    let mut abort = tcc("words");
    abort["rollback_reason"] = json!("FAILURE, not ONGOING");
    rig.done("abort", abort).await;
    rig.until("words", "failed").await;
    let request = http::Request::get("/api/dtmsvr/query?gid=words").body(bytes::Bytes::new());
    let (status, text) = rig.text(request.unwrap()).await;
    assert_eq!(status, 200);
    assert!(!text.contains("FAILURE") && !text.contains("ONGOING"), "{text}");
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(read["transaction"]["rollback_reason"], "FAILURE, not ONGOING");
}

#[tokio::test]
async fn a_tcc_that_stays_open_is_cancelled_and_takes_no_more_branches() {
    let rig = Rig::new().await;
    let mut open = tcc("late");
    // Long enough for a branch to be made known on a busy machine.
    open["timeout_to_fail"] = json!(4);
    rig.done("prepare", open).await;
    rig.done("registerBranch", branch(&rig, "late", "01")).await;
    let answer = rig.comes_to("late", "failed").await;
    assert_eq!(short(&answer), "sp", "{answer:#}");
    assert_eq!(answer["transaction"]["rollback_reason"], "Timeout after 4 seconds");
    rig.refused("registerBranch", branch(&rig, "late", "02"), "").await;
    rig.refused("registerBranch", branch(&rig, "unknown", "01"), "unknown").await;
}

#[tokio::test]
async fn an_xa_is_committed_forwards_without_a_payload() {
    let rig = Rig::new().await;
    rig.done("prepare", xa("good")).await;
    for id in ["01", "02"] {
        rig.done("registerXaBranch", xa_branch(&rig, "good", id)).await;
    }
    rig.done("submit", xa("good")).await;
    let answer = rig.until("good", "succeed").await;
    assert_eq!(short(&answer), "psps", "{answer:#}");
    assert_eq!(answer["transaction"]["trans_type"], "xa");
    assert_eq!(rig.participant.told(), ["/xa01 commit", "/xa02 commit"]);
    let heard = &rig.participant.heard()[0];
    assert_eq!((&*heard.method, &*heard.query["trans_type"]), ("POST", "xa"));
}

#[tokio::test]
async fn an_xa_is_rolled_back_where_it_was_made_known() {
    let rig = Rig::new().await;
    rig.done("prepare", xa("bad")).await;
    rig.done("registerBranch", xa_branch(&rig, "bad", "01")).await;
    let mut abort = xa("bad");
    abort["wait_result"] = json!(true);
    rig.done("abort", abort).await;
    let answer = rig.until("bad", "failed").await;
    assert_eq!(short(&answer), "sp", "{answer:#}");
    assert_eq!(rig.participant.told(), ["/xa01 rollback"]);
}

#[tokio::test]
async fn a_transaction_without_branches_ends_at_once() {
    let rig = Rig::new().await;
    for (gid, body) in [("tcc", tcc("tcc")), ("xa", xa("xa"))] {
        rig.done("submit", body).await;
        assert_eq!(short(&rig.until(gid, "succeed").await), "");
    }
    rig.refused("abort", tcc("nothing"), "nothing").await;
    rig.refused("submit", xa("tcc"), "is a tcc, not a xa").await;
}
