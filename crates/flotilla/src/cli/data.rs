//! Data of messages and events, as it is typed and as it is shown; and the question before something is lost.

use super::{
    Context,
    args::Sure,
    exit::{Exit, Failure},
    state::value,
    store::{self, short},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::value::RawValue;
use std::io::{self, BufRead as _, IsTerminal as _};

/// Data in one of three forms, or none.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) json: Option<Box<RawValue>>,
    pub(super) text: Option<String>,
    pub(super) base64: Option<String>,
}

/// What was typed, or what standard input has when that was `-`.
///
/// # Errors
/// When standard input cannot be read, or has no end.
pub(super) fn typed(data: Option<&str>, is_text: bool) -> Result<Data, Failure> {
    let Some(typed) = data else { return Ok(Data::default()) };
    let text = match String::from_utf8(store::value(typed)?) {
        Ok(text) => text,
        Err(binary) => {
            let base64 = Some(STANDARD.encode(binary.as_bytes()));
            return Ok(Data { base64, ..Data::default() });
        }
    };
    // The line end that an editor or `echo` leaves.
    let text = match text.strip_suffix('\n') {
        Some(line) if typed == "-" => line.to_owned(),
        _ => text,
    };
    if !is_text && let Ok(json) = RawValue::from_string(text.clone()) {
        return Ok(Data { json: Some(json), ..Data::default() });
    }
    Ok(Data { text: Some(text), ..Data::default() })
}

/// JSON that was typed.
///
/// # Errors
/// When it is none.
pub(super) fn json(typed: &str) -> Result<Box<RawValue>, Failure> {
    RawValue::from_string(typed.trim().to_owned())
        .map_err(|e| Failure::new(Exit::Usage, format!("this is no JSON: {e}")))
}

/// Data in one line, cut where it is long.
///
/// # Errors
/// When it cannot be written as JSON.
pub(super) fn line(
    json: Option<&RawValue>,
    text: Option<&str>,
    base64: Option<&str>,
) -> Result<String, Failure> {
    match json {
        Some(json) => Ok(short(&value::json_line(&json)?)),
        None => Ok(short(text.or(base64).unwrap_or_default())),
    }
}

/// Asks before something is lost for good.
///
/// # Errors
/// When it is not meant, or nobody is there to be asked.
pub(super) fn sure(context: &Context, sure: &Sure, what: &str) -> Result<(), Failure> {
    if sure.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let help = "add `--yes` if it is meant";
        let text = format!("{what}, which cannot be undone");
        return Err(Failure::with_help(Exit::Usage, text, help));
    }
    context.out.relay(&format!("{what}, which cannot be undone. Type yes:"));
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|e| Failure::new(Exit::Failure, format!("the terminal cannot be read: {e}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Failure, "nothing was done")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_json_if_it_can_be() {
        let forms = |data: Data| (data.json.is_some(), data.text, data.base64);
        assert_eq!(forms(typed(Some("{\"a\": 1}"), false).unwrap()), (true, None, None));
        assert_eq!(forms(typed(Some("12"), true).unwrap()), (false, Some("12".to_owned()), None));
        assert_eq!(forms(typed(Some("hi"), false).unwrap()), (false, Some("hi".to_owned()), None));
        assert_eq!(forms(typed(None, false).unwrap()), (false, None, None));
        assert!(json("{").is_err() && json(" [] ").is_ok());
    }

    #[test]
    fn data_is_one_line_that_no_terminal_acts_on() {
        let json = RawValue::from_string("{\n  \"a b\": [1, 2]\n}".to_owned()).unwrap();
        assert_eq!(line(Some(&json), None, None).unwrap(), "{\"a b\":[1,2]}");
        assert_eq!(line(None, Some("a\u{1b}[2J\n"), None).unwrap(), "a\\u{1b}[2J\\n");
        assert_eq!(line(None, None, None).unwrap(), "");
    }
}
