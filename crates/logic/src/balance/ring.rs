//! Consistent hashing with bounded loads (Karger 1997; Mirrokni, Thorup, Zadimoghaddam 2018).
//!
//! Each member owns many points on a ring of 2⁶⁴; a key belongs to the next point. When a member
//! comes or goes only its own points change hands, about 1/n of the keys. A member that already has
//! more than [`LOAD_PERCENT_MAX`] of its fair share of the open requests passes the key on to the next.

use super::{Candidates, Field, WEIGHT_ONE, random::mix};

/// Points of a member of weight one. With 160 the shares of equal members differ by about 8 %
/// (ketama's number).
const POINTS_PER_MEMBER: u64 = 160;

/// Most points of one member, whatever its weight; bounds the ring's memory.
const POINTS_MAX: u64 = 1_600;

/// How much of its fair share of open requests a member may have, in percent. 125 keeps most keys at
/// home and no member more than a quarter over its share.
const LOAD_PERCENT_MAX: u128 = 125;

/// The ring of one set of members. Built once per set.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// Position and index of the member, by position.
    points: Vec<(u64, u32)>,
}

impl Ring {
    /// Makes the ring of members given as (hash of the name, weight); the index in the ring is the
    /// index in `members`.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let mut points = Vec::new();
        for (at, (name, weight)) in (0_u32..).zip(members) {
            // A reserve (weight 0) needs its place too, for when it is all there is.
            let weight = if weight == 0 { WEIGHT_ONE } else { weight };
            let share = u64::from(weight) * POINTS_PER_MEMBER / u64::from(WEIGHT_ONE);
            let count = share.clamp(1, POINTS_MAX);
            points.extend((0..count).map(|point| (mix(name ^ mix(point + 1)), at)));
        }
        points.sort_unstable();
        Self { points }
    }

    /// The member that `key` belongs to, or the next one that is usable and not overloaded.
    pub(super) fn pick<C: Candidates>(&self, field: &Field<'_, C>, key: u64) -> Option<usize> {
        let (mut open, mut weights) = (1_u128, 0_u128);
        for at in field.usable() {
            open += u128::from(field.from.in_flight(at));
            weights += u128::from(field.weight(at));
        }
        let has_room = |at: usize| {
            let share = open * u128::from(field.weight(at)) * LOAD_PERCENT_MAX;
            let bound = share.div_ceil(weights.max(1) * 100);
            u128::from(field.from.in_flight(at)) < bound
        };
        let start = self.points.partition_point(|(position, _)| *position < key);
        let (before, after) = self.points.split_at(start);
        let mut first = None;
        let mut last = None;
        for &(_, at) in after.iter().chain(before) {
            // Neighbouring points of one member need one look.
            if last == Some(at) {
                continue;
            }
            last = Some(at);
            let at = usize::try_from(at).unwrap_or(usize::MAX);
            if at >= field.from.count() || !field.is_usable(at) {
                continue;
            }
            if has_room(at) {
                return Some(at);
            }
            first = first.or(Some(at));
        }
        first.or_else(|| field.nth(0))
    }
}
