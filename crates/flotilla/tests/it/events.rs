//! Events as services and operators see them: messages that are pushed, what becomes of those that fail, schedules, outboxes
//! and streams, over restarts and kills.

mod failures;
mod later;
mod ledger;
pub(crate) mod nats;
mod outbox;
mod postgres;
mod push;
mod streams;
mod traces;

use crate::kit::{
    System,
    wait::{eventually, pause},
};
use serde_json::{Value, json};
use std::fs;

/// What a service was sent, as it noted it itself.
#[derive(Clone, Debug)]
struct Arrival {
    /// What it answered.
    status: u64,
    instance: String,
    method: String,
    path: String,
    headers: Value,
    body: String,
}

impl Arrival {
    fn header(&self, name: &str) -> &str {
        self.headers[name].as_str().unwrap_or_default()
    }

    /// Which attempt it was.
    fn attempt(&self) -> u64 {
        self.header("flotilla-attempt").parse().unwrap()
    }

    /// The body as JSON; for a structured event, its attributes and its data.
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {self:?}"))
    }

    /// A number in the data of a structured event.
    fn number(&self, name: &str) -> u64 {
        self.json()["data"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    fn is_done(&self) -> bool {
        self.status == 200
    }
}

/// All that was written into the ledger `name`, in order.
fn arrivals(system: &System, name: &str) -> Vec<Arrival> {
    let text = fs::read_to_string(system.dir().join(name)).unwrap_or_default();
    // The last line may be half there.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let arrival = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line}"));
        let request = &line["request"];
        let text = |name: &str| request[name].as_str().unwrap().to_owned();
        Arrival {
            status: line["status"].as_u64().unwrap(),
            instance: text("instance"),
            method: text("method"),
            path: text("path"),
            headers: request["headers"].clone(),
            body: text("body"),
        }
    };
    whole.lines().map(arrival).collect()
}

/// Waits until the ledger `name` is as `is_so` wants it.
#[track_caller]
fn until(
    system: &System,
    name: &str,
    what: &str,
    is_so: impl Fn(&[Arrival]) -> bool,
) -> Vec<Arrival> {
    eventually(what, || {
        let found = arrivals(system, name);
        is_so(&found).then_some(found)
    })
}

/// Waits until as many messages are done as `count`.
#[track_caller]
fn until_done(system: &System, name: &str, count: usize) -> Vec<Arrival> {
    until(system, name, &format!("{count} done in {name}"), |all| {
        all.iter().filter(|it| it.is_done()).count() >= count
    })
}

/// Says how the services with the ledger `name` answer: lines of `STATUS MS TEXT`, for messages with the text in their bodies.
fn answer(system: &System, name: &str, lines: &str) {
    system.file(&format!("{name}.next"), lines);
    let path = |what: &str| system.dir().join(format!("{name}.{what}"));
    // In one step, so that nobody reads half of it.
    fs::rename(path("next"), path("answers")).unwrap();
}

/// Publishes by the admin API.
#[track_caller]
fn publish(system: &System, topic: &str, message: &Value) -> Value {
    let path = format!("/v1/topics/{}/messages", topic.replace('/', "%2F"));
    let answer = system.api("POST", &path, Some(message));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A subscription as the node shows it.
#[track_caller]
fn subscription(system: &System, topic: &str, group: &str) -> Option<Value> {
    let all = system.flotilla("subscriptions -o json").expect(0).json();
    let all = all["subscriptions"].as_array().unwrap();
    all.iter().find(|it| it["topic"] == topic && it["group"] == group).cloned()
}

/// A group of a topic as the broker shows it.
#[track_caller]
fn group(system: &System, topic: &str, name: &str) -> Option<Value> {
    let all = system.flotilla(&format!("topics groups {topic} -o json")).expect(0).json();
    all["groups"].as_array().unwrap().iter().find(|it| it["name"] == name).cloned()
}

/// Waits until a group has settled all there is.
#[track_caller]
fn until_settled(system: &System, topic: &str, name: &str) {
    eventually(&format!("the end of what {name} has to do"), || {
        pause();
        let it = group(system, topic, name)?;
        (it["lag"] == 0 && it["in_flight"] == 0).then_some(())
    });
}

/// The dead letters of a topic.
#[track_caller]
fn dead(system: &System, topic: &str) -> Vec<Value> {
    let done = system.flotilla(&format!("topics dlq ls {topic} -o json")).expect(0);
    done.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A message of some key.
fn keyed(key: &str, data: &Value) -> Value {
    json!({ "key": key, "data": data })
}
