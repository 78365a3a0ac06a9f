//! Ports of this machine that the file fixes: none may be used twice.

use super::{GATEWAY_PORT, Reader, entries, values};
use crate::{Gateway, shape, source::Mark, tree::Node};
use base::{Code, Diagnostic};
use std::net::SocketAddr;

/// A port, who uses it, and where that stands (nowhere when it is a default).
type Use = (u16, String, Option<Mark>);

impl Reader<'_> {
    pub(super) fn ports(&mut self, tree: &Node, gateway: &Gateway, admin: SocketAddr) {
        let mut used: Vec<Use> = Vec::new();
        if let Some(listen) = gateway.listen {
            let mark = tree.at(&["gateway", "listen"]).map(|node| node.mark.clone());
            self.claim(&mut used, (listen.port(), "the gateway".to_owned(), mark));
        }
        let mark = tree.at(&["admin", "listen"]).map(|node| node.mark.clone());
        self.claim(&mut used, (admin.port(), "the admin API".to_owned(), mark));
        for (_, entry) in entries(tree) {
            let node = &entry.value;
            let owner = format!("`{}`", entry.key);
            if node.get("image").is_none()
                && self.known.get(&entry.key).is_some_and(|known| known.listens)
                && let Some(port) = values::port(node.get("port"))
            {
                let mark = node.get("port").map(|node| node.mark.clone());
                self.claim(&mut used, (port, owner.clone(), mark));
            }
            for item in node.get("publish").map(Node::items).unwrap_or_default() {
                if let Some((host, _)) = item.text().and_then(shape::publish) {
                    self.claim(&mut used, (host, owner.clone(), Some(item.mark.clone())));
                }
            }
        }
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
            let problem = match (mark, first_mark) {
                (Some(mark), Some(first_mark)) => problem
                    .at(mark.place(), "used again here")
                    .note(format!("it is used first in {}", first_mark.seen_from(mark)))
                    .help("change one of them"),
                (Some(mark), None) => problem
                    .at(mark.place(), format!("{first} listens there unless told otherwise"))
                    .help(format!("change it, or write `{key}`")),
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
