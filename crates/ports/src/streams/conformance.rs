//! The contract of [`Streams`] as tests. An engine is right when [`crate::streams_conformance!`] passes for it.
//!
//! What differs between engines (how they are opened and ended) is behind [`World`]. The suite knows no async runtime: the
//! adapter's tests bring theirs, and end a clause that waits for ever.
//!
//! Beside the clauses: [`Memory`], the contract made into an engine, for tests of those who use the port.

mod appending;
mod bounds;
mod conditions;
mod kit;
mod memory;
mod racing;
mod reading;
mod standing;
#[cfg(test)]
mod tests;

pub use appending::*;
pub use bounds::*;
pub use conditions::*;
pub use memory::Memory;
pub use racing::*;
pub use reading::*;
pub use standing::*;

use super::Streams;
use async_trait::async_trait;
use std::{future::Future, pin::Pin, sync::Arc};

/// Something that runs beside others.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an adapter brings to be tested. Each test has its own, with an engine of its own in which there is no event.
#[async_trait]
pub trait World: Send + Sync {
    /// Opens the engine. Called again without an end in between, it gives the same one or another way to it.
    async fn open(&self) -> Arc<dyn Streams>;

    /// Ends the engine as SIGKILL would, and opens it on what it kept. Engines from before need not answer any more.
    /// `None`: it keeps nothing beyond its end.
    async fn restart(&self) -> Option<Arc<dyn Streams>>;

    /// Lets others run for some milliseconds. It may be dropped half-way.
    async fn pause(&self);

    /// Runs all tasks at the same time and waits for their ends. A panic of one is a panic here.
    async fn together(&self, tasks: Vec<Task>);
}

/// One clause as the macro hands it to the adapter's runner.
pub type Clause = for<'a> fn(&'a dyn World) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Makes one named test of each clause. `$run` is a `fn(Clause)` of the adapter's tests: it makes a runtime and a world,
/// runs the clause with a bound in time, and leaves nothing behind.
#[macro_export]
macro_rules! streams_conformance {
    ($run:path) => {
        $crate::streams_conformance!(@each $run,
            events_are_read_back_with_all_their_parts,
            revisions_and_positions_have_no_gaps,
            expectations_of_every_kind_hold_when_they_should,
            an_append_is_done_whole_or_not_at_all,
            an_append_that_is_repeated_is_answered_as_it_was,
            an_append_of_which_only_some_is_there_is_a_conflict,
            an_id_belongs_to_its_stream,
            what_is_out_of_bounds_is_refused_before_anything_is_appended,
            queries_out_of_bounds_are_refused,
            the_largest_events_and_appends_pass,
            streams_that_look_alike_are_kept_apart,
            a_condition_refuses_what_came_later,
            a_condition_counts_what_it_asks_for_only,
            an_expectation_and_a_condition_must_both_hold,
            one_of_many_with_the_same_condition_wins,
            one_of_many_with_the_same_revision_wins,
            a_stream_is_read_from_anywhere_in_both_directions,
            all_events_are_read_in_the_order_of_the_log,
            pages_join_up_to_the_whole,
            queries_find_what_they_mean,
            queries_find_the_few_among_many,
            waiting_ends_with_the_next_event,
            calls_to_wait_may_be_dropped,
            streams_are_listed_by_name,
            what_is_not_there_is_told,
            the_status_agrees_with_what_happened,
            everybody_sees_the_same_events,
            acknowledged_events_survive_the_end_of_the_engine,
            repeated_appends_are_known_after_the_end_of_the_engine,
            positions_have_no_gap_while_many_append,
            nothing_is_lost_over_restarts_under_load,
        );
    };
    (@each $run:path, $($clause:ident,)*) => {
        $(
            #[test]
            fn $clause() {
                $run(|world| Box::pin($crate::streams::conformance::$clause(world)));
            }
        )*
    };
}
