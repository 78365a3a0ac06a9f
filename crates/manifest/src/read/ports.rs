//! Ports of this machine that the file fixes: none may be used twice.

use super::{GATEWAY_PORT, Known, Reader, entries, values};
use crate::{Gateway, shape, source::Mark, tree::Node};
use base::{Code, Diagnostic};
use std::{collections::BTreeMap, net::SocketAddr};

/// A port, who uses it, and where that stands (nowhere when it is a default).
type Use = (u16, String, Option<Mark>);

impl Reader<'_> {
    pub(super) fn ports(&mut self, tree: &Node, gateway: &Gateway, admin: SocketAddr) {
        let mut used: Vec<Use> = Vec::new();
        if let Some(listen) = gateway.listen {
            let mark = tree.at(&["gateway", "listen"]).map(|node| node.mark.clone());
            self.claim(&mut used, (listen.port(), "the gateway".to_owned(), mark));
        }
        if let Some(redirect) = gateway.http_redirect {
            let mark = tree.at(&["gateway", "http_redirect"]).map(|node| node.mark.clone());
            self.claim(&mut used, (redirect.port(), "`http_redirect`".to_owned(), mark));
        }
        let mark = tree.at(&["admin", "listen"]).map(|node| node.mark.clone());
        self.claim(&mut used, (admin.port(), "the admin API".to_owned(), mark));
        for (port, name, mark) in fixed(&self.known, tree) {
            self.claim(&mut used, (port, format!("`{name}`"), Some(mark)));
        }
        for (port, name, mark) in super::transactions::ports(tree) {
            self.claim(&mut used, (port, name, Some(mark)));
        }
    }

    /// Whether the port where the gateway would listen is one that the file gives to a service. Nobody asked for a
    /// gateway, so the service has it, and it is said.
    pub(super) fn is_taken(&mut self, tree: &Node, listen: Option<&Node>) -> bool {
        if listen.is_some() {
            return false;
        }
        let Some((name, mark)) = fixed(&self.known, tree)
            .into_iter()
            .find_map(|(port, name, mark)| (port == GATEWAY_PORT).then_some((name, mark)))
        else {
            return false;
        };
        let message = format!("the gateway does not listen: `{name}` has its port {GATEWAY_PORT}");
        let help = "for balancing and routes write a flotilla.yaml with `include:` for this file and `gateway: { listen: 127.0.0.1:9080 }`";
        self.problems.warning(Code::ROUTE, &mark, message, "reached here directly", help);
        true
    }

    fn claim(&mut self, used: &mut Vec<Use>, new: Use) {
        let (port, owner, mark) = &new;
        // Port 0 lets the system choose.
        let other = used.iter().find(|(other, _, _)| other == port && *port != 0);
        if let Some((_, first, first_mark)) = other {
            let message = format!("port {port} is used by {first} and by {owner}");
            let problem = Diagnostic::error(Code::DUPLICATE, message);
            let key = if *port == GATEWAY_PORT {
                "gateway: { listen: 127.0.0.1:9080 }"
            } else {
                "admin: { listen: 127.0.0.1:9081 }"
            };
            // No other format has these keys.
            let file = if self.context.foreign {
                " in a flotilla.yaml with `include:` for this file"
            } else {
                ""
            };
            let problem = match (mark, first_mark) {
                (Some(mark), Some(first_mark)) => problem
                    .at(mark.place(), "used again here")
                    .note(format!("it is used first in {}", first_mark.seen_from(mark)))
                    .help("change one of them"),
                (Some(mark), None) => problem
                    .at(mark.place(), format!("{first} listens there unless told otherwise"))
                    .help(format!("change it, or write `{key}`{file}")),
                (None, Some(mark)) => problem
                    .at(mark.place(), format!("{owner} listens there unless told otherwise"))
                    .help("change it, or write `admin: { listen: 127.0.0.1:9081 }`"),
                (None, None) => problem,
            };
            self.problems.add(problem);
        }
        used.push(new);
    }
}

/// The ports of this machine that services are given in the file, whose they are, and where that stands.
fn fixed(known: &BTreeMap<String, Known>, tree: &Node) -> Vec<(u16, String, Mark)> {
    let mut all = Vec::new();
    for (_, entry) in entries(tree) {
        let node = &entry.value;
        if node.get("image").is_none()
            && known.get(&entry.key).is_some_and(|known| known.listens)
            && let (Some(port), Some(at)) = (values::port(node.get("port")), node.get("port"))
        {
            all.push((port, entry.key.clone(), at.mark.clone()));
        }
        for key in ["http_port", "grpc_port"] {
            let at = node.at(&["api", key]);
            if let (Some(port), Some(at)) = (values::port(at), at) {
                all.push((port, format!("api.{key}` of `{}", entry.key), at.mark.clone()));
            }
        }
        for item in node.get("publish").map(Node::items).unwrap_or_default() {
            if let Some((host, _)) = item.text().and_then(shape::publish) {
                all.push((host, entry.key.clone(), item.mark.clone()));
            }
        }
    }
    all
}
