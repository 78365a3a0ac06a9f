//! What is asked for: a transaction with its calls.

use logic::tx::{Mode, Op, Retry};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// Longest name of a transaction in bytes, as PostgreSQL has it for prepared transactions with our prefix before it.
pub const GID_LEN_MAX: usize = 128;

/// Largest record of a transaction in bytes, with its input, its bodies and the answers that others use.
pub const RECORD_LEN_MAX: usize = 512 << 10;

/// Names a transaction: 1 to [`GID_LEN_MAX`] of `A-Z a-z 0-9 - _ . : @`. Chosen by the client or made by the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gid(String);

/// Why a name is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a transaction: 1 to {GID_LEN_MAX} of A-Z a-z 0-9 - _ . : @")]
pub struct InvalidGid(String);

impl Gid {
    /// Checks a name.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidGid> {
        let text = text.into();
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(&byte);
        if text.is_empty() || text.len() > GID_LEN_MAX || !text.bytes().all(is_good) {
            return Err(InvalidGid(text.chars().take(GID_LEN_MAX + 1).collect()));
        }
        Ok(Self(text))
    }

    /// A name that nobody else gives. Later ones sort behind earlier ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(crate::random::name())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Gid {
    type Error = InvalidGid;

    fn try_from(text: String) -> Result<Self, InvalidGid> {
        Self::new(text)
    }
}

impl From<Gid> for String {
    fn from(gid: Gid) -> Self {
        gid.0
    }
}

impl fmt::Display for Gid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whom a transaction is spoken of with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Our own API.
    #[default]
    Native,
    /// A client of DTM: answers may also say `FAILURE` and `ONGOING`, and calls without a payload are `GET`s.
    Dtm,
    /// A client of DTM whose participants are methods of JSON-RPC.
    DtmJsonRpc,
    /// A workflow of DTM: the client calls its participants itself, and an open message stands for it here. The query of the message
    /// wakes the client up when it is silent.
    DtmWorkflow,
}

impl Dialect {
    /// Whether it is our own API. Taken by reference as serde hands it over.
    fn is_native(&self) -> bool {
        *self == Self::Native
    }

    /// Whether it is a client of DTM, of whichever kind.
    #[must_use]
    pub fn is_dtm(self) -> bool {
        self != Self::Native
    }
}

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A path of a service of the file, with its query if any; through the data plane.
    Service {
        /// The service.
        service: String,
        /// Begins with `/`.
        path: String,
    },
    /// Any `http://` or `https://` URL.
    Url(String),
    /// A unary gRPC method of a service of the file.
    GrpcService {
        /// The service.
        service: String,
        /// `pkg.Service/Method`.
        method: String,
    },
    /// A unary gRPC method anywhere, without TLS.
    Grpc {
        /// `host:port`.
        authority: String,
        /// `pkg.Service/Method`.
        method: String,
    },
}

/// A call of a branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Where it goes. Paths and URLs may have `{{…}}` in them.
    pub target: Target,
    /// The method; `POST` as a rule.
    #[serde(default = "post", skip_serializing_if = "is_post")]
    pub method: String,
}

fn post() -> String {
    "POST".to_owned()
}

fn is_post(method: &String) -> bool {
    method == "POST"
}

/// What a step does within the decision's own transaction, without a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    /// Puts a value into a store of state, under a whole key; the step's body is the value.
    Put {
        /// The store.
        store: String,
        /// The key; may have `{{…}}` in it.
        key: String,
        /// It must be as it was with this etag; empty: it must not be there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        etag: Option<String>,
    },
    /// Deletes a key of a store.
    Delete {
        /// The store.
        store: String,
        /// The key; may have `{{…}}` in it.
        key: String,
        /// It must be as it was with this etag.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        etag: Option<String>,
    },
    /// Publishes a message; the step's body is its data.
    Publish {
        /// The topic.
        topic: String,
        /// Its key, for order; may have `{{…}}` in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// Demands that a lock is still held under this fencing token.
    Holds {
        /// The store of locks.
        store: String,
        /// The resource; may have `{{…}}` in it.
        resource: String,
        /// The token; may have `{{…}}` in it.
        token: String,
    },
}

/// A step or participant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Its name; `01`, `02` and so on where nobody gave one.
    pub id: String,
    /// Names of the steps before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<String>,
    /// What is called for each operation.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<Op, Call>,
    /// Instead of calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<Join>,
    /// What is sent: texts in it may have `{{input.…}}` and `{{steps.ID.body.…}}`. `None`: the transaction's input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// The payload as it is, instead of `body`: clients of DTM send texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// How long one call may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How calls are repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long a reservation or promise is kept, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserve_ms: Option<u64>,
    /// The client has asked it for its first phase itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tried_by_client: bool,
}

/// Bytes that are sent as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// A text.
    Text(String),
    /// Bytes, as numbers: rare.
    Bytes(Vec<u8>),
}

/// A transaction as it is asked for. Kept whole; what changes while it runs is beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The protocol.
    pub mode: Mode,
    /// The definition of the file that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The steps or participants, in order.
    pub steps: Vec<StepSpec>,
    /// What the client gave.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub input: Value,
    /// Labels to find it by, at most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Headers that every call has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// How long until it is decided, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How calls are repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Each answer is kept before anything else happens.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub durable_steps: bool,
    /// Branches are called at the same time where nothing stands against it. Sagas of our own API: yes; of DTM: when it says so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub concurrent: bool,
    /// Of a message: how its sender is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<Call>,
    /// Of a message: deliveries begin so many milliseconds after the submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// Whom it is spoken of with.
    #[serde(default, skip_serializing_if = "Dialect::is_native")]
    pub dialect: Dialect,
    /// What a façade keeps for itself and gives back.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub extra: Value,
    /// The trace that it belongs to, as `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The service that asked for it, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
}

/// A transaction that the file defines, to be used by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// What comes of it; input, caller and trace are put in when it is used.
    pub spec: Spec,
}

/// What the file asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The definitions, by name.
    pub definitions: BTreeMap<String, Definition>,
    /// How long finished transactions are kept; `None`: [`RETENTION`].
    pub retention: Option<std::time::Duration>,
}

/// How long finished transactions are kept unless the file says otherwise.
pub const RETENTION: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3_600);
