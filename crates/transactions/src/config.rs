//! What the service is made of.

use crate::{Joined, Participants, Wanted};
use ports::kv::Kv;
use runtime::Clock;
use std::sync::Arc;

/// What the service is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where records are kept.
    pub kv: Arc<dyn Kv>,
    /// Who calls participants.
    pub participants: Arc<dyn Participants>,
    /// Who knows what can join a decision.
    pub joined: Arc<dyn Joined>,
    /// The system's name: it stands before all keys in the kv engine.
    pub system: String,
    /// The node's name, different from those of other nodes on the same engine.
    pub node: String,
    /// The time.
    pub clock: Clock,
    /// What the file asks for at first.
    pub wanted: Wanted,
}
