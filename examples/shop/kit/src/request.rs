//! Reading requests, with refusals in the shop's own error form.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// A JSON body. The content type is not asked for, so that `curl -d '{…}'` just works.
#[derive(Debug)]
pub struct Body<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|cause| Error::new(cause.status(), "unreadable_body", cause.body_text()))?;
        let value = serde_json::from_slice(&bytes)
            .map_err(|cause| Error::invalid(format!("the body is not as expected: {cause}")))?;
        Ok(Self(value))
    }
}

/// The query parameters.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let Query(value) = Query::from_request_parts(parts, state)
            .await
            .map_err(|cause| Error::invalid(cause.body_text()))?;
        Ok(Self(value))
    }
}

/// The number in `/things/{id}`. What is no number names nothing, so it is 404.
#[derive(Clone, Copy, Debug)]
pub struct Id(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = last_segment(parts, state).await?;
        let id =
            text.parse().map_err(|_no_number| Error::not_found(format!("there is no `{text}`")))?;
        Ok(Self(id))
    }
}

/// The name in `/thing/{name}`.
#[derive(Clone, Debug)]
pub struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let text = last_segment(parts, state).await?;
        if is_name(&text) {
            Ok(Self(text))
        } else {
            Err(Error::invalid("a name has 1 to 64 letters, digits, `.`, `_` or `-`"))
        }
    }
}

async fn last_segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String> {
    let Path(text) = Path::from_request_parts(parts, state)
        .await
        .map_err(|cause| Error::new(StatusCode::BAD_REQUEST, "invalid", cause.body_text()))?;
    Ok(text)
}

/// Names need no escaping in a URL: that is the whole reason for the rule.
#[must_use]
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_needs_no_escaping() {
        for name in ["apple", "USB-C_2.0", "7", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "..", "-x", "a b", "a/b", "ä", "a?b", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
