//! The contract of [`Kv`] as tests. An engine is right when [`crate::kv_conformance!`] passes for it.
//!
//! What differs between engines (how they are opened, ended, and how time passes for them) is behind [`World`]. Clauses
//! wait for states with a deadline. The suite knows no async runtime: the adapter's tests bring theirs.
//!
//! Beside the clauses: [`Model`], the contract as a plain data structure; [`Memory`], the engine made of it, for tests
//! of those who use the port; [`Recorder`] and [`history`], which tell whether an engine is linearizable.

mod forgetting;
pub mod history;
mod leases;
mod memory;
mod model;
mod racing;
mod reading;
mod recorder;
mod standing;
#[cfg(test)]
mod tests;
mod watching;
mod writing;

pub use forgetting::*;
pub use leases::*;
pub use memory::{Failure, Memory};
pub use model::{Model, View};
pub use racing::*;
pub use reading::*;
pub use recorder::Recorder;
pub use standing::*;
pub use watching::*;
pub use writing::*;

use super::{Change, Entry, Error, Event, Kv, Outcome, Page, Range, Revision, Transaction, Watch};
use async_trait::async_trait;
use bytes::Bytes;
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

/// How long, by the engine's clock, a clause waits for a state. Far above what any engine needs, so that a busy machine
/// is no failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long a clause lets time pass between two looks at something that ends by time.
const LOOK: Duration = Duration::from_millis(100);

/// Something that runs beside others.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What an adapter brings to be tested. Each test has its own, with a store of its own in which nothing was written.
#[async_trait]
pub trait World: Send + Sync {
    /// Opens the store. Called again without an end in between, it gives the same engine or another way to it.
    async fn open(&self) -> Arc<dyn Kv>;

    /// Ends the engine as SIGKILL would, and opens it on what it kept. Engines from before need not answer any more.
    /// `None`: it keeps nothing beyond its end.
    async fn restart(&self) -> Option<Arc<dyn Kv>>;

    /// Lets the engine's clock go on by `time` or more.
    async fn pass(&self, time: Duration);

    /// The engine's clock, since any moment. What the machine sleeps or the engine is ended counts.
    fn now(&self) -> Duration;

    /// Lets others run for some milliseconds.
    async fn pause(&self);

    /// Runs all tasks at the same time and waits for their ends. A panic of one is a panic here.
    async fn together(&self, tasks: Vec<Task>);
}

/// One clause as the macro hands it to the adapter's runner.
pub type Clause = for<'a> fn(&'a dyn World) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Makes one named test of each clause. `$run` is a `fn(Clause)` of the adapter's tests: it makes a runtime and a world,
/// runs the clause with a bound in time, and leaves nothing behind.
#[macro_export]
macro_rules! kv_conformance {
    ($run:path) => {
        $crate::kv_conformance!(@each $run,
            a_put_is_read_back_with_its_revisions,
            ranges_are_in_the_order_of_bytes,
            pages_join_up_to_the_whole,
            large_values_come_in_pages,
            a_snapshot_stays_as_it_was,
            a_change_takes_the_next_revision_and_no_change_takes_none,
            conditions_of_every_kind_hold_when_they_should,
            a_refused_transaction_does_nothing_and_tells_what_it_found,
            a_transaction_is_applied_whole_at_one_revision,
            a_key_may_be_written_once_in_a_transaction,
            a_range_is_deleted_at_once,
            the_most_conditions_and_operations_pass_and_more_do_not,
            the_longest_keys_and_values_pass_and_longer_ones_do_not,
            what_refused_transactions_found_may_be_large,
            a_lease_takes_its_keys_with_it_and_not_too_early,
            a_lease_that_is_renewed_lives_on,
            a_revoked_lease_is_gone_with_its_keys,
            a_lease_that_is_gone_refuses_and_changes_nothing,
            a_lease_tells_its_time_and_its_keys,
            an_entry_with_a_time_to_live_ends_by_itself,
            a_put_that_replaces_another_frees_its_lease,
            times_to_live_out_of_bounds_are_refused,
            leases_have_their_full_time_after_a_restart,
            a_watch_tells_what_happens_after_it_began,
            a_watch_from_the_past_tells_everything_since,
            a_watch_from_the_future_waits_for_it,
            a_watch_tells_of_its_range_only,
            a_change_holds_all_of_one_revision_however_large,
            watches_have_no_gap_and_no_duplicate_while_many_write,
            calls_to_next_may_be_dropped,
            a_slow_watcher_holds_up_nobody,
            many_watches_are_told_their_own,
            watches_go_on_after_a_restart_without_a_gap,
            forgotten_history_is_told_as_compacted,
            what_is_compacted_is_the_past_only,
            acknowledged_writes_survive_the_end_of_the_engine,
            what_is_not_offered_is_refused,
            the_status_agrees_with_what_happened,
            one_of_many_creators_wins,
            no_increment_is_lost,
            calls_of_many_have_one_order,
            everybody_sees_the_same_keys,
        );
    };
    (@each $run:path, $($clause:ident,)*) => {
        $(
            #[test]
            fn $clause() {
                $run(|world| Box::pin($crate::kv::conformance::$clause(world)));
            }
        )*
    };
}

/// What a call gave.
#[track_caller]
fn ok<T>(result: Result<T, Error>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("the engine answers: {error:?}"),
    }
}

/// The revision of a transaction whose conditions held.
#[track_caller]
fn committed(result: Result<Outcome, Error>) -> Revision {
    match ok(result) {
        Outcome::Committed { revision } => revision,
        refused @ Outcome::Refused { .. } => panic!("its conditions hold: {refused:?}"),
    }
}

async fn put(kv: &dyn Kv, key: &str, value: &str) -> Revision {
    committed(kv.commit(Transaction::put(key.to_owned(), value.to_owned())).await)
}

async fn delete(kv: &dyn Kv, key: &str) -> Revision {
    committed(kv.commit(Transaction::delete(key.to_owned())).await)
}

async fn get(kv: &dyn Kv, key: &str) -> Option<Entry> {
    ok(kv.get(key.as_bytes()).await)
}

/// All of a range, page by page.
async fn all(kv: &dyn Kv, range: &Range) -> Vec<Entry> {
    let (mut range, mut entries) = (range.clone(), Vec::new());
    loop {
        let Page { entries: more, next, .. } = ok(kv.range(&range, usize::MAX).await);
        entries.extend(more);
        let Some(next) = next else { return entries };
        range.from = next;
    }
}

fn keys(entries: &[Entry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| &*entry.key).collect()
}

fn prefix(text: &str) -> Range {
    Range::prefix(Bytes::copy_from_slice(text.as_bytes()))
}

/// A watch of a range.
async fn watch(kv: &dyn Kv, range: Range, from: Option<Revision>) -> Box<dyn Watch> {
    ok(kv.watch(range, from).await)
}

/// A change as short text: `4: a=1 b -c`, keys in order; an empty value is left out.
fn short(change: &Change) -> String {
    let mut events: Vec<String> = change
        .events
        .iter()
        .map(|event| {
            assert_eq!(event.revision(), change.revision, "{event:?}");
            let key = String::from_utf8_lossy(event.key()).into_owned();
            match event {
                Event::Put(entry) if entry.value.is_empty() => key,
                Event::Put(entry) => format!("{key}={}", String::from_utf8_lossy(&entry.value)),
                Event::Delete { .. } => format!("-{key}"),
            }
        })
        .collect();
    events.sort_by(|a, b| a.trim_start_matches('-').cmp(b.trim_start_matches('-')));
    format!("{}: {}", change.revision, events.join(" "))
}

/// The next change as short text.
async fn told(watch: &mut dyn Watch) -> String {
    short(&ok(watch.next().await))
}

/// Waits, as time passes, until a key is missing.
async fn until_missing(world: &dyn World, kv: &dyn Kv, key: &str) {
    let start = world.now();
    while get(kv, key).await.is_some() {
        assert!(world.now() - start < PATIENCE, "`{key}` is still there");
        world.pass(LOOK).await;
    }
}

/// Numbers that look random, the same for the same seed (splitmix64, Steele and others, 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}
