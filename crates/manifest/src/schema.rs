//! The JSON Schema of `flotilla.yaml`, for editors.

use crate::shape::{Form, SIGNALS, Shape, Table};
use crate::table;
use serde_json::{Map, Value, json};

/// The JSON Schema (2020-12) of `flotilla.yaml`.
///
/// It is what an editor needs to complete and to mark mistakes; names that must exist and the like are checked only by [`crate::load`].
#[must_use]
pub fn json_schema() -> Value {
    let mut defs = Map::new();
    let mut root = shape(&table::ROOT, &mut defs);
    // The root stands at the top, not behind a reference.
    if let Some(Value::Object(file)) = defs.remove("file") {
        root = Value::Object(file);
    }
    if let Value::Object(root) = &mut root {
        root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".to_owned(), json!("flotilla.yaml"));
        root.insert("$defs".to_owned(), Value::Object(defs));
    }
    root
}

fn shape(shape: &'static Shape, defs: &mut Map<String, Value>) -> Value {
    match shape {
        Shape::Scalar(form) => form_schema(*form),
        Shape::List(item) => json!({ "type": "array", "items": self::shape(item, defs) }),
        Shape::Keys(table) => {
            if !defs.contains_key(table.name) {
                defs.insert(table.name.to_owned(), Value::Null);
                let value = keys(table, defs);
                defs.insert(table.name.to_owned(), value);
            }
            json!({ "$ref": format!("#/$defs/{}", table.name) })
        }
        Shape::Names { what, value } => {
            let mut object = json!({ "type": ["object", "null"], "additionalProperties": self::shape(value, defs) });
            if matches!(*what, "service" | "job") {
                object["propertyNames"] =
                    json!({ "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$" });
            }
            object
        }
        Shape::Mixed { table, value, .. } => {
            let others = self::shape(value, defs);
            let mut object = keys(table, defs);
            object["additionalProperties"] = others;
            object
        }
        Shape::Any(shapes) => {
            let all: Vec<Value> = shapes.iter().map(|one| self::shape(one, defs)).collect();
            json!({ "anyOf": all })
        }
        Shape::Data => json!({}),
    }
}

fn keys(table: &'static Table, defs: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for key in table.keys {
        let mut value = shape(key.shape, defs);
        if let Value::Object(object) = &mut value {
            let default = if key.default.is_empty() {
                String::new()
            } else {
                format!(" Default: {}.", key.default)
            };
            object.insert("description".to_owned(), json!(format!("{}{default}", key.doc)));
        }
        properties.insert(key.name.to_owned(), value);
    }
    json!({
        "type": ["object", "null"],
        "description": table.doc,
        "properties": properties,
        "patternProperties": { "^x-": {} },
        "additionalProperties": false,
    })
}

/// A variable may stand for any value.
const VARIABLE: &str = "\\$\\{";

fn form_schema(form: Form) -> Value {
    let text = json!({ "type": "string" });
    match form {
        Form::Shell => json!({ "type": "string", "minLength": 1 }),
        Form::Text => json!({ "type": ["string", "number", "boolean"] }),
        Form::Value | Form::Variable => json!({ "type": ["string", "number", "boolean", "null"] }),
        Form::Bool => {
            json!({ "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": VARIABLE }] })
        }
        Form::Whole { min, max } => json!({ "anyOf": [
            { "type": "integer", "minimum": min, "maximum": max },
            { "type": "string", "pattern": VARIABLE },
        ] }),
        // A number without a unit is refused, but for 0.
        Form::Duration => json!({ "anyOf": [
            { "const": 0 },
            { "type": "string", "pattern": format!("^([0-9]+(\\.[0-9]+)?(us|ms|s|m|h|d|w))+$|^0$|{VARIABLE}") },
        ] }),
        Form::Size => pattern("^[0-9]+(\\.[0-9]+)?([kKmMgGtT]i?)?[bB]?$"),
        Form::Cores => pattern("^[0-9]+(\\.[0-9]+)?m?$"),
        Form::Word(words) => {
            json!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": VARIABLE }] })
        }
        Form::Signal => {
            let all: Vec<String> = SIGNALS
                .iter()
                .map(|name| (*name).to_owned())
                .chain(SIGNALS.iter().map(|name| format!("SIG{name}")))
                .collect();
            json!({ "anyOf": [{ "enum": all }, { "type": "string", "pattern": VARIABLE }] })
        }
        Form::Address => json!({ "type": ["string", "integer"] }),
        Form::UrlPath => json!({ "type": "string", "pattern": format!("^/|{VARIABLE}") }),
        Form::Service | Form::Database | Form::Cron | Form::Volume | Form::Assignment => text,
        Form::Secret | Form::Header | Form::Cookie | Form::Network | Form::Condition => text,
        Form::Store | Form::KeyPrefix | Form::KeyPattern | Form::KvEngine => text,
        Form::Event(form) => form.schema(),
        Form::Call => text,
        Form::SwitchOrCall => json!({ "type": ["boolean", "string"] }),
        Form::Credential | Form::SecretName | Form::VariableName | Form::AppId => text,
        Form::TrueOrAddress => json!({ "anyOf": [
            { "const": true },
            { "type": "integer", "minimum": 1, "maximum": 65_535 },
            text,
        ] }),
        Form::SwitchOrPath | Form::SwitchOrCookie => json!({ "type": ["boolean", "string"] }),
        Form::Percent { fraction: true } => pattern("^[0-9]+(\\.[0-9]+)?%$"),
        Form::Percent { fraction: false } => pattern("^[0-9]+%$"),
        Form::Rate => {
            let rate = "^off$|^ *[0-9]+/([0-9]*)[a-z]+( +per +.+)?( +burst +[0-9]+)? *$";
            json!({ "type": "string", "pattern": format!("{rate}|{VARIABLE}") })
        }
        Form::Publish => json!({ "type": ["string", "integer"] }),
        Form::TrueOrPort => json!({ "anyOf": [
            { "const": true },
            { "type": "integer", "minimum": 1, "maximum": 65_535 },
            { "type": "string", "pattern": VARIABLE },
        ] }),
    }
}

/// Text of a pattern; YAML makes numbers of some of them.
fn pattern(pattern: &str) -> Value {
    json!({ "anyOf": [{ "type": "number" }, { "type": "string", "pattern": format!("{pattern}|{VARIABLE}") }] })
}
