//! Topics as Dapr's API names them, and as the broker does.

use ports::broker::{InvalidName, TopicName};
use std::fmt::Write as _;

/// How the names of topics begin that the node has for itself.
pub(crate) const OWN_TOPICS: &str = "flotilla.";

/// The broker's topic for one of a component's, which has `prefix` before all of its topics.
///
/// # Errors
/// For a name that is empty, too long, or one of the node's own.
pub(crate) fn topic_of(prefix: &str, topic: &str) -> Result<TopicName, String> {
    if topic.is_empty() {
        return Err(InvalidName::Empty.to_string());
    }
    let name = topic_name(&format!("{prefix}{topic}")).map_err(|e| e.to_string())?;
    if name.as_str().starts_with(OWN_TOPICS) {
        return Err(format!("names that begin with `{OWN_TOPICS}` are the node's own"));
    }
    Ok(name)
}

/// What a topic of the broker is called by those who use the component with this prefix.
pub(crate) fn called(prefix: &str, topic: &TopicName) -> String {
    let text = decoded(topic.as_str());
    text.strip_prefix(prefix).map_or_else(|| text.clone(), str::to_owned)
}

/// The broker's topic of this name. Characters that the broker's names do not have are written as `@` and two hexadecimal
/// digits for each byte; other names stay as they are.
///
/// # Errors
/// For a name that is empty or too long.
pub fn topic_name(text: &str) -> Result<TopicName, InvalidName> {
    let mut name = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_escape = *byte == b'@' && escaped(bytes, at).is_some();
        let is_plain = byte.is_ascii_alphanumeric() || b"._-/:@".contains(byte);
        if is_plain && !is_escape {
            name.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(name, "@{byte:02X}");
        }
    }
    TopicName::new(&name)
}

/// The byte that the escape at `at` stands for.
fn escaped(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| {
        let byte = *bytes.get(at)?;
        let is_digit = byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        is_digit.then(|| char::from(byte).to_digit(16))?.and_then(|it| u8::try_from(it).ok())
    };
    (bytes.get(at) == Some(&b'@')).then(|| Some(digit(at + 1)? << 4 | digit(at + 2)?))?
}

/// Undoes [`topic_name`]; a name that it never gave stays as it is.
fn decoded(name: &str) -> String {
    let bytes = name.as_bytes();
    let (mut text, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        match escaped(bytes, at) {
            Some(escaped) => {
                text.push(escaped);
                at += 3;
            }
            None => {
                text.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(text).unwrap_or_else(|_| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_topic_has_a_name_in_the_broker_and_gets_its_own_back() {
        #[track_caller]
        fn check(text: &str, name: &str) {
            assert_eq!(topic_of("", text).unwrap().as_str(), name);
            let topic = topic_of("p.", text).unwrap();
            assert_eq!(called("p.", &topic), text);
        }
        check("orders", "orders");
        check("topic/4", "topic/4");
        check("topic/#", "topic/@23");
        check("a@b", "a@b");
        check("topic/@23", "topic/@4023");
        check("größe", "gr@C3@B6@C3@9Fe");
        check("a b*", "a@20b@2A");
        assert_eq!(called("p.", &TopicName::new("other").unwrap()), "other");
    }

    #[test]
    fn no_topic_without_a_name_and_none_of_the_nodes_own() {
        assert!(topic_of("p.", "").is_err());
        assert!(topic_of("", &"x".repeat(201)).is_err());
        assert!(topic_of("", "flotilla.runs").unwrap_err().contains("the node's own"));
        assert!(topic_of("flot", "illa.runs").is_err());
    }
}
