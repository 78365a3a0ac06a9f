//! Keeps secrets out of the log store.

use coordination::Redactor;
use ports::logs::{Line, Sink};
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

/// Passes lines on without the secrets in them. Cheap to clone.
///
/// Lines come before secrets are known (of instances that an earlier node left), so it is told later what to look for;
/// until then it passes them as they are.
#[derive(Clone)]
pub(super) struct Redacting {
    sink: Arc<dyn Sink>,
    redactor: Arc<OnceLock<Redactor>>,
}

impl Redacting {
    pub(super) fn new(sink: Arc<dyn Sink>) -> Self {
        Self { sink, redactor: Arc::default() }
    }

    /// Begins to redact. Only the first call counts.
    pub(super) fn begin(&self, redactor: Redactor) {
        let _first = self.redactor.set(redactor);
    }
}

impl Sink for Redacting {
    fn append(&self, lines: &[Line]) {
        let Some(redactor) = self.redactor.get() else { return self.sink.append(lines) };
        let clean = |line: &Line| matches!(redactor.redact(&line.text), Cow::Borrowed(_));
        if lines.iter().all(clean) {
            return self.sink.append(lines);
        }
        let redacted =
            |line: &Line| Line { text: redactor.redact(&line.text).into_owned(), ..line.clone() };
        let lines: Vec<Line> = lines.iter().map(redacted).collect();
        self.sink.append(&lines);
    }
}
