//! Single values as they are, with their conditions in headers: what a service wants that knows HTTP.

use super::{Store, fence, precondition, read, ttl, unquoted};
use crate::{
    answer::{Answer, Problem, body_of, json},
    context::Context,
    handlers::Reach,
    wire::{Time, state::Written},
};
use coordination::{Item, Write};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};

const EXPIRES_AT: HeaderName = HeaderName::from_static("flotilla-expires-at");
const BYTES: &str = "application/octet-stream";

pub(crate) async fn get_bytes<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let store = Store::of(&context)?;
    let item = read(&context, &store).await?;
    Ok(answer(&context.headers, item))
}

fn answer(asked: &HeaderMap, item: Item) -> Answer {
    let etag = item.etag.to_string();
    let known = asked.get_all(header::IF_NONE_MATCH).iter().filter_map(|it| it.to_str().ok());
    let mut known = known.flat_map(|it| it.split(','));
    let is_known = known.any(|one| one.trim() == "*" || unquoted(one) == etag);
    let (status, body) = if is_known {
        (StatusCode::NOT_MODIFIED, Full::default())
    } else {
        (StatusCode::OK, Full::new(item.value))
    };
    let mut answer = body_of(status, BYTES, body.boxed_unsync());
    let headers = answer.headers_mut();
    let kind = item.content_type.as_deref().map(HeaderValue::from_str);
    if let Some(Ok(kind)) = kind {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{etag}\"")) {
        headers.insert(header::ETAG, etag);
    }
    let expires = item.expires.map(|at| HeaderValue::from_str(&Time(at).to_string()));
    if let Some(Ok(expires)) = expires {
        headers.insert(EXPIRES_AT, expires);
    }
    answer
}

pub(crate) async fn put_bytes<B: Reach + ?Sized>(context: Context<B>) -> Result<Answer, Problem> {
    let store = Store::of(&context)?;
    let kind = context.headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let content_type = match kind {
        None => None,
        Some(Ok(kind)) => Some(kind.to_owned()),
        Some(Err(_)) => return Err(Problem::bad_request("`Content-Type` is not ASCII")),
    };
    let write = Write {
        key: store.key(context.value(1))?,
        value: context.body.clone(),
        etag: precondition(&context.headers)?,
        ttl: ttl(context.params.number("ttl_ms")),
        content_type,
        fence: store.fence(fence(&context.headers)?)?,
    };
    let etag = store.state.put(write).await.map_err(|e| store.problem(e))?.to_string();
    let mut answer = json(StatusCode::OK, &Written { etag: etag.clone() });
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{etag}\"")) {
        answer.headers_mut().insert(header::ETAG, etag);
    }
    Ok(answer)
}
