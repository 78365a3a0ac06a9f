//! The log store over HTTP: pages, event streams, lines of JSON.

use crate::{
    answer::{Answer, Problem, bytes_of, json},
    context::Context,
    params::Params,
    sse::{self, Format, NDJSON, Source},
    wire::{self, Time},
};
use base::{InstanceId, ServiceName, Timestamp, units};
use bytes::Bytes;
use http::StatusCode;
use observe::{Filter, Follow, Grep, LINES_MAX, Level, Page, Query, Record};
use ports::logs::Stream;
use runtime::Clock;

/// Most lines in one message of a stream: small, so that the first ones are on the screen at once.
const BATCH_LINES_MAX: usize = 500;

pub(crate) async fn logs(context: Context) -> Result<Answer, Problem> {
    let mut query = question(&context.params)?;
    let store = context.backend.logs();
    let is_followed = context.params.flag("follow") || context.wants_events();
    if !is_followed {
        let page = store.query(&query).await;
        if context.wants_lines() {
            return Ok(bytes_of(StatusCode::OK, NDJSON, json_lines(&page.records)));
        }
        return Ok(json(StatusCode::OK, &batch(&store, page)));
    }
    if query.filter.until.is_some() {
        return Err(Problem::bad_request("`until` and a stream that goes on exclude each other"));
    }
    if let Some(last) = context.last_event_id()? {
        query.after = last;
        query.tail = None;
    }
    query.limit = BATCH_LINES_MAX;
    let format = if context.wants_lines() { Format::Ndjson } else { Format::Sse };
    let source = Lines { follow: store.follow(query), store, format };
    context.stream(source, format)
}

struct Lines {
    follow: Follow,
    store: observe::Handle,
    format: Format,
}

impl Source for Lines {
    async fn next(&mut self) -> Option<Bytes> {
        let page = self.follow.next().await?;
        Some(match self.format {
            Format::Ndjson => json_lines(&page.records).into(),
            Format::Sse => sse::message(page.next, "logs", &batch(&self.store, page)),
        })
    }
}

fn batch(store: &observe::Handle, page: Page) -> wire::Logs {
    wire::Logs {
        notices: store.notices(&page).iter().map(Into::into).collect(),
        next: page.next,
        more: page.more,
        lines: page.records.into_iter().map(line).collect(),
    }
}

fn json_lines(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        // Lines have nothing in them that JSON could not say.
        if serde_json::to_writer(&mut out, &line(record.clone())).is_ok() {
            out.push(b'\n');
        }
    }
    out
}

fn line(record: Record) -> wire::LogLine {
    wire::LogLine {
        seq: record.seq,
        at: Time(record.at),
        service: record.instance.service.to_string(),
        instance: record.instance.to_string(),
        stream: match record.stream {
            Stream::Out => wire::Stream::Out,
            Stream::Err => wire::Stream::Err,
            Stream::Node => wire::Stream::Node,
        },
        level: Level::of(&record.text).map(|level| match level {
            Level::Debug => wire::Level::Debug,
            Level::Info => wire::Level::Info,
            Level::Warn => wire::Level::Warn,
            Level::Error => wire::Level::Error,
        }),
        text: record.text,
        cut: record.is_cut,
    }
}

/// Reads the query parameters.
fn question(params: &Params) -> Result<Query, Problem> {
    let limit = params.number("limit").unwrap_or(1_000);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if !(1..=LINES_MAX).contains(&limit) {
        return Err(Problem::bad_request(format!("`limit` is from 1 to {LINES_MAX}")));
    }
    let services = params.all("service").map(|name| ServiceName::new(name).map_err(bad_name(name)));
    let instances =
        params.all("instance").map(|name| InstanceId::parse(name).map_err(bad_name(name)));
    let now = Clock::wall();
    let filter = Filter {
        services: services.collect::<Result<_, _>>()?,
        instances: instances.collect::<Result<_, _>>()?,
        streams: params.all("stream").filter_map(stream).collect(),
        since: params.text("since").map(|text| time(text, now)).transpose()?,
        until: params.text("until").map(|text| time(text, now)).transpose()?,
        grep: params.text("grep").map(|text| Grep::new(text, params.flag("ignore_case"))),
        level: params.text("level").and_then(level),
    };
    let after = params.number("after").unwrap_or(0);
    Ok(Query { filter, after, tail: params.number("tail"), limit })
}

fn bad_name(name: &str) -> impl FnOnce(base::InvalidName) -> Problem {
    move |why| Problem::bad_request(format!("`{name}`: {why}"))
}

fn stream(name: &str) -> Option<Stream> {
    Some(match wire::Stream::parse(name)? {
        wire::Stream::Out => Stream::Out,
        wire::Stream::Err => Stream::Err,
        wire::Stream::Node => Stream::Node,
    })
}

fn level(name: &str) -> Option<Level> {
    Some(match wire::Level::parse(name)? {
        wire::Level::Debug => Level::Debug,
        wire::Level::Info => Level::Info,
        wire::Level::Warn => Level::Warn,
        wire::Level::Error => Level::Error,
    })
}

/// A time, or how long ago.
fn time(text: &str, now: Timestamp) -> Result<Timestamp, Problem> {
    if let Ok(ago) = units::parse_duration(text) {
        let ago = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
        return Ok(Timestamp(now.0.saturating_sub(ago)));
    }
    Time::parse(text)
        .map(|time| time.0)
        .map_err(|e| Problem::bad_request(e.to_string()).help("or say how long ago: 30s, 10m, 2h"))
}
