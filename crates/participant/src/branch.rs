//! Which branch of which transaction a request is for.

mod op;

pub use op::{Mode, Op};

use http::{HeaderMap, Request};
use op::value;
use std::borrow::Cow;

/// Longest id of a transaction or a branch, in bytes: what the columns of the barrier table hold.
const ID_MAX: usize = 128;

/// The header that says everything in one line.
const HEADER: &str = "flotilla-tx";

/// What the coordinator wants of this service, read from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Branch {
    /// The transaction.
    pub gid: String,
    /// The branch within it: a step's id, or `01`, `02`…
    pub id: String,
    /// What is to be done.
    pub op: Op,
    /// By which protocol.
    pub mode: Mode,
    /// How often the coordinator has called, this time included; from 1. 1 when the request does not say it.
    pub attempt: u32,
    /// Until when a promise has to be kept, in milliseconds since 1970.
    pub deadline_ms: Option<u64>,
}

/// Why a request is none of the coordinator's, or cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Neither the header nor the parameters are there.
    #[error(
        "the request names no transaction: it has no `Flotilla-Tx` field, no `gid` parameter and no `dtm-gid` field; only the coordinator \
         calls this path"
    )]
    NoTransaction,
    /// One part is not there.
    #[error("the request names a transaction, but not its `{0}`")]
    Missing(&'static str),
    /// A part cannot be read.
    #[error("`{value}` is no {what}: {expected}")]
    Value {
        /// What it should be.
        what: &'static str,
        /// What was found.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The header and the parameters contradict each other.
    #[error("the `Flotilla-Tx` field and the parameters of the request differ in `{0}`")]
    Differ(&'static str),
    /// The operation is none of the protocol.
    #[error("a transaction of mode `{mode}` has no `{op}`")]
    Op {
        /// The protocol.
        mode: Mode,
        /// The operation.
        op: Op,
    },
}

impl Branch {
    /// Reads a request of any framework that uses the types of `http`.
    ///
    /// # Errors
    /// [`Invalid`] says what is missing or wrong; 400 is the answer to give.
    pub fn from_request<B>(request: &Request<B>) -> Result<Self, Invalid> {
        Self::from_parts(request.uri().query(), request.headers())
    }

    /// Reads the query (without `?`) and the headers: `Flotilla-Tx`, or DTM's parameters, or DTM's gRPC metadata.
    ///
    /// # Errors
    /// [`Invalid`] says what is missing or wrong.
    pub fn from_parts(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Invalid> {
        let metadata =
            |name: &str| headers.get(name)?.to_str().ok().map(|text| Cow::Owned(text.to_owned()));
        if let Some(line) = headers.get(HEADER) {
            let expected = "`gid=…;branch=…;op=…;attempt=…;mode=…` in ASCII is";
            let line = line.to_str().map_err(|_binary| value("`Flotilla-Tx`", "…", expected))?;
            let fields = Fields::from_line(line);
            fields.agree(query)?;
            return fields.branch();
        }
        // The coordinator adds its own behind those of the path.
        let parameter = |name| parameters(query, name).last();
        let gid = parameter("gid");
        if gid.is_some() {
            let (branch, op) = (parameter("branch_id"), parameter("op"));
            let fields =
                Fields { gid, branch, op, mode: parameter("trans_type"), ..Fields::default() };
            return fields.branch();
        }
        let fields = Fields {
            gid: metadata("dtm-gid"),
            branch: metadata("dtm-branch_id"),
            op: metadata("dtm-op"),
            mode: metadata("dtm-trans_type"),
            ..Fields::default()
        };
        fields.branch()
    }

    /// A branch that was not read from a request: for tests, and for work that a participant does by itself.
    ///
    /// # Errors
    /// [`Invalid`] when an id is empty, longer than 128 bytes or has spaces, or the operation is none of the protocol.
    pub fn new(gid: &str, id: &str, mode: Mode, op: Op) -> Result<Self, Invalid> {
        if !mode.ops().contains(&op) {
            return Err(Invalid::Op { mode, op });
        }
        let (gid, id) = (checked("transaction id", gid)?, checked("branch id", id)?);
        Ok(Self { gid, id, op, mode, attempt: 1, deadline_ms: None })
    }

    /// The same branch with another operation.
    ///
    /// # Errors
    /// [`Invalid::Op`] when the protocol has no such operation.
    pub fn with_op(&self, op: Op) -> Result<Self, Invalid> {
        if !self.mode.ops().contains(&op) {
            return Err(Invalid::Op { mode: self.mode, op });
        }
        Ok(Self { op, ..self.clone() })
    }

    /// What the `Idempotency-Key` of its requests is.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}/{}/{}", self.gid, self.id, self.op)
    }

    /// The value of the `Flotilla-Tx` field.
    #[must_use]
    pub fn to_line(&self) -> String {
        let Self { gid, id, op, mode, attempt, deadline_ms } = self;
        let deadline = deadline_ms.map(|ms| format!(";deadline={ms}")).unwrap_or_default();
        format!("gid={gid};branch={id};op={op};attempt={attempt};mode={mode}{deadline}")
    }

    /// The operation that this one undoes, if it undoes one.
    #[must_use]
    pub fn origin(&self) -> Option<Op> {
        match (self.op, self.mode) {
            (Op::Compensate, _) => Some(Op::Action),
            (Op::Cancel, _) => Some(Op::Try),
            (Op::Rollback, Mode::TwoPhase) => Some(Op::Prepare),
            (Op::Rollback, Mode::ThreePhase) => Some(Op::PreCommit),
            (Op::Rollback, Mode::ThreePhaseClassic) => Some(Op::CanCommit),
            (Op::Rollback, _) => Some(Op::Action),
            _ => None,
        }
    }

    /// Whether a yes promises that the work can still be kept, so that a yes for what was undone would be a lie.
    #[must_use]
    pub fn is_vote(&self) -> bool {
        use Op::{CanCommit, CommitOnePhase, PreCommit, Prepare, Try};
        matches!(self.op, Prepare | CanCommit | PreCommit | Try | CommitOnePhase)
            || (self.mode == Mode::Xa && self.op == Op::Action)
    }

    /// The operation whose row stands for this one: a commit in one phase stands where a rollback looks for what it undoes.
    pub(crate) fn row_op(&self) -> Op {
        if self.op == Op::CommitOnePhase { Op::Prepare } else { self.op }
    }

    /// The operation that undoes this vote.
    pub(crate) fn undo_of_vote(&self) -> Option<Op> {
        let undo = if self.op == Op::Try { Op::Cancel } else { Op::Rollback };
        self.is_vote().then_some(undo)
    }
}

/// What a request says, before it is believed.
#[derive(Debug, Default)]
struct Fields<'a> {
    gid: Option<Cow<'a, str>>,
    branch: Option<Cow<'a, str>>,
    op: Option<Cow<'a, str>>,
    mode: Option<Cow<'a, str>>,
    attempt: Option<Cow<'a, str>>,
    deadline: Option<Cow<'a, str>>,
}

impl<'a> Fields<'a> {
    fn from_line(line: &'a str) -> Self {
        let mut fields = Self::default();
        for part in line.split(';') {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let field = match name.trim() {
                "gid" => &mut fields.gid,
                "branch" => &mut fields.branch,
                "op" => &mut fields.op,
                "mode" => &mut fields.mode,
                "attempt" => &mut fields.attempt,
                "deadline" => &mut fields.deadline,
                // A coordinator may say more than this version understands.
                _ => continue,
            };
            *field = Some(Cow::Borrowed(value.trim()));
        }
        fields
    }

    /// Whether the parameters, as far as they are there, say the same. The path may have had parameters of these names before the
    /// coordinator added its own. The mode is left out: a parameter has the name that DTM knows, the header the exact one.
    fn agree(&self, query: Option<&str>) -> Result<(), Invalid> {
        let pairs = [
            ("gid", "gid", &self.gid),
            ("branch", "branch_id", &self.branch),
            ("op", "op", &self.op),
        ];
        let differs = pairs.into_iter().find(|(_, name, line)| {
            let mut values = parameters(query, name).peekable();
            values.peek().is_some() && !values.any(|value| Some(&value) == line.as_ref())
        });
        differs.map_or(Ok(()), |(name, ..)| Err(Invalid::Differ(name)))
    }

    fn branch(self) -> Result<Branch, Invalid> {
        let gid = self.gid.ok_or(Invalid::NoTransaction)?;
        let missing = Invalid::Missing;
        let id = self.branch.ok_or_else(|| missing("branch_id"))?;
        let op: Op = self.op.ok_or_else(|| missing("op"))?.parse()?;
        let mode: Mode = self.mode.ok_or_else(|| missing("trans_type"))?.parse()?;
        let mut branch = Branch::new(&gid, &id, mode, op)?;
        if let Some(attempt) = self.attempt {
            let wrong = |_| value("number of an attempt", &attempt, "a number from 1 is");
            branch.attempt = attempt.parse().map_err(wrong)?;
        }
        if let Some(deadline) = self.deadline {
            let expected = "milliseconds since 1970 are";
            let wrong = |_| value("deadline", &deadline, expected);
            branch.deadline_ms = Some(deadline.parse().map_err(wrong)?);
        }
        Ok(branch)
    }
}

/// Databases differ in how they compare spaces at the end, so an id has none anywhere.
fn checked(what: &'static str, id: &str) -> Result<String, Invalid> {
    let is_fine = (1..=ID_MAX).contains(&id.len())
        && id.chars().all(|c| !c.is_whitespace() && !c.is_control() && c != ';');
    let expected = "1 to 128 bytes without spaces, control characters and `;` are";
    is_fine.then(|| id.to_owned()).ok_or_else(|| value(what, id, expected))
}

/// The parameters of that name, decoded.
fn parameters<'a>(query: Option<&'a str>, name: &str) -> impl Iterator<Item = Cow<'a, str>> {
    let pairs = query.unwrap_or_default().split('&');
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.filter(move |(found, _)| *found == name).map(|(_, value)| decoded(value))
}

/// Undoes percent encoding and `+` for a space; what is no such encoding stays as it is.
pub(crate) fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
    let (bytes, mut out, mut at) = (text.as_bytes(), Vec::with_capacity(text.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let pair = (digit(bytes.get(at + 1)), digit(bytes.get(at + 2)));
        at += match (byte, pair) {
            (b'%', (Some(high), Some(low))) => {
                out.extend(u8::try_from(high * 16 + low));
                3
            }
            (b'+', _) => {
                out.push(b' ');
                1
            }
            _ => {
                out.push(*byte);
                1
            }
        };
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(any(feature = "http", feature = "postgres"))]
/// Percent encoding of all but the characters that never need it.
pub(crate) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
