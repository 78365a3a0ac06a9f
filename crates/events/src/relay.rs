//! Outbox tables of services: their rows are published and deleted.

use crate::{
    Deliver, Error, Event, Outboxes, Relay, RelayStatus, Target, Topics, batch::batches,
    pause::Pause, topics::message,
};
use base::{ErrorChain, Timestamp};
use bytes::Bytes;
use futures_util::FutureExt as _;
use ports::{
    broker::{ID_MAX, NewMessage, TopicName},
    outbox::{FETCH_MAX, Outbox, Row},
};
use runtime::{Clock, Stop};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tracing::{info, warn};

/// How long an empty table is left alone when the database does not tell of new rows itself.
const WAIT: Duration = Duration::from_secs(5);

/// Stands for the column in a topic's name.
pub(crate) const PLACE_HOLDER: &str = "{aggregatetype}";

/// How a relay is, for people.
#[derive(Debug)]
pub(crate) struct RelayGauge(Mutex<Shown>);

#[derive(Debug)]
struct Shown {
    status: RelayStatus,
    /// The problem that the log knows of.
    told: Option<String>,
}

impl RelayGauge {
    pub(crate) fn new(relay: &Relay) -> Self {
        let status = RelayStatus {
            service: relay.service.clone(),
            table: relay.table.clone(),
            topic: relay.topic.clone(),
            relayed: 0,
            last: None,
            problem: None,
        };
        Self(Mutex::new(Shown { status, told: None }))
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> RelayStatus {
        self.lock().status.clone()
    }

    /// Shows it. The log is told when it is another than before; but while the service has yet to start, that its database is
    /// not there is as it should be.
    fn problem(&self, problem: Option<String>, has_service: bool) {
        let mut shown = self.lock();
        let Shown { status, told } = &mut *shown;
        if *told != problem && (has_service || problem.is_none()) {
            let (service, table) = (&status.service, &status.table);
            match &problem {
                Some(problem) => warn!(%service, table, problem, "an outbox is not relayed"),
                None => info!(%service, table, "an outbox is relayed again"),
            }
            told.clone_from(&problem);
        }
        status.problem = problem;
    }

    fn went(&self, count: usize, now: Timestamp) {
        let Shown { status, .. } = &mut *self.lock();
        status.relayed += u64::try_from(count).unwrap_or(u64::MAX);
        status.last = Some(now);
    }
}

/// Relays one table.
pub(crate) struct Task {
    pub(crate) topics: Topics,
    pub(crate) outboxes: Arc<dyn Outboxes>,
    pub(crate) deliver: Arc<dyn Deliver>,
    pub(crate) relay: Relay,
    pub(crate) gauge: Arc<RelayGauge>,
    pub(crate) clock: Clock,
}

impl Task {
    /// Goes on until `stop`.
    pub(crate) async fn run(self, mut stop: Stop) {
        let Self { topics, outboxes, deliver, relay, gauge, clock } = self;
        let (mut opened, mut pause, mut has_service) = (None, Pause::default(), false);
        let service = Target::post(relay.service.clone(), "/");
        loop {
            // Looked at before the step, so that what is missing then is missing although the service has started.
            has_service = has_service || deliver.ready(&service).now_or_never().is_some();
            let step = async {
                match step(&topics, &*outboxes, &relay, &mut opened).await {
                    Ok((count, problem)) => {
                        let is_stuck = problem.is_some();
                        gauge.problem(problem, has_service);
                        gauge.went(count, clock.date());
                        if count > 0 {
                            pause.reset();
                        } else if is_stuck {
                            pause.wait().await;
                        } else if let Some(outbox) = &opened {
                            pause.reset();
                            outbox.wait(WAIT).await;
                        }
                    }
                    Err(problem) => {
                        gauge.problem(Some(problem), has_service);
                        pause.wait().await;
                    }
                }
            };
            tokio::select! {
                () = step => {}
                () = stop.wait() => return,
            }
        }
    }
}

/// Relays the oldest rows. Answers how many, and why others stay where they are.
async fn step(
    topics: &Topics,
    outboxes: &dyn Outboxes,
    relay: &Relay,
    opened: &mut Option<Arc<dyn Outbox>>,
) -> Result<(usize, Option<String>), String> {
    let outbox = match opened {
        Some(outbox) => Arc::clone(outbox),
        None => Arc::clone(opened.insert(outboxes.open(relay).await?)),
    };
    let rows = match outbox.fetch(FETCH_MAX).await {
        Ok(rows) => rows,
        Err(error) => {
            let text = ErrorChain(&error).to_string();
            // The file behind it may be another one by now.
            *opened = None;
            return Err(text);
        }
    };
    let (mut by_topic, mut problem): (BTreeMap<TopicName, Vec<_>>, _) = (BTreeMap::new(), None);
    for row in rows {
        match outgoing(relay, &row) {
            Ok((topic, message)) => by_topic.entry(topic).or_default().push((row.id, message)),
            Err(error) => problem = Some(format!("row `{}`: {}", row.id, ErrorChain(&error))),
        }
    }
    let mut count = 0;
    for (topic, rows) in by_topic {
        for batch in batches(rows, |(_, message)| message) {
            let (ids, messages): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            if let Err(error) = topics.publish_messages(&topic, messages).await {
                problem = Some(ErrorChain(&error).to_string());
                // What comes later in this topic must not overtake it.
                break;
            }
            outbox.delete(&ids).await.map_err(|error| ErrorChain(&error).to_string())?;
            count += ids.len();
        }
    }
    Ok((count, problem))
}

/// The message of a row, and its topic.
fn outgoing(relay: &Relay, row: &Row) -> Result<(TopicName, NewMessage), Error> {
    let name = relay.topic.replace(PLACE_HOLDER, &row.aggregate_type);
    let topic = TopicName::new(&name).map_err(|error| {
        Error::Invalid(format!("`{name}` can be no topic ({error}): correct `aggregatetype`"))
    })?;
    let data = Bytes::from(row.payload.clone().unwrap_or_default());
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_ok();
    let content_type = if is_json { "application/json" } else { "application/octet-stream" };
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let event = Event {
        id: row.id.clone(),
        source: relay.service.to_string(),
        kind: row.kind.clone(),
        subject: some(&row.aggregate_id),
        content_type: Some(content_type.to_owned()),
        key: some(&row.aggregate_id).map(Bytes::from),
        data,
        ..Event::default()
    };
    Ok((topic, message(event, message_id(relay, row))?))
}

/// What makes a row that is published a second time a duplicate. Numbers are no such thing: databases give them again once the table
/// is empty, and then a new row would be taken for an old one.
fn message_id(relay: &Relay, row: &Row) -> Option<String> {
    let is_number = row.id.bytes().all(|byte| byte.is_ascii_digit());
    let id = format!("{}/{}", relay.service, row.id);
    let fits = id.len() <= ID_MAX && id.bytes().all(|byte| byte.is_ascii_graphic());
    (fits && !is_number).then_some(id)
}
