//! What DTM asks for, in the coordinator's words.

use super::{
    asked::{Asked, Kind, Options, Protocol, Step},
    call,
    fault::Fault,
    order,
};
use crate::query;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::{HeaderName, HeaderValue, header};
use logic::tx::{Op, Retry, Then, target};
use proto::{dtm::workflow::WorkflowData, prost::Message as _};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fmt::Write as _, time::Duration};
use transactions::{Call, Dialect, Payload, Spec, StepSpec, Target};

/// How long a transaction may stay open, in seconds, unless its client says otherwise; sagas have no such end.
const TIMEOUT_S: u64 = 35;
/// How long a participant may take, in seconds, unless the client says otherwise.
const REQUEST_TIMEOUT_S: u64 = 3;
/// The first pause before something is tried again, in seconds, unless the client says otherwise.
const RETRY_INTERVAL_S: u64 = 10;
/// The longest pause, in milliseconds. DTM doubles without end, so that long outages needed an operator.
const PAUSE_MAX_MS: u64 = 60_000;
/// The first pause of a client that limits the number of tries, in milliseconds: it expects them at once.
const LIMITED_PAUSE_MS: u64 = 200;
/// Tries of one operation after which an operator is asked.
const ATTEMPTS_MAX: u32 = 20;
/// Before the name of a topic, where a message has a URL otherwise.
pub(super) const TOPIC: &str = "topic://";

/// A delivery of a message: the branch's name, its URL, and the payload.
pub(super) type Delivery = (String, String, Vec<u8>);

/// What `custom_data` has for sagas and messages.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Custom {
    concurrent: Option<bool>,
    orders: Option<BTreeMap<String, Option<Vec<usize>>>>,
    #[serde(alias = "Delay")]
    delay: Option<i64>,
}

/// What `custom_data` has for workflows.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct Resumed {
    name: Option<String>,
    data: Option<Value>,
}

impl Asked {
    /// The whole transaction; `deliveries` are those of a message.
    pub(super) fn spec(&self, deliveries: Vec<Delivery>) -> Result<Spec, Fault> {
        let mut spec = self.base()?;
        match self.kind {
            Kind::Saga => self.saga(&mut spec)?,
            Kind::Msg => self.message(&mut spec, deliveries)?,
            Kind::Workflow => self.workflow(&mut spec)?,
            // Their branches come later, each with its own URLs.
            Kind::Tcc | Kind::Xa => {}
        }
        Ok(spec)
    }

    fn base(&self) -> Result<Spec, Fault> {
        let dialect = match (self.kind, self.protocol) {
            (Kind::Workflow, _) => Dialect::DtmWorkflow,
            (_, Protocol::JsonRpc) => Dialect::DtmJsonRpc,
            (_, Protocol::Http | Protocol::Grpc) => Dialect::Dtm,
        };
        Ok(Spec {
            mode: self.kind.mode(),
            name: None,
            steps: Vec::new(),
            input: Value::Null,
            labels: BTreeMap::new(),
            headers: headers(&self.options)?,
            timeout_ms: self.timeout_ms(),
            retry: Some(self.retry()),
            durable_steps: false,
            concurrent: self.kind == Kind::Msg && self.options.concurrent,
            query: None,
            delay_ms: None,
            dialect,
            extra: self.extra(),
            traceparent: self.traceparent.clone(),
            caller: None,
        })
    }

    fn timeout_ms(&self) -> Option<u64> {
        let said = self.options.timeout_to_fail;
        let seconds = match self.kind {
            Kind::Saga => (said > 0).then_some(said),
            // A workflow is not given up: its client is woken up again.
            Kind::Workflow => Some(self.interval_s()),
            Kind::Tcc | Kind::Xa | Kind::Msg => Some(if said > 0 { said } else { TIMEOUT_S }),
        };
        seconds.map(|seconds| seconds.saturating_mul(1_000))
    }

    fn interval_s(&self) -> u64 {
        let Options { retry_interval, timeout_to_fail, .. } = self.options;
        match (retry_interval, timeout_to_fail) {
            (0, 0) => RETRY_INTERVAL_S,
            (0, timeout) => timeout.min(RETRY_INTERVAL_S),
            (said, _) => said,
        }
    }

    fn retry(&self) -> Retry {
        let limit = self.options.retry_limit;
        let is_limited = self.kind == Kind::Saga && limit > 0;
        let base_ms = if is_limited && self.options.retry_interval == 0 {
            LIMITED_PAUSE_MS
        } else {
            self.interval_s().saturating_mul(1_000)
        };
        Retry {
            base_ms,
            max_ms: PAUSE_MAX_MS.max(base_ms),
            attempts: Some(if is_limited { limit.saturating_add(1) } else { ATTEMPTS_MAX }),
            then: if is_limited { Then::Abort } else { Then::Attention },
        }
    }

    /// How long one call may take, in milliseconds.
    fn call_ms(&self) -> u64 {
        let said = self.options.request_timeout;
        (if said > 0 { said } else { REQUEST_TIMEOUT_S }).saturating_mul(1_000)
    }

    fn saga(&self, spec: &mut Spec) -> Result<(), Fault> {
        let custom = self.custom()?;
        spec.concurrent = custom.concurrent.unwrap_or_default();
        let orders =
            if spec.concurrent { custom.orders.unwrap_or_default() } else { BTreeMap::new() };
        for (position, before) in order::sorted(self.steps.len(), orders)? {
            let Some(step) = self.steps.get(position) else { continue };
            let after = before.into_iter().map(number).collect();
            let calls = [(Op::Action, &step.action), (Op::Compensate, &step.compensate)];
            let id = number(position);
            spec.steps.push(StepSpec { after, ..self.step(id, &calls, step.payload.clone())? });
        }
        Ok(())
    }

    fn message(&self, spec: &mut Spec, deliveries: Vec<Delivery>) -> Result<(), Fault> {
        for (id, url, payload) in deliveries {
            spec.steps.push(self.step(id, &[(Op::Action, &url)], payload)?);
        }
        spec.query = self.call(&self.query_prepared, "GET")?;
        spec.delay_ms = self.delay()?.and_then(|delay| u64::try_from(delay.as_millis()).ok());
        Ok(())
    }

    /// How long the deliveries of a message wait.
    pub(super) fn delay(&self) -> Result<Option<Duration>, Fault> {
        if self.kind != Kind::Msg {
            return Ok(None);
        }
        let delay_s = self.custom()?.delay.and_then(|delay| u64::try_from(delay).ok());
        Ok(delay_s.filter(|delay| *delay > 0).map(Duration::from_secs))
    }

    fn workflow(&self, spec: &mut Spec) -> Result<(), Fault> {
        let custom = if self.custom_data.is_empty() { "{}" } else { &self.custom_data };
        let resumed: Resumed = serde_json::from_str(custom).map_err(|e| unreadable(&e))?;
        let data = data(resumed.data)?;
        let data = match self.protocol {
            Protocol::Grpc => WorkflowData { data: data.into() }.encode_to_vec(),
            Protocol::Http | Protocol::JsonRpc => data,
        };
        spec.input = Value::String(BASE64.encode(data));
        let name = query::escape(&resumed.name.unwrap_or_default());
        spec.headers.insert(call::WORKFLOW_HEADER.to_owned(), name);
        spec.query = self.call(&self.query_prepared, "POST")?;
        Ok(())
    }

    fn custom(&self) -> Result<Custom, Fault> {
        match &*self.custom_data {
            "" => Ok(Custom::default()),
            // A client without options may say `null`.
            text => serde_json::from_str::<Option<Custom>>(text)
                .map(Option::unwrap_or_default)
                .map_err(|e| unreadable(&e)),
        }
    }

    /// A step with these calls; one without a URL is done without a call.
    pub(super) fn step(
        &self,
        id: String,
        calls: &[(Op, &String)],
        payload: Vec<u8>,
    ) -> Result<StepSpec, Fault> {
        let method = if payload.is_empty() && self.kind != Kind::Xa { "GET" } else { "POST" };
        let mut made = BTreeMap::new();
        for (op, url) in calls {
            if let Some(call) = self.call(url, method)? {
                made.insert(*op, call);
            }
        }
        Ok(StepSpec {
            id,
            calls: made,
            payload: Some(payload_of(payload)),
            timeout_ms: Some(self.call_ms()),
            tried_by_client: matches!(self.kind, Kind::Tcc | Kind::Xa),
            ..StepSpec::default()
        })
    }

    fn call(&self, url: &str, method: &str) -> Result<Option<Call>, Fault> {
        if url.is_empty() {
            return Ok(None);
        }
        let method = if self.protocol == Protocol::JsonRpc { "POST" } else { method };
        Ok(Some(Call { target: target_of(url, self.protocol)?, method: method.to_owned() }))
    }

    /// What is given back when somebody looks at it.
    fn extra(&self) -> Value {
        let mut extra = Map::new();
        if self.protocol != Protocol::Http {
            extra.insert("protocol".to_owned(), self.protocol.as_str().into());
        }
        if !self.custom_data.is_empty() {
            extra.insert("custom_data".to_owned(), self.custom_data.as_str().into());
        }
        let options = options(&self.options);
        if !options.is_empty() {
            extra.insert("options".to_owned(), Value::Object(options).to_string().into());
        }
        if extra.is_empty() { Value::Null } else { Value::Object(extra) }
    }
}

/// The name of a branch by its position.
pub(super) fn number(position: usize) -> String {
    format!("{:02}", position + 1)
}

/// Texts stay readable where they are kept.
pub(super) fn payload_of(bytes: Vec<u8>) -> Payload {
    String::from_utf8(bytes).map_or_else(|e| Payload::Bytes(e.into_bytes()), Payload::Text)
}

fn target_of(url: &str, protocol: Protocol) -> Result<Target, Fault> {
    let is_http = url.starts_with("http://") || url.starts_with("https://");
    let text = match protocol {
        _ if is_http || url.starts_with("grpc://") => fitting(url),
        Protocol::Grpc => format!("grpc://{}", fitting(url)),
        Protocol::Http | Protocol::JsonRpc => {
            return Err(Fault::other(format!(
                "`{url}` is no URL of a participant: it begins with http:// or https://"
            )));
        }
    };
    let call = target::parse(&text)
        .map_err(|e| Fault::other(format!("`{url}` is no URL of a participant: {e}")))?;
    Ok(match call.target {
        target::Target::Service { service, path } => {
            Target::Service { service: service.to_string(), path }
        }
        target::Target::Url(url) => Target::Url(url),
        target::Target::GrpcService { service, method } => {
            Target::GrpcService { service: service.to_string(), method }
        }
        target::Target::Grpc { authority, method } => Target::Grpc { authority, method },
    })
}

/// The URL with everything escaped that a request line cannot hold, and braces, which would be place holders elsewhere.
fn fitting(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for byte in url.trim().bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Headers that every call gets. What frames a request is not the client's to say.
fn headers(options: &Options) -> Result<BTreeMap<String, String>, Fault> {
    const FRAMING: [HeaderName; 6] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let mut out = BTreeMap::new();
    for (name, value) in &options.branch_headers {
        let read = HeaderName::from_bytes(name.as_bytes()).ok();
        let name = read.filter(|name| !FRAMING.contains(name)).ok_or_else(|| {
            Fault::other(format!("`{name}` cannot be a header of calls to participants"))
        })?;
        if HeaderValue::from_str(value).is_err() {
            return Err(Fault::other(format!("the value of header `{name}` cannot be sent")));
        }
        out.insert(name.as_str().to_owned(), value.clone());
    }
    Ok(out)
}

/// What of the options is not nothing.
fn options(options: &Options) -> Map<String, Value> {
    let numbers = [
        ("timeout_to_fail", options.timeout_to_fail),
        ("request_timeout", options.request_timeout),
        ("retry_interval", options.retry_interval),
        ("retry_limit", options.retry_limit.into()),
    ];
    let flags = [("wait_result", options.wait_result), ("concurrent", options.concurrent)];
    let mut out = Map::new();
    for (name, flag) in flags {
        if flag {
            out.insert(name.to_owned(), true.into());
        }
    }
    for (name, number) in numbers {
        if number > 0 {
            out.insert(name.to_owned(), number.into());
        }
    }
    if !options.branch_headers.is_empty() {
        out.insert("branch_headers".to_owned(), json!(options.branch_headers));
    }
    out
}

/// The data of a workflow: base 64, or a list of numbers from clients that do not know how bytes are written.
fn data(data: Option<Value>) -> Result<Vec<u8>, Fault> {
    let wrong = || Fault::other("`custom_data` of a workflow: `data` is not written in base 64");
    match data.unwrap_or_default() {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => BASE64.decode(text).map_err(|_broken| wrong()),
        Value::Array(bytes) => {
            let byte = |byte: Value| byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
            bytes.into_iter().map(byte).collect::<Option<_>>().ok_or_else(wrong)
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => Err(wrong()),
    }
}

fn unreadable(error: &serde_json::Error) -> Fault {
    Fault::other(format!("`custom_data` cannot be understood: {error}"))
}

impl Step {
    /// The topic that it is delivered to, if it is one.
    pub(super) fn topic(&self) -> Option<&str> {
        self.action.strip_prefix(TOPIC)
    }
}
