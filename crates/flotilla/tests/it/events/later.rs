//! What happens at its time: schedules and delayed messages, also when the node dies meanwhile.

use super::{arrivals, publish, until, until_done};
use crate::kit::{System, wait::eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;

#[test]
fn schedules_go_on_after_the_node_was_killed() {
    let system = System::new(
        "
topics: { beat: {} }
services:
  shop:
    run: FIXTURE serve
    health: /ready
    env: { LEDGER: DIR/shop }
    subscribes: { beat: POST /beat/event }
schedules:
  tick: { every: 1s, call: POST shop/tick/event, data: { kind: short }, missed: once }
  beat: { every: 1s, publish: beat, data: [1, 2] }
  never: { every: 1s, call: POST shop/never/event, paused: true }
",
    );
    system.up();
    let of = |all: &[super::Arrival], path: &str| all.iter().filter(|it| it.path == path).count();
    let both = |all: &[super::Arrival], count: usize| {
        of(all, "/tick/event") >= count && of(all, "/beat/event") >= count
    };
    let all = until(&system, "shop", "two runs of both", |all| both(all, 2));
    let tick = all.iter().find(|it| it.path == "/tick/event").unwrap();
    assert_eq!(tick.method, "POST");
    assert!(tick.body.contains("short"), "{tick:?}");
    let beat = all.iter().find(|it| it.path == "/beat/event").unwrap();
    assert_eq!(beat.json()["data"], json!([1, 2]));
    system.flotilla("jobs ls").expect(0).says("tick").says("beat").says("never");

    system.kill_node();
    let before = arrivals(&system, "shop").len();
    system.up();
    let all = until(&system, "shop", "runs after it", |all| {
        both(all.get(before..).unwrap_or_default(), 2)
    });
    assert_eq!(of(&all, "/never/event"), 0);
    system.flotilla("jobs run never").expect(0);
    until(&system, "shop", "the run that was asked for", |all| of(all, "/never/event") == 1);
    let shown = system.flotilla("jobs show tick -o json").expect(0).json();
    assert!(shown["runs"].as_u64().unwrap() >= 4, "{shown:#}");
    system.down();
}

#[test]
fn a_delayed_message_comes_once_and_not_before_its_time() {
    let system = System::new(
        "
topics: { orders: {} }
services:
  shop:
    run: FIXTURE serve
    health: /ready
    env: { LEDGER: DIR/shop }
    subscribes: { orders: POST /event }
",
    );
    system.up();
    let later = |id: &str, ms: u64| {
        let message = json!({ "id": id, "data": { "id": id }, "after_ms": ms });
        let published = publish(&system, "orders", &message);
        assert_eq!(published["offset"], Value::Null, "{published:#}");
        let text = |name: &str| published[name].as_str().unwrap().to_owned();
        (text("later"), text("at"))
    };
    let (far, _) = later("far", 3_600_000);
    let (cancelled, _) = later("cancelled", 3_000_000);
    let (_, soon_at) = later("soon", 3_000);
    system.flotilla("topics publish orders {\"id\":\"now\"} --id now").expect(0);
    until_done(&system, "shop", 1);
    let waiting = system.flotilla("topics later orders").expect(0);
    for id in [&far, &cancelled] {
        assert!(waiting.out.contains(id.as_str()), "{}", waiting.out);
    }
    system.flotilla(&format!("topics later orders --cancel {cancelled}")).expect(0);
    system.kill_node();
    system.up();
    later("last", 4_000);
    let all = until_done(&system, "shop", 3);
    let ids: BTreeSet<_> =
        all.iter().map(|it| it.json()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["last", "now", "soon"].map(str::to_owned).into());
    let kept = system.api("GET", "/v1/topics/orders/messages", None).json();
    let soon = kept["messages"].as_array().unwrap().iter().find(|it| it["event"]["id"] == "soon");
    let came_at = soon.unwrap()["at"].as_str().unwrap();
    // To the second both are written in the same way.
    assert!(came_at.get(..19) >= soon_at.get(..19), "{came_at} is before {soon_at}");
    // What waits for an hour still does, and what was cancelled never came.
    let left = system.api("GET", "/v1/topics/orders/later", None).json();
    let left = left["messages"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(left[0]["id"], far.as_str());
    assert_eq!(arrivals(&system, "shop").len(), 3);
    system.down();
}

#[test]
fn a_run_that_fails_is_tried_again_and_said() {
    let system = System::new(
        "
services:
  shop: { run: FIXTURE serve, health: /ready, env: { LEDGER: DIR/shop } }
schedules:
  tick: { cron: '0 0 1 1 *', call: POST shop/tick/event, data: { kind: yearly }, retry: { max: 2, backoff: 10ms } }
",
    );
    system.up();
    super::answer(&system, "shop", "500 0 yearly\n");
    system.flotilla("jobs run tick").expect(0);
    until(&system, "shop", "both attempts", |all| all.len() == 2);
    let shown = eventually("the end of the run", || {
        let shown = system.flotilla("jobs show tick -o json").expect(0).json();
        (shown["last"]["outcome"] == "failed").then_some(shown)
    });
    assert_eq!(shown["last"]["attempts"], 2, "{shown:#}");
    assert!(shown["last"]["error"].as_str().unwrap().contains("500"), "{shown:#}");
    assert!(shown["next_at"].is_string(), "{shown:#}");
    system.down();
}
