//! What Flotilla needs from the world, as traits.
//!
//! A port is a trait, its prose contract (durability, ordering, idempotence, cancel safety, errors)
//! and a conformance suite; an adapter is right when the suite passes. Adapters implement ports,
//! services use them as `Arc<dyn Port>`, and only the binary knows which adapter is behind one.
//!
//! - [`host`]: where instances run (processes, containers);
//! - [`logs`]: where the lines go that they print;
//! - [`traffic`]: who gets requests, and who is still working on some.

#![warn(missing_docs)]

pub mod host;
pub mod logs;
pub mod traffic;
