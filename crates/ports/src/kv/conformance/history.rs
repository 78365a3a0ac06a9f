//! Whether what callers saw of some keys can be explained by one order of their calls.
//!
//! The search is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with Lowe's memory of
//! states that were tried. Each key is checked by itself, which is enough: a history is linearizable if and only if
//! its part for each object is (Herlihy and Wing, "Linearizability", 1990, theorem 1).
//!
//! A call whose outcome is unknown may take effect at any moment after it began, or never. Values that are written
//! must differ from each other, or less is found.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
};

#[cfg(test)]
mod tests;

/// What is kept under a key; `None`: the key is missing.
pub type Value = Option<u64>;

/// What a caller asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// To read.
    Get,
    /// To write.
    Put(u64),
    /// To write `to` if it is `from`.
    Swap {
        /// What must be there.
        from: Value,
        /// What shall be there.
        to: u64,
    },
    /// To remove.
    Delete,
}

/// What the caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This is there.
    Read(Value),
    /// It is done.
    Done,
    /// It was not done, because this is there.
    Refused(Value),
    /// It was not done, for a reason outside of the keys. The call is left out.
    Failed,
    /// Nothing, or that nobody knows.
    Unknown,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which key.
    pub key: usize,
    /// What was asked for.
    pub act: Act,
    /// What was told.
    pub answer: Answer,
    /// When it began, on a clock that all callers share.
    pub begin: u64,
    /// When it ended; without meaning when the answer is unknown.
    pub end: u64,
    /// The revision at which it was done, or at which what it read was written.
    pub revision: Option<u64>,
}

/// Calls that no order explains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Of which key.
    pub key: usize,
    /// The most calls that an order explains.
    pub explained: usize,
    /// What is there after those.
    pub state: Value,
    /// The calls that could come next, and do not fit.
    pub stuck: Vec<Call>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, explained, state, stuck } = self;
        writeln!(f, "key {key}: after {explained} calls it is {state:?}, and none of these fits:")?;
        stuck.iter().try_for_each(|call| writeln!(f, "  {call:?}"))
    }
}

/// Looks for an order of `calls` for each key.
///
/// # Errors
/// The first key for which there is none.
pub fn check(calls: &[Call]) -> Result<(), Violation> {
    let mut keys: BTreeMap<usize, Vec<Call>> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.answer != Answer::Failed) {
        keys.entry(call.key).or_default().push(*call);
    }
    keys.into_iter().try_for_each(|(key, calls)| Search::new(calls).run(key))
}

/// Compares the revisions that calls were told: a write has a later one than every write that ended before it began,
/// and who reads a value is told the revision at which it was written.
///
/// # Errors
/// What does not fit, for people.
pub fn check_revisions(calls: &[Call]) -> Result<(), String> {
    let mut writes: Vec<(u64, &Call)> = Vec::new();
    let mut written: BTreeMap<(usize, u64), u64> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.answer == Answer::Done) {
        if let (Act::Put(value) | Act::Swap { to: value, .. }, Some(revision)) =
            (call.act, call.revision)
        {
            writes.push((revision, call));
            written.insert((call.key, value), revision);
        }
    }
    writes.sort_by_key(|(revision, _)| *revision);
    if let Some(pair) = writes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(format!("two writes have one revision: {pair:?}"));
    }
    // The earliest end among writes of later revisions must not lie before a begin.
    let mut ended: Option<&Call> = None;
    for (_, call) in writes.iter().rev() {
        if let Some(later) = ended.filter(|later| later.end < call.begin) {
            return Err(format!("{call:?} began after {later:?} ended, and has an older revision"));
        }
        ended = Some(ended.filter(|other| other.end <= call.end).unwrap_or(call));
    }
    for call in calls {
        let (Answer::Read(Some(value)) | Answer::Refused(Some(value))) = call.answer else {
            continue;
        };
        let (Some(told), Some(known)) = (call.revision, written.get(&(call.key, value))) else {
            continue;
        };
        if told != *known {
            return Err(format!("{call:?} read what was written at revision {known}"));
        }
    }
    Ok(())
}

/// What `call` makes of `state`; `None`: it cannot have happened then.
fn step(state: Value, call: &Call) -> Option<Value> {
    match (call.act, call.answer) {
        (Act::Get, Answer::Read(read)) => (read == state).then_some(state),
        (Act::Put(value), Answer::Done | Answer::Unknown) => Some(Some(value)),
        (Act::Delete, Answer::Done | Answer::Unknown) => Some(None),
        (Act::Swap { from, to }, Answer::Done | Answer::Unknown) => {
            (state == from).then_some(Some(to))
        }
        (Act::Swap { from, .. }, Answer::Refused(found)) => {
            (found == state && found != from).then_some(state)
        }
        _ => None,
    }
}

/// Which calls have taken effect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Set(Box<[u64]>);

impl Set {
    fn empty(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)].into())
    }

    fn has(&self, number: usize) -> bool {
        self.0[number / 64] & (1 << (number % 64)) != 0
    }

    fn with(&self, number: usize) -> Self {
        let mut words = self.0.clone();
        words[number / 64] |= 1 << (number % 64);
        Self(words)
    }
}

/// The search for one key.
struct Search {
    /// In the order in which they began.
    calls: Vec<Call>,
    tried: HashSet<(Set, Value)>,
}

impl Search {
    fn new(mut calls: Vec<Call>) -> Self {
        drop_unseen(&mut calls);
        calls.sort_by_key(|call| call.begin);
        Self { calls, tried: HashSet::new() }
    }

    fn run(&mut self, key: usize) -> Result<(), Violation> {
        let mut best: Option<(usize, Set, Value)> = None;
        let mut open = vec![(0, Set::empty(self.calls.len()), None)];
        while let Some((count, done, state)) = open.pop() {
            let Some(next) = self.next(&done) else { return Ok(()) };
            let mut fitting = Vec::new();
            for number in next {
                let Some(after) = step(state, &self.calls[number]) else { continue };
                let changes =
                    !matches!(self.calls[number].answer, Answer::Read(_) | Answer::Refused(_));
                if !changes {
                    // Whoever only looks, and may look now, can as well do it now as later.
                    fitting = vec![(number, after)];
                    break;
                }
                fitting.push((number, after));
            }
            // What is tried first comes last: known outcomes in the order of their ends, then unknown ones.
            fitting.sort_by_key(|(number, _)| {
                let call = &self.calls[*number];
                std::cmp::Reverse((call.answer == Answer::Unknown, call.end))
            });
            for (number, after) in fitting {
                let done = done.with(number);
                if self.tried.insert((done.clone(), after)) {
                    open.push((count + 1, done, after));
                }
            }
            if best.as_ref().is_none_or(|(most, ..)| count > *most) {
                best = Some((count, done, state));
            }
        }
        let (explained, done, state) = best.unwrap_or((0, Set::empty(self.calls.len()), None));
        let stuck = self.next(&done).unwrap_or_default();
        let stuck = stuck.into_iter().map(|number| self.calls[number]).collect();
        Err(Violation { key, explained, state, stuck })
    }

    /// The calls that may be next: those that began before any other open one ended. `None` when only unknown
    /// ones are left, which need not have happened.
    fn next(&self, done: &Set) -> Option<Vec<usize>> {
        let left = || (0..self.calls.len()).filter(|number| !done.has(*number));
        let known = left().filter(|number| self.calls[*number].answer != Answer::Unknown);
        let horizon = known.map(|number| self.calls[number].end).min()?;
        Some(left().take_while(|number| self.calls[*number].begin <= horizon).collect())
    }
}

/// Leaves out unknown writes of values that nobody ever saw: an order with one of them is still one without it.
fn drop_unseen(calls: &mut Vec<Call>) {
    let mut seen = BTreeSet::new();
    for call in calls.iter() {
        if let Act::Swap { from: Some(value), .. } = call.act {
            seen.insert(value);
        }
        if let Answer::Read(Some(value)) | Answer::Refused(Some(value)) = call.answer {
            seen.insert(value);
        }
    }
    calls.retain(|call| match (call.act, call.answer) {
        (Act::Put(value) | Act::Swap { to: value, .. }, Answer::Unknown) => seen.contains(&value),
        (Act::Get, Answer::Unknown) => false,
        _ => true,
    });
}
