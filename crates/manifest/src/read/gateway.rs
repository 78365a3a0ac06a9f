//! The gateway and its routes.

use super::{
    GATEWAY_PORT, Reader, entries, loopback,
    rules::Common,
    values::{address, duration, size, whole},
};
use crate::{
    CertificateFiles, ClientLimits, Gateway, Network, PathMatch, Route, Target, Tls, shape,
    source::Mark,
    tree::{Node, Value},
};
use base::{Code, ServiceName};
use std::{fs, io::Read as _, path::PathBuf, time::Duration};

/// Heroku's rule: the process called `web` is the one that gets the requests.
const ENTRANCE: &str = "web";

/// Where `access_log: true` writes, in the file's folder.
const ACCESS_LOG: &str = ".flotilla/access.log";

/// As much of a certificate's file is looked at.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// With less hardly any request could be made.
const HEAD_BYTES_MIN: u64 = 1024;

/// A head is held in memory whole, for each connection.
const HEAD_BYTES_MAX: u64 = 1024 * 1024;

impl Reader<'_> {
    pub(super) fn gateway(&mut self, tree: &Node) -> Gateway {
        let node = tree.get("gateway");
        let part = |name: &str| node.and_then(|node| node.get(name));
        let (listen, routes) = (part("listen"), part("routes"));
        let mut gateway = Gateway {
            listen: Some(listen.and_then(address).unwrap_or_else(|| loopback(GATEWAY_PORT))),
            listen_place: listen.map(|node| node.mark.place()),
            tls: part("tls").and_then(|tls| self.tls(tls)),
            tls_place: part("tls").map(|tls| tls.mark.place()),
            limits: self.client_limits(part("limits")),
            trusted_proxies: self.networks(part("trusted_proxies")),
            access_log: self.access_log(part("access_log")),
            timeouts: self.timeouts(part("timeout")),
            retries: node.map(|node| self.retries(node)).unwrap_or_default(),
            ..Gateway::default()
        };
        self.http_redirect(&mut gateway, part("http_redirect"));
        let common = self.common(node, &gateway);
        let mut read = self.routes(routes, &common);
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
        if read.is_empty() {
            (gateway.listen, gateway.http_redirect) = (None, None);
        }
        gateway.routes = read.into_iter().map(|(route, _)| route).collect();
        self.exposures(&gateway, node);
        gateway
    }

    fn routes(&mut self, routes: Option<&Node>, common: &Common) -> Vec<(Route, Mark)> {
        let mut read = Vec::new();
        match routes.map(|routes| &routes.value) {
            Some(Value::Map(entries)) => {
                for entry in entries {
                    read.extend(self.route(&entry.key, &entry.key_mark, &entry.value, common));
                }
            }
            Some(Value::List(items)) => {
                for item in items {
                    let path = item.get("path");
                    let mark = path.map_or(&item.mark, |path| &path.mark);
                    if let Some(text) = path.and_then(Node::text) {
                        read.extend(self.route(text, mark, item, common));
                    } else if path.is_none() {
                        let message = "a route in a list has no `path`";
                        self.problems.error(
                            Code::ROUTE,
                            &item.mark,
                            message,
                            "",
                            "write `path: /`",
                        );
                    }
                }
            }
            _ => {}
        }
        read
    }

    /// `tls`: a word, a pair, or a list of pairs.
    fn tls(&mut self, node: &Node) -> Option<Tls> {
        let pairs: Vec<&Node> = match &node.value {
            Value::Scalar(_) => return Some(Tls::Dev),
            Value::List(items) => items.iter().collect(),
            Value::Map(_) | Value::Null => vec![node],
            Value::Unknown => return None,
        };
        if pairs.is_empty() {
            let message = "`tls` has no certificate";
            self.problems.error(
                Code::CERTIFICATE,
                &node.mark,
                message,
                "",
                "write `{ cert: …, key: … }`",
            );
        }
        let mut files = Vec::new();
        for pair in pairs {
            let mut part = |name: &str, label: &str, what: &str| {
                let Some(node) = pair.get(name) else {
                    let message = format!("a certificate without `{name}`");
                    self.problems.error(
                        Code::CERTIFICATE,
                        &pair.mark,
                        message,
                        "",
                        "write `{ cert: …, key: … }`",
                    );
                    return None;
                };
                self.pem(node, label, what)
            };
            let cert = part("cert", "CERTIFICATE-----", "certificate");
            let key = part("key", "PRIVATE KEY-----", "private key");
            if let (Some(cert), Some(key)) = (cert, key) {
                files.push(CertificateFiles { cert, key });
            }
        }
        (!files.is_empty()).then_some(Tls::Files(files))
    }

    /// A file in PEM form that holds a block whose first line ends with `label`.
    fn pem(&mut self, node: &Node, label: &str, what: &str) -> Option<PathBuf> {
        let path = self.file(node)?;
        let mut text = Vec::new();
        let read =
            fs::File::open(&path).and_then(|file| file.take(PEM_BYTES_MAX).read_to_end(&mut text));
        let why = match read {
            Err(error) => error.to_string(),
            Ok(_) if String::from_utf8_lossy(&text).contains(label) => return Some(path),
            Ok(_) => format!("no `-----BEGIN … {label}` is in it"),
        };
        let message = format!("`{}` has no {what}", node.text().unwrap_or_default());
        let help = "name a file in PEM form";
        self.problems.error(Code::CERTIFICATE, &node.mark, message, why, help);
        None
    }

    fn http_redirect(&mut self, gateway: &mut Gateway, node: Option<&Node>) {
        let Some(node) = node else { return };
        gateway.http_redirect = address(node);
        gateway.http_redirect_place = Some(node.mark.place());
        if gateway.tls.is_none() && !self.problems.has_errors() {
            let message = "there is no `https` to redirect to";
            let help = "write `tls:` beside it, or remove it";
            self.problems.error(Code::POLICY, &node.mark, message, "`tls` is missing", help);
        }
    }

    fn client_limits(&mut self, node: Option<&Node>) -> ClientLimits {
        let part = |name: &str| node.and_then(|node| node.get(name));
        let limits = ClientLimits {
            head: size(part("head")),
            headers: whole(part("headers")),
            body: size(part("body")),
            connections: whole(part("connections")),
            streams: whole(part("streams")),
            head_timeout: duration(part("head_timeout")),
            idle_timeout: duration(part("idle_timeout")),
        };
        if let (Some(at), Some(head)) = (part("head"), limits.head)
            && !(HEAD_BYTES_MIN..=HEAD_BYTES_MAX).contains(&head.0)
        {
            let message = "the head of a request needs from 1Ki to 1Mi";
            let label = "browsers send 1 to 8 KiB, with large cookies more";
            self.problems.error(Code::BAD_VALUE, &at.mark, message, label, "");
        }
        for name in ["head_timeout", "idle_timeout"] {
            if let (Some(at), Some(time)) = (part(name), duration(part(name)))
                && time < Duration::from_millis(1)
            {
                let message = format!("`{name}` of 0 lets nobody in");
                self.problems.error(
                    Code::BAD_VALUE,
                    &at.mark,
                    message,
                    "",
                    "leave it out for the default",
                );
            }
        }
        limits
    }

    fn networks(&mut self, node: Option<&Node>) -> Vec<Network> {
        let mut networks = Vec::new();
        for node in node.map(Node::texts).unwrap_or_default() {
            let Some(Ok((address, bits))) = node.text().map(shape::network) else { continue };
            if bits == 0 {
                let message = "everybody is a trusted proxy";
                let label = "every client can say that it is another";
                self.problems.warning(
                    Code::EXPOSED,
                    &node.mark,
                    message,
                    label,
                    "name the networks of your load balancers",
                );
            }
            networks.push(Network { address, bits });
        }
        networks
    }

    fn access_log(&mut self, node: Option<&Node>) -> Option<PathBuf> {
        let node = node?;
        match node.text()? {
            "false" => None,
            "true" => Some(self.context.root.join(ACCESS_LOG)),
            path => Some(node.mark.source.dir.join(path)),
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
        Some((
            Route { to, ..Route::new(PathMatch::Prefix("/".to_owned()), mark.place()) },
            mark.clone(),
        ))
    }
}
