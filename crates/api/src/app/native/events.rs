//! Streams of events as services use them: appending under a condition, and snapshots.

use super::Asker;
use crate::{
    answer::{Answer, Problem, body_of, json},
    context::Context,
    handlers::streams::{expectation, new_event},
    wire::streams::{Appended, NewEvent},
};
use events::Snapshot;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use ports::streams::{self, Condition, Expected, Item, Position, Query};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const REVISION: HeaderName = HeaderName::from_static("flotilla-revision");
const BYTES: &str = "application/octet-stream";

/// Events to append together: all or none.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StreamAppendIf")]
pub(crate) struct AppendIf {
    /// What the stream must be like: `any` (when it is left out), `no_stream`, `exists`, or the revision of its last event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expected: Option<String>,
    /// What must not have happened meanwhile, in whatever stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) condition: Option<Unless>,
    /// At most 500.
    pub(crate) events: Vec<NewEvent>,
}

/// Refuses an append when anything was appended meanwhile that matters to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StreamCondition")]
pub(crate) struct Unless {
    /// Events that matter match any of these; at least one.
    pub(crate) any_of: Vec<Matters>,
    /// The position up to which the caller has seen all events.
    pub(crate) after: u64,
}

/// Events that match all that it says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StreamMatch")]
pub(crate) struct Matters {
    /// Of one of these types; none: of any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) types: Vec<String>,
    /// With all of these tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tags: Vec<String>,
    /// Of a stream whose name begins so, up to its first `-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) category: Option<String>,
}

/// Whether a snapshot was stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "StreamSnapshotStored")]
pub(crate) struct SnapshotStored {
    /// False: a snapshot of a later revision was there, and stays.
    pub(crate) stored: bool,
}

/// What the fields say of the stream (RFC 9110 §13.1).
fn precondition(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let text = |name: HeaderName| headers.get(name).map(|it| it.to_str().unwrap_or("\0").trim());
    match (text(header::IF_MATCH), text(header::IF_NONE_MATCH)) {
        (None, None) => Ok(None),
        (Some("*"), None) => Ok(Some("exists".to_owned())),
        (Some(tag), None) => {
            let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
            Ok(Some(bare.to_owned()))
        }
        (None, Some("*")) => Ok(Some("no_stream".to_owned())),
        (None, Some(_)) => {
            Err(Problem::bad_request("`If-None-Match` of an append can only be `*`"))
        }
        (Some(_), Some(_)) => {
            let message = "`If-Match` and `If-None-Match` cannot be given together";
            Err(Problem::bad_request(message))
        }
    }
}

pub(super) async fn append(context: Context<Asker>) -> Result<Answer, Problem> {
    let AppendIf { expected, condition, events } = context.read()?;
    let given = precondition(&context.headers)?;
    if expected.is_some() && given.is_some() {
        let message = "give `expected` or a field such as `If-Match`, not both";
        return Err(Problem::bad_request(message));
    }
    let expected = expected.or(given);
    let expected = expected.as_deref().map_or(Ok(Expected::Any), expectation)?;
    let append = streams::Append {
        stream: context.value(0).to_owned(),
        expected,
        condition: condition.map(Unless::read).transpose()?,
        events: events.into_iter().map(new_event).collect::<Result<_, _>>()?,
    };
    let done = context.events()?.streams().append(append).await?;
    let answer =
        Appended { revision: done.revision, position: done.position.0, duplicate: done.duplicate };
    let mut answer = json(StatusCode::CREATED, &answer);
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", done.revision)) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    Ok(answer)
}

impl Unless {
    fn read(self) -> Result<Condition, Problem> {
        if self.any_of.is_empty() {
            let message = "`any_of` of a condition is empty: any event at all would matter";
            return Err(Problem::bad_request(message));
        }
        let item = |it: Matters| Item { kinds: it.types, tags: it.tags, category: it.category };
        let items = self.any_of.into_iter().map(item).collect();
        Ok(Condition { query: Query { items }, after: Position(self.after) })
    }
}

pub(super) async fn get_snapshot(context: Context<Asker>) -> Result<Answer, Problem> {
    let name = context.value(0);
    let found = context.events()?.streams().snapshot(name).await?;
    let Some(Snapshot { revision, content_type, data }) = found else {
        let message = format!("stream `{}` has no snapshot", name.escape_debug());
        return Err(Problem::not_found(message, None));
    };
    let mut answer = body_of(StatusCode::OK, BYTES, Full::new(data).boxed_unsync());
    let headers = answer.headers_mut();
    if let Some(Ok(kind)) = content_type.as_deref().map(HeaderValue::from_str) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(REVISION, HeaderValue::from(revision));
    Ok(answer)
}

pub(super) async fn put_snapshot(context: Context<Asker>) -> Result<Answer, Problem> {
    let Some(revision) = context.params.number("revision") else {
        let message = "`revision` is missing: that of the last event that is in the snapshot";
        return Err(Problem::bad_request(message));
    };
    let kind = context.headers.get(header::CONTENT_TYPE).map(HeaderValue::to_str);
    let content_type = match kind {
        None => None,
        Some(Ok(kind)) => Some(kind.to_owned()),
        Some(Err(_)) => return Err(Problem::bad_request("`Content-Type` is not ASCII")),
    };
    let snapshot = Snapshot { revision, content_type, data: context.body.clone() };
    let stored = context.events()?.streams().put_snapshot(context.value(0), snapshot).await?;
    Ok(json(StatusCode::OK, &SnapshotStored { stored }))
}
