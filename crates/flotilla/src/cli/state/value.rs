//! Values as they are printed: nothing of them is lost, and nothing of them is an order to the terminal.

use crate::cli::exit::{Exit, Failure};
use api::wire::state::Item;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use std::borrow::Cow;

/// The value in one of the forms in which it came; of what is no text, its base 64.
pub(super) fn shown(item: &Item) -> &str {
    let json = item.value.as_ref().map(|value| value.get());
    json.or(item.text.as_deref()).or(item.base64.as_deref()).unwrap_or_default()
}

/// The value as it goes out: byte for byte into a file or a pipe; on a terminal with the end of its last line.
///
/// # Errors
/// For what a terminal would act on, or could not show, when there is one.
pub(in crate::cli) fn printed(item: &Item, is_terminal: bool) -> Result<Cow<'_, [u8]>, Failure> {
    let is_text = item.value.is_some() || item.text.is_some() || item.base64.is_none();
    let bytes = if is_text {
        Cow::Borrowed(shown(item).as_bytes())
    } else {
        let decoded = STANDARD.decode(shown(item));
        Cow::Owned(decoded.map_err(|e| {
            Failure::new(Exit::Failure, format!("the node's answer cannot be read: {e}"))
        })?)
    };
    if !is_terminal {
        return Ok(bytes);
    }
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if !is_text || !shown(item).chars().all(is_plain) {
        return Err(Failure::with_help(
            Exit::Usage,
            "the value is binary and may confuse a terminal",
            "send it to a file (`> file`), or show it escaped (`-o json`)",
        ));
    }
    let mut bytes = bytes.into_owned();
    if bytes.last() != Some(&b'\n') {
        bytes.push(b'\n');
    }
    Ok(Cow::Owned(bytes))
}

/// A document in one line. Values that are JSON are in it as they were written, but for blanks between their parts:
/// they may be nested deeper, and have larger numbers, than a parser takes.
///
/// # Errors
/// When it cannot be written as JSON.
pub(in crate::cli) fn json_line(document: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(document);
    let text = text.map_err(|e| Failure::new(Exit::Failure, format!("cannot write JSON: {e}")))?;
    Ok(without_blanks(&text))
}

/// JSON without what stands between its parts only to be read well.
fn without_blanks(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    let (mut is_string, mut is_escaped) = (false, false);
    for c in json.chars() {
        if is_string || !matches!(c, ' ' | '\t' | '\n' | '\r') {
            text.push(c);
        }
        if c == '"' && !is_escaped {
            is_string = !is_string;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    fn json(text: &str) -> Item {
        let value = Some(RawValue::from_string(text.to_owned()).unwrap());
        Item { key: "k".to_owned(), value, ..Item::default() }
    }

    fn text(text: &str) -> Item {
        Item { text: Some(text.to_owned()), ..Item::default() }
    }

    fn on_terminal(item: &Item) -> Result<String, String> {
        let printed = printed(item, true).map_err(|failure| failure.text())?;
        Ok(String::from_utf8(printed.into_owned()).unwrap())
    }

    #[test]
    fn a_value_is_printed_in_json_as_it_was_written() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for value in [&deep, "123456789012345678901234567890.0e-1", r#"{"a":1,"a":" \" \\"}"#] {
            let line = json_line(&json(value)).unwrap();
            assert!(line.contains(&format!(r#""value":{value},"#)), "{line}");
        }
        let line = json_line(&json("{\n  \"a b\": [1, 2],\r\n\t\"c\\\\\": \" \" }")).unwrap();
        assert!(line.contains(r#""value":{"a b":[1,2],"c\\":" "},"#), "{line}");
        assert!(!line.contains('\n'));
    }

    #[test]
    fn a_file_gets_every_byte_and_a_terminal_nothing_that_it_would_act_on() {
        let binary = Item { base64: Some("AP8b".to_owned()), ..Item::default() };
        assert_eq!(&*printed(&binary, false).unwrap(), [0, 255, 27]);
        assert_eq!(&*printed(&text("a\u{1b}[2J"), false).unwrap(), b"a\x1b[2J");
        assert_eq!(&*printed(&text("a\n\n"), false).unwrap(), b"a\n\n");
        assert_eq!(on_terminal(&text("é\tü")).unwrap(), "é\tü\n");
        assert_eq!(on_terminal(&text("a\n")).unwrap(), "a\n");
        assert_eq!(on_terminal(&json("{ \"a\": 1 }")).unwrap(), "{ \"a\": 1 }\n");
        for item in [binary, text("a\u{1b}[2J"), text("a\u{9b}2J"), text("\0")] {
            assert!(on_terminal(&item).unwrap_err().contains("binary"));
        }
    }
}
