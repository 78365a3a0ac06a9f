//! Dead letters as people see them, and bringing them back.
//!
//! Nothing is removed from a topic of dead letters: it has its retention. Which letters have been brought back is kept in the kv
//! engine as ranges of offsets, so that single ones can be, and so that lists and counts leave them out.

use super::{Dead, Redrive, Stored, Topics};
use crate::{Error, batch::batches, dead};
use ports::{
    broker::{BATCH_MAX, Error as BrokerError, Message, Offset, Start, TopicName, TopicStatus},
    kv::{self, Is, Transaction},
};
use std::{collections::BTreeMap, time::Duration};

/// Most dead letters that one call brings back or lists.
pub const REDRIVE_MAX: usize = 10_000;

/// How often it is tried to note what was brought back, when others do the same at that moment.
const TRIES_MAX: usize = 10;

/// Most ranges that are kept; beyond that, the oldest letters are shown although they have been brought back.
const RANGES_MAX: usize = 20_000;

/// How long a reader is waited for whose topic says that there is more.
const READ_WAIT: Duration = Duration::from_secs(5);

const WHAT: &str = "which dead letters were brought back";
const PREFIX: &str = "redriven/";

/// Offsets as ranges, ends included, by their ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn has(&self, offset: Offset) -> bool {
        self.0.range(offset.0..).next().is_some_and(|(_, first)| *first <= offset.0)
    }

    fn add(&mut self, offset: Offset) {
        let Offset(offset) = offset;
        if self.has(Offset(offset)) {
            return;
        }
        let first = self.0.remove(&offset.wrapping_sub(1)).unwrap_or(offset);
        let next = self.0.range(offset..).next().map(|(last, first)| (*last, *first));
        match next {
            Some((last, begin)) if begin == offset.saturating_add(1) => self.0.insert(last, first),
            _ => self.0.insert(offset, first),
        };
    }

    /// How many there are among those that a topic keeps.
    pub(crate) fn count(&self, kept: &TopicStatus) -> u64 {
        let within = |(last, first): (&u64, &u64)| {
            let (first, last) = ((*first).max(kept.first.0), (*last).min(kept.last.0));
            (last + 1).saturating_sub(first)
        };
        self.0.iter().map(within).sum::<u64>().min(kept.messages)
    }

    /// Forgets what a topic does not keep any more, and all of it when the topic is another one: its offsets began anew.
    fn tidy(&mut self, kept: &TopicStatus) {
        if self.0.last_key_value().is_some_and(|(last, _)| *last > kept.last.0) {
            self.0.clear();
        }
        self.0.retain(|last, _| *last >= kept.first.0);
        while self.0.len() > RANGES_MAX {
            self.0.pop_first();
        }
    }

    fn encode(&self) -> String {
        let range = |(last, first): (&u64, &u64)| format!("{first}-{last}");
        format!("1 {}", self.0.iter().map(range).collect::<Vec<_>>().join(","))
    }

    fn decode(text: &[u8]) -> Option<Self> {
        let ranges = std::str::from_utf8(text).ok()?.strip_prefix("1 ")?;
        let range = |text: &str| {
            let (first, last) = text.split_once('-')?;
            Some((last.parse().ok()?, first.parse().ok()?))
        };
        ranges
            .split(',')
            .filter(|text| !text.is_empty())
            .map(range)
            .collect::<Option<_>>()
            .map(Self)
    }
}

impl Topics {
    /// Dead letters of `topic` that were not brought back, oldest first, from `from` on; at most `limit` and [`REDRIVE_MAX`].
    /// `topic` is where they come from, or where they are.
    ///
    /// # Errors
    /// [`Error::Broker`], [`Error::Kv`].
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn dead_letters(
        &self,
        topic: &TopicName,
        from: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<Dead>, Error> {
        let Some((place, status)) = self.place(topic).await? else { return Ok(Vec::new()) };
        let (done, _) = self.redriven(&place, &status).await?;
        let letters = self.letters(topic, &status, &done, from, limit.min(REDRIVE_MAX)).await?;
        let dead = |message: &Message| {
            let stored = Stored::of(message);
            Some(Dead { info: stored.dead.clone()?, stored })
        };
        Ok(letters.iter().filter_map(dead).collect())
    }

    /// Publishes dead letters again to the topic that they come from, for the group that gave them up alone. Answers how many.
    /// `topic` is where they come from, or where they are. One that is brought back by two calls at the same moment may
    /// come twice.
    ///
    /// # Errors
    /// [`Error::Broker`], [`Error::Kv`], [`Error::Missing`] when the topic that they come from is gone; those before may have
    /// been brought back.
    ///
    /// # Cancel safety
    /// Not cancel safe: some may have been brought back.
    pub async fn redrive(&self, topic: &TopicName, which: Redrive) -> Result<u64, Error> {
        let Some((place, status)) = self.place(topic).await? else { return Ok(0) };
        let (done, _) = self.redriven(&place, &status).await?;
        let letters = match which {
            Redrive::All { limit } => {
                self.letters(topic, &status, &done, None, limit.min(REDRIVE_MAX)).await?
            }
            Redrive::Offsets(offsets) => {
                let (count, limit) = (offsets.len(), REDRIVE_MAX);
                if count > limit {
                    return Err(Error::TooMany { what: "dead letters at once", count, limit });
                }
                let mut letters = Vec::new();
                for offset in offsets {
                    let is_there = offset <= status.last && !done.has(offset);
                    if is_there && let Some(letter) = self.one(&place, offset).await? {
                        letters.push(letter);
                    }
                }
                letters
            }
        };
        let mut by_topic: BTreeMap<TopicName, Vec<_>> = BTreeMap::new();
        for letter in &letters {
            if let Some(info) = dead::DeadInfo::of(letter) {
                let message = dead::redriven(letter, &info);
                by_topic.entry(info.topic).or_default().push((letter.offset, message));
            }
        }
        let mut count = 0;
        for (origin, messages) in by_topic {
            for batch in batches(messages, |(_, message)| message) {
                let (offsets, messages): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
                self.broker
                    .publish(&origin, messages)
                    .await
                    .map_err(|error| gone(&origin, error))?;
                self.note_redriven(&place, &offsets).await?;
                count += u64::try_from(offsets.len()).unwrap_or(u64::MAX);
            }
        }
        Ok(count)
    }

    /// Where the dead letters of `topic` are, or `topic` itself when they are there. Of several places the first one that has any.
    async fn place(&self, topic: &TopicName) -> Result<Option<(TopicName, TopicStatus)>, Error> {
        let mut places: Vec<_> =
            self.dead_topic(topic, &self.described(topic).dead_letter).into_iter().collect();
        let statuses = self.board.statuses();
        let of_topic = statuses.into_iter().filter(|status| status.topic == *topic);
        places.extend(of_topic.filter_map(|status| status.dead_letter));
        places.push(topic.clone());
        let mut empty = None;
        for place in places {
            match self.broker.topic(&place).await {
                Ok(status) if status.messages == 0 => empty = empty.or(Some((place, status))),
                Ok(status) => return Ok(Some((place, status))),
                Err(BrokerError::NoTopic(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(empty)
    }

    /// Letters from `from` on up to the last one that there is.
    async fn letters(
        &self,
        topic: &TopicName,
        status: &TopicStatus,
        done: &Ranges,
        from: Option<Offset>,
        limit: usize,
    ) -> Result<Vec<Message>, Error> {
        let from = from.unwrap_or(status.first).max(status.first);
        let mut found = Vec::new();
        if status.messages == 0 || from > status.last || limit == 0 {
            return Ok(found);
        }
        let is_place = *topic == status.name;
        let is_wanted = |message: &Message| {
            let info = dead::DeadInfo::of(message);
            info.is_some_and(|info| is_place || info.topic == *topic) && !done.has(message.offset)
        };
        let mut reader = self.broker.read(&status.name, Start::Offset(from)).await?;
        loop {
            // It may have been purged meanwhile; then there is nothing to come.
            let Ok(next) = tokio::time::timeout(READ_WAIT, reader.next(BATCH_MAX)).await else {
                return Ok(found);
            };
            let page = next?;
            let is_end = page.last().is_none_or(|last| last.offset >= status.last);
            found.extend(page.into_iter().filter(|message| is_wanted(message)));
            if found.len() >= limit || is_end {
                found.truncate(limit);
                return Ok(found);
            }
        }
    }

    /// What was brought back, and the row that says so.
    async fn redriven(
        &self,
        place: &TopicName,
        status: &TopicStatus,
    ) -> Result<(Ranges, Option<kv::Entry>), Error> {
        let key = self.rows.key(&format!("{PREFIX}{place}"));
        let entry = self.rows.get(WHAT, &key).await?;
        let mut ranges =
            entry.as_ref().and_then(|entry| Ranges::decode(&entry.value)).unwrap_or_default();
        ranges.tidy(status);
        Ok((ranges, entry))
    }

    async fn note_redriven(&self, place: &TopicName, offsets: &[Offset]) -> Result<(), Error> {
        let key = self.rows.key(&format!("{PREFIX}{place}"));
        for _ in 0..TRIES_MAX {
            let status = self.known(place, self.broker.topic(place).await)?;
            let (mut ranges, entry) = self.redriven(place, &status).await?;
            for offset in offsets {
                ranges.add(*offset);
            }
            let is = entry.map_or(Is::Missing, |entry| Is::ModifiedAt(entry.modified));
            let put = Transaction::put(key.clone(), ranges.encode()).when(key.clone(), is);
            if self.rows.commit(WHAT, put).await? {
                return Ok(());
            }
        }
        Err(Error::Invalid(format!("too many bring back dead letters of `{place}` at once")))
    }

    /// Forgets what was brought back of a topic that is removed.
    pub(super) async fn forget_redriven(&self, place: &TopicName) -> Result<(), Error> {
        let key = self.rows.key(&format!("{PREFIX}{place}"));
        self.rows.commit(WHAT, Transaction::delete(key)).await.map(|_| ())
    }

    /// What was brought back, by topic of dead letters; of none when the kv engine does not say.
    pub(super) async fn all_redriven(&self) -> BTreeMap<TopicName, Ranges> {
        let (mut all, mut range) = (BTreeMap::new(), self.rows.prefix(PREFIX));
        while let Ok(page) = self.rows.first(WHAT, &range).await {
            for entry in &page.entries {
                let name = self.rows.name(&entry.key).and_then(|name| name.strip_prefix(PREFIX));
                let place = name.and_then(|name| TopicName::new(name).ok());
                all.extend(place.zip(Ranges::decode(&entry.value)));
            }
            let Some(next) = page.next else { break };
            range.from = next;
        }
        all
    }
}

/// A topic is not made again for what once was in it.
fn gone(origin: &TopicName, error: BrokerError) -> Error {
    let hint = "; a parked event of a stream is delivered again by resetting its subscription";
    match error {
        BrokerError::NoTopic(_) => {
            let (what, name, hint) = ("topic", origin.to_string(), hint.to_owned());
            Error::Missing { what, name, hint }
        }
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ports::broker::TopicConfig;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn status(first: u64, last: u64) -> TopicStatus {
        TopicStatus {
            name: TopicName::new("t.dead").unwrap(),
            config: TopicConfig::default(),
            first: Offset(first),
            last: Offset(last),
            messages: last + 1 - first,
            bytes: 0,
            groups: 0,
        }
    }

    proptest! {
        #[test]
        fn ranges_are_the_set_of_what_was_added(
            offsets in prop::collection::vec(1_u64..60, 0..60),
            first in 1_u64..60,
        ) {
            let (mut ranges, mut model) = (Ranges::default(), BTreeSet::new());
            for offset in offsets {
                ranges.add(Offset(offset));
                model.insert(offset);
            }
            prop_assert_eq!(Ranges::decode(ranges.encode().as_bytes()), Some(ranges.clone()));
            let kept = status(first, 60);
            prop_assert_eq!(ranges.count(&kept), u64::try_from(model.range(first..).count()).unwrap());
            for offset in 1..62 {
                prop_assert_eq!(ranges.has(Offset(offset)), model.contains(&offset));
            }
            ranges.tidy(&kept);
            for offset in first..62 {
                prop_assert_eq!(ranges.has(Offset(offset)), model.contains(&offset));
            }
            ranges.tidy(&status(1, 0));
            prop_assert_eq!(ranges, Ranges::default());
        }
    }
}
