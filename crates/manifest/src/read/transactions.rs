//! `transactions`: where clients of DTM are answered, and the transactions that can be used by name.

mod calls;
mod joins;
mod order;
mod places;
mod steps;

use super::{
    Reader,
    values::{address, duration, flag, text},
};
use crate::{
    Coordination, Dtm, TransactionDefinition, Transactions,
    read::events::Draft,
    shape::events,
    source::Mark,
    tree::{Entry, Node, Value},
};
use base::Code;
use logic::tx::{
    Mode, Retry, Then,
    target::{self, Call},
};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// Where DTM itself listens, which is where its clients look.
const DTM_HTTP_PORT: u16 = 36_789;
const DTM_GRPC_PORT: u16 = 36_790;

/// Keys of `transactions` that are no names.
const DTM: &str = "dtm";
const RETAIN: &str = "retain";

/// Longest name of a transaction in bytes.
const NAME_LEN_MAX: usize = 63;

/// Longest time that anything of a transaction may take: what waits longer is forgotten by people.
const TIME_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);

/// Longest time that one call may take. Who needs longer answers 202 and is asked again.
const CALL_TIME_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Shortest pause between two attempts: with none at all what always fails would keep the node busy.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Longest pause between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Headers that the node writes itself, or that belong to one connection.
const OWN_HEADERS: &[&str] = &[
    "flotilla-tx",
    "idempotency-key",
    "traceparent",
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// What is said of all steps of a transaction.
pub(super) struct Ground<'a> {
    /// The transaction's name.
    name: &'a str,
    mode: Mode,
    retry: Retry,
    shared: &'a Coordination,
}

impl Reader<'_> {
    /// All that the file says of transactions. Topics that are published to are noted in `draft`.
    pub(super) fn transactions(
        &mut self,
        node: Option<&Node>,
        shared: &Coordination,
        draft: &mut Draft,
    ) -> Transactions {
        let mut all = Transactions::default();
        for entry in node.map(Node::entries).unwrap_or_default() {
            match entry.key.as_str() {
                DTM => all.dtm = dtm(entry),
                RETAIN => all.retain = self.time(&entry.value, "retain", TIME_MAX),
                key if key.starts_with("x-") || !is_map(&entry.value) => {}
                _ => all.definitions.extend(self.transaction(entry, shared, draft)),
            }
        }
        all
    }

    fn transaction(
        &mut self,
        entry: &Entry,
        shared: &Coordination,
        draft: &mut Draft,
    ) -> Option<TransactionDefinition> {
        let Entry { key: name, key_mark, value: node } = entry;
        if let Err(why) = fits(name) {
            let message = format!("`{name}` cannot be the name of a transaction");
            self.problems.error(Code::BAD_VALUE, key_mark, message, why, "");
        }
        let mode = self.mode(name, node)?;
        let retry = self.pauses(node.get("retry"), Retry::default());
        let ground = Ground { name, mode, retry, shared };
        let steps = self.steps(entry, &ground, draft);
        let query = self.of_message(&ground, node);
        Some(TransactionDefinition {
            name: name.clone(),
            mode,
            timeout: node.get("timeout").and_then(|node| self.time(node, "timeout", TIME_MAX)),
            retry,
            headers: self.headers(node.get("headers")),
            durable_steps: flag(node.get("durable_steps")).unwrap_or(false),
            sequential: flag(node.get("sequential")).unwrap_or(false),
            query,
            delay: node
                .get("delay")
                .filter(|_| mode == Mode::Message)
                .and_then(|node| self.time(node, "delay", TIME_MAX)),
            steps,
            place: Some(key_mark.place()),
        })
    }

    /// `mode` with `profile`; `None` when it is none, which the check has told.
    fn mode(&mut self, name: &str, node: &Node) -> Option<Mode> {
        let mode = match node.get("mode").map(Node::text) {
            None | Some(Some("saga")) => Mode::Saga,
            Some(Some("tcc")) => Mode::Tcc,
            Some(Some("2pc")) => Mode::TwoPhase,
            Some(Some("3pc")) => Mode::ThreePhase,
            Some(Some("msg")) => Mode::Message,
            Some(_) => return None,
        };
        let Some(profile) = node.entry("profile") else { return Some(mode) };
        if mode != Mode::ThreePhase {
            let message = format!("`profile` means nothing to transaction `{name}`");
            let label = format!("its mode is {mode}");
            let help = "remove it, or write `mode: 3pc`";
            self.problems.error(Code::BAD_VALUE, &profile.key_mark, message, label, help);
            return Some(mode);
        }
        match profile.value.text() {
            Some("classic") => Some(Mode::ThreePhaseClassic),
            _ => Some(mode),
        }
    }

    /// `query` and `delay`, which only messages have.
    fn of_message(&mut self, ground: &Ground<'_>, node: &Node) -> Option<Call> {
        if ground.mode != Mode::Message {
            for key in ["query", "delay"] {
                if let Some(entry) = node.entry(key) {
                    let message = format!("`{key}` means nothing to transaction `{}`", ground.name);
                    let label = format!("its mode is {}", ground.mode);
                    let help = "remove it, or write `mode: msg`";
                    self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, label, help);
                }
            }
            return None;
        }
        let node = node.get("query")?;
        let call = self.target(node)?;
        self.places_of_call(node, &call, &places::Known::INPUT);
        Some(call)
    }

    /// A call: whether the service in it is there. `None` when that was reported.
    fn target(&mut self, node: &Node) -> Option<Call> {
        // What cannot be read was told by the check.
        let call = target::parse(node.text()?).ok()?;
        let (target::Target::Service { service, .. } | target::Target::GrpcService { service, .. }) =
            &call.target
        else {
            return Some(call);
        };
        let mark = node.mark.within(service.as_str());
        self.called(service.as_str(), &mark, "").map(|()| call)
    }

    fn headers(&mut self, node: Option<&Node>) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        for entry in node.map(Node::entries).unwrap_or_default() {
            let why = match policy::edits::field_name(&entry.key) {
                Ok(_) if OWN_HEADERS.contains(&entry.key.to_ascii_lowercase().as_str()) => {
                    "the node writes it itself".to_owned()
                }
                Ok(_) => {
                    let value = text(Some(&entry.value)).unwrap_or_default();
                    if value.chars().any(char::is_control) {
                        let message = format!("header `{}` cannot have this value", entry.key);
                        let label = "it has a control character in it";
                        let mark = &entry.value.mark;
                        self.problems.error(Code::BAD_VALUE, mark, message, label, "");
                    }
                    self.places_of_value(&entry.value, &places::Known::INPUT);
                    all.insert(entry.key.to_ascii_lowercase(), value);
                    continue;
                }
                Err(why) => why.to_string(),
            };
            let message = format!("calls cannot have the header `{}`", entry.key);
            self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, why, "");
        }
        all
    }

    /// `retry`; what is not said is as in `base`.
    fn pauses(&mut self, node: Option<&Node>, base: Retry) -> Retry {
        let Some(node) = node else { return base };
        let mut retry = base;
        if let Some(first) = node.get("base") {
            retry.base_ms = self.pause(first).unwrap_or(retry.base_ms);
            // A first pause longer than the longest one of the defaults means that no pause is shorter.
            retry.max_ms = retry.max_ms.max(retry.base_ms);
        }
        if let Some(longest) = node.get("max") {
            let asked = self.pause(longest).unwrap_or(retry.max_ms);
            if node.get("base").is_none() {
                retry.base_ms = retry.base_ms.min(asked);
            } else if asked < retry.base_ms {
                let message = "the longest pause is shorter than the first one";
                let help = "write a `max` that is at least `base`";
                self.problems.error(Code::BAD_VALUE, &longest.mark, message, "", help);
            }
            retry.max_ms = asked;
        }
        if let Some(said) = node.get("attempts").and_then(Node::text).and_then(events::attempts) {
            retry.attempts = said;
        }
        let then = node.entry("then");
        match then.and_then(|then| then.value.text()) {
            Some("abort") => retry.then = Then::Abort,
            Some("attention") => retry.then = Then::Attention,
            _ => {}
        }
        if let (None, Some(then)) = (retry.attempts, then) {
            let message = "`then` never happens";
            let label = "`attempts: none` has no end";
            let help = "remove it, or write a number of `attempts`";
            self.problems.error(Code::BAD_VALUE, &then.key_mark, message, label, help);
        }
        retry
    }

    fn pause(&mut self, node: &Node) -> Option<u64> {
        let time = duration(Some(node))?;
        if !(PAUSE_MIN..=PAUSE_MAX).contains(&time) {
            let message = "this cannot be a pause";
            self.problems.error(Code::BAD_VALUE, &node.mark, message, "must be 10ms to 1d", "");
            return None;
        }
        u64::try_from(time.as_millis()).ok()
    }

    /// A time longer than 0 and at most `longest`.
    fn time(&mut self, node: &Node, key: &str, longest: Duration) -> Option<Duration> {
        let time = duration(Some(node))?;
        // A delay of nothing is no delay.
        if (time.is_zero() && key != "delay") || time > longest {
            let message = format!("this cannot be a `{key}`");
            let days = longest.as_secs() / (24 * 3_600);
            let label = format!("must be longer than 0 and at most {days}d");
            self.problems.error(Code::BAD_VALUE, &node.mark, message, label, "");
            return None;
        }
        Some(time)
    }
}

/// `dtm`; `None` when it is off.
fn dtm(entry: &Entry) -> Option<Dtm> {
    let node = &entry.value;
    if flag(Some(node)) == Some(false) {
        return None;
    }
    let listen = |key: &str, port: u16| -> SocketAddr {
        let said = node.get(key).and_then(address);
        said.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, port).into())
    };
    let (http, grpc) = (listen("http", DTM_HTTP_PORT), listen("grpc", DTM_GRPC_PORT));
    Some(Dtm { http, grpc, place: Some(entry.key_mark.place()) })
}

/// Ports of this machine that clients of DTM are answered at, whose they are, and where that stands.
pub(super) fn ports(tree: &Node) -> Vec<(u16, String, Mark)> {
    let Some(entry) = tree.get("transactions").and_then(|node| node.entry(DTM)) else {
        return Vec::new();
    };
    let Some(found) = dtm(entry) else { return Vec::new() };
    let mark = |key: &str| {
        let said = entry.value.get(key);
        said.map_or_else(|| entry.key_mark.clone(), |node| node.mark.clone())
    };
    vec![
        (found.http.port(), "DTM's HTTP".to_owned(), mark("http")),
        (found.grpc.port(), "DTM's gRPC".to_owned(), mark("grpc")),
    ]
}

/// Whether a map, nothing, or something that was reported stands there.
fn is_map(node: &Node) -> bool {
    matches!(node.value, Value::Map(_) | Value::Null)
}

fn fits(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_LEN_MAX {
        return Err(format!("must have 1 to {NAME_LEN_MAX} bytes"));
    }
    let is_good = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
    match name.chars().find(|c| !is_good(c)) {
        Some(bad) => {
            Err(format!("must not have {bad:?} in it: names have letters, digits and `. _ -`"))
        }
        None => Ok(()),
    }
}
