//! The contract of [`Host`] as tests. A host is right when [`crate::host_conformance!`] passes for it.
//!
//! What differs between hosts (a shell line, a container) is behind [`Fixture`]; a clause names only what a
//! program does ([`Act`]). Clauses wait for states with a deadline and never for time. The suite knows no
//! async runtime: the adapter's tests bring theirs.

mod ends;
mod output;
mod survival;

use super::{Host, Program, Run, Spec};
use crate::logs::{Line, Sink, Stream};
use async_trait::async_trait;
use base::InstanceId;
use std::{
    collections::BTreeMap,
    future::Future,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

pub use ends::*;
pub use output::*;
pub use survival::*;

/// How long a clause waits for a state. Far above what any host needs, so that a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a program of the suite does. Each prints to standard output unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Prints the numbers from 1 to this, a line each, and ends with code 0.
    PrintLines(u32),
    /// Prints `out 1` to standard output, `err 1` to standard error, and so on to this number, and ends.
    PrintBoth(u32),
    /// Prints this many times `x`, without an end of line, and ends.
    PrintUnended(usize),
    /// Prints `later` after about a second, and ends.
    PrintLater,
    /// Prints the numbers from 1 for ever, about a hundred a second.
    Tick,
    /// Prints the value of this environment variable, then its working directory, and ends.
    PrintEnvironment(String),
    /// Ends with this code.
    ExitWith(i32),
    /// Prints `ready` and sleeps for ever.
    Sleep,
    /// Starts a child that starts a child that sleeps for ever; prints `ready` when all three are there.
    Family,
    /// Starts a process that sleeps for ever in a session of its own and without this as parent, prints `ready`
    /// when it is there, and ends.
    ForkAway,
}

/// What an adapter brings to be tested. Each test has its own.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Starts a node's host whose runs survive it, handing lines to `sink`. Called again after
    /// [`Fixture::crash`], on the same state.
    async fn host(&self, sink: Arc<dyn Sink>) -> Arc<dyn Host>;

    /// Ends the host as SIGKILL of the node would: nothing is stored or said any more, its runs go on.
    async fn crash(&self);

    /// The program that does this.
    fn program(&self, act: Act) -> Program;

    /// A kind of program this host does not run.
    fn unsupported(&self) -> Program;

    /// A program of the right kind that does not exist.
    fn missing(&self) -> Program;

    /// A folder to run in; a container's own folder may be another.
    fn dir(&self) -> PathBuf;

    /// How many processes of the run live, counted without asking the host.
    async fn living(&self, run: &Run) -> usize;

    /// Whether processes that left the main process can outlive it, so that `forget` finds them.
    fn finds_leftovers(&self) -> bool;

    /// Lets others run for some milliseconds.
    async fn pause(&self);
}

/// One clause as the macro hands it to the adapter's runner.
pub type Clause = for<'a> fn(&'a dyn Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Makes one named test of each clause. `$run` is a `fn(Clause)` of the adapter's tests: it makes a
/// runtime and a fixture, runs the clause with a bound in time, and leaves nothing behind.
#[macro_export]
macro_rules! host_conformance {
    ($run:path) => {
        $crate::host_conformance!(@each $run,
            a_run_ends_with_the_exit_code_of_its_program,
            a_run_is_what_was_asked_for,
            a_program_gets_its_environment_and_folder,
            a_signal_reaches_children_of_children,
            the_end_by_a_signal_is_told,
            forget_leaves_no_process_alive,
            forget_ends_a_living_run_and_may_be_repeated,
            every_caller_of_wait_is_answered_also_after_the_end,
            an_unknown_run_is_an_error,
            what_cannot_run_is_refused,
            usage_counts_the_processes_of_the_run,
            a_probe_command_tells_how_it_ended_and_what_it_printed,
            a_probe_command_is_ended_by_its_timeout,
            output_arrives_whole_and_in_order,
            output_before_the_end_is_there_when_wait_returns,
            a_line_without_end_is_cut_and_not_grown,
            a_slow_sink_stalls_no_program,
            survivors_are_listed_once_with_their_labels,
            output_printed_while_no_node_was_there_arrives,
            a_run_that_ended_without_a_node_is_no_survivor_but_its_output_arrives,
            an_adopted_run_can_be_signalled_waited_for_and_forgotten,
        );
    };
    (@each $run:path, $($clause:ident,)*) => {
        $(
            #[test]
            fn $clause() {
                $run(|fixture| Box::pin($crate::host::conformance::$clause(fixture)));
            }
        )*
    };
}

/// A sink that keeps all lines and can be made to block.
#[derive(Debug, Default)]
pub struct Recorder {
    lines: Mutex<Vec<Line>>,
    is_blocked: Mutex<bool>,
    unblocked: Condvar,
}

impl Recorder {
    /// An empty one.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Makes `append` wait, or go on.
    pub fn block(&self, is_blocked: bool) {
        *self.is_blocked.lock().unwrap_or_else(PoisonError::into_inner) = is_blocked;
        self.unblocked.notify_all();
    }

    /// The lines of one stream so far.
    #[must_use]
    pub fn texts(&self, stream: Stream) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.stream == stream).map(|line| line.text.clone()).collect()
    }

    /// All lines so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of lines of standard output so far.
    #[must_use]
    pub fn count(&self) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| line.stream == Stream::Out).count()
    }
}

impl Sink for Recorder {
    fn append(&self, lines: &[Line]) {
        let blocked = self.is_blocked.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.unblocked.wait_while(blocked, |blocked| *blocked);
        drop(free.unwrap_or_else(PoisonError::into_inner));
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(lines);
    }
}

/// The order to do `act` as instance `number` of a service.
#[must_use]
pub fn spec(fixture: &dyn Fixture, number: u32, act: Act) -> Spec {
    Spec {
        instance: InstanceId::parse(&format!("users/{number}"))
            .expect("this is an instance's name"),
        program: fixture.program(act),
        dir: fixture.dir(),
        env: BTreeMap::from([("SUITE".to_owned(), "a value with blanks".to_owned())]),
        port: None,
        limits: super::Limits::default(),
        labels: BTreeMap::from([("version".to_owned(), format!("v{number}"))]),
    }
}

/// Waits until something holds.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn until(fixture: &dyn Fixture, what: &str, holds: impl Fn() -> bool + Send + Sync) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not reached: {what}");
        fixture.pause().await;
    }
}

/// Waits until so many processes of the run live.
async fn until_living(fixture: &dyn Fixture, run: &Run, count: usize) {
    let start = Instant::now();
    loop {
        let living = fixture.living(run).await;
        if living == count {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{living} processes live, {count} are expected");
        fixture.pause().await;
    }
}

/// Starts `act` and waits for its `ready`.
async fn ready(fixture: &dyn Fixture, host: &dyn Host, sink: &Recorder, act: Act) -> Run {
    let run = host.start(&spec(fixture, 1, act)).await.expect("the suite's programs start");
    until(fixture, "the program says `ready`", || {
        sink.texts(Stream::Out).iter().any(|text| text == "ready")
    })
    .await;
    run
}
