//! `healthcheck` of a compose service, as readiness.

use super::{Convert, not_honoured, service::Parts};
use crate::{
    source::Mark,
    tree::{Entry, Node, Value},
};
use base::units;
use std::time::Duration;

/// Compose's defaults: https://docs.docker.com/reference/compose-file/services/#healthcheck
const INTERVAL: Duration = Duration::from_secs(30);
const RETRIES: u32 = 3;

impl Convert<'_> {
    pub(super) fn healthcheck(&mut self, owner: &str, entry: &Entry, parts: &mut Parts) {
        let (node, mark) = (&entry.value, &entry.key_mark);
        let known =
            ["test", "disable", "interval", "timeout", "retries", "start_period", "start_interval"];
        for part in node.entries().iter().filter(|part| !known.contains(&part.key.as_str())) {
            let key = format!("healthcheck.{}", part.key);
            not_honoured(self.problems, &key, owner, &part.key_mark);
        }
        let test = node.get("test");
        let off = test
            .is_some_and(|test| test.texts().first().and_then(|word| word.text()) == Some("NONE"));
        if off || node.get("disable").and_then(Node::text) == Some("true") {
            return;
        }
        let Some(command) = test.and_then(|test| command(test, mark)) else {
            // Without `test` it is the image's own, which only the engine knows.
            let mark = test.map_or(mark, |test| &test.mark);
            not_honoured(self.problems, "a healthcheck without a command", owner, mark);
            return;
        };
        let mut probe = Node::map(mark, vec![Entry::new("command", mark, command)]);
        let put = |probe: &mut Node, from: &str, to: &str, default: &str| {
            let value = node.get(from).cloned().unwrap_or_else(|| Node::scalar(mark, default));
            probe.set(Entry::new(to, mark, value));
        };
        put(&mut probe, "timeout", "timeout", "30s");
        if node.get("start_interval").is_some() {
            let mut startup = probe.clone();
            put(&mut startup, "start_interval", "period", "5s");
            parts.put_in("health", "startup", mark, startup);
        }
        put(&mut probe, "interval", "period", "30s");
        put(&mut probe, "retries", "failures", "3");
        let time = |key: &str| units::parse_duration(node.get(key)?.text()?).ok();
        let retries = node.get("retries").and_then(|node| node.text()?.parse::<u32>().ok());
        let failing =
            time("interval").unwrap_or(INTERVAL).saturating_mul(retries.unwrap_or(RETRIES).max(1));
        let start = time("start_period").unwrap_or_default().saturating_add(failing);
        let start = units::format_duration(start.max(Duration::from_secs(1)));
        parts.put_in("health", "ready", mark, probe);
        parts.put_in("health", "start_timeout", mark, Node::scalar(mark, start));
    }
}

/// A line for the shell, `[CMD-SHELL, line]` or `[CMD, program, …]`.
fn command(test: &Node, mark: &Mark) -> Option<Node> {
    if let Value::Scalar(line) = &test.value {
        return Some(Node::scalar(mark, line.as_str()));
    }
    let words = test.texts();
    match (words.first()?.text()?, words.get(1..)?) {
        ("CMD-SHELL", [line]) => Some(Node::scalar(mark, line.text()?)),
        ("CMD", rest @ [_, ..]) => {
            Some(Node::list(mark, rest.iter().map(|word| (*word).clone()).collect()))
        }
        _ => None,
    }
}
