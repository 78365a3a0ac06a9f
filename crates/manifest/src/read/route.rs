//! One route: what it matches and where it leads.

use super::{
    KnownKind, Reader,
    rules::Common,
    values::{flag, size, whole},
};
use crate::{
    HeaderMatch, PathMatch, QueryMatch, Route, Target,
    source::Mark,
    tree::{Node, Value},
};
use base::{Code, Diagnostic, ServiceName};
use policy::edits::is_token;

impl Reader<'_> {
    /// Reads a route: `key` is `[METHODS] [=] [host]/path`.
    pub(super) fn route(
        &mut self,
        key: &str,
        mark: &Mark,
        node: &Node,
        common: &Common,
    ) -> Option<(Route, Mark)> {
        let (methods, exact, matched) = split_key(key);
        let Some(matched) = matched else {
            let message = format!("the route `{key}` can never match");
            let help =
                "a route is `/prefix`, `= /exact`, `GET /prefix` or `api.example.com/prefix`";
            self.problems.error(Code::ROUTE, mark, message, "a path begins with `/`", help);
            return None;
        };
        let (host, path) = matched.split_at(matched.find('/').unwrap_or(0));
        let path = self.path(path, exact, mark)?;
        let rules = self.rules(node, &path, common);
        let mut route = Route::new(path, mark.place());
        route.rules = rules;
        route.host = self.host(host, mark, node.get("host"));
        route.methods = self.methods(&methods, mark, node.get("methods"));
        route.headers = self.header_conditions(node.get("headers"));
        for entry in node.get("query").map(Node::entries).unwrap_or_default() {
            let value = entry.value.text().map(str::to_owned);
            route.query.push(QueryMatch { name: entry.key.clone(), value });
        }
        route.query.sort_by(|a, b| a.name.cmp(&b.name));
        route.strip = flag(node.get("strip")).unwrap_or(false);
        route.compress = match node.get("compress") {
            None => common.compress.clone(),
            Some(compress) => self.compress(compress),
        };
        route.body_max = size(node.get("body_max")).or(common.body_max);
        route.timeouts = self.timeouts(node.get("timeout"));
        route.retries = self.retries(node);
        route.sticky = self.sticky(node.get("sticky"));
        route.to = self.targets(key, mark, node)?;
        self.contradictions(&route, node);
        Some((route, mark.clone()))
    }

    fn header_conditions(&mut self, node: Option<&Node>) -> Vec<HeaderMatch> {
        let mut headers = Vec::new();
        for entry in node.map(Node::entries).unwrap_or_default() {
            if !is_token(entry.key.as_bytes()) {
                let message = format!("`{}` is not the name of a header", entry.key);
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", "");
            }
            let value = entry.value.text().map(str::to_owned);
            headers.push(HeaderMatch { name: entry.key.to_ascii_lowercase(), value });
        }
        headers.sort_by(|a, b| a.name.cmp(&b.name));
        headers
    }

    fn path(&mut self, path: &str, exact: bool, mark: &Mark) -> Option<PathMatch> {
        let odd = if path.contains(['?', '#']) {
            Some(("the path of a request ends before `?`", "leave out what follows the path"))
        } else if path.contains(['*', '{', '}', '<', '>']) || path.contains("/:") {
            Some((
                "patterns are not known here",
                "a route matches everything below it: write `/users` for `/users/{id}` and `/users/*`",
            ))
        } else if path.contains("//") {
            Some(("no path has an empty part", "write one `/`"))
        } else {
            None
        };
        if let Some((label, help)) = odd {
            self.problems.error(
                Code::ROUTE,
                mark,
                format!("the route `{path}` can never match"),
                label,
                help,
            );
            return None;
        }
        Some(if exact {
            PathMatch::Exact(path.to_owned())
        } else {
            let trimmed = path.trim_end_matches('/');
            PathMatch::Prefix(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
        })
    }

    fn host(&mut self, in_key: &str, mark: &Mark, node: Option<&Node>) -> Option<String> {
        let given = node.and_then(|node| Some((node.text()?, &node.mark)));
        let (text, mark) = match (in_key, given) {
            ("", given) => given?,
            (_, None) => (in_key, mark),
            (_, Some((_, mark))) => {
                self.problems.error(
                    Code::BAD_VALUE,
                    mark,
                    "the host is given twice",
                    "it stands in the route too",
                    "remove one",
                );
                (in_key, mark)
            }
        };
        let host = text.to_ascii_lowercase();
        let name = host.strip_prefix("*.").unwrap_or(&host);
        let label = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        if !name.split('.').all(label) {
            let help = if text.contains(':') {
                "leave the port out"
            } else {
                "write `api.example.com` or `*.example.com`"
            };
            self.problems.error(
                Code::BAD_VALUE,
                mark,
                format!("`{text}` is not a host name"),
                "",
                help,
            );
            return None;
        }
        Some(host)
    }

    fn methods(&mut self, in_key: &[&str], mark: &Mark, node: Option<&Node>) -> Vec<String> {
        let given = node.map(Node::texts).unwrap_or_default();
        if let (Some(first), false) = (given.first(), in_key.is_empty()) {
            self.problems.error(
                Code::BAD_VALUE,
                &first.mark,
                "the methods are given twice",
                "they stand in the route too",
                "remove one",
            );
        }
        let all = in_key
            .iter()
            .map(|method| (*method, mark))
            .chain(given.iter().filter_map(|node| Some((node.text()?, &node.mark))));
        let mut methods = Vec::new();
        for (method, mark) in all {
            if !method.is_empty() && method.chars().all(|c| c.is_ascii_alphabetic() || c == '-') {
                methods.push(method.to_ascii_uppercase());
            } else {
                self.problems.error(
                    Code::BAD_VALUE,
                    mark,
                    format!("`{method}` is not a method"),
                    "",
                    "write GET, POST, PUT, …",
                );
            }
        }
        methods.sort();
        methods.dedup();
        methods
    }

    fn targets(&mut self, key: &str, mark: &Mark, node: &Node) -> Option<Vec<Target>> {
        let to = if node.text().is_some() { Some(node) } else { node.get("to") };
        if let Some(redirect) = node.entry("redirect") {
            if let Some(to) = to {
                self.two_places(key, &to.mark, &redirect.key_mark);
            }
            return Some(Vec::new());
        }
        let Some(to) = to else {
            if !matches!(node.value, Value::Unknown | Value::List(_)) {
                self.problems.error(
                    Code::ROUTE,
                    mark,
                    format!("the route `{key}` leads nowhere"),
                    "",
                    "write `to: <service>` or `redirect:`",
                );
            }
            return None;
        };
        let wanted: Vec<(&str, &Mark, u32)> = match to.text() {
            Some(name) => vec![(name, &to.mark, 1)],
            None => to
                .entries()
                .iter()
                .map(|entry| {
                    (entry.key.as_str(), &entry.key_mark, whole(Some(&entry.value)).unwrap_or(1))
                })
                .collect(),
        };
        let mut targets = Vec::new();
        for (name, mark, weight) in &wanted {
            match self.known.get(*name).map(|known| (known.kind, known.listens)) {
                None if ServiceName::new(name).is_err() && to.text().is_some() => {}
                None => self.unknown_service(name, mark),
                Some((KnownKind::Service, true)) => {
                    let service = ServiceName::new(name).ok();
                    targets.extend(service.map(|service| Target { service, weight: *weight }));
                }
                Some((kind, _)) => {
                    let why = if kind == KnownKind::Service {
                        "it has `listen: false`"
                    } else {
                        "it is a job"
                    };
                    let message = format!("no request can be routed to `{name}`");
                    self.problems.error(
                        Code::ROUTE,
                        mark,
                        message,
                        why,
                        "route to a service that listens",
                    );
                }
            }
        }
        if !targets.is_empty() && targets.iter().all(|target| target.weight == 0) {
            let message = format!("the route `{key}` leads nowhere");
            self.problems.error(
                Code::ROUTE,
                &to.mark,
                message,
                "all weights are 0",
                "give one of them a weight above 0",
            );
        }
        (!targets.is_empty()).then_some(targets)
    }

    fn two_places(&mut self, key: &str, to: &Mark, redirect: &Mark) {
        let message = format!("the route `{key}` leads to two places");
        let problem = Diagnostic::error(Code::POLICY, message)
            .at(to.place(), "never reached")
            .note(format!("`redirect` stands in {}", redirect.seen_from(to)))
            .help("remove `to` or `redirect`");
        self.problems.add(problem);
    }

    /// Reports routes that no request can reach, because an earlier one takes all of theirs.
    pub(super) fn hidden(&mut self, routes: &[(Route, Mark)]) {
        for (at, (route, mark)) in routes.iter().enumerate() {
            if let Some((_, first)) =
                routes.iter().take(at).find(|(earlier, _)| hides(earlier, route))
            {
                let problem = Diagnostic::error(Code::ROUTE, "this route can never match")
                    .at(mark.place(), "an earlier route takes all of its requests")
                    .note(format!("that route stands in {}", first.seen_from(mark)))
                    .help(
                        "remove one of them, or tell them apart by host, path, methods, headers or query",
                    );
                self.problems.add(problem);
            }
        }
    }
}

/// Whether every request that `later` matches goes to `earlier`. Which of two routes is asked first is decided by host,
/// path, whether it names methods, number of headers, number of parameters, and only then by the order in the file.
fn hides(earlier: &Route, later: &Route) -> bool {
    let methods = earlier.methods.is_empty() == later.methods.is_empty()
        && later.methods.iter().all(|method| earlier.methods.contains(method));
    let implied = |header: &HeaderMatch| {
        later.headers.iter().any(|own| {
            own.name == header.name && (header.value.is_none() || own.value == header.value)
        })
    };
    earlier.host == later.host
        && earlier.path == later.path
        && methods
        && earlier.headers.len() == later.headers.len()
        && earlier.headers.iter().all(implied)
        && earlier.query.len() == later.query.len()
        && earlier.query.iter().all(|condition| {
            later.query.iter().any(|own| {
                own.name == condition.name
                    && (condition.value.is_none() || own.value == condition.value)
            })
        })
}

/// Splits `GET,POST = api.example.com/path`: methods, whether exact, host and path (`None`: there is no path).
fn split_key(key: &str) -> (Vec<&str>, bool, Option<&str>) {
    let (mut methods, mut exact, mut matched) = (Vec::new(), false, None);
    for part in key.split_whitespace() {
        if matched.is_some() {
            return (methods, exact, None);
        } else if part == "=" {
            exact = true;
        } else if part.contains('/') {
            let path = part.strip_prefix('=');
            exact |= path.is_some();
            matched = Some(path.unwrap_or(part));
        } else {
            methods.extend(part.split(',').filter(|method| !method.is_empty()));
        }
    }
    (methods, exact, matched)
}
