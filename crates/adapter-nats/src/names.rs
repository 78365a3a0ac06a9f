//! What streams, subjects and consumers are called.
//!
//! Names of the port have letters, digits and `. _ - / : @`; those of JetStream must not have `.`, `/`, blanks and wildcards.
//! Each character is written as one other, so no two names become the same and none becomes too long.

use ports::broker::{GroupName, TopicName};

#[cfg(test)]
mod tests;

/// What the port allows and JetStream (or the file system below it) does not, and what stands for it.
const WRITTEN: [(char, char); 3] = [('.', '~'), ('/', '+'), (':', '!')];

/// Stands between the prefix, which cannot have it, and the topic.
const AFTER_PREFIX: char = '=';

/// Stands before the epoch. The last one counts, so that groups may have it in their names.
const BEFORE_EPOCH: char = '_';

/// Whether a topic compares ids: it is a part of its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ids {
    Compared,
    Free,
}

/// The names of one system.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: String,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(crate) fn stream(&self, topic: &TopicName) -> String {
        format!("{}{AFTER_PREFIX}{}", self.prefix, write(topic.as_str()))
    }

    /// `None`: it is not ours.
    pub(crate) fn topic(&self, stream: &str) -> Option<TopicName> {
        let name = stream.strip_prefix(&self.prefix)?.strip_prefix(AFTER_PREFIX)?;
        TopicName::new(&read(name)).ok()
    }

    pub(crate) fn subject(&self, topic: &TopicName, ids: Ids) -> String {
        let ids = match ids {
            Ids::Compared => "id",
            Ids::Free => "any",
        };
        format!("{}.{ids}.{}", self.prefix, write(topic.as_str()))
    }

    /// Fits the subjects of all topics.
    pub(crate) fn subjects(&self) -> String {
        format!("{}.*.*", self.prefix)
    }
}

pub(crate) fn consumer(group: &GroupName, epoch: u64) -> String {
    format!("{}{BEFORE_EPOCH}{epoch}", write(group.as_str()))
}

/// The group and the epoch; `None`: it is a reader, or somebody else's.
pub(crate) fn group(consumer: &str) -> Option<(GroupName, u64)> {
    let (name, epoch) = consumer.rsplit_once(BEFORE_EPOCH)?;
    let epoch = epoch.parse().ok()?;
    Some((GroupName::new(&read(name)).ok()?, epoch))
}

fn write(name: &str) -> String {
    let one = |character| WRITTEN.iter().find(|(from, _)| *from == character);
    name.chars().map(|character| one(character).map_or(character, |(_, to)| *to)).collect()
}

fn read(name: &str) -> String {
    let one = |character| WRITTEN.iter().find(|(_, to)| *to == character);
    name.chars().map(|character| one(character).map_or(character, |(from, _)| *from)).collect()
}
