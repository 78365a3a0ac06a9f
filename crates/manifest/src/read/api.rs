//! The app API of a service, and a service that somebody else starts.

use super::{
    Reader, entries, loopback,
    values::{flag, port, size, text, whole},
};
use crate::{
    AppApi, AppProtocol, BODY_MAX_DEFAULT, External, Program, Secret, Service, shape,
    tree::{Entry, Node},
};
use base::{ByteSize, Code};
use std::net::SocketAddr;

/// With less, hardly any request could be made.
const BODY_MAX_MIN: ByteSize = ByteSize(1024);

/// What the node answers it reads whole.
const BODY_MAX_MAX: ByteSize = ByteSize(16 * 1024 * 1024);

/// Keys that say how something is started or stopped.
const OF_PROGRAMS: &[&str] = &[
    "run",
    "image",
    "build",
    "entrypoint",
    "command",
    "volumes",
    "publish",
    "user",
    "workdir",
    "restart",
    "stop",
    "limits",
    "env",
    "env_file",
    "db",
];

impl Reader<'_> {
    pub(super) fn api(&mut self, entry: &Entry, instances: u32) -> AppApi {
        let mut api = AppApi::new(&entry.key);
        let Some(node) = entry.value.get("api") else { return api };
        for key in ["http_port", "grpc_port"] {
            if let (true, Some(at)) = (instances > 1, node.entry(key)) {
                let message =
                    format!("{instances} instances of `{}` cannot share `api.{key}`", entry.key);
                let help = "remove it; each instance is told its own in the environment";
                let label = "each has an app API of its own";
                self.problems.error(Code::BAD_VALUE, &at.value.mark, message, label, help);
            }
        }
        api.http_port = port(node.get("http_port"));
        api.grpc_port = port(node.get("grpc_port"));
        api.protocol = match node.get("protocol").and_then(Node::text) {
            Some("https") => AppProtocol::Https,
            Some("grpc") => AppProtocol::Grpc,
            Some("grpcs") => AppProtocol::Grpcs,
            Some("h2c") => AppProtocol::H2c,
            _ => AppProtocol::Http,
        };
        api.token = text(node.get("token")).map(Secret::new);
        api.app_token = text(node.get("app_token")).map(Secret::new);
        api.body_max = size(node.get("body_max")).unwrap_or(BODY_MAX_DEFAULT);
        if let Some(at) = node.get("body_max")
            && !(BODY_MAX_MIN..=BODY_MAX_MAX).contains(&api.body_max)
        {
            let message = format!("`api.body_max` of service `{}` is out of range", entry.key);
            self.problems.error(Code::BAD_VALUE, &at.mark, message, "from 1Ki to 16Mi", "");
        }
        if let Some(id) = text(node.get("app_id")) {
            api.app_id = id;
        }
        api
    }

    /// Callers find a service by its name and by its app id: none may mean two services.
    pub(super) fn app_ids(&mut self, tree: &Node, services: &[Service]) {
        for service in services {
            let id = &service.api.app_id;
            let clashes = |other: &&Service| {
                other.name != service.name && (other.api.app_id == *id || other.name.as_str() == id)
            };
            let Some(other) = services.iter().find(clashes) else { continue };
            let at = entries(tree).find(|(_, entry)| entry.key == service.name.as_str());
            let Some(at) = at.and_then(|(_, entry)| entry.value.at(&["api", "app_id"])) else {
                continue;
            };
            let message =
                format!("`{}` is called `{id}`, and so is `{}`", service.name, other.name);
            let help = "give each service an app id of its own";
            self.problems.error(Code::DUPLICATE, &at.mark, message, "", help);
        }
    }

    /// `external`: what somebody else starts.
    pub(super) fn external(&mut self, entry: &Entry) -> Option<Program> {
        let node = &entry.value;
        node.entry("external")?;
        for key in OF_PROGRAMS {
            if let Some(other) = node.entry(key) {
                let message =
                    format!("`{key}` means nothing to a service that is not started here");
                let label = "`external` stands beside it";
                self.problems.error(
                    Code::BAD_VALUE,
                    &other.key_mark,
                    message,
                    label,
                    "remove one of them",
                );
            }
        }
        if let (Some(2..), Some(at)) = (whole::<u32>(node.get("instances")), node.get("instances"))
        {
            let message = format!("`{}` is one program that somebody else has started", entry.key);
            let help = "name each one as a service of its own";
            self.problems.error(Code::BAD_VALUE, &at.mark, message, "cannot be multiplied", help);
        }
        let listens = flag(node.get("listen")).unwrap_or(true);
        Some(Program::External(External { address: self.external_address(entry, listens) }))
    }

    fn external_address(&mut self, entry: &Entry, listens: bool) -> Option<SocketAddr> {
        let node = &entry.value;
        let external = node.get("external")?;
        let fixed = node.get("port");
        let given = external.text().filter(|text| *text != "true");
        match (given, fixed) {
            (Some(_), Some(fixed)) => {
                let message = format!("`external` of `{}` has a port already", entry.key);
                let help = "remove `port`, or write `external: true`";
                self.problems.error(Code::BAD_VALUE, &fixed.mark, message, "", help);
            }
            (Some(_), None) if !listens => {
                let message = format!("`{}` has an address, but does not listen", entry.key);
                let help = "write `external: true`, or remove `listen: false`";
                self.problems.error(Code::BAD_VALUE, &external.mark, message, "", help);
            }
            (None, None) if listens && external.text().is_some() => {
                let message = format!("where `{}` listens is not known", entry.key);
                let help = "write its address, or `port:`; `listen: false` when it does not listen";
                self.problems.error(Code::BAD_VALUE, &external.mark, message, "", help);
            }
            _ => {}
        }
        match given {
            Some(text) => shape::address(text).ok(),
            None => port(fixed).map(loopback),
        }
    }
}
