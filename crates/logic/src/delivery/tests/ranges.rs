//! Ranges against a set of single numbers.

use super::super::Ranges;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn ranges_that_touch_or_overlap_become_one() {
    for (ranges, expected) in [
        (vec![(1, 2), (3, 4)], vec![(1, 4)]),
        (vec![(1, 2), (4, 5)], vec![(1, 2), (4, 5)]),
        (vec![(1, 2), (6, 7), (2, 6)], vec![(1, 7)]),
        (vec![(3, 4), (1, 9)], vec![(1, 9)]),
        (vec![(1, 9), (3, 4)], vec![(1, 9)]),
        (vec![(5, 4)], vec![]),
        (vec![(0, 0), (u64::MAX, u64::MAX)], vec![(0, 0), (u64::MAX, u64::MAX)]),
    ] {
        let mut set = Ranges::default();
        ranges.iter().for_each(|(first, last)| set.insert(*first, *last));
        assert_eq!(set.iter().collect::<Vec<_>>(), expected, "{ranges:?}");
    }
}

proptest! {
    #[test]
    fn ranges_are_the_set_of_what_is_inside(
        inserted in prop::collection::vec((0_u64..60, 0_u64..8), 0..30),
        skipped in 0_u64..60,
    ) {
        let (mut ranges, mut set) = (Ranges::default(), BTreeSet::new());
        for (first, length) in inserted {
            ranges.insert(first, first + length);
            set.extend(first..=first + length);
        }
        for offset in 0..80 {
            prop_assert_eq!(ranges.contains(offset), set.contains(&offset));
            let count = u64::try_from(set.range(..=offset).count()).unwrap();
            prop_assert_eq!(ranges.count_up_to(offset), count);
        }
        let runs: Vec<_> = ranges.iter().collect();
        prop_assert!(runs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        let first_outside = (skipped..).find(|offset| !set.contains(offset));
        prop_assert_eq!(Some(ranges.skip(skipped)), first_outside);
        prop_assert!(ranges.iter().all(|(first, _)| Some(first) > first_outside));
    }
}
