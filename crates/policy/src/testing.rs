//! A request for the tests of this crate.

use crate::{Now, Request};
use base::{Moment, Timestamp};
use std::{net::IpAddr, time::Duration};

/// A request, built up: `View::get("https://shop.example/a?b=c").with("origin", "null")`.
#[derive(Clone, Debug)]
pub(crate) struct View {
    method: String,
    scheme: String,
    host: String,
    raw_path: String,
    path: String,
    query: Option<String>,
    client: IpAddr,
    fields: Vec<(String, Vec<u8>)>,
}

impl View {
    pub(crate) fn get(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").expect("a URL has a scheme");
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(end);
        let (raw_path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let raw_path = if raw_path.is_empty() { "/" } else { raw_path };
        // Requests whose path is refused do not come this far; some tests make them all the same.
        let path = logic::route::path::clean(raw_path);
        let path = path.map_or_else(|_| raw_path.to_owned(), |path| path.as_str().to_owned());
        Self {
            method: "GET".to_owned(),
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            raw_path: raw_path.to_owned(),
            path,
            query,
            client: IpAddr::from([192, 0, 2, 1]),
            fields: Vec::new(),
        }
    }

    /// A plain request of a shop.
    pub(crate) fn any() -> Self {
        Self::get("http://shop.example/api/items")
    }

    pub(crate) fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    pub(crate) fn client(mut self, client: &str) -> Self {
        self.client = client.parse().expect("an address");
        self
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// The path as sent, when it is none that [`View::get`] takes.
    pub(crate) fn raw_path(mut self, path: &str) -> Self {
        path.clone_into(&mut self.raw_path);
        self
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        self.query = Some(query.to_owned());
        self
    }

    /// Adds a field.
    pub(crate) fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }
}

impl Request for View {
    fn method(&self) -> &str {
        &self.method
    }
    fn scheme(&self) -> &str {
        &self.scheme
    }
    fn host(&self) -> &str {
        &self.host
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn raw_path(&self) -> &str {
        &self.raw_path
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn client(&self) -> IpAddr {
        self.client
    }
    fn each(&self, name: &str, see: &mut dyn FnMut(&[u8]) -> bool) {
        for (known, value) in &self.fields {
            if known == name && !see(value) {
                return;
            }
        }
    }
    fn all(&self, see: &mut dyn FnMut(&str, &[u8])) {
        for (name, value) in &self.fields {
            see(name, value);
        }
    }
}

/// `ms` after the node's start.
pub(crate) fn at(ms: u64) -> Now {
    let moment = Moment::from_start(Duration::from_millis(ms));
    Now { moment, timestamp: Timestamp(1_800_000_000_000_000 + ms * 1_000), random: 0 }
}
