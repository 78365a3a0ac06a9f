//! The OpenAPI 3.1 document, generated from the table of endpoints.

use crate::{
    params::{Param, ParamKind},
    routes::{Endpoint, table},
    sse::{NDJSON, SSE},
    wire,
};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The document as it is served and as `docs/openapi.json` holds it.
pub(crate) fn document() -> Value {
    let (paths, schemas) = described(&table());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Flotilla admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "On the Unix socket `.flotilla/flotilla.sock` without a token; on the admin \
                port with `Authorization: Bearer` or the cookie that `?t=TOKEN` sets. Unknown query \
                parameters and unknown keys of a body are errors.",
        },
        "servers": [{ "url": "http://127.0.0.1:8081" }],
        "security": [{ "token": [] }, { "cookie": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "cookie": { "type": "apiKey", "in": "cookie", "name": "flotilla_8081" },
            },
        },
    })
}

/// The paths of a table of endpoints, and the schemas that they refer to.
pub(crate) fn described<B: ?Sized>(
    table: &[Endpoint<B>],
) -> (Map<String, Value>, Map<String, Value>) {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
        })
    };
    let mut requests = settings().for_deserialize().into_generator();
    let mut responses = settings().for_serialize().into_generator();
    let mut paths = Map::new();
    for endpoint in table {
        let operation = operation(endpoint, &mut requests, &mut responses);
        let entry = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        if let Some(methods) = entry.as_object_mut() {
            methods.insert(endpoint.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    responses.subschema_for::<wire::ErrorBody>();
    let mut schemas = requests.take_definitions(true);
    schemas.extend(responses.take_definitions(true));
    schemas.sort_keys();
    (paths, schemas)
}

fn operation<B: ?Sized>(
    endpoint: &Endpoint<B>,
    requests: &mut SchemaGenerator,
    responses: &mut SchemaGenerator,
) -> Value {
    let mut content = if endpoint.is_raw {
        json!({ "*/*": {} })
    } else if endpoint.is_stream {
        json!({})
    } else {
        json!({ "application/json": { "schema": (endpoint.response)(responses) } })
    };
    if let Some(stream) = endpoint.stream {
        content[SSE] = json!({ "schema": stream(responses) });
    }
    if let Some(lines) = endpoint.lines {
        content[NDJSON] = json!({ "schema": lines(responses) });
    }
    let mut answers = Map::new();
    let good = json!({ "description": "Good.", "content": content });
    answers.insert(endpoint.status.as_u16().to_string(), good);
    for status in statuses(endpoint) {
        let description = http::StatusCode::from_u16(status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("Error");
        let schema = json!({ "$ref": "#/components/schemas/ErrorBody" });
        let content = json!({ "application/json": { "schema": schema } });
        answers
            .insert(status.to_string(), json!({ "description": description, "content": content }));
    }
    let mut operation = json!({
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "responses": answers,
    });
    let parameters = parameters(endpoint);
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
    if let Some(request) = &endpoint.request {
        let content = if request.is_raw {
            json!({ "*/*": {} })
        } else {
            json!({ "application/json": { "schema": (request.schema)(requests) } })
        };
        operation["requestBody"] = json!({ "required": request.is_required, "content": content });
    }
    operation
}

/// What an endpoint may refuse with, besides what is its own.
fn statuses<B: ?Sized>(endpoint: &Endpoint<B>) -> Vec<u16> {
    let mut all = vec![400, 401, 403];
    if endpoint.path.contains('{') {
        all.push(404);
    }
    match &endpoint.request {
        Some(request) if request.is_raw => all.push(413),
        Some(_) => all.extend([413, 415]),
        None => {}
    }
    all.extend(endpoint.errors);
    all.sort_unstable();
    all.dedup();
    all
}

fn parameters<B: ?Sized>(endpoint: &Endpoint<B>) -> Vec<Value> {
    let in_path = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')).map(|part| {
        let name = part.trim_end_matches('}');
        let schema = if name == "number" {
            json!({ "type": "integer", "minimum": 1 })
        } else {
            json!({ "type": "string" })
        };
        json!({ "name": name, "in": "path", "required": true, "schema": schema })
    });
    let in_query = endpoint.params.iter().map(parameter);
    let in_header = endpoint.headers.iter().map(|(name, description)| {
        let schema = json!({ "type": "string" });
        json!({ "name": name, "in": "header", "description": description, "schema": schema })
    });
    in_path.chain(in_query).chain(in_header).collect()
}

fn parameter(param: &Param) -> Value {
    let one = match param.kind {
        ParamKind::Text => json!({ "type": "string" }),
        ParamKind::Number => json!({ "type": "integer", "minimum": 0 }),
        ParamKind::Flag => json!({ "type": "boolean" }),
        ParamKind::Choice(words) => json!({ "type": "string", "enum": words }),
    };
    let schema = if param.repeats { json!({ "type": "array", "items": one }) } else { one };
    json!({ "name": param.name, "in": "query", "description": param.summary, "schema": schema })
}
