//! Names and values of fields, as RFC 9110 §5 has them.

/// Why a text is no name of a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// Nothing.
    #[error("a field name is empty")]
    Empty,
    /// Not a token of RFC 9110 §5.6.2.
    #[error("`{name}` is no field name: `{found}` may not stand in one")]
    NoToken {
        /// The text.
        name: String,
        /// The first character that is wrong.
        found: char,
    },
    /// Longer than [`NAME_LEN_MAX`].
    #[error("a field name has at most 128 characters")]
    TooLong,
}

/// The longest field name that a configuration may have; known names have at most 40 characters.
pub const NAME_LEN_MAX: usize = 128;

/// Whether `byte` may stand in a token (RFC 9110 §5.6.2).
#[must_use]
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether `text` is a token: one or more of its bytes and nothing else.
#[must_use]
pub fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// Checks a field name and gives it in lowercase.
///
/// # Errors
/// When it is empty, too long or no token.
pub fn field_name(name: &str) -> Result<String, InvalidName> {
    if name.is_empty() {
        return Err(InvalidName::Empty);
    }
    if name.len() > NAME_LEN_MAX {
        return Err(InvalidName::TooLong);
    }
    let wrong = name.chars().find(|c| !u8::try_from(*c).is_ok_and(is_token_byte));
    match wrong {
        Some(found) => Err(InvalidName::NoToken { name: name.to_owned(), found }),
        None => Ok(name.to_ascii_lowercase()),
    }
}

/// Whether `c` may stand in a field value (RFC 9110 §5.5): no control character but tab.
#[must_use]
pub const fn is_value_char(c: char) -> bool {
    c == '\t' || !(c.is_ascii_control())
}
