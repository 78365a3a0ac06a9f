//! Events between services: topics, push, dead letters, schedules, outboxes, and streams of events.
//!
//! ```text
//!  publish ──► Topics ──────────────► dyn Broker ──► a runner for each subscription ──► route (CEL) ──► dyn Deliver ──► app
//!     │ later        ▲                                     │ success ► ack   retry ► nack with back-off   too often ► dead letters
//!     ▼              │ when due                            ▼
//!   kv: delayed, jobs, schedules, outbox of state       topic `<topic>.dead` ──► redrive
//!
//!  tables of services (SQLite, PostgreSQL) ──► relay ──► Topics
//!  append ──► dyn Streams ──► catch-up subscriptions (checkpoints in kv) ──► dyn Deliver
//! ```
//!
//! What always holds:
//! - *Nothing acknowledged is lost.* A message is acknowledged to the broker after the subscriber has said that it is done, or
//!   after it was taken into the dead letters.
//! - *Nothing is retried for ever in silence.* Every subscription has a most number of attempts or says that it has none; what is
//!   given up is a dead letter, or is counted and logged when there is no place for it.
//! - *A subscriber that is down costs no attempts.* While no instance of a service is ready, nothing is delivered to it.
//! - *Nobody is alone.* Other nodes may run the same subscriptions, schedules and relays: groups share the work, and what is due
//!   is claimed by a transaction or published under an id that makes the second one a duplicate.
//! - *Traffic does not wait.* A broker that is away makes publishing fail at once with the reason; runners try again with back-off.
//!
//! Start with [`Handle`] and [`Wanted`].

#![warn(missing_docs)]

mod batch;
mod config;
mod dead;
mod deliver;
mod error;
mod event;
mod jobs;
mod keeper;
mod kept;
mod later;
mod open;
mod outbox;
mod pause;
mod random;
mod relay;
mod runner;
mod service;
mod status;
mod streams;
mod topics;
mod wanted;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use config::Config;
pub use dead::DeadInfo;
pub use deliver::{Deliver, Incoming, Origin, Outboxes, Shape, Target, Verdict};
pub use error::Error;
pub use event::{EXTENSIONS_MAX, Event, InvalidEvent};
pub use jobs::{
    FILE, JOB_DATA_MAX, JOB_NAME_MAX, JOBS_LIST_MAX, JobInfo, Jobs, LastRun, RunOutcome,
};
pub use open::{Open, Settler, Taken};
pub use outbox::OUTBOX_MAX;
pub use service::{Handle, OPEN_MAX, Service};
pub use status::{BrokerStatus, DeclaredBy, RelayStatus, SubscriptionStatus};
pub use streams::{SNAPSHOT_SIZE_MAX, Snapshot, StreamSubscriptionStatus, Streams};
pub use topics::{
    Dead, Later, Outgoing, Published, Pull, PullConfig, Pulled, REDRIVE_MAX, Redrive, Replay,
    Settlement, Stored, TopicInfo, Topics,
};
pub use wanted::{
    BulkDelivery, DeadLetter, Job, Missed, Relay, Retry, Route, Run, Schedule, StreamSubscription,
    Subscription, Topic, Wanted, When,
};
