//! Cookies as RFC 6265 has them: one found in a request, one written for a response.

use std::{fmt, time::Duration};

/// Whether `name` may name a cookie: an RFC 9110 token.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(is_token_byte)
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The value of the first cookie called `name` in a `Cookie` field (RFC 6265 §4.2.1). Double quotes
/// around the value are taken off, spaces around name and value too.
#[must_use]
pub fn value_in<'a>(field: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut pairs = field.split(|byte| *byte == b';').filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (before, after) = (pair.get(..equals)?, pair.get(equals + 1..)?);
        (before.trim_ascii() == name.as_bytes()).then(|| after.trim_ascii())
    });
    let value = pairs.next()?;
    let inside = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    Some(inside.unwrap_or(value))
}

/// A `Set-Cookie` field's value; [`fmt::Display`] writes it. Always `Path=/`, `HttpOnly` and
/// `SameSite=Lax`: no script needs it, and other sites need not send it.
#[derive(Clone, Copy, Debug)]
pub struct SetCookie<'a> {
    /// The cookie's name, see [`is_name`].
    pub name: &'a str,
    /// The instance.
    pub token: super::Token,
    /// Whether the client came over TLS: then it must not send the cookie without.
    pub is_secure: bool,
    /// How long the client keeps it, in whole seconds; `None`: until it is closed.
    pub max_age: Option<Duration>,
}

impl fmt::Display for SetCookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}; Path=/; HttpOnly; SameSite=Lax", self.name, self.token)?;
        if self.is_secure {
            f.write_str("; Secure")?;
        }
        match self.max_age {
            Some(age) => write!(f, "; Max-Age={}", age.as_secs()),
            None => Ok(()),
        }
    }
}
