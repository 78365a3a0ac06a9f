//! What Flotilla needs from the world, as traits.
//!
//! A port is a trait, its prose contract (durability, ordering, idempotence, cancel safety, errors)
//! and a conformance suite; an adapter is right when the suite passes. Adapters implement ports,
//! services use them as `Arc<dyn Port>`, and only the binary knows which adapter is behind one.
//!
//! - [`host`]: where instances run (processes, containers);
//! - [`kv`]: where agreed facts are kept (state, locks, configuration);
//! - [`logs`]: where the lines go that they print;
//! - [`secrets`]: who knows the secrets that a file only names;
//! - [`traffic`]: who gets requests, and who is still working on some.

#![warn(missing_docs)]

pub mod host;
pub mod kv;
pub mod logs;
pub mod secrets;
pub mod traffic;
