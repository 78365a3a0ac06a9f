//! The picture of the system, whole and in parts.

use crate::{
    answer::{Answer, Problem, json},
    backend::Backend,
    context::Context,
    sse::{self, Format, Source},
    wire,
};
use bytes::Bytes;
use http::StatusCode;
use std::{future::ready, sync::Arc, time::Duration};
use supervisor::status::ServiceStatus;
use tokio::time::Instant;

/// Shortest time between two pictures of a stream: a person sees no more than ten a second, and a start of a hundred
/// instances makes thousands of changes.
const PICTURE_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn status(context: Context) -> Result<Answer, Problem> {
    if context.wants_events() {
        let source = Pictures { backend: context.backend.clone(), sent: None };
        return context.stream(source, Format::Sse);
    }
    let status = wire::Status::from(&*context.backend.status());
    ready(Ok(json(StatusCode::OK, &status))).await
}

pub(crate) async fn services(context: Context) -> Result<Answer, Problem> {
    let wire::Status { services, .. } = (&*context.backend.status()).into();
    ready(Ok(json(StatusCode::OK, &wire::Services { services }))).await
}

pub(crate) async fn service(context: Context) -> Result<Answer, Problem> {
    let service = wire::Service::from(&*find(&context)?);
    ready(Ok(json(StatusCode::OK, &service))).await
}

pub(crate) async fn instances(context: Context) -> Result<Answer, Problem> {
    let wire::Service { instances, .. } = (&*find(&context)?).into();
    ready(Ok(json(StatusCode::OK, &wire::Instances { instances }))).await
}

pub(crate) async fn instance(context: Context) -> Result<Answer, Problem> {
    let service = find(&context)?;
    let id = context.instance()?;
    let instance = service.instances.iter().find(|instance| instance.id == id);
    let instance = instance.ok_or_else(|| {
        let numbers: Vec<String> =
            service.instances.iter().map(|instance| instance.id.to_string()).collect();
        let help = (!numbers.is_empty()).then(|| format!("there are {}", numbers.join(", ")));
        Problem::not_found(format!("there is no instance `{id}`"), help)
    })?;
    ready(Ok(json(StatusCode::OK, &wire::Instance::from(instance)))).await
}

fn find(context: &Context) -> Result<Arc<ServiceStatus>, Problem> {
    let name = context.service()?;
    let status = context.backend.status();
    let found = status.services.iter().find(|service| service.name == name);
    found.cloned().ok_or_else(|| context.no_service(name.as_str()))
}

struct Pictures {
    backend: Arc<dyn Backend>,
    /// Revision and time of the last one.
    sent: Option<(u64, Instant)>,
}

impl Source for Pictures {
    async fn next(&mut self) -> Option<Bytes> {
        let status = match self.sent {
            None => self.backend.status(),
            Some((revision, at)) => {
                self.backend.changed(revision).await;
                tokio::time::sleep_until(at + PICTURE_INTERVAL).await;
                // Whatever else has changed meanwhile is in this one.
                self.backend.status()
            }
        };
        self.sent = Some((status.revision, Instant::now()));
        Some(sse::message(status.revision, "status", &wire::Status::from(&*status)))
    }
}
