//! A request that policies look at.

use std::net::IpAddr;

use logic::route::path::{CleanPath, clean};
use policy::Request;

/// A request as a client wrote it.
pub(super) struct View<'a> {
    host: &'a str,
    raw_path: &'a str,
    path: CleanPath<'a>,
    query: Option<&'a str>,
}

impl<'a> View<'a> {
    /// `None` for what does not come as far as a policy: a target or host with bytes that the codec refuses, or
    /// a path that is.
    pub(super) fn new(host: &'a str, target: &'a str) -> Option<Self> {
        let is_visible = |text: &str| text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        if !is_visible(host) || !is_visible(target) {
            return None;
        }
        let (raw_path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        Some(Self { host, raw_path, path: clean(raw_path).ok()?, query })
    }
}

impl Request for View<'_> {
    fn method(&self) -> &str {
        "GET"
    }
    fn scheme(&self) -> &str {
        "http"
    }
    fn host(&self) -> &str {
        self.host
    }
    fn path(&self) -> &str {
        self.path.as_str()
    }
    fn raw_path(&self) -> &str {
        self.raw_path
    }
    fn query(&self) -> Option<&str> {
        self.query
    }
    fn client(&self) -> IpAddr {
        IpAddr::from([192, 0, 2, 1])
    }
    fn each(&self, _name: &str, _see: &mut dyn FnMut(&[u8]) -> bool) {}
    fn all(&self, _see: &mut dyn FnMut(&str, &[u8])) {}
}
