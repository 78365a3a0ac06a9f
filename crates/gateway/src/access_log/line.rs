//! One request as a line of JSON: Elastic Common Schema 8, nested, times in UTC, durations in nanoseconds.
//!
//! Everything that comes from outside is a JSON string, so nothing in it can begin another line or field.

use base::Timestamp;
use proxy::record::{Record, redact, redact_url};
use runtime::Clock;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

/// The schema's version.
const ECS: &str = "8.11.0";

/// `event.dataset` of every line.
const DATASET: &str = "flotilla.access";

/// Appends the line of a request.
pub(super) fn write(record: &Record, out: &mut Vec<u8>) {
    append(&request(record), out);
}

/// Appends a line that says how many are missing.
pub(super) fn missing(count: u64, out: &mut Vec<u8>) {
    append(
        &json!({
            "@timestamp": timestamp(Clock::wall()),
            "ecs": { "version": ECS },
            "event": { "dataset": DATASET, "kind": "pipeline_error", "reason": "dropped" },
            "flotilla": { "missing": count },
            "message": format!("{count} lines are missing here"),
        }),
        out,
    );
}

fn append(value: &Value, out: &mut Vec<u8>) {
    let start = out.len();
    // A value of ours has nothing in it that JSON could not say.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        return;
    }
    out.push(b'\n');
}

fn request(record: &Record) -> Value {
    let mut url = Map::new();
    put(&mut url, "scheme", Some(if record.is_tls { "https" } else { "http" }));
    put(&mut url, "domain", Some(&*record.host).filter(|host| !host.is_empty()));
    put(&mut url, "path", Some(&*record.path));
    put(&mut url, "query", record.query.as_deref().map(redact));
    let mut http = json!({
        "version": record.protocol.version(),
        "request": { "method": &*record.method, "body": { "bytes": record.bytes_in } },
        "response": { "body": { "bytes": record.bytes_out } },
    });
    if let Some(referer) = record.referer.as_deref() {
        http["request"]["referrer"] = redact_url(referer).into();
    }
    if record.status != 0 {
        http["response"]["status_code"] = record.status.into();
    }
    let mut value = json!({
        "@timestamp": timestamp(record.at),
        "ecs": { "version": ECS },
        "event": {
            "dataset": DATASET,
            "kind": "event",
            "category": ["web"],
            "type": ["access"],
            "outcome": outcome(record),
            "duration": nanos(record.duration),
        },
        "http": http,
        "url": url,
        "client": { "ip": record.client.ip().to_canonical().to_string(), "port": record.client.port() },
    });
    if let Some(agent) = record.user_agent.as_deref() {
        value["user_agent"] = json!({ "original": agent });
    }
    if let Some(trace) = record.trace.as_deref() {
        value["trace"] = json!({ "id": trace });
    }
    if let Some(service) = &record.service {
        value["service"] = json!({ "name": service.as_str() });
        if let Some(instance) = &record.instance {
            value["service"]["node"] = json!({ "name": instance.to_string() });
        }
    }
    let own = own(record);
    if !own.is_empty() {
        value["flotilla"] = own.into();
    }
    value
}

/// What the schema has no field for.
fn own(record: &Record) -> Map<String, Value> {
    let mut own = Map::new();
    put(&mut own, "route", record.route.as_deref());
    put(&mut own, "refusal", record.refusal);
    put(&mut own, "error", record.error);
    if let Some(first_byte) = record.first_byte {
        own.insert("first_byte".to_owned(), nanos(first_byte).into());
    }
    if record.retries > 0 {
        own.insert("retries".to_owned(), record.retries.into());
    }
    own
}

fn put<'a>(
    map: &mut Map<String, Value>,
    key: &str,
    value: Option<impl Into<std::borrow::Cow<'a, str>>>,
) {
    if let Some(value) = value {
        map.insert(key.to_owned(), value.into().into_owned().into());
    }
}

fn outcome(record: &Record) -> &'static str {
    match record.status {
        0 => "unknown",
        1..500 if record.error.is_none() => "success",
        _ => "failure",
    }
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0 / 1_000_000).unwrap_or(0);
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
    let (hour, minute, second) = time.to_hms();
    let milli = at.millis() % 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}
