//! What a list of steps comes to when they are done one after the other in one revision. Pure.

use super::{
    CONTENT_TYPE_LEN_MAX, Fence, KEY_LEN_MAX, Match, OPERATIONS_MAX, StateOp, VALUE_LEN_MAX, Write,
};
use crate::error::Error;
use std::collections::{BTreeMap, BTreeSet};

/// Each key once, with what must hold of it before and what becomes of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The keys, in the order of their first steps.
    pub(super) keys: Vec<Planned>,
    /// The locks it depends on.
    pub(super) fences: BTreeSet<Fence>,
    /// For each step whether its value is the one that its key has in the end.
    pub(super) stays: Vec<bool>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) key: String,
    pub(super) before: Match,
    /// `None`: it is deleted.
    pub(super) after: Option<Write>,
}

/// Plans a transaction.
///
/// # Errors
/// [`Error::TooLarge`] and [`Error::Invalid`].
pub(super) fn plan(operations: Vec<StateOp>) -> Result<Plan, Error> {
    let mut plan = Plan { stays: vec![false; operations.len()], ..Plan::default() };
    // For each key its place in the plan, and the last step that wrote it.
    let mut seen: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for (step, operation) in operations.into_iter().enumerate() {
        let (key, etag, fence, after) = match operation {
            StateOp::Put(mut write) => {
                check(&write)?;
                (write.key.clone(), write.etag, write.fence.take(), Some(write))
            }
            StateOp::Delete { key, etag, fence } => {
                check_key(&key)?;
                (key, etag, fence, None)
            }
        };
        plan.fences.extend(fence);
        let is_put = after.is_some();
        if let Some((place, last)) = seen.get_mut(&key) {
            let planned = &mut plan.keys[*place];
            if !holds_within(etag, planned.after.is_some()) {
                let reason = "is written before in the same transaction, so it cannot match";
                return Err(Error::Invalid(format!("`{key}` {reason}")));
            }
            plan.stays[*last] = false;
            *last = step;
            planned.after = after;
        } else {
            seen.insert(key.clone(), (plan.keys.len(), step));
            plan.keys.push(Planned { key, before: etag, after });
        }
        plan.stays[step] = is_put;
    }
    let size = plan.keys.len();
    if size > OPERATIONS_MAX {
        let what = "keys in the transaction";
        return Err(Error::TooLarge { what, size, limit: OPERATIONS_MAX });
    }
    Ok(plan)
}

/// Whether a step may follow an earlier one for the same key, which left it there or not. The etag that the earlier
/// one makes is not known to anybody yet.
fn holds_within(etag: Match, is_there: bool) -> bool {
    match etag {
        Match::Any => true,
        Match::Missing => !is_there,
        Match::Etag(_) => false,
    }
}

/// Whether every store takes it.
pub(super) fn check(write: &Write) -> Result<(), Error> {
    check_key(&write.key)?;
    bounded("bytes in the value", write.value.len(), VALUE_LEN_MAX)?;
    let content_type = write.content_type.as_ref().map_or(0, String::len);
    bounded("bytes in the content type", content_type, CONTENT_TYPE_LEN_MAX)
}

pub(super) fn check_key(key: &str) -> Result<(), Error> {
    if key.is_empty() {
        return Err(Error::Invalid("the key is empty".to_owned()));
    }
    bounded("bytes in the key", key.len(), KEY_LEN_MAX)
}

fn bounded(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::{super::Etag, *};

    fn put(key: &str, value: &'static str, etag: Match) -> StateOp {
        StateOp::Put(Write { etag, ..Write::new(key, value) })
    }

    fn delete(key: &str, etag: Match) -> StateOp {
        StateOp::Delete { key: key.to_owned(), etag, fence: None }
    }

    /// Prints what became of `operations`: keys with what must hold and what they are then, and whose etag counts.
    fn check(operations: Vec<StateOp>, expected: &str) {
        let text = match plan(operations) {
            Ok(plan) => {
                let keys = plan.keys.iter().map(|planned| {
                    let value = planned.after.as_ref().map(|write| write.value.clone());
                    let value = value.map_or("-".into(), |v| String::from_utf8(v.into()).unwrap());
                    format!("{} {:?} {value}", planned.key, planned.before)
                });
                format!("{} {:?}", keys.collect::<Vec<_>>().join(", "), plan.stays)
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(text, expected);
    }

    #[test]
    fn a_key_that_is_written_twice_ends_as_the_last_step_says_under_the_condition_of_the_first() {
        let etag = Match::Etag(Etag(4));
        check(
            vec![put("a", "1", etag), put("b", "2", Match::Any), put("a", "3", Match::Any)],
            "a Etag(Etag(4)) 3, b Any 2 [false, true, true]",
        );
        check(vec![put("a", "1", Match::Any), delete("a", Match::Any)], "a Any - [false, false]");
        check(
            vec![delete("a", Match::Any), put("a", "2", Match::Missing)],
            "a Any 2 [false, true]",
        );
    }

    #[test]
    fn a_condition_that_an_earlier_step_has_broken_is_refused() {
        let message = "`a` is written before in the same transaction, so it cannot match";
        check(vec![put("a", "1", Match::Any), put("a", "2", Match::Missing)], message);
        check(vec![delete("a", Match::Any), delete("a", Match::Etag(Etag(4)))], message);
    }

    #[test]
    fn more_keys_than_one_transaction_takes_are_refused_and_the_same_key_counts_once() {
        let puts = |keys: usize| {
            let keys = (0..2 * keys).map(move |n| format!("k{}", n % keys));
            keys.map(|key| put(&key, "", Match::Any)).collect::<Vec<_>>()
        };
        assert!(plan(puts(OPERATIONS_MAX)).is_ok());
        check(puts(OPERATIONS_MAX + 1), "129 keys in the transaction, 128 are allowed");
    }
}
