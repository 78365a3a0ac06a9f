//! Names of stores, keys and variables.

use super::Form;
use crate::secret;

/// Longest name of a store in bytes.
const STORE_LEN_MAX: usize = 63;

/// With it, a sign between them and the longest name of a topic, the name of a stream has the 255 characters that NATS allows.
pub(crate) const BROKER_PREFIX_LEN_MAX: usize = 54;

/// Longest pattern of a key, and longest literal before keys, in bytes.
const KEY_LEN_MAX: usize = 255;

/// What stands between a prefix and a key.
const SEPARATOR: &str = "||";

/// Checks a name of the form `form`; every other form is none of a name, and fits.
pub(crate) fn check(form: Form, text: &str) -> Result<(), String> {
    match form {
        Form::Store => store(text),
        Form::KeyPrefix => key_prefix(text),
        Form::KeyPattern => key_pattern(text),
        Form::SecretName => secret::name(text),
        Form::VariableName => variable(text),
        Form::AppId => app_id(text),
        _ => Ok(()),
    }
}

/// Checks the name of a store.
pub(crate) fn store(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.len() > STORE_LEN_MAX {
        return Err(format!("must not be longer than {STORE_LEN_MAX} bytes"));
    }
    match text.chars().find(|c| *c == '/' || c.is_whitespace() || c.is_control()) {
        Some(bad) => Err(format!("must not have {bad:?} in it")),
        None => Ok(()),
    }
}

/// Checks what stands before keys.
pub(crate) fn key_prefix(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not be empty; write `none` for no prefix".to_owned());
    }
    if text.contains(SEPARATOR) || text.contains('\0') {
        return Err(format!("must have neither `{SEPARATOR}` nor NUL in it"));
    }
    if text.len() > KEY_LEN_MAX {
        return Err(format!("must not be longer than {KEY_LEN_MAX} bytes"));
    }
    Ok(())
}

/// Checks a key of the configuration, or the beginning of one with `*`.
fn key_pattern(text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err("must not be empty; `*` stands for all keys".to_owned());
    }
    if text.len() > KEY_LEN_MAX {
        return Err(format!("must not be longer than {KEY_LEN_MAX} bytes"));
    }
    match text.find('*') {
        Some(at) if at + 1 < text.len() => Err("may have `*` at its end only".to_owned()),
        _ => Ok(()),
    }
}

/// Checks the name of a variable, or its beginning.
fn variable(text: &str) -> Result<(), String> {
    let fits =
        !text.is_empty() && !text.contains(['=', '\0']) && !text.contains(char::is_whitespace);
    if fits { Ok(()) } else { Err("must be the name of an environment variable".to_owned()) }
}

/// Checks what an app is called in its API. A dot would begin a namespace.
fn app_id(text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > KEY_LEN_MAX {
        return Err(format!("must have 1 to {KEY_LEN_MAX} bytes"));
    }
    let is_bad = |c: &char| matches!(c, '/' | '.' | '|') || c.is_whitespace() || c.is_control();
    match text.chars().find(is_bad) {
        Some(bad) => Err(format!("must not have {bad:?} in it")),
        None => Ok(()),
    }
}

/// Longest name of a topic or a group in bytes, as the broker port has it.
const TOPIC_LEN_MAX: usize = 200;

/// How the names of topics begin that the node has for itself.
const OWN_TOPICS: &str = "flotilla.";

/// How keys of `subscribes` begin that mean streams of events.
pub(crate) const STREAMS: &str = "events:";

/// Checks the name of a topic.
pub(crate) fn topic(text: &str) -> Result<(), String> {
    group(text)?;
    if text.starts_with(OWN_TOPICS) {
        return Err(format!("names that begin with `{OWN_TOPICS}` are the node's own"));
    }
    if text.starts_with(STREAMS) {
        return Err(format!("what begins with `{STREAMS}` means streams of events, not a topic"));
    }
    Ok(())
}

/// Checks the name of a group of a topic.
pub(crate) fn group(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    if text.len() > TOPIC_LEN_MAX {
        return Err(format!("must not be longer than {TOPIC_LEN_MAX} bytes"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    match text.chars().find(|c| !fits(*c)) {
        Some(bad) => Err(format!(
            "must not have {bad:?} in it: names have letters, digits and `. _ - / : @`"
        )),
        None => Ok(()),
    }
}

/// Checks the category of streams of events: what stands before the first `-` of their names.
pub(crate) fn category(text: &str) -> Result<(), String> {
    if text.contains('-') {
        return Err("a category ends before the first `-` of a stream's name".to_owned());
    }
    group(text)
}

/// Checks what stands before names in a broker that several systems share.
pub(crate) fn broker_prefix(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match text.chars().all(fits) && (1..=BROKER_PREFIX_LEN_MAX).contains(&text.len()) {
        true => Ok(()),
        false => Err(format!("must be 1 to {BROKER_PREFIX_LEN_MAX} letters, digits, `-` and `_`")),
    }
}
