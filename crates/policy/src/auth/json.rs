//! JSON as tokens and key sets are read: nothing in it may mean two things.
//!
//! A member that stands twice in an object is refused (RFC 8725 §2.4 asks for it; which of the two counts
//! differs from parser to parser, and the checker and the service behind it may differ), and so is what is
//! nested deeper than any honest token.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// How deep arrays and objects may nest: identity providers nest roles three deep; a parser's stack must not
/// be the client's choice.
pub const DEPTH_MAX: u32 = 16;

/// Reads one object and nothing after it.
///
/// # Errors
/// A fixed phrase; what was read is not repeated, since it came from a stranger.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, &'static str> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict(DEPTH_MAX).deserialize(&mut reader).map_err(|_unsaid| "no valid JSON")?;
    reader.end().map_err(|_unsaid| "something after the JSON")?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err("no JSON object"),
    }
}

/// Reads a value that nests at most so deep.
struct Strict(u32);

impl Strict {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("nested too deep"))
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a JSON value")
    }
    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("no finite number"))
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self(inside.0))? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Self(inside.0))?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member that stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let read = object(text.as_bytes()).map(|members| Value::Object(members).to_string());
        assert_eq!(read.as_deref().map_err(|why| *why), expected, "{text}");
    }

    #[test]
    fn an_object_is_read_as_it_stands() {
        check(
            r#" {"a":[1,-2,0.5,null,true,{"b":"\u00e9"}]} "#,
            Ok(r#"{"a":[1,-2,0.5,null,true,{"b":"é"}]}"#),
        );
        check("{}", Ok("{}"));
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        check(r#"{"a":1,"a":1}"#, Err("no valid JSON"));
        check(r#"{"a":1,"\u0061":2}"#, Err("no valid JSON"));
        check(r#"{"a":{"b":1,"b":2}}"#, Err("no valid JSON"));
        check(r#"{"a":[{"b":1,"b":2}]}"#, Err("no valid JSON"));
        check("{} {}", Err("something after the JSON"));
        check("{}\0", Err("something after the JSON"));
        check("[]", Err("no JSON object"));
        check("", Err("no valid JSON"));
        check(r#"{"a":1e999}"#, Err("no valid JSON"));
        check(r#"{"a":"\ud800"}"#, Err("no valid JSON"));
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err("no valid JSON"));
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let deepest = usize::try_from(DEPTH_MAX).unwrap() - 1;
        assert!(object(nested(deepest).as_bytes()).is_ok());
        assert_eq!(object(nested(deepest + 1).as_bytes()), Err("no valid JSON"));
        assert_eq!(object(nested(1_000_000).as_bytes()), Err("no valid JSON"));
    }
}
