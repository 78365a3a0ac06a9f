//! What the index says at a moment.

use ports::streams::Direction;
use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use super::{
    index::Base,
    list::Place,
    overlay::{Overlay, Stream, id_key},
};
use crate::tree::Trouble;

/// The index as it was when it was looked at. What was appended since may show in it, where that does no harm.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// `None`: what is asked for is in the overlays, if it is there at all.
    pub(super) base: Option<Arc<Base>>,
    /// Oldest first.
    pub(super) overlays: Vec<Arc<Overlay>>,
    /// The last position.
    pub(super) position: u64,
}

impl Look {
    pub(super) fn stream(&self, name: &str) -> Result<Option<Stream>, Trouble> {
        let mut newest_first = self.overlays.iter().rev();
        let found = newest_first.find_map(|overlay| overlay.read().streams.get(name).copied());
        match (found, &self.base) {
            (None, Some(base)) => base.stream(name),
            (found, _) => Ok(found),
        }
    }

    /// The first `limit` streams from a name on whose names begin with `prefix`.
    pub(super) fn streams(
        &self,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Stream)>, Trouble> {
        let from = from.max(prefix);
        let mut found = BTreeMap::new();
        if let Some(base) = &self.base {
            found.extend(base.streams(prefix, from, limit)?);
        }
        for overlay in &self.overlays {
            let rows = overlay.read();
            let names = rows.streams.range::<str, _>((Bound::Included(from), Bound::Unbounded));
            let names = names.take_while(|(name, _)| name.starts_with(prefix)).take(limit);
            found.extend(names.map(|(name, stream)| (name.clone(), *stream)));
        }
        Ok(found.into_iter().take(limit).collect())
    }

    /// The revision at which a stream has the event with this id.
    pub(super) fn id(&self, number: u64, id: &str) -> Result<Option<u64>, Trouble> {
        let key = id_key(number, id);
        let mut newest_first = self.overlays.iter().rev();
        let found = newest_first.find_map(|overlay| overlay.read().ids.get(&key).copied());
        match (found, &self.base) {
            (None, Some(base)) => base.id(&key),
            (found, _) => Ok(found),
        }
    }

    /// The places of the revisions `from` to `to` of a stream, which has them.
    pub(super) fn of_stream(
        &self,
        name: &str,
        number: u64,
        from: u64,
        to: u64,
    ) -> Result<Vec<Place>, Trouble> {
        let overlays = self.overlays.iter();
        let newer: Vec<_> =
            overlays.flat_map(|overlay| overlay.read().of_stream(name, from, to)).collect();
        let wanted = usize::try_from(to - from + 1).unwrap_or(usize::MAX);
        let mut places = match &self.base {
            Some(base) if newer.len() < wanted => {
                // A checkpoint that was taken for failed may have left there what an overlay still has.
                let to = to - u64::try_from(newer.len()).unwrap_or(u64::MAX);
                base.of_stream(number, from, to)?
            }
            _ => Vec::new(),
        };
        places.extend(newer);
        if places.len() == wanted {
            return Ok(places);
        }
        let found = places.len();
        Err(Trouble::Damaged(format!(
            "it has {found} of the revisions {from} to {to} of stream `{name}`"
        )))
    }

    /// Some places of a list from a position on, in the order of `direction`. None: there are none.
    pub(super) fn places(
        &self,
        name: &[u8],
        from: u64,
        direction: Direction,
    ) -> Result<Vec<Place>, Trouble> {
        match direction {
            Direction::Forwards => self.forwards(name, from),
            Direction::Backwards => self.backwards(name, from.min(self.position)),
        }
    }

    fn forwards(&self, name: &[u8], from: u64) -> Result<Vec<Place>, Trouble> {
        if from > self.position {
            return Ok(Vec::new());
        }
        if let Some(base) = self.base.as_ref().filter(|base| base.numbers.position >= from) {
            let places = base.places(name, from, Direction::Forwards)?;
            if !places.is_empty() {
                return Ok(places);
            }
        }
        for overlay in &self.overlays {
            let mut places = overlay.read().places(name, from, Direction::Forwards);
            if !places.is_empty() {
                let seen = places.partition_point(|place| place.position <= self.position);
                places.truncate(seen);
                return Ok(places);
            }
        }
        Ok(Vec::new())
    }

    fn backwards(&self, name: &[u8], from: u64) -> Result<Vec<Place>, Trouble> {
        for overlay in self.overlays.iter().rev() {
            let places = overlay.read().places(name, from, Direction::Backwards);
            if !places.is_empty() {
                return Ok(places);
            }
        }
        match &self.base {
            Some(base) => base.places(name, from, Direction::Backwards),
            None => Ok(Vec::new()),
        }
    }
}
