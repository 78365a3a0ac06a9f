//! Transactions over several services, as the file defines them.

use base::Place;
use logic::tx::{Mode, Op, Retry, target::Call};
use serde_json::Value;
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

/// What a system says of transactions.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Transactions {
    /// Where clients of DTM are answered; `None`: nowhere.
    pub dtm: Option<Dtm>,
    /// How long finished transactions are kept; `None`: as long as the coordinator keeps them anyway, 7 d.
    pub retain: Option<Duration>,
    /// Those that can be used by name, in the order of the file.
    pub definitions: Vec<TransactionDefinition>,
}

/// Where clients of DTM are answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dtm {
    /// Over HTTP. Default `127.0.0.1:36789`, as DTM itself.
    pub http: SocketAddr,
    /// Over gRPC. Default `127.0.0.1:36790`.
    pub grpc: SocketAddr,
    /// Where it stands.
    pub place: Option<Place>,
}

/// A transaction that can be used by its name.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionDefinition {
    /// Its name: 1 to 63 letters, digits and `. _ -`, never `dtm` or `retain`.
    pub name: String,
    /// The protocol.
    pub mode: Mode,
    /// The steps or participants: 1 to [`logic::tx::BRANCHES_MAX`], each with a name of its own.
    pub steps: Vec<TransactionStep>,
    /// How long it may take until it is decided; `None`: as the coordinator has it.
    pub timeout: Option<Duration>,
    /// How calls are repeated.
    pub retry: Retry,
    /// Headers that every call has, by their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Each answer is kept before anything else happens.
    pub durable_steps: bool,
    /// Independent steps are called one after the other.
    pub sequential: bool,
    /// Of a message: how its sender is asked whether it meant it.
    pub query: Option<Call>,
    /// Of a message: its deliveries begin so long after the submission.
    pub delay: Option<Duration>,
    /// Where it stands.
    pub place: Option<Place>,
}

/// A step or participant of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionStep {
    /// Its name: 1 to 64 letters, digits, `_` and `-`; `01`, `02` and so on by its position when the file gives none.
    pub id: String,
    /// The steps that come before it; all of them stand before it and are calls. Without a word in the file the steps of a saga
    /// are a chain.
    pub after: Vec<String>,
    /// What is done.
    pub work: StepWork,
    /// What is sent, put or published; texts in it may have place holders. `None`: the transaction's input.
    pub body: Option<Value>,
    /// How long one call may take; `None`: as the node has it.
    pub timeout: Option<Duration>,
    /// `None`: as the transaction.
    pub retry: Option<Retry>,
    /// How long a reservation or promise is kept.
    pub reserve: Option<Duration>,
    /// Where it stands.
    pub place: Option<Place>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepWork {
    /// Calls, by operation. Services in them are of the file and listen.
    Calls(BTreeMap<Op, Call>),
    /// Something of the node's own that is done exactly with the decision. Only of sagas.
    Join(TransactionJoin),
}

/// What is done exactly with the decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionJoin {
    /// Puts the step's body into a store of the file that is no cache.
    Put {
        /// The store.
        store: String,
        /// The key; may have place holders in it.
        key: String,
        /// It must be as it was with this etag; may have place holders in it; empty: it must not be there.
        etag: Option<String>,
    },
    /// Deletes a key of such a store.
    Delete {
        /// The store.
        store: String,
        /// The key; may have place holders in it.
        key: String,
        /// It must be as it was with this etag; may have place holders in it.
        etag: Option<String>,
    },
    /// Publishes the step's body.
    Publish {
        /// The topic.
        topic: String,
        /// Its key, for order; may have place holders in it.
        key: Option<String>,
    },
    /// Demands that a lock is still held under a fencing token.
    Holds {
        /// The store of locks.
        store: String,
        /// The resource; may have place holders in it.
        resource: String,
        /// The token; may have place holders in it.
        token: String,
    },
}
