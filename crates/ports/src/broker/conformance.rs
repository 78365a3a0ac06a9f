//! The contract of [`Broker`] as tests. An engine is right when [`crate::broker_conformance!`] passes for it.
//!
//! What differs between engines (how they are opened, ended, and how time passes for them) is behind [`World`]. Clauses
//! wait for states with a deadline, and assert of time only what holds on a machine of any speed: that something did not
//! happen too early. The suite knows no async runtime: the adapter's tests bring theirs.
//!
//! Beside the clauses: [`Memory`], the contract made into an engine, for tests of those who use the port.

mod groups;
mod keeping;
mod kit;
mod memory;
mod ordering;
mod publishing;
mod racing;
mod reading;
mod seeking;
mod settling;
mod surviving;
#[cfg(test)]
mod tests;
mod topics;

pub use groups::*;
pub use keeping::*;
pub use memory::Memory;
pub use ordering::*;
pub use publishing::*;
pub use racing::*;
pub use reading::*;
pub use seeking::*;
pub use settling::*;
pub use surviving::*;
pub use topics::*;

use super::Broker;
use async_trait::async_trait;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

/// How long, by the engine's clock, a clause waits for a state. Far above what any engine needs, so that a busy machine
/// is no failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Something that runs beside others.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an adapter brings to be tested. Each test has its own, with an engine of its own in which there is no topic.
#[async_trait]
pub trait World: Send + Sync {
    /// Opens the engine. Called again without an end in between, it gives the same one or another way to it.
    async fn open(&self) -> Arc<dyn Broker>;

    /// Ends the engine as SIGKILL would, and opens it on what it kept. Engines from before need not answer any more.
    /// `None`: it keeps nothing beyond its end.
    async fn restart(&self) -> Option<Arc<dyn Broker>>;

    /// Whether settlements that were answered survive [`Self::restart`]. They need not when it is the end of the machine, or
    /// of a server that keeps them for a moment before it writes them.
    fn keeps_settlements(&self) -> bool {
        true
    }

    /// Lets the engine's clocks go on by `time` or more. It may be dropped half-way.
    async fn pass(&self, time: Duration);

    /// The engine's clock, since any moment. What the machine sleeps or the engine is ended counts.
    fn now(&self) -> Duration;

    /// Lets others run for some milliseconds.
    async fn pause(&self);

    /// Runs all tasks at the same time and waits for their ends, while time goes on. A panic of one is a panic here.
    async fn together(&self, tasks: Vec<Task>);
}

/// One clause as the macro hands it to the adapter's runner.
pub type Clause = for<'a> fn(&'a dyn World) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Makes one named test of each clause. `$run` is a `fn(Clause)` of the adapter's tests: it makes a runtime and a world,
/// runs the clause with a bound in time, and leaves nothing behind.
#[macro_export]
macro_rules! broker_conformance {
    ($run:path) => {
        $crate::broker_conformance!(@each $run,
            a_message_is_read_back_with_all_its_parts,
            offsets_grow_and_a_batch_stays_together,
            a_message_without_an_id_gets_one_of_its_own,
            the_same_id_is_taken_once_within_the_window,
            an_id_is_free_again_after_the_window,
            without_a_window_no_id_is_remembered,
            what_is_out_of_bounds_is_refused_before_anything_is_taken,
            the_largest_messages_and_batches_pass,
            a_topic_is_made_once_and_its_settings_can_change,
            settings_out_of_bounds_are_refused,
            topics_are_listed_by_name_and_tell_what_they_hold,
            what_is_not_there_is_told,
            names_that_look_alike_are_kept_apart,
            a_removed_topic_ends_its_readers_and_subscriptions,
            a_topic_that_is_made_again_is_empty,
            what_an_engine_offers_does_not_change,
            readers_begin_where_they_are_told,
            readers_begin_at_a_time,
            a_reader_waits_for_what_comes,
            a_reader_gives_at_most_what_is_asked_for,
            readers_see_one_order_while_many_publish,
            calls_to_next_of_a_reader_may_be_dropped,
            subscriptions_share_the_messages_of_a_group,
            every_group_gets_everything,
            a_group_begins_where_it_is_told_and_keeps_its_place,
            a_group_can_be_configured_anew,
            no_more_is_in_flight_than_allowed,
            a_slow_subscription_holds_up_nobody,
            an_ephemeral_group_is_forgotten_after_a_grace,
            a_removed_group_ends_its_subscriptions,
            calls_to_next_of_a_subscription_may_be_dropped,
            a_group_tells_how_far_it_is,
            what_is_acknowledged_does_not_come_again,
            what_is_not_settled_in_time_comes_again,
            what_is_given_back_comes_again_after_its_pause,
            what_is_given_back_holds_up_no_other,
            what_is_still_worked_on_is_left_alone,
            an_older_delivery_cannot_give_back_or_extend,
            what_a_dropped_subscription_left_goes_to_another,
            deliveries_are_settled_from_elsewhere,
            receipts_that_nobody_wrote_are_refused,
            what_is_settled_or_gone_may_be_settled_again,
            a_key_waits_for_its_message_and_others_go_on,
            a_key_keeps_its_order_when_a_message_comes_again,
            messages_without_a_key_hold_up_nothing,
            keys_stay_in_order_while_many_take,
            a_group_goes_back_to_the_beginning,
            a_group_goes_on_from_where_it_is_sent,
            a_group_in_use_is_moved_or_refuses,
            what_was_in_flight_is_forgotten_when_a_group_moves,
            purged_messages_are_gone,
            what_is_beyond_the_size_goes_oldest_first,
            what_is_too_old_goes_and_nothing_else,
            acknowledged_messages_survive_the_end_of_the_engine,
            groups_and_settlements_survive_the_end_of_the_engine,
            attempts_are_counted_over_the_end_of_the_engine,
            ids_are_remembered_over_the_end_of_the_engine,
            nobody_misses_anything_over_a_restart,
            an_ephemeral_group_ends_with_the_engine,
            many_publish_and_take_and_nothing_is_lost,
            nothing_is_lost_over_restarts_under_load,
        );
    };
    (@each $run:path, $($clause:ident,)*) => {
        $(
            #[test]
            fn $clause() {
                $run(|world| Box::pin($crate::broker::conformance::$clause(world)));
            }
        )*
    };
}
