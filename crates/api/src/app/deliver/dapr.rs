//! Deliveries as Dapr makes them over HTTP: the answer's body says what became of the event.

use super::{
    Ask, Deliverer, Unanswered, Version,
    envelope::{self, Component, envelope},
    retry, said,
};
use crate::{
    answer::JSON,
    cloudevents::{STRUCTURED, Structured, new_id},
    query,
};
use ::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use base::ServiceName;
use base64::Engine as _;
use bytes::Bytes;
use events::{Event, Incoming, Verdict};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// The type of an envelope of many events.
pub(super) const BULK_KIND: &str = "com.dapr.event.sent.bulk";

const BYTES: &str = "application/octet-stream";

/// Where a delivery leads.
#[derive(Clone, Copy)]
pub(super) struct To<'a> {
    pub(super) service: &'a ServiceName,
    pub(super) pubsub: &'a str,
    pub(super) path: &'a str,
    pub(super) raw: bool,
}

/// What an app says of an event.
#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    status: Option<String>,
}

/// What an app says of many.
#[derive(Deserialize)]
struct SaidOfMany {
    #[serde(default)]
    statuses: Vec<SaidOfOne>,
}

#[derive(Deserialize)]
struct SaidOfOne {
    #[serde(rename = "entryId")]
    entry: String,
    #[serde(default)]
    status: Option<String>,
}

/// Many events in one request.
#[derive(Serialize)]
struct Bulk<'a> {
    id: String,
    metadata: BTreeMap<&'a str, &'a str>,
    pubsubname: &'a str,
    topic: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    entries: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    entry_id: &'a str,
    event: Body<'a>,
    content_type: &'a str,
    metadata: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Event(Structured<'a>),
    /// In base 64.
    Bytes(String),
}

impl Deliverer {
    /// The component, as the service reaches it. One that is gone from the file has no settings, and what was published
    /// before is delivered all the same.
    pub(super) fn component(&self, service: &ServiceName, name: &str) -> Component {
        let known = self.backend.pubsub(service, name);
        let prefix = known.map(|known| known.prefix.clone()).unwrap_or_default();
        Component { name: name.to_owned(), prefix }
    }

    pub(super) async fn by_post(
        &self,
        to: To<'_>,
        incoming: &Incoming,
        timeout: Duration,
    ) -> Verdict {
        let pubsub = self.component(to.service, to.pubsub);
        let topic = envelope::topic_of(incoming, &pubsub);
        let event = envelope(incoming, &pubsub, &topic, to.raw);
        let mut headers = self.fields(to.service, Some(&event));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
        let body = Structured(&event).to_bytes();
        match self.post(to.service, to.path, headers, body, timeout).await {
            Ok(response) => verdict(&response),
            Err(unanswered) => unanswered.into(),
        }
    }

    pub(super) async fn bulk_by_post(
        &self,
        to: To<'_>,
        events: &[Incoming],
        timeout: Duration,
    ) -> Vec<Verdict> {
        let Some(first) = events.first() else { return Vec::new() };
        let pubsub = self.component(to.service, to.pubsub);
        let topic = envelope::topic_of(first, &pubsub);
        let places: Vec<String> = events.iter().map(envelope::place).collect();
        let shown: Vec<Event> =
            events.iter().map(|incoming| envelope(incoming, &pubsub, &topic, false)).collect();
        let entry = |((incoming, event), place)| -> Entry<'_> {
            let (incoming, event, place): (&Incoming, &Event, &String) = (incoming, event, place);
            let (event, content_type) = if to.raw {
                let bytes = envelope::message(&incoming.event, &pubsub, &topic);
                let coded = base64::engine::general_purpose::STANDARD.encode(bytes);
                let kind = incoming.event.content_type.as_deref();
                let kind = kind.filter(|_| incoming.event.is_raw()).unwrap_or(BYTES);
                (Body::Bytes(coded), kind)
            } else {
                (Body::Event(Structured(event)), STRUCTURED)
            };
            Entry { entry_id: place, event, content_type, metadata: BTreeMap::new() }
        };
        let bulk = Bulk {
            id: new_id(),
            metadata: BTreeMap::from([("pubsubName", to.pubsub)]),
            pubsubname: to.pubsub,
            topic: &topic,
            kind: BULK_KIND,
            entries: events.iter().zip(&shown).zip(&places).map(entry).collect(),
        };
        // Only a map with keys that are no strings can fail, and there is none.
        let body = serde_json::to_vec(&bulk).unwrap_or_default().into();
        let mut headers = self.fields(to.service, None);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        match self.post(to.service, to.path, headers, body, timeout).await {
            Ok(response) => verdicts(&response, &places),
            Err(unanswered) => events.iter().map(|_| unanswered.clone().into()).collect(),
        }
    }

    pub(super) async fn job_by_post(
        &self,
        service: &ServiceName,
        name: &str,
        event: &Event,
        timeout: Duration,
    ) -> Verdict {
        let mut headers = self.fields(service, Some(event));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        let path = format!("/job/{}", query::escape(name));
        match self.post(service, &path, headers, event.data.clone(), timeout).await {
            Ok(response) if response.status().is_success() => Verdict::Done,
            Ok(response) => retry(said(response.status(), response.body())),
            Err(unanswered) => unanswered.into(),
        }
    }

    async fn post(
        &self,
        service: &ServiceName,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Response<Bytes>, Unanswered> {
        let ask = Ask { method: Method::POST, path: path.to_owned(), headers, body };
        Ok(self.ask(service, Version::Http1, ask, timeout).await?.0)
    }
}

/// What a status in words means; an unknown one is tried again.
fn of_status(status: Option<&str>) -> Verdict {
    match status {
        Some("SUCCESS") => Verdict::Done,
        Some("RETRY") => retry("RETRY status returned from app"),
        Some("DROP") => Verdict::Drop { reason: "DROP status returned from app".to_owned() },
        other => {
            retry(format!("unknown status returned from app: {:?}", other.unwrap_or_default()))
        }
    }
}

/// What an answer means that is no 2xx. 404 is for good: that is what apps answer that do not know the route.
fn failed(status: StatusCode, body: &[u8]) -> Verdict {
    let reason = said(status, body);
    if status == StatusCode::NOT_FOUND { Verdict::Drop { reason } } else { retry(reason) }
}

fn verdict(response: &Response<Bytes>) -> Verdict {
    if !response.status().is_success() {
        return failed(response.status(), response.body());
    }
    match serde_json::from_slice::<Said>(response.body()) {
        Ok(Said { status: Some(status) }) if !status.is_empty() => of_status(Some(&status)),
        // Most apps do not know of the status at all.
        Ok(_) | Err(_) => Verdict::Done,
    }
}

/// One for each of `places`; an event that the answer does not mention is tried again.
fn verdicts(response: &Response<Bytes>, places: &[String]) -> Vec<Verdict> {
    if !response.status().is_success() {
        return places.iter().map(|_| failed(response.status(), response.body())).collect();
    }
    let said: SaidOfMany = match serde_json::from_slice(response.body()) {
        Ok(said) => said,
        Err(e) => {
            let reason = format!("the answer to a bulk of events cannot be read: {e}");
            return places.iter().map(|_| retry(reason.clone())).collect();
        }
    };
    let all = said.statuses.into_iter().map(|one| (one.entry, one.status));
    let said: HashMap<String, Option<String>> = all.collect();
    let of = |place| match said.get(place) {
        Some(Some(status)) if !status.is_empty() => of_status(Some(status)),
        _ => retry("the app's answer has no status for this entry"),
    };
    places.iter().map(of).collect()
}
