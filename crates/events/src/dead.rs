//! Dead letters: what messages say of themselves that were given up, and how they come back.

use base::Timestamp;
use ports::broker::{GroupName, Message, NewMessage, Offset, TopicName};

/// Names of headers.
mod header {
    pub(super) const TOPIC: &str = "flotilla-dead-topic";
    pub(super) const GROUP: &str = "flotilla-dead-group";
    pub(super) const OFFSET: &str = "flotilla-dead-offset";
    pub(super) const REASON: &str = "flotilla-dead-reason";
    pub(super) const ATTEMPTS: &str = "flotilla-dead-attempts";
    pub(super) const TIME: &str = "flotilla-dead-time";
    pub(super) const ONLY_GROUP: &str = "flotilla-only-group";
    /// Stands before all that dead letters add.
    pub(super) const ALL: &str = "flotilla-dead-";
}

/// Longest reason in bytes: enough for the first lines of an answer, little enough to fit beside a message's own headers.
pub(crate) const REASON_LEN_MAX: usize = 1 << 10;

/// What stands behind the name of a topic for its dead letters.
const SUFFIX: &str = ".dead";

/// What a message was before it was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadInfo {
    /// Its topic.
    pub topic: TopicName,
    /// The group that gave it up.
    pub group: GroupName,
    /// Where it stood in its topic.
    pub offset: Offset,
    /// Why it was given up.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up.
    pub time: Timestamp,
}

impl DeadInfo {
    /// What `message` says; `None`: it was not given up.
    pub(crate) fn of(message: &Message) -> Option<Self> {
        let number = |name: &str| message.header(name)?.parse::<u64>().ok();
        Some(Self {
            topic: TopicName::new(message.header(header::TOPIC)?).ok()?,
            group: GroupName::new(message.header(header::GROUP)?).ok()?,
            offset: Offset(number(header::OFFSET)?),
            reason: message.header(header::REASON).unwrap_or_default().to_owned(),
            attempts: number(header::ATTEMPTS).and_then(|n| n.try_into().ok()).unwrap_or_default(),
            time: Timestamp(number(header::TIME).unwrap_or_default()),
        })
    }

    /// `message` as a dead letter. Its id makes a second one a duplicate: the first was taken, and the acknowledgement of
    /// the message was lost.
    pub(crate) fn letter(&self, message: &Message) -> NewMessage {
        let Self { topic, group, offset, reason, attempts, time } = self;
        let mut headers = kept(message);
        let reason: String = reason.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let end = reason.floor_char_boundary(REASON_LEN_MAX);
        let said = [
            (header::TOPIC, topic.to_string()),
            (header::GROUP, group.to_string()),
            (header::OFFSET, offset.to_string()),
            (header::REASON, reason.get(..end).unwrap_or_default().to_owned()),
            (header::ATTEMPTS, attempts.to_string()),
            (header::TIME, time.0.to_string()),
        ];
        headers.extend(said.map(|(name, value)| (name.to_owned(), value)));
        NewMessage {
            id: id(&format!("dead:{topic}:{group}:{offset}:{}", message.time.0)),
            key: message.key.clone(),
            headers,
            payload: message.payload.clone(),
        }
    }
}

/// A dead letter as it goes back to the topic that it came from, for the group that gave it up.
pub(crate) fn redriven(letter: &Message, info: &DeadInfo) -> NewMessage {
    let mut headers = kept(letter);
    headers.push((header::ONLY_GROUP.to_owned(), info.group.to_string()));
    NewMessage {
        id: id(&format!("redriven:{}:{}:{}", info.group, letter.offset, letter.time.0)),
        key: letter.key.clone(),
        headers,
        payload: letter.payload.clone(),
    }
}

/// The only group that a message is for.
pub(crate) fn only_group(message: &Message) -> Option<GroupName> {
    GroupName::new(message.header(header::ONLY_GROUP)?).ok()
}

/// The topic of the dead letters of `topic`; `None`: its name leaves no room for one.
pub(crate) fn own_topic(topic: &TopicName) -> Option<TopicName> {
    TopicName::new(&format!("{topic}{SUFFIX}")).ok()
}

/// Why a message is given up: the rule, and what the subscriber said.
pub(crate) fn why(reason: logic::redeliver::Reason, said: &str) -> String {
    if said.is_empty() { reason.to_string() } else { format!("{reason}: {said}") }
}

/// The headers that are the message's own.
fn kept(message: &Message) -> Vec<(String, String)> {
    let is_own = |name: &str| !name.starts_with(header::ALL) && name != header::ONLY_GROUP;
    message.headers.iter().filter(|(name, _)| is_own(name)).cloned().collect()
}

/// An id, unless it is too long: then a duplicate is possible, which at-least-once allows.
fn id(text: &str) -> Option<String> {
    (text.len() <= ports::broker::ID_MAX).then(|| text.to_owned())
}
