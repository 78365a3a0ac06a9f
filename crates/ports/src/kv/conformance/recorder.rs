//! Calls on an engine, written down as they are made.

use super::{
    super::{Entry, Error, Is, Kv, Life, Outcome, Transaction},
    history::{Act, Answer, Call, Value, check, check_revisions},
};
use bytes::Bytes;
use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// Makes calls and remembers what came of them. Callers share it.
///
/// A call whose future is dropped counts as one with an unknown outcome.
#[derive(Debug)]
pub struct Recorder {
    prefix: String,
    moments: AtomicU64,
    values: AtomicU64,
    calls: Mutex<Vec<Call>>,
}

impl Recorder {
    /// Its keys begin with `prefix`, and must be missing at first.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        let (moments, values) = (AtomicU64::new(1), AtomicU64::new(1));
        Self { prefix: prefix.into(), moments, values, calls: Mutex::default() }
    }

    /// The name of key number `key`.
    #[must_use]
    pub fn key(&self, key: usize) -> Bytes {
        format!("{}{key}", self.prefix).into()
    }

    /// A value that was never given before.
    pub fn value(&self) -> u64 {
        self.values.fetch_add(1, Ordering::SeqCst)
    }

    /// Makes a call and writes it down.
    ///
    /// # Errors
    /// As the engine has it; that is written down too.
    pub async fn perform(&self, kv: &dyn Kv, key: usize, act: Act) -> Result<Answer, Error> {
        let name = self.key(key);
        let number = self.begin(key, act);
        let done = match act {
            Act::Get => kv.get(&name).await.map(|entry| {
                let revision = entry.as_ref().map(|entry| entry.modified.0);
                (Answer::Read(value_of(entry.as_ref())), revision)
            }),
            Act::Put(to) => kv.commit(Transaction::put(name, text(to))).await.map(told),
            Act::Delete => kv.commit(Transaction::delete(name)).await.map(told),
            Act::Swap { from, to } => {
                let is = from.map_or(Is::Missing, |from| Is::Value(text(from)));
                let swap = Transaction::default().when(name.clone(), is);
                kv.commit(swap.and_put(name, text(to), Life::Endless)).await.map(told)
            }
        };
        let (answer, revision) = match &done {
            Ok((answer, revision)) => (*answer, *revision),
            Err(Error::Unknown { .. }) => (Answer::Unknown, None),
            Err(_) => (Answer::Failed, None),
        };
        self.end(number, answer, revision);
        done.map(|(answer, _)| answer)
    }

    /// What was written down.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks that one order explains all calls, and that their revisions agree with it.
    ///
    /// # Panics
    /// When there is none.
    pub fn assert_linearizable(&self) {
        let calls = self.calls();
        if let Err(violation) = check(&calls) {
            let of_key: Vec<String> = calls
                .iter()
                .filter(|call| call.key == violation.key)
                .map(|call| format!("  {call:?}"))
                .collect();
            panic!("not linearizable: {violation}all calls of the key:\n{}", of_key.join("\n"));
        }
        if let Err(reason) = check_revisions(&calls) {
            panic!("revisions are out of order: {reason}");
        }
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn begin(&self, key: usize, act: Act) -> usize {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = self.moment();
        let answer = Answer::Unknown;
        calls.push(Call { key, act, answer, begin, end: u64::MAX, revision: None });
        calls.len() - 1
    }

    fn end(&self, number: usize, answer: Answer, revision: Option<u64>) {
        // Taken before the lock is waited for, so that a call is not thought longer than it was.
        let end = self.moment();
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(call) = calls.get_mut(number) {
            let end = if answer == Answer::Unknown { u64::MAX } else { end };
            (call.answer, call.end, call.revision) = (answer, end, revision);
        }
    }
}

fn text(value: u64) -> Bytes {
    value.to_string().into()
}

fn value_of(entry: Option<&Entry>) -> Value {
    let text = std::str::from_utf8(&entry?.value).expect("only the recorder writes its keys");
    Some(text.parse().expect("only the recorder writes its keys"))
}

fn told(outcome: Outcome) -> (Answer, Option<u64>) {
    match outcome {
        Outcome::Committed { revision } => (Answer::Done, Some(revision.0)),
        Outcome::Refused { found, .. } => {
            let found = found.first().and_then(Option::as_ref);
            (Answer::Refused(value_of(found)), found.map(|entry| entry.modified.0))
        }
    }
}
