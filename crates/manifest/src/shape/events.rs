//! Topics, ways of delivery and times: the forms of what is said of events.

use super::{Misfit, misfit, names};
use crate::engine;
use base::units;
use logic::{
    condition::{Condition, EVENT},
    schedule::Repeat,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Shortest pause between two attempts: with none at all a message that always fails would keep the node busy.
const PAUSE_MIN: Duration = Duration::from_millis(10);

/// Longest pause between two attempts. What waits longer is forgotten by people.
const PAUSE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Shortest time for which messages are retained.
const RETENTION_MIN: Duration = Duration::from_secs(1);

/// Most attempts that are counted; more are `none`.
const ATTEMPTS_MAX: u32 = 1_000_000;

/// The word for what never ends.
const FOREVER: &str = "forever";

/// What stands for the column of that name in the topic of an outbox.
pub(crate) const AGGREGATE_TYPE: &str = "{aggregatetype}";

/// Methods of deliveries, which have a body.
const DELIVERS: &[&str] = &["POST", "PUT", "PATCH"];

/// Methods of calls.
const CALLS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE"];

/// A form that only keys of events have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EventForm {
    /// The name of a topic.
    Topic,
    /// The name of a group.
    Group,
    /// `true`, `false`, or the name of a topic.
    DeadLetter,
    /// A number, or `none`.
    Attempts,
    /// `1s..1m`, or `5s`.
    Pauses,
    /// A duration, or `forever`.
    Retention,
    /// `POST /path`, or the path alone.
    Way,
    /// `POST service/path`, or without the method.
    Call,
    /// A condition in CEL on an event.
    Condition,
    /// Times of a calendar.
    Cron,
    /// The name of a time zone.
    Zone,
    /// `embedded`, or the URL of a broker.
    Broker,
    /// What stands before names in a broker.
    BrokerPrefix,
    /// The URL of a database with an outbox.
    OutboxUrl,
    /// The name of a table.
    Table,
    /// A topic with a placeholder.
    OutboxTopic,
}

impl EventForm {
    /// Whether `${secret:NAME}` may stand in it.
    pub(crate) fn takes_secrets(self) -> bool {
        self.is_hidden()
    }

    /// Whether messages must not show it.
    pub(crate) fn is_hidden(self) -> bool {
        matches!(self, Self::Broker | Self::OutboxUrl)
    }

    /// What is expected, with an article.
    pub(crate) fn expected(self) -> String {
        let text = match self {
            Self::Topic => "the name of a topic",
            Self::Group => "the name of a group",
            Self::DeadLetter => "true, false or the name of a topic",
            Self::Attempts => return format!("a whole number from 1 to {ATTEMPTS_MAX}, or none"),
            Self::Pauses => "pauses such as 1s..1m or 5s",
            Self::Retention => "a duration such as 7d, or forever",
            Self::Way => "a method and a path such as POST /events",
            Self::Call => "a method, a service and a path such as POST reports/run",
            Self::Condition => "a condition",
            Self::Cron => "times such as `0 3 * * *` or @daily",
            Self::Zone => "a time zone such as Europe/Berlin",
            Self::Broker => "a broker such as embedded or nats://host:4222",
            Self::BrokerPrefix => "letters, digits, `-` and `_`",
            Self::OutboxUrl => "a URL such as postgres://host/name or sqlite:///folder/file.db",
            Self::Table => "the name of a table",
            Self::OutboxTopic => "a topic such as outbox.event.{aggregatetype}",
        };
        text.to_owned()
    }

    /// Whether `text` has this form.
    pub(crate) fn check(self, text: &str) -> Result<(), Misfit> {
        let done = |result: Result<(), String>| result.map_err(Misfit::Value);
        match self {
            Self::Topic => done(names::topic(text)),
            Self::Group => done(names::group(text)),
            Self::DeadLetter if matches!(text, "true" | "false") => Ok(()),
            Self::DeadLetter => done(names::topic(text)),
            Self::Attempts => match attempts(text) {
                Some(_) => Ok(()),
                None if text.parse::<i128>().is_ok() => {
                    Err(Misfit::Value(format!("must be {}", self.expected())))
                }
                None => Err(Misfit::Type),
            },
            Self::Pauses => done(pauses(text).map(drop)),
            Self::Retention => done(retention(text).map(drop)),
            Self::Way => done(way(text).map(drop)),
            Self::Call => done(call(text).map(drop)),
            Self::Condition => {
                Condition::compile(text, EVENT).map(drop).map_err(|why| misfit(text, why))
            }
            Self::Cron => done(times(text).map(drop)),
            Self::Zone => done(zone(text)),
            Self::Broker => done(engine::broker(text).map(drop)),
            Self::BrokerPrefix => done(names::broker_prefix(text)),
            Self::OutboxUrl => done(outbox_url(text)),
            Self::Table => done(table(text)),
            Self::OutboxTopic => done(outbox_topic(text)),
        }
    }

    /// Its JSON Schema.
    pub(crate) fn schema(self) -> Value {
        let text = json!({ "type": "string" });
        match self {
            Self::DeadLetter => json!({ "type": ["boolean", "string"] }),
            Self::Attempts => json!({ "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": ATTEMPTS_MAX },
                { "type": "string", "pattern": "^none$|^[0-9]+$|\\$\\{" },
            ] }),
            // A topic may look like a number.
            Self::Topic | Self::Group => json!({ "type": ["string", "number"] }),
            Self::Pauses
            | Self::Retention
            | Self::Way
            | Self::Call
            | Self::Condition
            | Self::Cron
            | Self::Zone
            | Self::Broker
            | Self::BrokerPrefix
            | Self::OutboxUrl
            | Self::Table
            | Self::OutboxTopic => text,
        }
    }
}

/// Reads a number of attempts; inside: `None` for no end.
pub(crate) fn attempts(text: &str) -> Option<Option<u32>> {
    if text == "none" {
        return Some(None);
    }
    let number = text.parse::<u32>().ok()?;
    (1..=ATTEMPTS_MAX).contains(&number).then_some(Some(number))
}

/// Reads `1s..1m`: the first pause and the longest one.
pub(crate) fn pauses(text: &str) -> Result<(Duration, Duration), String> {
    let (first, longest) = text.split_once("..").unwrap_or((text, text));
    let read = |text: &str| {
        units::parse_duration(text.trim()).map_err(|_no_duration| {
            format!("`{}` is no pause: write two durations such as 1s..1m, or one", text.trim())
        })
    };
    let (first, longest) = (read(first)?, read(longest)?);
    if first < PAUSE_MIN {
        return Err("the first pause must be 10ms or more".to_owned());
    }
    if longest < first {
        return Err("the first pause is longer than the longest one".to_owned());
    }
    if longest > PAUSE_MAX {
        return Err("no pause may be longer than a day".to_owned());
    }
    Ok((first, longest))
}

/// Reads how long something is retained; inside: `None` for ever.
pub(crate) fn retention(text: &str) -> Result<Option<Duration>, String> {
    if text == FOREVER {
        return Ok(None);
    }
    match units::parse_duration(text) {
        Ok(time) if time >= RETENTION_MIN => Ok(Some(time)),
        Ok(_) => Err("must be 1s or more; write forever for no end".to_owned()),
        Err(why) => Err(format!("{why}, or forever")),
    }
}

/// Splits a method off, `POST` when there is none.
fn method<'t>(text: &'t str, known: &[&'static str]) -> Result<(&'static str, &'t str), String> {
    let Some((word, rest)) = text.trim().split_once(char::is_whitespace) else {
        return Ok(("POST", text.trim()));
    };
    match known.iter().find(|method| **method == word) {
        Some(method) => Ok((method, rest.trim())),
        None => Err(format!("`{word}` is none of the methods {}", known.join(", "))),
    }
}

fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("the path must begin with `/`".to_owned());
    }
    match text.chars().find(|c| c.is_whitespace() || c.is_control() || *c == '#') {
        Some(bad) => Err(format!("the path must not have {bad:?} in it")),
        None => Ok(text.to_owned()),
    }
}

/// Reads `POST /path`.
pub(crate) fn way(text: &str) -> Result<(&'static str, String), String> {
    let (method, rest) = method(text, DELIVERS)?;
    Ok((method, path(rest)?))
}

/// Reads `POST service/path`: the method, the service, the path.
pub(crate) fn call(text: &str) -> Result<(&'static str, String, String), String> {
    let (method, rest) = method(text, CALLS)?;
    let (service, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if service.is_empty() {
        return Err("before the path stands the name of a service".to_owned());
    }
    let path = if rest.is_empty() { "/".to_owned() } else { path(rest)? };
    base::ServiceName::new(service).map_err(|why| why.to_string())?;
    Ok((method, service.to_owned(), path))
}

/// Reads the times of a schedule: the text without a zone, and the zone.
pub(crate) fn times(text: &str) -> Result<(String, Option<String>), String> {
    let text = text.trim();
    let (repeat, runs) = Repeat::parse(text).map_err(|why| {
        let why = why.to_string();
        why.strip_prefix("`schedule`: ").map_or(why.clone(), str::to_owned)
    })?;
    if runs.is_some() {
        return Err("how often it runs in all cannot be said here".to_owned());
    }
    match repeat {
        Repeat::Every(_) => Ok((text.to_owned(), None)),
        Repeat::Cron { zone, .. } => {
            let fields = match &zone {
                Some(_) => text.split_once(char::is_whitespace).map_or(text, |(_, rest)| rest),
                None => text,
            };
            Ok((fields.trim().to_owned(), zone))
        }
    }
}

fn zone(text: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "/_-+".contains(c);
    if !text.is_empty() && text.chars().all(fits) {
        return Ok(());
    }
    Err("must be the name of a time zone such as Europe/Berlin or UTC".to_owned())
}

/// Checks the URL of a database. It may hold a password: it is in no message.
fn outbox_url(text: &str) -> Result<(), String> {
    let known = ["postgres://", "postgresql://", "sqlite:"];
    let is_known = known.iter().any(|scheme| text.len() > scheme.len() && text.starts_with(scheme));
    // Which database a secret names is known when it is used.
    if is_known || text.starts_with(crate::secret::START) {
        return Ok(());
    }
    Err("the databases with an outbox are sqlite:///folder/file.db and postgres://host/name"
        .to_owned())
}

fn table(text: &str) -> Result<(), String> {
    let fits = |part: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
        part.len() <= 63 && part.starts_with(begins) && part.chars().all(fits)
    };
    let mut parts = text.split('.');
    let good = parts.next().is_some_and(fits) && parts.next().is_none_or(fits);
    if good && parts.next().is_none() {
        return Ok(());
    }
    Err("must be a table's name of letters, digits and `_`, perhaps after a schema and a dot"
        .to_owned())
}

fn outbox_topic(text: &str) -> Result<(), String> {
    // With any word in the place of the column it is the name of a topic.
    names::topic(&text.replace(AGGREGATE_TYPE, "x")).map_err(|why| {
        if text.contains(['{', '}']) {
            format!("the only placeholder is {AGGREGATE_TYPE}")
        } else {
            why
        }
    })
}

/// A duration as a schedule has it, which knows no days.
pub(crate) fn every(period: Duration) -> String {
    let seconds = period.as_secs();
    if period.subsec_nanos() > 0 {
        return format!("@every {}us", period.as_micros());
    }
    let (hours, minutes, seconds) = (seconds / 3_600, seconds % 3_600 / 60, seconds % 60);
    let part = |number: u64, unit| match number {
        0 => String::new(),
        number => format!("{number}{unit}"),
    };
    format!("@every {}{}{}", part(hours, "h"), part(minutes, "m"), part(seconds, "s"))
}

#[cfg(test)]
mod tests;
