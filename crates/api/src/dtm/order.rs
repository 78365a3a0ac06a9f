//! In which order the steps of a concurrent saga stand: each behind those it waits for.

use super::fault::Fault;
use std::collections::BTreeMap;

/// The positions of `count` steps, each behind those that `orders` has before it, with these; otherwise as they came.
pub(super) fn sorted(
    count: usize,
    orders: BTreeMap<String, Option<Vec<usize>>>,
) -> Result<Vec<(usize, Vec<usize>)>, Fault> {
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (step, earlier) in orders {
        let position = step.parse().ok().and_then(|position: usize| before.get_mut(position));
        let place = position.ok_or_else(|| unknown(&step))?;
        for earlier in earlier.unwrap_or_default() {
            if earlier >= count {
                return Err(unknown(&earlier.to_string()));
            }
            if !place.contains(&earlier) {
                place.push(earlier);
            }
        }
    }
    let mut out = Vec::with_capacity(count);
    let mut is_out = vec![false; count];
    while out.len() < count {
        let is_due = |position: usize| {
            let is_there = |earlier: &usize| is_out.get(*earlier).copied().unwrap_or_default();
            let waits = before.get(position).is_some_and(|earlier| !earlier.iter().all(is_there));
            !is_there(&position) && !waits
        };
        let Some(next) = (0..count).find(|position| is_due(*position)) else {
            return Err(Fault::other("`orders` of `custom_data`: steps wait for each other"));
        };
        if let (Some(flag), Some(earlier)) = (is_out.get_mut(next), before.get_mut(next)) {
            *flag = true;
            out.push((next, std::mem::take(earlier)));
        }
    }
    Ok(out)
}

fn unknown(step: &str) -> Fault {
    Fault::other(format!("`orders` of `custom_data`: there is no step {step}; they count from 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Result<String, Fault> {
        let orders = serde_json::from_str(text).unwrap();
        let sorted = sorted(3, orders)?;
        Ok(sorted.iter().map(|(step, before)| format!("{step}{before:?}")).collect())
    }

    #[test]
    fn steps_stand_behind_those_they_wait_for() {
        assert_eq!(order("{}").unwrap(), "0[]1[]2[]");
        assert_eq!(order(r#"{"1":[0],"2":[0,1,0]}"#).unwrap(), "0[]1[0]2[0, 1]");
        assert_eq!(order(r#"{"0":[2],"1":null}"#).unwrap(), "1[]2[]0[2]");
    }

    #[test]
    fn orders_that_cannot_be_are_refused() {
        for (text, words) in [
            (r#"{"0":[1],"1":[0]}"#, "each other"),
            (r#"{"0":[0]}"#, "each other"),
            (r#"{"3":[0]}"#, "no step 3"),
            (r#"{"0":[7]}"#, "no step 7"),
            (r#"{"x":[0]}"#, "no step x"),
        ] {
            let refused = order(text).unwrap_err();
            assert!(refused.words().contains(words), "{text}: {refused}");
        }
    }
}
