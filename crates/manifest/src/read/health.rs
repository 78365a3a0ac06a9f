//! `health` to the three probes.

use super::{
    Reader,
    values::{duration, port, whole, words},
};
use crate::{
    Check, Probe, Probes, Program,
    shape::Form,
    tree::{Node, Value},
};
use base::{Code, Diagnostic};
use std::time::Duration;

/// How often a starting instance is asked. Kubernetes asks every 10 s and we while serving too; but what people
/// wait for is the first start, and a connection to loopback costs nothing.
const STARTUP_PERIOD: Duration = Duration::from_millis(200);
/// A command is a process each time.
const STARTUP_PERIOD_COMMAND: Duration = Duration::from_secs(1);
const PERIOD: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(1);
/// A command starts an interpreter before it asks anything.
const TIMEOUT_COMMAND: Duration = Duration::from_secs(10);
const START_TIMEOUT: Duration = Duration::from_secs(30);
const FAILURES: u32 = 3;

impl Reader<'_> {
    /// The probes of a service; a worker without `health` has none.
    pub(super) fn health(&mut self, node: Option<&Node>, listens: bool) -> Probes {
        let default = listens.then_some(Check::Tcp { port: None });
        let keys = node.filter(|node| node.text().is_none());
        let part = |name: &str| keys.and_then(|node| node.get(name));
        let start_timeout = duration(part("start_timeout")).unwrap_or(START_TIMEOUT);
        if let Some(path) = node.and_then(Node::text) {
            let check = Check::Http { path: path.to_owned(), port: None, headers: Vec::new() };
            return Probes {
                startup: Some(startup(check.clone(), start_timeout)),
                ready: Some(serving(check)),
                live: None,
            };
        }
        let ready =
            part("ready").map(|node| self.probe(node, serving)).or_else(|| default.map(serving));
        let live = part("live").map(|node| self.probe(node, serving));
        let startup = match part("startup") {
            Some(node) => Some(self.probe(node, |check| startup(check, start_timeout))),
            // Until it was ready once: what follows from `ready` is asked more often while it starts.
            None => ready.as_ref().map(|ready| {
                let first = startup(ready.check.clone(), start_timeout);
                Probe { timeout: ready.timeout, initial_delay: ready.initial_delay, ..first }
            }),
        };
        Probes { startup, ready, live }
    }

    /// One probe: a path, or a map whose keys change what `defaults` gives.
    fn probe(&mut self, node: &Node, defaults: impl Fn(Check) -> Probe) -> Probe {
        let own_port = port(node.get("port"));
        let kinds: Vec<&str> = ["http", "tcp", "command", "grpc"]
            .into_iter()
            .filter(|kind| node.get(kind).is_some())
            .collect();
        if let [first, second, ..] = kinds.as_slice() {
            let message = format!("a probe asks one thing, this one asks `{first}` and `{second}`");
            let place = node.entry(second).map_or(&node.mark, |entry| &entry.key_mark).place();
            self.problems.add(Diagnostic::error(Code::BAD_VALUE, message).at(place, "remove one"));
        }
        let check = match (node.text(), kinds.first().copied()) {
            (Some(path), _) => {
                Check::Http { path: path.to_owned(), port: None, headers: Vec::new() }
            }
            (None, Some("http")) => Check::Http {
                path: node.get("http").and_then(Node::text).unwrap_or("/").to_owned(),
                port: own_port,
                headers: headers(node.get("headers")),
            },
            (None, Some("grpc")) => {
                let service = node.get("grpc").and_then(Node::text).filter(|name| *name != "true");
                Check::Grpc { service: service.unwrap_or_default().to_owned(), port: own_port }
            }
            (None, Some("command")) => Check::Command(command(node.get("command"))),
            (None, _) => Check::Tcp { port: port(node.get("tcp")).or(own_port) },
        };
        let base = defaults(check);
        let period = duration(node.get("period"));
        self.zero(node.get("period"), period);
        self.zero(node.get("timeout"), duration(node.get("timeout")));
        let start_time = base.period.saturating_mul(base.failures);
        let period = period.filter(|period| !period.is_zero()).unwrap_or(base.period);
        // A startup probe with a slower period still ends after `start_timeout`.
        let failures = if base.failures == FAILURES { FAILURES } else { times(start_time, period) };
        Probe {
            initial_delay: duration(node.get("initial_delay")).unwrap_or(base.initial_delay),
            period,
            timeout: duration(node.get("timeout"))
                .filter(|time| !time.is_zero())
                .unwrap_or(base.timeout),
            failures: whole(node.get("failures")).unwrap_or(failures),
            successes: whole(node.get("successes")).unwrap_or(base.successes),
            check: base.check,
        }
    }

    fn zero(&mut self, node: Option<&Node>, time: Option<Duration>) {
        if let (Some(node), Some(Duration::ZERO)) = (node, time) {
            let message = "a probe cannot have a time of 0 here";
            let expected = format!("must be {} above 0", Form::Duration.expected());
            self.problems.error(Code::BAD_VALUE, &node.mark, message, expected, "");
        }
    }
}

/// A probe of a running instance.
fn serving(check: Check) -> Probe {
    let timeout = if matches!(check, Check::Command(_)) { TIMEOUT_COMMAND } else { TIMEOUT };
    Probe {
        check,
        initial_delay: Duration::ZERO,
        period: PERIOD,
        timeout,
        failures: FAILURES,
        successes: 1,
    }
}

/// A probe of a starting instance: asked often, for `start_timeout` in all.
fn startup(check: Check, start_timeout: Duration) -> Probe {
    let period =
        if matches!(check, Check::Command(_)) { STARTUP_PERIOD_COMMAND } else { STARTUP_PERIOD };
    Probe { period, failures: times(start_timeout, period), ..serving(check) }
}

/// How many periods fit, at least one.
fn times(whole: Duration, period: Duration) -> u32 {
    let count = whole.as_millis().div_ceil(period.as_millis().max(1));
    u32::try_from(count).unwrap_or(u32::MAX).max(1)
}

/// A command of a probe: a line for the shell, or a list.
pub(super) fn command(node: Option<&Node>) -> Program {
    match node.map(|node| &node.value) {
        Some(Value::Scalar(line)) => Program::Shell(line.clone()),
        _ => Program::Exec(words(node).unwrap_or_default()),
    }
}

fn headers(node: Option<&Node>) -> Vec<(String, String)> {
    let entries = node.map(Node::entries).unwrap_or_default();
    let pair = |entry: &crate::tree::Entry| {
        (entry.key.clone(), entry.value.text().unwrap_or_default().to_owned())
    };
    entries.iter().map(pair).collect()
}
