//! Random histories.

use super::world::{World, desired};
use crate::service::{Desired, Machine};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Deed {
    Scale(u32),
    Replace,
    Restart(u32),
    Crash(u32),
    Sick(u32),
    Heal,
    Deaf(bool),
    Wait(u64),
    Gate(bool),
    HaltAndResume,
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        (0_u32..5).prop_map(Deed::Scale),
        Just(Deed::Replace),
        (1_u32..5).prop_map(Deed::Restart),
        (1_u32..5).prop_map(Deed::Crash),
        (1_u32..5).prop_map(Deed::Sick),
        Just(Deed::Heal),
        any::<bool>().prop_map(Deed::Deaf),
        (0_u64..40).prop_map(Deed::Wait),
        any::<bool>().prop_map(Deed::Gate),
        Just(Deed::HaltAndResume),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever happens in whatever order: the world's assertions hold all the way, and once
    /// everything is healthy the service comes to what was asked for last.
    #[test]
    fn every_history_heals(exclusive: bool, deeds in proptest::collection::vec(deed(), 0..40)) {
        let mut count = 2;
        let want = |count| Desired { exclusive, ..desired(count) };
        let mut world = World::new(want(count));
        let mut clock = 0;
        for deed in deeds {
            match deed {
                Deed::Scale(n) => { count = n; world.act(|m, now| m.desire(want(n), false, now)); }
                Deed::Replace => world.act(|m, now| m.desire(want(count), true, now)),
                Deed::Restart(n) => world.act(|m, now| m.restart(Some(n), now)),
                Deed::Crash(n) => world.crash(n),
                Deed::Sick(n) => { world.sick.insert(n); }
                Deed::Heal => world.sick.clear(),
                Deed::Deaf(deaf) => world.deaf = deaf,
                Deed::Wait(s) => { clock += s; world.run_to(clock); }
                Deed::Gate(open) => world.act(|m, now| m.set_open(open, now)),
                Deed::HaltAndResume => { world.act(Machine::halt); world.act(Machine::resume); }
            }
            prop_assert!(world.machine.instances().len() <= 16, "never more than a few too many");
        }
        world.sick.clear();
        world.deaf = false;
        world.act(|m, now| m.set_open(true, now));
        world.run_to(clock + 2_000);
        prop_assert!(world.machine.is_settled(), "{:#?}\n{}", world.machine, world.story);
        prop_assert_eq!(world.routed.len(), usize::try_from(count).unwrap());
        prop_assert_eq!(world.alive.len(), usize::try_from(count).unwrap());
    }
}
