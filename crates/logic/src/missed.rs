//! What becomes of runs whose time passed while nobody was there.
//!
//! A run is late when the node was down, replaced, or busy. Being a little late ([`ON_TIME`]) is no reason to leave it out.

use base::Timestamp;
use std::time::Duration;

/// How late a run may be that still counts as on time: as long as a node takes to be replaced, and the resolution of
/// a cron expression of five fields.
pub const ON_TIME: Duration = Duration::from_secs(60);

/// Most runs that are made up for at once. An hour of a job that runs every four seconds; more would be a load that nobody planned.
pub const RUNS_MAX: usize = 1_000;

/// What happens to missed runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Missed {
    /// Nothing: only what is on time runs.
    Skip,
    /// One run for all of them.
    #[default]
    Once,
    /// Each, oldest first, up to [`RUNS_MAX`].
    All,
}

/// What is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The times of the runs, ascending, none in the future.
    pub runs: Vec<Timestamp>,
    /// The first one in the future.
    pub next: Option<Timestamp>,
    /// Runs were left out.
    pub dropped: bool,
}

/// What is due at `now` when everything up to `last` was done: the last run, or when the schedule was made. `next_after` answers the
/// first run after an instant, and a later or equal one for a later instant. It is asked a few dozen times, or as often as there are
/// runs.
pub fn due(
    policy: Missed,
    last: Timestamp,
    now: Timestamp,
    mut next_after: impl FnMut(Timestamp) -> Option<Timestamp>,
) -> Due {
    // A wall clock that was set back makes nothing due again.
    let next = next_after(now.max(last));
    let Some(first) = next_after(last).filter(|first| *first <= now) else {
        return Due { next, ..Due::default() };
    };
    if policy == Missed::All {
        let mut runs = vec![first];
        let mut at = next_after(first);
        while let Some(run) = at.filter(|run| *run <= now && runs.len() < RUNS_MAX) {
            runs.push(run);
            at = next_after(run);
        }
        return Due { runs, next, dropped: at.is_some_and(|run| run <= now) };
    }
    let latest = latest(last, first, now, next_after);
    let late = Duration::from_micros(now.0 - latest.0);
    let runs = if policy == Missed::Skip && late > ON_TIME { Vec::new() } else { vec![latest] };
    Due { dropped: runs.is_empty() || first != latest, runs, next }
}

/// The latest run up to `now`: halves the time in which it must be instead of going through all runs, of which a year without the
/// node may have thirty million.
fn latest(
    last: Timestamp,
    first: Timestamp,
    now: Timestamp,
    mut next_after: impl FnMut(Timestamp) -> Option<Timestamp>,
) -> Timestamp {
    // The run after `low` is due, the one after `high` is not.
    let (mut low, mut high, mut latest) = (last.0, now.0, first);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match next_after(Timestamp(middle)).filter(|run| *run <= now) {
            Some(run) => (low, latest) = (middle.max(run.0 - 1), run),
            None => high = middle,
        }
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::every_after;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000;

    /// Runs every ten seconds, up to second 10,000; the answer in seconds.
    fn check(policy: Missed, last: u64, now: u64, runs: &[u64], next: Option<u64>, dropped: bool) {
        let period = Duration::from_secs(10);
        let next_after =
            |at| Some(every_after(Timestamp(0), period, at)).filter(|at| at.0 <= 10_000 * SECOND);
        let due = due(policy, Timestamp(last * SECOND), Timestamp(now * SECOND), next_after);
        let seconds = |at: &Timestamp| at.0 / SECOND;
        let found: Vec<u64> = due.runs.iter().map(seconds).collect();
        assert_eq!(
            (found.as_slice(), due.next.as_ref().map(seconds), due.dropped),
            (runs, next, dropped)
        );
    }

    #[test]
    fn what_was_missed_runs_as_the_policy_says() {
        use Missed::{All, Once, Skip};
        for policy in [Skip, Once, All] {
            check(policy, 10, 19, &[], Some(20), false);
            check(policy, 10, 20, &[20], Some(30), false);
            check(policy, 10, 29, &[20], Some(30), false);
            // The clock was set back.
            check(policy, 500, 20, &[], Some(510), false);
            check(policy, 10_000, 20_000, &[], None, false);
        }
        check(Skip, 10, 45, &[40], Some(50), true);
        check(Once, 10, 45, &[40], Some(50), true);
        check(All, 10, 45, &[20, 30, 40], Some(50), false);
        // After the schedule's end.
        check(Skip, 9_900, 10_061, &[], None, true);
        check(Skip, 9_900, 10_060, &[10_000], None, true);
        check(Once, 9_980, 99_999, &[10_000], None, true);
        check(All, 9_980, 99_999, &[9_990, 10_000], None, false);
    }

    #[test]
    fn no_more_than_a_bound_is_made_up_for() {
        let next_after = |at| Some(every_after(Timestamp(0), Duration::from_secs(1), at));
        let now = Timestamp(31_536_000 * SECOND);
        let all = due(Missed::All, Timestamp(0), now, next_after);
        assert_eq!((all.runs.len(), all.runs[0], all.dropped), (RUNS_MAX, Timestamp(SECOND), true));
        let mut asked = 0;
        let once = due(Missed::Once, Timestamp(0), now, |at| {
            asked += 1;
            next_after(at)
        });
        assert_eq!(once.runs, [now]);
        assert!(asked < 64, "{asked}");
    }

    proptest! {
        #[test]
        fn the_latest_run_is_the_last_of_all_that_are_due(
            runs in prop::collection::btree_set(1_u64..200, 0..30),
            last in 0_u64..200,
            now in 0_u64..200,
        ) {
            let next_after = |at: Timestamp| runs.range(at.0 + 1..).next().copied().map(Timestamp);
            let all = due(Missed::All, Timestamp(last), Timestamp(now), next_after);
            let once = due(Missed::Once, Timestamp(last), Timestamp(now), next_after);
            let skip = due(Missed::Skip, Timestamp(last), Timestamp(now), next_after);
            let expected: Vec<_> =
                runs.iter().filter(|run| **run > last && **run <= now).copied().map(Timestamp).collect();
            prop_assert_eq!(&all.runs, &expected);
            prop_assert_eq!(once.runs.first(), expected.last());
            prop_assert_eq!(once.dropped, expected.len() > 1);
            prop_assert_eq!(skip.runs, once.runs);
            let future = runs.iter().find(|run| **run > now.max(last)).copied().map(Timestamp);
            prop_assert!(all.next == future && once.next == future);
        }
    }
}
