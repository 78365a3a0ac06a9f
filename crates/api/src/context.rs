//! What a handler gets to see of a request.

use crate::{
    answer::{Answer, JSON, Problem},
    backend::Backend,
    params::{Params, did_you_mean},
    sse::{self, Format, NDJSON, SSE, Source},
};
use base::{InstanceId, ServiceName};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use runtime::Stop;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// A request that belongs to an endpoint of the API that `B` is behind: the admin API, unless said otherwise.
pub(crate) struct Context<B: ?Sized = dyn Backend> {
    pub(crate) backend: Arc<B>,
    /// Values of the free segments of the path.
    pub(crate) values: Vec<String>,
    pub(crate) params: Params,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Ends streams when the server ends.
    pub(crate) stop: Stop,
    /// How many streams there may be.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) document: Bytes,
}

impl Context {
    /// The service that the path names. It may not exist.
    pub(crate) fn service(&self) -> Result<ServiceName, Problem> {
        let text = self.values.first().map_or("", String::as_str);
        ServiceName::new(text).map_err(|_invalid| self.no_service(text))
    }

    /// The instance that the path names. It may not exist.
    pub(crate) fn instance(&self) -> Result<InstanceId, Problem> {
        let service = self.service()?;
        let text = self.values.get(1).map_or("", String::as_str);
        match text.parse() {
            Ok(number) if number > 0 => Ok(InstanceId { service, number }),
            _ => Err(Problem::not_found(format!("there is no instance `{service}/{text}`"), None)),
        }
    }

    pub(crate) fn no_service(&self, name: &str) -> Problem {
        let status = self.backend.status();
        let names = status.services.iter().map(|service| service.name.as_str());
        Problem::not_found(format!("there is no service `{name}`"), did_you_mean(name, names))
    }
}

impl<B: ?Sized> Context<B> {
    /// The value of a free segment of the path.
    pub(crate) fn value(&self, at: usize) -> &str {
        self.values.get(at).map_or("", String::as_str)
    }

    /// The JSON body.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let is_json = self.headers.get(header::CONTENT_TYPE).is_some_and(|kind| {
            let kind = kind.to_str().unwrap_or_default();
            kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON)
        });
        if !is_json {
            let message = "the body must be JSON, with `Content-Type: application/json`";
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                message,
            ));
        }
        serde_json::from_slice(&self.body)
            .map_err(|e| Problem::bad_request(format!("the body cannot be read: {e}")))
    }

    pub(crate) fn accepts(&self, kind: &str) -> bool {
        self.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(
            |value| {
                value.split(',').any(|one| {
                    one.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(kind)
                })
            },
        )
    }

    pub(crate) fn wants_events(&self) -> bool {
        self.accepts(SSE)
    }

    /// Refuses what does not ask for an event stream, where there is nothing else.
    pub(crate) fn must_want_events(&self) -> Result<(), Problem> {
        if self.wants_events() {
            return Ok(());
        }
        let message = format!("this is an event stream: send `Accept: {SSE}`");
        Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", message))
    }

    pub(crate) fn wants_lines(&self) -> bool {
        self.accepts(NDJSON)
    }

    /// The number after which a broken stream is resumed.
    pub(crate) fn last_event_id(&self) -> Result<Option<u64>, Problem> {
        let Some(value) = self.headers.get("last-event-id") else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        let number = text.parse();
        number.map(Some).map_err(|_e| Problem::bad_request("Last-Event-ID is not a number"))
    }

    /// Answers with a stream, when there are not too many already.
    pub(crate) fn stream(self, source: impl Source, format: Format) -> Result<Answer, Problem> {
        let permit = self.streams.clone().try_acquire_owned().map_err(|_e| {
            let message = "too many streams are open";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", message).help(
                "close another stream first, such as a dashboard or a `flotilla logs --follow`",
            )
        })?;
        Ok(sse::answer(source, format, self.stop, permit))
    }
}
