//! Random histories: a store in the engine, a cache and a simple model do the same.

use super::*;
use futures_util::FutureExt as _;
use proptest::{collection::vec, prelude::*};
use std::collections::BTreeSet;

/// Which etag a write asks for.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Any,
    Missing,
    /// The one the key has, if it has one.
    Current,
    /// One that the key had, or none ever had.
    Old,
}

#[derive(Clone, Debug)]
struct Step {
    key: usize,
    ask: Ask,
    /// `None`: it is deleted.
    value: Option<u8>,
    ttl: Option<u64>,
}

#[derive(Clone, Debug)]
enum Action {
    One(Step),
    Transaction(Vec<Step>),
    Many(Vec<Step>),
    Advance(u64),
    Scan { prefix: usize, after: Option<usize>, limit: usize },
}

const KEYS: [&str; 5] = ["a", "a/1", "a/2", "b", "b\u{0}\u{ff}"];
const PREFIXES: [&str; 4] = ["", "a", "a/", "b"];

fn step() -> impl Strategy<Value = Step> {
    let ask = prop_oneof![
        3 => Just(Ask::Any),
        2 => Just(Ask::Missing),
        3 => Just(Ask::Current),
        1 => Just(Ask::Old),
    ];
    let value = prop_oneof![3 => any::<u8>().prop_map(Some), 1 => Just(None)];
    (0..KEYS.len(), ask, value, proptest::option::weighted(0.3, 1..4_u64))
        .prop_map(|(key, ask, value, ttl)| Step { key, ask, value, ttl })
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        6 => step().prop_map(Action::One),
        2 => vec(step(), 0..5).prop_map(Action::Transaction),
        1 => vec(step(), 0..6).prop_map(Action::Many),
        2 => (0..3_u64).prop_map(Action::Advance),
        2 => (0..PREFIXES.len(), proptest::option::of(0..KEYS.len()), 1..4_usize)
            .prop_map(|(prefix, after, limit)| Action::Scan { prefix, after, limit }),
    ]
}

/// What the model says came of an action, in words that do not depend on the numbers a store gives out.
#[derive(Debug, PartialEq, Eq)]
enum Result {
    /// For each step the version that it made.
    Done(Vec<Option<u64>>),
    Deleted(bool),
    Conflict {
        key: String,
        found: Option<u64>,
    },
    Invalid,
    Found {
        items: Vec<(String, u8, u64)>,
        next: Option<String>,
    },
}

#[derive(Clone, Debug, Default)]
struct Model {
    /// Value, version and end.
    keys: BTreeMap<&'static str, (u8, u64, Option<u64>)>,
    last_version: u64,
    now: u64,
}

impl Model {
    fn version(&self, key: &str) -> Option<u64> {
        self.keys.get(key).map(|(_, version, _)| *version)
    }

    fn advance(&mut self, seconds: u64) {
        self.now += seconds;
        let now = self.now;
        self.keys.retain(|_, (_, _, ends)| ends.is_none_or(|ends| ends > now));
    }

    /// Steps with the versions they ask for: `Some(None)`: missing.
    fn transact(&mut self, steps: &[(Step, Option<Option<u64>>)]) -> Result {
        let mut there: BTreeMap<usize, bool> = BTreeMap::new();
        for (step, asked) in steps {
            if let Some(is_there) = there.get(&step.key) {
                let is_broken = match asked {
                    None => false,
                    Some(None) => *is_there,
                    Some(Some(_)) => true,
                };
                if is_broken {
                    return Result::Invalid;
                }
            }
            there.insert(step.key, step.value.is_some());
        }
        let mut seen = BTreeSet::new();
        for (step, asked) in steps {
            let found = self.version(KEYS[step.key]);
            if seen.insert(step.key) && asked.is_some_and(|asked| asked != found) {
                return Result::Conflict { key: KEYS[step.key].to_owned(), found };
            }
        }
        self.last_version += 1;
        for (step, _) in steps {
            match step.value {
                Some(value) => {
                    let ends = step.ttl.map(|ttl| self.now + ttl);
                    self.keys.insert(KEYS[step.key], (value, self.last_version, ends));
                }
                None => drop(self.keys.remove(KEYS[step.key])),
            }
        }
        let is_last = |at: usize| !steps[at + 1..].iter().any(|(s, _)| s.key == steps[at].0.key);
        let version = |(at, (step, _)): (usize, &(Step, _))| {
            (step.value.is_some() && is_last(at)).then_some(self.last_version)
        };
        Result::Done(steps.iter().enumerate().map(version).collect())
    }

    fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result {
        let mut inside = self
            .keys
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && after.is_none_or(|after| **key > after));
        let items: Vec<_> = inside
            .by_ref()
            .take(limit)
            .map(|(key, (value, version, _))| ((*key).to_owned(), *value, *version))
            .collect();
        let last = items.last().map(|(key, ..)| key.clone());
        Result::Found { next: last.filter(|_| inside.next().is_some()), items }
    }
}

/// A store, with the etags of the model's versions by key: what was written together may share one.
struct Subject<'a> {
    state: &'a State,
    etags: BTreeMap<(usize, u64), Etag>,
}

impl Subject<'_> {
    fn etag(&self, key: usize, asked: Option<Option<u64>>) -> Match {
        match asked {
            None => Match::Any,
            Some(None) => Match::Missing,
            Some(Some(version)) => {
                let known = self.etags.get(&(key, version));
                // A version that the key never had.
                Match::Etag(known.copied().unwrap_or(Etag(0)))
            }
        }
    }

    fn write(&self, step: &Step, value: u8, asked: Option<Option<u64>>) -> Write {
        let ttl = step.ttl.map_or(Ttl::Store, |ttl| Ttl::After(Duration::from_secs(ttl)));
        Write { etag: self.etag(step.key, asked), ttl, ..Write::new(KEYS[step.key], vec![value]) }
    }

    fn version(&self, key: &str, etag: Etag) -> u64 {
        let mut known = self.etags.iter().filter(|((of, _), _)| KEYS[*of] == key);
        let known = known.find(|(_, known)| **known == etag);
        known.unwrap_or_else(|| panic!("{etag} was never given out for {key}")).0.1
    }

    fn error(&self, error: Error) -> Result {
        match error {
            Error::Conflict { key, found, .. } => {
                let found = found.map(|found| self.version(&key, found.parse().unwrap()));
                Result::Conflict { key, found }
            }
            Error::Invalid(_) => Result::Invalid,
            other => panic!("{other}"),
        }
    }

    /// Does one step and learns the etag of `version`, which it makes.
    async fn one(&mut self, step: &Step, asked: Option<Option<u64>>, version: u64) -> Result {
        let Some(value) = step.value else {
            let deleted = self.state.delete(KEYS[step.key], self.etag(step.key, asked), None).await;
            return deleted.map_or_else(|e| self.error(e), Result::Deleted);
        };
        match self.state.put(self.write(step, value, asked)).await {
            Ok(etag) => {
                self.etags.insert((step.key, version), etag);
                Result::Done(vec![Some(version)])
            }
            Err(error) => self.error(error),
        }
    }

    async fn transact(&mut self, steps: &[(Step, Option<Option<u64>>)], version: u64) -> Result {
        let operations = steps.iter().map(|(step, asked)| match step.value {
            Some(value) => StateOp::Put(self.write(step, value, *asked)),
            None => delete(KEYS[step.key], self.etag(step.key, *asked)),
        });
        match self.state.transact(operations.collect()).await {
            Ok(etags) => {
                for ((step, _), etag) in steps.iter().zip(&etags) {
                    self.etags.extend(etag.map(|etag| ((step.key, version), etag)));
                }
                Result::Done(etags.iter().map(|etag| etag.map(|_| version)).collect())
            }
            Err(error) => self.error(error),
        }
    }

    async fn scan(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result {
        let scan = self.state.scan(prefix, after, limit).await.unwrap();
        let item =
            |item: &Item| (item.key.clone(), item.value[0], self.version(&item.key, item.etag));
        Result::Found { items: scan.items.iter().map(item).collect(), next: scan.next }
    }
}

/// What the step asks for, by versions.
fn asked(model: &Model, step: &Step) -> Option<Option<u64>> {
    let current = model.version(KEYS[step.key]);
    match step.ask {
        Ask::Any => None,
        Ask::Missing => Some(None),
        Ask::Current => Some(Some(current.unwrap_or(u64::MAX))),
        Ask::Old => Some(Some(current.map_or(u64::MAX, |version| version - 1))),
    }
}

async fn run(actions: Vec<Action>) {
    let pair = pair();
    let mut model = Model::default();
    let watches = [&pair.durable, &pair.cache].map(|state| state.watch("", None));
    let [durable, cache] = watches;
    let mut watches = [durable.await.unwrap(), cache.await.unwrap()];
    let mut subjects =
        [&pair.durable, &pair.cache].map(|state| Subject { state, etags: BTreeMap::new() });
    for action in actions {
        match action {
            Action::One(step) => {
                let asked = asked(&model, &step);
                let was_there = model.version(KEYS[step.key]).is_some();
                let expected = match model.transact(&[(step.clone(), asked)]) {
                    Result::Done(_) if step.value.is_none() => Result::Deleted(was_there),
                    other => other,
                };
                for subject in &mut subjects {
                    let got = subject.one(&step, asked, model.last_version).await;
                    assert_eq!(got, expected, "{:?}: {step:?}", subject.state.kind());
                }
            }
            Action::Transaction(steps) => {
                let steps: Vec<_> =
                    steps.into_iter().map(|step| (step.clone(), asked(&model, &step))).collect();
                let expected = model.transact(&steps);
                for subject in &mut subjects {
                    let got = subject.transact(&steps, model.last_version).await;
                    assert_eq!(got, expected, "{:?}: {steps:?}", subject.state.kind());
                }
            }
            Action::Many(steps) => many(&mut model, &mut subjects, &steps).await,
            Action::Advance(seconds) => {
                let time = Duration::from_secs(seconds);
                model.advance(seconds);
                pair.engine.memory.advance(time);
                tokio::time::advance(time).await;
            }
            Action::Scan { prefix, after, limit } => {
                let (prefix, after) = (PREFIXES[prefix], after.map(|key| KEYS[key]));
                let expected = model.scan(prefix, after, limit);
                for subject in &subjects {
                    let got = subject.scan(prefix, after, limit).await;
                    assert_eq!(got, expected, "{:?}", subject.state.kind());
                }
            }
        }
    }
    pair.memory.sweep();
    for (subject, watch) in subjects.iter().zip(&mut watches) {
        replay(subject, watch).await;
    }
}

/// Many writes have no order among each other but for those of one key; so they ask for nothing here.
async fn many(model: &mut Model, subjects: &mut [Subject<'_>; 2], steps: &[Step]) {
    let puts = steps.iter().filter_map(|step| Some((step, step.value?)));
    let mut versions = Vec::new();
    for (step, _) in puts.clone() {
        model.transact(&[(step.clone(), None)]);
        versions.push(model.last_version);
    }
    for subject in subjects {
        let writes = puts.clone().map(|(step, value)| subject.write(step, value, None));
        let etags = subject.state.put_many(writes.collect()).await;
        for ((step, _), (version, etag)) in puts.clone().zip(versions.iter().zip(etags)) {
            // Keys that were written together have one etag; the model has one for each.
            if model.version(KEYS[step.key]) == Some(*version) {
                subject.etags.insert((step.key, *version), etag.unwrap());
            }
        }
    }
}

/// What a watch from the beginning tells must come to what is there.
async fn replay(subject: &Subject<'_>, watch: &mut crate::StateWatch) {
    let end = subject.state.scan("", None, 100).await.unwrap();
    let mut replayed: BTreeMap<String, Item> = BTreeMap::new();
    let mut revision = watch.revision();
    // All of it has happened, so nothing is worth waiting for.
    while let Some(change) = watch.next().now_or_never() {
        let change = change.unwrap();
        assert!(change.revision > revision && change.revision <= end.revision);
        revision = change.revision;
        let mut keys = BTreeSet::new();
        for event in change.events {
            match event {
                StateEvent::Put(item) => {
                    assert!(keys.insert(item.key.clone()), "a key twice in one change");
                    replayed.insert(item.key.clone(), item);
                }
                StateEvent::Delete { key } => {
                    assert!(replayed.remove(&key).is_some(), "a deletion of what was not there");
                    assert!(keys.insert(key), "a key twice in one change");
                }
            }
        }
    }
    assert_eq!(replayed.into_values().collect::<Vec<_>>(), end.items);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_durable_store_a_cache_and_the_model_answer_alike(actions in vec(action(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run(actions));
    }
}
