//! What topics and groups are called.

use std::{fmt, sync::Arc};

/// Longest name of a topic or a group in bytes: with its encoding it fits into a name of every engine.
pub const NAME_LEN_MAX: usize = 200;

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text has more than [`NAME_LEN_MAX`] bytes.
    #[error("a name has at most {NAME_LEN_MAX} characters, this one has {0}")]
    TooLong(usize),
    /// A character that names do not have.
    #[error("`{0}` is not allowed here: a name has letters, digits and `. _ - / : @`")]
    Character(char),
}

fn check(text: &str) -> Result<Arc<str>, InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.len() > NAME_LEN_MAX {
        return Err(InvalidName::TooLong(text.len()));
    }
    let is_allowed =
        |character: char| character.is_ascii_alphanumeric() || "._-/:@".contains(character);
    match text.chars().find(|character| !is_allowed(*character)) {
        Some(character) => {
            Err(InvalidName::Character(character.escape_debug().next().unwrap_or(character)))
        }
        None => Ok(text.into()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` and makes it a name.
            ///
            /// # Errors
            /// Says which rule the text breaks.
            pub fn new(text: &str) -> Result<Self, InvalidName> {
                check(text).map(Self)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name! {
    /// The name of a topic: 1 to [`NAME_LEN_MAX`] letters, digits and `. _ - / : @`. Cheap to clone.
    TopicName
}
name! {
    /// The name of a group, by the same rule as [`TopicName`]. Cheap to clone.
    GroupName
}
