//! Finding the events that match a query.
//!
//! Types, tags and categories are lists of places, so a query is answered from the index alone: an item is the
//! intersection of its lists, and each list is asked for its first place from where the others are. So the rarest of
//! them decides how many steps it takes.

use ports::streams::{Direction, Item, Query};

use super::{
    list::{self, Place},
    look::Look,
};
use crate::tree::Trouble;

/// A search through the index in one direction.
#[derive(Debug)]
pub(super) struct Search<'a> {
    items: Vec<Group<'a>>,
    direction: Direction,
    steps_left: usize,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The next match.
    At(Place),
    /// It took all its steps. No match stands before this position.
    NotBefore(u64),
    /// There is no match any more.
    End,
}

/// The lists of which all must have an event; each of them are several of which one must.
type Group<'a> = Vec<Vec<List<'a>>>;

impl<'a> Search<'a> {
    /// A search that takes at most about `steps_max` steps.
    pub(super) fn new(
        look: &'a Look,
        query: &Query,
        direction: Direction,
        steps_max: usize,
    ) -> Self {
        let list = |name| List { look, name, direction, chunk: Vec::new(), at: 0, is_over: false };
        let mut items: Vec<Group<'a>> = query.items.iter().map(|item| group(item, list)).collect();
        if items.is_empty() {
            items.push(vec![vec![list(list::all())]]);
        }
        Self { items, direction, steps_left: steps_max }
    }

    /// The first match from `from` on, itself included. Must not be asked for one that stands before an earlier one.
    pub(super) fn next(&mut self, from: u64) -> Result<Found, Trouble> {
        let mut nearest = Found::End;
        for item in &mut self.items {
            let found = next_of(item, from, self.direction, &mut self.steps_left)?;
            if is_nearer(found, nearest, self.direction) {
                nearest = found;
            }
        }
        Ok(nearest)
    }
}

fn group<'a>(item: &Item, list: impl Fn(Vec<u8>) -> List<'a>) -> Group<'a> {
    let mut lists: Group<'a> = item.tags.iter().map(|tag| vec![list(list::of_tag(tag))]).collect();
    lists.extend(item.category.iter().map(|category| vec![list(list::of_category(category))]));
    if !item.kinds.is_empty() {
        lists.push(item.kinds.iter().map(|kind| list(list::of_kind(kind))).collect());
    }
    lists
}

/// Whether a search comes to `a` before it comes to `b`.
fn is_before(a: u64, b: u64, direction: Direction) -> bool {
    match direction {
        Direction::Forwards => a < b,
        Direction::Backwards => a > b,
    }
}

fn is_nearer(a: Found, b: Found, direction: Direction) -> bool {
    let (Some(at), Some(other)) = (position(a), position(b)) else { return b == Found::End };
    // Of two at the same place the match is what it is.
    is_before(at, other, direction) || (at == other && matches!(a, Found::At(_)))
}

fn position(found: Found) -> Option<u64> {
    match found {
        Found::At(place) => Some(place.position),
        Found::NotBefore(position) => Some(position),
        Found::End => None,
    }
}

/// The first place from `from` on that all of the lists have.
fn next_of(
    lists: &mut Group<'_>,
    from: u64,
    direction: Direction,
    steps_left: &mut usize,
) -> Result<Found, Trouble> {
    let mut at = from;
    loop {
        let (begin, mut last) = (at, None);
        for any in &mut *lists {
            let Some(place) = next_of_any(any, at, direction)? else { return Ok(Found::End) };
            at = place.position;
            last = Some(place);
        }
        *steps_left = steps_left.saturating_sub(lists.len());
        // They agree when none had to go on, which a single one need not be asked about.
        if let Some(place) = last.filter(|_| at == begin || lists.len() == 1) {
            return Ok(Found::At(place));
        }
        if *steps_left == 0 {
            return Ok(Found::NotBefore(at));
        }
    }
}

/// The first place from `from` on that any of the lists has.
fn next_of_any(
    lists: &mut [List<'_>],
    from: u64,
    direction: Direction,
) -> Result<Option<Place>, Trouble> {
    let mut nearest: Option<Place> = None;
    for list in lists {
        if let Some(place) = list.next(from)?
            && nearest.is_none_or(|known| is_before(place.position, known.position, direction))
        {
            nearest = Some(place);
        }
    }
    Ok(nearest)
}

/// One list, as far as a search has come.
#[derive(Debug)]
struct List<'a> {
    look: &'a Look,
    name: Vec<u8>,
    direction: Direction,
    /// Some places, with none left out between them.
    chunk: Vec<Place>,
    /// The first of them that was not passed.
    at: usize,
    is_over: bool,
}

impl List<'_> {
    /// The first place from `from` on.
    fn next(&mut self, from: u64) -> Result<Option<Place>, Trouble> {
        loop {
            let direction = self.direction;
            let rest = &self.chunk[self.at..];
            // Mostly it is the next one.
            let is_passed = |place: &Place| is_before(place.position, from, direction);
            self.at += match rest.get(..2) {
                Some([_, second]) if is_passed(second) => rest.partition_point(is_passed),
                _ => rest.iter().take_while(|place| is_passed(place)).count(),
            };
            if let Some(place) = self.chunk.get(self.at) {
                return Ok(Some(*place));
            }
            if self.is_over {
                return Ok(None);
            }
            self.chunk = self.look.places(&self.name, from, direction)?;
            self.at = 0;
            self.is_over = self.chunk.is_empty();
        }
    }
}
