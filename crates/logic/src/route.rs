//! Where a request leads: rules are compiled into a table, a request is matched against it.
//!
//! Which rule wins when several match (Gateway API `HTTPRoute`): an exact host before a wildcard before
//! none, and a longer wildcard before a shorter; then an exact path before the longest prefix; then
//! a rule that names methods; then the one with more header conditions; then the one with more query
//! conditions; then the one that stands first. When the rules of a more specific host or path all
//! fail on method, headers or query, the less specific ones are asked; a request no rule matches
//! leads nowhere.
//!
//! Paths are matched in the form that [`path::clean`] makes of them, so that one path cannot be
//! written in two ways that lead to different places.

pub mod path;
pub mod query;

use crate::names::ByName;
use path::CleanPath;
use std::{borrow::Cow, cmp::Reverse};

/// What a request must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A host name, `*.example.com` for every name below, or any.
    pub host: Option<String>,
    /// The path.
    pub path: Path,
    /// Methods as they are written in requests; empty: any.
    pub methods: Vec<String>,
    /// Header names with the value they must have; `None`: any value. All must hold.
    pub headers: Vec<(String, Option<String>)>,
    /// Query parameters with the value they must have, decoded; `None`: any value. All must hold.
    pub query: Vec<(String, Option<String>)>,
}

/// How a rule matches the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// The path and all below it, by whole segments.
    Prefix(String),
    /// This path only.
    Exact(String),
}

/// What of a request, besides its path, rules look at.
pub trait Request {
    /// The host it is for, with or without port, in any case.
    fn host(&self) -> &str;
    /// Its method.
    fn method(&self) -> &str;
    /// Whether it has a header `name` with `value` (`None`: with any value).
    fn has_header(&self, name: &str, value: Option<&str>) -> bool;
    /// Its query as it was sent, without the `?`; empty without one. Asked only by rules that have
    /// conditions on it.
    fn query(&self) -> &str {
        ""
    }
}

/// Compiled rules.
#[derive(Clone, Debug, Default)]
pub struct Table {
    exact_hosts: ByName<String, Paths>,
    /// By suffix with its dot (`.example.com`), longest first.
    wildcard_hosts: Vec<(String, Paths)>,
    any_host: Paths,
}

impl Table {
    /// Compiles `rules`; what [`Table::find`] returns is an index into them.
    #[must_use]
    pub fn new(rules: &[Rule]) -> Self {
        let mut table = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            let host = rule.host.as_deref().map(|host| fold_host(host).into_owned());
            let paths = match host {
                None => &mut table.any_host,
                Some(host) => match host.strip_prefix('*') {
                    Some(suffix) => table.wildcard(suffix),
                    None => table.exact_hosts.entry(host).or_default(),
                },
            };
            paths.add(at, rule);
        }
        table.wildcard_hosts.sort_by_key(|(suffix, _)| Reverse(suffix.len()));
        table
    }

    /// The index of the rule that `request` for `path` matches.
    #[must_use]
    pub fn find(&self, path: &CleanPath<'_>, request: &impl Request) -> Option<usize> {
        if !self.exact_hosts.is_empty() || !self.wildcard_hosts.is_empty() {
            let host = fold_host(request.host());
            let exact = self.exact_hosts.get(host.as_ref());
            if let Some(found) = exact.and_then(|paths| paths.find(path, request)) {
                return Some(found);
            }
            let below = |suffix: &str| host.len() > suffix.len() && host.ends_with(suffix);
            let mut wildcards = self.wildcard_hosts.iter().filter(|(suffix, _)| below(suffix));
            if let Some(found) = wildcards.find_map(|(_, paths)| paths.find(path, request)) {
                return Some(found);
            }
        }
        self.any_host.find(path, request)
    }

    fn wildcard(&mut self, suffix: &str) -> &mut Paths {
        let at = self.wildcard_hosts.iter().position(|(known, _)| known == suffix);
        let at = at.unwrap_or_else(|| {
            self.wildcard_hosts.push((suffix.to_owned(), Paths::default()));
            self.wildcard_hosts.len() - 1
        });
        &mut self.wildcard_hosts[at].1
    }
}

/// A host as it is compared: without port and trailing dot, lowercase.
fn fold_host(host: &str) -> Cow<'_, str> {
    let name = match host.rsplit_once(':') {
        // `[::1]` ends with a bracket, not with a port.
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The rules of one host.
#[derive(Clone, Debug, Default)]
struct Paths {
    exact: ByName<String, Vec<Condition>>,
    /// By prefix without trailing slash; the root is the empty text.
    prefix: ByName<String, Vec<Condition>>,
    /// A bit for each length that a prefix has, the last for all that are longer. Most parents of a path are no
    /// rule's prefix, and most of those show it by their length.
    lengths: u64,
}

impl Paths {
    fn add(&mut self, rule_at: usize, rule: &Rule) {
        // A rule may be written in any spelling too; one that no request can have matches none.
        let spell =
            |path: &str| path::clean(path).map_or(path.to_owned(), |p| p.as_str().to_owned());
        let conditions = match &rule.path {
            Path::Exact(path) => self.exact.entry(spell(path)).or_default(),
            Path::Prefix(path) => {
                let path = spell(path).trim_end_matches('/').to_owned();
                self.lengths |= length_bit(&path);
                self.prefix.entry(path).or_default()
            }
        };
        conditions.push(Condition {
            rule_at,
            methods: rule.methods.clone(),
            headers: rule.headers.clone(),
            query: rule.query.clone(),
        });
        conditions.sort_by_key(Condition::rank);
    }

    fn find(&self, path: &CleanPath<'_>, request: &impl Request) -> Option<usize> {
        let whole = path.as_str();
        let first = |conditions: &Vec<Condition>| {
            conditions.iter().find(|condition| condition.holds(request)).map(|c| c.rule_at)
        };
        if let Some(found) = self.exact.get(whole).and_then(first) {
            return Some(found);
        }
        // `/a/b/c`, then `/a/b`, `/a` and the root.
        let mut prefix = whole.strip_suffix('/').unwrap_or(whole);
        loop {
            if self.lengths & length_bit(prefix) != 0
                && let Some(found) = self.prefix.get(prefix).and_then(first)
            {
                return Some(found);
            }
            prefix = prefix.rsplit_once('/')?.0;
        }
    }
}

/// The bit of a prefix among all lengths.
fn length_bit(prefix: &str) -> u64 {
    1 << prefix.len().min(63)
}

/// What one rule asks beyond host and path.
#[derive(Clone, Debug)]
struct Condition {
    rule_at: usize,
    methods: Vec<String>,
    headers: Vec<(String, Option<String>)>,
    query: Vec<(String, Option<String>)>,
}

impl Condition {
    /// Lower is asked first.
    fn rank(&self) -> (bool, Reverse<usize>, Reverse<usize>, usize) {
        let (headers, query) = (Reverse(self.headers.len()), Reverse(self.query.len()));
        (self.methods.is_empty(), headers, query, self.rule_at)
    }

    fn holds(&self, request: &impl Request) -> bool {
        (self.methods.is_empty() || self.methods.iter().any(|method| method == request.method()))
            && self.headers.iter().all(|(name, value)| request.has_header(name, value.as_deref()))
            && self
                .query
                .iter()
                .all(|(name, value)| query::has(request.query(), name, value.as_deref()))
    }
}

/// Picks one of several targets in proportion to their weights; `random` is any 64-bit number. `None`
/// when all weights are 0.
#[must_use]
pub fn weighted(weights: impl Iterator<Item = u32> + Clone, random: u64) -> Option<usize> {
    let total: u64 = weights.clone().map(u64::from).sum();
    let wide = (u128::from(random) * u128::from(total)) >> 64;
    let mut point = u64::try_from(wide).unwrap_or(0);
    for (at, weight) in weights.map(u64::from).enumerate() {
        if point < weight {
            return Some(at);
        }
        point -= weight;
    }
    None
}

#[cfg(test)]
mod tests;
