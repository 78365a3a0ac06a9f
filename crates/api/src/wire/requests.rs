//! Finished requests on the wire, and what can be asked of them.

use super::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One request that the data plane has finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FinishedRequest {
    /// When its head had come.
    pub at: Time,
    /// Method.
    pub method: String,
    /// Host it was for, as the client wrote it.
    pub host: String,
    /// Path and query as sent; the values of secret parameters are replaced by `REDACTED`.
    pub path: String,
    /// Status of the answer; `null` when the client had gone before there was one.
    pub status: Option<u16>,
    /// From the request's head to the end of the answer, with microseconds as decimals.
    pub duration_ms: f64,
    /// From the request's head to the head of the answer; `null` when there was none.
    pub first_byte_ms: Option<f64>,
    /// Bytes of the request's body.
    pub received_bytes: u64,
    /// Bytes of the answer's body.
    pub sent_bytes: u64,
    /// Address and port of the client.
    pub client: String,
    /// Version of HTTP that the client spoke: `1.0`, `1.1`, `2`.
    pub http: String,
    /// It came over TLS.
    pub tls: bool,
    /// The service that asked; `null` when it came through the gateway.
    pub caller: Option<String>,
    /// Host and path of the gateway's route; `null` when none fits or a service asked.
    pub route: Option<String>,
    /// The service it went to.
    pub service: Option<String>,
    /// The instance that answered or was tried last.
    pub instance: Option<String>,
    /// How often it was sent again.
    pub retries: u32,
    /// Trace id.
    pub trace: Option<String>,
    /// `User-Agent` as sent.
    pub user_agent: Option<String>,
    /// `Referer` as sent, without secrets.
    pub referer: Option<String>,
    /// Why Flotilla answered itself, such as `no_route`; `null` when an instance did.
    pub refusal: Option<String>,
    /// What broke it off, such as `client_gone`.
    pub error: Option<String>,
}

/// Finished requests in the order they ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// The requests.
    pub requests: Vec<FinishedRequest>,
    /// How many more there were that could not be taken in time.
    pub dropped: u64,
}

/// What is asked of the finished requests. Empty parts let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestQuery {
    /// Only those to these services.
    pub services: Vec<String>,
    /// Only these: `404`, `5xx`, `500-504`.
    pub statuses: Vec<String>,
    /// Only paths that begin so.
    pub path: Option<String>,
    /// Only those that took at least so long: `100ms`.
    pub slower: Option<String>,
    /// Only the newest so many of those that are kept.
    pub tail: Option<u64>,
}

fn milliseconds(duration: Duration) -> f64 {
    // Decimals below the microsecond are noise.
    #[expect(clippy::cast_precision_loss, reason = "2^52 µs are 142 years")]
    let us = duration.as_micros() as f64;
    us / 1_000.0
}

impl From<&proxy::record::Record> for FinishedRequest {
    fn from(record: &proxy::record::Record) -> Self {
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let referer = record.referer.as_deref();
        Self {
            at: Time(record.at),
            method: record.method.to_string(),
            host: record.host.to_string(),
            path: record.shown_path(),
            status: (record.status != 0).then_some(record.status),
            duration_ms: milliseconds(record.duration),
            first_byte_ms: record.first_byte.map(milliseconds),
            received_bytes: record.bytes_in,
            sent_bytes: record.bytes_out,
            client: record.client.to_string(),
            http: record.protocol.version().to_owned(),
            tls: record.is_tls,
            caller: record.caller.as_ref().map(ToString::to_string),
            route: record.route.as_deref().map(str::to_owned),
            service: record.service.as_ref().map(ToString::to_string),
            instance: record.instance.as_ref().map(ToString::to_string),
            retries: record.retries,
            trace: text(&record.trace),
            user_agent: text(&record.user_agent),
            referer: referer.map(|url| proxy::record::redact_url(url).into_owned()),
            refusal: record.refusal.map(str::to_owned),
            error: record.error.map(str::to_owned),
        }
    }
}
