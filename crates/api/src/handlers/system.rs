//! The node itself, and who uses what.

use crate::{
    answer::{Answer, JSON, Problem, bytes_of, json},
    context::Context,
    wire::{self, Time},
};
use http::StatusCode;
use runtime::Clock;
use std::{collections::HashMap, future::ready};

pub(crate) async fn health(_: Context) -> Result<Answer, Problem> {
    let health =
        wire::Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    ready(Ok(json(StatusCode::OK, &health))).await
}

pub(crate) async fn system(context: Context) -> Result<Answer, Problem> {
    ready(Ok(json(StatusCode::OK, &context.backend.system()))).await
}

pub(crate) async fn traffic(context: Context) -> Result<Answer, Problem> {
    ready(Ok(json(StatusCode::OK, &context.backend.traffic()))).await
}

pub(crate) async fn openapi(context: Context) -> Result<Answer, Problem> {
    ready(Ok(bytes_of(StatusCode::OK, JSON, context.document))).await
}

pub(crate) async fn top(context: Context) -> Result<Answer, Problem> {
    let now = Clock::wall();
    let status = wire::Status::from(&*context.backend.status());
    let traffic = context.backend.traffic();
    let counts: HashMap<String, wire::TrafficCounts> = traffic
        .services
        .into_iter()
        .flat_map(|service| service.instances)
        .map(|instance| (instance.instance, instance.counts))
        .collect();
    let instances = status.services.into_iter().flat_map(|service| service.instances);
    let rows = instances.map(|instance| wire::TopRow {
        traffic: counts.get(&instance.id).copied(),
        uptime_ms: instance
            .started_at
            .filter(|_| instance.pid.is_some())
            .map(|at| now.millis().saturating_sub(at.0.millis())),
        instance: instance.id,
        service: instance.service,
        state: instance.state,
        pid: instance.pid,
        cpu_cores: instance.usage.map(|usage| usage.cpu_cores),
        memory_bytes: instance.usage.map(|usage| usage.memory_bytes),
        processes: instance.usage.map(|usage| usage.processes),
        restarts: instance.restarts,
    });
    let top =
        wire::Top { at: Time(now), node: context.backend.system().node, instances: rows.collect() };
    ready(Ok(json(StatusCode::OK, &top))).await
}
