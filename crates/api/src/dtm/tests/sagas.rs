//! Sagas: what becomes of them, in the rows and words of DTM.

use super::rig::{Rig, short};
use serde_json::{Value, json};

/// What happens to a saga of two steps, `/a` and `/b`, which `/ua` and `/ub` compensate.
struct Case {
    name: &'static str,
    /// Fields besides the usual ones.
    with: &'static str,
    /// What participants answer before they say yes: `path status body`.
    script: &'static [&'static str],
    /// How it ends, and its rows: compensation and action of each step.
    ends: &'static str,
    reason: &'static str,
    told: &'static str,
}

const USUAL: Case = Case {
    name: "usual",
    with: "{}",
    script: &[],
    ends: "succeed psps",
    reason: "",
    told: "/a /b",
};

const CASES: &[Case] = &[
    USUAL,
    Case {
        name: "refused",
        script: &["/b 409 no stock"],
        ends: "failed sssf",
        reason: "no stock",
        told: "/a /b /ub /ua",
        ..USUAL
    },
    Case {
        name: "refused-by-a-word",
        script: &["/b 200 {\"dtm_result\":\"FAILURE\"}"],
        ends: "failed sssf",
        reason: "FAILURE",
        told: "/a /b /ub /ua",
        ..USUAL
    },
    Case {
        name: "first-refused",
        script: &["/a 409 no stock"],
        ends: "failed sfpp",
        reason: "no stock",
        told: "/a /ua",
        ..USUAL
    },
    Case { name: "ongoing-once", script: &["/a 425 "], told: "/a /a /b", ..USUAL },
    Case { name: "ongoing-by-a-word", script: &["/a 200 ONGOING"], told: "/a /a /b", ..USUAL },
    Case { name: "unknown-once", script: &["/b 500 oops"], told: "/a /b /b", ..USUAL },
    Case {
        name: "compensation-fails-once",
        script: &["/b 409 no stock", "/ua 500 oops"],
        ends: "failed sssf",
        reason: "no stock",
        told: "/a /b /ub /ua /ua",
        ..USUAL
    },
    Case {
        name: "compensation-cannot-refuse",
        script: &["/b 409 no stock", "/ub 409 never"],
        ends: "failed sssf",
        reason: "no stock",
        told: "/a /b /ub /ub /ua",
        ..USUAL
    },
    Case {
        name: "limited",
        with: r#"{"retry_limit":1}"#,
        script: &["/b 500 oops", "/b 500 oops", "/b 500 oops"],
        ends: "failed sssp",
        reason: "RetryCount is greater than RetryLimit, RetryLimit: 1",
        told: "/a /b /b /ub /ua",
    },
    Case {
        name: "within-the-limit",
        with: r#"{"retry_limit":3,"wait_result":true}"#,
        script: &["/b 500 oops", "/b 500 oops"],
        told: "/a /b /b /b",
        ..USUAL
    },
    Case {
        name: "nulls-and-unknown-fields",
        with: r#"{"custom_data":null,"query_prepared":null,"protocol":null,"wait_result":false,"timeout_to_fail":0,
            "request_timeout":8,"retry_interval":0,"passthrough_headers":[],"branch_headers":{},"concurrent":false,
            "more":[1]}"#,
        ..USUAL
    },
];

fn saga(rig: &Rig, gid: &str, with: Value) -> Value {
    let mut saga = json!({
        "gid": gid,
        "trans_type": "saga",
        "steps": [
            { "action": rig.url("/a"), "compensate": rig.url("/ua") },
            { "action": rig.url("/b"), "compensate": rig.url("/ub") },
        ],
        "payloads": ["{\"amount\":30}", "{\"amount\":30}"],
    });
    let Value::Object(with) = with else { panic!() };
    saga.as_object_mut().unwrap().extend(with);
    saga
}

#[tokio::test]
async fn sagas_end_as_their_participants_answer() {
    for case in CASES {
        let rig = Rig::new().await;
        for line in case.script {
            let [path, status, body] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else {
                panic!()
            };
            rig.participant.says(path, &[(status.parse().unwrap(), body)]);
        }
        let with = serde_json::from_str(case.with).unwrap();
        rig.done("submit", saga(&rig, case.name, with)).await;
        let (status, rows) = case.ends.split_once(' ').unwrap();
        let answer = rig.until(case.name, status).await;
        assert_eq!(short(&answer), rows, "{}: {answer:#}", case.name);
        let reason = answer["transaction"]["rollback_reason"].as_str().unwrap_or_default();
        assert!(reason.contains(case.reason), "{}: {reason}", case.name);
        assert_eq!(reason.is_empty(), status == "succeed", "{}: {reason}", case.name);
        let told: Vec<_> = rig.participant.heard().into_iter().map(|heard| heard.path).collect();
        assert_eq!(told.join(" "), case.told, "{}", case.name);
    }
}

#[tokio::test]
async fn a_participant_sees_which_call_it_is() {
    let rig = Rig::new().await;
    let with = json!({ "branch_headers": { "x-tenant": "blue" } });
    rig.done("submit", saga(&rig, "seen", with)).await;
    rig.until("seen", "succeed").await;
    let heard = &rig.participant.heard()[1];
    assert_eq!((&*heard.method, &*heard.body), ("POST", "{\"amount\":30}"));
    for (name, value) in
        [("gid", "seen"), ("trans_type", "saga"), ("branch_id", "02"), ("op", "action")]
    {
        assert_eq!(heard.query[name], value);
    }
    assert_eq!(heard.headers["content-type"], "application/json");
    assert_eq!(heard.headers["x-tenant"], "blue");
}

#[tokio::test]
async fn a_step_without_a_url_is_done_and_one_without_a_payload_is_a_get() {
    let rig = Rig::new().await;
    let steps = json!([
        { "action": "", "compensate": "" },
        { "action": rig.url("/b?kind=x"), "compensate": rig.url("/ub") },
        { "action": rig.url("/c"), "compensate": "", "data": "{\"old\":1}" },
    ]);
    rig.done("submit", json!({ "gid": "empty", "trans_type": "saga", "steps": steps })).await;
    let answer = rig.until("empty", "succeed").await;
    assert_eq!(short(&answer), "pspsps", "{answer:#}");
    let heard = rig.participant.heard();
    assert_eq!((&*heard[0].method, &*heard[0].query["kind"]), ("GET", "x"));
    assert_eq!((&*heard[1].method, &*heard[1].body), ("POST", "{\"old\":1}"));
}

#[tokio::test]
async fn a_saga_that_takes_too_long_is_undone_as_far_as_it_came() {
    let rig = Rig::new().await;
    rig.participant.says("/a", &[(425, "")]);
    // Long enough for the first step to be called on a busy machine.
    let with = json!({ "timeout_to_fail": 3, "retry_interval": 600 });
    rig.done("submit", saga(&rig, "late", with)).await;
    let answer = rig.comes_to("late", "failed").await;
    assert_eq!(short(&answer), "sppp", "{answer:#}");
    assert_eq!(answer["transaction"]["rollback_reason"], "Timeout after 3 seconds");
}

#[tokio::test]
async fn what_is_submitted_twice_runs_once_and_not_after_its_end() {
    let rig = Rig::new().await;
    rig.participant.says("/a", &[(425, "")]);
    let once = saga(&rig, "twice", json!({ "retry_interval": 600 }));
    rig.done("submit", once.clone()).await;
    rig.until_heard("/a", 1).await;
    rig.done("submit", once.clone()).await;
    rig.refused("submit", saga(&rig, "twice", json!({ "steps": [{ "action": "" }] })), "else")
        .await;
    rig.until("twice", "succeed").await;
    assert_eq!(rig.participant.told(), ["/a action", "/a action", "/b action"]);
    rig.refused("submit", once, "current status 'succeed'").await;
}

#[tokio::test]
async fn who_waits_hears_the_outcome() {
    let rig = Rig::new().await;
    let waits = |with: &[(&str, Value)]| {
        let mut all = json!({ "wait_result": true, "retry_interval": 600 });
        all.as_object_mut().unwrap().extend(with.iter().map(|(k, v)| ((*k).to_owned(), v.clone())));
        all
    };
    rig.done("submit", saga(&rig, "good", waits(&[]))).await;
    assert_eq!(rig.query("good").await["transaction"]["status"], "succeed");
    rig.participant.says("/b", &[(409, "Insufficient balance")]);
    rig.refused("submit", saga(&rig, "bad", waits(&[])), "Insufficient balance").await;
    // It is not known yet how it ends: neither a success nor a failure.
    rig.participant.says("/a", &[(425, ""), (500, "oops")]);
    let (status, answer) = rig.post("submit", &saga(&rig, "slow", waits(&[]))).await;
    assert_eq!((status, &answer["dtm_result"]), (425, &json!("ONGOING")), "{answer}");
    let (status, answer) = rig.post("submit", &saga(&rig, "slow", waits(&[]))).await;
    assert_eq!(status, 425, "{answer}");
    rig.until("slow", "succeed").await;
}

#[tokio::test]
async fn steps_of_a_concurrent_saga_wait_for_those_before_them() {
    let rig = Rig::new().await;
    let orders = |orders: Value| {
        let custom = json!({ "concurrent": true, "orders": orders }).to_string();
        json!({ "concurrent": true, "custom_data": custom })
    };
    rig.participant.says("/a", &[(409, "no")]);
    rig.done("submit", saga(&rig, "behind", orders(json!({ "1": [0] })))).await;
    assert_eq!(short(&rig.until("behind", "failed").await), "sfpp");
    assert_eq!(rig.participant.told(), ["/a action", "/ua compensate"]);
    // The second one is before the first one here, and compensated after it.
    rig.participant.says("/a", &[(409, "no")]);
    rig.done("submit", saga(&rig, "before", orders(json!({ "0": [1] })))).await;
    let answer = rig.until("before", "failed").await;
    assert_eq!(short(&answer), "sfss", "{answer:#}");
    assert_eq!(answer["branches"][0]["branch_id"], "01");
    let told = rig.participant.told();
    assert_eq!(told[2..], ["/b action", "/a action", "/ua compensate", "/ub compensate"]);
    // Without orders both are asked, whatever the other one answers.
    rig.done("submit", saga(&rig, "both", orders(json!({})))).await;
    assert_eq!(short(&rig.until("both", "succeed").await), "psps");
}

#[tokio::test]
async fn an_operator_can_end_what_does_not_end() {
    let rig = Rig::new().await;
    rig.participant.says("/a", &[(425, "")]);
    rig.done("submit", saga(&rig, "stuck", json!({ "retry_interval": 600 }))).await;
    rig.until_heard("/a", 1).await;
    rig.refused("abort", json!({ "gid": "stuck", "trans_type": "saga" }), "cannot be aborted")
        .await;
    rig.done("forceStop", json!({ "gid": "stuck" })).await;
    rig.until("stuck", "failed").await;
    rig.refused("forceStop", json!({ "gid": "stuck" }), "").await;
    rig.refused("forceStop", json!({ "gid": "nobody" }), "nobody").await;
    assert_eq!(rig.participant.told(), ["/a action"]);
}

#[tokio::test]
async fn what_waits_for_long_can_be_hurried() {
    let rig = Rig::new().await;
    for gid in ["one", "two"] {
        rig.participant.says("/a", &[(425, "")]);
        rig.done("submit", saga(&rig, gid, json!({ "retry_interval": 600 }))).await;
    }
    rig.until_heard("/a", 2).await;
    // Until both answers are known there is nothing that waits.
    for gid in ["one", "two"] {
        let begun = std::time::Instant::now();
        while rig.query(gid).await["transaction"]["next_cron_time"].is_null() {
            assert!(begun.elapsed().as_secs() < 60, "{gid} never waits");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    let (_, nothing) = rig.get("resetCronTime?timeout=3600").await;
    assert_eq!(nothing, json!({ "has_remaining": false, "succeed_count": 0 }));
    let (_, first) = rig.get("resetCronTime?timeout=105&limit=1").await;
    assert_eq!(first, json!({ "has_remaining": true, "succeed_count": 1 }));
    for gid in ["one", "two"] {
        rig.until(gid, "succeed").await;
    }
    let (_, all) = rig.get("resetCronTime").await;
    assert_eq!(all, json!({ "has_remaining": false, "succeed_count": 0 }));
    rig.done("resetNextCronTime", json!({ "gid": "one" })).await;
}
