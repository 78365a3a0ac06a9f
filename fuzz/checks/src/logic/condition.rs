//! Conditions in the Common Expression Language.

use std::borrow::Cow;

use logic::condition::{Condition, Kind, Value, Variable};

const VARIABLES: [Variable; 4] = [
    Variable { name: "request.method", kind: Kind::Single },
    Variable { name: "request.headers", kind: Kind::Fields },
    Variable { name: "claims", kind: Kind::Map },
    Variable { name: "client", kind: Kind::Single },
];

/// What is refused says where; what is compiled keeps its text, ends, and answers the same each time.
/// A panic of the evaluator is its answer, not ours.
pub(crate) fn check(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let condition = match Condition::compile(text, &VARIABLES) {
        Ok(condition) => condition,
        Err(error) => {
            assert!(text.is_char_boundary(error.offset), "{error:?}");
            assert!(!error.message.is_empty());
            return;
        }
    };
    assert_eq!(condition.text(), text);
    let nothing = |_: &str, _: Option<&str>| None;
    assert_eq!(condition.evaluate(&nothing), condition.evaluate(&nothing));
    assert_eq!(condition.evaluate(&look_up), condition.evaluate(&look_up));
}

fn look_up<'a>(name: &str, key: Option<&str>) -> Option<Value<'a>> {
    let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
    Some(match (name, key) {
        ("request.method", None) => text("GET"),
        ("client", None) => text("192.0.2.1"),
        ("request.headers", Some("x-team")) => text("shop"),
        ("claims", Some("scope")) => text("read write"),
        ("claims", Some("roles")) => Value::List(vec![text("admin"), Value::Int(1), Value::Null]),
        ("claims", Some("address")) => {
            Value::Map(vec![("country".into(), text("SK")), ("zip".into(), Value::Float(1.5))])
        }
        ("claims", Some("staff")) => Value::Bool(true),
        _ => return None,
    })
}
