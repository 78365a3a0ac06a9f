//! The engine against a model of what a group may be given, whatever is done in whatever order and whatever ends it.

use ports::broker::{
    Broker, Delivery, GroupConfig, NewMessage, Offset, Order, Receipt, Settle, Start, Subscription,
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    all,
    ledger::{config, group},
    made, open, rounds, run, text, tiny, topic,
};
use crate::{
    broker::{Handle, Service},
    disk::simulated::{Cut, Simulated},
};

#[derive(Clone, Debug)]
enum Step {
    /// Messages of these keys and sizes, one of them perhaps with an id of few.
    Publish(Vec<(u8, usize)>, Option<u8>),
    Take(usize),
    Ack(usize),
    Nack(usize),
    Seek(u64),
    Purge(u64),
    Configure(bool, u32),
    End(End),
}

#[derive(Clone, Copy, Debug)]
enum End {
    InOrder,
    Killed,
    Cut(Cut),
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        Just(End::InOrder),
        Just(End::Killed),
        Just(End::Cut(Cut::Strict)),
        (0..1_000_u64).prop_map(|seed| End::Cut(Cut::Lenient(seed))),
    ];
    prop_oneof![
        6 => (prop::collection::vec((0..4_u8, 0..600_usize), 1..6), prop::option::of(0..6_u8))
            .prop_map(|(messages, id)| Step::Publish(messages, id)),
        6 => (1..6_usize).prop_map(Step::Take),
        6 => (0..8_usize).prop_map(Step::Ack),
        2 => (0..8_usize).prop_map(Step::Nack),
        1 => (0..60_u64).prop_map(Step::Seek),
        1 => (0..60_u64).prop_map(Step::Purge),
        1 => (any::<bool>(), 1..20_u32).prop_map(|(keys, max)| Step::Configure(keys, max)),
        1 => end.prop_map(Step::End),
    ]
}

/// What must be so.
#[derive(Debug, Default)]
struct Model {
    /// All messages that ever were: key and payload.
    messages: BTreeMap<u64, (u8, String)>,
    first: u64,
    /// Everything before it is settled for the group, also what is still to come.
    from: u64,
    unsettled: BTreeSet<u64>,
    in_flight: BTreeSet<u64>,
    ids: BTreeMap<u8, u64>,
    by_key: bool,
    max: usize,
}

impl Model {
    /// What may be given next.
    fn may_come(&self) -> Vec<u64> {
        if self.in_flight.len() >= self.max {
            return Vec::new();
        }
        let mut blocked = BTreeSet::new();
        let mut may = Vec::new();
        for offset in &self.unsettled {
            let (key, _) = &self.messages[offset];
            let is_first = blocked.insert(*key);
            // Key 0 stands for none.
            let is_free = !self.by_key || *key == 0 || is_first;
            if is_free && !self.in_flight.contains(offset) {
                may.push(*offset);
            }
        }
        may
    }
}

struct Pair {
    disk: Simulated,
    engine: Option<(Service, Handle)>,
    subscription: Option<Box<dyn Subscription>>,
    held: Vec<(u64, Receipt)>,
    model: Model,
    number: u64,
}

impl Pair {
    async fn new() -> Self {
        let disk = Simulated::default();
        let engine = open(&disk, tiny()).unwrap();
        made(&engine.1, "a").await;
        let model = Model { first: 1, max: 16, by_key: true, ..Model::default() };
        let (subscription, held) = (None, Vec::new());
        let mut pair = Self { disk, engine: Some(engine), subscription, held, model, number: 0 };
        pair.subscribe().await;
        pair
    }

    fn broker(&self) -> &Handle {
        &self.engine.as_ref().unwrap().1
    }

    async fn subscribe(&mut self) {
        let order = if self.model.by_key { Order::Key } else { Order::None };
        let max_in_flight = u32::try_from(self.model.max).unwrap();
        let config = GroupConfig { order, max_in_flight, ..config() };
        let joined = self.broker().subscribe(&topic("a"), &group(), config).await;
        self.subscription = Some(joined.unwrap());
    }

    async fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(messages, id) => self.publish(messages, *id).await,
            Step::Take(max) => {
                if !self.model.may_come().is_empty() {
                    self.take(*max).await;
                }
            }
            Step::Ack(index) => self.settle(*index, Settle::Ack).await,
            Step::Nack(index) => self.settle(*index, Settle::Nack(Duration::ZERO)).await,
            Step::Seek(to) => {
                let to = (*to).max(1);
                let start = Start::Offset(Offset(to));
                self.broker().seek(&topic("a"), &group(), start).await.unwrap();
                self.model.from = to;
                let from = to.max(self.model.first);
                self.model.unsettled =
                    self.model.messages.keys().copied().filter(|it| *it >= from).collect();
                self.model.in_flight.clear();
            }
            Step::Purge(before) => self.purge(*before).await,
            Step::Configure(by_key, max) => {
                (self.model.by_key, self.model.max) = (*by_key, usize::try_from(*max).unwrap());
                self.subscribe().await;
            }
            Step::End(end) => {
                self.end(*end).await;
                self.compare().await;
            }
        }
    }

    async fn publish(&mut self, messages: &[(u8, usize)], id: Option<u8>) {
        let mut new = Vec::new();
        let mut expected = Vec::new();
        let mut next = self.model.messages.keys().next_back().copied().unwrap_or(0) + 1;
        for (index, (key, size)) in messages.iter().enumerate() {
            self.number += 1;
            let payload = format!("{}:{}", self.number, "x".repeat(*size));
            let id = id.filter(|_| index == 0);
            new.push(NewMessage {
                id: id.map(|id| format!("id-{id}")),
                key: (*key > 0).then(|| vec![*key].into()),
                ..NewMessage::new(payload.clone())
            });
            if let Some(known) = id.and_then(|id| self.model.ids.get(&id)) {
                expected.push((*known, true));
                continue;
            }
            expected.push((next, false));
            self.model.ids.extend(id.map(|id| (id, next)));
            self.model.messages.insert(next, (*key, payload));
            if next >= self.model.from {
                self.model.unsettled.insert(next);
            }
            next += 1;
        }
        let published = self.broker().publish(&topic("a"), new).await.unwrap();
        let published: Vec<_> = published.iter().map(|it| (it.offset.0, it.duplicate)).collect();
        assert_eq!(published, expected);
    }

    async fn take(&mut self, max: usize) {
        let next = self.subscription.as_mut().unwrap().next(max);
        let deliveries = tokio::time::timeout(Duration::from_secs(60), next).await;
        let deliveries = deliveries.expect("there is something to give").unwrap();
        assert!(!deliveries.is_empty() && deliveries.len() <= max);
        let may = self.model.may_come();
        for Delivery { message, receipt, .. } in deliveries {
            let offset = message.offset.0;
            assert!(may.contains(&offset), "{offset} of {may:?}");
            assert_eq!(text(&message), self.model.messages[&offset].1);
            assert!(self.model.in_flight.insert(offset), "{offset} is in flight");
            self.held.push((offset, receipt));
        }
        assert!(self.model.in_flight.len() <= self.model.max);
    }

    async fn settle(&mut self, index: usize, settle: Settle) {
        if self.held.is_empty() {
            return;
        }
        let (offset, receipt) = self.held.remove(index % self.held.len());
        let settlement = vec![(receipt.clone(), settle)];
        self.broker().settle(&topic("a"), &group(), settlement).await.unwrap();
        // What was taken before a seek or an end does nothing, but that an end does not undo work.
        let is_current = self.model.in_flight.contains(&offset);
        match settle {
            Settle::Ack => {
                let status = self.broker().groups(&topic("a")).await.unwrap().remove(0);
                let was = self.model.unsettled.len() as u64;
                let counted = status.lag < was;
                assert!(counted || !is_current || self.held.iter().any(|held| held.0 == offset));
                if counted {
                    self.model.unsettled.remove(&offset);
                    self.model.in_flight.remove(&offset);
                }
            }
            Settle::Nack(_) | Settle::Extend => {
                let status = self.broker().groups(&topic("a")).await.unwrap().remove(0);
                if status.in_flight < self.model.in_flight.len() as u64 {
                    assert!(is_current);
                    self.model.in_flight.remove(&offset);
                }
            }
        }
    }

    async fn purge(&mut self, before: u64) {
        let next = self.model.messages.keys().next_back().copied().unwrap_or(0) + 1;
        let before = before.min(next).max(self.model.first);
        let purged = self.broker().purge(&topic("a"), Some(Offset(before))).await.unwrap();
        assert_eq!(purged, before - self.model.first);
        self.model.first = before;
        self.model.unsettled.retain(|offset| *offset >= before);
        self.model.in_flight.retain(|offset| *offset >= before);
    }

    async fn end(&mut self, end: End) {
        self.subscription = None;
        let (service, _) = self.engine.take().unwrap();
        match end {
            End::InOrder => service.shutdown().await,
            End::Killed => self.disk = self.disk.kill(),
            End::Cut(cut) => self.disk = self.disk.cut(cut),
        }
        self.engine = Some(open(&self.disk, tiny()).unwrap());
        self.model.in_flight.clear();
        let first = self.model.first;
        self.model.ids.retain(|_, offset| *offset >= first);
        self.subscribe().await;
    }

    /// Compares all that can be seen.
    async fn compare(&mut self) {
        let found = all(self.broker(), &topic("a")).await;
        let found: Vec<_> = found.iter().map(|it| (it.offset.0, text(it))).collect();
        let kept = self.model.messages.range(self.model.first..);
        let kept: Vec<_> = kept.map(|(offset, (_, payload))| (*offset, payload.clone())).collect();
        assert_eq!(found, kept);
        let status = self.broker().groups(&topic("a")).await.unwrap().remove(0);
        assert_eq!(status.lag, self.model.unsettled.len() as u64);
        assert_eq!(status.in_flight, self.model.in_flight.len() as u64);
    }

    /// Takes and settles all that is left.
    async fn drain(&mut self) {
        self.held.clear();
        self.end(End::Killed).await;
        while !self.model.unsettled.is_empty() {
            self.take(10).await;
            while !self.held.is_empty() {
                self.settle(0, Settle::Ack).await;
            }
        }
        self.compare().await;
    }
}

#[test]
fn the_engine_gives_what_the_model_allows_and_all_of_it_whatever_ends_it() {
    let cases = u32::try_from(rounds(60)).unwrap();
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        // A case that waits in vain takes a minute each time.
        max_shrink_time: 240_000,
        ..ProptestConfig::default()
    };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..80))| {
        run(async {
            let mut pair = Pair::new().await;
            for step in &steps {
                pair.step(step).await;
            }
            pair.compare().await;
            pair.drain().await;
            pair.end(End::InOrder).await;
            pair.compare().await;
        });
    });
}
