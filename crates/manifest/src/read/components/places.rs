//! Where components are, and which services see them.

use super::super::{Reader, entries, program::normal};
use crate::tree::Node;
use base::ServiceName;
use std::{collections::BTreeSet, path::PathBuf};

/// Who sees a folder.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    ByAll,
    By(BTreeSet<ServiceName>),
}

/// A folder or a file, who sees it, and where it was named first.
pub(super) struct Place<'a> {
    pub(super) path: PathBuf,
    pub(super) node: &'a Node,
    pub(super) seen: Seen,
}

impl Reader<'_> {
    /// Every folder and file once, with those who see it.
    pub(super) fn places<'t>(&mut self, tree: &'t Node) -> Vec<Place<'t>> {
        let mut all: Vec<Place<'t>> = Vec::new();
        let mut add = |node: &'t Node, seen: Seen| {
            for node in node.texts() {
                let Some(text) = node.text() else { continue };
                let path = normal(&node.mark.source.dir.join(text));
                match all.iter_mut().find(|place| place.path == path) {
                    Some(place) => place.seen = place.seen.clone().and(seen.clone()),
                    None => all.push(Place { path, node, seen: seen.clone() }),
                }
            }
        };
        if let Some(node) = tree.get("components") {
            add(node, Seen::ByAll);
        }
        for (_, entry) in entries(tree) {
            if let (Some(node), Ok(name)) =
                (entry.value.get("components"), ServiceName::new(&entry.key))
            {
                add(node, Seen::By(BTreeSet::from([name])));
            }
        }
        all
    }
}

impl Seen {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::By(mut some), Self::By(more)) => {
                some.extend(more);
                Self::By(some)
            }
            _ => Self::ByAll,
        }
    }

    pub(super) fn includes(&self, service: &ServiceName) -> bool {
        match self {
            Self::ByAll => true,
            Self::By(some) => some.contains(service),
        }
    }
}
