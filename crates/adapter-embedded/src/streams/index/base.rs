//! Reading the index.

use base::Timestamp;
use ports::streams::Direction;
use redb::ReadOnlyTable;
use std::fmt;

use super::{Numbers, row::unseal};
use crate::{
    bits::Bits,
    streams::{
        list::{self, Place},
        overlay::{Stream, cut, slice},
    },
    tree::{Trouble, guarded},
};

type Rights<K> = ReadOnlyTable<K, &'static [u8]>;

/// The index as a checkpoint left it. It keeps the pages that it sees from being used again.
pub(in crate::streams) struct Base {
    pub(in crate::streams) numbers: Numbers,
    pub(super) streams: Rights<&'static str>,
    pub(super) ids: Rights<&'static [u8]>,
    pub(super) lists: Rights<&'static [u8]>,
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").field("numbers", &self.numbers).finish_non_exhaustive()
    }
}

fn stream(name: &str, value: &[u8]) -> Result<Stream, Trouble> {
    unseal(name.as_bytes(), value, |rest| {
        let mut bits = Bits(rest);
        let (number, revision) = (bits.number()?, bits.number()?);
        let (position, time) = (bits.number()?, Timestamp(bits.number()?));
        Some(Stream { number, revision, position, time })
    })
}

impl Base {
    pub(in crate::streams) fn stream(&self, name: &str) -> Result<Option<Stream>, Trouble> {
        guarded(|| match self.streams.get(name)? {
            Some(value) => stream(name, value.value()).map(Some),
            None => Ok(None),
        })
    }

    /// The first `limit` streams from a name on whose names begin with `prefix`.
    pub(in crate::streams) fn streams(
        &self,
        prefix: &str,
        from: &str,
        limit: usize,
    ) -> Result<Vec<(String, Stream)>, Trouble> {
        guarded(|| {
            let mut found = Vec::new();
            for row in self.streams.range::<&str>(from..)?.take(limit) {
                let (name, value) = row?;
                let name = name.value();
                if !name.starts_with(prefix) {
                    break;
                }
                found.push((name.to_owned(), stream(name, value.value())?));
            }
            Ok(found)
        })
    }

    /// The revision of an event.
    pub(in crate::streams) fn id(&self, key: &[u8]) -> Result<Option<u64>, Trouble> {
        guarded(|| match self.ids.get(key)? {
            Some(value) => unseal(key, value.value(), |rest| Bits(rest).number()).map(Some),
            None => Ok(None),
        })
    }

    /// Some places of a list from a position on, in the order of `direction`. None: there are none.
    pub(in crate::streams) fn places(
        &self,
        name: &[u8],
        from: u64,
        direction: Direction,
    ) -> Result<Vec<Place>, Trouble> {
        guarded(|| {
            let (lowest, at, highest) =
                (list::key(name, 0), list::key(name, from), list::key(name, u64::MAX));
            // It begins before `at` perhaps, and ends there or behind it.
            if let Some(row) = self.lists.range::<&[u8]>(&*at..=&*highest)?.next() {
                let (key, value) = row?;
                let places =
                    cut(&unseal(key.value(), value.value(), list::places)?, from, direction);
                if !places.is_empty() || direction == Direction::Forwards {
                    return Ok(places);
                }
            }
            if direction == Direction::Backwards
                && let Some(row) = self.lists.range::<&[u8]>(&*lowest..&*at)?.next_back()
            {
                let (key, value) = row?;
                return Ok(cut(
                    &unseal(key.value(), value.value(), list::places)?,
                    from,
                    direction,
                ));
            }
            Ok(Vec::new())
        })
    }

    /// The places of some revisions of a stream, as far as it has them.
    pub(in crate::streams) fn of_stream(
        &self,
        number: u64,
        from: u64,
        to: u64,
    ) -> Result<Vec<Place>, Trouble> {
        guarded(|| {
            let name = list::of_stream(number);
            let (at, highest) = (list::key(&name, from), list::key(&name, u64::MAX));
            let mut found = Vec::new();
            for row in self.lists.range::<&[u8]>(&*at..=&*highest)? {
                let (key, value) = row?;
                let places = unseal(key.value(), value.value(), list::places)?;
                let last = list::ordinal(key.value()).unwrap_or(0);
                found.extend(slice(&places, last, from, to));
                if last >= to {
                    break;
                }
            }
            Ok(found)
        })
    }
}
