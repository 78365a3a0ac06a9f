//! What the data plane has just done: the requests that failed or were slow, and all of them live.

use crate::{
    answer::{Answer, Problem, bytes_of, json},
    context::Context,
    params::Params,
    sse::{self, Format, NDJSON, Source},
    wire,
};
use base::{ServiceName, units};
use bytes::Bytes;
use http::StatusCode;
use proxy::record::{Filter, Record, Subscription, parse_status};
use std::{collections::VecDeque, sync::Arc};

/// Most requests in one message of a stream: a quarter of a MiB, so that the first ones are on the screen at
/// once.
const BATCH_MAX: usize = 500;

pub(crate) async fn requests(context: Context) -> Result<Answer, Problem> {
    let filter = filter(&context.params)?;
    let all = context.backend.requests();
    let is_followed = context.params.flag("follow") || context.wants_events();
    // Subscribed before the kept ones are read: nothing falls between, at worst one comes twice.
    let subscription = is_followed.then(|| all.subscribe(filter.clone()));
    let mut kept = all.kept(&filter);
    let tail = context.params.number("tail").unwrap_or(if is_followed { 0 } else { u64::MAX });
    let surplus = kept.len().saturating_sub(usize::try_from(tail).unwrap_or(usize::MAX));
    kept.drain(..surplus);
    let Some(subscription) = subscription else {
        if context.wants_lines() {
            return Ok(bytes_of(StatusCode::OK, NDJSON, json_lines(&kept)));
        }
        return std::future::ready(Ok(json(StatusCode::OK, &batch(&kept, 0)))).await;
    };
    let format = if context.wants_lines() { Format::Ndjson } else { Format::Sse };
    let source = Live { subscription, pending: kept.into(), dropped: 0, sent: 0, format };
    context.stream(source, format)
}

struct Live {
    subscription: Subscription,
    pending: VecDeque<Arc<Record>>,
    dropped: u64,
    /// How many were sent.
    sent: u64,
    format: Format,
}

impl Source for Live {
    async fn next(&mut self) -> Option<Bytes> {
        while self.pending.is_empty() && self.dropped == 0 {
            let batch = self.subscription.next().await;
            self.dropped = batch.dropped;
            self.pending = batch.records.into();
        }
        let count = self.pending.len().min(BATCH_MAX);
        let records: Vec<Arc<Record>> = self.pending.drain(..count).collect();
        let dropped = std::mem::take(&mut self.dropped);
        self.sent += u64::try_from(count).unwrap_or(0);
        Some(match self.format {
            Format::Ndjson => json_lines(&records).into(),
            Format::Sse => sse::message(self.sent, "requests", &batch(&records, dropped)),
        })
    }
}

fn batch(records: &[Arc<Record>], dropped: u64) -> wire::Requests {
    let requests = records.iter().map(|record| wire::FinishedRequest::from(&**record)).collect();
    wire::Requests { requests, dropped }
}

fn json_lines(records: &[Arc<Record>]) -> Vec<u8> {
    let mut out = Vec::new();
    for record in records {
        if serde_json::to_writer(&mut out, &wire::FinishedRequest::from(&**record)).is_ok() {
            out.push(b'\n');
        }
    }
    out
}

fn filter(params: &Params) -> Result<Filter, Problem> {
    let service = |name| {
        ServiceName::new(name).map_err(|why| Problem::bad_request(format!("`{name}`: {why}")))
    };
    let slower = params.text("slower").map(|text| {
        units::parse_duration(text)
            .map_err(|e| Problem::bad_request(format!("`slower={text}`: {e}")).help("like 100ms"))
    });
    Ok(Filter {
        services: params.all("service").map(service).collect::<Result<_, _>>()?,
        statuses: params
            .all("status")
            .map(|text| parse_status(text).map_err(Problem::bad_request))
            .collect::<Result<_, _>>()?,
        path: params.text("path").unwrap_or_default().to_owned(),
        slower: slower.transpose()?.unwrap_or_default(),
        from_outside: false,
    })
}
