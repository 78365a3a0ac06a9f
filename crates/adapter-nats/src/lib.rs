//! The broker port on NATS JetStream.
//!
//! ```text
//!  Broker ─► names, envelope ─► link (one connection, bounded waits) ─► nats-server
//!                                 ▲
//!  Reader, Subscription ─► pull ──┘ one request for messages at a time
//! ```
//!
//! - A topic is a stream with one subject, a group is a durable pull consumer of it; offsets are the stream's sequences.
//!   What the port knows and JetStream does not (the settings to the letter) stands in their descriptions.
//! - The name of a group's consumer ends with its *epoch*. A seek makes the consumer of the next epoch and deletes the one
//!   before, so receipts from before name something that is not there any more. Of several the highest counts.
//! - A topic that remembers ids listens to another subject than one that does not, so a publisher whose knowledge is old is
//!   told that nobody listens, and never sends an id that should not be compared.
//! - Nothing is waited for longer than `ANSWER_TIME_MAX` without a sign. What may have been taken is `Unknown`, what was
//!   certainly not sent is `Unavailable`.
//! - JetStream's own interface is spoken to directly (JSON over requests), with what servers from 2.9 on know.
//!
//! Start reading at [`Nats`], then `link` (the connection), `pull` (how messages are asked for) and `engine/groups.rs`.

#![warn(missing_docs)]

mod config;
mod engine;
mod envelope;
mod link;
mod names;
mod notes;
mod pull;
mod reader;
mod receipt;
mod subscription;
mod wire;

pub use config::{Config, Credentials, Error, Tls};
pub use engine::Nats;
