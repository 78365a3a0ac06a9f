//! Values of checked nodes. `None`: not there, or refused by the check.

use crate::{shape, tree::Node};
use base::{ByteSize, units};
use std::{net::SocketAddr, time::Duration};

pub(super) fn duration(node: Option<&Node>) -> Option<Duration> {
    units::parse_duration(node?.text()?).ok()
}

pub(super) fn whole<T: std::str::FromStr>(node: Option<&Node>) -> Option<T> {
    node?.text()?.parse().ok()
}

pub(super) fn port(node: Option<&Node>) -> Option<u16> {
    whole(node).filter(|port| *port > 0)
}

pub(super) fn flag(node: Option<&Node>) -> Option<bool> {
    whole(node)
}

pub(super) fn size(node: Option<&Node>) -> Option<ByteSize> {
    whole(node)
}

pub(super) fn cores(node: Option<&Node>) -> Option<f64> {
    shape::cores(node?.text()?)
}

pub(super) fn text(node: Option<&Node>) -> Option<String> {
    node?.text().map(str::to_owned)
}

pub(super) fn address(node: &Node) -> Option<SocketAddr> {
    shape::address(node.text()?).ok()
}

/// A list of texts; a single text is split at blanks outside of quotes, as a container's arguments are.
pub(super) fn words(node: Option<&Node>) -> Option<Vec<String>> {
    let node = node?;
    match node.text() {
        Some(text) => Some(crate::words::split(text)),
        None => {
            Some(node.texts().iter().filter_map(|item| item.text()).map(str::to_owned).collect())
        }
    }
}

/// A list of texts, or one.
pub(super) fn texts(node: Option<&Node>) -> Vec<String> {
    let nodes = node.map(Node::texts).unwrap_or_default();
    nodes.iter().filter_map(|node| node.text()).map(str::to_owned).collect()
}

pub(super) fn percent(node: Option<&Node>, fraction: bool) -> Option<f64> {
    shape::percent(node?.text()?, fraction).ok()
}

/// A duration in milliseconds.
pub(super) fn millis(node: Option<&Node>) -> Option<u64> {
    u64::try_from(duration(node)?.as_millis()).ok()
}
