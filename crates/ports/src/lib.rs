//! What Flotilla needs from the world, as traits.
//!
//! A port is a trait, its prose contract (durability, ordering, idempotence, cancel safety, errors)
//! and a conformance suite; an adapter is right when the suite passes. Adapters implement ports,
//! services use them as `Arc<dyn Port>`, and only the binary knows which adapter is behind one.
//!
//! - [`broker`]: where messages wait for those who want them (topics, groups);
//! - [`host`]: where instances run (processes, containers);
//! - [`kv`]: where agreed facts are kept (state, locks, configuration);
//! - [`logs`]: where the lines go that they print;
//! - [`outbox`]: tables in which services leave messages;
//! - [`secrets`]: who knows the secrets that a file only names;
//! - [`streams`]: where events are kept as the truth (event sourcing);
//! - [`traffic`]: who gets requests, and who is still working on some.

#![warn(missing_docs)]

pub mod broker;
pub mod host;
pub mod kv;
pub mod logs;
pub mod outbox;
pub mod secrets;
pub mod streams;
pub mod traffic;
