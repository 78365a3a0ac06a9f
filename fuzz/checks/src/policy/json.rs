//! JSON that means one thing only.

use policy::auth::json::{DEPTH_MAX, object};
use serde_json::Value;

/// What is read is what an ordinary parser reads, with no member twice and not nested too deep; and it reads
/// back when it is written.
pub(crate) fn check(data: &[u8]) {
    let Ok(members) = object(data) else { return };
    let usual: Value = serde_json::from_slice(data).expect("it is JSON");
    let Value::Object(usual) = usual else { panic!("no object") };
    assert_eq!(members, usual);
    let value = Value::Object(members);
    assert!(depth(&value) <= DEPTH_MAX + 1, "nested {} deep", depth(&value));
    let written = serde_json::to_vec(&value).expect("a value can be written");
    // Numbers with a fraction may come back as their neighbours; all else must be the same.
    let again = object(&written).expect("what is written can be read");
    assert_eq!(again.keys().collect::<Vec<_>>(), usual.keys().collect::<Vec<_>>());
    assert_eq!(object(&[&written[..], b"{}"].concat()), Err("something after the JSON"));
}

fn depth(value: &Value) -> u32 {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
