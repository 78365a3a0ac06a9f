//! The gateway and its routes.

use super::{
    GATEWAY_PORT, KnownKind, Reader, entries, loopback,
    values::{address, duration, flag, whole},
};
use crate::{
    Gateway, HeaderMatch, PathMatch, Route, Target,
    source::Mark,
    tree::{Node, Value},
};
use base::{Code, Diagnostic, ServiceName};

/// Heroku's rule: the process called `web` is the one that gets the requests.
const ENTRANCE: &str = "web";

impl Reader<'_> {
    pub(super) fn gateway(&mut self, tree: &Node) -> Gateway {
        let node = tree.get("gateway");
        let listen = node.and_then(|node| node.get("listen"));
        let routes = node.and_then(|node| node.get("routes"));
        let mut read: Vec<(Route, Mark)> = Vec::new();
        match routes.map(|routes| &routes.value) {
            Some(Value::Map(entries)) => {
                for entry in entries {
                    read.extend(self.route(&entry.key, &entry.key_mark, &entry.value));
                }
            }
            Some(Value::List(items)) => {
                for item in items {
                    let path = item.get("path");
                    match path.and_then(Node::text) {
                        Some(text) => read.extend(self.route(
                            text,
                            path.map_or(&item.mark, |path| &path.mark),
                            item,
                        )),
                        None if path.is_none() => {
                            let message = "a route in a list has no `path`";
                            self.problems.error(
                                Code::ROUTE,
                                &item.mark,
                                message,
                                "",
                                "write `path: /`",
                            );
                        }
                        None => {}
                    }
                }
            }
            _ => {}
        }
        if routes.is_none() && self.context.foreign && !self.is_taken(tree, listen) {
            read.extend(self.entrance(tree));
        }
        self.hidden(&read);
        if let (true, Some(listen)) = (read.is_empty() && !self.problems.has_errors(), listen) {
            let message = "the gateway has no routes, so it does not listen";
            self.problems.warning(
                Code::ROUTE,
                &listen.mark,
                message,
                "",
                "write `routes: { /: web }`",
            );
        }
        let default = (!read.is_empty()).then(|| loopback(GATEWAY_PORT));
        Gateway {
            listen: default.map(|default| listen.and_then(address).unwrap_or(default)),
            listen_place: listen.map(|node| node.mark.place()),
            routes: read.into_iter().map(|(route, _)| route).collect(),
        }
    }

    /// The route of a format that has none: everything to `web`, or to the only service that listens.
    fn entrance(&mut self, tree: &Node) -> Option<(Route, Mark)> {
        let listening: Vec<(&str, &Mark)> = entries(tree)
            .filter(|(is_job, entry)| {
                !is_job && self.known.get(&entry.key).is_some_and(|known| known.listens)
            })
            .map(|(_, entry)| (entry.key.as_str(), &entry.key_mark))
            .collect();
        let web = listening.iter().find(|(name, _)| *name == ENTRANCE);
        let (name, mark) = match (web, listening.as_slice()) {
            (Some(web), _) => *web,
            (None, [only]) => *only,
            (None, []) => return None,
            (None, [(_, first), ..]) => {
                let message = "no route leads to these services from outside";
                let help = "write a flotilla.yaml with `include:` for this file and `gateway: { routes: { /: <service> } }`";
                self.problems.warning(
                    Code::ROUTE,
                    first,
                    message,
                    "several services listen, and none is called `web`",
                    help,
                );
                return None;
            }
        };
        let service = ServiceName::new(name).ok()?;
        let to = vec![Target { service, weight: 1 }];
        Some((Route { to, ..blank(PathMatch::Prefix("/".to_owned()), mark) }, mark.clone()))
    }

    /// Reads a route: `key` is `[METHODS] [=] [host]/path`.
    fn route(&mut self, key: &str, mark: &Mark, node: &Node) -> Option<(Route, Mark)> {
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
        let mut route = blank(path, mark);
        route.host = self.host(host, mark, node.get("host"));
        route.methods = self.methods(&methods, mark, node.get("methods"));
        for entry in node.get("headers").map(Node::entries).unwrap_or_default() {
            if entry.key.is_empty() || !entry.key.chars().all(is_token) {
                let message = format!("`{}` is not the name of a header", entry.key);
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", "");
            }
            let value = entry.value.text().map(str::to_owned);
            route.headers.push(HeaderMatch { name: entry.key.to_ascii_lowercase(), value });
        }
        route.headers.sort_by(|a, b| a.name.cmp(&b.name));
        route.strip = flag(node.get("strip")).unwrap_or(false);
        route.timeout = duration(node.get("timeout"));
        route.retries = whole(node.get("retries"));
        if let (Some(timeout), Some(std::time::Duration::ZERO)) =
            (node.get("timeout"), route.timeout)
        {
            self.problems.error(
                Code::BAD_VALUE,
                &timeout.mark,
                "a route cannot have a timeout of 0",
                "",
                "leave it out for 60s",
            );
        }
        route.to = self.targets(key, mark, node)?;
        Some((route, mark.clone()))
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
        let Some(to) = to else {
            if !matches!(node.value, Value::Unknown | Value::List(_)) {
                self.problems.error(
                    Code::ROUTE,
                    mark,
                    format!("the route `{key}` leads nowhere"),
                    "",
                    "write `to: <service>`",
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

    /// Reports routes that no request can reach, because an earlier one takes all of theirs.
    fn hidden(&mut self, routes: &[(Route, Mark)]) {
        for (at, (route, mark)) in routes.iter().enumerate() {
            if let Some((_, first)) =
                routes.iter().take(at).find(|(earlier, _)| hides(earlier, route))
            {
                let problem = Diagnostic::error(Code::ROUTE, "this route can never match")
                    .at(mark.place(), "an earlier route takes all of its requests")
                    .note(format!("that route stands in {}", first.seen_from(mark)))
                    .help(
                        "remove one of them, or tell them apart by host, path, methods or headers",
                    );
                self.problems.add(problem);
            }
        }
    }
}

/// Whether every request that `later` matches goes to `earlier`. Which of two routes is asked first is decided by host,
/// path, whether it names methods, number of headers, and only then by the order in the file.
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
}

fn blank(path: PathMatch, mark: &Mark) -> Route {
    Route {
        host: None,
        path,
        methods: Vec::new(),
        headers: Vec::new(),
        to: Vec::new(),
        strip: false,
        timeout: None,
        retries: None,
        place: mark.place(),
    }
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

/// RFC 9110 §5.6.2.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}
