//! Enough of JSON Schema to tell whether an answer is what the document says.

use serde_json::Value;

/// What is wrong with `value`; empty when it fits. Keywords it does not know fail the test.
pub(crate) fn errors(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let Some(rules) = schema.as_object() else {
        return if schema == &Value::Bool(true) { vec![] } else { vec![format!("{at}: {schema}")] };
    };
    let mut all = Vec::new();
    for (keyword, rule) in rules {
        match keyword.as_str() {
            "$ref" => {
                let path = rule.as_str().unwrap().trim_start_matches('#');
                let target = root.pointer(path).unwrap_or_else(|| panic!("no {path}"));
                all.extend(errors(root, target, value, at));
            }
            "type" => {
                let names = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                if !names.iter().any(|name| is_a(name.as_str().unwrap(), value)) {
                    all.push(format!("{at}: {value} is not {rule}"));
                }
            }
            "const" if rule != value => all.push(format!("{at}: {value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                all.push(format!("{at}: {value} is none of {rule}"));
            }
            "anyOf" | "oneOf" => {
                let fits = |one: &&Value| errors(root, one, value, at).is_empty();
                if rule.as_array().unwrap().iter().filter(fits).count() == 0 {
                    all.push(format!("{at}: {value} fits none of {rule}"));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        all.push(format!("{at}: {name} is missing"));
                    }
                }
            }
            "properties" => all.extend(properties(root, rule, value, at)),
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    all.extend(errors(root, rule, item, &format!("{at}[{number}]")));
                }
            }
            "minimum" if value.is_number() && value.as_f64() < rule.as_f64() => {
                all.push(format!("{at}: {value} < {rule}"));
            }
            "const"
            | "enum"
            | "minimum"
            | "maximum"
            | "description"
            | "format"
            | "default"
            | "additionalProperties"
            | "title" => {}
            other => panic!("the test does not know the keyword {other}"),
        }
    }
    all
}

fn properties(root: &Value, rule: &Value, value: &Value, at: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (name, item) in value.as_object().into_iter().flatten() {
        match rule.get(name) {
            Some(schema) => all.extend(errors(root, schema, item, &format!("{at}.{name}"))),
            None => all.push(format!("{at}.{name} is not in the document")),
        }
    }
    all
}

fn is_a(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no such type {other}"),
    }
}
