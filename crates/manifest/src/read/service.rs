//! One service or job.

use super::{
    Reader,
    needs::Edge,
    values::{cores, duration, flag, port, size, whole},
    word,
};
use crate::{
    Balance, Database, HashOn, Kind, Limits, Probes, Program, Restart, RestartPolicy, Service,
    Stop, StopSignal,
    table::INSTANCES_MAX,
    tree::{Entry, Node},
};
use base::{Code, Place, ServiceName};
use logic::balance::Algorithm;
use std::{collections::BTreeMap, time::Duration};

impl Reader<'_> {
    pub(super) fn service(
        &mut self,
        name: ServiceName,
        entry: &Entry,
        is_job: bool,
    ) -> (Service, Vec<Edge>) {
        let node = &entry.value;
        let kind = match node.get("schedule").and_then(Node::text) {
            Some(schedule) => Kind::Cron(schedule.to_owned()),
            None if is_job => Kind::Job,
            None => Kind::Service,
        };
        let (dir, dir_is_known) = self.dir(entry, is_job);
        let found = self.program(entry, &dir, dir_is_known, is_job);
        let listens = !is_job && flag(node.get("listen")).unwrap_or(true);
        let instances = if is_job { 1 } else { instances(node) };
        self.fixed_port(entry, instances, listens, &found.program);
        let (needs, edges) = self.needs(&entry.key, node.get("needs"));
        let probes =
            if is_job { Probes::default() } else { self.health(node.get("health"), listens) };
        let balance = self.balance(node.get("balance"));
        let traffic = self.traffic(node, &balance);
        let service = Service {
            kind,
            dir,
            program: found.program,
            language: found.language,
            build: found.build,
            instances,
            needs,
            balance,
            traffic,
            port: port(node.get("port")).or(found.port),
            listens,
            probes,
            restart: self.restart(node.get("restart"), is_job),
            stop: stop(node.get("stop")),
            limits: Limits {
                cpu: cores(node.at(&["limits", "cpu"])),
                memory: size(node.at(&["limits", "memory"])),
                pids: whole(node.at(&["limits", "pids"])),
            },
            env: self.env(node),
            db: node.get("db").and_then(Node::text).map(|text| match text {
                "sqlite" => Database::Sqlite,
                url => Database::Url(url.to_owned()),
            }),
            api: self.api(entry, instances),
            config: None,
            places: places(entry),
            name,
        };
        (service, edges)
    }

    /// A port of its own is one port: two processes cannot share it.
    fn fixed_port(&mut self, entry: &Entry, instances: u32, listens: bool, program: &Program) {
        if let Some(publish) = entry.value.get("publish").filter(|_| instances > 1) {
            let message =
                format!("{instances} instances of `{}` cannot publish the same port", entry.key);
            let help = "remove `publish` and add a route under `gateway:`, which balances over all of them";
            self.problems.error(
                Code::BAD_VALUE,
                &publish.mark,
                message,
                "a port of this machine is one port",
                help,
            );
        }
        let Some(node) = entry.value.get("port") else { return };
        let Some(number) = port(Some(node)) else { return };
        if !listens && entry.value.get("listen").is_some() {
            let message = format!("`{}` has a port, but does not listen", entry.key);
            self.problems.error(
                Code::BAD_VALUE,
                &node.mark,
                message,
                "`listen: false` stands beside it",
                "remove one of them",
            );
        } else if instances > 1 && !matches!(program, Program::Container(_)) {
            let message =
                format!("{instances} instances of `{}` cannot share port {number}", entry.key);
            let help = "remove `port` and let the program listen on `$PORT`, or keep one instance";
            self.problems.error(
                Code::BAD_VALUE,
                &node.mark,
                message,
                "a process needs a port of its own",
                help,
            );
        }
    }

    fn balance(&mut self, node: Option<&Node>) -> Balance {
        let rule =
            node.and_then(
                |node| if node.text().is_some() { Some(node) } else { node.get("algorithm") },
            );
        let algorithm = match rule.and_then(Node::text) {
            Some("round_robin") => Algorithm::RoundRobin,
            Some("random") => Algorithm::Random,
            Some("weighted") => Algorithm::Weighted,
            Some("least_connections") => Algorithm::LeastConnections,
            Some("least_response_time") => Algorithm::LeastResponseTime,
            Some("consistent_hash") => Algorithm::ConsistentHash,
            _ => Algorithm::P2c,
        };
        let Some(on) = node.and_then(|node| node.entry("hash_on")) else {
            return Balance { algorithm, hash_on: HashOn::Client };
        };
        let (header, cookie) = (on.value.get("header"), on.value.get("cookie"));
        if algorithm != Algorithm::ConsistentHash {
            let message = "`hash_on` has no effect on this algorithm";
            self.problems.error(
                Code::BAD_VALUE,
                &on.key_mark,
                message,
                "",
                "write `algorithm: consistent_hash` beside it",
            );
        } else if on.value.text().is_none() && header.is_some() == cookie.is_some() {
            let message = "`hash_on` takes either a header or a cookie";
            self.problems.error(
                Code::BAD_VALUE,
                &on.key_mark,
                message,
                "",
                "write `{ header: X-User }` or `{ cookie: session }`",
            );
        }
        let hash_on = match (header.and_then(Node::text), cookie.and_then(Node::text)) {
            (Some(header), _) => HashOn::Header(header.to_ascii_lowercase()),
            (None, Some(cookie)) => HashOn::Cookie(cookie.to_owned()),
            (None, None) => HashOn::Client,
        };
        Balance { algorithm, hash_on }
    }

    fn restart(&mut self, node: Option<&Node>, is_job: bool) -> Restart {
        let part = |name: &str| node.and_then(|node| node.get(name));
        let time = |name: &str, default_ms: u64| {
            duration(part(name)).unwrap_or(Duration::from_millis(default_ms))
        };
        let word_node = node.filter(|node| node.text().is_some()).or_else(|| part("policy"));
        let policy = match word_node.and_then(Node::text) {
            Some("always") => RestartPolicy::Always,
            Some("on_failure") => RestartPolicy::OnFailure,
            Some("never") => RestartPolicy::Never,
            _ if is_job => RestartPolicy::OnFailure,
            _ => RestartPolicy::Always,
        };
        if let (true, RestartPolicy::Always, Some(at)) = (is_job, policy, word_node) {
            let message = format!("a {} cannot restart always", word(is_job));
            let help = "write `on_failure` or `never`; what runs for ever is a service";
            self.problems.error(Code::BAD_VALUE, &at.mark, message, "it would never end", help);
        }
        let (backoff, backoff_max) = (time("backoff", 200), time("backoff_max", 60_000));
        if backoff > backoff_max
            && let Some(at) = part("backoff").or_else(|| part("backoff_max"))
        {
            let message = "the first wait is longer than the longest one";
            self.problems.error(
                Code::BAD_VALUE,
                &at.mark,
                message,
                "",
                "`backoff` must not exceed `backoff_max` (default 1m)",
            );
        }
        Restart { policy, backoff, backoff_max, reset_after: time("reset_after", 60_000) }
    }
}

/// A number that the check refused counts as one: what follows from it would only repeat that.
fn instances(node: &Node) -> u32 {
    let allowed = 1..=u32::try_from(INSTANCES_MAX).unwrap_or(u32::MAX);
    whole(node.get("instances")).filter(|count| allowed.contains(count)).unwrap_or(1)
}

fn stop(node: Option<&Node>) -> Stop {
    let part = |name: &str| node.and_then(|node| node.get(name));
    let signal = part("signal").and_then(Node::text).unwrap_or("TERM");
    Stop {
        drain: duration(part("drain")).unwrap_or(Duration::from_secs(10)),
        grace: duration(part("grace")).unwrap_or(Duration::from_secs(30)),
        signal: match signal.strip_prefix("SIG").unwrap_or(signal) {
            "INT" => StopSignal::Int,
            "QUIT" => StopSignal::Quit,
            "HUP" => StopSignal::Hup,
            "USR1" => StopSignal::Usr1,
            "USR2" => StopSignal::Usr2,
            "KILL" => StopSignal::Kill,
            _ => StopSignal::Term,
        },
    }
}

/// Where the keys stand, by path inside the service.
fn places(entry: &Entry) -> BTreeMap<String, Place> {
    fn walk(node: &Node, path: &str, all: &mut BTreeMap<String, Place>) {
        for entry in node.entries() {
            let inner =
                if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            walk(&entry.value, &inner, all);
            all.insert(inner, entry.value.mark.place());
        }
    }
    let mut all = BTreeMap::from([(String::new(), entry.key_mark.place())]);
    walk(&entry.value, "", &mut all);
    all
}
