//! `schedules`.

use super::{Draft, Reader, data};
use crate::{
    MissedRuns, RetryRule, Scheduled, ScheduledAction,
    read::values::{duration, flag},
    shape::{EventForm, events, names},
    source::Mark,
    suggest,
    tree::{Entry, Node, Value},
};
use base::{Code, Diagnostic, ServiceName};
use jiff::tz::{TimeZone, db};
use std::time::Duration;

/// Shortest period of a schedule: each run is written to disk.
const EVERY_MIN: Duration = Duration::from_secs(1);

impl Reader<'_> {
    pub(super) fn schedules(&mut self, node: Option<&Node>, draft: &mut Draft) {
        for entry in node.map(Node::entries).unwrap_or_default() {
            if let Err(why) = names::store(&entry.key) {
                let message = format!("`{}` cannot be the name of a schedule", entry.key);
                self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, why, "");
                continue;
            }
            let when = self.when(entry);
            let action = self.action(entry, draft);
            let node = &entry.value;
            let retry = self.retry_rule(node.get("retry"), RetryRule::default());
            let timeout = self.delivery_timeout(node.get("timeout"));
            let (Some((when, zone)), Some(action)) = (when, action) else { continue };
            if let (ScheduledAction::Publish { .. }, Some(at)) = (&action, node.entry("timeout")) {
                let message = format!("`timeout` of schedule `{}` bounds nothing", entry.key);
                let help = "remove it; a subscription to the topic has a `timeout` of its own";
                let label = "nothing is called";
                self.problems.error(Code::BAD_VALUE, &at.key_mark, message, label, help);
            }
            draft.all.schedules.push(Scheduled {
                name: entry.key.clone(),
                when,
                zone,
                action,
                missed: match node.get("missed").and_then(Node::text) {
                    Some("skip") => MissedRuns::Skip,
                    Some("all") => MissedRuns::All,
                    _ => MissedRuns::Once,
                },
                retry: retry.unwrap_or_default(),
                timeout,
                paused: flag(node.get("paused")).unwrap_or(false),
                place: Some(entry.key_mark.place()),
            });
        }
    }

    /// One of two keys, whichever is there; reported when it is none or both.
    fn one_of<'n>(&mut self, entry: &'n Entry, keys: [&str; 2], help: &str) -> Option<&'n Entry> {
        let [first, second] = keys;
        match (entry.value.entry(first), entry.value.entry(second)) {
            (Some(one), None) | (None, Some(one)) => Some(one),
            (Some(_), Some(two)) => {
                let message = format!("schedule `{}` has both `{first}` and `{second}`", entry.key);
                let help = "remove one of them";
                self.problems.error(Code::BAD_VALUE, &two.key_mark, message, "", help);
                None
            }
            (None, None) => {
                // A value that cannot be read was reported.
                if matches!(entry.value.value, Value::Map(_) | Value::Null) {
                    let message =
                        format!("schedule `{}` has neither `{first}` nor `{second}`", entry.key);
                    self.problems.error(Code::BAD_VALUE, &entry.key_mark, message, "", help);
                }
                None
            }
        }
    }

    fn when(&mut self, entry: &Entry) -> Option<(String, Option<String>)> {
        let help = "write `cron: \"0 3 * * *\"`, or `every: 5m`";
        let found = self.one_of(entry, ["cron", "every"], help)?;
        let zone = entry.value.entry("zone");
        if found.key == "every" {
            let period = duration(Some(&found.value))?;
            if period < EVERY_MIN {
                let message = format!("`every` of schedule `{}` is too short", entry.key);
                let mark = &found.value.mark;
                self.problems.error(Code::BAD_VALUE, mark, message, "must be 1s or more", "");
            }
            if let Some(zone) = zone {
                let message = format!("`zone` of schedule `{}` means nothing", entry.key);
                let label = "`every` counts from run to run";
                let help = "remove it, or write `cron:`";
                self.problems.error(Code::BAD_VALUE, &zone.key_mark, message, label, help);
            }
            return Some((events::every(period), None));
        }
        let (when, inside) = events::times(found.value.text()?).ok()?;
        let (name, mark) = match (inside, zone) {
            (Some(_), Some(zone)) => {
                let message = "the time zone stands in `cron` already";
                self.problems.error(Code::BAD_VALUE, &zone.key_mark, message, "", "remove one");
                return None;
            }
            (Some(inside), None) => (Some(inside), &found.value.mark),
            (None, Some(zone)) => (zone.value.text().map(str::to_owned), &zone.value.mark),
            (None, None) => (None, &found.value.mark),
        };
        if let Some(name) = &name {
            self.zone(name, mark);
        }
        Some((when, name))
    }

    /// Reports a time zone that this machine does not know.
    fn zone(&mut self, name: &str, mark: &Mark) {
        // What cannot be a name was told by the check.
        if EventForm::Zone.check(name).is_err() || TimeZone::get(name).is_ok() {
            return;
        }
        let problem = Diagnostic::error(Code::BAD_VALUE, format!("there is no time zone `{name}`"));
        let known: Vec<String> = db().available().map(|name| name.as_str().to_owned()).collect();
        self.problems.add(match suggest::nearest(name, known.iter().map(String::as_str)) {
            Some(near) => problem.at(mark.place(), format!("did you mean `{near}`?")),
            None if known.is_empty() => problem
                .at(mark.place(), "this machine knows no time zones")
                .help("install its time zone database (tzdata), or write `zone: UTC`"),
            None => problem
                .at(mark.place(), "not known to this machine")
                .help("write a name such as Europe/Berlin, or UTC"),
        });
    }

    fn action(&mut self, entry: &Entry, draft: &mut Draft) -> Option<ScheduledAction> {
        let help = "write `call: POST service/path`, or `publish: topic`";
        let found = self.one_of(entry, ["call", "publish"], help)?;
        let sent = entry.value.get("data").and_then(data::json);
        if found.key == "publish" {
            self.name_topic(&found.value, draft);
            let topic = found.value.text().filter(|topic| names::topic(topic).is_ok())?;
            return Some(ScheduledAction::Publish { topic: topic.to_owned(), data: sent });
        }
        let (method, service, path) = events::call(found.value.text()?).ok()?;
        let help = "a job with `schedule:` runs a program at times";
        self.called(&service, &found.value.mark.within(&service), help)?;
        Some(ScheduledAction::Call {
            service: ServiceName::new(&service).ok()?,
            method: method.to_owned(),
            path,
            data: sent,
        })
    }
}
