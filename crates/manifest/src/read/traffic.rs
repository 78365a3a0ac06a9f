//! Times, retries, stickiness, and the bounds of a service's traffic.

use super::{
    Reader,
    values::{duration, flag, millis, percent, whole},
};
use crate::{
    Balance, Retries, Sticky, Timeouts, Traffic,
    shape::Form,
    tree::{Node, Value},
};
use base::Code;
use logic::{
    balance::Algorithm,
    breaker::{self, Failures},
    outlier,
    retry::Statuses,
};
use std::time::Duration;

impl Reader<'_> {
    /// `traffic`, `timeout` and `retries` of a service.
    pub(super) fn traffic(&mut self, service: &Node, balance: &Balance) -> Traffic {
        let node = service.get("traffic");
        let part = |name: &str| node.and_then(|node| node.get(name));
        let default = Traffic::default();
        let sticky = self.sticky(part("sticky")).unwrap_or(Sticky::Off);
        if let (Sticky::Cookie { .. }, Algorithm::ConsistentHash, Some(at)) =
            (&sticky, balance.algorithm, part("sticky"))
        {
            let message = "a service cannot be `sticky` and balanced by `consistent_hash`";
            let label = "both say which instance a client goes to";
            self.problems.error(Code::BAD_VALUE, &at.mark, message, label, "remove one of them");
        }
        let limits = breaker::Limits {
            concurrent_max: whole(part("max_requests")).unwrap_or(default.limits.concurrent_max),
            pending_max: whole(part("max_pending")).unwrap_or(default.limits.pending_max),
        };
        Traffic {
            timeouts: self.timeouts(service.get("timeout")),
            retries: self.retries(service),
            limits,
            max_connections: whole(part("max_connections")),
            pending_timeout: duration(part("pending_timeout")).unwrap_or(default.pending_timeout),
            slow_start: duration(part("slow_start")).unwrap_or(default.slow_start),
            sticky,
            breaker: self.breaker(part("breaker")),
            outlier: self.outlier(part("outlier")),
            shed: flag(part("shed")).unwrap_or(default.shed),
        }
    }

    /// `timeout`: a duration, or a map.
    pub(super) fn timeouts(&mut self, node: Option<&Node>) -> Timeouts {
        let Some(node) = node else { return Timeouts::default() };
        let part = |name: &str| node.get(name);
        let whole = node.text().is_some().then_some(node);
        let response_node = whole.or_else(|| part("response"));
        let times = Timeouts {
            connect: self.above_zero(part("connect"), "1s"),
            response: self.above_zero(response_node, "60s"),
            idle: duration(part("idle")),
            overall: duration(part("overall")),
        };
        if let (Some(response), Some(overall), Some(at)) =
            (times.response, times.overall, part("overall"))
            && overall < response
            && !overall.is_zero()
        {
            let message = "`overall` is shorter than `response`, which it has in it";
            self.problems.error(
                Code::BAD_VALUE,
                &at.mark,
                message,
                "",
                "make it longer, or 0 for none",
            );
        }
        times
    }

    /// A time that must not be 0.
    fn above_zero(&mut self, node: Option<&Node>, default: &str) -> Option<Duration> {
        let time = duration(node)?;
        if let (Some(node), true) = (node, time < Duration::from_millis(1)) {
            let message = "nothing can be done in a time of 0";
            let help = format!("leave it out for {default}");
            self.problems.error(Code::BAD_VALUE, &node.mark, message, "", &help);
            return None;
        }
        Some(time)
    }

    /// `retries` of `owner`: a number, or a map.
    pub(super) fn retries(&mut self, owner: &Node) -> Retries {
        let Some(node) = owner.get("retries") else { return Retries::default() };
        if node.text().is_some() {
            return Retries { max: whole(Some(node)), ..Retries::default() };
        }
        let per_try = self.above_zero(node.get("per_try"), "the whole `timeout`");
        let timeout = owner.get("timeout");
        let response = duration(timeout).or_else(|| duration(timeout?.get("response")));
        if let (Some(per_try), Some(response), Some(at)) = (per_try, response, node.get("per_try"))
            && per_try > response
        {
            let message = "one try may not take longer than all of them together";
            let label = "`timeout` is shorter";
            self.problems.error(Code::BAD_VALUE, &at.mark, message, label, "");
        }
        let on = node.get("on").map(|on| {
            let statuses: Vec<u16> = on.items().iter().filter_map(|one| whole(Some(one))).collect();
            // What the check refused was reported.
            Statuses::of(&statuses).unwrap_or_default()
        });
        Retries { max: whole(node.get("max")), on, per_try }
    }

    /// `sticky`: whether, a cookie's name, or a map.
    pub(super) fn sticky(&mut self, node: Option<&Node>) -> Option<Sticky> {
        let node = node?;
        match &node.value {
            Value::Scalar(text) => Some(match text.as_str() {
                "false" => Sticky::Off,
                "true" => Sticky::Cookie { name: None, max_age: None },
                name => Sticky::Cookie { name: Some(name.to_owned()), max_age: None },
            }),
            Value::Map(_) | Value::Null => Some(Sticky::Cookie {
                name: node.get("cookie").and_then(Node::text).map(str::to_owned),
                max_age: self.above_zero(node.get("max_age"), "until the browser closes"),
            }),
            Value::List(_) | Value::Unknown => None,
        }
    }

    fn breaker(&mut self, node: Option<&Node>) -> Option<breaker::Settings> {
        let default = breaker::Settings::default();
        let Some(node) = node else { return Some(default) };
        if flag(Some(node)) == Some(false) {
            return None;
        }
        let settings = breaker::Settings {
            failures: match node.get("on").and_then(Node::text) {
                Some("gateway_errors") => Failures::Gateway,
                Some("server_errors") => Failures::ServerErrors,
                _ => Failures::NoAnswer,
            },
            failure_percent: share(node.get("failures")).unwrap_or(default.failure_percent),
            requests_min: whole(node.get("min_requests")).unwrap_or(default.requests_min),
            open_ms: millis(node.get("open")).unwrap_or(default.open_ms),
            open_ms_max: millis(node.get("open_max")).unwrap_or(default.open_ms_max),
        };
        if let (Some(at), Some(0)) = (node.get("failures"), share(node.get("failures"))) {
            let message = "a breaker that opens at 0% is always open";
            self.problems.error(
                Code::BAD_VALUE,
                &at.mark,
                message,
                "",
                "write `breaker: false` for none",
            );
        }
        self.ordered(node, "open", "open_max", settings.open_ms, settings.open_ms_max);
        Some(settings)
    }

    fn outlier(&mut self, node: Option<&Node>) -> Option<outlier::Settings> {
        let default = outlier::Settings::default();
        let Some(node) = node else { return Some(default) };
        if flag(Some(node)) == Some(false) {
            return None;
        }
        let settings = outlier::Settings {
            consecutive: whole(node.get("consecutive")).unwrap_or(default.consecutive),
            eject_ms: millis(node.get("eject")).unwrap_or(default.eject_ms),
            eject_ms_max: millis(node.get("eject_max")).unwrap_or(default.eject_ms_max),
            ejected_percent_max: share(node.get("max_ejected"))
                .unwrap_or(default.ejected_percent_max),
            panic_percent: share(node.get("panic")).unwrap_or(default.panic_percent),
        };
        self.ordered(node, "eject", "eject_max", settings.eject_ms, settings.eject_ms_max);
        Some(settings)
    }

    /// The first time must not be 0 nor longer than the longest.
    fn ordered(&mut self, node: &Node, first: &str, longest: &str, first_ms: u64, longest_ms: u64) {
        let Some(at) = node.get(first).or_else(|| node.get(longest)) else { return };
        if first_ms == 0 {
            let expected = format!("must be {} above 0", Form::Duration.expected());
            let message = format!("`{first}` cannot be 0");
            self.problems.error(Code::BAD_VALUE, &at.mark, message, expected, "");
        } else if first_ms > longest_ms {
            let message = "the first time is longer than the longest one";
            let help = format!("`{first}` must not exceed `{longest}`");
            self.problems.error(Code::BAD_VALUE, &at.mark, message, "", &help);
        }
    }
}

/// A whole share.
fn share(node: Option<&Node>) -> Option<u8> {
    let share = percent(node, false)?;
    (0..=100).find(|whole| f64::from(*whole) >= share)
}
