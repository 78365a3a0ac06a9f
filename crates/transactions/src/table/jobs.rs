//! What the driver does, and what it comes back with.

use super::{DecideEnd, JoinAsk};
use crate::CallRequest;
use logic::tx::Op;
use ports::kv::{self, Outcome, Transaction};
use std::sync::Arc;

/// Something that takes time.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write a record.
    Write { id: u64, transaction: Transaction },
    /// Call a participant.
    Call { call: Call, request: Box<CallRequest> },
    /// Commit a decision with what joins it.
    Decide { id: u64, own: Transaction, asks: Vec<JoinAsk> },
    /// Wait until a service is there.
    Ready { service: String },
}

/// A call that is under way.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: u64,
    pub(crate) branch: Option<u16>,
    pub(crate) op: Op,
    pub(crate) attempt: u32,
    /// The destination.
    pub(crate) to: Arc<str>,
    /// The service of the file that it is, if it is one.
    pub(crate) is_service: bool,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) call: Call,
    pub(crate) called: crate::Called,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) enum Done {
    Written {
        id: u64,
        result: Result<Outcome, kv::Error>,
    },
    Called(Called),
    Decided {
        id: u64,
        end: DecideEnd,
    },
    /// A service is there. `was_away`: it was not when it was asked for first.
    Ready {
        service: String,
        was_away: bool,
    },
}
