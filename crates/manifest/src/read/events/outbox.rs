//! `outbox` of a service, and outboxes of state stores.

use super::{Draft, Named, Reader};
use crate::{
    Coordination, Database, OutboxTable, Secret, Service, StateKind,
    read::values::{flag, text},
    shape::{EventForm, events, names},
    suggest,
    tree::{Entry, Value},
};
use base::{Code, Diagnostic};

/// The table when the file does not say.
const TABLE: &str = "outbox";

/// The topic when the file does not say.
const TOPIC: &str = "outbox.event.{aggregatetype}";

impl Reader<'_> {
    pub(super) fn outbox(&mut self, entry: &Entry, service: &Service, draft: &mut Draft) {
        let Some(asked) = entry.value.entry("outbox") else { return };
        let node = &asked.value;
        let is_asked = match node.value {
            Value::Scalar(_) => flag(Some(node)).unwrap_or(false),
            Value::Map(_) | Value::Null => true,
            Value::List(_) | Value::Unknown => false,
        };
        if !is_asked {
            return;
        }
        let url = text(node.get("url"));
        if node.get("url").is_none() && !self.has_outbox_database(asked, service) {
            return;
        }
        let topic = text(node.get("topic")).unwrap_or_else(|| TOPIC.to_owned());
        if EventForm::OutboxTopic.check(&topic).is_ok() {
            let mark = node.get("topic").map_or(&asked.key_mark, |node| &node.mark).clone();
            let is_pattern = topic.contains(events::AGGREGATE_TYPE);
            draft.named.push(Named { topic: topic.clone(), mark, is_pattern });
        }
        draft.all.outboxes.push(OutboxTable {
            service: service.name.clone(),
            url: url.map(Secret::new),
            table: text(node.get("table")).unwrap_or_else(|| TABLE.to_owned()),
            topic,
            place: Some(asked.key_mark.place()),
        });
    }

    /// Whether the service has a database of its own that can hold an outbox; reported otherwise.
    fn has_outbox_database(&mut self, asked: &Entry, service: &Service) -> bool {
        let name = &service.name;
        let (message, label) = match &service.db {
            Some(Database::Sqlite) => return true,
            Some(Database::Url(url)) if EventForm::OutboxUrl.check(url).is_ok() => {
                return true;
            }
            Some(Database::Url(_)) => (
                format!("the database of service `{name}` cannot have an outbox"),
                "the databases with an outbox are SQLite and PostgreSQL",
            ),
            None => {
                (format!("service `{name}` has no database for an outbox"), "no table to read from")
            }
        };
        let help = "write `db: sqlite` beside it, or `outbox: { url: … }`";
        self.problems.error(Code::BAD_VALUE, &asked.key_mark, message, label, help);
        false
    }

    /// Reports outboxes of state stores that cannot work.
    pub(super) fn state_outboxes(&mut self, draft: &mut Draft, shared: &Coordination) {
        let pubsubs = &draft.all.pubsubs;
        for (store, mark) in &draft.outbox_marks {
            let Some(outbox) = draft.all.state_outboxes.get(store) else { continue };
            let is_cache = shared
                .state
                .iter()
                .any(|known| known.name == *store && matches!(known.kind, StateKind::Cache { .. }));
            let is_known = pubsubs.iter().any(|known| known.name == outbox.pubsub);
            let bad_topic = names::topic(&outbox.topic);
            let problem = if is_cache {
                let message = format!("transactions of the store `{store}` are not published");
                Diagnostic::warning(Code::NOT_HONOURED, message)
                    .at(mark.place(), "a store in memory has no outbox")
            } else if !is_known {
                let message = format!("transactions of the store `{store}` are not published");
                let label = format!("there is no component `{}`", outbox.pubsub);
                let problem =
                    Diagnostic::warning(Code::NOT_HONOURED, message).at(mark.place(), label);
                let known = pubsubs.iter().map(|known| known.name.as_str());
                match suggest::nearest(&outbox.pubsub, known) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem,
                }
            } else if let Err(why) = bad_topic {
                let message = format!("there is no topic `{}`", outbox.topic);
                Diagnostic::warning(Code::NOT_HONOURED, message).at(mark.place(), why)
            } else {
                continue;
            };
            self.problems.add(problem);
            draft.all.state_outboxes.remove(store);
        }
    }
}
