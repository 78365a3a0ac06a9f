//! `topics`.

use super::{Draft, Reader};
use crate::{
    RetryRule, Topic,
    read::values::{duration, flag, size},
    shape::{events, names},
    tree::{Entry, Node, Value},
};
use base::{ByteSize, Code};
use std::time::Duration;

/// The entry of `topics` that is a switch.
const AUTO: &str = "auto";

/// How long messages are kept when nothing is said.
const RETAIN: Duration = Duration::from_secs(7 * 24 * 3_600);

/// For how long ids are remembered when nothing is said.
const DEDUP: Duration = Duration::from_secs(120);

/// Longest time for which ids are remembered, as the broker port has it.
const DEDUP_MAX: Duration = Duration::from_secs(24 * 3_600);

impl Reader<'_> {
    pub(super) fn topics(&mut self, node: Option<&Node>, draft: &mut Draft) {
        for entry in node.map(Node::entries).unwrap_or_default() {
            let Entry { key, key_mark, value } = entry;
            match (&value.value, key == AUTO) {
                (Value::Scalar(_), true) => {
                    draft.auto = flag(Some(value));
                    continue;
                }
                (Value::Unknown, true) => continue,
                (Value::Null, true) => {
                    let message = "`topics.auto` is empty";
                    let help = "write `auto: true`, or `auto: {}` for a topic of that name";
                    self.problems.error(Code::WRONG_TYPE, key_mark, message, "", help);
                    continue;
                }
                (Value::Scalar(_), false) => {
                    let message = format!("topic `{key}` has the wrong type");
                    let label = "only `auto` is true or false";
                    let help = format!("write `{key}: {{}}`");
                    self.problems.error(Code::WRONG_TYPE, &value.mark, message, label, &help);
                    self.refused_topics.push(key.clone());
                    continue;
                }
                (Value::Null | Value::Map(_) | Value::List(_) | Value::Unknown, _) => {}
            }
            if let Err(why) = names::topic(key) {
                let message = format!("`{key}` cannot be the name of a topic");
                self.problems.error(Code::BAD_VALUE, key_mark, message, why, "");
                self.refused_topics.push(key.clone());
                continue;
            }
            let topic = self.topic(entry, draft);
            draft.all.topics.push(topic);
        }
    }

    fn topic(&mut self, entry: &Entry, draft: &mut Draft) -> Topic {
        let (name, node) = (&entry.key, &entry.value);
        let retain = node.get("retain").and_then(Node::text);
        let retain = retain.and_then(|text| events::retention(text).ok());
        let max = size(node.get("max"));
        if let (Some(ByteSize(0)), Some(at)) = (max, node.get("max")) {
            let message = format!("topic `{name}` would keep nothing");
            let help = "remove `max` to keep any number of bytes";
            self.problems.error(Code::BAD_VALUE, &at.mark, message, "must be more than 0", help);
        }
        let dedup = duration(node.get("dedup"));
        if let (Some(asked), Some(at)) = (dedup, node.get("dedup"))
            && asked > DEDUP_MAX
        {
            let message = format!("`dedup` of topic `{name}` is too long");
            let label = "ids are remembered for 1d at most";
            self.problems.error(Code::BAD_VALUE, &at.mark, message, label, "");
        }
        Topic {
            name: name.clone(),
            retain: retain.unwrap_or(Some(RETAIN)),
            max,
            dedup: dedup.unwrap_or(DEDUP),
            retry: self.retry_rule(node.get("retry"), RetryRule::default()).unwrap_or_default(),
            dead_letter: self.dead_letter(node.get("dead_letter"), name, draft).unwrap_or_default(),
            place: Some(entry.key_mark.place()),
        }
    }
}
