//! The native API: the building blocks with what Dapr lacks. Its endpoints are those of `routes/blocks.rs`, as one
//! service sees them.

mod events;
mod jobs;
mod table;
pub(crate) mod topics;

use super::{Caller, Shared, body};
use crate::{
    answer::{Answer, Problem, bytes_of, json},
    context::Context,
    handlers::{Reach, no_service},
    openapi,
    params::Params,
    routes::{self, Endpoint, blocks},
    wire,
};
use base::{InstanceId, ServiceName};
use bytes::Bytes;
use coordination::StoreKind;
use futures_util::FutureExt as _;
use http::{Response, StatusCode, request::Parts};
use http_body_util::{BodyExt as _, Collected};
use proxy::local::{BoxBody, LocalBody, Refused};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// The code for a body that is too large, whoever notices.
const TOO_LARGE: &str = "payload_too_large";

/// The endpoints, and the document that describes them.
pub(crate) struct Tables {
    pub(crate) table: Vec<Endpoint<Asker>>,
    pub(crate) document: Bytes,
}

/// A service that asks.
pub(crate) struct Asker {
    shared: Arc<Shared>,
    caller: Caller,
}

/// Whom this listener belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Identity {
    /// The instance, `users/1`.
    pub(crate) instance: String,
    /// Its service.
    pub(crate) service: String,
    /// The system.
    pub(crate) system: String,
    /// Version of Flotilla.
    pub(crate) version: String,
}

impl Reach for Asker {
    fn coordination(&self) -> coordination::Handle {
        self.shared.coordination.clone()
    }

    fn events(&self) -> Result<::events::Handle, Problem> {
        self.shared.events.clone().ok_or_else(|| {
            let message = "this node has no topics, jobs and streams of events";
            Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported", message)
        })
    }

    fn transactions(&self) -> Result<transactions::Handle, Problem> {
        self.shared.transactions.clone().ok_or_else(|| {
            let message = "this node drives no transactions";
            Problem::new(StatusCode::NOT_IMPLEMENTED, "unsupported", message)
        })
    }

    fn callee(&self, name: &str) -> Result<ServiceName, Problem> {
        let callee = self.shared.backend.service(name);
        let callee = callee.ok_or_else(|| no_service(name, std::iter::empty()))?.name;
        let caller = &self.caller.id.service;
        // A transaction must not reach whom its service may not.
        if !self.shared.backend.may_call(caller, &callee) {
            let message = format!("{caller} may not call {callee}");
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", message)
                .help(format!("add {callee} to `needs` of {caller}")));
        }
        Ok(callee)
    }

    fn service(&self, _: &Params) -> Result<Option<ServiceName>, Problem> {
        Ok(Some(self.caller.id.service.clone()))
    }

    fn instance(&self) -> Option<InstanceId> {
        Some(self.caller.id.clone())
    }

    fn by(&self) -> String {
        self.caller.id.to_string()
    }

    fn may_use(&self, kind: StoreKind, store: &str) -> bool {
        self.shared.backend.may_use(&self.caller.id.service, kind, store)
    }

    fn may_read_secret(&self, store: &str, name: &str) -> bool {
        self.shared.backend.may_read_secret(&self.caller.id.service, store, name)
    }

    fn reveals(&self, _: &Params) -> bool {
        true
    }
}

pub(super) fn table() -> Vec<Endpoint<Asker>> {
    let mut table = vec![
        Endpoint::get::<wire::Health>("/v1/health", "health", "Says that the node lives.", |c| {
            Box::pin(health(c))
        }),
        Endpoint::get::<Identity>(
            "/v1/instance",
            "identity",
            "Whom this listener belongs to.",
            |c| Box::pin(identity(c)),
        ),
        Endpoint {
            response: routes::free_form,
            ..Endpoint::get::<wire::Health>("/v1/openapi.json", "openapi", "This document.", |c| {
                Box::pin(document_of(c))
            })
        },
    ];
    table.extend(blocks::shared(&blocks::NATIVE));
    table.extend(blocks::native());
    table.extend(blocks::elections());
    table.extend(table::table());
    table.extend(routes::transactions::table());
    table
}

/// The document as it is served and as `docs/openapi-app.json` holds it.
pub(super) fn document() -> Value {
    let (paths, schemas) = openapi::described(&table());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Flotilla app API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "On the listener that belongs to an instance: `http://127.0.0.1:$DAPR_HTTP_PORT`. The \
                port says who asks; with an API token, every request also carries it as `dapr-api-token`. Keys \
                are the service's own. Unknown query parameters and unknown keys of a body are errors.",
        },
        "servers": [{ "url": "http://127.0.0.1:3500" }],
        "security": [{}, { "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": "dapr-api-token" },
            },
        },
    })
}

async fn health(_: Context<Asker>) -> Result<Answer, Problem> {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let health = wire::Health { status: "ok".to_owned(), version };
    // An `await` so that all handlers are of one shape.
    std::future::ready(Ok(json(StatusCode::OK, &health))).await
}

async fn identity(context: Context<Asker>) -> Result<Answer, Problem> {
    let Asker { shared, caller } = &*context.backend;
    let identity = Identity {
        instance: caller.id.to_string(),
        service: caller.id.service.to_string(),
        system: shared.backend.namespace().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    std::future::ready(Ok(json(StatusCode::OK, &identity))).await
}

async fn document_of(context: Context<Asker>) -> Result<Answer, Problem> {
    let document = context.document.clone();
    std::future::ready(Ok(bytes_of(StatusCode::OK, crate::answer::JSON, document))).await
}

/// What the data plane says in place of [`answer`]: that a body is too large, or malformed.
pub(super) fn refusal(status: StatusCode, refused: &Refused<'_>) -> Response<Bytes> {
    let is_too_large = status == StatusCode::PAYLOAD_TOO_LARGE;
    says(status, if is_too_large { TOO_LARGE } else { refused.code }, refused.message)
}

/// An error as this API has it.
pub(super) fn says(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    let (parts, body) = Problem::new(status, code, message).answer().into_parts();
    // It is whole: there is nothing to wait for.
    let body = body.collect().now_or_never().and_then(Result::ok);
    Response::from_parts(parts, body.map(Collected::to_bytes).unwrap_or_default())
}

pub(super) async fn answer(
    shared: Arc<Shared>,
    caller: Caller,
    parts: Parts,
    body: LocalBody,
) -> Response<BoxBody> {
    let outcome = route(shared, caller, parts, body).await;
    body::ours(outcome.unwrap_or_else(Problem::answer))
}

async fn route(
    shared: Arc<Shared>,
    caller: Caller,
    parts: Parts,
    sent: LocalBody,
) -> Result<Answer, Problem> {
    let path = super::direct::tidy(parts.uri.path());
    let tables = shared.native.clone();
    let (endpoint, values) = routes::find(&tables.table, &parts.method, &path)?;
    let params = Params::read(parts.uri.query().unwrap_or_default(), &endpoint.params)?;
    let limit = shared.body_len_max(&caller);
    let body = body::read(sent, limit).await.map_err(|fault| {
        let code = if fault.status == StatusCode::PAYLOAD_TOO_LARGE {
            TOO_LARGE
        } else {
            "unreadable_body"
        };
        Problem::new(fault.status, code, fault.message)
    })?;
    if endpoint.request.is_none() && !matches!(&*body, b"" | b"{}") {
        return Err(Problem::bad_request(format!("{path} takes no body")));
    }
    let context = Context {
        values,
        params,
        headers: parts.headers,
        body,
        stop: shared.stop.clone(),
        streams: shared.streams.clone(),
        document: tables.document.clone(),
        backend: Arc::new(Asker { shared, caller }),
    };
    (endpoint.handler)(context).await
}
