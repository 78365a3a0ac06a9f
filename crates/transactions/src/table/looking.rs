//! What others see of transactions.

use super::{Body, Gid, Live, Ordering, Slot, Table, View};
use crate::{Decision, Filter, record};
use logic::tx::{self, State};

/// How many are looked at before others are let in.
const LOOK_MAX: usize = 1_000;

/// Where a listing stands: begun then, of this name.
pub(crate) type Place = (u64, Gid);

impl Table {
    /// A transaction as it stands.
    pub(crate) fn look(&mut self, gid: &Gid) -> Option<View> {
        let id = self.find(gid)?;
        self.slots.get_mut(&id).and_then(Self::view)
    }

    fn view(slot: &mut Slot) -> Option<View> {
        match &mut slot.body {
            Body::Cold(bytes) => Some(record::decode(bytes)?.view(slot.gid.clone())),
            Body::Warm(live) => Some(Slot::view(&slot.gid, slot.phase, live)),
        }
    }

    /// What participants in doubt are told; `None`: it is not here, or not kept yet.
    pub(crate) fn decision(&self, gid: &Gid) -> Option<Decision> {
        let slot = self.slots.get(&self.find(gid)?)?;
        let state = match &slot.body {
            Body::Cold(bytes) => {
                return Some(decision(&record::decode(bytes)?.head.state, slot.mode));
            }
            Body::Warm(live) => live.machine.state(),
        };
        let Body::Warm(live) = &slot.body else { return None };
        if live.forced > live.durable {
            // What is decided and not kept may still be forgotten.
            let before = State { phase: slot.phase, ..state.clone() };
            return Some(match decision(&before, slot.mode) {
                Decision::Commit => Decision::Commit,
                Decision::Abort | Decision::Undecided => Decision::Undecided,
            });
        }
        Some(decision(state, slot.mode))
    }

    /// Some that were begun before `before`, the latest first, and where to go on. Looks at so many at a time.
    pub(crate) fn page(
        &mut self,
        filter: &Filter,
        before: Option<&Place>,
        limit: usize,
    ) -> (Vec<View>, Option<Place>) {
        let last = before.map_or(u64::MAX, |(begun, _)| *begun);
        let from = filter.since_ms.unwrap_or(0);
        if from > last {
            return (Vec::new(), None);
        }
        let mut places: Vec<(u64, Gid, u64)> = Vec::new();
        for (begun, id) in self.order.range((from, 0)..=(last, u64::MAX)).rev() {
            // Those of one moment are taken together, since they are sorted by their names.
            if places.len() >= LOOK_MAX && places.last().is_some_and(|(at, ..)| at != begun) {
                break;
            }
            let Some(slot) = self.slots.get(id) else { continue };
            if before.is_none_or(|(at, gid)| (*begun, &slot.gid) < (*at, gid)) {
                places.push((*begun, slot.gid.clone(), *id));
            }
        }
        places.sort_unstable_by(|a, b| b.cmp(a));
        let mut next = None;
        let mut views = Vec::new();
        let is_short = places.len() < LOOK_MAX;
        for (begun, gid, id) in places {
            if views.len() >= limit {
                return (views, next);
            }
            let Some(slot) = self.slots.get_mut(&id) else { continue };
            let may = (filter.mode.is_none_or(|mode| mode == slot.mode))
                && (!filter.attention || slot.has_attention)
                && filter.until_ms.is_none_or(|until| begun < until);
            if may && let Some(view) = Self::view(slot).filter(|view| suits(filter, view)) {
                views.push(view);
            }
            next = Some((begun, gid));
        }
        (views, next.filter(|_| !is_short))
    }

    /// How many wait for an operator and are unfinished.
    pub(crate) fn counts(tools: &super::Tools) -> crate::Counts {
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        crate::Counts {
            unfinished: wide(tools.unfinished.load(Ordering::Relaxed)),
            attention: wide(tools.attention.load(Ordering::Relaxed)),
            committed: tools.committed.load(Ordering::Relaxed),
            aborted: tools.aborted.load(Ordering::Relaxed),
            mixed: tools.mixed.load(Ordering::Relaxed),
        }
    }
}

/// What a participant in doubt is told of a state that is kept.
pub(crate) fn decision(state: &State, mode: tx::Mode) -> Decision {
    match state.decision(mode) {
        Some(tx::Decision::Commit) => Decision::Commit,
        Some(tx::Decision::Abort) => Decision::Abort,
        None => Decision::Undecided,
    }
}

/// Whether a transaction is asked for.
pub(crate) fn suits(filter: &Filter, view: &View) -> bool {
    let Filter { phases, attention, mode, name, label, since_ms, until_ms, .. } = filter;
    let View { spec, state, .. } = view;
    (phases.is_empty() || phases.contains(&state.phase))
        && (!attention || state.attention.is_some())
        && mode.is_none_or(|mode| mode == spec.mode)
        && name.as_ref().is_none_or(|name| spec.name.as_ref() == Some(name))
        && label.as_ref().is_none_or(|(name, value)| spec.labels.get(name) == Some(value))
        && since_ms.is_none_or(|since| state.begun_ms >= since)
        && until_ms.is_none_or(|until| state.begun_ms < until)
}

impl Live {
    /// Whether who submits `asked` means this one.
    pub(super) fn is_same(&mut self, asked: &crate::Spec) -> bool {
        let submitted = self.submitted;
        record::is_same(self.spec(), submitted, asked)
    }
}
