//! Keys of the gateway that do not go together, and those that let more in than it seems.

use super::Reader;
use crate::{Auth, Gateway, Route, Sticky, Target, source::Mark, tree::Node};
use base::{Code, Diagnostic};
use policy::{rate::Per, rewrite};

/// What means nothing on a route that answers itself.
const OF_FORWARDING: &[&str] = &[
    "strip",
    "rewrite",
    "request_headers",
    "body_max",
    "compress",
    "timeout",
    "retries",
    "sticky",
];

impl Reader<'_> {
    /// Reports what of one route contradicts itself.
    pub(super) fn contradictions(&mut self, route: &Route, node: &Node) {
        if route.rules.redirect.is_some() {
            for key in OF_FORWARDING {
                if let Some(entry) = node.entry(key) {
                    let message = format!("`{key}` means nothing on a route that redirects");
                    self.contradiction(&entry.key_mark, &message, "nothing is forwarded");
                }
            }
        }
        let changes_path =
            matches!(&route.rules.rewrite, Some(rewrite::Config { path: Some(_), .. }));
        if let (true, true, Some(entry)) = (route.strip, changes_path, node.entry("strip")) {
            let message = "both `strip` and `rewrite` say what the path becomes";
            self.contradiction(&entry.key_mark, message, "`rewrite` says it all");
        }
        let auth = &route.rules.auth;
        if let (None, Some(entry)) = (&auth.jwt, node.entry("scopes")) {
            let message = "`scopes` are in tokens, and this route takes none";
            let help = "write `auth: { jwt: … }` here or under `gateway:`";
            self.problems.error(Code::POLICY, &entry.key_mark, message, "nobody could pass", help);
        }
        self.nameless(route, node);
        let is_sticky = matches!(route.sticky, Some(Sticky::Cookie { .. }));
        let known = |to: &Target| self.known.get(to.service.as_str());
        let leads_to_hashed = route.to.iter().filter_map(known).any(|service| service.is_hashed);
        if let (true, true, Some(entry)) = (is_sticky, leads_to_hashed, node.entry("sticky")) {
            let message =
                "a route cannot be `sticky` and lead to a service balanced by `consistent_hash`";
            self.contradiction(
                &entry.key_mark,
                message,
                "both say which instance a client goes to",
            );
        }
    }

    fn contradiction(&mut self, mark: &Mark, message: &str, label: &str) {
        self.problems.error(Code::POLICY, mark, message, label, "remove one of them");
    }

    /// Reports what asks who somebody is, where nobody says it.
    fn nameless(&mut self, route: &Route, node: &Node) {
        let Auth { jwt, .. } = &route.rules.auth;
        if let (None, Some(allow), Some(at)) = (jwt, &route.rules.allow, node.get("allow"))
            && mentions(allow, "claims")
        {
            let mark = at.mark.within("claims");
            let message = "`allow` looks at claims, and this route takes no token";
            let help = "write `auth: { jwt: … }` here or under `gateway:`";
            self.problems.warning(Code::EXPOSED, &mark, message, "always empty", help);
        }
        for limit in &route.rules.rate.limits {
            let lacks = match limit.per {
                Per::Key => route.rules.auth.is_open(),
                Per::Claim(_) => jwt.is_none(),
                Per::All | Per::Ip | Per::Header(_) => false,
            };
            let at = node.get("rate").map(|rate| &rate.mark);
            if let (true, Some(mark)) = (lacks, at) {
                let message = "this limit counts by who somebody is, and nobody has to say it here";
                let label = "counted by address instead";
                let help = "write `auth:` here or under `gateway:`, or `per ip`";
                self.problems.warning(Code::EXPOSED, mark, message, label, help);
            }
        }
    }

    /// Warns of what works and is dangerous.
    pub(super) fn exposures(&mut self, gateway: &Gateway, node: Option<&Node>) {
        let is_open = gateway.listen.is_some_and(|listen| !listen.ip().is_loopback());
        let has_secrets = |route: &&Route| !route.rules.auth.is_open();
        let asking = gateway.routes.iter().find(has_secrets);
        let is_behind_proxy = !gateway.trusted_proxies.is_empty();
        if let (true, None, false, Some(route)) = (is_open, &gateway.tls, is_behind_proxy, asking) {
            let message = "tokens, keys and passwords come in without TLS";
            let listen = node.and_then(|node| node.get("listen"));
            let problem = Diagnostic::warning(Code::EXPOSED, message)
                .note(format!("they are asked for in {}", route.place))
                .help("write `tls:` under `gateway:`, or `trusted_proxies:` when a load balancer in front has TLS");
            self.problems.add(match listen {
                Some(listen) => {
                    problem.at(listen.mark.place(), "everybody on the way can read them")
                }
                None => problem,
            });
        }
    }
}

/// Whether the name `word` is in an expression, outside of longer names and of texts in quotes.
fn mentions(expression: &str, word: &str) -> bool {
    let mut quote = None;
    let mut name = String::new();
    for letter in expression.chars().chain([' ']) {
        if quote.is_none() && (letter.is_alphanumeric() || letter == '_') {
            name.push(letter);
            continue;
        }
        if name == word {
            return true;
        }
        name.clear();
        match quote {
            Some(open) if open == letter => quote = None,
            None if letter == '"' || letter == '\'' => quote = Some(letter),
            // A member of something else: `request.claims`.
            None if letter == '.' => name.push('.'),
            _ => {}
        }
    }
    false
}
