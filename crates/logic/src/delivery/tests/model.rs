//! Random lives of a group against a model that knows only what the contract says: a log, what is settled, and for each
//! message how often it was delivered and until when it is not to be.

use super::super::*;
use super::{WAIT, at};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Op {
    /// Messages with these keys are published; 0 is none, 9 leaves an offset out.
    Publish(Vec<u64>),
    Feed(usize),
    Take(usize),
    /// Settles some delivery of the past, or one that never was.
    Settle(usize, Verb),
    PutBack(usize),
    Wait(u64),
    Seek(u64),
    Purge(u64),
    /// Keeps a snapshot, as a checkpoint does.
    Keep,
    /// The engine ends, and comes back from the snapshot and the journal after it.
    Restart,
    Configure(Order, u32),
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Ack,
    Nack(u64),
    Extend,
}

fn ops() -> impl Strategy<Value = Op> {
    let verb = prop_oneof![
        3 => Just(Verb::Ack),
        2 => (0_u64..20).prop_map(Verb::Nack),
        1 => Just(Verb::Extend),
    ];
    let order = prop_oneof![Just(Order::None), Just(Order::Key)];
    prop_oneof![
        4 => prop::collection::vec(prop_oneof![0_u64..4, Just(9)], 1..6).prop_map(Op::Publish),
        4 => (1_usize..8).prop_map(Op::Feed),
        6 => (0_usize..6).prop_map(Op::Take),
        8 => (any::<usize>(), verb).prop_map(|(which, verb)| Op::Settle(which, verb)),
        1 => any::<usize>().prop_map(Op::PutBack),
        3 => (1_u64..20).prop_map(Op::Wait),
        1 => (0_u64..30).prop_map(Op::Seek),
        1 => (0_u64..30).prop_map(Op::Purge),
        1 => Just(Op::Keep),
        2 => Just(Op::Restart),
        1 => (order, 1_u32..6).prop_map(|(order, most)| Op::Configure(order, most)),
    ]
}

/// What the journal keeps.
#[derive(Clone, Debug)]
enum Kept {
    Settled(u64),
    Attempts(u64, u32, Moment),
    Seek(u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    Free,
    InFlight(Moment),
    /// Waiting until then.
    Waiting(Moment),
}

#[derive(Clone, Copy, Debug)]
struct Message {
    offset: u64,
    key: u64,
    is_settled: bool,
    attempts: u32,
    phase: Phase,
    /// What the snapshot and the journal know of its attempts.
    kept: (u32, Moment),
}

struct World {
    group: Group,
    now: Moment,
    last: u64,
    /// All that are in the topic.
    log: Vec<Message>,
    fed: u64,
    delivered: Vec<(u64, Taken)>,
    snapshot: (Snapshot, Moment),
    journal: Vec<Kept>,
}

impl World {
    fn new(config: Config) -> Self {
        let group = Group::new(config, 1);
        let snapshot = (group.snapshot(at(0)), at(0));
        let (log, delivered, journal) = (Vec::new(), Vec::new(), Vec::new());
        Self { group, now: at(0), last: 0, log, fed: 0, delivered, snapshot, journal }
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Publish(keys) => keys.iter().for_each(|key| self.publish(*key)),
            Op::Feed(count) => self.feed(*count),
            Op::Take(max) => self.take(*max),
            Op::Settle(which, verb) => self.settle(*which, *verb),
            Op::PutBack(which) => self.put_back(*which),
            Op::Wait(seconds) => self.now = self.now + Duration::from_secs(*seconds),
            Op::Seek(to) => self.seek(*to),
            Op::Purge(before) => {
                self.log.retain(|message| message.offset >= *before);
                self.last = self.last.max(before.saturating_sub(1));
                self.fed = self.fed.max(before.saturating_sub(1));
                self.group.purge_before(*before);
            }
            Op::Keep => self.keep(),
            Op::Restart => self.restart(),
            Op::Configure(order, max_in_flight) => {
                let (order, max_in_flight) = (*order, *max_in_flight);
                self.group.configure(Config { ack_wait: WAIT, max_in_flight, order });
            }
        }
        self.check();
    }

    fn publish(&mut self, key: u64) {
        self.last += 1;
        let (offset, is_settled, attempts) = (self.last, false, 0);
        if key != 9 {
            let (phase, kept) = (Phase::Free, (0, at(0)));
            self.log.push(Message { offset, key, is_settled, attempts, phase, kept });
        }
    }

    fn feed(&mut self, count: usize) {
        let from = self.group.feed_from().expect("so few messages always have room");
        let read: Vec<_> = self.log.iter().filter(|message| message.offset >= from).collect();
        for message in read.iter().take(count) {
            assert!(self.group.feed(message.offset, (message.key > 0).then_some(message.key)));
            self.fed = self.fed.max(message.offset);
        }
        if read.len() <= count {
            self.group.skip_to(self.last + 1);
            self.fed = self.last;
        }
    }

    /// Whether the contract lets a message be delivered.
    fn may(&self, message: &Message) -> bool {
        let is_free = match message.phase {
            Phase::Free => true,
            Phase::InFlight(_) => false,
            Phase::Waiting(until) => until <= self.now,
        };
        let is_first = self.group.config().order == Order::None
            || message.key == 0
            || !self.log.iter().any(|other| {
                other.key == message.key && other.offset < message.offset && !other.is_settled
            });
        message.offset <= self.fed && !message.is_settled && is_free && is_first
    }

    fn take(&mut self, max: usize) {
        let taken = self.group.take(self.now, max);
        assert!(taken.len() <= max);
        for message in &mut self.log {
            if matches!(message.phase, Phase::InFlight(until) if until <= self.now) {
                message.phase = Phase::Free;
            }
        }
        let (now, epoch) = (self.now, self.group.epoch());
        for each in &taken {
            let at = self.log.iter().position(|message| message.offset == each.offset);
            let at = at.expect("only what is in the topic is delivered");
            assert!(self.may(&self.log[at]), "{each:?} must not be delivered");
            let message = &mut self.log[at];
            message.attempts += 1;
            assert_eq!(each.attempt, message.attempts);
            message.phase = Phase::InFlight(now + WAIT);
            self.delivered.push((epoch, *each));
        }
        let in_flight = self.count(|it| matches!(it.phase, Phase::InFlight(_)));
        let most = usize::try_from(self.group.config().max_in_flight).unwrap();
        assert!(taken.is_empty() || in_flight <= most, "too many are in flight");
        let is_full = taken.len() == max || in_flight >= most;
        assert!(
            is_full || !self.log.iter().any(|message| self.may(message)),
            "something is held up"
        );
    }

    fn settle(&mut self, which: usize, verb: Verb) {
        if self.delivered.is_empty() {
            return;
        }
        let (epoch, taken) = self.delivered[which % self.delivered.len()];
        let until = match verb {
            Verb::Nack(seconds) => self.now + Duration::from_secs(seconds),
            Verb::Ack | Verb::Extend => self.now + WAIT,
        };
        let settle = match verb {
            Verb::Ack => Settle::Ack,
            Verb::Nack(_) => Settle::Nack(until),
            Verb::Extend => Settle::Extend,
        };
        let is_epoch = epoch == self.group.epoch();
        let change = self.group.settle(taken, epoch, settle, self.now);
        let message = self.log.iter_mut().find(|message| message.offset == taken.offset);
        let Some(message) = message.filter(|message| is_epoch && !message.is_settled) else {
            assert!(change == Change::None || (is_epoch && change == Change::Settled));
            return;
        };
        let is_present =
            matches!(message.phase, Phase::InFlight(_)) && message.attempts == taken.attempt;
        let expected = match verb {
            Verb::Ack => Change::Settled,
            Verb::Nack(_) if is_present => Change::Returned,
            Verb::Extend if is_present => Change::Extended,
            Verb::Nack(_) | Verb::Extend => Change::None,
        };
        assert_eq!(change, expected);
        match change {
            Change::Settled => {
                message.is_settled = true;
                self.journal.push(Kept::Settled(taken.offset));
            }
            Change::Returned => {
                message.phase = Phase::Waiting(until);
                message.kept = (taken.attempt, until);
                self.journal.push(Kept::Attempts(taken.offset, taken.attempt, until));
            }
            Change::Extended => message.phase = Phase::InFlight(until),
            Change::None => {}
        }
    }

    fn put_back(&mut self, which: usize) {
        let of_epoch = self.delivered.iter().filter(|(epoch, _)| *epoch == self.group.epoch());
        let of_epoch: Vec<Taken> = of_epoch.map(|(_, taken)| *taken).collect();
        let Some(taken) = of_epoch.get(which % of_epoch.len().max(1)).copied() else { return };
        self.group.put_back(taken);
        let message = self.log.iter_mut().find(|message| message.offset == taken.offset);
        if let Some(message) = message
            && !message.is_settled
            && matches!(message.phase, Phase::InFlight(_))
            && message.attempts == taken.attempt
        {
            message.attempts -= 1;
            message.phase = Phase::Free;
            // Nobody has it, so nobody settles it.
            self.delivered.retain(|(_, other)| *other != taken);
        }
    }

    fn seek(&mut self, to: u64) {
        // A group begins within its topic.
        let first = self.log.first().map_or(self.last + 1, |message| message.offset);
        let to = to.clamp(first, self.last + 1);
        self.group.seek(to);
        self.journal.push(Kept::Seek(to));
        self.fed = to - 1;
        for message in &mut self.log {
            message.is_settled = message.offset < to;
            (message.attempts, message.phase, message.kept) = (0, Phase::Free, (0, at(0)));
        }
    }

    fn keep(&mut self) {
        self.snapshot = (self.group.snapshot(self.now), self.now);
        self.journal.clear();
        for message in &mut self.log {
            let until = match message.phase {
                Phase::Waiting(until) => until,
                Phase::Free | Phase::InFlight(_) => at(0),
            };
            message.kept = (message.attempts, until);
        }
    }

    fn restart(&mut self) {
        let (snapshot, then) = &self.snapshot;
        let mut group = Group::restore(self.group.config(), snapshot, *then);
        for kept in &self.journal {
            match *kept {
                Kept::Settled(offset) => {
                    group.replay_settled(offset);
                }
                Kept::Attempts(offset, attempts, until) => {
                    group.replay_attempts(offset, attempts, until);
                }
                Kept::Seek(to) => group.seek(to),
            }
        }
        group.purge_before(self.log.first().map_or(self.last + 1, |message| message.offset));
        assert_eq!(group.epoch(), self.group.epoch());
        self.group = group;
        for message in &mut self.log {
            message.attempts = message.kept.0;
            message.phase = Phase::Waiting(message.kept.1);
        }
        // Attempts that were not kept are counted anew: their receipts of before may only acknowledge, so the engine
        // tells them apart by its run.
        self.delivered.clear();
        self.fed = self.group.floor();
    }

    fn count(&self, is_so: impl Fn(&Message) -> bool) -> usize {
        self.log.iter().filter(|message| !message.is_settled && is_so(message)).count()
    }

    fn check(&self) {
        let open = |message: &&Message| !message.is_settled;
        let first_open = self.log.iter().filter(open).map(|message| message.offset).next();
        let floor = self.group.floor();
        assert!(
            first_open.is_none_or(|first| floor < first),
            "the floor passes what is not settled"
        );
        if self.fed >= self.last {
            assert!(first_open.is_some() || floor == self.last);
            assert_eq!(
                self.group.lag(self.last),
                u64::try_from(self.log.iter().filter(open).count()).unwrap()
            );
        }
        assert_eq!(self.group.in_flight(), self.count(|it| matches!(it.phase, Phase::InFlight(_))));
        let waiting = self.count(|it| it.attempts > 0 && !matches!(it.phase, Phase::InFlight(_)));
        assert_eq!(self.group.waiting(), waiting);
    }

    /// Everything that is not settled is delivered in the end, and then everything is.
    fn drain(&mut self) {
        for _ in 0..=self.log.len() {
            self.now = self.now + WAIT;
            self.feed(usize::MAX);
            self.take(usize::MAX);
            let most = self.delivered.len();
            (0..most).for_each(|which| self.settle(which, Verb::Ack));
        }
        assert!(self.log.iter().all(|message| message.is_settled), "a message is lost");
        assert_eq!(self.group.floor(), self.last);
        assert_eq!((self.group.in_flight(), self.group.waiting(), self.group.ready()), (0, 0, 0));
        assert_eq!(self.group.next_deadline(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_held_up_or_out_of_order_in_any_life(
        ops in prop::collection::vec(ops(), 1..80),
        is_keyed: bool,
        max_in_flight in 1_u32..6,
    ) {
        let order = if is_keyed { Order::Key } else { Order::None };
        let mut world = World::new(Config { ack_wait: WAIT, max_in_flight, order });
        for op in &ops {
            world.apply(op);
        }
        world.drain();
    }
}
