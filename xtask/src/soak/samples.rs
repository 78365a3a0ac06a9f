//! Memory and descriptors of the node over time, and whether they grow.

use std::time::Duration;

use anyhow::Result;

use crate::bench::{
    stats::{median, quantile},
    usage,
};

/// How far memory may rise above its highest value in the warm-up, in MiB. The allocator's pages come and go by a few
/// MiB; one byte leaked per request passes this within half an hour of full load.
const MEMORY_GROWTH_MAX_MIB: f64 = 16.0;
/// How far descriptors may rise above their highest value in the warm-up: as many as a kill sets in motion.
const DESCRIPTORS_GROWTH_MAX: f64 = 64.0;
/// How many more descriptors than before the load there may be after it.
const DESCRIPTORS_LEFT_MAX: f64 = 16.0;

/// One look at the node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) memory_mib: f64,
    pub(super) descriptors: f64,
}

impl Sample {
    pub(super) fn of(node: u32) -> Result<Self> {
        let descriptors = u32::try_from(usage::descriptors(node)?)?;
        let memory_mib = usage::memory_of_one(node)? / (1024.0 * 1024.0);
        Ok(Self { memory_mib, descriptors: descriptors.into() })
    }
}

/// Whether the descriptors of the load are closed again.
pub(super) fn is_at_rest(before: Sample, after: Sample) -> bool {
    after.descriptors <= before.descriptors + DESCRIPTORS_LEFT_MAX
}

/// How long the system may still grow: caches, pools and buffers reach their size within the first third, and
/// within five minutes.
pub(super) fn warm_up(total: Duration) -> Duration {
    (total / 3).min(Duration::from_secs(300))
}

/// What grew too far. `warm` were taken in the warm-up, `later` after it.
pub(super) fn growth(warm: &[Sample], later: &[Sample]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |what: &str, most: f64, value: fn(&Sample) -> f64| {
        let peak = quantile(&mut warm.iter().map(value).collect::<Vec<_>>(), 1.0);
        let tenth = later.len() - later.len() / 10 - usize::from(!later.is_empty());
        // The end, not the highest point: a leak is what stays.
        let end = median(later.iter().skip(tenth).map(value));
        if end > peak + most {
            faults.push(format!(
                "{what} grew from at most {peak:.1} in the warm-up to {end:.1}, by more than {most}"
            ));
        }
    };
    check("memory (MiB)", MEMORY_GROWTH_MAX_MIB, |it| it.memory_mib);
    check("descriptors", DESCRIPTORS_GROWTH_MAX, |it| it.descriptors);
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(memory: &[f64]) -> Vec<Sample> {
        memory.iter().map(|it| Sample { memory_mib: *it, descriptors: 100.0 }).collect()
    }

    #[test]
    fn what_stays_is_growth_and_a_peak_is_not() {
        let warm = samples(&[20.0, 30.0]);
        let mut later = vec![30.0; 30];
        assert!(growth(&warm, &samples(&later)).is_empty());
        later[15] = 100.0;
        assert!(growth(&warm, &samples(&later)).is_empty());
        later.extend([47.0; 10]);
        let faults = growth(&warm, &samples(&later));
        let expected =
            "memory (MiB) grew from at most 30.0 in the warm-up to 47.0, by more than 16";
        assert_eq!(faults, [expected]);
        assert!(growth(&warm, &[]).is_empty());
    }

    #[test]
    fn the_warm_up_is_a_third_but_never_longer_than_five_minutes() {
        assert_eq!(warm_up(Duration::from_secs(9)), Duration::from_secs(3));
        assert_eq!(warm_up(Duration::from_secs(1800)), Duration::from_secs(300));
    }
}
