//! What Flotilla does for the shop: messages of topics, streams of events, and transactions over
//! several services.
//!
//! Every instance has an API of its own at `$DAPR_HTTP_ENDPOINT`, whose port says who asks. These
//! are the few calls of it that the shop needs.

use axum::http::{HeaderValue, Method, StatusCode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    error::{Error, Result},
    upstream::{Answer, Client, Trace, Upstream, failed},
};

/// How often an append is tried whose answer got lost.
const APPEND_TRIES: u32 = 2;

/// How long the answer to a new transaction waits for its end: less than a call may take.
const WAIT: HeaderValue = HeaderValue::from_static("wait=4");

/// A message as it is delivered: a CloudEvent, of which no more than this concerns us.
#[derive(Debug, Deserialize)]
pub struct Event<T> {
    /// The same when it is delivered again.
    pub id: String,
    pub data: T,
}

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a, T> {
    pub topic: &'a str,
    /// Messages of one key stay in order.
    pub key: &'a str,
    /// A second message with this id is not published, as long as the topic remembers the first.
    pub id: &'a str,
    pub data: &'a T,
}

/// An event of a stream.
#[derive(Debug, Deserialize)]
pub struct Stored<T> {
    /// Where it stands in its stream: from 0, without gaps.
    pub revision: u64,
    #[serde(flatten)]
    pub event: T,
}

/// Some events of a stream.
#[derive(Debug, Deserialize)]
pub struct Page<T> {
    pub events: Vec<Stored<T>>,
    /// The revision to go on from; absent when there are no more.
    pub next: Option<u64>,
}

/// A transaction over several services.
#[derive(Debug, Deserialize)]
pub struct Transaction {
    pub id: String,
    pub status: Status,
    /// Why it was aborted.
    pub reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every step was done.
    Committed,
    /// Every step that was done was undone.
    Aborted,
    /// An operator ended it by hand, here so and there otherwise.
    Mixed,
    /// It goes on, whoever is killed.
    #[serde(other)]
    Unfinished,
}

#[derive(Deserialize)]
struct Appended {
    revision: u64,
}

/// The API of this instance. Its errors are those of [`Upstream::call`], and 502 for an answer
/// that was not expected.
#[derive(Clone, Debug)]
pub struct Flotilla(Upstream);

impl Flotilla {
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self(upstream)
    }

    /// # Errors
    /// When this process was not started by Flotilla.
    pub fn from_env(client: &Client) -> std::result::Result<Self, String> {
        Upstream::from_env(client, "DAPR_HTTP_ENDPOINT").map(Self)
    }

    /// Publishes a message; it is on the disk when this returns.
    ///
    /// # Errors
    /// See [`Flotilla`]; whether it was published is then unknown.
    pub async fn publish<T: Serialize>(
        &self,
        message: Message<'_, T>,
        trace: &Trace,
    ) -> Result<()> {
        let mut headers = trace.headers();
        headers.insert("flotilla-key", text(message.key)?);
        headers.insert("flotilla-message-id", text(message.id)?);
        let path = format!("/v1/topics/{}", message.topic);
        let data = json!(message.data);
        expected(self.0.send(Method::POST, &path, headers, Some(&data)).await?)?;
        Ok(())
    }

    /// Appends an event behind the one of revision `after` (`None`: as the first), and returns its
    /// revision, or nothing when another event was quicker: then read it and decide again.
    ///
    /// # Errors
    /// See [`Flotilla`]; whether it was appended is then unknown.
    pub async fn append<T: Serialize>(
        &self,
        stream: &str,
        after: Option<u64>,
        id: &str,
        event: &T,
        trace: &Trace,
    ) -> Result<Option<u64>> {
        let after = after.map_or_else(|| "no_stream".to_owned(), |revision| revision.to_string());
        let mut event = json!(event);
        event["id"] = id.into();
        let body = json!({ "expected": after, "events": [event] });
        let path = format!("/v1/events/{stream}");
        let mut tries = 1;
        let answer = loop {
            match self.0.call(Method::POST, &path, Some(&body), trace).await {
                // Its id makes the second append the same as the first, if that went well.
                Err(_lost) if tries < APPEND_TRIES => tries += 1,
                answer => break answer?,
            }
        };
        match answer.status {
            StatusCode::CONFLICT => Ok(None),
            _ => Ok(Some(expected(answer)?.json::<Appended>()?.revision)),
        }
    }

    /// The events of a stream from a revision on, the oldest first.
    ///
    /// # Errors
    /// See [`Flotilla`].
    pub async fn events<T: DeserializeOwned>(
        &self,
        stream: &str,
        from: u64,
        trace: &Trace,
    ) -> Result<Page<T>> {
        let path = format!("/v1/events/{stream}?from={from}");
        match self.find(&path, trace).await? {
            Some(answer) => answer.json(),
            None => Ok(Page { events: Vec::new(), next: None }),
        }
    }

    /// What [`Self::keep_snapshot`] kept last.
    ///
    /// # Errors
    /// See [`Flotilla`].
    pub async fn snapshot<T: DeserializeOwned>(
        &self,
        stream: &str,
        trace: &Trace,
    ) -> Result<Option<T>> {
        let path = format!("/v1/events/{stream}/snapshot");
        self.find(&path, trace).await?.map(|answer| answer.json()).transpose()
    }

    /// Keeps what the events up to `revision` come to, so that reading may begin there.
    ///
    /// # Errors
    /// See [`Flotilla`].
    pub async fn keep_snapshot<T: Serialize>(
        &self,
        stream: &str,
        revision: u64,
        data: &T,
        trace: &Trace,
    ) -> Result<()> {
        let path = format!("/v1/events/{stream}/snapshot?revision={revision}");
        expected(self.0.call(Method::PUT, &path, Some(&json!(data)), trace).await?)?;
        Ok(())
    }

    /// Starts the transaction that `flotilla.yaml` has under `name`, and waits a little for its
    /// end. With the same `id` and `input` again it is the same transaction, as it stands then;
    /// without an `id` it is a new one each time.
    ///
    /// # Errors
    /// See [`Flotilla`]; whether it goes on is then unknown. 409 when the `id` was used for
    /// something else.
    pub async fn transact<T: Serialize>(
        &self,
        name: &str,
        id: Option<&str>,
        input: &T,
        trace: &Trace,
    ) -> Result<Transaction> {
        let mut headers = trace.headers();
        headers.insert("prefer", WAIT);
        let mut body = json!({ "use": name, "input": input });
        if let Some(id) = id {
            body["id"] = id.into();
        }
        let answer = self.0.send(Method::POST, "/v1/tx", headers, Some(&body)).await?;
        if answer.status == StatusCode::CONFLICT {
            return Err(Error::conflict("id_reused", answer.message().unwrap_or_default()));
        }
        expected(answer)?.json()
    }

    /// A transaction as it stands, if it is known.
    ///
    /// # Errors
    /// See [`Flotilla`].
    pub async fn transaction(&self, id: &str, trace: &Trace) -> Result<Option<Transaction>> {
        let answer = self.find(&format!("/v1/tx/{id}"), trace).await?;
        answer.map(|answer| answer.json()).transpose()
    }

    /// Nothing when there is no such thing.
    async fn find(&self, path: &str, trace: &Trace) -> Result<Option<Answer>> {
        let answer = self.0.call(Method::GET, path, None, trace).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        expected(answer).map(Some)
    }
}

/// The answer, if it is not a refusal.
fn expected(answer: Answer) -> Result<Answer> {
    if answer.status.is_success() {
        return Ok(answer);
    }
    let why = answer.message().unwrap_or_default();
    Err(failed(format!("flotilla answered {}: {why}", answer.status)))
}

fn text(value: &str) -> Result<HeaderValue> {
    HeaderValue::from_str(value)
        .map_err(|cause| Error::invalid(format!("`{value}` is no header: {cause}")))
}
