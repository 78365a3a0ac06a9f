//! Deciding the appends that are written together.

use base::Timestamp;
use ports::streams::{Append, Appended, Error, Expected, Position};
use std::sync::Arc;

use super::{
    command::{Command, Prior, Reply},
    list::Place,
    look::Look,
    overlay::{Overlay, Rows, Stream},
    record::Record,
    shared::{Shared, conflict},
};
use crate::log::Batch;

/// Appends that go to the log together. Each is decided on what those before it leave.
#[derive(Debug)]
pub(super) struct Group<'a> {
    shared: &'a Shared,
    /// The events go here.
    batch: &'a mut Batch,
    /// The index with those of this group.
    look: Look,
    /// The index of this group, with offsets from where the frame begins.
    pending: Arc<Overlay>,
    time: Timestamp,
}

/// What an append came to, which is told when the group is durable.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) reply: Reply,
    pub(super) result: Result<Appended, Error>,
}

impl<'a> Group<'a> {
    /// An empty group behind everything that is known.
    pub(super) fn new(shared: &'a Shared, batch: &'a mut Batch) -> Self {
        let pending = Arc::new(Overlay::default());
        let mut look = shared.look();
        look.overlays.push(Arc::clone(&pending));
        Self { shared, batch, look, pending, time: shared.date() }
    }

    pub(super) fn bytes(&self) -> u64 {
        self.batch.len()
    }

    /// The index of the group.
    pub(super) fn rows(self) -> Rows {
        std::mem::take(&mut *self.pending.write())
    }

    pub(super) fn decide(&mut self, command: Command) -> Answer {
        let Command { append, prior, reply } = command;
        let result = self.append(&append, &prior);
        Answer { reply, result }
    }

    fn append(&mut self, append: &Append, prior: &Prior) -> Result<Appended, Error> {
        let look = self.look_since(prior.seen);
        let name = &append.stream;
        let stream = look.stream(name).map_err(|trouble| self.shared.trouble(trouble))?;
        let stream = stream.or(prior.stream);
        if let Some(stream) = stream
            && let Some(result) = already(self.shared, &look, &stream, append)
        {
            return result;
        }
        expect(append, stream.as_ref())?;
        if let Some(condition) = &append.condition {
            let mut found = prior.conflict;
            if found.is_none() {
                let from = condition.after.0.max(prior.seen).saturating_add(1);
                let query = &condition.query;
                found = conflict(self.shared.first_match(&look, query, from, usize::MAX)?);
            }
            if let Some(position) = found {
                return Err(Error::ConditionFailed { position });
            }
        }
        Ok(self.write(append, stream))
    }

    /// What to look at for what came after position `seen`. That mostly is in memory.
    fn look_since(&self, seen: u64) -> Look {
        let mut look = self.look.clone();
        look.base = look.base.filter(|base| base.numbers.position > seen);
        look
    }

    fn write(&mut self, append: &Append, stream: Option<Stream>) -> Appended {
        let number = stream.map_or(self.look.position + 1, |stream| stream.number);
        let mut next = stream.map_or(0, |stream| stream.revision + 1);
        let mut rows = self.pending.write();
        for event in &append.events {
            let position = self.look.position + 1;
            let record = Record {
                stream: &append.stream,
                number,
                revision: next,
                time: self.time,
                id: &event.id,
                kind: &event.kind,
                tags: event.tags.iter().map(String::as_str).collect(),
                metadata: &event.metadata,
                data: &event.data,
            };
            let bytes = self.batch.entry();
            let offset = u32::try_from(bytes.len()).expect("a group is bounded");
            record.encode(position, bytes);
            rows.add(Place { position, offset }, &record);
            self.look.position = position;
            next += 1;
        }
        let position = Position(self.look.position);
        Appended { revision: next - 1, position, duplicate: false }
    }
}

/// Whether a stream is as an append expects it.
fn expect(append: &Append, stream: Option<&Stream>) -> Result<(), Error> {
    let actual = stream.map(|stream| stream.revision);
    let holds = match append.expected {
        Expected::Any => true,
        Expected::NoStream => actual.is_none(),
        Expected::Exists => actual.is_some(),
        Expected::Revision(revision) => actual == Some(revision),
    };
    if holds {
        return Ok(());
    }
    let expected = append.expected.to_string();
    Err(Error::WrongRevision { stream: append.stream.clone(), expected, actual })
}

/// What an append is answered whose ids are in the stream already. `None`: none of them is.
pub(super) fn already(
    shared: &Shared,
    look: &Look,
    stream: &Stream,
    append: &Append,
) -> Option<Result<Appended, Error>> {
    found(look, stream, append)
        .map_err(|trouble| shared.trouble(trouble))
        .transpose()
        .map(|found| found.flatten())
}

type Found = Option<Result<Appended, Error>>;

fn found(look: &Look, stream: &Stream, append: &Append) -> Result<Found, crate::tree::Trouble> {
    let mut first = None;
    let mut is_same = true;
    let mut known = None;
    for (index, event) in (0..).zip(&append.events) {
        let revision = look.id(stream.number, &event.id)?;
        if revision.is_some() && known.is_none() {
            known = Some(&event.id);
        }
        if index == 0 {
            first = revision;
        }
        is_same &= revision.is_some() && revision == first.map(|first: u64| first + index);
    }
    let Some(id) = known else { return Ok(None) };
    let Some(first) = first.filter(|_| is_same) else {
        let (stream, id) = (append.stream.clone(), id.clone());
        return Ok(Some(Err(Error::Conflict { stream, id })));
    };
    let revision = first + u64::try_from(append.events.len()).unwrap_or(u64::MAX) - 1;
    let places = look.of_stream(&append.stream, stream.number, revision, revision)?;
    let position = Position(places.first().map_or(0, |place| place.position));
    Ok(Some(Ok(Appended { revision, position, duplicate: true })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        disk::{Disk, simulated::Simulated},
        streams::recovery::{self, Limits},
    };
    use ports::streams::{Condition, NewEvent, Query};

    fn an_append(id: &str, expected: Expected, condition: Option<Condition>) -> Append {
        let event =
            NewEvent { id: id.to_owned(), kind: "happened".to_owned(), ..NewEvent::default() };
        Append { stream: "s".to_owned(), expected, condition, events: vec![event] }
    }

    /// What an append that was looked at when nothing was there is told when it is decided.
    fn decide(shared: &Shared, append: &Append) -> Result<Appended, Error> {
        let mut batch = Batch::new();
        let prior = Prior { seen: 0, stream: None, conflict: None };
        Group::new(shared, &mut batch).append(append, &prior)
    }

    fn verify(shared: &Shared) {
        let known = decide(shared, &an_append("1", Expected::NoStream, None)).unwrap();
        assert_eq!(known, Appended { revision: 0, position: Position(1), duplicate: true });
        let refused = decide(shared, &an_append("2", Expected::NoStream, None));
        assert!(
            matches!(refused, Err(Error::WrongRevision { actual: Some(0), .. })),
            "{refused:?}"
        );
        let nothing_new = Condition { query: Query::default(), after: Position(0) };
        let refused = decide(shared, &an_append("2", Expected::Any, Some(nothing_new)));
        let is_refused =
            matches!(refused, Err(Error::ConditionFailed { position }) if position == Position(1));
        assert!(is_refused, "{refused:?}");
        let next = decide(shared, &an_append("2", Expected::Revision(0), None)).unwrap();
        assert_eq!(next, Appended { revision: 1, position: Position(2), duplicate: false });
    }

    #[test]
    fn what_came_while_an_append_was_queued_counts_in_memory_and_in_the_index() {
        let disk: Arc<dyn Disk> = Arc::new(Simulated::default());
        let opened = recovery::open(&disk, "here".to_owned(), &Limits::default()).unwrap();
        let recovery::Opened { shared, log: _, store } = opened;
        let mut batch = Batch::new();
        let mut group = Group::new(&shared, &mut batch);
        let prior = Prior { seen: 0, stream: None, conflict: None };
        group.append(&an_append("1", Expected::NoStream, None), &prior).unwrap();
        let rows = group.rows();
        shared.apply(rows, 1, 0);
        verify(&shared);
        {
            let mut view = shared.view_mut();
            let rows = std::mem::take(&mut view.active);
            store.write(&rows.read(), view.numbers).unwrap();
            view.base = Arc::new(store.base().unwrap());
        }
        verify(&shared);
    }
}
