//! Calls that wait for their turn: so many are under way in all, and so many to one destination.

use crate::Target;
use logic::tx::Op;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// A call in line. What it says is made when its turn comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) id: u64,
    pub(crate) branch: Option<u16>,
    pub(crate) op: Op,
    pub(crate) attempt: u32,
    pub(crate) until_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Line {
    under_way: usize,
    queue: VecDeque<Waiting>,
    has_turn: bool,
}

/// The lines of all destinations. Those take turns, so that none waits for another's.
#[derive(Debug)]
pub(crate) struct Lines {
    lines: HashMap<Arc<str>, Line>,
    /// Destinations that have somebody waiting and room, each once.
    turns: VecDeque<Arc<str>>,
    under_way: usize,
    waiting: usize,
    most: usize,
    most_each: usize,
}

impl Lines {
    pub(crate) fn new(most: usize, most_each: usize) -> Self {
        let (lines, turns) = (HashMap::new(), VecDeque::new());
        Self { lines, turns, under_way: 0, waiting: 0, most, most_each }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// How many are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    pub(crate) fn push(&mut self, to: &str, call: Waiting) {
        self.waiting += 1;
        if !self.lines.contains_key(to) {
            self.lines.insert(to.into(), Line::default());
        }
        if let Some(line) = self.lines.get_mut(to) {
            line.queue.push_back(call);
        }
        self.turn(to);
    }

    /// The next call that may be made; it is under way from now on.
    pub(crate) fn next(&mut self) -> Option<(Arc<str>, Waiting)> {
        if self.under_way >= self.most {
            return None;
        }
        let to = self.turns.pop_front()?;
        let line = self.lines.get_mut(&to)?;
        line.has_turn = false;
        let call = line.queue.pop_front()?;
        line.under_way += 1;
        self.under_way += 1;
        self.waiting -= 1;
        self.turn(&to);
        Some((to, call))
    }

    /// A call has ended.
    pub(crate) fn ended(&mut self, to: &str) {
        self.under_way = self.under_way.saturating_sub(1);
        let Some(line) = self.lines.get_mut(to) else { return };
        line.under_way = line.under_way.saturating_sub(1);
        if line.under_way == 0 && line.queue.is_empty() {
            self.lines.remove(to);
        } else {
            self.turn(to);
        }
    }

    /// Puts a destination in for a turn if it has somebody for it.
    fn turn(&mut self, to: &str) {
        let most_each = self.most_each;
        let Some((to, line)) =
            self.lines.get_key_value(to).map(|(to, _)| Arc::clone(to)).and_then(|to| {
                let line = self.lines.get_mut(&to)?;
                Some((to, line))
            })
        else {
            return;
        };
        if !line.has_turn && !line.queue.is_empty() && line.under_way < most_each {
            line.has_turn = true;
            self.turns.push_back(to);
        }
    }
}

/// Who is called: a service's name, or a host.
pub(crate) fn destination(target: &Target) -> &str {
    match target {
        Target::Service { service, .. } | Target::GrpcService { service, .. } => service,
        Target::Grpc { authority, .. } => authority,
        Target::Url(url) => {
            let rest = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
            rest.split(['/', '?', '#']).next().unwrap_or_default()
        }
    }
}

/// The service of the file that is called, if it is one.
pub(crate) fn service(target: &Target) -> Option<&str> {
    match target {
        Target::Service { service, .. } | Target::GrpcService { service, .. } => Some(service),
        Target::Grpc { .. } | Target::Url(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: u64) -> Waiting {
        Waiting { id, branch: Some(0), op: Op::Action, attempt: 1, until_ms: None }
    }

    #[test]
    fn destinations_take_turns_and_none_has_more_than_its_share() {
        let mut lines = Lines::new(4, 2);
        for id in 0..5 {
            lines.push("a", call(id));
        }
        lines.push("b", call(10));
        lines.push("c", call(20));
        let mut next = || lines.next().map(|(_, call)| call.id);
        assert_eq!(
            [next(), next(), next(), next(), next()],
            [Some(0), Some(10), Some(20), Some(1), None]
        );
        assert_eq!((lines.waiting(), lines.under_way()), (3, 4));
        lines.ended("b");
        assert_eq!(lines.next(), None, "`a` has its share");
        lines.ended("a");
        assert_eq!(lines.next().map(|(_, call)| call.id), Some(2));
        assert_eq!(lines.lines.len(), 2, "`b` is forgotten");
    }

    #[test]
    fn the_destination_of_a_url_is_its_host() {
        for (url, host) in [
            ("http://127.0.0.1:80/a?b", "127.0.0.1:80"),
            ("https://example.org?x", "example.org"),
            ("none", "none"),
        ] {
            assert_eq!(destination(&Target::Url(url.to_owned())), host);
        }
    }
}
