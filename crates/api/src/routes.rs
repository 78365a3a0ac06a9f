//! The table of endpoints. It drives the dispatch and the OpenAPI document, so that neither can know of an
//! endpoint that the other does not.

use crate::{
    answer::{Answer, Problem},
    backend::Backend,
    context::Context,
    handlers::{actions, events, logs, picture, requests, system},
    params::{Param, ParamKind, did_you_mean},
    query, wire,
};
use http::{Method, StatusCode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::pin::Pin;

pub(crate) mod blocks;
mod messaging;
pub(crate) mod transactions;

pub(crate) type Outcome = Pin<Box<dyn Future<Output = Result<Answer, Problem>> + Send>>;
pub(crate) type Handler<B = dyn Backend> = fn(Context<B>) -> Outcome;
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One endpoint of the API that `B` is behind.
pub(crate) struct Endpoint<B: ?Sized = dyn Backend> {
    pub(crate) method: Method,
    /// With `{name}` where a segment is free.
    pub(crate) path: &'static str,
    /// Name of the operation in the document.
    pub(crate) operation: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) params: Vec<Param>,
    /// Header fields that mean something here, and what.
    pub(crate) headers: &'static [(&'static str, &'static str)],
    pub(crate) request: Option<Request>,
    pub(crate) status: StatusCode,
    pub(crate) response: SchemaOf,
    /// What a message of the event stream holds, when there is one.
    pub(crate) stream: Option<SchemaOf>,
    /// Also lines of JSON, of this kind.
    pub(crate) lines: Option<SchemaOf>,
    pub(crate) errors: &'static [u16],
    /// The answer's body is bytes of any kind, not JSON.
    pub(crate) is_raw: bool,
    /// There is no answer but the event stream.
    pub(crate) is_stream: bool,
    pub(crate) handler: Handler<B>,
}

/// The body an endpoint takes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) schema: SchemaOf,
    pub(crate) is_required: bool,
    /// It is bytes of any kind, not JSON.
    pub(crate) is_raw: bool,
}

pub(crate) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

pub(crate) fn free_form(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}

pub(crate) const AFTER: Param = Param {
    name: "after",
    kind: ParamKind::Number,
    repeats: false,
    summary: "Only what has a higher number than this.",
};

pub(crate) const fn param(name: &'static str, kind: ParamKind, summary: &'static str) -> Param {
    Param { name, kind, repeats: false, summary }
}

pub(crate) const fn repeated(name: &'static str, kind: ParamKind, summary: &'static str) -> Param {
    Param { name, kind, repeats: true, summary }
}

const LOG_PARAMS: &[Param] = &[
    repeated("service", ParamKind::Text, "Only this service; may be repeated."),
    repeated("instance", ParamKind::Text, "Only this instance, `users/1`; may be repeated."),
    repeated("stream", ParamKind::Choice(&["out", "err", "node"]), "Only this stream."),
    param("since", ParamKind::Text, "From this time on: RFC 3339, or how long ago (`10m`)."),
    param("until", ParamKind::Text, "Before this time: RFC 3339, or how long ago (`10m`)."),
    param("grep", ParamKind::Text, "Only lines that contain this text."),
    param("ignore_case", ParamKind::Flag, "`grep` does not tell upper from lower case."),
    param(
        "level",
        ParamKind::Choice(&["debug", "info", "warn", "error"]),
        "Only lines at least this grave; a line that does not say counts as `info`.",
    ),
    param("tail", ParamKind::Number, "Only the newest this many of the lines that fit."),
    AFTER,
    param("limit", ParamKind::Number, "Most lines in the answer, 1 to 10000. Default 1000."),
    param("follow", ParamKind::Flag, "Go on with the lines that come, as a stream."),
];

const REQUEST_PARAMS: &[Param] = &[
    repeated("service", ParamKind::Text, "Only those to this service; may be repeated."),
    repeated(
        "status",
        ParamKind::Text,
        "Only this status: `404`, `5xx`, `500-504`; may be repeated.",
    ),
    param("path", ParamKind::Text, "Only paths that begin so."),
    param("slower", ParamKind::Text, "Only those that took at least so long: `100ms`."),
    param("tail", ParamKind::Number, "Only the newest so many of the kept ones; of a stream 0."),
    param("follow", ParamKind::Flag, "Go on with the requests that end, as a stream."),
];

impl<B: ?Sized> Endpoint<B> {
    pub(crate) fn get<T: JsonSchema>(
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
        handler: Handler<B>,
    ) -> Self {
        Self {
            method: Method::GET,
            path,
            operation,
            summary,
            params: Vec::new(),
            headers: &[],
            request: None,
            status: StatusCode::OK,
            response: schema::<T>,
            stream: None,
            lines: None,
            errors: &[],
            is_raw: false,
            is_stream: false,
            handler,
        }
    }

    /// As [`Self::get`], with another method.
    pub(crate) fn method<T: JsonSchema>(
        method: Method,
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
        handler: Handler<B>,
    ) -> Self {
        Self { method, ..Self::get::<T>(path, operation, summary, handler) }
    }

    /// Something that is begun and goes on by itself.
    fn act(
        path: &'static str,
        operation: &'static str,
        summary: &'static str,
        handler: Handler<B>,
    ) -> Self {
        Self {
            method: Method::POST,
            status: StatusCode::ACCEPTED,
            errors: &[409, 503],
            ..Self::get::<wire::Accepted>(path, operation, summary, handler)
        }
    }

    pub(crate) fn takes<T: JsonSchema>(self, is_required: bool) -> Self {
        let request = Request { schema: schema::<T>, is_required, is_raw: false };
        Self { request: Some(request), ..self }
    }

    /// Takes bytes of any kind.
    pub(crate) fn takes_bytes(self) -> Self {
        let request = Request { schema: free_form, is_required: false, is_raw: true };
        Self { request: Some(request), ..self }
    }

    /// Heeds these header fields.
    pub(crate) fn heeds(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    /// Takes these besides those it takes.
    pub(crate) fn with(mut self, params: &[Param]) -> Self {
        self.params.extend(params);
        self
    }

    pub(crate) fn fails(self, errors: &'static [u16]) -> Self {
        Self { errors, ..self }
    }

    /// As [`Self::streams`], where there is nothing else.
    pub(crate) fn only_streams<T: JsonSchema>(self, params: &[Param]) -> Self {
        Self { is_stream: true, ..self.streams::<T>(params) }
    }

    pub(crate) fn streams<T: JsonSchema>(self, params: &[Param]) -> Self {
        Self { stream: Some(schema::<T>), params: params.to_vec(), errors: &[503], ..self }
    }
}

/// All endpoints, in the order of the document.
pub(crate) fn table() -> Vec<Endpoint> {
    let mut table = reading();
    table.extend(acting());
    table.extend(blocks::shared(&blocks::ADMIN));
    table.extend(blocks::admin());
    table.extend(messaging::table());
    table.extend(transactions::table());
    table
}

fn reading() -> Vec<Endpoint> {
    vec![
        Endpoint::get::<wire::Health>(
            "/v1/health", "health", "Says that the node lives.", |c| Box::pin(system::health(c))),
        Endpoint::get::<wire::System>(
            "/v1/system", "system", "The node and the system it runs.", |c| Box::pin(system::system(c))),
        Endpoint::get::<wire::Status>(
            "/v1/status", "status",
            "The whole picture. As an event stream: now, and again after each change, at most ten a second.",
            |c| Box::pin(picture::status(c)),
        ).streams::<wire::Status>(&[]),
        Endpoint::get::<wire::Services>(
            "/v1/services", "services", "All services and jobs.", |c| Box::pin(picture::services(c))),
        Endpoint::get::<wire::Service>(
            "/v1/services/{name}", "service", "One service or job.", |c| Box::pin(picture::service(c))),
        Endpoint::get::<wire::Instances>(
            "/v1/services/{name}/instances", "instances", "The instances of one service.",
            |c| Box::pin(picture::instances(c))),
        Endpoint::get::<wire::Instance>(
            "/v1/services/{name}/instances/{number}", "instance", "One instance.",
            |c| Box::pin(picture::instance(c))),
        Endpoint::get::<wire::Events>(
            "/v1/events", "events",
            "What happened, oldest first. As an event stream: also what happens, resumable by `Last-Event-ID`.",
            |c| Box::pin(events::events(c)),
        ).streams::<wire::Event>(&[AFTER]),
        Endpoint {
            lines: Some(schema::<wire::LogLine>),
            ..Endpoint::get::<wire::Logs>(
                "/v1/logs", "logs",
                "What services print, oldest first. As an event stream or with `follow`: batches without gap or \
                 duplicate, resumable by `Last-Event-ID`. As `application/x-ndjson`: one line of JSON for each.",
                |c| Box::pin(logs::logs(c)),
            ).streams::<wire::Logs>(LOG_PARAMS)
        },
        Endpoint::get::<wire::Traffic>(
            "/v1/traffic", "traffic", "Requests, latencies and errors as the data plane counts them.",
            |c| Box::pin(system::traffic(c))),
        Endpoint {
            lines: Some(schema::<wire::FinishedRequest>),
            ..Endpoint::get::<wire::Requests>(
                "/v1/requests", "requests",
                "Requests that failed (status 500 or more) or took a second until the first byte, the newest \
                 thousand. As an event stream or with `follow`: all requests as they end. As \
                 `application/x-ndjson`: one line of JSON for each.",
                |c| Box::pin(requests::requests(c)),
            ).streams::<wire::Requests>(REQUEST_PARAMS)
        },
        Endpoint::get::<wire::Top>(
            "/v1/top", "top", "Who uses what at this moment.", |c| Box::pin(system::top(c))),
        Endpoint {
            response: free_form,
            ..Endpoint::get::<wire::Health>(
                "/v1/openapi.json", "openapi", "This document.", |c| Box::pin(system::openapi(c)))
        },
    ]
}

fn acting() -> Vec<Endpoint> {
    vec![
        Endpoint::act(
            "/v1/services/{name}/restart", "restart_service",
            "Replaces the instances of one service.", |c| Box::pin(actions::restart_service(c))),
        Endpoint::act(
            "/v1/services/{name}/start", "start_service",
            "Starts a service that was stopped.", |c| Box::pin(actions::start(c))),
        Endpoint::act(
            "/v1/services/{name}/stop", "stop_service",
            "Stops a service until it is started again.", |c| Box::pin(actions::stop(c))),
        Endpoint::act(
            "/v1/services/{name}/scale", "scale_service",
            "Sets how many instances a service shall have.", |c| Box::pin(actions::scale(c)),
        ).takes::<wire::Scale>(true).fails(&[409, 422, 503]),
        Endpoint::act(
            "/v1/instances/{name}/{number}/restart", "restart_instance",
            "Replaces one instance.", |c| Box::pin(actions::restart_instance(c))),
        Endpoint::act(
            "/v1/restart", "restart_all", "Replaces all instances of all services.",
            |c| Box::pin(actions::restart_all(c))),
        Endpoint {
            status: StatusCode::OK,
            response: schema::<wire::Applied>,
            ..Endpoint::act(
                "/v1/apply", "apply",
                "Reads the file again and makes the system what it says, or says what would change. A file with \
                 errors changes nothing; the answer is 422 with all of them.",
                |c| Box::pin(actions::apply(c)))
        }.takes::<wire::Apply>(false).fails(&[409, 422, 503]),
        Endpoint {
            response: schema::<wire::Started>,
            ..Endpoint::act(
                "/v1/run", "run",
                "Runs a job now, or a command with the folder and environment of a service.",
                |c| Box::pin(actions::run(c)))
        }.takes::<wire::Run>(true).fails(&[404, 409, 422, 503]),
        Endpoint {
            status: StatusCode::OK,
            response: schema::<wire::Replaced>,
            ..Endpoint::act(
                "/v1/node/restart", "restart_node",
                "Replaces the node by a new process; the system goes on and no connection is refused. Answers when \
                 the new node has taken over, or says why the present one goes on.",
                |c| Box::pin(actions::replace(c)))
        }.takes::<wire::ReplaceNode>(false).fails(&[409, 422, 500, 503]),
        Endpoint::act(
            "/v1/shutdown", "shutdown",
            "Stops the system and the node. Answers when that has begun; the status stream shows the rest.",
            |c| Box::pin(actions::shutdown(c))),
    ]
}

/// The endpoint for a request, with the values of its free segments.
pub(crate) fn find<'t, B: ?Sized>(
    table: &'t [Endpoint<B>],
    method: &Method,
    path: &str,
) -> Result<(&'t Endpoint<B>, Vec<String>), Problem> {
    let mut allowed = Vec::new();
    for endpoint in table {
        let Some(values) = matches(endpoint.path, path) else { continue };
        // Whoever only wants to look opens no stream.
        let may_look = endpoint.method == Method::GET && !endpoint.is_stream;
        if endpoint.method == *method || may_look && *method == Method::HEAD {
            return Ok((endpoint, values));
        }
        allowed.push(endpoint.method.as_str());
        allowed.extend(may_look.then_some("HEAD"));
    }
    if allowed.is_empty() {
        let near = did_you_mean(path, table.iter().map(|endpoint| endpoint.path));
        let help = near.unwrap_or_else(|| "GET /v1/openapi.json lists what there is".to_owned());
        return Err(Problem::not_found(format!("there is nothing at {path}"), Some(help)));
    }
    let allow = allowed.join(", ");
    let message = format!("{path} does not take {method}");
    let mut problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
        .help(format!("use {allow}"));
    problem.allow = Some(allow);
    Err(problem)
}

fn matches(template: &str, path: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut given = path.split('/');
    for part in template.split('/') {
        let segment = given.next()?;
        if part.starts_with('{') {
            values.push(query::unescape(segment, false)?);
        } else if part != segment {
            return None;
        }
    }
    given.next().is_none().then_some(values)
}
