//! What has happened to a transaction, told in few bytes.

use crate::{NOTES_MAX, Note, StepSpec};
use logic::tx::{Op, Phase};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The first notes, which stay when there are more than are kept: how it began is what is asked for first.
const FIRST: usize = 8;

/// Longest text of a note in bytes: a sentence or two of a participant.
const TEXT_LEN_MAX: usize = 200;

/// A number, milliseconds after the begin, the phase, the branch and the operation, and words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row(u32, u64, Phase, Option<u16>, Option<Op>, Cow<'static, str>);

/// What has happened, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Notes(Vec<Row>);

impl Notes {
    /// Adds a note, unless it says what the last one says.
    pub(crate) fn add(
        &mut self,
        after_ms: u64,
        phase: Phase,
        of: (Option<u16>, Option<Op>),
        text: impl Into<Cow<'static, str>>,
    ) {
        let mut text = text.into();
        if text.len() > TEXT_LEN_MAX {
            text = Cow::Owned(cut(&text, TEXT_LEN_MAX).to_owned());
        }
        let last = self.0.last();
        if last.is_some_and(|row| row.2 == phase && (row.3, row.4) == of && row.5 == text) {
            return;
        }
        let seq = last.map_or(0, |row| row.0).saturating_add(1);
        if self.0.len() >= NOTES_MAX {
            self.0.remove(FIRST);
        }
        self.0.push(Row(seq, after_ms, phase, of.0, of.1, text));
    }

    /// As others see them.
    pub(crate) fn view(&self, begun_ms: u64, steps: &[StepSpec]) -> Vec<Note> {
        let note = |row: &Row| Note {
            seq: row.0,
            at_ms: begun_ms.saturating_add(row.1),
            phase: row.2,
            branch: row.3.and_then(|at| steps.get(usize::from(at))).map(|step| step.id.clone()),
            op: row.4,
            text: row.5.clone().into_owned(),
        };
        self.0.iter().map(note).collect()
    }
}

/// The beginning of a text, at most so many bytes of it.
pub(crate) fn cut(text: &str, len_max: usize) -> &str {
    let mut end = text.len().min(len_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_notes_are_kept_and_numbers_go_on() {
        let mut notes = Notes::default();
        for at in 0..200 {
            notes.add(at, Phase::Trying, (None, None), format!("note {at}"));
            notes.add(at, Phase::Trying, (None, None), format!("note {at}"));
        }
        let view = notes.view(1_000, &[]);
        assert_eq!(view.len(), NOTES_MAX);
        assert_eq!((view[0].seq, view[FIRST - 1].seq, view[NOTES_MAX - 1].seq), (1, 8, 200));
        assert_eq!(view[NOTES_MAX - 1].at_ms, 1_199);
    }

    #[test]
    fn a_text_is_cut_between_letters() {
        assert_eq!(cut("größe", 3), "gr");
        assert_eq!(cut("abc", 10), "abc");
    }
}
