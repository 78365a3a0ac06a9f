//! A set of offsets as ranges.

use std::collections::BTreeMap;

/// Offsets, kept as the first and last of each run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// First to last, both inside. They do not touch.
    runs: BTreeMap<u64, u64>,
}

impl Ranges {
    /// Adds `first` to `last`, both inside. Nothing when `last` is before `first`.
    pub fn insert(&mut self, first: u64, last: u64) {
        if last < first {
            return;
        }
        let (mut first, mut last) = (first, last);
        // Those that overlap or touch begin at most one after `last`; they do not touch each other, so going back from there
        // ends at the first that is too far away.
        while let Some((&run_first, &run_last)) =
            self.runs.range(..=last.saturating_add(1)).next_back()
            && run_last >= first.saturating_sub(1)
        {
            self.runs.remove(&run_first);
            first = first.min(run_first);
            last = last.max(run_last);
        }
        self.runs.insert(first, last);
    }

    /// Whether `offset` is inside.
    #[must_use]
    pub fn contains(&self, offset: u64) -> bool {
        self.runs.range(..=offset).next_back().is_some_and(|(_, last)| *last >= offset)
    }

    /// Forgets what is before `offset`, and what runs on from it. Answers the first from `offset` on that was not inside.
    pub fn skip(&mut self, offset: u64) -> u64 {
        let mut offset = offset;
        while let Some(run) = self.runs.first_entry()
            && *run.key() <= offset
        {
            offset = offset.max(run.remove().saturating_add(1));
        }
        offset
    }

    /// How many offsets up to `last` are inside.
    #[must_use]
    pub fn count_up_to(&self, last: u64) -> u64 {
        let runs = self.runs.range(..=last);
        runs.map(|(first, end)| (*end).min(last) - first + 1).fold(0, u64::saturating_add)
    }

    /// How many runs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether nothing is inside.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// First and last of each run, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.runs.iter().map(|(first, last)| (*first, *last))
    }
}
