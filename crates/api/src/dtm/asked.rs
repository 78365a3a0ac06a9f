//! A transaction as clients of DTM send it, over whichever protocol.

use super::fault::Fault;
use crate::trace;
use logic::tx::Mode;
use proto::dtm::DtmRequest;
use serde::Deserialize;
use std::collections::BTreeMap;
use transactions::{Dialect, Gid};

/// What kind of transaction, in DTM's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Saga,
    Msg,
    Tcc,
    Xa,
    Workflow,
}

impl Kind {
    fn parse(text: &str) -> Result<Self, Fault> {
        let all = [Self::Saga, Self::Msg, Self::Tcc, Self::Xa, Self::Workflow];
        all.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            Fault::other(format!(
                "unknown trans_type `{text}`: there are saga, msg, tcc, xa and workflow"
            ))
        })
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Saga => "saga",
            Self::Msg => "msg",
            Self::Tcc => "tcc",
            Self::Xa => "xa",
            Self::Workflow => "workflow",
        }
    }

    pub(super) fn mode(self) -> Mode {
        match self {
            Self::Saga => Mode::Saga,
            Self::Msg | Self::Workflow => Mode::Message,
            Self::Tcc => Mode::Tcc,
            Self::Xa => Mode::TwoPhase,
        }
    }

    /// What a transaction is called; those that DTM does not know keep their own word.
    pub(super) fn word(mode: Mode, dialect: Dialect) -> &'static str {
        match (dialect, mode) {
            (Dialect::DtmWorkflow, _) => Self::Workflow.as_str(),
            (Dialect::Dtm | Dialect::DtmJsonRpc, Mode::TwoPhase) => Self::Xa.as_str(),
            (_, mode) => mode.as_str(),
        }
    }
}

/// How participants are called that have no `http://` before them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Protocol {
    #[default]
    Http,
    JsonRpc,
    Grpc,
}

impl Protocol {
    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "" | "http" => Ok(Self::Http),
            "json-rpc" => Ok(Self::JsonRpc),
            "grpc" => Ok(Self::Grpc),
            _ => Err(Fault::other(format!(
                "unknown protocol `{text}`: there are http, json-rpc and grpc"
            ))),
        }
    }

    /// As [`Self::as_str`] has written it.
    pub(super) fn kept(text: &str) -> Self {
        Self::parse(text).unwrap_or_default()
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::JsonRpc => "json-rpc",
            Self::Grpc => "grpc",
        }
    }
}

/// How it is driven. Times are in seconds; 0 says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) wait_result: bool,
    pub(super) timeout_to_fail: u64,
    pub(super) request_timeout: u64,
    pub(super) retry_interval: u64,
    pub(super) retry_limit: u32,
    pub(super) concurrent: bool,
    pub(super) branch_headers: BTreeMap<String, String>,
}

/// A step; an empty URL is a call that is not made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) action: String,
    pub(super) compensate: String,
    pub(super) payload: Vec<u8>,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) gid: Gid,
    pub(super) kind: Kind,
    pub(super) protocol: Protocol,
    pub(super) steps: Vec<Step>,
    pub(super) query_prepared: String,
    /// JSON, as it came.
    pub(super) custom_data: String,
    pub(super) options: Options,
    pub(super) rollback_reason: String,
    /// How a workflow ended.
    pub(super) ended: Ended,
    /// The trace of the request.
    pub(super) traceparent: Option<String>,
}

/// How a workflow ended, as its client says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) status: String,
    pub(super) rollback_reason: String,
    /// Base 64.
    pub(super) result: String,
}

/// The JSON of it. Clients send explicit nulls, and fields that nobody needs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Wire {
    gid: Option<String>,
    trans_type: Option<String>,
    steps: Option<Vec<BTreeMap<String, Option<String>>>>,
    payloads: Option<Vec<Option<String>>>,
    query_prepared: Option<String>,
    protocol: Option<String>,
    custom_data: Option<String>,
    wait_result: Option<bool>,
    timeout_to_fail: Option<i64>,
    request_timeout: Option<i64>,
    retry_interval: Option<i64>,
    retry_limit: Option<i64>,
    concurrent: Option<bool>,
    branch_headers: Option<BTreeMap<String, Option<String>>>,
    rollback_reason: Option<String>,
    req_extra: Option<BTreeMap<String, Option<String>>>,
}

impl Asked {
    /// Reads the JSON of a request.
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let wire = serde_json::from_slice(body)
            .map_err(|e| Fault::other(format!("the body is no transaction: {e}")))?;
        Self::of(wire)
    }

    /// Reads the parameters of a JSON-RPC call.
    pub(super) fn read_value(params: serde_json::Value) -> Result<Self, Fault> {
        let wire = serde_json::from_value(params)
            .map_err(|e| Fault::other(format!("the parameters are no transaction: {e}")))?;
        Self::of(wire)
    }

    fn of(wire: Wire) -> Result<Self, Fault> {
        let options = Options {
            wait_result: wire.wait_result.unwrap_or_default(),
            timeout_to_fail: seconds(wire.timeout_to_fail),
            request_timeout: seconds(wire.request_timeout),
            retry_interval: seconds(wire.retry_interval),
            retry_limit: count(wire.retry_limit.unwrap_or_default()),
            concurrent: wire.concurrent.unwrap_or_default(),
            branch_headers: texts(wire.branch_headers.unwrap_or_default()),
        };
        let payloads = wire.payloads.unwrap_or_default().into_iter();
        let payloads = payloads.map(|payload| payload.unwrap_or_default().into_bytes()).collect();
        Ok(Self {
            gid: gid(&wire.gid.unwrap_or_default())?,
            kind: Kind::parse(&wire.trans_type.unwrap_or_default())?,
            protocol: Protocol::parse(&wire.protocol.unwrap_or_default())?,
            steps: steps(wire.steps.unwrap_or_default(), payloads),
            query_prepared: wire.query_prepared.unwrap_or_default(),
            custom_data: wire.custom_data.unwrap_or_default(),
            options,
            rollback_reason: wire.rollback_reason.unwrap_or_default(),
            ended: ended(texts(wire.req_extra.unwrap_or_default())),
            traceparent: None,
        })
    }

    /// Reads a gRPC request.
    pub(super) fn called(request: DtmRequest) -> Result<Self, Fault> {
        let options = request.trans_options.unwrap_or_default();
        let options = Options {
            wait_result: options.wait_result,
            timeout_to_fail: seconds(Some(options.timeout_to_fail)),
            request_timeout: seconds(Some(options.request_timeout)),
            retry_interval: seconds(Some(options.retry_interval)),
            retry_limit: count(options.retry_limit),
            concurrent: false,
            branch_headers: options.branch_headers.into_iter().collect(),
        };
        let named = match &*request.steps {
            "" => Some(Vec::new()),
            // A client without steps may say `null`.
            steps => serde_json::from_str::<Option<_>>(steps)
                .map_err(|e| Fault::other(format!("`Steps` is no list of steps: {e}")))?,
        };
        let payloads = request.bin_payloads.iter().map(|payload| payload.to_vec()).collect();
        Ok(Self {
            gid: gid(&request.gid)?,
            kind: Kind::parse(&request.trans_type)?,
            protocol: Protocol::Grpc,
            steps: steps(named.unwrap_or_default(), payloads),
            query_prepared: request.query_prepared,
            custom_data: request.customed_data,
            options,
            rollback_reason: request.rollback_reason,
            ended: ended(request.req_extra.into_iter().collect()),
            traceparent: None,
        })
    }
}

/// A transaction's name, without what DTM takes away from names.
pub(super) fn gid(text: &str) -> Result<Gid, Fault> {
    if text.is_empty() {
        return Err(Fault::other("no gid is given"));
    }
    Gid::new(text.replace(['\n', '\r', ';'], "")).map_err(|e| Fault::other(e.to_string()))
}

fn seconds(number: Option<i64>) -> u64 {
    u64::try_from(number.unwrap_or_default()).unwrap_or_default()
}

fn count(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn texts(map: BTreeMap<String, Option<String>>) -> BTreeMap<String, String> {
    map.into_iter().filter_map(|(name, text)| Some((name, text?))).collect()
}

fn ended(mut said: BTreeMap<String, String>) -> Ended {
    let mut take = |name| said.remove(name).unwrap_or_default();
    Ended {
        status: take("status"),
        rollback_reason: take("rollback_reason"),
        result: take("result"),
    }
}

/// Old clients have the payload within the step.
fn steps(named: Vec<BTreeMap<String, Option<String>>>, payloads: Vec<Vec<u8>>) -> Vec<Step> {
    let mut payloads = payloads.into_iter();
    let step = |named| {
        let mut named = texts(named);
        let mut take = |name| named.remove(name).unwrap_or_default();
        let (action, compensate, data) = (take("action"), take("compensate"), take("data"));
        let payload = payloads.next().unwrap_or_else(|| data.into_bytes());
        Step { action, compensate, payload }
    };
    named.into_iter().map(step).collect()
}

impl Asked {
    /// The same, as a part of the trace that a request belongs to.
    pub(super) fn traced(mut self, headers: &http::HeaderMap) -> Self {
        let said = headers.get(trace::TRACEPARENT).and_then(|value| value.to_str().ok());
        // As it came: the same request again must ask for the same.
        self.traceparent = said.filter(|said| trace::step(said).is_some()).map(str::to_owned);
        self
    }
}
