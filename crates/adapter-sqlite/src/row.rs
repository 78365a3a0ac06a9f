//! Values of SQLite, which have types of their own, as the texts and bytes of a row.

use ports::outbox;
use rusqlite::{
    Row,
    types::{Value, ValueRef},
};

/// The columns in the order in which [`read`] expects them.
pub(crate) const COLUMNS: [&str; 5] = ["id", "aggregatetype", "aggregateid", "type", "payload"];

/// Reads a row. `None`: it has no id, by which it could be deleted.
pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Option<outbox::Row>> {
    let text = |at| row.get_ref(at).map(|value| text(value).unwrap_or_default());
    let Some(id) = self::text(row.get_ref(0)?) else { return Ok(None) };
    let payload = match row.get_ref(4)? {
        ValueRef::Blob(bytes) => Some(bytes.to_vec()),
        other => self::text(other).map(String::into_bytes),
    };
    let (aggregate_type, aggregate_id, kind) = (text(1)?, text(2)?, text(3)?);
    Ok(Some(outbox::Row { id, aggregate_type, aggregate_id, kind, payload }))
}

/// A value as text; `None` for null.
fn text(value: ValueRef<'_>) -> Option<String> {
    Some(match value {
        ValueRef::Null => return None,
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueRef::Blob(bytes) => hex(bytes),
    })
}

/// Hexadecimal; 16 bytes in the groups of a UUID.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2 + 4);
    for (at, byte) in bytes.iter().enumerate() {
        if bytes.len() == 16 && [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The values that a text may stand for: what [`read`] made a text of is one of them.
pub(crate) fn candidates(id: &str) -> Vec<Value> {
    let mut values = vec![Value::Text(id.to_owned())];
    // Of a column without a type, a number is not found by its text.
    if let Ok(number) = id.parse::<i64>() {
        values.push(Value::Integer(number));
    } else if let Ok(number) = id.parse::<f64>() {
        values.push(Value::Real(number));
    }
    if let Some(bytes) = unhex(id) {
        values.push(Value::Blob(bytes));
    }
    values
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|digit| *digit != '-')
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    let bytes: Option<Vec<u8>> = pairs
        .map(|pair| u8::try_from(pair.iter().fold(0, |sum, digit| sum * 16 + digit)).ok())
        .collect();
    // Written in exactly that way, or it was another text.
    bytes.filter(|bytes| hex(bytes) == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_finds_the_value_it_was_made_of() {
        for value in [
            Value::Text("1b4e28ba".into()),
            Value::Text(String::new()),
            Value::Integer(-7),
            Value::Real(1.5),
            Value::Blob(vec![]),
            Value::Blob(vec![0, 255]),
            Value::Blob((0..16).collect()),
        ] {
            let text = text(ValueRef::from(&value)).unwrap();
            assert!(candidates(&text).contains(&value), "{value:?} as {text}");
        }
        assert_eq!(text(ValueRef::Null), None);
        assert_eq!(hex(&[0xab; 16]), "abababab-abab-abab-abab-abababababab");
        assert_eq!(candidates("AB").len(), 1);
        assert_eq!(candidates("a-b").len(), 1);
    }
}
