//! Messages, as they are published and as they are read.

use super::{
    BATCH_MAX, BATCH_SIZE_MAX, Error, HEADERS_MAX, HEADERS_SIZE_MAX, ID_MAX, KEY_MAX,
    MESSAGE_SIZE_MAX, Offset,
};
use base::Timestamp;
use bytes::Bytes;

/// A message as it is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewMessage {
    /// What tells it apart from all others, at most [`ID_MAX`] bytes of visible ASCII; `None`: the engine gives it one that is
    /// like no other.
    pub id: Option<String>,
    /// Messages with the same key stay in order, in groups that ask for it. At most [`KEY_MAX`] bytes.
    pub key: Option<Bytes>,
    /// Names (lower case; of letters, digits, `-`, `_`, `.`) and values (no control characters); a name at most once.
    pub headers: Vec<(String, String)>,
    /// What it is about.
    pub payload: Bytes,
}

impl NewMessage {
    /// One with nothing but a payload.
    #[must_use]
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self { payload: payload.into(), ..Self::default() }
    }

    /// Bytes of all its parts.
    #[must_use]
    pub fn size(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        let id = self.id.as_ref().map_or(0, String::len);
        self.payload.len() + self.key.as_ref().map_or(0, Bytes::len) + id + headers
    }
}

/// What became of a published message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Where it stands.
    pub offset: Offset,
    /// It was there already: one with this id was published shortly before.
    pub duplicate: bool,
}

/// A message as it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it stands.
    pub offset: Offset,
    /// When it was taken.
    pub time: Timestamp,
    /// What tells it apart from all others.
    pub id: String,
    /// See [`NewMessage::key`].
    pub key: Option<Bytes>,
    /// See [`NewMessage::headers`].
    pub headers: Vec<(String, String)>,
    /// What it is about.
    pub payload: Bytes,
}

impl Message {
    /// The value of the header `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Checks a publish against the bounds of this port; every engine does it first.
///
/// # Errors
/// [`Error::TooLarge`] and [`Error::Invalid`].
pub fn check(messages: &[NewMessage]) -> Result<(), Error> {
    if messages.is_empty() {
        return Err(Error::Invalid("there is no message to publish".to_owned()));
    }
    too_large("messages in one publish", messages.len(), BATCH_MAX)?;
    for message in messages {
        check_one(message)?;
    }
    too_large("bytes in one publish", messages.iter().map(NewMessage::size).sum(), BATCH_SIZE_MAX)
}

fn check_one(message: &NewMessage) -> Result<(), Error> {
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if let Some(id) = &message.id {
        too_large("bytes in the id of a message", id.len(), ID_MAX)?;
        if id.is_empty() || !is_visible(id) {
            return Err(Error::Invalid(format!(
                "the id of a message must be visible ASCII characters without spaces: {id:?}"
            )));
        }
    }
    too_large(
        "bytes in the key of a message",
        message.key.as_ref().map_or(0, Bytes::len),
        KEY_MAX,
    )?;
    too_large("headers of a message", message.headers.len(), HEADERS_MAX)?;
    let size = message.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    too_large("bytes in the headers of a message", size, HEADERS_SIZE_MAX)?;
    let is_name = |name: &str| {
        !name.is_empty()
            && name.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
            })
    };
    for (index, (name, value)) in message.headers.iter().enumerate() {
        if !is_name(name) {
            return Err(Error::Invalid(format!(
                "{name:?} is no name of a header: lower-case letters, digits, `-`, `_` and `.`"
            )));
        }
        if value.chars().any(char::is_control) {
            return Err(Error::Invalid(format!(
                "the header `{name}` of a message has control characters"
            )));
        }
        if message.headers[..index].iter().any(|(other, _)| other == name) {
            return Err(Error::Invalid(format!("the header `{name}` of a message is there twice")));
        }
    }
    too_large("bytes in one message", message.size(), MESSAGE_SIZE_MAX)
}

fn too_large(what: &'static str, size: usize, limit: usize) -> Result<(), Error> {
    if size > limit { Err(Error::TooLarge { what, size, limit }) } else { Ok(()) }
}
