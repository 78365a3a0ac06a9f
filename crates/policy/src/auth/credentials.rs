//! Where a request carries credentials. What stands there twice is refused: the service might take the other.

use super::Refusal;
use crate::{Edit, Request};
use std::borrow::Cow;

/// The places of a request, read when they are asked for.
pub(super) struct Credentials<'a>(&'a dyn Request);

/// Nothing there, what is there, or two of it.
type Read = Result<Option<String>, Refusal>;

impl<'a> Credentials<'a> {
    pub(super) fn new(request: &'a dyn Request) -> Self {
        Self(request)
    }

    /// The value of field `name`.
    pub(super) fn field(&self, name: &str) -> Read {
        let (mut value, mut count) = (None, 0_u32);
        self.0.each(name, &mut |bytes| {
            count += 1;
            value = std::str::from_utf8(bytes)
                .ok()
                .map(|text| text.trim_matches([' ', '\t']).to_owned());
            count < 2
        });
        match (count, value) {
            (0, _) => Ok(None),
            (1, Some(value)) => Ok(Some(value)),
            (1, None) => Err(Refusal::malformed("a field with credentials is not text")),
            _ => Err(Refusal::malformed("a field with credentials stands there twice")),
        }
    }

    /// What follows `scheme`, in any case, in `Authorization` (RFC 9110 §11.4).
    pub(super) fn scheme(&self, scheme: &str) -> Read {
        let Some(value) = self.field("authorization")? else { return Ok(None) };
        let (own, rest) = value.split_once(' ').unwrap_or((&value, ""));
        Ok(own.eq_ignore_ascii_case(scheme).then(|| rest.trim_start_matches(' ').to_owned()))
    }

    pub(super) fn bearer(&self) -> Read {
        self.scheme("bearer")
    }

    /// The value of the cookie `name`.
    pub(super) fn cookie(&self, name: &str) -> Read {
        let mut values = Vec::new();
        self.each_cookie(&mut |pair| {
            if let Some(value) = value_of(pair, name) {
                values.push(value.trim_matches('"').to_owned());
            }
        });
        if values.len() > 1 {
            return Err(Refusal::malformed("a cookie with credentials stands there twice"));
        }
        Ok(values.pop())
    }

    /// The edit that removes the cookie `name` and leaves the others; `None` when it is not there.
    pub(super) fn without_cookie(&self, name: &str) -> Option<Edit> {
        let (mut others, mut count) = (Vec::new(), 0_u32);
        self.each_cookie(&mut |pair| {
            count += 1;
            if value_of(pair, name).is_none() {
                others.push(pair.to_owned());
            }
        });
        let field = Cow::Borrowed("cookie");
        if u32::try_from(others.len()).is_ok_and(|left| left == count) {
            None
        } else if others.is_empty() {
            Some(Edit::Remove(field))
        } else {
            Some(Edit::Set(field, Cow::Owned(others.join("; "))))
        }
    }

    fn each_cookie(&self, see: &mut dyn FnMut(&str)) {
        // HTTP/2 may split the field (RFC 9113 §8.2.3).
        self.0.each("cookie", &mut |bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.split(';')
                .map(|pair| pair.trim_matches([' ', '\t']))
                .filter(|pair| !pair.is_empty())
                .for_each(&mut *see);
            true
        });
    }

    /// The value of the query's parameter `name`.
    pub(super) fn parameter(&self, name: &str) -> Read {
        let query = self.0.query().unwrap_or_default();
        let mut values = query.split('&').filter_map(|pair| {
            let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescape(own)? == name).then_some(value)
        });
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => match unescape(value) {
                Some(value) => Ok(Some(value)),
                None => Err(Refusal::malformed("a parameter with credentials is not text")),
            },
            _ => Err(Refusal::malformed("a parameter with credentials stands there twice")),
        }
    }
}

fn value_of<'p>(pair: &'p str, name: &str) -> Option<&'p str> {
    let (own, value) = pair.split_once('=')?;
    (own.trim_end_matches([' ', '\t']) == name).then_some(value)
}

/// `query` without the parameter `name`; `None` when it has none.
pub(crate) fn without_parameter(query: &str, name: &str) -> Option<String> {
    let is_it = |pair: &&str| {
        let own = pair.split_once('=').map_or(*pair, |(own, _)| own);
        unescape(own).is_some_and(|own| own == name)
    };
    let others: Vec<&str> = query.split('&').filter(|pair| !is_it(pair)).collect();
    let is_changed = others.len() < query.split('&').count();
    is_changed.then(|| others.join("&"))
}

/// Undoes `%xx` and `+` (`application/x-www-form-urlencoded`); `None` when that makes no text.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |byte: u8| {
                    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
                };
                if let Some(([high, low], after)) = rest.split_first_chunk()
                    && let (Some(high), Some(low)) = (digit(*high), digit(*low))
                {
                    bytes.push(high << 4 | low);
                    rest = after;
                } else {
                    bytes.push(b'%');
                }
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}
