//! What a route asks of its requests and does to them, and what the gateway says for all routes.
//!
//! Everything is checked by the constructors that make it later, so that what `flotilla check` finds good runs.

use super::{
    Reader,
    auth::Ways,
    values::{duration, flag, percent, size, text, texts, whole},
};
use crate::{
    Gateway, PathMatch, Rate, Rules,
    source::Mark,
    tree::{Entry, Node, Value},
};
use base::{ByteSize, Code, ErrorChain};
use policy::{
    compress, cors,
    edits::{self, Changes},
    fault, rate,
    redirect::{self, Parts, PathChange, To},
    rewrite,
};
use std::error::Error;

/// What the gateway says for routes that say nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Common {
    pub(super) ways: Ways,
    pub(super) cors: Option<cors::Config>,
    pub(super) rate: Vec<rate::Spec>,
    pub(super) compress: Option<compress::Config>,
    pub(super) edits: edits::Config,
    pub(super) body_max: Option<ByteSize>,
    /// The port of `https`, when there is TLS and it is not 443.
    pub(super) https_port: Option<u16>,
}

impl Reader<'_> {
    /// What `gateway` says for all routes.
    pub(super) fn common(&mut self, node: Option<&Node>, gateway: &Gateway) -> Common {
        let part = |name: &str| node.and_then(|node| node.get(name));
        Common {
            ways: self.ways(node),
            cors: part("cors").and_then(|cors| self.cors(cors)),
            rate: part("rate").map(|rate| self.rate(rate)).unwrap_or_default(),
            compress: part("compress").and_then(|compress| self.compress(compress)),
            edits: node.map(|node| self.edits(node)).unwrap_or_default(),
            body_max: gateway.limits.body,
            https_port: gateway
                .tls
                .as_ref()
                .and(gateway.listen)
                .map(|listen| listen.port())
                .filter(|port| *port != 443),
        }
    }

    /// What the route `node` asks for, which matches `path`.
    pub(super) fn rules(&mut self, node: &Node, path: &PathMatch, common: &Common) -> Rules {
        let (PathMatch::Prefix(prefix) | PathMatch::Exact(prefix)) = path;
        let part = |name: &str| node.get(name);
        let auth = match part("auth") {
            None => common.ways.of_routes(),
            Some(auth) => self.auth(auth, &common.ways),
        };
        let own = self.edits(node);
        let edits = edits::Config {
            request: joined(&common.edits.request, own.request),
            response: joined(&common.edits.response, own.response),
        };
        Rules {
            auth,
            allow: text(part("allow")),
            scopes: texts(part("scopes")),
            rate: match part("rate") {
                None => Rate { limits: common.rate.clone(), is_shared: true },
                Some(rate) => Rate { limits: self.rate(rate), is_shared: false },
            },
            cors: match part("cors") {
                None => common.cors.clone(),
                Some(cors) => self.cors(cors),
            },
            redirect: node
                .entry("redirect")
                .and_then(|entry| self.redirect(entry, prefix, common.https_port)),
            rewrite: node.entry("rewrite").and_then(|entry| self.rewrite(entry, prefix)),
            edits,
            fault: node.entry("fault").and_then(|entry| self.fault(entry)),
        }
    }

    /// Reports why a part of the policy cannot be made.
    fn refuse(&mut self, mark: &Mark, message: &str, why: &(dyn Error + 'static), help: &str) {
        let why = ErrorChain(why).to_string();
        self.problems.error(Code::BAD_VALUE, mark, message, why, help);
    }

    fn rate(&mut self, node: &Node) -> Vec<rate::Spec> {
        let written = node.texts();
        if let Some(off) = written.iter().find(|one| one.text() == Some("off")) {
            if written.len() > 1 {
                let message = "`off` beside other limits";
                self.problems.error(Code::BAD_VALUE, &off.mark, message, "", "remove one of them");
            }
            return Vec::new();
        }
        // What is no limit was refused by the check.
        let specs: Vec<rate::Spec> =
            written.iter().filter_map(|one| rate::parse(one.text()?).ok()).collect();
        if let Err(why) = rate::Limits::new(&specs, 0, &[]) {
            self.refuse(&node.mark, "these limits cannot be kept", &why, "");
            return Vec::new();
        }
        specs
    }

    fn cors(&mut self, node: &Node) -> Option<cors::Config> {
        if node.text() == Some("off") || matches!(node.value, Value::Unknown) {
            return None;
        }
        let default = cors::Config::default();
        let upper = |methods: Vec<String>| {
            methods.into_iter().map(|method| method.to_ascii_uppercase()).collect()
        };
        let config = cors::Config {
            origins: texts(node.get("origins")),
            methods: upper(texts(node.get("methods"))),
            headers: texts(node.get("headers")),
            expose: texts(node.get("expose")),
            credentials: flag(node.get("credentials")).unwrap_or(default.credentials),
            max_age: duration(node.get("max_age")).unwrap_or(default.max_age),
            private_network: flag(node.get("private_network")).unwrap_or(default.private_network),
        };
        if let Err(why) = cors::Cors::new(config.clone()) {
            let (key, text) = match &why {
                cors::Error::NoOrigins => ("origins", ""),
                cors::Error::Origin { text, .. } => ("origins", text.as_str()),
                cors::Error::CredentialsForAll(text) => ("origins", *text),
                cors::Error::Method(text) => ("methods", text.as_str()),
                cors::Error::Header { text, .. } => ("headers", text.as_str()),
                cors::Error::ExposeAll => ("expose", ""),
                cors::Error::MaxAge => ("max_age", ""),
                cors::Error::TooMany => ("", ""),
            };
            let mark = place_of(node, key, text).clone();
            self.refuse(&mark, "this `cors` cannot be", &why, "");
            return None;
        }
        Some(config)
    }

    pub(super) fn compress(&mut self, node: &Node) -> Option<compress::Config> {
        if flag(Some(node)) == Some(false) {
            return None;
        }
        let default = compress::Config::default();
        let coding =
            |name: &String| compress::Coding::ALL.into_iter().find(|one| one.name() == name);
        let mut codings: Vec<_> = texts(node.get("algorithms")).iter().filter_map(coding).collect();
        codings.dedup();
        let config = compress::Config {
            codings,
            types: texts(node.get("types")),
            min_len: size(node.get("min")).map_or(default.min_len, |size| size.0),
        };
        if let Err(why) = compress::Compress::new(config.clone()) {
            let text = if let compress::Error::Type { text, .. } = &why { text } else { "" };
            let mark = place_of(node, "types", text).clone();
            self.refuse(&mark, "this cannot be compressed", &why, "");
            return None;
        }
        Some(config)
    }

    /// `request_headers` and `response_headers` of a route or the gateway.
    fn edits(&mut self, node: &Node) -> edits::Config {
        let mut changes = |key: &str, as_config: fn(Changes) -> edits::Config| {
            let Some(entry) = node.entry(key) else { return Changes::default() };
            let pairs = |name: &str| {
                let entries = entry.value.get(name).map(Node::entries).unwrap_or_default();
                let pair = |entry: &Entry| Some((entry.key.clone(), text(Some(&entry.value))?));
                entries.iter().filter_map(pair).collect()
            };
            let changes = Changes {
                set: pairs("set"),
                add: pairs("add"),
                remove: texts(entry.value.get("remove")),
            };
            match edits::Edits::new(as_config(changes.clone())) {
                Ok(_) => changes,
                Err(why) => {
                    let name = match &why {
                        edits::Error::Value { name, .. }
                        | edits::Error::Refused { name, .. }
                        | edits::Error::Twice(name) => name.as_str(),
                        edits::Error::Name(_) | edits::Error::TooMany => "",
                    };
                    let is_it = |known: &str| match &why {
                        edits::Error::Name(_) => edits::field_name(known).is_err(),
                        _ => known.eq_ignore_ascii_case(name),
                    };
                    let mark = header_mark(&entry.value, is_it).unwrap_or(&entry.key_mark);
                    self.refuse(mark, "this header cannot be changed so", &why, "");
                    Changes::default()
                }
            }
        };
        let request = changes("request_headers", |request| edits::Config {
            request,
            ..edits::Config::default()
        });
        let response = changes("response_headers", |response| edits::Config {
            response,
            ..edits::Config::default()
        });
        edits::Config { request, response }
    }

    fn redirect(
        &mut self,
        entry: &Entry,
        prefix: &str,
        https_port: Option<u16>,
    ) -> Option<redirect::Config> {
        let node = &entry.value;
        let to = text(Some(node)).or_else(|| text(node.get("to")));
        let is_parted =
            ["scheme", "host", "port", "path", "prefix"].iter().any(|key| node.get(key).is_some());
        if let (Some(_), true, Some(at)) = (&to, is_parted, node.get("to")) {
            let message = "`to` is the whole address, so no part of it can be replaced";
            self.problems.error(Code::POLICY, &at.mark, message, "", "write `to` alone, or parts");
            return None;
        }
        let path = self.path_change(node)?;
        let https = redirect::Config::https(https_port);
        let config = match to.as_deref() {
            Some("https") => https,
            Some(to) => redirect::Config { to: To::Template(to.to_owned()), ..https },
            None => {
                let scheme = text(node.get("scheme"));
                let port = whole(node.get("port"))
                    .or(https_port.filter(|_| scheme.as_deref() == Some("https")));
                let parts = Parts { scheme, host: text(node.get("host")), port, path };
                redirect::Config { to: To::Parts(parts), ..https }
            }
        };
        let status = whole(node.get("status")).unwrap_or(config.status);
        let config = redirect::Config { status, prefix: prefix.to_owned(), ..config };
        if let Err(why) = redirect::Redirect::new(config.clone()) {
            let mark = match &why {
                redirect::Error::Template { text, .. } => value_mark(node, text),
                redirect::Error::Host(host) => value_mark(node, host),
                redirect::Error::Status(_) => node.get("status").map(|status| &status.mark),
                redirect::Error::Scheme(_) | redirect::Error::Port | redirect::Error::Nothing => {
                    None
                }
            };
            let mark = mark.unwrap_or(&node.mark).clone();
            let help = match &why {
                redirect::Error::Status(_) => "",
                _ => "write `https`, a URL, or a path that begins with `/`",
            };
            self.refuse(&mark, "nobody can be sent there", &why, help);
            return None;
        }
        Some(config)
    }

    fn rewrite(&mut self, entry: &Entry, prefix: &str) -> Option<rewrite::Config> {
        let node = &entry.value;
        let path = match node.text() {
            Some(path) => Some(PathChange::Full(path.to_owned())),
            None => self.path_change(node)?,
        };
        let config =
            rewrite::Config { path, host: text(node.get("host")), prefix: prefix.to_owned() };
        if let Err(why) = rewrite::Rewrite::new(config.clone()) {
            let mark = match &why {
                rewrite::Error::Path { text, .. } => value_mark(node, text),
                rewrite::Error::Host(host) => value_mark(node, host),
                rewrite::Error::Nothing => None,
            };
            let mark = mark.unwrap_or(&node.mark).clone();
            self.refuse(&mark, "a request cannot be rewritten to that", &why, "");
            return None;
        }
        Some(config)
    }

    /// `path` or `prefix`; `None` when both are there.
    #[expect(clippy::option_option, reason = "no change is not the same as a wrong one")]
    fn path_change(&mut self, node: &Node) -> Option<Option<PathChange>> {
        match (text(node.get("path")), text(node.get("prefix")), node.get("prefix")) {
            (Some(_), Some(_), Some(at)) => {
                let message = "both `path` and `prefix` say what the path becomes";
                self.problems.error(Code::POLICY, &at.mark, message, "", "remove one of them");
                None
            }
            (Some(path), _, _) => Some(Some(PathChange::Full(path))),
            (None, Some(prefix), _) => Some(Some(PathChange::Prefix(prefix))),
            (None, None, _) => Some(None),
        }
    }

    fn fault(&mut self, entry: &Entry) -> Option<fault::Config> {
        let node = &entry.value;
        let config = fault::Config {
            delay: duration(node.get("delay")),
            abort: whole(node.get("abort")),
            percent: percent(node.get("percent"), true).unwrap_or(100.0),
            header: text(node.get("header")),
        };
        if let Err(why) = fault::Fault::new(config.clone()) {
            let key = if matches!(why, fault::Error::Delay) { "delay" } else { "" };
            let mark = node.get(key).map_or(&entry.key_mark, |part| &part.mark).clone();
            self.refuse(&mark, "this `fault` cannot be", &why, "");
            return None;
        }
        Some(config)
    }
}

/// The gateway's changes and the route's own; where both name a header, the route's.
fn joined(common: &Changes, own: Changes) -> Changes {
    let is_own = |name: &String| {
        let mut names = own.set.iter().map(|(name, _)| name);
        names.any(|known| known.eq_ignore_ascii_case(name))
            || own.add.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
            || own.remove.iter().any(|known| known.eq_ignore_ascii_case(name))
    };
    let pairs = |pairs: &[(String, String)]| {
        pairs.iter().filter(|(name, _)| !is_own(name)).cloned().collect::<Vec<_>>()
    };
    Changes {
        set: [pairs(&common.set), own.set.clone()].concat(),
        add: [pairs(&common.add), own.add.clone()].concat(),
        remove: common
            .remove
            .iter()
            .filter(|name| !is_own(name))
            .chain(&own.remove)
            .cloned()
            .collect(),
    }
}

/// Where `text` stands in the list `key` of a map; else the list, else the map.
fn place_of<'a>(node: &'a Node, key: &str, text: &str) -> &'a Mark {
    let Some(part) = node.get(key) else { return &node.mark };
    let texts = part.texts();
    let found = texts.iter().find(|one| one.text().is_some_and(|it| it.eq_ignore_ascii_case(text)));
    found.map_or(&part.mark, |one| &one.mark)
}

/// Where a value `text` stands in a map.
fn value_mark<'a>(node: &'a Node, text: &str) -> Option<&'a Mark> {
    let found = node.entries().iter().find(|entry| entry.value.text() == Some(text));
    found.map(|entry| &entry.value.mark)
}

/// Where the last header that `is_it` stands among changes.
fn header_mark(node: &Node, is_it: impl Fn(&str) -> bool) -> Option<&Mark> {
    let lists = node.entries().iter().flat_map(|kind| kind.value.entries());
    let as_key = lists.filter(|entry| is_it(&entry.key)).map(|entry| &entry.key_mark);
    let removed = node.get("remove").map(Node::texts).unwrap_or_default();
    let as_item =
        removed.into_iter().filter(|item| item.text().is_some_and(&is_it)).map(|item| &item.mark);
    as_key.chain(as_item).last()
}
